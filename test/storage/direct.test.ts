/** Writes past the page cache: which go there, what is refused, and that both ways give the same file. */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Done, type FileCalls, thisSystem } from '../../src/storage/node-calls.ts'
import { NodeStorage } from '../../src/storage/node.ts'
import type { StorageFile } from '../../src/storage/storage.ts'
import { until } from '../support/patience.ts'

const SECTOR = 512

let directory: string
let path: string
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'varve-direct-'))
  path = join(directory, 'file')
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

/** Linux whose second descriptors are ordinary ones, so that they can be had in every file system. */
class Linux {
  /** Second descriptors that are open, and writes by way of them. */
  readonly open = new Set<number>()
  directWrites = 0
  asked = 0
  /** What opening a second one, or writing by way of it, ends in. */
  refuseOpen: string | null = null
  refuseWrite: string | null = null
  /** How much of a write is done. */
  most = Infinity
  /** Number of the next second descriptor, if it is to be a certain one. */
  number: number | null = null
  /** Tells that a second one is open. */
  whenOpened = (tell: () => void): void => tell()
  readonly closed: number[] = []

  storage(platform: NodeJS.Platform = 'linux'): NodeStorage {
    const calls: Partial<Record<keyof FileCalls, unknown>> = {
      constants: { ...fs.constants, O_DIRECT: 0x4000, O_DSYNC: fs.constants.O_DSYNC ?? fs.constants.O_SYNC },
      open: (name: string, flags: number, ...rest: unknown[]) => {
        const done = rest.at(-1) as Done<number>
        if (!name.startsWith('/proc/self/fd/')) return fs.open(name, flags, rest[0] as number, done)
        this.asked++
        expect(flags).toBe(fs.constants.O_RDWR | fs.constants.O_DSYNC | 0x4000)
        if (this.refuseOpen !== null) {
          const error = systemError(this.refuseOpen)
          return setImmediate(() => (done as (error: Error) => void)(error))
        }
        if (this.number !== null) return setImmediate(() => done(null, this.number!))
        return fs.open(path, fs.constants.O_RDWR, (error, fd) => {
          this.open.add(fd)
          this.whenOpened(() => done(error, fd))
        })
      },
      write: (fd: number, bytes: Uint8Array, from: number, length: number, position: number, done: Done<number>) => {
        if (!this.open.has(fd)) return fs.write(fd, bytes, from, length, position, done)
        this.directWrites++
        if (this.refuseWrite !== null) {
          const error = systemError(this.refuseWrite)
          return setImmediate(() => (done as (error: Error) => void)(error))
        }
        return fs.write(fd, bytes, from, Math.min(length, this.most), position, done)
      },
      close: (fd: number, done: Done<void>) => {
        this.closed.push(fd)
        if (fd === this.number) return done(null)
        this.open.delete(fd)
        return fs.close(fd, done)
      },
    }
    return new NodeStorage({ calls: { ...fs, ...calls } as FileCalls, platform })
  }
}

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected`), { code })
}

const sectors = (count: number, fill: number): Uint8Array => new Uint8Array(count * SECTOR).fill(fill)

/** Writes a sector until one has gone past the page cache. */
async function warm(linux: Linux, file: StorageFile): Promise<void> {
  while (linux.directWrites === 0) await file.write(sectors(1, 1), 0)
}

describe('writes of a synced file', () => {
  it('pass the page cache by once there is a second descriptor, which is closed with the file', async () => {
    const linux = new Linux()
    const file = await linux.storage().open(path, 'create', { synced: true })
    await warm(linux, file)
    const before = linux.directWrites
    await file.write(sectors(3, 2), SECTOR)
    await file.write(sectors(128, 3), 4 * SECTOR)
    expect(linux.directWrites).toBe(before + 2)
    expect(linux.asked).toBe(1)
    expect(fs.readFileSync(path)).toEqual(Buffer.concat([sectors(1, 1), sectors(3, 2), sectors(128, 3)]))
    await file.close()
    await until(() => linux.open.size === 0)
    expect(linux.closed).toHaveLength(2)
  })

  it('go by way of it when they are no whole sectors, start in one, or are long', async () => {
    const linux = new Linux()
    const file = await linux.storage().open(path, 'create', { synced: true })
    await warm(linux, file)
    const before = linux.directWrites
    await file.write(sectors(2, 2).subarray(1), 0)
    await file.write(sectors(1, 3), 2 * SECTOR - 1)
    await file.write(sectors(129, 4), 3 * SECTOR)
    await file.write(new Uint8Array(), 0)
    expect(linux.directWrites).toBe(before)
    expect(await file.size()).toBe(132 * SECTOR)
    await file.close()
  })

  it('made while another is under way do not touch its memory', async () => {
    const linux = new Linux()
    const file = await linux.storage().open(path, 'create', { synced: true })
    await warm(linux, file)
    const before = linux.directWrites
    const both = [file.write(sectors(1, 5), 0), file.write(sectors(1, 6), SECTOR)]
    await Promise.all(both)
    expect(linux.directWrites).toBe(before + 1)
    expect(fs.readFileSync(path)).toEqual(Buffer.concat([sectors(1, 5), sectors(1, 6)]))
    await file.close()
  })

  it('are ended by way of it after a short count', async () => {
    const linux = new Linux()
    linux.most = 100
    const file = await linux.storage().open(path, 'create', { synced: true })
    await warm(linux, file)
    await file.write(sectors(2, 7), 0)
    expect(fs.readFileSync(path)).toEqual(Buffer.from(sectors(2, 7)))
    await file.close()
  })

  it.each(['EINVAL', 'EMFILE', 'ENOENT'])('go by way of it for good if a second descriptor is %s', async (code) => {
    const linux = new Linux()
    linux.refuseOpen = code
    const file = await linux.storage().open(path, 'create', { synced: true })
    for (let i = 0; i < 5; i++) await file.write(sectors(1, i), i * SECTOR)
    expect(linux).toMatchObject({ asked: 1, directWrites: 0 })
    expect(await file.size()).toBe(5 * SECTOR)
    await file.close()
  })

  it('go by way of it for good once one was refused, which has not failed by that', async () => {
    const linux = new Linux()
    linux.refuseWrite = 'EINVAL'
    const file = await linux.storage().open(path, 'create', { synced: true })
    await warm(linux, file)
    for (let i = 0; i < 5; i++) await file.write(sectors(1, i), i * SECTOR)
    expect(linux.directWrites).toBe(1)
    expect(fs.readFileSync(path)).toEqual(Buffer.concat([0, 1, 2, 3, 4].map((i) => sectors(1, i))))
    await file.close()
    await until(() => linux.open.size === 0)
  })

  it('fail with the error of the device, and are not tried again', async () => {
    const linux = new Linux()
    const file = await linux.storage().open(path, 'create', { synced: true })
    await warm(linux, file)
    const before = linux.directWrites
    linux.refuseWrite = 'EIO'
    await expect(file.write(sectors(1, 9), 0)).rejects.toThrow(`cannot write ${path}: EIO`)
    expect(linux.directWrites).toBe(before + 1)
    expect(fs.readFileSync(path)).toEqual(Buffer.from(sectors(1, 1)))
    await file.close()
  })

  it('stay away from the numbers of standard input, output and error', async () => {
    const linux = new Linux()
    linux.number = 1
    const file = await linux.storage().open(path, 'create', { synced: true })
    await file.write(sectors(1, 1), 0)
    await until(() => linux.closed.includes(1))
    await file.write(sectors(1, 1), 0)
    expect(linux.directWrites).toBe(0)
    await file.close()
  })

  it('leave no descriptor behind where the file is closed while the second is being opened', async () => {
    const linux = new Linux()
    const file = await linux.storage().open(path, 'create', { synced: true })
    let tellOpened: (() => void) | null = null
    linux.whenOpened = (tell) => (tellOpened = tell)
    await file.write(sectors(1, 1), 0)
    await until(() => tellOpened !== null)
    await file.close()
    expect(linux.closed).toHaveLength(1)
    tellOpened!()
    await until(() => linux.closed.length === 2 && linux.open.size === 0)
  })

  it('know no such way on other platforms, nor without being synced', async () => {
    const linux = new Linux()
    for (const [platform, synced] of [
      ['freebsd', true],
      ['linux', false],
    ] as const) {
      const file = await linux.storage(platform).open(path, 'create', { synced })
      for (let i = 0; i < 3; i++) await file.write(sectors(1, i), 0)
      await file.close()
      fs.rmSync(path)
    }
    expect(linux.asked).toBe(0)
  })
})

describe('the real file system', () => {
  it('holds the same whichever way each write has taken', async () => {
    const SECTORS = 24
    const storage = new NodeStorage(thisSystem)
    const write = fc.record({
      at: fc.nat(SECTORS * SECTOR - 1),
      length: fc.integer({ min: 1, max: 5 * SECTOR }),
      isWhole: fc.boolean(),
      how: fc.constantFrom('async' as const, 'async' as const, 'sync' as const),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(write, { minLength: 1, maxLength: 20 }), async (writes) => {
        const file = await storage.open(path, 'create', { synced: true })
        const model = new Uint8Array(SECTORS * SECTOR)
        await file.write(model, 0)
        let fill = 0
        for (const { at, length, isWhole, how } of writes) {
          const position = isWhole ? at - (at % SECTOR) : at
          const end = Math.min(model.length, isWhole ? position + Math.ceil(length / SECTOR) * SECTOR : at + length)
          const bytes = new Uint8Array(end - position).fill(++fill)
          model.set(bytes, position)
          if (how === 'sync') file.writeSync(bytes, position)
          else await file.write(bytes, position)
          const found = new Uint8Array(model.length)
          expect(await file.read(found, 0)).toBe(model.length)
          expect(found).toEqual(model)
        }
        await file.close()
        expect(new Uint8Array(fs.readFileSync(path))).toEqual(model)
        fs.rmSync(path)
      }),
      { numRuns: 15 },
    )
  })
})
