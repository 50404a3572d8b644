/** The ledger of dirty bytes against a plain list of what is in memory. */
import { describe, expect, it } from 'vitest'

import { DirtyLedger } from '../../src/mvcc/dirty-ledger.ts'
import { Random, runs } from '../support/random.ts'

describe('DirtyLedger', () => {
  it('D1, D2: counts what was written after what is settled, and no more than a span that is not dirty', () => {
    const random = new Random('ledger')
    for (let round = runs(50); round > 0; round--) {
      const first = random.pick([0, 1000])
      const spanBytes = random.pick([1, 100, 1000])
      const ledger = new DirtyLedger(first, spanBytes)
      const entries: { sequence: number; bytes: number }[] = []
      let clock = first
      let covered = first
      for (let i = 0; i < 300; i++) {
        const draw = random.next()
        if (draw < 0.5) {
          if (random.chance(0.8)) clock++
          const entry = { sequence: clock, bytes: random.between(1, 200) }
          entries.push(entry)
          ledger.count(entry.sequence, entry.bytes)
        } else if (draw < 0.8 && entries.length > 0) {
          const [gone] = entries.splice(random.int(entries.length), 1) as [(typeof entries)[0]]
          ledger.count(gone.sequence, -gone.bytes)
        } else if (draw < 0.9) {
          covered = random.between(covered, clock)
          ledger.settle(covered)
        }
        ledger.check()
        const sumAbove = (sequence: number): number =>
          entries.reduce((sum, entry) => sum + (entry.sequence > sequence ? entry.bytes : 0), 0)
        expect(ledger.bytes).toBe(sumAbove(ledger.settled))
        expect(ledger.settled).toBeLessThanOrEqual(covered)
        expect(ledger.bytes).toBeGreaterThanOrEqual(sumAbove(covered))
      }
      ledger.settle(clock)
      expect(ledger.bytes).toBe(0)
    }
  })

  it('D2: puts small commits together, so that there are few spans to search', () => {
    const ledger = new DirtyLedger(0, 1000)
    for (let sequence = 1; sequence <= 30; sequence++) ledger.count(sequence, 100)
    // Spans of ten commits each, which go as a whole.
    for (const [settled, bytes] of [
      [9, 3000],
      [10, 2000],
      [29, 1000],
      [30, 0],
    ] as const) {
      ledger.settle(settled)
      expect(ledger.bytes).toBe(bytes)
    }
  })
})
