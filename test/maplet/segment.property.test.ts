import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CellFormat, Layout, NARROW, WIDE, WIDE_VALUES } from '../../src/maplet/format.ts'
import { checkSegment } from '../../src/maplet/inspect.ts'
import {
  halve,
  join,
  mergeSegments,
  nextEntry,
  rebuild,
  type Rederive,
  type ValueMerge,
} from '../../src/maplet/reshape.ts'
import { Segment, VOID } from '../../src/maplet/segment.ts'
import { fcParameters } from '../support/random.ts'

interface Entry {
  readonly y: number
  readonly value: number
}

const formats: readonly (readonly [string, CellFormat])[] = [
  ['wide with values', WIDE_VALUES],
  ['wide', WIDE],
  ['narrow', NARROW],
]

const layoutOf = (format: CellFormat): Layout => new Layout(format, format, 0.01, 2048)

const noKeys: Rederive = {
  rederive: () => {
    throw new Error('there are no keys')
  },
}

/** Hashes that crowd: few homes, many equal, the ends of the range among them. */
const hash = fc.oneof(
  fc.integer(),
  fc
    .tuple(fc.constantFrom(0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff), fc.nat(0xffff))
    .map(([home, rest]) => (home << 16) | rest),
  fc.constantFrom(0, -1, 1, 0x7fff_ffff, -0x8000_0000, 0x8000, 0x7fff_8000),
)

/** Many enough that clusters run into each other and over the last home, too few to be crowded. */
const hashes = fc.oneof(fc.array(hash, { maxLength: 30 }), fc.array(fc.integer(), { minLength: 100, maxLength: 170 }))

const slots = fc.constantFrom(256, 257, 300, 311, 1000, 2047)

function entriesIn(segment: Segment): Entry[] {
  const result: Entry[] = []
  for (let i = nextEntry(segment, 0); i < segment.end; i = nextEntry(segment, i + 1)) {
    result.push({ y: segment.decode(i), value: segment.valueAt(i) })
  }
  return result
}

/** By y, unsigned, highest first; equal ones as they came. */
function sorted(entries: readonly Entry[]): Entry[] {
  return [...entries].sort((p, q) => (q.y >>> 0) - (p.y >>> 0))
}

/** A segment with those hashes, values counted from `from`, and what it should hold; null if they crowd. */
function filled(
  format: CellFormat,
  size: number,
  given: readonly number[],
  from = 0,
  depth = 3,
): [Segment, Entry[]] | null {
  const segment = new Segment(format, depth, size)
  const model: Entry[] = []
  for (const [i, x] of given.entries()) {
    const y = segment.seal(x)
    model.push({ y, value: format.stride === 1 ? from + i : 0 })
    if (segment.insert(y, from + i)) return null
  }
  return [segment, sorted(model)]
}

