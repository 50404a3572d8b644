/** The lock of a directory within one process: every state the file may be in, with and without flock. */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { loadFlock, type Flock } from '../../src/storage/flock.ts'
import { identifySelf } from '../../src/storage/lock-holder.ts'
import { acquireLock, probeLock, type LockSurroundings } from '../../src/storage/lock.ts'
import type { DirectoryLock } from '../../src/storage/storage.ts'

const realFlock = await loadFlock()
const self = identifySelf()
const linux = process.platform === 'linux'

let directory: string
let lockPath: string
const held: DirectoryLock[] = []

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'varve-lock-'))
  lockPath = join(directory, 'lock')
})

afterEach(async () => {
  for (const lock of held.splice(0)) await lock.release()
  fs.rmSync(directory, { recursive: true, force: true })
})

async function take(path = directory, surroundings: Partial<LockSurroundings> = {}): Promise<DirectoryLock> {
  const lock = await acquireLock(path, surroundings)
  held.push(lock)
  return lock
}

/** The error with which a promise rejects, or undefined. */
async function failure(promise: Promise<unknown>): Promise<VarveError | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(VarveError)
    return error as VarveError
  }
}

async function expectLocked(surroundings: Partial<LockSurroundings>, ...texts: (string | RegExp)[]): Promise<void> {
  const before = fs.readdirSync(directory)
  for (const attempt of [acquireLock, probeLock]) {
    const error = await failure(attempt(directory, surroundings))
    expect(error?.code).toBe('LOCKED')
    for (const text of texts) expect(error!.message).toMatch(text)
  }
  // A refusal leaves nothing behind.
  expect(fs.readdirSync(directory)).toEqual(before)
}

async function expectTaken(surroundings: Partial<LockSurroundings>): Promise<void> {
  const before = [fs.readdirSync(directory), fs.readFileSync(lockPath, 'utf8')]
  await probeLock(directory, surroundings)
  // A probe writes nothing.
  expect([fs.readdirSync(directory), fs.readFileSync(lockPath, 'utf8')]).toEqual(before)
  const lock = await acquireLock(directory, surroundings)
  expect(fs.readdirSync(directory)).toEqual(['lock'])
  expect(readRecord()).toMatchObject({ pid: process.pid })
  await lock.release()
  expect(fs.readdirSync(directory)).toEqual([])
}

function readRecord(): Record<string, unknown> {
  return JSON.parse(fs.readFileSync(lockPath, 'utf8')) as Record<string, unknown>
}

/** A pid that nobody has. */
function deadPid(): number {
  return Number(execFileSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }))
}

function leave(changes: Record<string, unknown>): void {
  const record = { version: 1, ...self, nonce: '00112233aabbccdd', flock: false, time: '2026-01-02T03:04:05Z' }
  fs.writeFileSync(lockPath, JSON.stringify({ ...record, ...changes }))
}

// Where fs-ext could not be installed only one of the ways is there to be tested.
const ways: [string, Flock | null][] = [['without flock', null]]
if (realFlock !== null) ways.push(['with flock', realFlock])

