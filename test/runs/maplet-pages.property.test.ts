import { describe, expect, it } from 'vitest'
import {
  MapletBuilder,
  MapletPage,
  PAGE_BYTES,
  type PageShape,
  bucketOf,
  fingerprintOf,
} from '../../src/runs/maplet-pages.ts'
import { Random, runs } from '../support/random.ts'

interface Hashed {
  readonly high: number
  readonly low: number
  readonly block: number
}

interface Built {
  readonly pages: MapletPage[]
  readonly shape: PageShape
}

const RUN_SEED = 77

async function build(entries: readonly Hashed[], blocks: number, rate: number): Promise<Built> {
  const builder = new MapletBuilder()
  let at = 0
  for (let block = 0; block < blocks; block++) {
    for (; at < entries.length && entries[at]!.block === block; at++) builder.add(entries[at]!.high, entries[at]!.low)
    builder.endBlock()
  }
  const bytes: Uint8Array[] = []
  await builder.finish(rate, RUN_SEED, (page) => void bytes.push(page.slice()))
  const { shape } = builder
  const pages = bytes.map((page, i) => new MapletPage(page, i, shape, RUN_SEED, 'file', 0))
  expect(builder.firstBuckets).toEqual(pages.map(({ firstBucket }) => firstBucket))
  return { pages, shape }
}

/** All blocks that the maplet gives for a hash; undefined if the bucket is unlisted. */
function lookUp({ pages, shape }: Built, { high, low }: Omit<Hashed, 'block'>): number[] | undefined {
  const bucket = bucketOf(high, shape)
  const page = pages.find(({ firstBucket, buckets }) => firstBucket <= bucket && bucket < firstBucket + buckets)!
  const start = page.start(bucket)
  if (start < 0) return undefined
  const found: number[] = []
  const end = page.end(bucket)
  const fingerprint = fingerprintOf(low, shape)
  for (let cell = page.match(fingerprint, start, end); cell >= 0; cell = page.match(fingerprint, cell + 1, end)) {
    found.push(page.blockAt(cell))
  }
  return found
}

describe('maplet pages', () => {
  it('give the block of every entry, in pages that follow one another (M2, M4)', async () => {
    for (let round = 0; round < runs(40); round++) {
      const random = new Random(round)
      const count = random.pick([1, 7, 8, 9, 500, 3000, 20_000])
      const blocks = Math.min(count, random.pick([1, 2, 3, 255, 256, 257, 5000]))
      const entries = Array.from({ length: count }, (_, i) => ({
        high: random.chance(0.01) ? random.pick([0, 2 ** 32 - 1]) : random.uint32(),
        low: random.chance(0.01) ? random.pick([0, 2 ** 32 - 1]) : random.uint32(),
        block: Math.floor((i * blocks) / count),
      }))
      const built = await build(entries, blocks, random.pick([0.5, 0.01, 1e-4, 1e-9]))
      for (const entry of entries) {
        const found = lookUp(built, entry)
        if (found === undefined) continue
        if (!found.includes(entry.block)) expect.fail(`round ${round}: ${JSON.stringify(entry)} gives ${found.join()}`)
        expect(found).toEqual(found.toSorted((a, b) => a - b))
      }
      let next = 0
      for (const [i, page] of built.pages.entries()) {
        page.check(blocks, 'file', 0)
        expect(page.firstBucket).toBe(next)
        next += page.buckets
        // All pages but the last are full: no bucket is left for which there was room.
        const last = built.pages.at(-1) === page
        if (!last) expect(page.cells * bitsOf(built.shape)).toBeGreaterThan((PAGE_BYTES * 8 * 3) / 4)
        expect(i).toBeLessThan(built.pages.length)
      }
      expect(next).toBe(built.shape.buckets)
    }
  })

  it('say nothing of a bucket that holds too much, and stay right for all others (M3)', async () => {
    for (const crowd of [255, 256, 5000]) {
      const random = new Random(crowd)
      const entries = Array.from({ length: 8000 }, (_, i) => ({
        high: i < crowd ? 12_345 : 2 ** 31 + random.int(2 ** 31),
        low: random.uint32(),
        block: i >> 5,
      }))
      const built = await build(entries, 250, 0.01)
      let unlisted = 0
      for (const entry of entries) {
        const found = lookUp(built, entry)
        if (found === undefined) unlisted++
        else expect(found).toContain(entry.block)
      }
      expect(unlisted).toBe(crowd > 255 ? crowd : 0)
      for (const page of built.pages) page.check(250, 'file', 0)
    }
  })
})

/** Of one entry, its share of the starts included. */
function bitsOf({ fingerprintBits, blockBits }: PageShape): number {
  return fingerprintBits + blockBits + 2
}
