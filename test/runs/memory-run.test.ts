import { describe, expect, it } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { compareBytes, encodeKey } from '../../src/keys/index.ts'
import { hashLow, hashStoredKey } from '../../src/runs/hash.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import { Random, runs } from '../support/random.ts'
import { seedOfTests } from './sources.ts'

function storedKey(table: number, key: Uint8Array): Uint8Array {
  return Uint8Array.of(table >>> 24, table >>> 16, table >>> 8, table, ...key)
}

function find(run: MemoryRun, stored: Uint8Array): boolean {
  const high = hashStoredKey(stored, stored.length, seedOfTests)
  return run.find(stored, stored.length, high, hashLow)
}

interface Expected {
  readonly stored: Uint8Array
  readonly sequence: number
  readonly size: number
  readonly value: Uint8Array | null
  readonly expiresAt: number
}

/** Encoded keys with long shared prefixes and of all lengths, so that words of four bytes are cut everywhere. */
function randomKey(random: Random): Uint8Array {
  const alphabet = random.pick(['ab', 'abcdefghijklmnop', '\0\u0001\u0100x'])
  const shared = 'shared prefix '.repeat(random.int(3))
  const tail = Array.from({ length: random.int(10) }, () => alphabet[random.int(alphabet.length)]).join('')
  return encodeKey(random.pick([shared + tail, [shared, tail], random.int(50), BigInt(random.int(50))]))
}

