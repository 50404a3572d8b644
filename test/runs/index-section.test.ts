import { describe, expect, it } from 'vitest'
import { FOOTER_BYTES, type Footer } from '../../src/runs/footer.ts'
import { IndexBuilder, RunIndex, indexCrc } from '../../src/runs/index-section.ts'
import { hashSeed, textKey } from './run-files.ts'

const RUN_SEED = 5

/** The index of blocks that begin at these offsets, separated by `b`, `c`, `d` and so on of table 1. */
function indexOf(
  offsets: readonly number[],
  blocksEnd: number,
  firstBuckets: readonly number[] = [0],
  forge: (section: Uint8Array) => void = () => undefined,
): RunIndex {
  const builder = new IndexBuilder()
  offsets.forEach((offset, i) => {
    const key = textKey(1, String.fromCharCode(97 + i))
    builder.add(offset, key, i === 0 ? 0 : key.length)
  })
  const section = builder.finish(blocksEnd, firstBuckets)
  forge(section)
  const indexAt = blocksEnd + firstBuckets.length * 4096
  const footer: Footer = {
    summary: {
      number: 1,
      id: '',
      bytes: indexAt + section.length + FOOTER_BYTES,
      entries: offsets.length,
      tombstones: 0,
      firstSequence: 1,
      lastSequence: 1,
    },
    indexCrc: indexCrc(section, RUN_SEED),
    hasExpiries: false,
    expiriesCrc: 0,
    pagesAt: blocksEnd,
    indexAt,
    blocks: offsets.length,
    pages: firstBuckets.length,
    shape: { buckets: 1000, fingerprintBits: 8, blockBits: 4 },
    hashSeed,
    firstTable: 1,
    lastTable: 1,
  }
  return new RunIndex(section, footer, RUN_SEED, 'file')
}

describe('RunIndex', () => {
  it('finds the last block whose separator is not behind a key (X1)', () => {
    const index = indexOf([0, 100, 200, 300], 400)
    const cases: [string, number][] = [
      ['', 0],
      ['a', 0],
      ['az', 0],
      ['b', 1],
      ['ba', 1],
      ['c', 2],
      ['d', 3],
      ['zzz', 3],
    ]
    for (const [text, block] of cases) {
      const key = textKey(1, text)
      expect([text, index.blockOf(key, key.length)]).toEqual([text, block])
    }
    expect([index.blockOf(textKey(0, 'x'), 5), index.blockOf(textKey(2, ''), 4)]).toEqual([0, 3])
  })

  it('holds places beyond 4 GiB, to 48 bits', () => {
    const offsets = [0, 2 ** 31 + 7, 2 ** 32 + 7, 2 ** 47, 2 ** 47 + 2 ** 32 - 1]
    const index = indexOf(offsets, 2 ** 48 - 2 ** 20)
    expect([0, 1, 2, 3, 4, 5].map((block) => index.offsetOf(block))).toEqual([...offsets, 2 ** 48 - 2 ** 20])
  })

  it('refuses blocks that overlap, touch nothing or go backwards (X2)', () => {
    for (const offsets of [[1], [0, 24], [0, 100, 100], [0, 200, 100]]) {
      expect(() => indexOf(offsets, 1000).check()).toThrow('is damaged at byte')
    }
    expect(() => indexOf([0, 990], 1000).check()).toThrow('is damaged at byte')
  })

  it('refuses separators that lie outside or go backwards when a search comes to them, whoever forged the checksum (X2)', () => {
    const key = textKey(1, 'b')
    // Rows have 12 bytes; where the separator of a block begins is in the last six.
    for (const forged of [2 ** 40, 200]) {
      const index = indexOf([0, 100, 200, 300], 400, [0], (section) => {
        for (let i = 0, left = forged; i < 6; i++, left = Math.floor(left / 256)) section[2 * 12 + 6 + i] = left % 256
      })
      expect(() => index.blockOf(key, key.length)).toThrow('is damaged at byte')
      expect(() => index.check()).toThrow('is damaged at byte')
    }
  })

  it('finds the page of a bucket, however unevenly they are spread', () => {
    for (const firstBuckets of [[0], [0, 1, 2, 3], [0, 997, 998, 999], [0, 500], [0, 10, 900]]) {
      const index = indexOf([0], 100, firstBuckets)
      for (let bucket = 0; bucket < 1000; bucket++) {
        expect(index.pageOf(bucket, 1000)).toBe(firstBuckets.findLastIndex((first) => first <= bucket))
      }
    }
    for (const firstBuckets of [[1], [0, 0], [0, 5, 4]]) {
      expect(() => indexOf([0], 100, firstBuckets)).toThrow('do not ascend')
    }
  })
})
