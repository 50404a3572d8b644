import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'

import { codecs, type Database, keys, Snapshot, table, type ValueCodec } from '../../src/index.ts'
import { openWith } from '../../src/database.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { clockThatSteps } from '../support/patience.ts'
import { Random } from '../support/random.ts'
import { contents, failure, open, refusal, turn } from './fixtures.ts'

const texts: ValueCodec<string> = {
  name: 'test:text',
  encode: (value) => new TextEncoder().encode(value),
  decode: (bytes) => new TextDecoder().decode(bytes),
}
const plain = table<string>('plain')
const pairs = table<number[], number>('pairs')
const own = table<string, string>('own', { value: texts, key: keys.string() })
const records = table<number, { id: number; name: string }>('records', {
  value: codecs.struct({ id: 'u32', name: 'string' }),
})

async function fill(db: Pick<Database<string, number>, 'handle'>): Promise<void> {
  await db.handle().set('a', 1)
  await db.handle().set('b', 2)
  await db.handle(plain).set('object', { list: [1, 'x', null], at: new Date(5) })
  await db.handle(own).set('text', 'grüße')
  for (let id = 0; id < 50; id++) await db.handle(records).set(id, { id, name: `name ${id}` })
}

function everything(db: Pick<Database<string, number>, 'handle'>): unknown {
  return [
    contents(db.handle()),
    contents(db.handle(plain)),
    contents(db.handle(own)),
    contents(db.handle(records)).map(([key, { id, name }]) => [key, id, name]),
  ]
}

async function spoil(db: Pick<Database<string, number>, 'handle'>): Promise<void> {
  await db.handle().set('a', 100)
  await db.handle().delete('b')
  await db.handle().set('c', 3)
  await db.handle(plain).clear()
  await db.handle(own).set('text', 'other')
  await db.handle(records).set(7, { id: 7, name: 'changed' })
  await db.handle(records).delete(9)
  await db.handle(table('later')).set('x', 1)
}

