import { describe, expect, it } from 'vitest'
import { type KeyMatcher, MapletCore } from '../../src/maplet/core.ts'
import { MAPLET_LAYOUT, WIDE_FILTER_LAYOUT, WIDE_VALUES } from '../../src/maplet/format.ts'
import { hashKey, hashLow } from '../../src/maplet/hash.ts'
import { entriesOf, probesOf } from '../../src/maplet/inspect.ts'
import { Segment, VOID } from '../../src/maplet/segment.ts'
import { Owner, SMALL } from './model.ts'

function snapshot(core: MapletCore): unknown {
  return { entries: [...entriesOf(core)], stats: core.stats(), places: core.segments.length }
}

describe('options of the core', () => {
  it('are all named in one error if they are wrong', () => {
    expect(() => new MapletCore(null, { capacity: -1, falsePositiveRate: 1e-9, autoResize: false })).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTIONS',
        message: expect.stringMatching(
          /capacity must be.*falsePositiveRate 1e-9 cannot.*lowest possible is 0\.0001.*autoResize: false needs/,
        ),
      }),
    )
  })

  it.each([
    [{ capacity: 1.5 }, 'capacity'],
    [{ capacity: 2 ** 31 + 1 }, 'capacity'],
    [{ falsePositiveRate: 0 }, 'falsePositiveRate'],
    [{ falsePositiveRate: 2 }, 'falsePositiveRate'],
    [{ autoResize: false, capacity: 0 }, 'autoResize'],
  ])('%j are refused', (options, name) => {
    expect(() => new MapletCore(null, options)).toThrow(name)
  })
})

describe('capacity', () => {
  it('is reserved, so that no insert up to it changes the segments', () => {
    for (const capacity of [100, 5000, 60_000]) {
      const core = new MapletCore(null, { capacity, seed: 1 }, MAPLET_LAYOUT)
      const { slots, segments, bytes } = core.stats()
      for (let i = 0; i < capacity; i++) core.insert(hashKey(i, core), hashLow, i)
      expect(core.stats()).toMatchObject({ slots, segments, bytes, entries: capacity })
      if (capacity > 1000) expect(bytes / capacity).toBeLessThan(11)
    }
  })

  it('can be reserved later, with entries there', () => {
    const owner = new Owner({ seed: 5 })
    for (let i = 0; i < 3000; i++) owner.add(i)
    owner.core.reserve(20_000)
    owner.core.check()
    const { segments } = owner.core.stats()
    expect(segments).toBeGreaterThan(30)
    for (let i = 3000; i < 20_000; i++) owner.add(i)
    expect(owner.core.stats().segments).toBe(segments)
    owner.core.reserve(10)
    expect(owner.core.stats().segments).toBe(segments)
    for (let i = 0; i < 20_000; i += 77) expect(owner.find(i)).toBe(i)
  })

  it('without autoResize is the most it takes; what is refused changes nothing (I4)', () => {
    const core = new MapletCore(null, { capacity: 1000, autoResize: false, seed: 2 }, SMALL)
    for (let i = 0; i < 1000; i++) {
      expect(core.wouldExceed(1000 - i)).toBe(false)
      expect(core.wouldExceed(1001 - i)).toBe(true)
      core.insert(hashKey(i, core), hashLow, i)
    }
    const before = snapshot(core)
    expect(() => core.insert(hashKey('more', core), hashLow, 1000)).toThrow(
      expect.objectContaining({ code: 'CAPACITY_EXCEEDED', message: expect.stringContaining('1000') }),
    )
    expect(snapshot(core)).toEqual(before)
    core.check()
    expect(core.remove(hashKey(5, core), hashLow, 5)).toBe(true)
    core.insert(hashKey('more', core), hashLow, 1000)
    expect(core.size).toBe(1000)
  })

  it('without autoResize stays reserved when entries go', () => {
    const core = new MapletCore(null, { capacity: 1000, autoResize: false, seed: 2 }, SMALL)
    const { slots } = core.stats()
    for (let i = 0; i < 1000; i++) core.insert(hashKey(i, core), hashLow, i)
    for (let i = 0; i < 1000; i++) core.remove(hashKey(i, core), hashLow, i)
    expect(core.stats().slots).toBe(slots)
    core.clear()
    expect(core.stats().slots).toBe(slots)
  })

  it('never exceeds with autoResize', () => {
    expect(new MapletCore(null, { capacity: 10 }).wouldExceed(2 ** 31)).toBe(false)
  })
})

