import { spawn } from 'node:child_process'
import fc from 'fast-check'
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  decodeRecord,
  encodeRecord,
  identifySelf,
  isOpenHere,
  judge,
  parseStat,
  sightPid,
  type Evidence,
  type HolderRecord,
  type ProcessIdentity,
} from '../../src/storage/lock-holder.ts'

const self: ProcessIdentity = {
  platform: 'linux',
  pid: 100,
  boot: 'boot-1',
  namespace: 'pid:[1] time:[2]',
  started: '5000',
  host: 'here',
  thread: 0,
}

const evidence: Evidence = {
  self,
  sight: () => ({ exists: false }),
  flock: 'unsupported',
  openHere: () => true,
}

function recordOf(changes: Partial<HolderRecord> = {}): HolderRecord {
  const nonce = '0123456789abcdef'
  return { version: 1, ...self, pid: 7, started: '400', nonce, flock: false, time: '2026-01-01', ...changes }
}

/** The judgement on the standard record with some fields changed, by standard evidence with some pieces changed. */
function verdict(record: Partial<HolderRecord> = {}, given: Partial<Evidence> = {}): string {
  return judge(recordOf(record), { ...evidence, ...given }).holder
}

const running = (started: string | null): Partial<Evidence> => ({ sight: () => ({ exists: true, started }) })

describe('the judgement on a holder', () => {
  it('says gone of a dead process of this boot and namespace', () => expect(verdict()).toBe('gone'))

  it('says live of a process that began when the record says, whatever it may be: pid 1, ourselves', () => {
    expect(verdict({}, running('400'))).toBe('live')
    expect(verdict({ pid: 1 }, running('400'))).toBe('live')
    expect(verdict({ pid: self.pid, started: '5000' }, running('5000'))).toBe('live')
  })

  it('says gone if the pid was reused: by another, by pid 1 of a new container, by ourselves', () => {
    expect(verdict({}, running('401'))).toBe('gone')
    expect(verdict({ pid: 1 }, running('401'))).toBe('gone')
    expect(verdict({ pid: self.pid, started: '4999' }, running('5000'))).toBe('gone')
  })

  it('says gone of a thread of ours that left the file closed', () => {
    const ours = { pid: self.pid, started: '5000' }
    expect(verdict(ours, { ...running('5000'), openHere: () => false })).toBe('gone')
    expect(verdict({ pid: 8, started: '5000' }, { ...running('5000'), openHere: () => false })).toBe('live')
  })

  it('does not know where pids cannot be compared', () => {
    for (const foreign of [
      { host: 'there' },
      { boot: 'boot-2' },
      { boot: null },
      { namespace: 'pid:[9] time:[2]' },
      { namespace: 'pid:[1] time:[9]' },
      { namespace: null },
      { platform: 'darwin' },
    ]) {
      expect(verdict(foreign)).toBe('unknown')
      expect(verdict(foreign, running('401'))).toBe('unknown')
    }
    expect(verdict({}, running(null))).toBe('unknown')
    expect(verdict({ started: null }, running('400'))).toBe('unknown')
  })

  it('without /proc trusts a missing pid only where there are no namespaces', () => {
    const bare = { boot: null, namespace: null, started: null }
    const on = (platform: string, given: Partial<Evidence> = {}): string =>
      verdict({ ...bare, platform }, { self: { ...self, ...bare, platform }, ...given })
    expect(on('darwin')).toBe('gone')
    expect(on('win32')).toBe('gone')
    expect(on('darwin', running(null))).toBe('unknown')
    expect(on('linux')).toBe('unknown')
    expect(on('freebsd')).toBe('unknown')
  })

  it("follows the kernel's flock where the holder had one, and only there", () => {
    const far = { boot: 'boot-2', host: 'there', flock: true }
    expect(verdict(far, { flock: 'free' })).toBe('gone')
    expect(verdict({ flock: true }, { ...running('400'), flock: 'free' })).toBe('gone')
    expect(verdict({ flock: true }, { flock: 'busy' })).toBe('live')
    expect(verdict({ flock: false }, { flock: 'busy' })).toBe('live')
    expect(verdict({ flock: false }, { ...running('400'), flock: 'free' })).toBe('live')
    expect(verdict({ ...far, flock: false }, { flock: 'free' })).toBe('unknown')
    expect(verdict(far, { flock: 'unsupported' })).toBe('unknown')
  })

  it('takes what is no record over only by flock, and what is newer never', () => {
    const judged = (record: 'newer' | 'foreign' | undefined, flock: Evidence['flock']): string =>
      judge(record, { ...evidence, flock }).holder
    expect(judged(undefined, 'free')).toBe('gone')
    expect(judged(undefined, 'busy')).toBe('live')
    expect(judged(undefined, 'unsupported')).toBe('unknown')
    expect(judged('newer', 'free')).toBe('unknown')
    expect(judged('foreign', 'free')).toBe('unknown')
    expect(judged('foreign', 'unsupported')).toBe('unknown')
    expect(judged('foreign', 'busy')).toBe('live')
    expect(judged('newer', 'unsupported')).toBe('unknown')
    expect(judged('newer', 'busy')).toBe('live')
  })
})

