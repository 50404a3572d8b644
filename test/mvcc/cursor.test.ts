import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { type Bounds, compareKeys, inBounds, type Key, resolveRange } from '../../src/keys/index.ts'
import type { ScanCursor } from '../../src/mvcc/cursor.ts'
import type { Engine } from '../../src/mvcc/engine.ts'
import type { RangeRead } from '../../src/mvcc/predicates.ts'
import type { TableStore } from '../../src/mvcc/store.ts'
import type { TableView } from '../../src/mvcc/transaction.ts'
import { DELETE, SET } from '../../src/mvcc/write-set.ts'
import { fcParameters } from '../support/random.ts'
import { makeEngine } from './fixtures.ts'

/** Keys of the tests: numbers from 0, far enough apart to put others between. */
const SPAN = 400

const bounds: fc.Arbitrary<Bounds> = fc
  .record({
    lower: fc.option(fc.integer({ min: -5, max: SPAN + 5 })),
    upper: fc.option(fc.integer({ min: -5, max: SPAN + 5 })),
    open: fc.nat({ max: 3 }),
    reverse: fc.boolean(),
    limit: fc.option(fc.nat({ max: 120 })),
  })
  .map(({ lower, upper, open, reverse, limit }) =>
    resolveRange({
      ...(lower !== null && { [open % 2 === 0 ? 'gt' : 'gte']: lower }),
      ...(upper !== null && { [open < 2 ? 'lt' : 'lte']: upper }),
      reverse,
      ...(limit !== null && { limit }),
    }),
  )

const commits = fc.array(fc.tuple(fc.nat({ max: SPAN }), fc.boolean()), { maxLength: 40, size: 'max' })

function put(engine: Engine, store: TableStore, key: Key, isSet: boolean): void {
  engine.writeOne(
    store,
    key,
    isSet ? SET : DELETE,
    isSet ? `${String(key)}@${engine.clock + 1}` : undefined,
    isSet ? 8 : 0,
  )
}

function filled(keys: readonly number[]): { engine: Engine; store: TableStore } {
  const { engine, store } = makeEngine()
  for (const key of keys) put(engine, store, key, true)
  return { engine, store }
}

/** What a snapshot sees of a table, read key by key. */
function visible(view: TableView, store: TableStore): Map<number, unknown> {
  const seen = new Map<number, unknown>()
  for (let key = -10; key <= SPAN + 10; key++) {
    const pending = view.writes?.find(key)
    const id = store.find(key)
    const committed = id < 0 ? undefined : store.valueAt(id, view.txn.snapshot)
    const value = pending?.kind === SET ? pending.value : pending?.kind === DELETE ? undefined : committed
    if (value !== undefined) seen.set(key, value)
  }
  return seen
}

function drain(cursor: ScanCursor): [Key, unknown][] {
  const found: [Key, unknown][] = []
  while (cursor.next()) found.push([cursor.key, cursor.value])
  return found
}

