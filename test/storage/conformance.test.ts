/** What every storage does, the real one and the simulated one alike. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NodeStorage } from '../../src/storage/node.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { errnoOf, ioError, isMissing, type Storage } from '../../src/storage/storage.ts'

interface Subject {
  readonly storage: Storage
  readonly directory: string
  dispose(): void
}

const subjects: Record<string, () => Subject> = {
  NodeStorage: () => {
    const directory = mkdtempSync(join(tmpdir(), 'varve-storage-'))
    return { storage: new NodeStorage(), directory, dispose: () => rmSync(directory, { recursive: true }) }
  },
  SimulatedStorage: () => {
    const storage = new SimulatedStorage()
    storage.plant('/data', 'directory')
    return { storage, directory: '/data', dispose: () => {} }
  },
  'SimulatedStorage without O_DSYNC and directory syncs': () => {
    const storage = new SimulatedStorage({ synced: false, directorySync: false, maxDelayTurns: 0 })
    storage.plant('/data', 'directory')
    return { storage, directory: '/data', dispose: () => {} }
  },
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

async function failure(
  promise: Promise<unknown>,
): Promise<{ code: string; errno: string | undefined; message: string }> {
  try {
    await promise
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return { code, errno: errnoOf(error), message }
  }
  throw new Error('did not fail')
}

describe.each(Object.keys(subjects))('%s', (name) => {
  let storage: Storage
  let at: (name: string) => string
  let directory: string
  let dispose: () => void

  beforeEach(() => {
    const subject = subjects[name]!()
    ;({ storage, directory } = subject)
    dispose = () => subject.dispose()
    at = (name) => join(directory, name)
  })
  afterEach(() => dispose())

  it('creates only what does not exist, and opens only what does', async () => {
    const file = await storage.open(at('a'), 'create')
    expect(file).toMatchObject({ path: at('a'), synced: false })
    await file.close()
    expect(await failure(storage.open(at('a'), 'create'))).toMatchObject({ code: 'IO', errno: 'EEXIST' })
    expect(await failure(storage.open(at('b'), 'write'))).toMatchObject({ code: 'IO', errno: 'ENOENT' })
    await expect(storage.open(at('b'), 'read')).rejects.toSatisfy(isMissing)
    await expect(storage.open(at('no/b'), 'create')).rejects.toSatisfy(isMissing)
    expect((await failure(storage.open(at('b'), 'read'))).message).toBe(
      `cannot open ${at('b')}: ENOENT (it does not exist)`,
    )
  })

  it('writes and reads at positions, in both ways, with zeros in between and no more than there is', async () => {
    const file = await storage.open(at('a'), 'create', { synced: true })
    await file.write(text('world'), 10_006)
    file.writeSync(text('hello'), 10_000)
    await file.sync()
    file.syncSync()
    const target = new Uint8Array(20).fill(9)
    expect(await file.read(target, 9998)).toBe(13)
    expect(Buffer.from(target).toString('latin1')).toBe('\0\0hello\0world\t\t\t\t\t\t\t')
    target.fill(9)
    expect(file.readSync(target, 9998)).toBe(13)
    expect(target[13]).toBe(9)
    expect(await file.read(target, 10_011)).toBe(0)
    expect(file.readSync(target, 99_999)).toBe(0)
    expect(await file.read(new Uint8Array(0), 0)).toBe(0)
    await file.write(new Uint8Array(0), 50_000)
    expect(await file.size()).toBe(10_011)
    const again = await storage.open(at('a'), 'read')
    expect(again.readSync(target.subarray(0, 3), 10_001)).toBe(3)
    expect(Buffer.from(target.subarray(0, 3)).toString()).toBe('ell')
    await Promise.all([file.close(), again.close()])
  })

  it('cuts and extends', async () => {
    const file = await storage.open(at('a'), 'create')
    await file.write(new Uint8Array(10_000).fill(1), 0)
    await file.truncate(5000)
    await file.truncate(9000)
    expect(await file.size()).toBe(9000)
    const all = new Uint8Array(9000)
    await file.read(all, 0)
    expect(all.lastIndexOf(1)).toBe(4999)
    await file.close()
  })

  it('works on offsets beyond 4 GiB', async () => {
    const file = await storage.open(at('a'), 'create')
    const far = 5 * 2 ** 30 + 7
    await file.write(text('far'), far)
    await file.write(text('near'), far % 2 ** 32)
    const target = new Uint8Array(4)
    expect(await file.read(target, far)).toBe(3)
    expect(Buffer.from(target).toString('latin1')).toBe('far\0')
    expect(file.readSync(target, far - 1)).toBe(4)
    expect(await file.size()).toBe(far + 3)
    await file.truncate(far + 1)
    expect(await file.size()).toBe(far + 1)
    expect(await file.read(target, far)).toBe(1)
    await file.close()
  })

  it('refuses to write what is open for reading, and everything after close, which waits and may come twice', async () => {
    const file = await storage.open(at('a'), 'create')
    const writing = file.write(new Uint8Array(100_000).fill(1), 0)
    let isWritten = false
    void writing.then(() => (isWritten = true))
    const closing = file.close()
    await closing
    expect(isWritten).toBe(true)
    await file.close()
    for (const call of [
      () => file.read(new Uint8Array(1), 0),
      () => file.write(new Uint8Array(1), 0),
      () => file.sync(),
      () => file.size(),
      () => file.truncate(0),
      async () => file.readSync(new Uint8Array(1), 0),
      async () => file.writeSync(new Uint8Array(1), 0),
      async () => file.syncSync(),
    ]) {
      expect(await failure(call())).toMatchObject({ code: 'IO', errno: 'EBADF' })
    }
    const reader = await storage.open(at('a'), 'read', { synced: true })
    expect(reader.synced).toBe(false)
    expect((await failure(reader.write(new Uint8Array(1), 0))).code).toBe('IO')
    expect(() => reader.writeSync(new Uint8Array(1), 0)).toThrow('cannot write')
    expect(await reader.size()).toBe(100_000)
    await reader.close()
  })

  it('makes directories with those above them, lists, renames over, removes what may be missing', async () => {
    await storage.makeDirectory(at('x/y/z'))
    await storage.makeDirectory(at('x/y/z'))
    await storage.makeDirectory(at('x/y/w'))
    for (const name of ['a', 'b']) {
      const file = await storage.open(at(`x/${name}`), 'create')
      await file.write(text(name), 0)
      await file.sync()
      await file.close()
    }
    const list = async (): Promise<string[]> =>
      (await storage.list(at('x'))).map(({ name, kind }) => `${name} ${kind}`).sort()
    expect(await list()).toEqual(['a file', 'b file', 'y directory'])
    const open = await storage.open(at('x/b'), 'read')
    await storage.rename(at('x/a'), at('x/b'))
    await storage.syncDirectory(at('x'))
    expect(await list()).toEqual(['b file', 'y directory'])
    const target = new Uint8Array(1)
    open.readSync(target, 0)
    expect(Buffer.from(target).toString()).toBe('b')
    await open.close()
    const renamed = await storage.open(at('x/b'), 'read')
    renamed.readSync(target, 0)
    expect(Buffer.from(target).toString()).toBe('a')
    await renamed.close()
    await storage.remove(at('x/b'))
    await storage.remove(at('x/b'))
    expect(await list()).toEqual(['y directory'])
    expect(await failure(storage.rename(at('x/b'), at('x/c')))).toMatchObject({ code: 'IO', errno: 'ENOENT' })
    expect(await failure(storage.list(at('no')))).toMatchObject({ code: 'IO', errno: 'ENOENT' })
    expect(await failure(storage.syncDirectory(at('no')))).toMatchObject({ code: 'IO', errno: 'ENOENT' })
    expect((await failure(storage.remove(at('x/y')))).code).toBe('IO')
  })

  it('refuses a directory where a file should be, and a file where a directory should', async () => {
    await storage.makeDirectory(at('d'))
    await (await storage.open(at('f'), 'create')).close()
    for (const mode of ['read', 'write', 'create'] as const) {
      expect((await failure(storage.open(at('d'), mode))).code).toBe('IO')
    }
    expect((await failure(storage.makeDirectory(at('f')))).code).toBe('IO')
    expect((await failure(storage.makeDirectory(at('f/x')))).code).toBe('IO')
    expect(await failure(storage.open(at('f/x'), 'read'))).toMatchObject({ code: 'IO', errno: 'ENOTDIR' })
  })

  it('locks a directory once, and lets another look', async () => {
    const lock = await storage.lock(directory)
    expect(await failure(storage.lock(directory))).toMatchObject({ code: 'LOCKED' })
    expect(await failure(storage.probeLock(directory))).toMatchObject({ code: 'LOCKED' })
    await lock.release()
    await storage.probeLock(directory)
    await (await storage.lock(directory)).release()
    expect(await failure(storage.lock(at('no')))).toMatchObject({ code: 'IO', errno: 'ENOENT' })
  })
})

describe('ioError', () => {
  it('says what was attempted where, with what the system said and what to do about it', () => {
    const cause = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    const error = ioError('write', '/db/wal', cause)
    expect(error).toMatchObject({ code: 'IO', cause })
    expect(error.message).toBe('cannot write /db/wal: ENOSPC (no space left on the device: free some)')
    expect(ioError('open', '/x', error)).toBe(error)
    expect(ioError('open', '/x', new Error('it is a FIFO')).message).toBe('cannot open /x: it is a FIFO')
    expect(ioError('open', '/x', 'odd').message).toBe('cannot open /x: odd')
    expect(errnoOf(undefined)).toBeUndefined()
    expect(errnoOf(error)).toBe('ENOSPC')
    expect(isMissing(error)).toBe(false)
  })
})
