/** The file system of Node: what is refused, modes, short counts, interruptions, limits, and the paths of other platforms. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type FileCalls, MAX_INTERRUPTIONS } from '../../src/storage/node-calls.ts'
import { NodeStorage } from '../../src/storage/node.ts'
import { errnoOf } from '../../src/storage/storage.ts'
import { compile, type Compiled } from '../support/compile.ts'
import { root } from '../support/markdown.ts'

let directory: string
const at = (name: string): string => join(directory, name)

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'varve-node-'))
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected`), { code })
}

/** Runs a command on a path; its exit code. */
function shell(command: string, path: string): number | null {
  return spawnSync('sh', ['-c', `${command} "$1"`, 'sh', path]).status
}

/** A storage some of whose calls are others. */
function withCalls(calls: Partial<Record<keyof FileCalls, unknown>>, platform: NodeJS.Platform = 'linux'): NodeStorage {
  return new NodeStorage({ calls: { ...fs, ...calls } as FileCalls, platform })
}

/** A call that first fails a number of times. */
function failing(code: string, times: number, real: (...args: never[]) => unknown): (...args: unknown[]) => unknown {
  let left = times
  return (...args) => {
    if (left-- <= 0) return real(...(args as never[]))
    const done = args.at(-1)
    if (typeof done !== 'function') throw systemError(code)
    setImmediate(() => (done as (error: Error) => void)(systemError(code)))
    return undefined
  }
}

describe('what is not a regular file', () => {
  it('is refused without waiting: a FIFO, a socket, a device', async () => {
    expect(shell('mkfifo', at('fifo'))).toBe(0)
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(at('socket'), resolve))
    const storage = new NodeStorage()
    for (const mode of ['read', 'write'] as const) {
      await expect(storage.open(at('fifo'), mode)).rejects.toThrow('it is a FIFO, not a regular file')
      await expect(storage.open(at('socket'), mode)).rejects.toThrow('ENXIO')
      await expect(storage.open('/dev/null', mode)).rejects.toThrow('it is a device or socket, not a regular file')
    }
    await expect(storage.open(at('fifo'), 'create')).rejects.toThrow('EEXIST')
    await expect(storage.open(directory, 'read')).rejects.toThrow('it is a directory, not a regular file')
    const kinds = Object.fromEntries((await storage.list(directory)).map(({ name, kind }) => [name, kind]))
    expect(kinds).toEqual({ fifo: 'other', socket: 'other' })
    await new Promise((resolve) => server.close(resolve))
  })

  it('is not followed if it is a symbolic link, by whichever means the platform has', async () => {
    fs.writeFileSync(at('target'), 'theirs')
    fs.symlinkSync(at('target'), at('link'))
    fs.symlinkSync(at('nothing'), at('dangling'))
    const storage = new NodeStorage()
    for (const mode of ['read', 'write', 'create'] as const) {
      await expect(storage.open(at('link'), mode)).rejects.toThrow(mode === 'create' ? 'EEXIST' : 'ELOOP')
    }
    await expect(storage.open(at('dangling'), 'create')).rejects.toThrow('EEXIST')
    expect(fs.existsSync(at('nothing'))).toBe(false)
    const { O_NOFOLLOW: _, ...constants } = fs.constants
    const without = withCalls({ constants })
    for (const mode of ['read', 'write'] as const) {
      await expect(without.open(at('link'), mode)).rejects.toThrow('ELOOP')
      await expect(without.open(at('nothing'), mode)).rejects.toThrow('ENOENT')
      await (await without.open(at('target'), mode)).close()
    }
    await storage.remove(at('link'))
    expect(fs.readFileSync(at('target'), 'utf8')).toBe('theirs')
  })

  it('leaves no descriptor behind', async () => {
    const opened: number[] = []
    const closed: number[] = []
    const storage = withCalls({
      open: (path: string, flags: number, mode: number, done: (error: Error | null, fd: number) => void) =>
        fs.open(path, flags, mode, (error, fd) => {
          if (error === null) opened.push(fd)
          done(error, fd)
        }),
      close: (fd: number, done: () => void) => {
        closed.push(fd)
        fs.close(fd, done)
      },
    })
    await expect(storage.open(directory, 'read')).rejects.toThrow('directory')
    expect(opened).toHaveLength(1)
    expect(closed).toEqual(opened)
  })
})

