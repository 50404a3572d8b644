/** Where a database lies and who else is there: locks, links, modes, odd names, directories that vanish. */
import * as fs from 'node:fs'
import { basename, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Database } from '../../src/index.ts'
import { Directory } from './directory.ts'

const locked = expect.objectContaining({ code: 'LOCKED' }) as Error

describe('a directory that is in use', () => {
  it('is refused under whatever name it is asked for, and free after close', async () => {
    using place = new Directory()
    const db = await place.open()
    const link = join(place.root, 'link')
    fs.symlinkSync(place.path, link)
    const names = [place.path, `${place.path}/`, `${place.path}/.`, link, `${link}/`, relative('.', place.path)]
    for (const path of names) {
      const error: unknown = await Database.open({ path }).catch((reason: unknown) => reason)
      expect(error, `of ${path}`).toEqual(locked)
      expect((error as Error).message).toContain(String(process.pid))
    }
    await expect(Database.open({ path: place.path, readOnly: true })).rejects.toEqual(locked)
    await db.handle().set('still', 'works')
    await db.close()
    for (const path of names) {
      const again = await Database.open({ path })
      expect(again.handle().get('still')).toBe('works')
      await again.close()
    }
  })

  it('is given to one of many who ask at once', async () => {
    using place = new Directory()
    await (await place.open()).close()
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => place.open()))
    const open = outcomes.filter((outcome) => outcome.status === 'fulfilled')
    expect(open).toHaveLength(1)
    for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toEqual(locked)
    await open[0]!.value.close()
  })
})

describe('names and modes', () => {
  it('with spaces, letters of all kinds, long ones, missing parents, a slash at the end', async () => {
    using place = new Directory()
    for (const name of ['with space', 'e\u0301', '\u00e9', 'x'.repeat(255), '日本/語', '.hidden/', '%2e%2e', '-rf']) {
      const path = join(place.root, 'names', name)
      const first = await Database.open({ path })
      await first.handle().set('name', name)
      await first.close()
      const second = await Database.open({ path })
      expect(second.handle().get('name')).toBe(name)
      await second.close()
    }
  })

  it('are 0700 for directories and 0600 for files, whatever the umask, in backups too', async () => {
    for (const mask of [0o000, 0o077, 0o022]) {
      const before = process.umask(mask)
      try {
        using place = new Directory()
        await place.session(async (db) => {
          await db.handle().set('a', 1)
          await db.checkpoint()
          await db.backup(join(place.root, 'backup'))
          for (const directory of [place.path, join(place.root, 'backup')]) {
            expect(fs.statSync(directory).mode & 0o777).toBe(0o700)
            for (const name of fs.readdirSync(directory)) {
              expect(fs.statSync(join(directory, name)).mode & 0o777, `of ${name}`).toBe(0o600)
            }
          }
        })
      } finally {
        process.umask(before)
      }
    }
  })

  it('of a file where the directory should be: a refusal', async () => {
    using place = new Directory()
    fs.writeFileSync(place.path, 'a file')
    await expect(place.open()).rejects.toMatchObject({ code: 'IO' })
    expect(fs.readFileSync(place.path, 'utf8')).toBe('a file')
    await expect(Database.open({ path: join(place.path, 'below') })).rejects.toMatchObject({ code: 'IO' })
    await expect(Database.open({ path: `${place.root}/nul\0nul` })).rejects.toMatchObject({
      code: expect.stringMatching(/^(IO|INVALID_OPTIONS|INVALID_ARGUMENT)$/) as string,
    })
  })

  it('of the working directory may change meanwhile', async () => {
    using place = new Directory()
    const before = process.cwd()
    process.chdir(place.root)
    try {
      const db = await Database.open({ path: basename(place.path) })
      await db.handle().set('a', 1)
      process.chdir('/')
      for (let i = 0; i < 50; i++) await db.handle().set(i, 'x'.repeat(5000))
      await db.checkpoint()
      await db.close()
    } finally {
      process.chdir(before)
    }
    await place.session((db) => expect(db.handle().size).toBe(51))
  })
})