describe('bytes and load', () => {
  it('stay within 11 bytes an entry from some thousand entries on, at every step of growth', () => {
    const core = new MapletCore(null, { seed: 3 }, MAPLET_LAYOUT)
    let worst = 0
    for (let i = 0; i < 200_000; i++) {
      core.insert(hashKey(i, core), hashLow, i)
      if (i >= 3000 && i % 100 === 0) worst = Math.max(worst, core.bytes / core.size)
    }
    expect(worst).toBeLessThan(11)
    const probes = probesOf(core)
    expect(probes.mean).toBeLessThan(6)
    expect(probes.max).toBeLessThan(WIDE_VALUES.maxDistance)
  })

  it('fall when entries go', () => {
    const owner = new Owner({ seed: 4 }, MAPLET_LAYOUT)
    for (let i = 0; i < 50_000; i++) owner.add(i)
    for (let i = 0; i < 50_000; i++) if (i % 10 !== 0) owner.remove(i)
    expect(owner.core.stats().load).toBeGreaterThan(0.3)
    for (let i = 0; i < 50_000; i += 10) expect(owner.find(i)).toBe(i)
    owner.core.check()
  })
})

describe('candidates', () => {
  it('that turn out to be other keys are counted, and so are lookups', () => {
    const never: KeyMatcher = { matches: () => false }
    const core = new MapletCore(never, { seed: 1 })
    for (let i = 0; i < 100; i++) core.insert(hashKey(i, core), hashLow, i)
    expect(core.stats()).toMatchObject({ finds: 0, falseCandidates: 0, measuredFalsePositiveRate: 0 })
    for (let i = 0; i < 200; i++) expect(core.find(hashKey(i, core), hashLow, i)).toBe(-1)
    expect(core.stats()).toMatchObject({ finds: 200, falseCandidates: 100, measuredFalsePositiveRate: 0.5 })
  })

  it('have values of all 32 bits', () => {
    const core = new MapletCore(null, { seed: 1 })
    for (const value of [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      core.insert(hashKey(value, core), hashLow, value)
      expect(core.candidates(hashKey(value, core), hashLow)).toBe(1)
      expect(core.found[0]! >>> 0).toBe(value)
      expect(core.replace(hashKey(value, core), hashLow, value, 7)).toBe(true)
      expect(core.replace(hashKey(value, core), hashLow, value + 1, 9)).toBe(false)
      core.candidates(hashKey(value, core), hashLow)
      expect(core.found[0]).toBe(7)
      expect(core.remove(hashKey(value, core), hashLow, 7)).toBe(true)
    }
    expect(core.size).toBe(0)
  })
})

describe('entries whose hash bits are used up', () => {
  /** A core in one full segment of entries without hash bits: the next insert must split it. */
  function spentCore(owner: Owner, count: number): void {
    const segment = new Segment(WIDE_VALUES, 0, 256)
    const entries = Array.from({ length: count }, (_, value) => {
      const key = `key ${value}`
      owner.keys[value] = key
      return { y: (hashKey(key, owner.core) & 0xffff_0000) | VOID, value }
    })
    for (const { y, value } of entries) segment.insert(y, value)
    owner.core.install([segment, segment], null)
  }

  it('end growth with CAPACITY_EXCEEDED, and nothing is lost or changed (I4)', () => {
    const owner = new Owner({ seed: 6 }, MAPLET_LAYOUT.withMaxSlots(256))
    spentCore(owner, 230)
    const core = new MapletCore({ matches: () => true }, { seed: 6 }, owner.core.layout)
    core.install(owner.core.segments, null)
    const before = snapshot(core)
    expect(() => core.insert(hashKey('one more', core), hashLow, 230)).toThrow(
      expect.objectContaining({ code: 'CAPACITY_EXCEEDED', message: expect.stringContaining('230 entries') }),
    )
    expect(snapshot(core)).toEqual(before)
    core.check()
  })

  it('get new ones from their keys where keys are known', () => {
    const owner = new Owner({ seed: 6 }, MAPLET_LAYOUT.withMaxSlots(256))
    spentCore(owner, 230)
    for (let i = 0; i < 500; i++) owner.add(`new ${i}`)
    owner.core.check()
    for (let i = 0; i < 230; i++) expect(owner.find(`key ${i}`)).toBe(i)
    const bits = Array.from(entriesOf(owner.core), (entry) => entry.bits)
    expect(Math.min(...bits)).toBeGreaterThanOrEqual(16 + 15)
  })

  it('are copied in a filter, so that it goes on (I1, I3)', () => {
    const core = new MapletCore(null, { seed: 6 }, WIDE_FILTER_LAYOUT.withMaxSlots(512))
    const segment = new Segment(core.layout.small, 0, 256)
    for (let i = 0; i < 20; i++) segment.insert((hashKey(i, core) & 0xffff_0000) | VOID, 0)
    core.install([segment, segment], null)
    for (let i = 20; i < 4000; i++) core.insert(hashKey(i, core), hashLow, 0)
    core.check()
    expect(core.size).toBe(4000)
    for (let i = 0; i < 4000; i++) expect(core.contains(hashKey(i, core), hashLow)).toBe(true)
    for (let i = 0; i < 4000; i++) expect(core.remove(hashKey(i, core), hashLow, 0)).toBe(true)
    expect(core.size).toBe(0)
    core.check()
  })
})

describe('check', () => {
  const broken: Record<string, (core: MapletCore) => void> = {
    'maplet I3': (core) => core.size++,
    'I2: slot': (core) => {
      // Two neighbours of different homes change places.
      const segment = core.segments[0]!
      const { cells } = segment
      const unit = WIDE_VALUES.unit
      const at = cells.findIndex(
        (cell, i) => i % 2 === 0 && cell !== 0 && cells[i + 2]! >= 2 * unit && cells[i + 2]! < cell,
      )
      const [first, second] = [cells[at]!, cells[at + 2]!]
      cells[at] = second - unit
      cells[at + 2] = first + unit
    },
    'I3: slot': (core) => {
      const segment = core.segments[0]!
      segment.cells[segment.cells.findIndex((cell, i) => i % 2 === 0 && cell >= 2 * WIDE_VALUES.unit) - 2] = 0
    },
    'I4: the last': (core) => {
      const segment = core.segments[0]!
      segment.cells[segment.brim] = 1
    },
    'I1: ': (core) => {
      core.segments[0]!.entries++
      core.size++
    },
    'directory I2': (core) => {
      core.segments[0] = core.segments.at(-1)!
    },
    'not found by': (core) => {
      const segment = core.segments[0]!
      segment.cells[firstEntry(segment) + 1] = 999_999
    },
  }

  function firstEntry(segment: Segment): number {
    return segment.cells.findIndex((cell, i) => i % 2 === 0 && cell !== 0)
  }

  it.each(Object.keys(broken))('notices what breaks: %s', (message) => {
    const owner = new Owner({ seed: 8 })
    for (let i = 0; i < 3000; i++) owner.add(i)
    owner.keys[999_999] = 'nobody'
    owner.core.check()
    broken[message]!(owner.core)
    expect(() => owner.core.check()).toThrow(message)
  })
})