describe('restore', () => {
  it('puts the state of a snapshot back, in all tables, as one commit', async () => {
    const db = open()
    await fill(db)
    const before = everything(db)
    using snapshot = db.snapshot()
    await spoil(db)
    const { sequence } = db
    const commits: number[] = []
    db.on('commit', ({ keys: written }) => commits.push(written))
    await db.restore(snapshot)
    expect(everything(db)).toEqual(before)
    expect(db.handle(table('later')).size).toBe(0)
    expect(db.sequence).toBe(sequence + 1)
    await Promise.resolve()
    // Only what differs: a, b, c, object, text, 7, 9, x.
    expect(commits).toEqual([8])
  })

  it('writes nothing if nothing differs', async () => {
    const db = open()
    await fill(db)
    const { sequence } = db
    const bytes = db.snapshot().toBytes()
    await db.restore(Snapshot.fromBytes(bytes))
    expect(db.sequence).toBe(sequence)
  })

  it('takes snapshots of another database, whose tables it has or makes', async () => {
    const db = open()
    await fill(db)
    const other = open()
    await other.handle().set('else', 1)
    await other.restore(db.snapshot())
    expect(everything(other)).toEqual(everything(db))
    await other.handle(records).set(1, { id: 1, name: 'mine' })
    expect(db.handle(records).get(1)!.name).toBe('name 1')
  })

  it('refuses tables of other codecs, and has changed nothing then', async () => {
    const db = open()
    await fill(db)
    const other = open()
    await other.handle().set('stays', 1)
    other.handle(table('own', { value: codecs.string() }))
    expect(await refusal(() => other.restore(db.snapshot()))).toBe('CODEC_MISMATCH')
    expect(contents(other.handle())).toEqual([['stays', 1]])
    expect(other.tables().sort()).toEqual(['default', 'own'])
  })

  it('refuses what is no snapshot, closed snapshots, and to write where nothing may be written', async () => {
    const db = open()
    expect(await refusal(() => db.restore(5 as never))).toBe('INVALID_ARGUMENT')
    expect(await refusal(() => db.restore(''))).toBe('INVALID_ARGUMENT')
    const snapshot = db.snapshot()
    snapshot.close()
    expect(await refusal(() => db.restore(snapshot))).toBe('TRANSACTION_CLOSED')
  })

  it('has read everything: what is in flight follows it or is refused', async () => {
    const db = open()
    await db.handle().set('x', 1)
    await db.handle().set('y', 1)
    using snapshot = db.snapshot()
    await db.handle().set('y', 2)
    const older = db.handle().begin()
    older.set('x', older.get('y')! + 10)
    await db.restore(snapshot)
    // It read y = 2, before the restore, and overwrites an x that the restore has read: no serial order.
    expect(await refusal(() => older.commit())).toBe('SERIALIZATION_FAILURE')
    expect(contents(db.handle())).toEqual([
      ['x', 1],
      ['y', 1],
    ])
    const blind = db.handle().begin()
    blind.set('z', 5)
    await db.restore(snapshot)
    await blind.commit()
    expect(db.handle().get('z')).toBe(5)
  })

  it.each(['its own snapshot', 'that of another'])('overwrites what is committed while it reads: %s', async (kind) => {
    // It looks at 256 keys at least a turn, and at 1024 at most, however fast the machine.
    clockThatSteps(1)
    const db = open()
    const source = kind === 'its own snapshot' ? db : open()
    const fill = (target: typeof db, value: number): Promise<void> =>
      target.handle().transaction((tx) => {
        for (let i = 0; i < 20_000; i++) tx.set(`k${i}`, value + i)
      })
    await fill(source, 0)
    using snapshot = source.snapshot()
    const before = contents(snapshot)
    await fill(db, 1)
    const state = { isDone: false }
    const restoring = db.restore(snapshot).then(() => (state.isDone = true))
    const random = new Random(7)
    let during = 0
    while (!state.isDone) {
      const key = `k${random.int(25_000)}`
      during++
      if (random.chance(0.3)) void db.handle().delete(key)
      else void db.handle().set(key, -during)
      await turn()
    }
    await restoring
    expect(during).toBeGreaterThan(15)
    const after = new Map(contents(db.handle()))
    const differences = before.filter(([key, value]) => after.get(key) !== value).length
    // At most what was written in the turn in which it resolved.
    expect(differences + Math.abs(after.size - before.length)).toBeLessThanOrEqual(2)
    expect((await db.check()).problems).toEqual([])
  })

  it('goes on where it was, whatever becomes of the leaf that it has walked to', async () => {
    clockThatSteps(1)
    const db = open()
    const size = 40_000
    const handle = db.handle(pairs)
    const keyOf = (i: number): number[] => [Math.floor(i / 100), i % 100]
    await handle.transaction((tx) => {
      for (let i = 0; i < size; i++) tx.set(keyOf(i), i)
    })
    using snapshot = db.snapshot()
    await handle.clear()
    const foreign = new Set<number>()
    const written: number[] = []
    db.on('commit', ({ keys: count }) => {
      if (count >= size) written.push(count - 200 * foreign.size)
    })
    const state = { isDone: false }
    const restoring = db.restore(snapshot).then(() => (state.isDone = true))
    const random = new Random(11)
    while (!state.isDone) {
      // Splits leaves everywhere, and takes the new keys away again, so that neighbours merge.
      const from = random.int(size)
      const added = Array.from({ length: 200 }, (_, i) => [...keyOf(from), i])
      handle.transactionSync((tx) => {
        for (const key of added) tx.set(key, 0)
      })
      foreign.add(from)
      if (random.chance(0.5)) {
        handle.transactionSync((tx) => {
          for (const key of added) tx.delete(key)
        })
        foreign.delete(from)
      }
      await turn()
    }
    await restoring
    // Each key once, and those that were added: 200 at each place.
    expect(written).toEqual([size])
    expect([...handle.keys()].filter((key) => key.length === 2)).toEqual([...snapshot.table(pairs).keys()])
    expect((await db.check()).problems).toEqual([])
  })

  it('refuses a snapshot that is too old by the time it begins, and has changed nothing then', async () => {
    let now = 0
    const db = open<number>({ maxSnapshotAgeMs: 100 }, { now: () => now })
    const handle = db.handle()
    for (let i = 0; i < 40; i++) await handle.set(i, i)
    const snapshot = db.snapshot()
    for (let i = 0; i < 40; i++) await handle.set(i, -i)
    const before = contents(handle)
    // Nobody has looked at the clock since.
    now = 200
    expect(await refusal(() => db.restore(snapshot))).toBe('SNAPSHOT_TOO_OLD')
    expect(contents(handle)).toEqual(before)
  })

  it('changes nothing if it does not fit', async () => {
    const db = open({ maplet: { capacity: 10, autoResize: false } })
    await db.handle().set('mine', 1)
    const other = open()
    for (let i = 0; i < 20; i++) await other.handle().set(`k${i}`, i)
    expect(await refusal(() => db.restore(other.snapshot()))).toBe('CAPACITY_EXCEEDED')
    expect(contents(db.handle())).toEqual([['mine', 1]])
  })

  it('changes nothing if memory would not hold it', async () => {
    const db = open<string, string>({ maxMemoryBytes: 20_000 })
    await db.handle().set('mine', 'x')
    const other = open<string, string>()
    for (let i = 0; i < 300; i++) await other.handle().set(`k${i}`, 'x'.repeat(100))
    expect(await refusal(() => db.restore(other.snapshot()))).toBe('MEMORY_LIMIT')
    expect(contents(db.handle())).toEqual([['mine', 'x']])
  })

  it('leaves out what has expired since, and keeps the time of what has not', async () => {
    let now = 1000
    const db = open({ clock: () => now, ttl: { sweepIntervalMs: 0 } })
    await db.handle().set('short', 1, { ttlMs: 100 })
    await db.handle().set('long', 2, { ttlMs: 1000 })
    await db.handle().set('ever', 3)
    const bytes = db.snapshot().toBytes()
    await db.handle().clear()
    now += 500
    const snapshot = Snapshot.fromBytes<string, number>(bytes)
    expect([snapshot.get('short'), snapshot.ttl('long')]).toEqual([1, 1000])
    await db.restore(snapshot)
    expect(contents(db.handle())).toEqual([
      ['ever', 3],
      ['long', 2],
    ])
    // Not as an entry that has expired already, either.
    expect(db.handle().size).toBe(2)
    expect(db.handle().ttl('long')).toBe(500)
    now += 500
    expect(db.handle().has('long')).toBe(false)
  })

  it('puts forks back, and onto forks', async () => {
    const db = open()
    await fill(db)
    const fork = db.fork()
    await spoil(fork)
    expect(everything(fork)).not.toEqual(everything(db))
    await fork.restore(db.snapshot())
    expect(everything(fork)).toEqual(everything(db))
    await spoil(fork)
    await db.restore(fork.snapshot())
    expect(everything(db)).toEqual(everything(fork))
    expect((await fork.check()).problems).toEqual([])
    await fork.close()
  })
})

