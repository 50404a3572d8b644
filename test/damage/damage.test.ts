/**
 * Damage to the files of a closed database: any byte changed, any file cut, swapped, duplicated, renamed, removed or replaced.
 * Either everything is right, or the refusal says which file.
 */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random, runs } from '../support/random.ts'
import { Specimen, type Verdict } from './specimen.ts'

/** What each file of a directory is. */
const kindOf = (name: string): string => name.replace(/-.*/, '')

describe('a closed database', () => {
  let specimen: Specimen
  let other: Specimen
  beforeAll(async () => {
    specimen = new Specimen()
    other = new Specimen()
    await specimen.make(true)
    await other.make(true, 'another')
  })
  afterAll(() => {
    specimen[Symbol.dispose]()
    other[Symbol.dispose]()
  })

  /** Fails unless the data is right or the refusal names one of the files that were damaged. */
  function accept(verdict: Verdict, what: string, files: readonly string[]): void {
    if (verdict.kind === 'wrong') expect.fail(`${what}: ${verdict.what}`)
    if (verdict.kind === 'right') return
    for (const message of verdict.messages) expect(message, `of ${what}`).not.toContain('specimen')
    expect(
      verdict.messages.some((message) => files.some((file) => message.includes(file))),
      `${what}: ${verdict.messages[0]}`,
    ).toBe(true)
    expect(verdict.messages[0], `of ${what}`).toMatch(/^(CORRUPTION|IO) /)
  }

  it('has a manifest, two runs, started segments and spare ones', () => {
    const kinds = specimen.files().map(kindOf)
    expect(kinds.filter((kind) => kind === 'manifest')).toHaveLength(1)
    expect(kinds.filter((kind) => kind === 'run').length).toBeGreaterThanOrEqual(1)
    expect(kinds.filter((kind) => kind === 'wal').length).toBeGreaterThanOrEqual(2)
  })

  it('is right when nothing is damaged', async () => {
    expect(await specimen.judge(() => undefined)).toEqual({ kind: 'right' })
  })

  it('with any byte changed: the right data or a refusal that names file and offset', async () => {
    const random = new Random('flip')
    let refused = 0
    for (const name of specimen.files()) {
      const bytes = specimen.read(name)
      const written = bytes.findLastIndex((byte) => byte !== 0) + 1
      for (let i = runs(30); i > 0; i--) {
        const offset = random.chance(0.9) ? random.int(written) : random.int(bytes.length)
        const mask = random.chance(0.5) ? 1 << random.int(8) : random.between(1, 255)
        const verdict = await specimen.judge((path) => {
          const damaged = Buffer.from(bytes)
          damaged[offset]! ^= mask
          fs.writeFileSync(join(path, name), damaged)
        })
        accept(verdict, `${name}: byte ${offset} ^ ${mask}`, [name])
        if (verdict.kind === 'refused') {
          refused++
          expect(verdict.messages[0], `${name}: byte ${offset}`).toMatch(/\d/)
        }
      }
    }
    expect(refused).toBeGreaterThan(0)
  })

  it('with any 4 bytes replaced by what a length field may claim', async () => {
    const random = new Random('lengths')
    for (const name of specimen.files()) {
      const bytes = specimen.read(name)
      const written = bytes.findLastIndex((byte) => byte !== 0) + 1
      for (let i = runs(12); i > 0; i--) {
        const offset = random.int(Math.max(1, written - 4))
        const claim = random.pick([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, bytes.length, bytes.length + 1])
        const verdict = await specimen.judge((path) => {
          const damaged = Buffer.from(bytes)
          damaged.writeUInt32LE(claim, Math.min(offset, bytes.length - 4))
          fs.writeFileSync(join(path, name), damaged)
        })
        accept(verdict, `${name}: ${claim} at ${offset}`, [name])
      }
    }
  })

  it('with any file cut at any length, or with garbage or zeros behind its end', async () => {
    const random = new Random('cut')
    for (const name of specimen.files()) {
      const { length } = specimen.read(name)
      const lengths = [
        0,
        1,
        4,
        8,
        31,
        32,
        511,
        512,
        513,
        4096,
        length >> 1,
        length - 513,
        length - 512,
        length - 4,
        length - 1,
      ]
      for (let i = runs(6); i > 0; i--) lengths.push(random.int(length))
      for (const cut of lengths) {
        if (cut < 0 || cut >= length) continue
        const verdict = await specimen.judge((path) => fs.truncateSync(join(path, name), cut))
        accept(verdict, `${name} cut at ${cut} of ${length}`, [name])
      }
      for (const tail of [Buffer.alloc(1), Buffer.alloc(4096), Buffer.alloc(700, 0xa5)]) {
        const verdict = await specimen.judge((path) => fs.appendFileSync(join(path, name), tail))
        accept(verdict, `${name} with ${tail.length} bytes behind its end`, [name])
      }
    }
  })

  it('with sectors zeroed, or filled with garbage, or with those of another place', async () => {
    const random = new Random('sectors')
    for (const name of specimen.files()) {
      const bytes = specimen.read(name)
      const sectors = Math.ceil((bytes.findLastIndex((byte) => byte !== 0) + 1) / 512)
      for (let i = runs(12); i > 0; i--) {
        const at = random.int(sectors) * 512
        const from = random.int(sectors) * 512
        const how = random.int(3)
        const verdict = await specimen.judge((path) => {
          const damaged = Buffer.from(bytes)
          if (how === 0) damaged.fill(0, at, Math.min(at + 512, damaged.length))
          else if (how === 1) for (let k = at; k < Math.min(at + 512, damaged.length); k++) damaged[k] = random.int(256)
          else bytes.copy(damaged, at, from, Math.min(from + 512, bytes.length))
          fs.writeFileSync(join(path, name), damaged)
        })
        accept(verdict, `${name}: sector ${at / 512} ${['zeroed', 'garbage', `from ${from / 512}`][how]}`, [name])
      }
    }
  })

  it('with any file removed', async () => {
    for (const name of specimen.files()) {
      const verdict = await specimen.judge((path) => fs.rmSync(join(path, name)))
      accept(verdict, `${name} removed`, [name])
      if (kindOf(name) !== 'wal') expect(verdict.kind, `${name} removed`).toBe('refused')
    }
    const verdict = await specimen.judge((path) => {
      for (const name of specimen.files()) if (kindOf(name) === 'wal') fs.rmSync(join(path, name))
    })
    expect(verdict.kind).toBe('refused')
  })

  it('with any two files of a kind swapped, one duplicated over another, one renamed', async () => {
    const names = specimen.files()
    for (const a of names) {
      for (const b of names) {
        if (a >= b || kindOf(a) !== kindOf(b)) continue
        const swapped = await specimen.judge((path) => {
          fs.copyFileSync(join(specimen.original, a), join(path, b))
          fs.copyFileSync(join(specimen.original, b), join(path, a))
        })
        accept(swapped, `${a} and ${b} swapped`, [a, b])
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const doubled = await specimen.judge((path) => fs.copyFileSync(join(path, from), join(path, to)))
          accept(doubled, `${from} copied over ${to}`, [a, b])
        }
      }
      if (kindOf(a) === 'manifest') continue
      const beyond = a.replace(/\d+/, (digits) => `${Number(digits) + 50}`.padStart(digits.length, '0'))
      const copied = await specimen.judge((path) => fs.copyFileSync(join(path, a), join(path, beyond)))
      accept(copied, `${a} duplicated as ${beyond}`, [a, beyond])
      const renamed = await specimen.judge((path) => fs.renameSync(join(path, a), join(path, beyond)))
      accept(renamed, `${a} renamed to ${beyond}`, [a, beyond])
    }
  })

  it('with any file replaced by that of another database', async () => {
    for (const name of specimen.files()) {
      if (!fs.existsSync(join(other.original, name))) continue
      const verdict = await specimen.judge((path) => fs.copyFileSync(join(other.original, name), join(path, name)))
      if (verdict.kind === 'wrong') expect.fail(`${name} of another database: ${verdict.what}`)
      if (kindOf(name) === 'manifest' || kindOf(name) === 'run') expect(verdict.kind, `of ${name}`).toBe('refused')
    }
  })

  it('with an older version of any file', async () => {
    using living = new Specimen()
    await living.make(true)
    const { Database } = await import('../../src/index.ts')
    const older = living.copy()
    const db = await Database.open({ path: living.original, wal: { segmentBytes: 64 * 1024, poolSize: 2 } })
    for (let i = 0; i < 300; i++) await db.handle().set(`newer ${i}`, 'x'.repeat(300))
    await db.checkpoint()
    await db.handle().set('newest', 1)
    const { contentOf } = await import('./specimen.ts')
    living.content = await contentOf(db)
    await db.close()
    for (const name of fs.readdirSync(older)) {
      if (name === 'lock') continue
      const verdict = await living.judge((path) => fs.copyFileSync(join(older, name), join(path, name)))
      if (verdict.kind === 'wrong') expect.fail(`older ${name}: ${verdict.what}`)
    }
  })

  it('with a FIFO, a directory, or a symbolic link where a file should be: no hanging, no following', async () => {
    const fifo = (path: string): void => void execFileSync('sh', ['-c', 'mkfifo "$0"', path])
    for (const name of specimen.files()) {
      const hidden = join(specimen.root, 'hidden')
      fs.copyFileSync(join(specimen.original, name), hidden)
      const replacements: Record<string, (path: string) => void> = {
        'a FIFO': fifo,
        'a directory': (path) => fs.mkdirSync(path),
        'a link to the file itself': (path) => fs.symlinkSync(hidden, path),
        'a dangling link': (path) => fs.symlinkSync(join(specimen.root, 'nowhere'), path),
      }
      for (const [what, replace] of Object.entries(replacements)) {
        const verdict = await specimen.judge((path) => {
          fs.rmSync(join(path, name))
          replace(join(path, name))
        })
        expect(verdict.kind, `${what} in place of ${name}`).toBe('refused')
        accept(verdict, `${what} in place of ${name}`, [name])
      }
      expect(fs.existsSync(join(specimen.root, 'nowhere'))).toBe(false)
      expect(fs.readFileSync(hidden).equals(specimen.read(name))).toBe(true)
    }
  })

  it('with a FIFO or a directory named like the next file', async () => {
    for (const name of ['wal-000000000900.log', 'run-000000000900.run', 'manifest.tmp-0123456789abcdef']) {
      for (const make of [
        (path: string) => void execFileSync('sh', ['-c', 'mkfifo "$0"', path]),
        (path: string) => fs.mkdirSync(path),
      ]) {
        const verdict = await specimen.judge((path) => make(join(path, name)))
        accept(verdict, `something named ${name}`, [name])
      }
    }
  })

  it('with foreign files, which it leaves alone', async () => {
    const path = specimen.copy()
    const foreign = {
      ...{ 'notes.txt': 'mine', '.hidden': 'mine', 'wal-1.log': 'mine', 'wal-000000000001.log.bak': 'mine' },
      ...{ 'run-x.run': 'mine', 'data.tmp': 'mine', 'manifest.old': 'mine' },
    }
    for (const [name, text] of Object.entries(foreign)) fs.writeFileSync(join(path, name), text)
    fs.mkdirSync(join(path, 'subdirectory'))
    const { judge } = await import('./specimen.ts')
    expect(await judge(path, [specimen.content])).toEqual({ kind: 'right' })
    for (const [name, text] of Object.entries(foreign)) expect(fs.readFileSync(join(path, name), 'utf8')).toBe(text)
    expect(fs.existsSync(join(path, 'subdirectory'))).toBe(true)
  })

  it('with what a crash leaves half made, which it removes', async () => {
    const path = specimen.copy()
    const leftovers = ['manifest.tmp-00112233445566ff', 'run-000000000777.run.tmp-00112233445566ff']
    for (const name of leftovers) fs.writeFileSync(join(path, name), 'half')
    const { judge } = await import('./specimen.ts')
    expect(await judge(path, [specimen.content])).toEqual({ kind: 'right' })
    for (const name of leftovers) expect(fs.existsSync(join(path, name)), `of ${name}`).toBe(false)
  })

  it('of which nothing but the lock, or nothing at all, is left: a new database, but not beside old data', async () => {
    const empty = await specimen.judge(
      (path) => {
        for (const name of specimen.files()) fs.rmSync(join(path, name))
      },
      [new Map()],
    )
    expect(empty).toEqual({ kind: 'right' })
  })
})
