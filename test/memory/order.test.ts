/** Writes that wait for room: they take effect in the order of their calls, with the arguments of their calls. */
import { describe, expect, it, onTestFinished } from 'vitest'

import { openWith } from '../../src/database.ts'
import { type Database, type Handle, VarveError } from '../../src/index.ts'
import { type RoomState, WriteLine } from '../../src/room.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { failure } from '../api/fixtures.ts'
import { Random, seed } from '../support/random.ts'

interface Value {
  n: number
  filling: string
}

async function openOf<K>(storage = new SimulatedStorage({ seed }), limit = 100_000): Promise<Database<K, Value>> {
  const db = await openWith<K, Value>(
    { path: '/db', durability: 'relaxed', maxMemoryBytes: limit, wal: { segmentBytes: 2 ** 20 } },
    { storage, background: 'inline' },
  )
  onTestFinished(() => db.close())
  return db
}

function open(storage?: SimulatedStorage): Promise<Database<string, Value>> {
  return openOf(storage)
}

const valueOf = (n: number, bytes: number): Value => ({ n, filling: 'x'.repeat(bytes) })

/** A call on a handle, and what it comes to on a plain Map. */
interface Call {
  readonly key: string
  readonly outcome: Promise<unknown>
  readonly replay: (model: Map<string, Value>) => unknown
}

function makeCall(handle: Handle<string, Value>, random: Random, n: number): Call {
  const key = `key ${random.int(12)}`
  // Small ones would fit where a large one does not.
  const value = valueOf(n, random.chance(0.2) ? 8000 : random.int(500))
  switch (random.int(7)) {
    case 0:
      return { key, outcome: handle.delete(key), replay: (model) => model.delete(key) }
    case 1: {
      const replay = (model: Map<string, Value>): unknown => {
        const before = model.get(key)
        model.set(key, value)
        return before?.n
      }
      return { key, outcome: handle.swap(key, value).then((before) => before?.n), replay }
    }
    case 2: {
      const replay = (model: Map<string, Value>): unknown => {
        const next = { ...value, n: (model.get(key)?.n ?? 0) + 1 }
        model.set(key, next)
        return next.n
      }
      const outcome = handle.update(key, (current) => ({ ...value, n: (current?.n ?? 0) + 1 }))
      return { key, outcome: outcome.then((after) => after?.n), replay }
    }
    case 3: {
      const replay = (model: Map<string, Value>): unknown => {
        if (!model.has(key)) model.set(key, value)
        return model.get(key)?.n
      }
      return { key, outcome: handle.getOrInsert(key, value).then((is) => is.n), replay }
    }
    default:
      return { key, outcome: handle.set(key, value), replay: (model) => void model.set(key, value) }
  }
}