describe('read only', () => {
  it('shows what is there, also after a death, writes nothing and refuses writes', async () => {
    using place = new Directory()
    const db = await place.open()
    for (let i = 0; i < 100; i++) await db.handle().set(i, i)
    const copy = join(place.root, 'copy')
    fs.cpSync(place.path, copy, { recursive: true })
    await db.close()
    fs.rmSync(join(copy, 'lock'), { force: true })
    const before = fs.readdirSync(copy).map((name) => [name, fs.readFileSync(join(copy, name)).toString('latin1')])
    const reader = await Database.open<number, number>({ path: copy, readOnly: true })
    expect([...reader.handle().keys()]).toHaveLength(100)
    await expect(reader.handle().set(1, 2)).rejects.toMatchObject({ code: 'READ_ONLY' })
    expect(() => reader.handle().transactionSync((tx) => tx.set(1, 2))).toThrow(
      expect.objectContaining({ code: 'READ_ONLY' }),
    )
    expect((await reader.check()).problems).toEqual([])
    await reader.close()
    expect(fs.readdirSync(copy).map((name) => [name, fs.readFileSync(join(copy, name)).toString('latin1')])).toEqual(
      before,
    )
  })

  it('refuses a directory that does not exist, and makes none', async () => {
    using place = new Directory()
    await expect(place.open({ readOnly: true })).rejects.toBeInstanceOf(Error)
    expect(fs.existsSync(place.path)).toBe(false)
  })
})

describe('what is pulled from under an open database', () => {
  it('the directory renamed: nothing hangs, nothing acknowledged is lost', async () => {
    using place = new Directory()
    const db = await place.open({ wal: { segmentBytes: 64 * 1024 } })
    const acknowledged: number[] = []
    for (let i = 0; i < 20; i++)
      await db
        .handle()
        .set(i, 'x'.repeat(1000))
        .then(() => acknowledged.push(i))
    const moved = join(place.root, 'moved')
    fs.renameSync(place.path, moved)
    for (let i = 20; i < 300; i++) {
      await db
        .handle()
        .set(i, 'x'.repeat(1000))
        .then(
          () => acknowledged.push(i),
          () => undefined,
        )
    }
    await db.checkpoint().catch(() => undefined)
    await db.close().catch(() => undefined)
    fs.rmSync(join(moved, 'lock'), { force: true })
    const again = await Database.open<number, string>({ path: moved })
    for (const key of acknowledged) expect(again.handle().has(key), `key ${key}`).toBe(true)
    await again.close()
  })

  it('the directory removed: closing and writing settle', async () => {
    using place = new Directory()
    const db = await place.open({ wal: { segmentBytes: 64 * 1024 } })
    await db.handle().set('a', 1)
    fs.rmSync(place.path, { recursive: true })
    const writes = Array.from({ length: 200 }, (_, i) => db.handle().set(i, 'x'.repeat(2000)))
    await Promise.allSettled(writes)
    await db.checkpoint().catch(() => undefined)
    await db.close().catch(() => undefined)
  })
})

describe('opening and closing', () => {
  it('again and again leaves no file, no descriptor and no memory behind', async () => {
    using place = new Directory()
    const descriptors = (): number => (fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0)
    await place.session((db) => db.handle().set('n', 0))
    for (let i = 0; i < 20; i++) await place.session((db) => db.handle().update('n', (n) => (n as number) + 1))
    const [fds, files] = [descriptors(), fs.readdirSync(place.path).length]
    for (let i = 0; i < 60; i++) await place.session((db) => db.handle().update('n', (n) => (n as number) + 1))
    expect(descriptors() - fds).toBeLessThan(5)
    expect(fs.readdirSync(place.path).length).toBeLessThan(Math.max(45, 2 * files))
    await place.session((db) => expect(db.handle().get('n')).toBe(80))
  })

  it('a handle, an iterator, a transaction used after close say CLOSED; a second close is fine', async () => {
    using place = new Directory()
    const db = await place.open()
    const handle = db.handle()
    await handle.set('a', 1)
    const tx = handle.begin()
    const iterator = handle.entries()
    await Promise.all([db.close(), db.close()])
    await db.close()
    const closed = expect.objectContaining({ code: 'CLOSED' }) as Error
    expect(() => handle.get('a')).toThrow(closed)
    expect(() => tx.get('a')).toThrow(closed)
    expect(() => iterator.next()).toThrow(closed)
    await expect(handle.set('a', 2)).rejects.toEqual(closed)
    for (const call of [
      () => db.flush(),
      () => db.checkpoint(),
      () => db.compact(),
      () => db.backup(`${place.root}/b`),
    ]) {
      await expect(call()).rejects.toEqual(closed)
    }
  })
})