describe('modes', () => {
  it('are 0600 and 0700 whatever the umask', async () => {
    const storage = new NodeStorage()
    const old = process.umask(0o022)
    try {
      for (const umask of [0o000, 0o022, 0o077, 0o277, 0o777]) {
        process.umask(umask)
        const name = umask.toString(8)
        await storage.makeDirectory(at(`${name}/sub`))
        await (await storage.open(at(`${name}/sub/file`), 'create')).close()
        const modes = [name, `${name}/sub`, `${name}/sub/file`].map((path) => fs.statSync(at(path)).mode & 0o7777)
        expect(modes, `umask ${name}`).toEqual([0o700, 0o700, 0o600])
      }
    } finally {
      process.umask(old)
    }
  })

  it('of what exists are left alone', async () => {
    fs.mkdirSync(at('open'))
    fs.chmodSync(at('open'), 0o755)
    fs.writeFileSync(at('file'), '')
    fs.chmodSync(at('file'), 0o640)
    const storage = new NodeStorage()
    await storage.makeDirectory(at('open'))
    await (await storage.open(at('file'), 'write')).close()
    expect([fs.statSync(at('open')).mode & 0o777, fs.statSync(at('file')).mode & 0o777]).toEqual([0o755, 0o640])
  })

  it('that a file system does not have are done without', async () => {
    const storage = withCalls({
      fstat: (fd: number, done: (error: null, found: fs.Stats) => void) =>
        fs.fstat(fd, (_, found) => done(null, Object.assign(found, { mode: found.mode | 0o777 }))),
      fchmod: failing('EPERM', 1, fs.fchmod),
    })
    await (await storage.open(at('file'), 'create')).close()
    const strict = withCalls({
      fstat: (fd: number, done: (error: null, found: fs.Stats) => void) =>
        fs.fstat(fd, (_, found) => done(null, Object.assign(found, { mode: found.mode | 0o777 }))),
      fchmod: failing('EIO', 1, fs.fchmod),
    })
    await expect(strict.open(at('other'), 'create')).rejects.toThrow('EIO')
  })
})

describe('counts', () => {
  /** Calls that move no more than a few bytes at a time. */
  const sparing = {
    read: (fd: number, to: Uint8Array, from: number, length: number, position: number, done: never) =>
      fs.read(fd, to, from, Math.min(length, 7), position, done),
    readSync: (fd: number, to: Uint8Array, from: number, length: number, position: number) =>
      fs.readSync(fd, to, from, Math.min(length, 7), position),
    write: (fd: number, data: Uint8Array, from: number, length: number, position: number, done: never) =>
      fs.write(fd, data, from, Math.min(length, 7), position, done),
    writeSync: (fd: number, data: Uint8Array, from: number, length: number, position: number) =>
      fs.writeSync(fd, data, from, Math.min(length, 7), position),
  }
  const data = Uint8Array.from({ length: 100 }, (_, i) => i)

  it('that are short are made up for, at the right places', async () => {
    const file = await withCalls(sparing).open(at('file'), 'create')
    await file.write(data, 5)
    file.writeSync(data, 105)
    expect(Buffer.compare(fs.readFileSync(at('file')).subarray(5), Buffer.concat([data, data]))).toBe(0)
    const target = new Uint8Array(300)
    expect(await file.read(target, 5)).toBe(200)
    expect(Buffer.compare(target.subarray(0, 100), data)).toBe(0)
    expect(file.readSync(target.fill(0), 100)).toBe(105)
    expect(Buffer.compare(target.subarray(5, 105), data)).toBe(0)
    await file.close()
  })

  it('of nothing end in ENOSPC instead of going on for ever', async () => {
    const file = await withCalls({
      write: (...args: unknown[]) => (args.at(-1) as (error: null, count: number) => void)(null, 0),
      writeSync: () => 0,
    }).open(at('file'), 'create')
    await expect(file.write(data, 0)).rejects.toThrow('ENOSPC')
    expect(() => file.writeSync(data, 0)).toThrow('ENOSPC')
    await file.close()
  })

  it('that Node refuses to ask for are errors like others', async () => {
    const refuse = (): never => {
      throw new RangeError('not like that')
    }
    const file = await withCalls({ read: refuse, write: refuse, readSync: refuse }).open(at('file'), 'create')
    await expect(file.write(data, 0)).rejects.toThrow(`cannot write ${at('file')}: not like that`)
    await expect(file.read(new Uint8Array(1), 0)).rejects.toMatchObject({ code: 'IO' })
    expect(() => file.readSync(new Uint8Array(1), 0)).toThrow('cannot read')
    await file.close()
  })

  it('and errors after a part are told', async () => {
    let calls = 0
    const file = await withCalls({
      write: (...args: Parameters<(typeof sparing)['write']>) =>
        ++calls > 3 ? (args[5] as (error: Error) => void)(systemError('ENOSPC')) : sparing.write(...args),
    }).open(at('file'), 'create')
    await expect(file.write(data, 0)).rejects.toThrow(`cannot write ${at('file')}: ENOSPC`)
    expect(await file.size()).toBe(21)
    await file.close()
  })

  it('on a full disk end in ENOSPC, although Node reports success', async ({ skip }) => {
    const mounted = at('mounted')
    fs.mkdirSync(mounted)
    if (shell('mount -t tmpfs -o size=1m tmpfs', mounted) !== 0) skip('may not mount')
    try {
      const storage = new NodeStorage()
      const big = new Uint8Array(3 * 2 ** 20)
      for (const synced of [false, true]) {
        const file = await storage.open(join(mounted, 'file'), 'create', { synced })
        await expect(file.write(big, 0)).rejects.toThrow('ENOSPC')
        expect(() => file.writeSync(big, 0)).toThrow('ENOSPC')
        expect(await file.size()).toBe(2 ** 20)
        await file.close()
        await storage.remove(join(mounted, 'file'))
      }
      const file = await storage.open(join(mounted, 'sparse'), 'create')
      await file.truncate(5 * 2 ** 20)
      await expect(file.write(big, 0)).rejects.toThrow('ENOSPC')
      await file.close()
    } finally {
      shell('umount', mounted)
    }
  })
})