describe.each(formats)('a segment, %s', (_name, format) => {
  const layout = layoutOf(format)
  const some = fc
    .tuple(slots, hashes)
    .map(([size, given]) => filled(format, size, given))
    .filter((made) => made !== null)

  it('gives entries back in order, each at or behind its home (I1 to I4)', () => {
    fc.assert(
      fc.property(some, ([segment, model]) => {
        checkSegment(segment)
        expect(entriesIn(segment)).toEqual(model)
      }),
      fcParameters(200),
    )
  })

  it('matches a hash with every entry whose bits it has, and with no other', () => {
    fc.assert(
      fc.property(some, fc.array(hash, { maxLength: 10 }), ([segment, model], others) => {
        for (const x of [
          ...others,
          ...model.map(({ y }) => y),
          ...model.map(({ y }) => y ^ 1),
          ...model.map(({ y }) => y ^ 0x8000),
        ]) {
          const expected = model.filter(({ y }) => (x ^ y) >>> 0 < (y & -y) * 2)
          const found: Entry[] = []
          const step = 1 << format.stride
          for (let i = segment.match(x, segment.home(x)); i >= 0; i = segment.match(x, i + step)) {
            found.push({ y: segment.decode(i), value: segment.valueAt(i) })
          }
          expect(found).toEqual(expected)
        }
      }),
      fcParameters(100),
    )
  })

  it('keeps the others when entries are taken out, in any order', () => {
    fc.assert(
      fc.property(some, fc.infiniteStream(fc.nat()), ([segment, model], numbers) => {
        const left = [...model]
        while (left.length > 0) {
          const at = (numbers.next().value as number) % left.length
          let i = nextEntry(segment, 0)
          for (let skip = 0; skip < at; skip++) i = nextEntry(segment, i + 1)
          segment.removeAt(i)
          left.splice(at, 1)
          checkSegment(segment)
        }
        expect(segment.entries).toBe(0)
        expect(segment.cells.some((cell, i) => cell !== 0 && i % (1 << format.stride) === 0)).toBe(false)
      }),
      fcParameters(30),
    )
  })

  it('keeps the others, and those that come after, when some are taken out', () => {
    fc.assert(
      fc.property(some, hashes, fc.nat(), ([segment, model], more, salt) => {
        const kept = model.filter((_, i) => Math.imul(i + 1, salt | 1) % 3 !== 0)
        for (let k = model.length - 1; k >= 0; k--) {
          if (kept.includes(model[k]!)) continue
          let i = nextEntry(segment, 0)
          for (let skip = 0; skip < k; skip++) i = nextEntry(segment, i + 1)
          segment.removeAt(i)
        }
        expect(entriesIn(segment)).toEqual(kept)
        const added: Entry[] = []
        for (const [i, x] of more.entries()) {
          added.push({ y: segment.seal(x), value: format.stride === 1 ? 1000 + i : 0 })
          fc.pre(!segment.insert(segment.seal(x), 1000 + i))
        }
        checkSegment(segment)
        expect(entriesIn(segment)).toEqual(sorted([...kept, ...added]))
      }),
      fcParameters(60),
    )
  })

  it('holds the same entries in any number of slots', () => {
    fc.assert(
      fc.property(some, slots, ([segment, model], size) => {
        const other = rebuild(segment, size, layout)
        fc.pre(other !== null)
        checkSegment(other)
        const truncated = sorted(
          model.map(({ y, value }) => ({ y: (y & (other.mark - 1)) === 0 ? y : other.seal(y), value })),
        )
        expect(entriesIn(other)).toEqual(truncated)
        if (format.payloadBits > 16) expect(truncated).toEqual(model)
        expect(entriesIn(segment)).toEqual(model)
      }),
      fcParameters(150),
    )
  })

  it('splits by its next hash bit, and each entry loses one bit', () => {
    fc.assert(
      fc.property(some, ([segment, model]) => {
        fc.pre(model.every(({ y }) => (y & 0xffff) !== VOID))
        const halves = halve(segment, layout, noKeys)
        fc.pre(halves !== null)
        for (const [bit, half] of halves.entries()) {
          checkSegment(half)
          expect(half.depth).toBe(segment.depth + 1)
          const seal = (y: number): number => ((y & (half.mark - 1)) === 0 ? y : half.seal(y))
          const expected = model
            .filter(({ y }) => ((y >>> 15) & 1) === bit)
            .map(({ y, value }) => ({ y: seal((y & ~0xffff) | ((y << 1) & 0xffff)), value }))
          expect(entriesIn(half)).toEqual(sorted(expected))
        }
        expect(entriesIn(segment)).toEqual(model)
      }),
      fcParameters(150),
    )
  })

  it('is joined from two halves, and gains back the bit', () => {
    fc.assert(
      fc.property(slots, hashes, hashes, slots, (size, some0, some1, joinedSize) => {
        const zeros = filled(format, size, some0)
        const ones = filled(format, size, some1, 500)
        fc.pre(zeros !== null && ones !== null)
        const joined = join(zeros[0], ones[0], joinedSize, layout)
        fc.pre(joined !== null)
        checkSegment(joined)
        expect(joined.depth).toBe(zeros[0].depth - 1)
        const seal = (y: number): number => ((y & (joined.mark - 1)) === 0 ? y : joined.seal(y))
        const raised = (entries: readonly Entry[], bit: number): Entry[] =>
          entries.map(({ y, value }) => {
            const ended = y & 1 ? y | 2 : y // Bit 1 is where an entry with all bits will end.
            return { y: seal((y & ~0xffff) | (bit << 15) | ((ended & 0xffff) >>> 1)), value }
          })
        const byValue = (p: Entry, q: Entry): number => p.value - q.value || (p.y >>> 0) - (q.y >>> 0)
        expect(entriesIn(joined).sort(byValue)).toEqual([...raised(zeros[1], 0), ...raised(ones[1], 1)].sort(byValue))
      }),
      fcParameters(100),
    )
  })

  it('is merged from two in order, the first before its equals', () => {
    const values: ValueMerge = { first: (value) => value, second: (value) => value, both: null }
    fc.assert(
      fc.property(hashes, hashes, slots, (some0, some1, size) => {
        const one = filled(format, 300, some0)
        const two = filled(format, 300, some1, 500)
        fc.pre(one !== null && two !== null)
        const merged = mergeSegments(one[0], two[0], size, layout, values)
        fc.pre(merged !== null)
        checkSegment(merged)
        const seal = (y: number): number => ((y & (merged.mark - 1)) === 0 ? y : merged.seal(y))
        expect(entriesIn(merged)).toEqual(sorted([...one[1], ...two[1]]).map(({ y, value }) => ({ y: seal(y), value })))
      }),
      fcParameters(100),
    )
  })
})

