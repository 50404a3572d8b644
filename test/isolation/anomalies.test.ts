/**
 * The anomalies of the literature, one by one and at both levels (Adya 1999; Berenson et al. 1995; Fekete, O'Neil, O'Neil
 * 2004; the names and shapes of the "hermitage" suite): what `serializable` refuses and what `snapshot` lets through.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Database, type Handle, type Transaction, VarveError } from '../../src/index.ts'

type Level = 'serializable' | 'snapshot'

let db: Database<string, number>
let handle: Handle<string, number>
let opened: Transaction<string, number>[]

beforeEach(async () => {
  opened = []
  db = await Database.open<string, number>()
  handle = db.handle()
  await handle.transaction((tx) => {
    tx.set('x', 1)
    tx.set('y', 1)
  })
})

afterEach(async () => {
  for (const tx of opened) tx[Symbol.dispose]()
  expect((await db.check()).problems).toEqual([])
  await db.close()
})

const LEVELS: readonly Level[] = ['serializable', 'snapshot']

function begin(isolation: Level): Transaction<string, number> {
  const tx = handle.begin({ isolation })
  opened.push(tx)
  return tx
}

/** How a commit ends: 'committed', or the code of its refusal. */
async function commit(tx: Transaction<string, number>): Promise<string> {
  try {
    await tx.commit()
    return 'committed'
  } catch (error) {
    if (error instanceof VarveError && error.retryable) return error.code
    throw error
  }
}

describe.each(LEVELS)('excluded at both levels, here %s', (level) => {
  it('G0, dirty write: the writes of two transactions are not mixed', async () => {
    const first = begin(level)
    const second = begin(level)
    first.set('x', 11)
    second.set('x', 12)
    second.set('y', 22)
    first.set('y', 21)
    expect(await commit(first)).toBe('committed')
    const outcome = await commit(second)
    expect([handle.get('x'), handle.get('y')]).toEqual(outcome === 'committed' ? [12, 22] : [11, 21])
  })

  it('G1a, aborted read: what is rolled back is never seen', () => {
    const writer = begin(level)
    const reader = begin(level)
    writer.set('x', 99)
    expect(reader.get('x')).toBe(1)
    expect(handle.get('x')).toBe(1)
    writer.rollback()
    expect(reader.get('x')).toBe(1)
    expect(begin(level).get('x')).toBe(1)
  })

  it('G1b, intermediate read: only the last write of a transaction is ever seen', async () => {
    const writer = begin(level)
    writer.set('x', 50)
    const early = begin(level)
    expect(early.get('x')).toBe(1)
    writer.set('x', 51)
    await writer.commit()
    expect(early.get('x')).toBe(1)
    expect(begin(level).get('x')).toBe(51)
  })

  it('G1c, circular information flow: of two transactions neither sees the other, or one sees the other', async () => {
    const first = begin(level)
    const second = begin(level)
    first.set('x', 11)
    second.set('y', 22)
    expect(first.get('y')).toBe(1)
    expect(second.get('x')).toBe(1)
    expect(await commit(first)).toBe('committed')
    // Each missed the write of the other: no cycle of information, but a write skew.
    expect(await commit(second)).toBe(level === 'serializable' ? 'SERIALIZATION_FAILURE' : 'committed')
  })

  it('OTV, observed transaction vanishes: a reader sees all of a transaction or nothing, and keeps seeing it', async () => {
    const first = begin(level)
    first.set('x', 11)
    first.set('y', 11)
    const second = begin(level)
    await first.commit()
    const reader = begin(level)
    expect(reader.get('x')).toBe(11)
    second.set('x', 12)
    second.set('y', 12)
    await commit(second)
    expect(reader.get('y')).toBe(11)
    expect(reader.get('x')).toBe(11)
    expect(await commit(reader)).toBe('committed')
  })

  it('PMP, predicate-many-preceders: a predicate has one answer in one transaction', async () => {
    const reader = begin(level)
    const tens = () => [...reader.entries()].filter(([, value]) => value % 10 === 0)
    expect(tens()).toEqual([])
    await handle.set('z', 30)
    await handle.set('x', 10)
    await handle.delete('y')
    expect(tens()).toEqual([])
    expect(reader.count()).toBe(2)
    expect(await commit(reader)).toBe('committed')
  })

  it('PMP for a writer: it cannot act on a predicate that has changed', async () => {
    const doubler = begin(level)
    const others = begin(level)
    for (const [key, value] of others.entries()) others.set(key, value + 10)
    for (const [key, value] of doubler.entries()) if (value === 1) doubler.set(key, value * 2)
    await others.commit()
    expect(await commit(doubler)).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
    expect([...handle.values()]).toEqual([11, 11])
  })

  it('P4, lost update: of two that read and write one key the second is refused', async () => {
    const first = begin(level)
    const second = begin(level)
    first.set('x', first.get('x')! + 1)
    second.set('x', second.get('x')! + 10)
    expect(await commit(first)).toBe('committed')
    expect(await commit(second)).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
    expect(handle.get('x')).toBe(2)
  })

  it('P4 by deletion: an update is not lost to a concurrent delete, nor a delete to an update', async () => {
    const remover = begin(level)
    const updater = begin(level)
    expect(remover.get('x')).toBe(1)
    remover.delete('x')
    updater.update('x', (value) => value! + 1)
    expect(await commit(updater)).toBe('committed')
    expect(await commit(remover)).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
    expect(handle.get('x')).toBe(2)
  })

  it('G-single, read skew: two reads come from one state', async () => {
    const reader = begin(level)
    expect(reader.get('x')).toBe(1)
    await handle.transaction((tx) => {
      tx.set('x', 2)
      tx.set('y', 2)
    })
    expect(reader.get('y')).toBe(1)
    expect(await commit(reader)).toBe('committed')
  })

  it('G-single by predicate: a scan and a read come from one state', async () => {
    const reader = begin(level)
    expect(reader.count()).toBe(2)
    await handle.transaction((tx) => {
      tx.set('z', 3)
      tx.set('y', 2)
    })
    expect(reader.get('y')).toBe(1)
    expect(reader.has('z')).toBe(false)
    expect(await commit(reader)).toBe('committed')
  })

  it('G-single for a writer: what it read may not have changed together with what it writes', async () => {
    const writer = begin(level)
    expect(writer.get('x')).toBe(1)
    await handle.transaction((tx) => {
      tx.set('x', 2)
      tx.set('y', 2)
    })
    writer.set('y', 9)
    expect(await commit(writer)).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
    expect(handle.get('y')).toBe(2)
  })
})

