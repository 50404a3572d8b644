/** Merging: operands that wait for the commit. */
import { describe, expect, it } from 'vitest'

import {
  codecs,
  type Key,
  type MergeOperator,
  merges,
  table,
  type Table,
  type TableOptions,
  type ValueCodec,
} from '../../src/index.ts'
import { contents, failure, open, refusal, thrown } from './fixtures.ts'

const sums: Table<string, number> = table<string, number>('sums', { merge: merges.sum })

const lists: Table<string, number[]> = table<string, number[]>('lists', {
  merge: { identity: [] as number[], merge: (list: number[], item: number): number[] => [...list, item] },
})

describe('merge', () => {
  it('combines the operand with the value, or with the identity where there is none', async () => {
    const handle = open().handle(sums)
    expect(await handle.merge('n', 5)).toBeUndefined()
    expect(handle.get('n')).toBe(5)
    await handle.merge('n', -2)
    expect(handle.get('n')).toBe(3)
    await handle.delete('n')
    await handle.merge('n', 1)
    expect(handle.get('n')).toBe(1)
  })

  it('shows in its transaction at once, below every other write', async () => {
    const handle = open().handle(sums)
    await handle.set('n', 10)
    await handle.transaction((tx) => {
      tx.merge('n', 1)
      expect([tx.get('n'), tx.has('n')]).toEqual([11, true])
      tx.merge('new', 5)
      expect([tx.get('new'), tx.has('new'), tx.count(), tx.size]).toEqual([5, true, 2, 2])
      tx.set('n', 100)
      tx.merge('n', 1)
      expect(tx.get('n')).toBe(101)
      tx.delete('n')
      tx.merge('n', 7)
      expect(tx.get('n')).toBe(7)
      expect(tx.take('n')).toBe(7)
      expect(tx.has('n')).toBe(false)
      tx.merge('n', 2)
      expect(tx.update('n', (n) => (n as number) * 10)).toBe(20)
      expect(tx.compareAndSet('n', 20, 21)).toBe(true)
      expect(tx.swap('n', 3)).toBe(21)
      tx.merge('n', 1)
    })
    expect(contents(handle)).toEqual([
      ['n', 4],
      ['new', 5],
    ])
  })

  it('applies at the commit, to whatever the value is then', async () => {
    const handle = open().handle(sums)
    await handle.set('n', 10)
    const tx = handle.begin()
    tx.merge('n', 1)
    await handle.set('n', 1000)
    await tx.commit()
    expect(handle.get('n')).toBe(1001)
  })

  it('of many at once all count, whoever commits first', async () => {
    const db = open()
    const handle = db.handle(sums)
    const transactions = Array.from({ length: 200 }, () => handle.begin())
    transactions.forEach((tx, i) => tx.merge('n', i))
    await Promise.all(transactions.reverse().map((tx) => tx.commit()))
    expect(handle.get('n')).toBe((199 * 200) / 2)
    expect(db.stats().transactions.conflicts).toBe(0)
  })

  it('that only associates keeps the order of commits', async () => {
    const handle = open().handle(lists)
    for (const item of [1, 2, 3]) await handle.merge('l', item)
    await handle.transaction((tx) => {
      tx.merge('l', 4)
      tx.merge('l', 5)
      expect(tx.get('l')).toEqual([1, 2, 3, 4, 5])
    })
    expect(handle.get('l')).toEqual([1, 2, 3, 4, 5])
  })

  it('needs an operator', async () => {
    const handle = open().handle()
    const error = await failure(() => handle.merge('n', 1))
    expect(error.code).toBe('INVALID_ARGUMENT')
    expect(error.message).toContain('default')
    await handle.transaction((tx) => expect(thrown(() => tx.merge('n', 1))).toBe('INVALID_ARGUMENT'))
    expect(handle.size).toBe(0)
  })

  it('takes an operator for the default table from the options', async () => {
    const handle = open({ merge: merges.sum }).handle()
    await handle.merge('n', 1)
    await handle.merge('n', 1)
    expect(handle.get('n')).toBe(2)
  })

  it('keeps operands private', async () => {
    const operator: MergeOperator<number[]> = { identity: [], merge: (a, b) => [...a, ...b] }
    const handle = open().handle(table<string, number[]>('t', { merge: operator }))
    const operand = [1]
    await handle.transaction((tx) => {
      tx.merge('k', operand)
      operand.push(2)
      expect(tx.get('k')).toEqual([1])
    })
    operand.push(3)
    expect(handle.get('k')).toEqual([1])
  })

  it('gives the operator nothing that it could spoil: not the value, not the operand, not the identity', async () => {
    const spoiling: MergeOperator<number[]> = {
      identity: [],
      merge: (list, items) => {
        list.push(...items)
        return list
      },
    }
    const handle = open().handle(table<string, number[]>('t', { merge: spoiling }))
    await expect(handle.merge('a', [1])).rejects.toThrow(TypeError)
    await expect(handle.merge('b', [2])).rejects.toThrow(TypeError)
    expect(spoiling.identity).toEqual([])
    expect(handle.size).toBe(0)
    const greedy: MergeOperator<unknown[]> = {
      identity: [],
      merge: (list, items) => [...list, items.push(0)],
    }
    const other = open().handle(table<string, unknown[]>('t', { merge: greedy }))
    await expect(other.merge('a', [1])).rejects.toThrow(TypeError)
  })

  it('by an operator that throws applies nothing, of the whole transaction', async () => {
    const mine = new Error('mine')
    const moody = table<string, number>('moody', {
      merge: {
        identity: 0,
        merge: (a: number, b: number): number => {
          if (b < 0) throw mine
          return a + b
        },
      },
    })
    const db = open()
    const handle = db.handle(moody)
    await handle.set('n', 1)
    await expect(handle.merge('n', -1)).rejects.toBe(mine)
    const outcome = handle.transaction((tx) => {
      tx.set('a', 1)
      tx.table(sums).set('b', 1)
      tx.merge('n', -1)
      tx.set('z', 1)
    })
    await expect(outcome).rejects.toBe(mine)
    const begun = handle.begin()
    begun.merge('n', -1)
    begun.set('a', 1)
    await expect(begun.commit()).rejects.toBe(mine)
    expect(await refusal(() => begun.commit())).toBe('TRANSACTION_CLOSED')
    await handle.transaction((tx) => {
      tx.merge('n', 1)
      tx.merge('n', -1)
      expect(() => tx.get('n')).toThrow(mine)
      expect(() => tx.delete('n')).not.toThrow()
      tx.set('n', 5)
      expect(() => tx.merge('n', -1)).toThrow(mine)
      expect(tx.get('n')).toBe(5)
    })
    expect(contents(handle)).toEqual([['n', 5]])
    expect(contents(db.handle(sums))).toEqual([])
    expect(db.stats().transactions.open).toBe(0)
  })

  it('names table and key where operand or result cannot be stored, and applies nothing', async () => {
    const broken = table<string, number>('broken', {
      value: codecs.int32(),
      merge: { identity: 0, merge: (a: number, b: number): number => a + b },
    })
    const handle = open().handle(broken)
    const operand = await failure(() => handle.merge('key of it', { f: () => 1 }))
    expect(operand.code).toBe('INVALID_VALUE')
    expect(operand.message).toMatch(/broken.*key of it/)
    const result = await failure(() => handle.merge('key of it', 0.5))
    expect(result.code).toBe('INVALID_VALUE')
    expect(result.message).toMatch(/broken.*key of it/)
    expect(handle.size).toBe(0)
  })

  it('is refused by keys and transactions like other writes', async () => {
    const handle = open<Key>({ merge: merges.sum }).handle()
    expect(await refusal(() => handle.merge(Number.NaN, 1))).toBe('INVALID_KEY')
    const reader = handle.begin({ readOnly: true })
    expect(thrown(() => reader.merge('k', 1))).toBe('READ_ONLY')
  })

  it('keeps sizes exact', async () => {
    const handle = open({ merge: merges.sum, sizeOf: (_key, value) => value }).handle()
    await handle.merge('n', 5)
    await handle.merge('n', 6)
    expect(handle.sizeBytes).toBe(11)
    await handle.transaction((tx) => {
      tx.merge('n', 1)
      expect(tx.sizeBytes).toBe(12)
      tx.merge('m', 2)
      expect(tx.sizeBytes).toBe(14)
    })
    expect(handle.sizeBytes).toBe(14)
    await handle.delete('n')
    expect(handle.sizeBytes).toBe(2)
  })
})