describe('records', () => {
  const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

  it('come back as they were written', () => {
    const written = decodeRecord(encodeRecord(self, 'fedcba9876543210', true, 0))
    const time = '1970-01-01T00:00:00.000Z'
    expect(written).toEqual({ ...recordOf(self), nonce: 'fedcba9876543210', flock: true, time })
  })

  it('are refused with a field missing or of another kind', () => {
    expect(decodeRecord(bytes(recordOf()))).toEqual(recordOf())
    for (const field of Object.keys(recordOf())) {
      const without = decodeRecord(bytes({ ...recordOf(), [field]: undefined }))
      expect(without).toBe(field === 'version' ? 'foreign' : undefined)
      expect(decodeRecord(bytes({ ...recordOf(), [field]: { a: 1 } }))).toBeUndefined()
    }
    for (const pid of [0, -1, 1.5, 2 ** 31, '7']) expect(decodeRecord(bytes({ ...recordOf(), pid }))).toBeUndefined()
    expect(decodeRecord(bytes({ ...recordOf(), nonce: '../../../etc/pwd' }))).toBeUndefined()
    expect(decodeRecord(bytes({ version: 2 }))).toBe('newer')
  })

  it('are never mistaken for one, whatever the bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          fc.json().map((json) => Buffer.from(json)),
        ),
        (any) => {
          // Zeros, and what begins as a record does, may be what is left of one.
          const mayBeTorn = any.every((byte) => byte === 0) || any[0] === 0x7b
          expect(mayBeTorn ? [undefined, 'foreign'] : ['foreign']).toContain(decodeRecord(any))
        },
      ),
    )
  })
})

describe('what is seen of processes', () => {
  it('is who we are, the same each time', () => {
    const me = identifySelf()
    expect(me).toEqual(identifySelf())
    expect(me.pid).toBe(process.pid)
    expect(sightPid(process.pid)).toEqual({ exists: true, started: me.started })
    if (process.platform !== 'linux') return
    expect(me.boot).toMatch(/^[0-9a-f-]{36}$/)
    expect(me.namespace).toMatch(/^pid:\[\d+\] time:/)
    expect(me.started).toMatch(/^\d+$/)
  })

  it('is a process before its death, and none after', async () => {
    const child = spawn('sleep', ['60'])
    const died = new Promise((resolve) => child.on('exit', resolve))
    expect(sightPid(child.pid!)).toMatchObject({ exists: true })
    child.kill('SIGKILL')
    await died
    expect(sightPid(child.pid!)).toEqual({ exists: false })
  })

  it('is none once only a zombie is left', async () => {
    if (process.platform !== 'linux') return
    // The shell starts a child, tells its pid and becomes a program that never asks how it ended.
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
    try {
      const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)))
      expect(sightPid(pid)).toMatchObject({ exists: true })
      // The shell itself would ask.
      await expect.poll(() => readFileSync(`/proc/${parent.pid}/comm`, 'latin1'), { timeout: 120_000 }).toBe('sleep\n')
      process.kill(pid, 'SIGKILL')
      await expect.poll(() => readFileSync(`/proc/${pid}/stat`, 'latin1'), { timeout: 120_000 }).toMatch(/\) Z /)
      expect(sightPid(pid)).toEqual({ exists: false })
    } finally {
      parent.kill('SIGKILL')
    }
  })

  it('reads what the kernel says of programs with any name, and of threads that outlive their leader', () => {
    const line = (state: string, threads: number): string =>
      `12 (a) b ) Z 1 (c) ${state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 ${threads} 0 987654321987654321 1 2`
    expect(parseStat(line('R', 3))).toEqual({ started: '987654321987654321', ended: false })
    expect(parseStat(line('Z', 1))).toEqual({ started: '987654321987654321', ended: true })
    expect(parseStat(line('Z', 2))).toEqual({ started: '987654321987654321', ended: false })
    expect(parseStat('nonsense')).toBeUndefined()
    expect(parseStat('')).toBeUndefined()
  })

  it('is whether a file is open here', () => {
    const directory = mkdtempSync(join(tmpdir(), 'varve-lock-'))
    const fd = openSync(join(directory, 'file'), 'w')
    const { dev, ino } = fstatSync(fd, { bigint: true })
    expect(isOpenHere(dev, ino)).toBe(true)
    closeSync(fd)
    if (process.platform === 'linux') expect(isOpenHere(dev, ino)).toBe(false)
    rmSync(directory, { recursive: true })
  })

  it('is that a process exists if it may not be signalled', () => {
    const original = process.kill
    process.kill = () => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' })
    }
    try {
      expect(sightPid(process.pid)).toEqual({ exists: true, started: identifySelf().started })
      expect(sightPid(0x7ffffff0)).toEqual({ exists: true, started: null })
    } finally {
      process.kill = original
    }
  })
})