/** Refused at serializable, let through at snapshot. */
describe.each(LEVELS)('what tells the levels apart, here %s', (level) => {
  const refused = level === 'serializable' ? 'SERIALIZATION_FAILURE' : 'committed'

  it('G2-item, write skew: each reads both keys and writes one', async () => {
    const first = begin(level)
    const second = begin(level)
    expect(first.get('x')! + first.get('y')!).toBe(2)
    expect(second.get('x')! + second.get('y')!).toBe(2)
    first.set('x', -1)
    second.set('y', -1)
    expect(await commit(first)).toBe('committed')
    expect(await commit(second)).toBe(refused)
  })

  it('G2, anti-dependency cycle over predicates: each counts and inserts', async () => {
    const first = begin(level)
    const second = begin(level)
    expect(first.count({ prefix: 'task' })).toBe(0)
    expect(second.count({ prefix: 'task' })).toBe(0)
    first.set('task1', 1)
    second.set('task2', 1)
    expect(await commit(first)).toBe('committed')
    expect(await commit(second)).toBe(refused)
  })

  it('G2 over three: a ring in which each writes what the one before read', async () => {
    const ring = ['a', 'b', 'c']
    const transactions = ring.map(() => begin(level))
    transactions.forEach((tx, i) => expect(tx.get(ring[i]!)).toBeUndefined())
    transactions.forEach((tx, i) => tx.set(ring[(i + 1) % 3]!, i))
    expect(await commit(transactions[0]!)).toBe('committed')
    expect(await commit(transactions[1]!)).toBe('committed')
    expect(await commit(transactions[2]!)).toBe(refused)
  })

  it('read-only anomaly: a report sees a deposit and not the withdrawal that came before it', async () => {
    await handle.set('x', 0)
    await handle.set('y', 0)
    const withdrawal = begin(level)
    expect(withdrawal.get('x')! + withdrawal.get('y')!).toBe(0)
    const deposit = begin(level)
    deposit.set('y', deposit.get('y')! + 20)
    expect(await commit(deposit)).toBe('committed')
    const report = handle.begin({ isolation: level, readOnly: true })
    expect([report.get('x'), report.get('y')]).toEqual([0, 20])
    expect(await commit(report)).toBe('committed')
    withdrawal.set('x', -11) // with the penalty for an overdraft that the report rules out
    expect(await commit(withdrawal)).toBe(refused)
  })

  it('read-only anomaly, the reader last: the report is refused instead', async () => {
    const withdrawal = begin(level)
    withdrawal.set('x', withdrawal.get('x')! - withdrawal.get('y')! - 11)
    await handle.set('y', 20)
    const report = handle.begin({ isolation: level, readOnly: true })
    expect([report.get('x'), report.get('y')]).toEqual([1, 20])
    expect(await commit(withdrawal)).toBe('committed')
    expect(await commit(report)).toBe(refused)
  })

  it('phantom: a row appears in what another transaction has scanned', async () => {
    const first = begin(level)
    const second = begin(level)
    expect([...first.keys({ gte: 'p', lt: 'q' })]).toEqual([])
    expect(second.get('x')).toBe(1)
    second.set('p1', 1)
    first.set('x', 2)
    expect(await commit(second)).toBe('committed')
    expect(await commit(first)).toBe(refused)
  })

  it('phantom: a row disappears from what another transaction has scanned', async () => {
    const first = begin(level)
    const second = begin(level)
    expect([...first.keys()]).toEqual(['x', 'y'])
    expect(second.has('z')).toBe(false)
    second.delete('x')
    first.set('z', 2)
    expect(await commit(second)).toBe('committed')
    expect(await commit(first)).toBe(refused)
  })

  it('absent reads: each finds the other key missing and creates its own', async () => {
    const first = begin(level)
    const second = begin(level)
    expect(first.get('b')).toBeUndefined()
    expect(second.get('a')).toBeUndefined()
    first.set('a', 1)
    second.set('b', 1)
    expect(await commit(first)).toBe('committed')
    expect(await commit(second)).toBe(refused)
  })

  it('absent reads of a key that was deleted long ago', async () => {
    await handle.set('b', 1)
    await handle.delete('b')
    await db.vacuum()
    const first = begin(level)
    const second = begin(level)
    expect(first.has('b')).toBe(false)
    expect(second.get('x')).toBe(1)
    second.set('b', 2)
    first.set('x', 2)
    expect(await commit(second)).toBe('committed')
    expect(await commit(first)).toBe(refused)
  })

  it('re-inserted key: it exists again, but it is not the key that was seen', async () => {
    const first = begin(level)
    expect(first.has('x')).toBe(true)
    const second = begin(level)
    expect(second.get('y')).toBe(1)
    second.delete('x')
    first.set('y', 2)
    expect(await commit(second)).toBe('committed')
    await handle.set('x', 1)
    await db.vacuum()
    expect(await commit(first)).toBe(refused)
  })

  it('re-inserted key: the reader of its absence precedes every later life', async () => {
    const first = begin(level)
    expect(first.get('n')).toBeUndefined()
    await handle.set('n', 1)
    await handle.delete('n')
    await db.vacuum()
    const second = begin(level)
    expect(second.get('y')).toBe(1)
    second.set('n', 2)
    expect(await commit(second)).toBe('committed')
    first.set('y', 2)
    expect(await commit(first)).toBe(refused)
  })
})