describe('close', () => {
  it("waits for calls in flight: the number of the descriptor may be somebody else's right after", async () => {
    const events: string[] = []
    let release = (): void => {}
    const storage = withCalls({
      write: (fd: number, data: Uint8Array, from: number, length: number, position: number, done: never) => {
        release = () => fs.write(fd, data, from, length, position, done)
      },
      close: (fd: number, done: () => void) => {
        events.push('close')
        fs.close(fd, done)
      },
    })
    const file = await storage.open(at('file'), 'create')
    const writing = file.write(Uint8Array.of(1), 0).then(() => events.push('written'))
    const closing = file.close()
    await file.size().catch(() => events.push('refused'))
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(events).toEqual(['refused'])
    release()
    await Promise.all([writing, closing])
    expect(events.sort()).toEqual(['close', 'refused', 'written'])
    expect(fs.readFileSync(at('file'))).toHaveLength(1)
  })
})

describe('interruptions', () => {
  it('are followed by another attempt, in every call', async () => {
    for (const code of ['EINTR', 'EAGAIN']) {
      const names = ['open', 'fstat', 'read', 'write', 'fdatasync', 'ftruncate', 'rename', 'unlink', 'readdir'] as const
      const more = ['mkdir', 'chmod', 'fsync', 'readSync', 'writeSync', 'fdatasyncSync'] as const
      const calls = [...names, ...more].map((name) => [name, failing(code, 3, fs[name])])
      const storage = withCalls(Object.fromEntries(calls) as Partial<FileCalls>)
      await storage.makeDirectory(at(`${code}/d`))
      const file = await storage.open(at(`${code}/d/a`), 'create')
      await file.write(Uint8Array.of(1, 2), 0)
      file.writeSync(Uint8Array.of(3), 2)
      await file.sync()
      file.syncSync()
      const target = new Uint8Array(3)
      expect(await file.read(target, 0)).toBe(3)
      expect(file.readSync(target, 0)).toBe(3)
      expect([...target]).toEqual([1, 2, 3])
      await file.truncate(1)
      expect(await file.size()).toBe(1)
      await file.close()
      await storage.rename(at(`${code}/d/a`), at(`${code}/d/b`))
      await storage.syncDirectory(at(`${code}/d`))
      expect(await storage.list(at(`${code}/d`))).toEqual([{ name: 'b', kind: 'file' }])
      await storage.remove(at(`${code}/d/b`))
    }
  })

  it('without end are an error', async () => {
    let attempts = 0
    const count = (): never => {
      attempts++
      throw systemError('EINTR')
    }
    const storage = withCalls({ fdatasync: failing('EAGAIN', Infinity, fs.fdatasync), writeSync: count })
    const file = await storage.open(at('file'), 'create')
    await expect(file.sync()).rejects.toThrow('EAGAIN')
    expect(() => file.writeSync(Uint8Array.of(1), 0)).toThrow('EINTR')
    expect(attempts).toBe(MAX_INTERRUPTIONS + 1)
    await file.close()
  })

  it('of close are its end', async () => {
    let attempts = 0
    const storage = withCalls({
      close: (fd: number, done: (error: Error) => void) => {
        attempts++
        fs.close(fd, () => done(systemError('EINTR')))
      },
    })
    await (await storage.open(at('file'), 'create')).close()
    expect(attempts).toBe(1)
    const broken = withCalls({
      close: (fd: number, done: (error: Error) => void) => fs.close(fd, () => done(systemError('EIO'))),
    })
    const file = await broken.open(at('other'), 'create')
    await expect(file.close()).rejects.toThrow(`cannot close ${at('other')}: EIO`)
    await expect(file.close()).rejects.toThrow('EIO')
  })
})