describe('the ready-made operators', () => {
  /** Merges operands into an absent key: two by autocommit, the rest in one transaction that reads what it has so far. */
  async function outcome(options: TableOptions<string, unknown>, operands: readonly unknown[]): Promise<unknown> {
    const handle = open().handle(table<string>('t', options))
    for (const operand of operands.slice(0, 2)) await handle.merge('k', operand)
    await handle.transaction((tx) => {
      for (const operand of operands.slice(2)) tx.merge('k', operand)
      expect(tx.get('k')).toBeDefined()
    })
    const separately = handle.get('k')
    await handle.delete('k')
    await handle.transaction((tx) => {
      for (const operand of operands) tx.merge('k', operand)
    })
    expect(handle.get('k')).toEqual(separately)
    return separately
  }

  const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

  it.each<{ name: keyof typeof merges; value?: ValueCodec<never>; operands: unknown[]; expected: unknown }>([
    { name: 'sum', operands: [1, 2, 3.5], expected: 6.5 },
    { name: 'sum', value: codecs.float64() as never, operands: [1, 2, 3.5], expected: 6.5 },
    { name: 'sum', value: codecs.int32() as never, operands: [1, -2, 3], expected: 2 },
    { name: 'sum', operands: [1n, 2n, 2n ** 70n], expected: 2n ** 70n + 3n },
    { name: 'sum', value: codecs.bigint64() as never, operands: [1n, 2n, 3n], expected: 6n },
    { name: 'min', operands: [5, 2, 7], expected: 2 },
    { name: 'min', value: codecs.int32() as never, operands: [5, 2, 7], expected: 2 },
    { name: 'min', value: codecs.biguint64() as never, operands: [5n, 2n, 7n], expected: 2n },
    { name: 'max', operands: [5, 2, 7], expected: 7 },
    { name: 'max', value: codecs.uint32() as never, operands: [5, 2, 7], expected: 7 },
    { name: 'union', operands: [new Set([1]), [2, 3], new Set([1, 4])], expected: new Set([1, 2, 3, 4]) },
    { name: 'replace', operands: ['a', { b: 1 }, 'c'], expected: 'c' },
    { name: 'replace', value: codecs.string() as never, operands: ['a', 'b', 'c'], expected: 'c' },
    { name: 'or', operands: [false, true, false], expected: true },
    { name: 'or', value: codecs.boolean() as never, operands: [false, true], expected: true },
    { name: 'or', value: codecs.uint32() as never, operands: [1, 4, 2 ** 31], expected: 2 ** 31 + 5 },
    { name: 'and', operands: [7n, 6n, 14n], expected: 6n },
    { name: 'and', value: codecs.boolean() as never, operands: [true, false], expected: false },
    { name: 'and', value: codecs.uint32() as never, operands: [7, 6, 14], expected: 6 },
    { name: 'addVectors', operands: [[1, 2], [3], [0, 0, 5]], expected: [4, 2, 5] },
    { name: 'addVectors', operands: [Float64Array.of(1, 2), Float64Array.of(3, 4)], expected: Float64Array.of(4, 6) },
    { name: 'concat', operands: ['a', 'b', 'c'], expected: 'abc' },
    { name: 'concat', value: codecs.string() as never, operands: ['a', 'b'], expected: 'ab' },
    { name: 'concat', operands: [[1], [2, 3], []], expected: [1, 2, 3] },
    { name: 'concat', value: codecs.bytes() as never, operands: [bytes(1), bytes(2, 3)], expected: bytes(1, 2, 3) },
    { name: 'append', operands: [1, [2], { c: 3 }], expected: [1, [2], { c: 3 }] },
  ])('$name over $operands', async ({ name, value, operands, expected }) => {
    const options = { merge: merges[name] as MergeOperator<unknown, never>, ...(value && { value: value as never }) }
    expect(await outcome(options, operands)).toEqual(expected)
  })

  it('refuse operands that they cannot merge, and leave what was there', async () => {
    const handle = open().handle(table<string>('t', { merge: merges.sum }))
    await handle.merge('k', 1)
    const error = await failure(() => handle.merge('k', 2n))
    expect(error.code).toBe('INVALID_VALUE')
    expect(error.message).toMatch(/merges\.sum.*'t'.*"k"/)
    expect(await refusal(() => handle.merge('k', 'x'))).toBe('INVALID_VALUE')
    expect(handle.get('k')).toBe(1)
  })

  it('that commute do not conflict; the others apply in the order of commits', async () => {
    for (const name of ['sum', 'min', 'max', 'union', 'or', 'and', 'addVectors'] as const) {
      expect([name, (merges[name] as { commutative?: boolean }).commutative]).toEqual([name, true])
    }
    for (const name of ['replace', 'concat', 'append'] as const) {
      expect([name, (merges[name] as { commutative?: boolean }).commutative ?? false]).toEqual([name, false])
    }
  })
})
