/** Options of a database: checked once, all together, with a hint where a name is nearly right. */
import { describe, expect, it } from 'vitest'

import { codecs, Database, keys, merges } from '../../src/index.ts'
import { failure, open, refusal } from './fixtures.ts'

const complaint = async (options: unknown): Promise<string> => {
  const error = await failure(() => Database.open(options as never))
  expect(error.code).toBe('INVALID_OPTIONS')
  expect(error.retryable).toBe(false)
  return error.message
}

describe('options', () => {
  it('that are all right are taken', async () => {
    const db = await Database.open({
      durability: 'memory',
      isolation: 'snapshot',
      vacuum: { intervalMs: 0 },
      maplet: { capacity: 100, falsePositiveRate: 0.01, autoResize: true },
      maxTransactionAgeMs: 1000,
      maxSnapshotAgeMs: 2000,
      clock: () => 5,
      key: keys.string(),
      value: codecs.float64(),
      sizeOf: () => 8,
      merge: merges.sum,
    })
    await db.handle().merge('n', 1)
    expect(db.handle().sizeBytes).toBe(8)
    await db.close()
  })

  it('may be left undefined, one by one', async () => {
    const db = await Database.open({
      durability: undefined,
      isolation: undefined,
      vacuum: undefined,
      maplet: undefined,
      maxTransactionAgeMs: undefined,
      maxSnapshotAgeMs: undefined,
      clock: undefined,
      key: undefined,
      value: undefined,
      sizeOf: undefined,
      merge: undefined,
    })
    expect(db.options.isolation).toBe('serializable')
    await db.close()
  })

  it('that are wrong are named in one error, each with what it should be', async () => {
    const message = await complaint({
      isolation: 'repeatable',
      durability: 'full',
      vacuum: { intervalMs: -1, interval: 5 },
      maplet: { capacity: 'big', falsePositiveRate: 2, autoResize: 1, size: 3 },
      maxTransactionAgeMs: '5',
      maxSnapshotAgeMs: Number.NaN,
      clock: 5,
      key: 'string',
      value: { encode: 1 },
      sizeOf: 8,
      merge: () => 0,
      nonsense: true,
    })
    for (const name of [
      'isolation',
      'durability',
      'vacuum.intervalMs',
      'vacuum.interval ',
      'maplet.capacity',
      'maplet.falsePositiveRate',
      'maplet.autoResize',
      'maplet.size',
      'maxTransactionAgeMs',
      'maxSnapshotAgeMs',
      'clock',
      'key must',
      'value must',
      'sizeOf',
      'merge',
      'nonsense',
    ]) {
      expect(message).toContain(name)
    }
    expect(message).toContain('"serializable", "snapshot"')
    expect(message).not.toContain('repeatable')
  })

  it.each([
    ['isolaton', 'isolation'],
    ['Isolation', 'isolation'],
    ['vaccum', 'vacuum'],
    ['maxTransactionAgeMS', 'maxTransactionAgeMs'],
    ['maxsnapshotagems', 'maxSnapshotAgeMs'],
    ['sizeof', 'sizeOf'],
    ['mapelt', 'maplet'],
    ['keys', 'key'],
    ['values', 'value'],
    ['clok', 'clock'],
  ])('%s is nearly %s, and the error says so', async (given, meant) => {
    const message = await complaint({ [given]: undefined })
    expect(message).toContain(given)
    expect(message).toMatch(new RegExp(`did you mean ${meant}\\b`))
  })

  it('that resemble nothing get no guess', async () => {
    expect(await complaint({ zzz: 1 })).not.toMatch(/did you mean/)
    expect(await complaint({ x: 1 })).not.toMatch(/did you mean/)
  })

  it('wal.retain takes bytes, ms or both', async () => {
    expect(await complaint({ path: 'x', wal: { retain: {} } })).toContain('wal.retain needs bytes, ms, or both')
    expect(await complaint({ path: 'x', wal: { retain: 5 } })).toContain('wal.retain must be an object')
    const message = await complaint({ path: 'x', wal: { retain: { bytes: -1, ms: 'x', hours: 3 } } })
    for (const name of ['wal.retain.bytes', 'wal.retain.ms', 'wal.retain.hours']) expect(message).toContain(name)
  })

  it.each([{ durability: 'relaxed' }, { durability: 'full' }, { flush: {} }, { wal: {} }, { readOnly: true }])(
    '%o needs a path',
    async (options) => {
      expect(await complaint(options)).toMatch(/needs a path/)
    },
  )

  it('of the disk that are wrong are named in one error too', async () => {
    const message = await complaint({
      path: '',
      durability: 'memory',
      readOnly: 1,
      flush: { intervalMs: -1, commits: 0, bytes: 'x', every: 1 },
      wal: { segmentBytes: 1, poolSize: 0, size: 1 },
    })
    for (const name of [
      'path must',
      "durability 'memory'",
      'readOnly',
      'flush.intervalMs',
      'flush.commits',
      'flush.bytes',
      'flush.every',
      'wal.segmentBytes',
      'wal.poolSize',
      'wal.size',
    ]) {
      expect(message).toContain(name)
    }
    expect(await complaint({ path: 'a\0b' })).toContain('path must')
    expect(await complaint({ path: 5 })).toContain('path must')
    for (const path of ['file:///x', new URL('file:///x')]) expect(await complaint({ path })).toContain('fileURLToPath')
    expect(await complaint('./here')).toContain('{ path }')
    expect(await complaint({ path: 'x', flush: { interval: 3 } })).toContain('did you mean intervalMs?')
  })

  it('that contradict each other are refused', async () => {
    expect(await complaint({ maplet: { autoResize: false } })).toMatch(/autoResize.*capacity/)
  })

  it('take Infinity where a limit may be none, and nothing that a timer cannot hold', async () => {
    expect(open({ maxTransactionAgeMs: Infinity, maxSnapshotAgeMs: Infinity }).options.maxSnapshotAgeMs).toBe(Infinity)
    expect(await complaint({ vacuum: { intervalMs: 2 ** 31 } })).toContain('vacuum.intervalMs')
    expect(await complaint({ vacuum: true })).toContain('vacuum')
    expect(await complaint({ vacuum: {} })).toContain('vacuum.intervalMs')
    expect(await complaint({ vacuum: null })).toContain('vacuum')
  })

  it('that are no object are refused', async () => {
    for (const wrong of [null, 5, 'x', [], () => 1]) expect(await complaint(wrong)).toContain('options')
    const db = await Database.open(undefined)
    await db.close()
  })

  it('from JSON change no prototype and do not hide', async () => {
    const message = await complaint(JSON.parse('{"__proto__": {"isolation": "snapshot"}, "constructor": 1}'))
    expect(message).toContain('__proto__')
    expect(message).toContain('constructor')
    expect(({} as { isolation?: unknown }).isolation).toBeUndefined()
  })

  it('reject through the promise of open(), never by a throw', async () => {
    const opening = Database.open({ nonsense: 1 } as never)
    expect(await refusal(() => opening)).toBe('INVALID_OPTIONS')
  })
})