describe('entries of two segments that agree', () => {
  const values: ValueMerge = {
    first: (value) => value,
    second: (value) => value,
    both: (merged, second) => merged * 100 + second,
  }
  const bits = (address: number, rest: number): number => (address << 16) | rest
  const merge = (one: readonly Entry[], two: readonly Entry[]): Entry[] => {
    const segments = [one, two].map((entries) => {
      const segment = new Segment(WIDE_VALUES, 0, 256)
      for (const { y, value } of entries) segment.insert(y, value)
      return segment
    })
    const merged = mergeSegments(segments[0]!, segments[1]!, 300, layoutOf(WIDE_VALUES), values)!
    checkSegment(merged)
    return entriesIn(merged)
  }

  it('become one with the bits that both have, so that it answers for the keys of both', () => {
    const long = bits(9, 0b1010_0000_0000_0001)
    const short = bits(9, 0b1010_1000_0000_0000)
    expect(merge([{ y: long, value: 1 }], [{ y: short, value: 2 }])).toEqual([{ y: short, value: 102 }])
    expect(merge([{ y: short, value: 2 }], [{ y: long, value: 1 }])).toEqual([{ y: short, value: 201 }])
    expect(merge([{ y: bits(9, VOID), value: 3 }], [{ y: long, value: 1 }])).toEqual([{ y: bits(9, VOID), value: 301 }])
  })

  it('stay two if they differ in a bit that both have, or in the address', () => {
    const [one, two] = [bits(9, 0b1010_1000_0000_0000), bits(9, 0b1011_1000_0000_0000)]
    expect(merge([{ y: one, value: 1 }], [{ y: two, value: 2 }])).toEqual([
      { y: two, value: 2 },
      { y: one, value: 1 },
    ])
    expect(merge([{ y: bits(9, 1), value: 1 }], [{ y: bits(10, 1), value: 2 }])).toHaveLength(2)
  })

  it('of one segment stay two', () => {
    expect(
      merge(
        [
          { y: bits(9, 1), value: 1 },
          { y: bits(9, 1), value: 2 },
        ],
        [],
      ),
    ).toHaveLength(2)
  })
})