describe('limits of a process', () => {
  let compiled: Compiled

  beforeAll(() => {
    compiled = compile('storage-node', ['storage/node.ts'])
  })
  afterAll(() => compiled.dispose())

  function run(task: string, limits = 'true'): unknown {
    const program = join(root, 'test/storage/node-child.mjs')
    const words = [process.execPath, program, dirname(compiled.path('storage/node.ts')), directory, task]
    const { status, stderr } = spawnSync('sh', ['-c', `${limits} && exec "$@"`, 'sh', ...words], { encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    return JSON.parse(fs.readFileSync(at('answer.json'), 'utf8'))
  }

  it('of descriptors end in EMFILE, and pass when some are given back', () => {
    expect(run('descriptors', 'ulimit -n 64')).toMatchObject({ code: 'IO', errno: 'EMFILE', list: 'EMFILE' })
  })

  it('of the size of files end in EFBIG, although Node reports success', () => {
    const answers = run('fileSize', 'ulimit -f 4') as unknown[]
    // Some shells count in 512 bytes, some in 1024.
    const size = answers[2] as number
    expect([2048, 4096]).toContain(size)
    expect(answers).toEqual(['EFBIG', 'EFBIG', size, 'EFBIG', 'EFBIG', size])
  })

  it('keep standard input, output and error apart from our files when their numbers are free', () => {
    const answer = run('standard') as { numbers: number[]; contents: string[] }
    expect(answer.contents).toEqual(['ours', 'ours'])
    expect(answer.numbers).toHaveLength(2)
    expect(Math.min(...answer.numbers)).toBeGreaterThan(2)
  })
})

describe('platforms', () => {
  it('with O_DSYNC use it, except where it stops at the cache of the drive', async () => {
    const asked: number[] = []
    const open = (path: string, flags: number, mode: number, done: never): void => {
      asked.push(flags)
      fs.open(path, flags, mode, done)
    }
    const synced: boolean[] = []
    for (const platform of ['linux', 'darwin', 'win32'] as const) {
      const storage = withCalls({ open }, platform)
      const file = await storage.open(at(platform), 'create', { synced: true })
      synced.push(file.synced)
      await file.close()
    }
    const { O_DSYNC, ...constants } = fs.constants
    expect(synced).toEqual([O_DSYNC !== undefined, false, false])
    expect(asked.map((flags) => (flags & O_DSYNC) === O_DSYNC)).toEqual(synced)
    const without = await withCalls({ constants }).open(at('without'), 'create', { synced: true })
    expect(without.synced).toBe(false)
    await without.close()
  })

  it('that sync directories report every failure of it, those that cannot report none', async () => {
    await expect(withCalls({ fsync: failing('EIO', 1, fs.fsync) }).syncDirectory(directory)).rejects.toThrow(
      `cannot sync the directory ${directory}: EIO`,
    )
    for (const code of ['EPERM', 'EISDIR', 'EACCES']) {
      const calls = { fsync: failing(code, 1, fs.fsync) }
      await expect(withCalls(calls).syncDirectory(directory)).rejects.toThrow(code)
      await withCalls({ fsync: failing(code, 1, fs.fsync) }, 'win32').syncDirectory(directory)
      await withCalls({ open: failing(code, 1, fs.open) }, 'win32').syncDirectory(directory)
      await expect(withCalls({ open: failing(code, 1, fs.open) }).syncDirectory(directory)).rejects.toThrow(code)
    }
    await withCalls({ fsync: failing('EINVAL', 1, fs.fsync) }).syncDirectory(directory)
    await expect(withCalls({ open: failing('EINVAL', 1, fs.open) }).syncDirectory(directory)).rejects.toThrow('EINVAL')
    await expect(withCalls({ fsync: failing('EIO', 1, fs.fsync) }, 'win32').syncDirectory(directory)).rejects.toThrow(
      'EIO',
    )
  })

  it('that refuse to rename over what somebody has open are asked again, for a while', async () => {
    fs.writeFileSync(at('a'), 'a')
    await withCalls({ rename: failing('EPERM', 4, fs.rename) }, 'win32').rename(at('a'), at('b'))
    expect(fs.readFileSync(at('b'), 'utf8')).toBe('a')
    await withCalls({ unlink: failing('EBUSY', 2, fs.unlink) }, 'win32').remove(at('b'))
    expect(fs.existsSync(at('b'))).toBe(false)
    await expect(withCalls({ rename: failing('EPERM', 1, fs.rename) }).rename(at('a'), at('b'))).rejects.toThrow(
      'EPERM',
    )
    let attempts = 0
    const busy = failing('EBUSY', Infinity, fs.rename)
    const counted = (...args: unknown[]): unknown => (attempts++, busy(...args))
    const never = withCalls({ rename: counted }, 'win32').rename(at('a'), at('b'))
    await expect(never).rejects.toThrow('EBUSY')
    expect(attempts).toBe(11)
  })

  it('get every name of a new directory synced in the one above, also one that a process left unsynced', async () => {
    const synced: string[] = []
    const paths = new Map<number, string>()
    const spying = withCalls({
      open: (path: string, flags: number, mode: unknown, done: unknown) => {
        const callback = (typeof mode === 'function' ? mode : done) as (error: Error | null, fd: number) => void
        fs.open(path, flags, (error, fd) => {
          paths.set(fd, path)
          callback(error, fd)
        })
      },
      fsync: (fd: number, done: () => void) => {
        synced.push(paths.get(fd)!.slice(directory.length))
        fs.fsync(fd, done)
      },
    })
    await spying.makeDirectory(at('x/y'))
    expect(new Set(synced)).toEqual(new Set(['', '/x', dirname(directory).slice(directory.length)]))
    expect(synced.indexOf('')).toBeLessThan(synced.indexOf('/x'))
    synced.length = 0
    await spying.makeDirectory(at('x/y'))
    expect(synced).toEqual([])
    synced.length = 0
    await spying.makeDirectory(at('x/y/z'))
    expect(synced).toEqual(['/x/y', '/x'])
    await withCalls({ open: failing('EIO', 1, fs.open) }).makeDirectory(at('x/y'))
    let opened = 0
    const blocked = withCalls({
      // The parent of what was made must be synced, the one above it may be none of our business.
      open: (...args: never[]) =>
        opened++ > 0 ? failing('EACCES', 1, fs.open)(...args) : failing('', 0, fs.open)(...args),
    })
    await blocked.makeDirectory(at('x/v'))
    expect(opened).toBe(2)
    await expect(withCalls({ open: failing('EIO', 1, fs.open) }).makeDirectory(at('x/u'))).rejects.toThrow('EIO')
    await expect(withCalls({ fsync: failing('EIO', 1, fs.fsync) }).makeDirectory(at('x/z'))).rejects.toThrow('EIO')
    expect(
      errnoOf(
        await withCalls({ mkdir: failing('EROFS', 1, fs.mkdir) })
          .makeDirectory(at('w'))
          .catch((e: unknown) => e),
      ),
    ).toBe('EROFS')
  })
})