describe.each(ways)('a lock %s', (_, flock) => {
  it('is a file of mode 0600 that names its holder, and is gone when given back', async () => {
    const before = process.umask(0)
    const lock = await take(directory, { flock }).finally(() => process.umask(before))
    expect(fs.readdirSync(directory)).toEqual(['lock'])
    expect(fs.statSync(lockPath)).toMatchObject({ mode: 0o100600, nlink: 1 })
    expect(readRecord()).toMatchObject({ ...self, version: 1, flock: flock !== null })
    await lock.release()
    expect(fs.readdirSync(directory)).toEqual([])
    await lock.release()
  })

  it('is refused to a second opening of this thread, by every path (L5)', async () => {
    await take(directory, { flock })
    const alias = `${directory}-alias`
    fs.symlinkSync(directory, alias)
    const cwd = process.cwd()
    try {
      process.chdir(tmpdir())
      for (const path of [directory, `${directory}/`, alias, relative('.', directory)]) {
        for (const attempt of [acquireLock, probeLock]) {
          const error = await failure(attempt(path, { flock }))
          expect(error?.code).toBe('LOCKED')
          expect(error!.message).toContain(`process ${process.pid} on ${hostname()}`)
        }
      }
      // Not even if somebody has removed the file.
      fs.unlinkSync(lockPath)
      expect((await failure(acquireLock(directory, { flock })))?.code).toBe('LOCKED')
    } finally {
      process.chdir(cwd)
      fs.unlinkSync(alias)
    }
  })

  it('of several openings at once goes to one, and afterwards to the next', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => acquireLock(directory, { flock })))
    const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    expect(won).toHaveLength(1)
    await won[0]!.release()
    for (let session = 0; session < 50; session++) await (await acquireLock(directory, { flock })).release()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it('stays where it was taken when the working directory changes or a link is turned', async () => {
    const alias = `${directory}-turned`
    fs.symlinkSync(directory, alias)
    const cwd = process.cwd()
    try {
      process.chdir(directory)
      const pending = acquireLock('.', { flock })
      process.chdir(cwd)
      await (await pending).release()
      const lock = await acquireLock(alias, { flock })
      expect(fs.existsSync(lockPath)).toBe(true)
      fs.unlinkSync(alias)
      await lock.release()
      expect(fs.existsSync(lockPath)).toBe(false)
    } finally {
      process.chdir(cwd)
      fs.rmSync(alias, { force: true })
    }
  })

  it('is not taken from another copy of varve in this process', async () => {
    // Another copy has a memory of its own (L5) but meets the same file.
    const lock = await take(directory, { flock })
    const copy = `${directory}-hard`
    fs.mkdirSync(copy)
    fs.linkSync(lockPath, join(copy, 'lock'))
    const error = await failure(acquireLock(copy, { flock }))
    expect(error?.code).toBe('LOCKED')
    expect(error!.message).toContain(`this process, process ${process.pid} on host`)
    await lock.release()
    if (linux) await (await acquireLock(copy, { flock })).release()
    fs.rmSync(copy, { recursive: true })
  })

  it('given back does not remove the lock of somebody else (L1)', async () => {
    const lock = await acquireLock(directory, { flock })
    fs.unlinkSync(lockPath)
    leave({ pid: process.ppid })
    await lock.release()
    expect(readRecord()).toMatchObject({ pid: process.ppid })
  })

  it('can be given back when the directory has been removed, and cannot be taken there', async () => {
    const lock = await acquireLock(directory, { flock })
    fs.rmSync(directory, { recursive: true })
    await lock.release()
    for (const attempt of [acquireLock, probeLock]) {
      const error = await failure(attempt(directory, { flock }))
      expect(error?.code).toBe('IO')
      expect(error!.message).toContain(directory)
    }
  })

  it('does not outlive a directory that was removed without giving it back, even if its inode is used again', async () => {
    const first = await acquireLock(directory, { flock })
    // Renamed rather than removed: so that the inode is the same on every file system. The lock file goes.
    fs.unlinkSync(lockPath)
    const again = `${directory}-again`
    fs.renameSync(directory, again)
    const second = await acquireLock(again, { flock })
    await first.release()
    expect((await failure(acquireLock(again, { flock })))?.code).toBe('LOCKED')
    await second.release()
    fs.rmSync(again, { recursive: true })
  })

  it('of a dead process is taken over', async () => {
    leave({ pid: deadPid() })
    await expectTaken({ flock })
  })

  it('whose pid was reused is taken over: by a stranger, pid 1, ourselves', async () => {
    if (!linux) return
    for (const pid of [process.ppid, 1, process.pid]) {
      leave({ pid, started: '1' })
      await expectTaken({ flock })
    }
  })

  it('left by a thread of ours that has ended is taken over', async () => {
    if (!linux) return
    leave({})
    await expectTaken({ flock })
  })

  it('of another live process is refused, naming it, also if it may not be signalled', async () => {
    const started = '4711'
    leave({ pid: 1, started, thread: 3 })
    const sight = (): { exists: true; started: string } => ({ exists: true, started })
    await expectLocked(
      { flock, sight },
      `process 1, thread 3 on host ${hostname()}`,
      /2026-01-02/,
      directory,
      /Close it/,
    )
  })

  it('of another host, boot or namespace is refused with the remedy: its pid means nothing here', async () => {
    const pid = deadPid()
    for (const foreign of [{ host: 'elsewhere' }, { boot: 'another' }, { namespace: 'pid:[1]' }, { boot: null }]) {
      leave({ pid, ...foreign })
      await expectLocked(
        { flock },
        `process ${pid} on host`,
        foreign.host ?? hostname(),
        `remove ${lockPath}`,
        /fs-ext/,
      )
    }
  })

  it('that a newer varve wrote is refused', async () => {
    leave({ version: 2, pid: deadPid() })
    await expectLocked({ flock }, /newer version/, `remove ${lockPath}`)
  })

  it('that is empty, zeros or the beginning of a record is taken over by flock alone', async () => {
    leave({})
    const record = fs.readFileSync(lockPath)
    const torn = [
      record.subarray(0, 7),
      record.subarray(0, 100),
      Buffer.concat([record.subarray(0, 90), Buffer.alloc(40)]),
    ]
    for (const content of ['', Buffer.alloc(300), ...torn]) {
      fs.writeFileSync(lockPath, content)
      if (flock === null) await expectLocked({ flock }, /unknown process/, /empty or was cut/, `remove ${lockPath}`)
      else await expectTaken({ flock })
    }
  })

  it("that is somebody else's file is refused and left as it is", async () => {
    for (const content of ['garbage', '{}', 'null', '1234\n', 'my own lock', '{"pid":1}', '['.repeat(100_000)]) {
      fs.writeFileSync(lockPath, content)
      await expectLocked({ flock }, /not one that varve wrote/, `remove ${lockPath}`)
      expect(fs.readFileSync(lockPath, 'utf8')).toBe(content)
    }
  })

  it('that cannot be looked at, for the directory is closed to us, is no lock but a matter of rights', async () => {
    const isRoot = process.getuid?.() === 0
    // Root may search every directory, so that it must be somebody else for a moment.
    const nobody = 65_534
    fs.chmodSync(directory, isRoot ? 0o700 : 0o600)
    if (isRoot) process.seteuid?.(nobody)
    const errors: (VarveError | undefined)[] = []
    try {
      for (const attempt of [acquireLock, probeLock]) errors.push(await failure(attempt(directory, { flock })))
    } finally {
      if (isRoot) process.seteuid?.(0)
      fs.chmodSync(directory, 0o700)
    }
    for (const error of errors) {
      expect(error).toMatchObject({ code: 'IO', retryable: false, cause: { code: 'EACCES' } })
      expect(error!.message).toMatch(/lock: EACCES \(permission denied/)
    }
  })

  it('that is no regular file is refused without following or waiting, and left as it is', async () => {
    const elsewhere = `${directory}-elsewhere`
    fs.writeFileSync(elsewhere, 'precious')
    const kinds: [string, () => void][] = [
      ['symbolic link', () => fs.symlinkSync(elsewhere, lockPath)],
      ['symbolic link', () => fs.symlinkSync(`${elsewhere}-missing`, lockPath)],
      ['directory', () => fs.mkdirSync(lockPath)],
      ['not a regular file', () => execFileSync('sh', ['-c', 'mkfifo "$0"', lockPath])],
    ]
    for (const [kind, make] of kinds) {
      make()
      for (const attempt of [acquireLock, probeLock]) {
        const error = await failure(attempt(directory, { flock }))
        expect(error?.code).toBe('IO')
        expect(error!.message).toContain(lockPath)
        expect(error!.message).toContain(kind)
      }
      fs.rmSync(lockPath, { recursive: true })
    }
    expect(fs.readFileSync(elsewhere, 'utf8')).toBe('precious')
    expect(fs.existsSync(`${elsewhere}-missing`)).toBe(false)
    fs.unlinkSync(elsewhere)
  })

  it('is taken over though a claim on it was left, and one on that; leftovers go, foreign files stay (L4)', async () => {
    const pid = deadPid()
    leave({ pid })
    const claim = (of: string): string => join(directory, `lock.claim-${of}`)
    const record = fs.readFileSync(lockPath, 'utf8')
    fs.writeFileSync(claim('00112233aabbccdd'), record.replace('00112233aabbccdd', '1111111111111111'))
    fs.writeFileSync(claim('1111111111111111'), record.replace('00112233aabbccdd', '2222222222222222'))
    fs.writeFileSync(claim('deaddeaddeaddead'), '')
    fs.writeFileSync(join(directory, 'lock.tmp-deaddeaddeaddead'), '')
    fs.writeFileSync(join(directory, 'lock.tmp-mine'), '')
    fs.mkdirSync(join(directory, 'lock.tmp-beefbeefbeefbeef'))
    const lock = await acquireLock(directory, { flock })
    expect(fs.readdirSync(directory).sort()).toEqual(['lock', 'lock.tmp-beefbeefbeefbeef', 'lock.tmp-mine'])
    await lock.release()
  })

  it('is refused while somebody alive holds the claim, who then turns out to have it (L3)', async () => {
    leave({ pid: deadPid() })
    const claimPath = join(directory, 'lock.claim-00112233aabbccdd')
    const record = JSON.stringify({ ...readRecord(), pid: 1, started: '4711', nonce: '1111111111111111' })
    fs.writeFileSync(claimPath, record)
    const sight = (pid: number): { exists: boolean; started: string } => ({ exists: pid === 1, started: '4711' })
    const pending = failure(acquireLock(directory, { flock, sight }))
    await new Promise((resolve) => setTimeout(resolve, 50))
    fs.writeFileSync(`${lockPath}-`, record)
    fs.renameSync(`${lockPath}-`, lockPath)
    fs.unlinkSync(claimPath)
    expect((await pending)?.message).toMatch(/locked by process 1 on host/)
    expect(fs.readdirSync(directory)).toEqual(['lock'])
  })

  it('is waited for while somebody alive holds the claim, and taken over if they step back', async () => {
    leave({ pid: deadPid() })
    const claimPath = join(directory, 'lock.claim-00112233aabbccdd')
    fs.writeFileSync(claimPath, JSON.stringify({ ...readRecord(), pid: 1, started: '4711', nonce: '1111111111111111' }))
    const sight = (pid: number): { exists: boolean; started: string } => ({ exists: pid === 1, started: '4711' })
    const pending = acquireLock(directory, { flock, sight })
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(readRecord()).not.toMatchObject({ pid: process.pid })
    fs.unlinkSync(claimPath)
    await (await pending).release()
  })

  it('begins again if its temporary file is swept away', async () => {
    let swept = 0
    const link = (from: string, to: string): void => {
      if (swept++ < 3) fs.unlinkSync(from)
      fs.linkSync(from, to)
    }
    await (await acquireLock(directory, { flock, link })).release()
    expect(swept).toBe(4)
  })

  it('works where there are no hard links', async () => {
    const link = (): never => {
      throw Object.assign(new Error('link EPERM'), { code: 'EPERM' })
    }
    await take(directory, { flock, link })
    expect(readRecord()).toMatchObject({ pid: process.pid, flock: flock !== null })
    expect(fs.readdirSync(directory)).toEqual(['lock'])
    expect((await failure(acquireLock(directory, { flock, link })))?.code).toBe('LOCKED')
    for (const lock of held.splice(0)) await lock.release()
    leave({ pid: deadPid() })
    await (await acquireLock(directory, { flock, link })).release()
    expect(fs.readdirSync(directory)).toEqual([])
  })

  it('in a directory that cannot be written says so', async () => {
    const error = await failure(acquireLock('/proc', { flock }))
    expect(error?.code).toBe('IO')
    expect(error!.message).toMatch(/cannot create \/proc\/lock\.tmp-[0-9a-f]{16}: E/)
    expect(error!.cause).toBeInstanceOf(Error)
    await probeLock('/proc', { flock })
  })

  it('leaves no descriptor open', async () => {
    if (!linux) return
    const count = (): number => fs.readdirSync('/proc/self/fd').length
    await (await acquireLock(directory, { flock })).release()
    const before = count()
    for (let n = 0; n < 20; n++) {
      await (await acquireLock(directory, { flock })).release()
      leave({ pid: 1, boot: 'another' })
      await expectLocked({ flock })
      fs.unlinkSync(lockPath)
    }
    expect(count()).toBe(before)
  })
})

