/** What those who come from other caches and stores write at first: what they are told names what is meant instead. */
import { describe, expect, it } from 'vitest'

import { codecs, Database, type DatabaseOptions, maps, Snapshot, type VarveError } from '../../src/index.ts'
import { failure, open } from './fixtures.ts'

async function told(call: () => unknown): Promise<string> {
  const { code, message } = await failure(call)
  return `${code}: ${message}`
}

describe('options', () => {
  it.each<[object, string]>([
    [{ maxSize: 100 }, 'maxSize is unknown: there are key, value, merge'],
    [{ ttl: { ms: 5 } }, 'ttl.ms is unknown: there are defaultMs, sweepIntervalMs'],
    [{ ttl: 5000 }, 'ttl must be an object with any of defaultMs, sweepIntervalMs'],
    [{ ttl: { defaultMs: 0 } }, 'ttl.defaultMs must be a number of ms above 0, or Infinity for ever'],
    [{ ttl: { defaultMs: '5s' } }, 'ttl.defaultMs must be a number of ms above 0, or Infinity for ever'],
  ])('%j', async (options, message) => {
    expect(await told(() => Database.open(options as never))).toContain(message)
  })

  it('a default of Infinity is none, for a database as for a table, and db.options says it so', async () => {
    const options: DatabaseOptions = { ttl: { defaultMs: Infinity } }
    const handle = open(options).handle()
    await handle.set('k', 1)
    expect(handle.ttl('k')).toBeUndefined()
  })

  it('snapshot, fork and fromBytes refuse what they do not know', async () => {
    const db = open({ value: codecs.string() })
    expect(await told(() => db.snapshot({ saf: true } as never))).toMatch(/^INVALID_ARGUMENT: snapshot takes \{ safe/)
    expect(await told(() => db.snapshot(true as never))).toMatch(/^INVALID_ARGUMENT: snapshot takes \{ safe/)
    expect(await told(() => db.fork({ path: '/x' } as never))).toMatch(/^INVALID_ARGUMENT: fork takes \{ safe/)
    using snapshot = db.snapshot({ safe: false })
    const bytes = snapshot.toBytes()
    expect(await told(() => Snapshot.fromBytes(bytes, { values: codecs.string() } as never))).toMatch(
      /^INVALID_OPTIONS: .*did you mean value/,
    )
  })
})

describe('calls', () => {
  it.each<[string, (db: Database<string, number>) => unknown, string]>([
    [
      'a table by its name',
      (db) => db.handle('sessions' as never),
      'table(name, options) returns; this is the name alone',
    ],
    ['a key as a range', (db) => [...db.handle().inspect('k' as never)], 'a range is a string. Pass an object'],
    ['nothing to watch', (db) => db.handle().watch(undefined as never), '{ key } for one key, or a range: {} for all'],
    [
      'no function to modify with',
      (db) =>
        db
          .handle()
          .entry('k')
          .andModify(5 as never),
      'andModify takes a function',
    ],
    [
      'nor in a transaction',
      (db) => db.handle().transaction((tx) => void tx.entry('k').andModify(5 as never)),
      'andModify takes a function',
    ],
  ])('%s', async (_, call, message) => {
    expect(await told(() => call(open()))).toContain(message)
  })

  it('a snapshot that has been closed is called one', async () => {
    const db = open()
    const snapshot = db.snapshot()
    snapshot.close()
    expect(await told(() => snapshot.get('k'))).toMatch(/^TRANSACTION_CLOSED: the snapshot has been closed/)
  })

  it('room under a policy that has nothing to evict comes from the application', async () => {
    const fill = async (eviction: 'manual' | 'ttl'): Promise<string> => {
      const handle = open({ maxMemoryBytes: 250, eviction, sizeOf: () => 100 }).handle()
      return told(async () => {
        for (let i = 0; i < 3; i++) await handle.set(`${i}`, i)
      })
    }
    expect(await fill('manual')).toMatch(/'manual' has nothing to evict: call evict\(key\), or raise maxMemoryBytes$/)
    expect(await fill('ttl')).toMatch(/takes only what expires: write with ttlMs, or raise maxMemoryBytes$/)
  })
})

describe('structs', () => {
  it('say what can be done instead of changing them', async () => {
    const handle = open().handle(maps.stringStruct('s', { id: 'u32', list: 'u8[]' }))
    await handle.set('k', { id: 1, list: [1] })
    const view = handle.get('k') as { id: number; list: number[] }
    const changes = [() => (view.id = 2), () => (view.list[0] = 2), () => view.list.push(2)]
    for (const change of changes) expect(change).toThrow(/^what was read of a struct cannot be changed: store a copy/)
    expect({ ...view, list: [...view.list] }).toEqual({ id: 1, list: [1] })
  })

  it('say how arrays are written', () => {
    const define = (): unknown => codecs.struct({ list: ['u8'] } as never)
    expect(define).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' } satisfies Partial<VarveError>))
    expect(define).toThrow('schema.list of codecs.struct is an array: arrays of scalars are written as "u8[]"')
  })
})
