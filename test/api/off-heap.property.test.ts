/** Tables of structs and bytes against plain Maps: transactions, snapshots, scans, rollbacks, reopening, compaction. */
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Database, type Handle, maps, type Reader } from '../../src/index.ts'
import { Directory } from '../persistence/directory.ts'
import { fcParameters } from '../support/random.ts'

const blobs = maps.stringBytes('blobs')
const records = maps.stringStruct('records', { id: 'u32', name: 'string', marks: 'f64[]', note: 'string?' })
type Record = Parameters<
  Handle<string, NonNullable<ReturnType<NonNullable<typeof records.options.value>['decode']>>>['set']
>[1]

const key = fc.nat({ max: 12 }).map((n) => `k${n}`)
const blob = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(0, 1, 2, 12, 128, 144, 1025, 140_000).map((length) => new Uint8Array(length).fill(length)),
)
const record: fc.Arbitrary<Record> = fc.record(
  {
    id: fc.nat(),
    name: fc.string({ maxLength: 20 }),
    marks: fc.array(fc.double(), { maxLength: 6 }),
    note: fc.string({ maxLength: 300 }),
  },
  { requiredKeys: ['id', 'name', 'marks'], noNullPrototype: true },
)
const write = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('blob' as const), key, value: blob }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('record' as const), key, value: record }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('edit' as const), key, id: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
)
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('single' as const), write }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('transaction' as const),
      writes: fc.array(write, { minLength: 1, maxLength: 6 }),
      end: fc.constantFrom('commit', 'throw', 'savepoint'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('snapshot' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), at: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('vacuum' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
)
type Write = typeof write extends fc.Arbitrary<infer W> ? W : never

/** Faster than the matchers by far, for long values. */
function expectSame(actual: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(actual, wanted)) expect(actual).toEqual(wanted)
}

class Model {
  blobs = new Map<string, Uint8Array>()
  records = new Map<string, Record>()

  copy(): Model {
    const copy = new Model()
    copy.blobs = new Map(this.blobs)
    copy.records = new Map(this.records)
    return copy
  }

  apply(act: Write): void {
    if (act.kind === 'blob') this.blobs.set(act.key, act.value)
    else if (act.kind === 'record') this.records.set(act.key, act.value)
    else if (act.kind === 'delete') {
      this.blobs.delete(act.key)
      this.records.delete(act.key)
    } else {
      const old = this.records.get(act.key)
      if (old !== undefined) this.records.set(act.key, { ...old, id: act.id })
    }
  }

  expectIn(blobReader: Reader<string, Uint8Array>, recordReader: Reader<string, Record>): void {
    for (let n = 0; n <= 12; n++) {
      expectSame(blobReader.get(`k${n}`), this.blobs.get(`k${n}`))
      expectSame(recordReader.get(`k${n}`), this.records.get(`k${n}`))
    }
    const sorted = <V>(map: Map<string, V>): [string, V][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
    expectSame([...blobReader.entries()], sorted(this.blobs))
    expectSame([...recordReader.entries()], sorted(this.records))
  }
}

async function run(
  db: Database<never, never>,
  steps: readonly (typeof step extends fc.Arbitrary<infer S> ? S : never)[],
  model: Model,
): Promise<void> {
  const [b, r] = [db.handle(blobs), db.handle(records)]
  const open: { snapshot: ReturnType<typeof db.snapshot>; model: Model }[] = []
  for (const act of steps) {
    if (act.kind === 'single') {
      const one = act.write
      model.apply(one)
      if (one.kind === 'blob') await b.set(one.key, one.value)
      else if (one.kind === 'record') await r.set(one.key, one.value)
      else if (one.kind === 'delete') await Promise.all([b.delete(one.key), r.delete(one.key)])
      else await r.update(one.key, (current) => current && { ...current, id: one.id })
    } else if (act.kind === 'transaction') {
      const after = model.copy()
      const done = b.transaction((tx) => {
        const others = tx.table(records)
        const apply = (one: Write): void => {
          if (one.kind === 'blob') tx.set(one.key, one.value)
          else if (one.kind === 'record') others.set(one.key, one.value)
          else if (one.kind === 'delete') {
            tx.delete(one.key)
            others.delete(one.key)
          } else others.entry(one.key).andModify((current) => ({ ...current, id: one.id }))
        }
        const half = act.end === 'savepoint' ? act.writes.length >> 1 : act.writes.length
        for (const one of act.writes.slice(0, half)) {
          apply(one)
          after.apply(one)
        }
        if (act.end === 'savepoint') {
          const mark = tx.savepoint()
          for (const one of act.writes.slice(half)) apply(one)
          tx.rollbackTo(mark)
        }
        after.expectIn(tx, others)
        if (act.end === 'throw') throw new RangeError('given up')
      })
      if (act.end === 'throw') await expect(done).rejects.toThrow(RangeError)
      else {
        await done
        model.blobs = after.blobs
        model.records = after.records
      }
    } else if (act.kind === 'snapshot') open.push({ snapshot: db.snapshot(), model: model.copy() })
    else if (act.kind === 'release') open.splice(act.at % (open.length + 1), 1)[0]?.snapshot[Symbol.dispose]()
    else if (act.kind === 'vacuum') await db.vacuum()
    else await db.compact()
    model.expectIn(b, r)
    for (const { snapshot, model: then } of open) then.expectIn(snapshot.table(blobs), snapshot.table(records))
    if (db.options.path === undefined) expect((await db.check()).problems).toEqual([])
  }
  expect((await db.check()).problems).toEqual([])
  for (const { snapshot } of open) snapshot[Symbol.dispose]()
}

describe('tables with values outside of the heap', () => {
  it('hold in memory what Maps hold', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        await using db = await Database.open<never, never>()
        await run(db, steps, new Model())
      }),
      fcParameters(300),
    )
  })

  it('hold on disk what Maps hold, over sessions', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 8 }), { minLength: 2, maxLength: 3 }), async (sessions) => {
        using place = new Directory()
        const model = new Model()
        for (const steps of sessions) await place.session((db) => run(db as never, steps, model))
        await place.session((db) => model.expectIn(db.handle(blobs), db.handle(records)))
      }),
      fcParameters(6),
    )
  })
})