describe.each(realFlock === null ? [] : [realFlock])('holders with and contenders without flock', (realFlock) => {
  it('respect each other both ways', async () => {
    const pairs: [Flock | null, Flock | null][] = [
      [realFlock, null],
      [null, realFlock],
    ]
    for (const [holder, contender] of pairs) {
      const lock = await acquireLock(directory, { flock: holder })
      const copy = `${directory}-hard`
      fs.mkdirSync(copy)
      fs.linkSync(lockPath, join(copy, 'lock'))
      expect((await failure(acquireLock(copy, { flock: contender })))?.code).toBe('LOCKED')
      expect((await failure(probeLock(copy, { flock: contender })))?.code).toBe('LOCKED')
      await lock.release()
      fs.rmSync(copy, { recursive: true })
    }
  })

  it('take what flock shows to be abandoned whoever left it, but only if its holder had flock', async () => {
    leave({ boot: 'another', host: 'elsewhere', namespace: 'pid:[1]', pid: process.ppid, flock: true })
    await expectLocked({ flock: null }, /elsewhere/)
    await expectTaken({ flock: realFlock })
    leave({ boot: 'another', host: 'elsewhere', namespace: 'pid:[1]', pid: process.ppid, flock: false })
    await expectLocked({ flock: realFlock }, /elsewhere/)
  })

  it('fall back where the file system has no flock', async () => {
    const flock: Flock = () => 'unsupported'
    await take(directory, { flock })
    expect(readRecord()).toMatchObject({ flock: false })
    expect((await failure(acquireLock(directory, { flock })))?.code).toBe('LOCKED')
  })

  it('who look do not disturb each other', async () => {
    leave({ pid: deadPid() })
    const fd = fs.openSync(lockPath, 'r')
    expect(realFlock(fd, 'shared')).toBe('locked')
    await expectTaken({ flock: realFlock })
    fs.closeSync(fd)
  })
})