describe('ScanCursor', () => {
  it('I1: gives what the snapshot sees within the bounds, in order, each once, whatever commits between the steps', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat({ max: SPAN }), { maxLength: 200, size: 'max' }),
        bounds,
        commits,
        fc.nat({ max: 12 }),
        (keys, within, between, every) => {
          const { engine, store } = filled(keys)
          const txn = engine.beginSnapshot()
          const view = txn.view(store)
          const expected = [...visible(view, store)].filter(([key]) => inBounds(key, within))
          if (within.reverse) expected.reverse()
          const cursor = view.scan(within, 'value')
          const found: [Key, unknown][] = []
          for (let i = 0; cursor.next(); i++) {
            found.push([cursor.key, cursor.value])
            if (i % (every + 1) === 0) for (const [key, isSet] of between.splice(0, 3)) put(engine, store, key, isSet)
            if (i % 5 === 0) engine.garbage.drain(10, engine.safePoint)
          }
          expect(found).toEqual(expected.slice(0, Math.min(within.limit, SPAN * 2)))
          expect(cursor.next()).toBe(false)
          engine.rollback(txn)
          expect(engine.check()).toEqual([])
        },
      ),
      fcParameters(200),
    )
  })

  it('I1: survives the leaves around it being split, emptied and taken away', () => {
    for (const reverse of [false, true]) {
      const { engine, store } = filled(Array.from({ length: 300 }, (_, i) => i))
      const txn = engine.beginSnapshot()
      const cursor = txn.view(store).scan(resolveRange({ reverse }), 'value')
      const found: Key[] = []
      for (let step = 0; cursor.next(); step++) {
        found.push(cursor.key)
        if (step === 10) for (let i = 0; i < 300; i++) put(engine, store, i, false)
        if (step === 50) for (let i = 0; i < 3000; i++) put(engine, store, i / 10 + 0.05, true)
        if (step === 150) for (let i = 0; i < 3000; i++) put(engine, store, i / 10 + 0.05, false)
        if (step > 150) engine.garbage.drain(100, engine.safePoint)
      }
      const expected = Array.from({ length: 300 }, (_, i) => i)
      expect(found).toEqual(reverse ? expected.reverse() : expected)
      engine.rollback(txn)
      engine.garbage.drain(Infinity, engine.safePoint)
      expect([store.entries, engine.check()]).toEqual([0, []])
    }
  })

  it('shows the transaction’s own writes over the snapshot, deletions too', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat({ max: SPAN }), { maxLength: 150, size: 'max' }),
        fc.array(fc.tuple(fc.nat({ max: SPAN }), fc.boolean()), { maxLength: 60 }),
        bounds,
        (keys, own, within) => {
          const { engine, store } = filled(keys)
          const txn = engine.begin(true, false)
          const view = txn.view(store)
          for (const [key, isSet] of own) {
            if (isSet) view.set(key, `own ${key}`, 8)
            else view.remove(key)
          }
          const expected = [...visible(view, store)].filter(([key]) => inBounds(key, within))
          if (within.reverse) expected.reverse()
          expect(drain(view.scan(within, 'value'))).toEqual(expected.slice(0, Math.min(within.limit, SPAN * 2)))
        },
      ),
      fcParameters(150),
    )
  })

  it('I2: the range covers exactly what the steps have told: gaps and keys up to the last one, own writes excepted', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat({ max: 60 }), { maxLength: 40 }),
        fc.array(fc.tuple(fc.nat({ max: 60 }), fc.boolean()), { maxLength: 8 }),
        fc.nat({ max: 20 }),
        fc.record({ gt: fc.nat({ max: 60 }), lte: fc.nat({ max: 60 }), reverse: fc.boolean() }),
        (keys, own, steps, given) => {
          const within = resolveRange(given)
          const { engine, store } = filled(keys)
          const view = engine.begin(true, false).view(store)
          for (const [key, isSet] of own) {
            if (isSet) view.set(key, 'own', 8)
            else view.remove(key)
          }
          const cursor = view.scan(within, 'value')
          if (within.empty) {
            expect(view.ranges).toBeNull()
            return
          }
          const [range] = view.ranges as [RangeRead]
          expect(coveredBy(range)).toEqual([])
          let last: number | undefined
          let done = false
          for (let i = 0; i < steps && !done; i++) {
            if (cursor.next()) last = cursor.key as number
            else done = true
          }
          const told = (key: number): boolean => {
            if (!inBounds(key, within)) return false
            if (done) return true
            if (last === undefined) return false
            return within.reverse ? key >= last : key <= last
          }
          const written = new Set(own.map(([key]) => key))
          const expected = Array.from({ length: 62 }, (_, i) => i).filter((key) => told(key) && !written.has(key))
          // Own writes beyond the last step may or may not be excepted yet; nothing has been told about them.
          expect(coveredBy(range)).toEqual(expected)
        },
      ),
      fcParameters(300),
    )
  })

  it('I2: a limit ends the range at its last key', () => {
    const { engine, store } = filled([1, 2, 3, 4, 5])
    const view = engine.begin(true, false).view(store)
    expect(drain(view.scan(resolveRange({ limit: 2 }), 'value'))).toHaveLength(2)
    const [range] = view.ranges as [RangeRead]
    expect([0, 1, 2, 3].map((key) => range.covers(key))).toEqual([true, true, true, false])
  })

  it('I3: a leaf stamped above the snapshot is looked at version by version', () => {
    const { engine, store } = filled([1, 2, 3])
    const txn = engine.beginSnapshot()
    put(engine, store, 2, true)
    put(engine, store, 4, true)
    expect(store.index.stamps[store.index.first.id]).toBeGreaterThan(txn.snapshot)
    expect(drain(txn.view(store).scan(resolveRange({}), 'value')).map(([, value]) => value)).toEqual([
      '1@1',
      '2@2',
      '3@3',
    ])
    // An honest stamp is what it relies on: with one that is too low it would show the newest state.
    store.index.stamps[store.index.first.id] = txn.snapshot
    expect(drain(txn.view(store).scan(resolveRange({}), 'value')).map(([, value]) => value)).toContain('2@4')
  })

  it('is ordered by the one order of keys, in a table of all kinds', () => {
    const { engine, store } = makeEngine()
    const keys: Key[] = ['b', 2, 1n, true, Uint8Array.of(1), ['a'], 'a', 1, false, [], '']
    for (const key of keys) put(engine, store, key, true)
    const found = drain(engine.beginSnapshot().view(store).scan(resolveRange({}), 'value')).map(([key]) => key)
    expect(found).toEqual(keys.toSorted(compareKeys))
  })
})

function coveredBy(range: RangeRead): number[] {
  return Array.from({ length: 62 }, (_, i) => i).filter((key) => range.covers(key))
}