describe('an entry that has lost all hash bits', () => {
  const spent = (address: number): number => (address << 16) | VOID

  it('is copied to both halves in a filter', () => {
    for (const format of [WIDE, NARROW]) {
      const segment = new Segment(format, 0, 256)
      const addresses = [0, 5, 5, 0x7fff, 0x8000, 0xffff]
      for (const address of addresses) segment.insert(spent(address), 0)
      for (const rest of [0x1234, 0x9234]) segment.insert(segment.seal((5 << 16) | rest), 0)
      let halves = halve(segment, layoutOf(format), noKeys)!
      for (const half of halves) checkSegment(half)
      expect(halves.map(({ entries }) => entries)).toEqual([7, 7])
      // However often it is copied, there is one of it in each segment.
      for (let depth = 2; depth < 8; depth++) halves = halve(halves[depth & 1]!, layoutOf(format), noKeys)!
      for (const half of halves) {
        checkSegment(half)
        expect(half.entries).toBeGreaterThanOrEqual(6)
        expect(half.entries).toBeLessThanOrEqual(7)
        for (const address of addresses) {
          for (let rest = 0; rest < 0x1_0000; rest += 997) {
            const x = (address << 16) | rest
            expect(half.match(x, half.home(x))).toBeGreaterThanOrEqual(0)
          }
        }
      }
    }
  })

  it('finds its half by its key where keys are known', () => {
    const segment = new Segment(WIDE_VALUES, 4, 256)
    for (let value = 0; value < 100; value++) segment.insert(spent(value * 600), value)
    const full = (value: number): number => ((value * 600) << 16) | (Math.imul(value, 0x9e37) & 0xffff)
    const source: Rederive = { rederive: (value, depth) => (depth === 4 ? full(value) : 0) }
    const halves = halve(segment, layoutOf(WIDE_VALUES), source)!
    for (const half of halves) checkSegment(half)
    for (let value = 0; value < 100; value++) {
      const half = halves[(full(value) >>> 15) & 1]!
      const moved = (full(value) & ~0xffff) | ((full(value) << 1) & 0xffff)
      const at = half.match(moved, half.home(moved))
      expect(half.valueAt(at)).toBe(value)
      expect(half.decode(at)).toBe(moved | 1)
    }
  })

  it('ends the split where they are not, and the segment is as it was', () => {
    const segment = new Segment(WIDE_VALUES, 4, 256)
    for (let value = 0; value < 100; value++) segment.insert(spent(value * 600), value)
    const before = entriesIn(segment)
    expect(() => halve(segment, layoutOf(WIDE_VALUES), noKeys)).toThrow('there are no keys')
    expect(entriesIn(segment)).toEqual(before)
    checkSegment(segment)
  })
})

describe('a crowded segment', () => {
  it.each(formats)('says so before its distances run over, %s (I4)', (_name, format) => {
    const segment = new Segment(format, 0, 256)
    // Its home is near the first slot, so there is room enough behind it.
    const y = segment.seal(0xf234_5678 | 0)
    let held = 0
    while (!segment.insert(y, held)) held++
    expect(held).toBe(format.maxDistance - 1)
    expect(rebuild(segment, 300, layoutOf(format))).toBeNull()
    expect(halve(segment, layoutOf(format), noKeys)).toBeNull()
  })

  // In narrow cells the distance runs out first.
  it.each(formats.slice(0, 2))('says so when it runs over the last home, %s (I4)', (_name, format) => {
    const segment = new Segment(format, 0, 256)
    let held = 0
    while (!segment.insert(segment.seal(((held * 8) % 2048) << 16), held)) held++
    expect(segment.cells[segment.brim]).not.toBe(0)
    expect(held).toBeGreaterThan(30)
    // What is too many is still there to be moved elsewhere, or to be taken out again.
    expect(entriesIn(segment)).toHaveLength(held + 1)
    expect(rebuild(segment, 2000, layoutOf(format))?.entries).toBe(held + 1)
    segment.removeAt(segment.match(0, segment.home(0)))
    checkSegment(segment)
  })
})
