/** Damaged lengths under a small memory limit: what a file claims costs no more memory than the file is large. */
import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Specimen } from '../damage/specimen.ts'
import { Random, runs } from '../support/random.ts'
import { entry, prepare, tidy } from './processes.ts'

const reader = fileURLToPath(new URL('children/limits.mjs', import.meta.url))

function read(directories: readonly string[]): string[] {
  const flags = ['--max-old-space-size=64', reader, entry(), ...directories]
  return execFileSync(process.execPath, flags, { encoding: 'utf8', timeout: 240_000 }).trim().split('\n')
}

describe('with 64 MB of memory', () => {
  beforeAll(prepare)
  afterAll(tidy)

  it('any length in any file may claim anything', async () => {
    using specimen = new Specimen()
    await specimen.make(true)
    const random = new Random('claims')
    const damaged: string[] = []
    for (const name of specimen.files()) {
      const bytes = specimen.read(name)
      const written = bytes.findLastIndex((byte) => byte !== 0) + 1
      for (let i = runs(8); i > 0; i--) {
        const path = specimen.copy()
        const copy = Buffer.from(bytes)
        const offset = random.chance(0.5) ? random.int(Math.min(64, written)) : random.int(written)
        copy.writeUInt32LE(random.pick([0x7fffffff, 0xffffffff, 0x40000000]), Math.min(offset, bytes.length - 4))
        writeFileSync(join(path, name), copy)
        damaged.push(path)
      }
    }
    const lines = read([specimen.original, ...damaged])
    expect(lines).toHaveLength(damaged.length + 1)
    expect(lines[0]).toMatch(/^right \d+/)
    for (const line of lines) expect(line).toMatch(/^(right|CORRUPTION|IO) /)
  })

  it('a log larger than the memory is recovered', async () => {
    using specimen = new Specimen()
    const { Database } = await import('../../src/index.ts')
    const living = join(specimen.root, 'living')
    const db = await Database.open<string, string>({
      path: living,
      durability: 'relaxed',
      wal: { segmentBytes: 1 << 25 },
    })
    for (let i = 0; i < 60; i++) {
      await db.handle().transaction((tx) => {
        for (let k = 0; k < 100; k++) tx.set(`key ${k}`, `${i} `.repeat(10_000))
      })
    }
    await db.flush()
    cpSync(living, specimen.original, { recursive: true })
    await db.close()
    rmSync(join(specimen.original, 'lock'), { force: true })
    const size = readdirSync(specimen.original).reduce(
      (sum, name) => sum + readFileSync(join(specimen.original, name)).length,
      0,
    )
    expect(size).toBeGreaterThan(100_000_000)
    expect(read([specimen.original])).toEqual(['right 100'])
  })
})
