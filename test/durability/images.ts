/** Disks that are put together file by file, to try what an open makes of them. */
import { Directory } from '../../src/durability/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Random } from '../support/random.ts'
import { Ledger, PATH, optionsFor, someChanges } from './sessions.ts'

/** Files by path. */
export type Image = ReadonlyMap<string, Uint8Array>

/** Everything below `directory` but what the lock keeps there. */
export function imageOf(storage: SimulatedStorage, directory: string = PATH): Image {
  const paths = storage.files(directory).filter((path) => !/\/lock[^/]*$/.test(path))
  return new Map(paths.map((path) => [path, storage.contents(path)]))
}

export function diskOf(image: Image, seed = 0): SimulatedStorage {
  const storage = new SimulatedStorage({ seed, maxDelayTurns: 0 })
  for (const [path, bytes] of image) storage.plant(path, bytes)
  return storage
}

/** A database of two runs, with sealed segments and a tail that are in no run, closed as told. */
export async function madeDatabase(clean: boolean): Promise<{ image: Image; ledger: Ledger }> {
  const storage = new SimulatedStorage({ seed: 7, maxDelayTurns: 0 })
  const ledger = new Ledger()
  const random = new Random('made')
  const options = optionsFor(storage, { tailBytes: Infinity })
  const directory = await Directory.open(options)
  for (const commits of [8, 6, 12]) {
    if (commits === 12 || commits === 6) await directory.checkpoint()
    for (let i = 0; i < commits; i++) await ledger.commit(directory, someChanges(random, 10, 900))
  }
  await directory.flush()
  if (clean) await directory.close()
  return { image: imageOf(clean ? storage : storage.kill()), ledger }
}
