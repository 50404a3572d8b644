/** Disks that are put together file by file, to try what an open makes of them. */
import { createHash } from 'node:crypto'
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

/** A disk with an empty directory for the database. */
export function emptyDisk(seed = 0): SimulatedStorage {
  const storage = new SimulatedStorage({ seed, maxDelayTurns: 0 })
  for (let at = PATH.indexOf('/', 1); at > 0; at = PATH.indexOf('/', at + 1))
    storage.plant(PATH.slice(0, at), 'directory')
  storage.plant(PATH, 'directory')
  return storage
}

/** What two images must have in common to be the same; comparing bytes one by one takes vitest long. */
export function digestOf(image: Image): Record<string, string> {
  return Object.fromEntries([...image].map(([path, bytes]) => [path, createHash('sha1').update(bytes).digest('hex')]))
}

export function diskOf(image: Image, seed = 0): SimulatedStorage {
  const storage = emptyDisk(seed)
  for (const [path, bytes] of image) storage.plant(path, bytes)
  return storage
}

/** A database of a given identity, of two runs, with sealed segments and a tail that are in no run, closed as told. */
export async function madeDatabase(clean: boolean, identity = 'directory'): Promise<{ image: Image; ledger: Ledger }> {
  const storage = new SimulatedStorage({ seed: 7, maxDelayTurns: 0 })
  const ledger = new Ledger()
  const random = new Random('made')
  const identities = new Random(identity)
  const options = optionsFor(storage, {
    tailBytes: Infinity,
    random: (target) => {
      for (let i = 0; i < target.length; i++) target[i] = identities.int(256)
    },
  })
  const directory = await Directory.open(options)
  // The first run is the larger one by far, so that the two are not merged.
  for (const commits of [16, 2, 12]) {
    if (commits < 16) await directory.checkpoint()
    for (let i = 0; i < commits; i++) await ledger.commit(directory, someChanges(random, 10, 900))
  }
  await directory.flush()
  if (clean) await directory.close()
  return { image: imageOf(clean ? storage : storage.kill()), ledger }
}