describe('first committer wins', () => {
  it('at snapshot a concurrent overwrite always fails, blind or not, by set or by delete', async () => {
    for (const write of [
      (tx: Transaction<string, number>) => tx.set('x', 5),
      (tx: Transaction<string, number>) => tx.delete('x'),
    ]) {
      const tx = begin('snapshot')
      write(tx)
      await handle.set('x', 2)
      expect(await commit(tx)).toBe('WRITE_CONFLICT')
      expect(handle.get('x')).toBe(2)
    }
  })

  it('at snapshot a key created and deleted meanwhile has changed', async () => {
    const tx = begin('snapshot')
    expect(tx.has('new')).toBe(false)
    await handle.set('new', 1)
    await handle.delete('new')
    await db.vacuum()
    tx.set('new', 2)
    expect(await commit(tx)).toBe('WRITE_CONFLICT')
  })

  it('at snapshot a transaction that wrote nothing never aborts', async () => {
    const tx = begin('snapshot')
    expect(tx.get('x')).toBe(1)
    expect(tx.delete('nothing')).toBe(false)
    await handle.set('x', 2)
    await handle.set('nothing', 2)
    expect(await commit(tx)).toBe('committed')
    expect(handle.get('nothing')).toBe(2)
  })

  it('at serializable a blind overwrite passes', async () => {
    const tx = begin('serializable')
    tx.set('x', 5)
    await handle.set('x', 2)
    expect(await commit(tx)).toBe('committed')
    expect(handle.get('x')).toBe(5)
  })

  it('at serializable a blind overwrite is refused where it closes a cycle', async () => {
    const tx = begin('serializable')
    expect(tx.get('y')).toBe(1)
    await handle.transaction((other) => {
      other.set('x', 2)
      other.set('y', 2)
    })
    tx.set('x', 5)
    expect(await commit(tx)).toBe('SERIALIZATION_FAILURE')
    expect(handle.get('x')).toBe(2)
  })

  it('a snapshot-level writer counts as a blind writer for the serializable ones', async () => {
    const tx = begin('serializable')
    expect(tx.get('x')).toBe(1)
    const weak = begin('snapshot')
    expect(weak.get('y')).toBe(1)
    weak.set('x', 2)
    expect(await commit(weak)).toBe('committed')
    // What the weak one read is not tracked: this is a write skew that serializable among themselves would not allow.
    tx.set('y', 2)
    expect(await commit(tx)).toBe('committed')
    const other = begin('serializable')
    expect(other.get('x')).toBe(2)
    const writer = begin('snapshot')
    writer.set('x', 3)
    writer.set('y', 3)
    expect(await commit(writer)).toBe('committed')
    other.set('y', 4)
    expect(await commit(other)).toBe('SERIALIZATION_FAILURE')
  })
})

