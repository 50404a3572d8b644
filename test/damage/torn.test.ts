/**
 * The end of a log whose process was killed: the last group of commits, which nothing behind it promises, may be there or
 * not, torn in any way, and is then the end of the log. Everything before it was promised.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codecs, Database, table } from '../../src/index.ts'
import { Random, runs } from '../support/random.ts'
import { type Content, contentOf, judge } from './specimen.ts'
import { Directory } from '../persistence/directory.ts'

const blobs = table<string, Uint8Array>('blobs', { value: codecs.bytes() })
const SECTOR_BYTES = 512

describe('the log of a killed process', () => {
  const place = new Directory()
  const original = join(place.root, 'original')
  /** Content before and with the last commit. */
  let contents: readonly [Content, Content]
  /** The segment that the last commit went to, and where in it. */
  let segment: string
  let begin = 0
  let end = 0
  let copies = 0

  beforeAll(async () => {
    const db = await Database.open({ path: place.path, wal: { segmentBytes: 128 * 1024 } })
    for (let i = 0; i < 20; i++) await db.handle().set(i, 'x'.repeat(i * 40))
    const before = await contentOf(db)
    // A copy of the log inside a value: wherever it lies, no byte of it is at a place of its own.
    const files = fs.readdirSync(place.path).filter((name) => name.startsWith('wal-'))
    const log = files
      .map((name) => fs.readFileSync(join(place.path, name)))
      .find((bytes) => bytes.includes('xxxxxxxx'))!
    await db.handle(blobs).set('log', log.subarray(0, 20_000))
    await db.handle().set('one more', 1)
    const earlier = new Map(files.map((name) => [name, fs.readFileSync(join(place.path, name))]))
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 20; i++) tx.set(['last', i], 'y'.repeat(100 + i))
    })
    fs.cpSync(place.path, original, { recursive: true })
    fs.rmSync(join(original, 'lock'), { force: true })
    const after = await contentOf(db)
    const penultimate = new Map([...after].filter(([name]) => before.has(name) || name.includes('one more')))
    contents = [penultimate, after]
    for (const [name, bytes] of earlier) {
      const now = fs.readFileSync(join(original, name))
      const first = now.findIndex((byte, i) => byte !== bytes[i])
      if (first < 0) continue
      segment = name
      begin = Math.floor(first / SECTOR_BYTES) * SECTOR_BYTES
      end = Math.ceil((now.findLastIndex((byte, i) => byte !== bytes[i]) + 1) / SECTOR_BYTES) * SECTOR_BYTES
    }
    await db.close()
  })
  afterAll(() => place[Symbol.dispose]())

  async function damaged(change: (log: Buffer) => Buffer | void, accepted: readonly Content[]): Promise<string> {
    const path = join(place.root, `copy-${copies++}`)
    fs.cpSync(original, path, { recursive: true })
    const log = fs.readFileSync(join(path, segment))
    fs.writeFileSync(join(path, segment), change(log) ?? log)
    const verdict = await judge(path, accepted)
    fs.rmSync(path, { recursive: true, force: true })
    return verdict.kind === 'wrong' ? verdict.what : verdict.kind
  }

  it('is there as it was', async () => {
    expect(end - begin).toBeGreaterThan(4 * SECTOR_BYTES)
    expect(await damaged(() => undefined, [contents[1]])).toBe('right')
  })

  it('a tail that was never promised, with any of its sectors lost, ends the log before it', async () => {
    const random = new Random('torn')
    for (let i = runs(30); i > 0; i--) {
      const verdict = await damaged(
        (log) => {
          let lost = 0
          for (let at = begin; at < end; at += SECTOR_BYTES) {
            if (random.chance(0.6) && !(lost === 0 && at + SECTOR_BYTES >= end)) continue
            lost++
            if (random.chance(0.5)) log.fill(0, at, at + SECTOR_BYTES)
            else for (let k = at; k < at + SECTOR_BYTES; k++) log[k] = random.int(256)
          }
        },
        [contents[0]],
      )
      expect(verdict).toBe('right')
    }
  })

  it('a tail cut at any byte: the end of the log, or a refusal if the file is shorter than it was made', async () => {
    const random = new Random('cut tail')
    for (let i = runs(20); i > 0; i--) {
      const cut = random.between(begin, end - 1)
      expect(['right', 'refused']).toContain(await damaged((log) => log.subarray(0, cut), contents))
      const zeroed = await damaged((log) => void log.fill(0, cut), contents)
      expect(zeroed).toBe('right')
    }
  })

  it('a value that holds a segment, with the tail behind it torn, is never taken for the log', async () => {
    for (const at of [begin, begin + SECTOR_BYTES]) {
      const verdict = await damaged(
        (log) => {
          log.fill(0xff, at, at + SECTOR_BYTES)
          log.copy(log, end, SECTOR_BYTES, begin)
        },
        [contents[0]],
      )
      expect(['right', 'refused']).toContain(verdict)
    }
  })

  it('damage before the last group is refused, because what came behind promises it', async () => {
    const random = new Random('middle')
    let refused = 0
    for (let i = runs(25); i > 0; i--) {
      const at = random.between(SECTOR_BYTES, begin - SECTOR_BYTES)
      const verdict = await damaged((log) => void (log[at]! ^= random.between(1, 255)), [contents[1]])
      expect(['refused', 'right']).toContain(verdict)
      if (verdict === 'refused') refused++
    }
    expect(refused).toBeGreaterThan(0)
  })
})