describe('a memory run', () => {
  it('has of every key the newest write, in order, and finds it by its hash (I1 to I4)', () => {
    for (let round = 0; round < runs(40); round++) {
      const random = new Random(`memory run ${round}`)
      const after = random.int(3)
      const run = new MemoryRun(seedOfTests, after, random.pick([0, 5000]))
      const model = new Map<string, Expected>()
      const operations = random.pick([10, 300, 3000])
      const expiring = random.pick([0, 0.01, 0.5])
      let sequence = 0
      for (let i = 0; i < operations; i++) {
        if (i === 0 || random.chance(0.3)) run.commit(++sequence, sequence * 10)
        const table = random.pick([0, 1, 0x01_0000, 0xffff_ffff])
        const key = randomKey(random)
        const stored = storedKey(table, key)
        const size = random.int(1000)
        const value = random.chance(0.25) ? null : new Uint8Array(random.int(90)).fill(i)
        const expiresAt = value !== null && random.chance(expiring) ? 1 + random.int(50) : 0
        if (value === null) run.remove(table, key)
        else run.put(table, key, size, value, expiresAt)
        key.fill(0xee)
        if (sequence > after) {
          const name = Buffer.from(stored).toString('hex')
          const expected = { stored, sequence, size: value === null ? 0 : size, value: value?.slice() ?? null }
          model.set(name, { ...expected, expiresAt })
        }
        value?.fill(0xee)
        if (random.chance(0.002)) run.sorted()
      }
      check(run, [...model.values()], random)
    }
  })

  function check(run: MemoryRun, expected: Expected[], random: Random): void {
    expected.sort((a, b) => compareBytes(a.stored, b.stored))
    expect(run.entries).toBe(expected.length)
    expect(run.tombstones).toBe(expected.filter(({ value }) => value === null).length)
    const instants = expected.map(({ expiresAt }) => expiresAt).filter((instant) => instant > 0)
    expect(run.expiring).toBe(instants.length)
    expect(run.expiries === null).toBe(instants.length === 0)
    expect(run.expiries?.least ?? Infinity).toBeLessThanOrEqual(Math.min(Infinity, ...instants))
    const walked: number[] = []
    for (let block = 0; block < (run.expiries?.blocks ?? 0); block++) {
      const walk = run.walk(block)
      while (walk.next()) if (walk.expiresAt > 0) walked.push(walk.expiresAt)
    }
    expect(walked.sort((a, b) => a - b)).toEqual(instants.sort((a, b) => a - b))
    const cursor = run.cursor()
    let isThere = cursor.first()
    for (const { stored, sequence, size, value, expiresAt } of expected) {
      if (isThere && cursor.expiresAt !== expiresAt) expect.fail('expiry')
      if (!isThere || compareBytes(cursor.key.subarray(0, cursor.keyLength), stored) !== 0) expect.fail('order of keys')
      if (cursor.sequence !== sequence || cursor.size !== size || cursor.tombstone !== (value === null))
        expect.fail('entry')
      if (Buffer.compare(cursor.value, value ?? new Uint8Array(0)) !== 0) expect.fail('value')
      if (!find(run, stored) || run.sequence !== sequence || run.tombstone !== (value === null)) expect.fail('find')
      if (Buffer.compare(run.value, value ?? new Uint8Array(0)) !== 0) expect.fail('value found')
      if (run.expiresAt !== expiresAt) expect.fail('expiry found')
      isThere = cursor.next()
    }
    expect(isThere).toBe(false)
    for (let i = 0; i < 50; i++) {
      const sought = storedKey(random.pick([0, 1, 2, 0xffff_ffff]), randomKey(random))
      const at = expected.findIndex(({ stored }) => compareBytes(stored, sought) >= 0)
      const rank = at < 0 ? expected.length : at
      const isHit = rank < expected.length && compareBytes(expected[rank]!.stored, sought) === 0
      expect(find(run, sought)).toBe(isHit)
      for (const inclusive of [true, false]) {
        expectAt(cursor.seek(sought, sought.length, inclusive), expected[isHit && !inclusive ? rank + 1 : rank])
        expectAt(cursor.seekBack(sought, sought.length, inclusive), expected[isHit && inclusive ? rank : rank - 1])
      }
    }

    function expectAt(moved: boolean, entry: Expected | undefined): void {
      expect(moved).toBe(entry !== undefined)
      if (entry !== undefined) expect(cursor.key.slice(0, cursor.keyLength)).toStrictEqual(entry.stored)
    }
  }

  it('sums up what becomes of tables, and passes over what runs hold', () => {
    const run = new MemoryRun(seedOfTests, 5)
    const table = { id: 3, name: 'accounts', key: null, value: 'json' }
    run.commit(5, 50)
    run.resized(3, 100, 1000)
    run.put(3, encodeKey('x'), 1, new Uint8Array(1))
    expect([run.entries, run.lastSequence, run.timeMs, run.has(3)]).toEqual([0, 0, 0, false])
    run.define(table)
    run.commit(6, 60)
    run.resized(3, 2, 20)
    run.resized(4, -1, -7)
    run.commit(7, 70)
    run.resized(3, -1, 5)
    run.put(3, encodeKey('x'), 1, new Uint8Array(1))
    expect([...run.deltas]).toEqual([
      [3, { entries: 1, bytes: 25 }],
      [4, { entries: -1, bytes: -7 }],
    ])
    expect(run.definitions).toEqual([table])
    expect([run.firstSequence, run.lastSequence, run.timeMs]).toEqual([6, 7, 70])
    expect([run.has(3), run.has(4)]).toEqual([true, false])
  })

  it('keeps no more than the log had, however often a key is written', () => {
    const run = new MemoryRun(seedOfTests)
    const key = encodeKey('counter')
    for (let i = 1; i <= 200_000; i++) {
      run.commit(i, i)
      run.put(1, key, 8, new Uint8Array(8))
    }
    expect(run.entries).toBe(1)
    expect(run.bytes).toBeLessThan(256 * 1024)
    for (let i = 1; i <= 2000; i++) run.put(1, key, i, new Uint8Array(i))
    expect(run.bytes).toBeLessThan(2000 * 1000 * 2)
  })

  it('takes values and keys as large as they come', () => {
    const run = new MemoryRun(seedOfTests)
    const key = encodeKey('k'.repeat(60_000))
    const value = new Uint8Array(20 << 20).fill(7)
    run.commit(1, 1)
    run.put(1, key, 1, value)
    run.put(1, encodeKey('small'), 1, new Uint8Array(0))
    expect(find(run, storedKey(1, key))).toBe(true)
    expect(Buffer.compare(run.value, value)).toBe(0)
    expect(find(run, storedKey(1, encodeKey('small')))).toBe(true)
    expect([run.tombstone, run.value.length]).toEqual([false, 0])
  })

  it('refuses a table that no stored key can name', () => {
    const run = new MemoryRun(seedOfTests)
    run.commit(1, 1)
    expect(() => run.remove(2 ** 32, encodeKey(1))).toThrow(VarveError)
  })
})
