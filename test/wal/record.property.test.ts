/** Records: what is written is read (I1, I3), and bytes that are not records are refused within their bounds (I2). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VarveError } from '../../src/errors.ts'
import { encodeKey } from '../../src/keys/index.ts'
import { RecordBuffer, RecordReader, type TableDefinition } from '../../src/wal/record.ts'
import { fcParameters, Random, runs } from '../support/random.ts'
import { Collector } from './world.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const aKey = fc.oneof(
  fc.string(),
  fc.string({ minLength: 100, maxLength: 400 }),
  fc.double({ noNaN: true }).map((x) => x + 0),
  fc.bigInt(),
  fc.uint8Array(),
  fc.tuple(fc.string(), fc.integer()),
)
const aSize = fc.oneof(fc.nat(300), fc.maxSafeNat())
const anItem = fc.oneof(
  fc.record({
    kind: fc.constant('put' as const),
    table: fc.oneof(fc.nat(200), fc.maxSafeNat()),
    key: aKey,
    size: aSize,
    value: fc.uint8Array({ maxLength: 700 }),
    expiresAt: fc.oneof(fc.constant(0), fc.double({ min: Number.MIN_VALUE, max: Number.MAX_VALUE, noNaN: true })),
  }),
  fc.record({ kind: fc.constant('delete' as const), table: fc.nat(), key: aKey, expired: fc.boolean() }),
  fc.record({
    kind: fc.constant('resized' as const),
    table: fc.nat(),
    entries: fc.integer(),
    bytes: fc.integer({ min: -(2 ** 52), max: 2 ** 52 - 1 }).map((x) => x + 0),
  }),
)
const aCommit = fc.record({ timeMs: fc.double({ noNaN: true, noDefaultInfinity: true }), items: fc.array(anItem) })

type Item = typeof anItem extends fc.Arbitrary<infer T> ? T : never

function write(records: RecordBuffer, item: Item): string {
  switch (item.kind) {
    case 'put':
      records.put(item.table, item.key, item.value, item.size, item.expiresAt)
      return (
        `put ${item.table} ${hex(encodeKey(item.key))} ${item.size} ${hex(item.value)}` +
        (item.expiresAt === 0 ? '' : ` until ${item.expiresAt}`)
      )
    case 'delete':
      records.remove(item.table, item.key, item.expired)
      return `delete ${item.table} ${hex(encodeKey(item.key))}${item.expired ? ' expired' : ''}`
    case 'resized':
      records.resized(item.table, item.entries, item.bytes)
      return `resized ${item.table} ${item.entries} ${item.bytes}`
  }
}

const refuse = (what: string, offset: number): VarveError => new VarveError('CORRUPTION', `${what} at ${offset}`)

function payloadOf(records: RecordBuffer): Uint8Array {
  return records.memory.bytes.slice(32, 32 + records.payloadBytes)
}

describe('records', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(aCommit), fc.maxSafeNat(), fc.integer({ min: 512, max: 4000 }), (commits, first, bytes) => {
        const start = Math.min(first, Number.MAX_SAFE_INTEGER - 100)
        const records = new RecordBuffer(bytes)
        const expected = new Map<number, string>()
        const table: TableDefinition = { id: 1, name: 'a\ud800 "b"', key: null, value: 'json' }
        let sequence = start
        for (const { timeMs, items } of commits) {
          records.begin(1)
          records.put(1, 'forgotten', new Uint8Array(1000), 1)
          records.begin(timeMs)
          const text = [`@${timeMs}`, ...items.map((item) => write(records, item))].join('; ')
          records.end(++sequence)
          expected.set(sequence, text)
        }
        records.define(table)
        const sink = new Collector()
        const reader = new RecordReader(sink, start, 0, refuse)
        const payload = payloadOf(records)
        expect(reader.read(payload, payload.length)).toBe(commits.length)
        expect([...sink.commits]).toEqual([...expected])
        expect(sink.tables).toEqual([table])
        expect(reader.sequence).toBe(sequence)
      }),
      fcParameters(150),
    )
  })

  it('pass over what is in the runs, and still follow one another', () => {
    const records = new RecordBuffer(4096)
    for (let sequence = 1; sequence <= 5; sequence++) {
      records.begin(0)
      records.remove(1, sequence)
      records.end(sequence)
    }
    const sink = new Collector()
    const payload = payloadOf(records)
    new RecordReader(sink, 0, 3, refuse).read(payload, payload.length)
    expect([...sink.commits.keys()]).toEqual([4, 5])
    expect(() => new RecordReader(sink, 1, 3, refuse).read(payload, payload.length)).toThrow(
      'commit 1 stands where 2 should',
    )
  })

  it('are right or refused, whatever the bytes (I2)', () => {
    const random = new Random('bytes of records')
    for (let i = 0; i < runs(4000); i++) {
      const records = new RecordBuffer(4096)
      records.begin(5)
      records.put(1, 'a key', new Uint8Array(random.int(300)), 300)
      records.put(1, 'another', new Uint8Array(random.int(30)), 300, 5e12)
      records.resized(1, 1, 300)
      records.end(1)
      records.define({ id: 1, name: 'n', key: 'string', value: 'json' })
      const payload = payloadOf(records)
      for (let j = random.int(4); j >= 0; j--) payload[random.int(payload.length)] = random.int(256)
      const cut = random.chance(0.2) ? random.int(payload.length) : payload.length
      const sink = new Collector()
      try {
        new RecordReader(sink, 0, 0, refuse).read(payload, cut)
      } catch (error) {
        expect(error).toBeInstanceOf(VarveError)
        expect((error as VarveError).code).toBe('CORRUPTION')
      }
    }
  })

  it.each([
    ['a type of the future', [9, 0, 0, 0, 0]],
    ['a length beyond the group', [1, 0xff, 0xff, 0xff, 0x7f]],
    ['a length of 2^32 - 1', [1, 0xff, 0xff, 0xff, 0xff]],
    ['a header that is cut', [1, 16, 0]],
    ['a commit without its header', [1, 1, 0, 0, 0, 1]],
    ['a commit of length 0', [1, 0, 0, 0, 0]],
    ['an operation of the future', [1, 17, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x13]],
    ['a put of the future', putOf(0x21, ...float64(1))],
    ['an expiry that is no number', putOf(0x11, ...float64(NaN))],
    ['an expiry that never comes', putOf(0x11, ...float64(Infinity))],
    ['an expiry of 0', putOf(0x11, ...float64(0))],
    ['an expiry of -0', putOf(0x11, ...float64(-0))],
    ['an expiry before 1970', putOf(0x11, ...float64(-1))],
    [
      'an expiry that is cut short',
      putOf(0x11, ...float64(1))
        .map((byte, i) => (i === 1 ? byte - 6 : byte))
        .slice(0, -6),
    ],
    ['a size that expires', putOf(0x13)],
    ['an endless number', [1, 27, 0, 0, 0, 1, ...zeros(15), 2, ...new Array<number>(10).fill(0xff)]],
    ['a key beyond the record', [1, 19, 0, 0, 0, 1, ...zeros(15), 2, 1, 200]],
    ['a time that is no number', [1, 16, 0, 0, 0, 1, ...zeros(7), 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]],
    ['a table that is no JSON', [2, 1, 0, 0, 0, 0x7b]],
    ['a table that is null', [2, 4, 0, 0, 0, ...Buffer.from('null')]],
    ['a table without a name', [2, 8, 0, 0, 0, ...Buffer.from('{"id":1}')]],
  ])('refuse %s', (_, bytes) => {
    const sink = new Collector()
    const read = (): number => new RecordReader(sink, 0, 0, refuse).read(Uint8Array.from(bytes), bytes.length)
    expect(read).toThrow(expect.objectContaining({ code: 'CORRUPTION' }))
  })

  it('are what they were before anything could expire, if it does not', () => {
    const records = new RecordBuffer(4096)
    records.begin(0)
    records.put(1, false, Uint8Array.of(7), 9)
    records.put(1, false, Uint8Array.of(7), 9, 0)
    const put = [1, 1, 1, 0x10, 9, 1, 7]
    records.remove(1, false)
    records.remove(1, false, true)
    records.put(1, false, Uint8Array.of(7), 9, 1.5)
    records.end(1)
    const expiring = [0x11, 1, 1, 0x10, ...float64(1.5), 9, 1, 7]
    expect([...payloadOf(records)].slice(21)).toEqual([...put, ...put, 2, 1, 1, 0x10, 0x12, 1, 1, 0x10, ...expiring])
  })

  it('are read with an expiry that is one', () => {
    const bytes = Uint8Array.from(putOf(0x11, ...float64(1)))
    const sink = new Collector()
    new RecordReader(sink, 0, 0, refuse).read(bytes, bytes.length)
    expect(sink.commits.get(1)).toContain('until 1')
  })

  it('are not written with an expiry that could not be read', () => {
    const records = new RecordBuffer(4096)
    records.begin(0)
    for (const expiresAt of [NaN, Infinity, -1]) {
      expect(() => records.put(1, 'k', new Uint8Array(1), 1, expiresAt)).toThrow('an instant of expiry')
    }
  })

  it('end where the rest is zeros', () => {
    expect(new RecordReader(new Collector(), 0, 0, refuse).read(new Uint8Array(480), 480)).toBe(0)
  })
})

function float64(number: number): number[] {
  return [...new Uint8Array(new Float64Array([number]).buffer)]
}

/** A commit with one item of a kind: `false` to one byte, with something behind the key. */
function putOf(kind: number, ...behindKey: number[]): number[] {
  const item = [kind, 1, 1, 0x10, ...behindKey, 9, 1, 7]
  return [1, 16 + item.length, 0, 0, 0, 1, ...zeros(15), ...item]
}

function zeros(count: number): number[] {
  return new Array<number>(count).fill(0)
}