describe('writes that wait for room', () => {
  for (const spread of [40, 400]) {
    it(`take effect in the order of their calls, ${spread} at a time`, async () => {
      const db = await open()
      const handle = db.handle()
      const random = new Random(seed + spread)
      const model = new Map<string, Value>()
      let waited = 0
      for (let n = 1; n <= 3000;) {
        const calls: Call[] = []
        for (let i = 0; i < spread; i++, n++) {
          const { sequence } = db.cursor
          calls.push(makeCall(handle, random, n))
          if (db.cursor.sequence === sequence) waited++
        }
        const settled = await Promise.allSettled(calls.map(({ outcome }) => outcome))
        for (const [i, result] of settled.entries()) {
          const call = calls[i] as Call
          if (result.status === 'fulfilled') expect(result.value).toEqual(call.replay(model))
          else expect(result.reason).toMatchObject({ code: 'MEMORY_LIMIT' })
        }
        for (const [key, value] of model) expect(handle.get(key)).toEqual(value)
        expect(handle.size).toBe(model.size)
      }
      // Otherwise this would show nothing. Some deletions find nothing and make no commit.
      expect(waited).toBeGreaterThan(300)
    })
  }

  it('are not overtaken when the room comes from elsewhere', async () => {
    const db = await open()
    const handle = db.handle()
    const keyOf = (n: number): string => `key ${n % 60}`
    let held = 0
    for (let round = 0; round < 20; round++) {
      // Old versions that a snapshot sees fill the memory until a write has to wait; then they go.
      const snapshot = db.snapshot()
      let first: Promise<void> | null = null
      let n = 0
      for (; first === null; n++) {
        const { sequence } = db.cursor
        const outcome = handle.set(keyOf(n), valueOf(n, 1500))
        if (db.cursor.sequence === sequence) first = outcome
        else await outcome
      }
      const key = keyOf(n - 1)
      snapshot.close()
      await db.vacuum()
      const { sequence } = db.cursor
      const second = handle.set(key, valueOf(-round, 1))
      if (db.cursor.sequence === sequence) held++
      await Promise.allSettled([first, second])
      expect(handle.get(key)?.n).toBe(-round)
    }
    expect(held).toBeGreaterThan(0)
  })

  it('have the arguments of their calls', async () => {
    const db = await open()
    const handle = db.handle()
    const filler: Promise<void>[] = []
    for (let i = 0; i < 200; i++) filler.push(handle.set(`filler ${i}`, valueOf(i, 2000)))
    const { sequence } = db.cursor
    const [one, two, three, expected] = [valueOf(1, 1), valueOf(2, 1), valueOf(3, 1), valueOf(1, 1)]
    const outcomes = [
      handle.set('one', one),
      handle.swap('two', two),
      handle.getOrInsert('three', three),
      handle.compareAndSet('one', expected, two),
    ]
    expect(db.cursor.sequence).toBe(sequence)
    for (const value of [one, two, three, expected]) value.n = 99
    await Promise.all([...filler, ...outcomes])
    expect(['one', 'two', 'three'].map((key) => handle.get(key)?.n)).toEqual([2, 2, 3])
    expect(await outcomes[3]).toBe(true)
  })

  it('have the arguments of their calls when they are refused in their turn and run again', async () => {
    const db = await openOf<number[]>()
    const handle = db.handle()
    const filler = Array.from({ length: 200 }, (_, i) => handle.set([1, i], valueOf(i, 2000)))
    const { sequence } = db.cursor
    const key = [2]
    let runs = 0
    const outcome = handle.update(key, (current) => {
      if (runs++ === 0) handle.transactionSync((tx) => tx.set([2], valueOf(7, 1)))
      return valueOf((current?.n ?? 0) + 1, 1)
    })
    expect(db.cursor.sequence).toBe(sequence)
    key[0] = 3
    await Promise.all([...filler, outcome])
    expect(runs).toBe(2)
    expect(handle.get([2])?.n).toBe(8)
    expect(handle.has([3])).toBe(false)
  })

  it('are refused together on a full disk, and go on when there is room', async () => {
    const storage = new SimulatedStorage({ seed, capacityBytes: 3.2 * 2 ** 20 })
    const db = await open(storage)
    const handle = db.handle()
    const write = async (): Promise<void> => {
      for (let i = 0; i < 1000; i++) await handle.set(`key ${i}`, valueOf(i, 1000))
    }
    expect(await failure(write)).toMatchObject({ code: 'IO' })
    // What the attempt gave back is not left for a later one.
    storage.capacityBytes = storage.usedBytes
    const { operations } = storage
    const many = Array.from({ length: 100 }, (_, i) => handle.set(`key ${i}`, valueOf(-i, 1000)))
    const settled = await Promise.allSettled(many)
    for (const result of settled) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'IO' } })
    // One attempt to make room told all of them.
    expect(storage.operations - operations).toBeLessThan(40)
    storage.capacityBytes = Infinity
    await write()
    for (let i = 0; i < 1000; i++) expect(handle.get(`key ${i}`)?.n).toBe(i)
  })

  it('are refused by close()', async () => {
    const db = await open()
    const outcomes = Array.from({ length: 400 }, (_, i) => db.handle().set(`key ${i}`, valueOf(i, 2000)))
    const settled = Promise.allSettled(outcomes)
    await db.close()
    const codes = new Set(
      (await settled).map((one) => (one.status === 'fulfilled' ? 'done' : (one.reason as { code: string }).code)),
    )
    expect([...codes].toSorted()).toEqual(['CLOSED', 'done'])
  })

  it('are refused one after the other once the first has waited long enough: those behind it waited too', async () => {
    const refusal = new VarveError('MEMORY_LIMIT', 'no room')
    let reliefs = 0
    const relief = (): Promise<void> =>
      ++reliefs > 100 ? Promise.reject(new Error('it waits for ever')) : Promise.resolve()
    const residency = { crowded: false, curable: refusal, relief }
    const line = new WriteLine()
    // Others make dirty what a checkpoint has just brought to disk, so that there is always something to wait for.
    const state = { engine: { residency }, log: { crowded: false }, closed: null, line } as unknown as RoomState
    let attempts = 0
    const write = (): never => {
      attempts++
      throw refusal
    }
    const settled = await Promise.allSettled(Array.from({ length: 10 }, () => line.join(state, write)))
    for (const result of settled) expect(result).toMatchObject({ status: 'rejected', reason: refusal })
    expect([attempts, reliefs]).toEqual([13, 3])
    expect(line.isEmpty).toBe(true)
  })
})