describe('on disk', () => {
  const inject = (storage: SimulatedStorage) => ({ storage, background: 'inline' as const })

  it('is durable, from snapshots, bytes and backups, of tables that nobody has used', async () => {
    const storage = new SimulatedStorage({ seed: 3 })
    const db = await openWith<string, number>({ path: '/db' }, inject(storage))
    await fill(db)
    const before = everything(db)
    await db.backup('/backup')
    const bytes = db.snapshot().toBytes()
    await spoil(db)
    await db.close()

    for (const restore of [
      (target: Database<string, number>) => target.restore('/backup'),
      (target: Database<string, number>) => target.restore(Snapshot.fromBytes(bytes)),
    ]) {
      const second = await openWith<string, number>({ path: '/db' }, inject(storage))
      await restore(second)
      expect((await second.check()).problems).toEqual([])
      await second.close()
      const third = await openWith<string, number>({ path: '/db' }, inject(storage))
      expect(everything(third)).toEqual(before)
      await spoil(third)
      await third.close()
    }
    const readOnly = await openWith<string, number>({ path: '/db', readOnly: true }, inject(storage))
    expect(await refusal(() => readOnly.restore('/backup'))).toBe('READ_ONLY')
    await readOnly.close()
    const last = await openWith<string, number>({ path: '/db' }, inject(storage))
    expect(await refusal(() => last.restore('/db'))).toBe('LOCKED')
    expect(['IO', 'INVALID_OPTIONS']).toContain(await refusal(() => last.restore('/nowhere')))
    await last.close()
  })

  it('does not lose a snapshot that becomes too old while all is read again', async () => {
    clockThatSteps(5)
    let readAgain = 0
    for (let turns = 64; readAgain === 0 && turns < 1000; turns += 8) {
      let now = 0
      const storage = new SimulatedStorage({ seed: 4 })
      const db = await openWith<number, number>(
        { path: '/db', maxSnapshotAgeMs: 100_000 },
        { ...inject(storage), now: () => now },
      )
      const handle = db.handle()
      await handle.transaction((tx) => {
        for (let i = 0; i < 3000; i++) tx.set(i, 1)
      })
      const snapshot = db.snapshot()
      for (const key of [1, 2, 2999]) await handle.set(key, 2)
      const has = { checkpointed: false, restored: false }
      const checkpointed = db.checkpoint().then(() => (has.checkpointed = true))
      for (let left = turns; left > 0; left--) await turn()
      const wasCheckpointed = has.checkpointed
      const restoring = db.restore(snapshot).finally(() => (has.restored = true))
      const written = handle.set(0, 3)
      while (!has.checkpointed && !has.restored) await turn()
      // Nothing has begun since; what begins next finds the snapshot too old.
      if (!wasCheckpointed && !has.restored) {
        readAgain++
        now = 200_000
      }
      await Promise.all([checkpointed, restoring, written])
      expect(contents(handle).filter(([, value]) => value !== 1)).toEqual([])
      expect(handle.size).toBe(3000)
      await db.close()
    }
    expect(readAgain).toBeGreaterThan(0)
  })

  it('is all there or not at all after a crash', async () => {
    // No turn more or less for a machine that is slow.
    clockThatSteps(0)
    const seen = new Set<string>()
    for (let seed = 1; seed <= 40; seed++) {
      let storage = new SimulatedStorage({ seed })
      const source = open()
      for (let i = 0; i < 300; i++) await source.handle().set(`k${i}`, 1)
      const db = await openWith<string, number>({ path: '/db' }, inject(storage))
      await db.handle().transaction((tx) => {
        for (let i = 100; i < 400; i++) tx.set(`k${i}`, 2)
      })
      let isAcknowledged = false
      // It never settles if the machine goes down first.
      void db.restore(source.snapshot()).then(
        () => (isAcknowledged = true),
        () => false,
      )
      for (let turns = seed % 12; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
      const wasAcknowledged = isAcknowledged
      storage = storage.crash()
      const after = await openWith<string, number>({ path: '/db' }, inject(storage))
      const all = contents(after.handle())
      const state = JSON.stringify(all.map(([, value]) => value))
      expect([JSON.stringify(Array(300).fill(1)), JSON.stringify(Array(300).fill(2))]).toContain(state)
      if (wasAcknowledged) expect(all[0]![1]).toBe(1)
      seen.add(state)
      await after.close()
    }
    expect(seen.size).toBe(2)
  })
})

describe('a snapshot in bytes', () => {
  it('reads as the snapshot did, table by table', async () => {
    const db = open()
    await fill(db)
    const snapshot = db.snapshot()
    const copy = Snapshot.fromBytes<string, number>(snapshot.toBytes())
    await spoil(db)
    expect([copy.sequence, copy.createdAt, copy.size]).toEqual([snapshot.sequence, snapshot.createdAt, 2])
    expect(contents(copy)).toEqual(contents(snapshot))
    expect(contents(copy.table(plain))).toEqual(contents(snapshot.table(plain)))
    expect(contents(copy.table(own))).toEqual(contents(snapshot.table(own)))
    expect(copy.table(records).get(7)!.name).toBe('name 7')
    expect([...copy.keys({ gt: 'a', reverse: true })]).toEqual(['b'])
    expect(await refusal(() => copy.table(table('own', { value: codecs.string() })))).toBe('CODEC_MISMATCH')
    // Once more, from what was read.
    expect(contents(Snapshot.fromBytes(copy.toBytes()))).toEqual(contents(snapshot))
    copy.close()
    expect(await refusal(() => copy.get('a'))).toBe('TRANSACTION_CLOSED')
    snapshot.close()
  })

  it('is told the codecs of the default table if they are not the default ones', async () => {
    const db = open<string, string>({ key: keys.string(), value: texts })
    await db.handle().set('a', 'x')
    const bytes = db.snapshot().toBytes()
    expect(Snapshot.fromBytes(bytes, { key: keys.string(), value: texts }).get('a')).toBe('x')
    expect(await refusal(() => Snapshot.fromBytes(bytes, {}))).toBe('CODEC_MISMATCH')
    expect(await refusal(() => Snapshot.fromBytes(bytes).get('a'))).toBe('CODEC_MISMATCH')
    const other = open<string, string>({ key: keys.string(), value: texts })
    await other.restore(Snapshot.fromBytes(bytes))
    expect(other.handle().get('a')).toBe('x')
  })

  it('may be empty, and may be large', async () => {
    const empty = Snapshot.fromBytes(open().snapshot().toBytes())
    expect([empty.size, empty.sequence]).toEqual([0, 0])
    const db = open<number, string>()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 40_000; i++) tx.set(i, 'x'.repeat(i % 200))
    })
    const copy = Snapshot.fromBytes<number, string>(db.snapshot().toBytes())
    expect(copy.size).toBe(40_000)
    expect(contents(copy)).toEqual(contents(db.handle()))
  })

  it('is refused as damaged whatever byte is changed, lost or added', async () => {
    const db = open()
    await fill(db)
    const bytes = db.snapshot().toBytes()
    const random = new Random(11)
    for (let at = 0; at < bytes.length; at += at < 80 ? 1 : 13) {
      const damaged = bytes.slice()
      damaged[at]! ^= 1 + random.int(255)
      const error = await failure(() => Snapshot.fromBytes(damaged))
      expect(error.code).toBe('CORRUPTION')
    }
    for (let length = 0; length < bytes.length; length += 1 + random.int(40)) {
      expect(await refusal(() => Snapshot.fromBytes(bytes.subarray(0, length)))).toBe('CORRUPTION')
    }
    expect(await refusal(() => Snapshot.fromBytes(Buffer.concat([bytes, bytes])))).toBe('CORRUPTION')
    for (let i = 0; i < 200; i++) {
      const noise = Uint8Array.from({ length: random.int(300) }, () => random.int(256))
      expect(await refusal(() => Snapshot.fromBytes(noise))).toBe('CORRUPTION')
    }
    expect(await refusal(() => Snapshot.fromBytes('x' as never))).toBe('INVALID_ARGUMENT')
  })

  it('is refused as damaged where its checksums are right and its content is not', async () => {
    const db = open()
    await db.handle().set('a', 1)
    const bytes = Buffer.from(db.snapshot().toBytes())
    const [header, section] = [bytes.subarray(0, 48), bytes.subarray(48)]
    const payload = section.subarray(8)
    const sealed = (...payloads: Uint8Array[]): Uint8Array => {
      const sections = payloads.map((each, number) => {
        const seed = Buffer.alloc(8)
        header.copy(seed, 0, 40, 44)
        seed.writeUInt32LE(number, 4)
        const head = Buffer.alloc(8)
        head.writeUInt32LE(each.length, 0)
        head.writeUInt32LE(crc32(each, crc32(seed)), 4)
        return Buffer.concat([head, each])
      })
      return headed(payloads.length, Buffer.concat(sections))
    }
    const headed = (sections: number, rest: Uint8Array): Uint8Array => {
      const head = Buffer.from(header)
      head.writeUInt32LE(sections, 12)
      head.writeBigUInt64LE(BigInt(48 + rest.length), 32)
      head.writeUInt32LE(crc32(head.subarray(0, 44)), 44)
      return Buffer.concat([head, rest])
    }
    expect(Snapshot.fromBytes(sealed(payload)).get('a')).toBe(1)
    const entry = payload.subarray(payload.indexOf(125) + 1)
    const definition = payload.subarray(0, payload.length - entry.length)
    const with_ = (change: (entry: Buffer) => void): Buffer => {
      const changed = Buffer.from(entry)
      change(changed)
      return Buffer.concat([definition, changed])
    }
    const forged = {
      'something behind the end': headed(1, Buffer.concat([section, Buffer.from('more')])),
      'a section too many': headed(2, section),
      'a section too few': headed(0, section),
      'a table twice': sealed(definition, payload),
      'a key twice': sealed(payload, entry),
      'an entry of no table': sealed(entry),
      'another commit': sealed(with_((each) => each.writeUInt8(9, 5))),
      'a deletion': sealed(with_((each) => each.writeUInt8(2, 21))),
      'a record of an unknown type': sealed(with_((each) => each.writeUInt8(7, 0))),
      'a record cut short': sealed(payload.subarray(0, -1)),
      'a key that is none': sealed(with_((each) => each.writeUInt8(255, 24))),
    }
    for (const [what, made] of Object.entries(forged)) {
      expect([what, await refusal(() => Snapshot.fromBytes(made))]).toEqual([what, 'CORRUPTION'])
    }
  })
})