describe('what was asked is what is tracked', () => {
  it('reads of existence do not conflict with overwriting', async () => {
    const tx = begin('serializable')
    expect(tx.has('x')).toBe(true)
    expect(tx.count()).toBe(2)
    expect([...tx.keys()]).toEqual(['x', 'y'])
    await handle.transaction((other) => {
      other.get('z')
      other.set('x', 2)
      other.set('y', 2)
    })
    tx.set('z', 1)
    expect(await commit(tx)).toBe('committed')
  })

  it('a scan is read only as far as it was consumed', async () => {
    const tx = begin('serializable')
    const [first] = tx.entries()
    expect(first).toEqual(['x', 1])
    await handle.transaction((other) => {
      other.get('z')
      other.set('y', 2)
    })
    tx.set('z', 1)
    expect(await commit(tx)).toBe('committed')
  })

  it('own writes are not reads, the gaps beside them are', async () => {
    const passing = begin('serializable')
    passing.set('m', 1)
    expect([...passing.keys({ gte: 'm', lt: 'n' })]).toEqual(['m'])
    await handle.transaction((other) => {
      other.get('z')
      other.set('m', 2)
    })
    passing.set('z', 1)
    expect(await commit(passing)).toBe('committed')

    const failing = begin('serializable')
    failing.set('m', 1)
    expect([...failing.keys({ gte: 'm', lt: 'n' })]).toEqual(['m'])
    await handle.transaction((other) => {
      other.get('z')
      other.set('m2', 2)
    })
    failing.set('z', 1)
    expect(await commit(failing)).toBe('SERIALIZATION_FAILURE')
  })

  it('a savepoint takes back writes and keeps reads', async () => {
    const tx = begin('serializable')
    const savepoint = tx.savepoint()
    expect(tx.get('x')).toBe(1)
    tx.set('a', 1)
    tx.rollbackTo(savepoint)
    await handle.transaction((other) => {
      other.get('z')
      other.set('x', 2)
    })
    tx.set('z', 1)
    expect(await commit(tx)).toBe('SERIALIZATION_FAILURE')

    const free = begin('serializable')
    const before = free.savepoint()
    free.set('y', 5)
    free.rollbackTo(before)
    expect(free.get('x')).toBe(2)
    await handle.transaction((other) => {
      other.set('x', 3)
      other.set('y', 3)
    })
    expect(await commit(free)).toBe('committed')
    expect(handle.get('y')).toBe(3)
  })
})

describe('a refusal explains itself', () => {
  it('names the keys and the transactions of the cycle', async () => {
    const first = begin('serializable')
    const second = begin('serializable')
    first.set('x', second.get('y')!)
    first.get('y')
    second.get('x')
    second.set('y', 5)
    await first.commit()
    const error = await second.commit().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(VarveError)
    const { code, message, retryable } = error as VarveError
    expect({ code, retryable }).toEqual({ code: 'SERIALIZATION_FAILURE', retryable: true })
    expect(message).toContain('x')
    expect(message).toContain('y')
    expect(message).toContain(String(first.id))
    expect(message).toContain(String(second.id))
  })
})
