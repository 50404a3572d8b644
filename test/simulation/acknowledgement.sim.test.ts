/** When a commit may be acknowledged, and what happens from the moment that the log has failed: on a disk that stalls and fails. */
import { describe, expect, it } from 'vitest'
import { openWith } from '../../src/database.ts'
import { type Database, type DatabaseOptions, type Key, VarveError } from '../../src/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'

const PATH = '/data'

function openAtOnce(storage: SimulatedStorage, options: DatabaseOptions = {}): Promise<Database<Key, unknown>> {
  return openWith(
    { wal: { segmentBytes: 64 * 1024 }, vacuum: false, ...options, path: PATH },
    { storage, background: 'inline', random: () => 0.5 },
  )
}

/** Opens, and waits until what is prepared in the background is ready, so that the next calls are those of commits. */
async function open(storage: SimulatedStorage, options: DatabaseOptions = {}): Promise<Database<Key, unknown>> {
  const db = await openAtOnce(storage, options)
  for (let seen = -1; seen !== storage.operations && !storage.halted;) {
    seen = storage.operations
    await turns(20)
  }
  return db
}

/** Lets the simulation go on for a while. */
async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Notes what became of a promise. */
function outcome(promise: Promise<unknown>): { state: string } {
  const noted = { state: 'pending' }
  promise.then(
    () => (noted.state = 'fulfilled'),
    (error: unknown) => (noted.state = error instanceof VarveError ? error.code : String(error)),
  )
  return noted
}

/** Makes a call until it succeeds: what failed in the background is tried again after a while. */
async function onceHealed(call: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await call()
      return
    } catch (error) {
      if (attempt === 5000) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

const LOG = /wal-/

describe.each([true, false])('with O_DSYNC: %s, in full', (synced) => {
  const newDisk = (seed = 1): SimulatedStorage => new SimulatedStorage({ seed, synced })
  /** What makes a group durable: the write itself, or the sync after it. */
  const decisive = synced ? 'write' : 'sync'

  it('nothing is acknowledged before it is durable, nobody by the flush that was under way when they came', async () => {
    const disk = newDisk()
    const db = await open(disk)
    await db.handle().set('warm', 1)
    disk.fail({ kind: 'stall', operation: decisive, path: LOG })
    const first = outcome(db.handle().set('first', 1))
    await turns(50)
    const second = outcome(db.handle().transaction((tx) => tx.set('second', 2)))
    const reader = outcome(db.handle().transaction((tx) => tx.get('first'), { readOnly: true }))
    const failing = outcome(
      db.handle().transaction((tx) => {
        tx.get('first')
        throw new Error('after reading')
      }),
    )
    const flush = outcome(db.flush())
    await turns(100)
    expect(db.handle().get('second')).toBe(2)
    const all = [first, second, reader, failing, flush]
    expect(all.map(({ state }) => state)).toEqual(all.map(() => 'pending'))
    disk.heal()
    disk.fail({ kind: 'stall', operation: decisive, path: LOG })
    await turns(100)
    expect(first.state).toBe('fulfilled')
    expect(second.state).toBe('pending')
    disk.heal()
    await turns(100)
    expect([second, reader, flush].map(({ state }) => state)).toEqual(['fulfilled', 'fulfilled', 'fulfilled'])
    expect(failing.state).toBe('Error: after reading')
    await db.close()
  })

  it('a failed flush rejects every member of its group and everybody after it; asking again acknowledges nothing', async () => {
    for (let skip = 0; skip < 4; skip++) {
      const disk = newDisk(skip)
      const db = await open(disk)
      await db.handle().set('before', 1)
      const poisonings: unknown[] = []
      db.on('poisoned', (payload) => poisonings.push(payload))
      const safe = db.snapshot()
      const handle = db.handle()
      disk.fail({ kind: 'EIO', operation: decisive, path: LOG, skip })
      const members = [outcome(handle.set('a', 1))]
      for (let i = 0; i < 4 + skip; i++) {
        members.push(outcome(handle.set(['b', i], i)), outcome(handle.transaction((tx) => tx.set(['c', i], i))))
        await turns(skip === 0 ? 0 : 30)
      }
      await turns(300)
      const acknowledged = members.filter(({ state }) => state === 'fulfilled').length
      const after = members.findIndex(({ state }) => state !== 'fulfilled')
      expect(after).toBeGreaterThanOrEqual(0)
      expect(members.slice(after).map(({ state }) => state)).toEqual(members.slice(after).map(() => 'POISONED'))
      expect(acknowledged).toBe(after)
      expect(poisonings).toHaveLength(1)
      await expect(handle.set('later', 1)).rejects.toMatchObject({ code: 'POISONED', retryable: false })
      await expect(db.flush()).rejects.toMatchObject({ code: 'POISONED' })
      await expect(db.checkpoint()).rejects.toMatchObject({ code: 'POISONED' })
      expect(() => handle.transactionSync((tx) => tx.set('sync', 1))).toThrow(
        expect.objectContaining({ code: 'POISONED' }),
      )
      expect(() => handle.get('before')).toThrow(expect.objectContaining({ code: 'POISONED' }))
      expect(safe.get('before')).toBe(1)
      expect([...safe.keys()]).toEqual(['before'])
      const cause = await handle.set('why', 1).catch((error: unknown) => error as VarveError)
      expect((cause as VarveError).message).toMatch(/unknown|reopen/i)
      expect((cause as VarveError).cause).toBeInstanceOf(Error)
      await db.close()
      const again = await open(disk.crash({ seed: skip }))
      expect(again.handle().get('before')).toBe(1)
      for (let i = 0; i < acknowledged; i++) expect(again.handle().size).toBeGreaterThan(acknowledged)
      await again.close()
    }
  })

  it('a failure of the file of a transaction that waits on its own thread poisons too', async () => {
    const disk = newDisk()
    const db = await open(disk)
    await db.handle().set('before', 1)
    disk.fail({ kind: 'EIO', operation: decisive, path: LOG })
    const pending = outcome(db.handle().set('in flight', 1))
    expect(() => db.handle().transactionSync((tx) => tx.set('sync', 1))).toThrow(
      expect.objectContaining({ code: 'POISONED' }),
    )
    await turns(50)
    expect(pending.state).toBe('POISONED')
    await db.close()
  })

  it('transactionSync returns with everything before it durable, while a flush is stuck', async () => {
    const disk = newDisk()
    const db = await open(disk)
    await db.handle().set('warm', 1)
    disk.fail({ kind: 'stall', operation: synced ? 'write' : 'sync', path: LOG })
    const stuck = outcome(db.handle().set('stuck', 1))
    await turns(50)
    expect(stuck.state).toBe('pending')
    db.handle().transactionSync((tx) => tx.set('sync', 2))
    const image = disk.crash({ seed: 3, survival: 'none' })
    const again = await open(image)
    expect(again.handle().get('stuck')).toBe(1)
    expect(again.handle().get('sync')).toBe(2)
    await again.close()
  })

  it('a disk that takes very long: close waits for it, and what is queued has a bound', async () => {
    const disk = newDisk()
    const db = await open(disk, { wal: { segmentBytes: 1 << 20 } })
    await db.handle().set('warm', 1)
    disk.fail({ kind: 'stall', operation: decisive, path: LOG })
    const value = 'x'.repeat(1 << 20)
    const writes = Array.from({ length: 200 }, (_, i) => outcome(db.handle().set(i, value)))
    await turns(100)
    // Back-pressure: not everything was let in.
    expect(db.sequence).toBeLessThan(150)
    expect(writes.every(({ state }) => state === 'pending')).toBe(true)
    const closed = outcome(db.close())
    await turns(200)
    expect(closed.state).toBe('pending')
    disk.heal()
    await turns(3000)
    expect(closed.state).toBe('fulfilled')
    const acknowledged = writes.filter(({ state }) => state === 'fulfilled').length
    const refused = writes.filter(({ state }) => state === 'CLOSED').length
    expect(acknowledged + refused).toBe(200)
    const again = await open(disk)
    expect(again.handle().size).toBe(acknowledged + 1)
    await again.close()
  })
})

describe('in relaxed', () => {
  it('acknowledges what the operating system has, and flush() what the disk has', async () => {
    const disk = new SimulatedStorage({ seed: 1, synced: false })
    const options = {
      durability: 'relaxed',
      flush: { intervalMs: Infinity, commits: Infinity, bytes: Infinity },
    } as const
    const db = await open(disk, options)
    await db.handle().set('flushed', 1)
    await db.flush()
    disk.fail({ kind: 'stall', operation: 'sync', path: LOG, times: 1000 })
    await db.handle().set('written', 1)
    const flush = outcome(db.flush())
    await turns(100)
    expect(flush.state).toBe('pending')
    const afterPower = await open(disk.crash({ seed: 1, survival: 'none' }), options)
    expect([...afterPower.handle().keys()]).toEqual(['flushed'])
    const killed = new SimulatedStorage({ seed: 2, synced: false })
    const other = await open(killed, options)
    await other.handle().set('written', 1)
    const afterKill = await open(killed.kill(), options)
    expect([...afterKill.handle().keys()]).toEqual(['written'])
  })

  it('syncs by itself after so many commits, so many bytes, so much time', async () => {
    const limits = [{ commits: 5 }, { bytes: 10_000 }, { intervalMs: 10 }]
    for (const limit of limits) {
      const disk = new SimulatedStorage({ seed: 1, synced: false, maxDelayTurns: 0 })
      const flush = { intervalMs: Infinity, commits: Infinity, bytes: Infinity, ...limit }
      const db = await open(disk, { durability: 'relaxed', flush })
      const commits = db.changes()
      for (let i = 0; i < 20; i++) await db.handle().set(i, 'x'.repeat(1000))
      // Only what is synced is told.
      for await (const { sequence } of commits) if (sequence === 10) break
      const again = await open(disk.crash({ survival: 'none' }))
      expect(again.handle().size, `with ${JSON.stringify(limit)}`).toBeGreaterThanOrEqual(10)
    }
  })

  it('poisons when that sync fails, and a second that succeeds acknowledges nothing', async () => {
    const disk = new SimulatedStorage({ seed: 1, synced: false })
    const flush = { intervalMs: Infinity, commits: 3, bytes: Infinity }
    const db = await open(disk, { durability: 'relaxed', flush })
    disk.fail({ kind: 'EIO', operation: 'sync', path: LOG })
    const handle = db.handle()
    const writes: { state: string }[] = []
    for (let i = 0; i < 30; i++) {
      writes.push(outcome(handle.set(i, i)))
      await turns(10)
    }
    expect(writes.at(-1)!.state).toBe('POISONED')
    await expect(db.flush()).rejects.toMatchObject({ code: 'POISONED' })
    await db.close()
  })
})

describe('failures beside the log', () => {
  for (const [name, path] of [
    ['a run', /run-/],
    ['the manifest', /manifest\.tmp/],
  ] as const) {
    for (const kind of ['EIO', 'ENOSPC', 'EMFILE'] as const) {
      it(`${kind} at any call on ${name} harms nothing: the checkpoint fails, commits go on, a later one succeeds`, async () => {
        let failed = 0
        for (let skip = 0; skip < 12; skip++) {
          const disk = new SimulatedStorage({ seed: skip })
          const db = await open(disk)
          for (let i = 0; i < 50; i++) await db.handle().set(i, 'x'.repeat(300))
          disk.fail({ kind, path, skip, operation: ['create', 'write', 'sync', 'open', 'close'] })
          const result = await db.checkpoint().then(
            () => 'done',
            (error: unknown) => (error as VarveError).code,
          )
          if (result !== 'done') failed++
          expect(['done', 'IO']).toContain(result)
          disk.heal()
          await onceHealed(() => db.handle().set('after', 1))
          await db.checkpoint()
          expect(db.handle().size).toBe(51)
          expect((await db.check()).problems).toEqual([])
          const again = await open(disk.crash({ survival: 'none' }))
          expect(again.handle().size).toBe(51)
          expect(again.handle().get(49)).toBe('x'.repeat(300))
        }
        expect(failed).toBeGreaterThan(0)
      })
    }
  }

  it('a full disk: commits fail cleanly or wait, reading goes on, read-only opens, and room makes it whole again', async () => {
    for (let room = 0; room < 400_000; room += 37_000) {
      const disk = new SimulatedStorage({ seed: room })
      const db = await open(disk)
      for (let i = 0; i < 20; i++) await db.handle().set(i, 'x'.repeat(2000))
      disk.capacityBytes = disk.usedBytes + room
      const acknowledged: number[] = []
      for (let i = 20; i < 300; i++) {
        const write = outcome(db.handle().set(i, 'x'.repeat(2000)))
        await turns(20)
        if (write.state === 'fulfilled') acknowledged.push(i)
        if (write.state !== 'fulfilled') break
      }
      const full = disk.crash({ seed: 1 })
      const reader = await open(full, { readOnly: true })
      for (const i of acknowledged) expect(reader.handle().has(i), `${i} with ${room} bytes of room`).toBe(true)
      await reader.close()
      await open(full).then(
        (writer) => writer.close(),
        (error: unknown) => expect(error).toMatchObject({ code: 'IO' }),
      )
      full.capacityBytes = Infinity
      const again = await open(full)
      for (const i of acknowledged) expect(again.handle().has(i)).toBe(true)
      await again.handle().set('room', 1)
      await again.close()
    }
  })

  it('failures of every call of opening look like failures, never like an empty or a damaged database', async () => {
    const made = new SimulatedStorage({ seed: 1 })
    const db = await open(made)
    for (let i = 0; i < 30; i++) await db.handle().set(i, 'x'.repeat(3000))
    await db.checkpoint()
    for (let i = 30; i < 60; i++) await db.handle().set(i, 'x'.repeat(3000))
    made.halt()
    for (const kind of ['EIO', 'EMFILE', 'EACCES', 'ENOSPC'] as const) {
      let failures = 0
      for (let at = 1; at < 400; at++) {
        const disk = made.crash({ seed: 1 })
        disk.failAt(at, kind)
        let calls = Infinity
        const result = await openAtOnce(disk).then(
          async (again) => {
            calls = disk.operations
            expect(again.handle().size).toBe(60)
            disk.heal()
            await again.close()
            return 'open'
          },
          (error: unknown) => error as VarveError,
        )
        if (calls < at) break
        if (result === 'open') continue
        failures++
        const { code, message } = result as VarveError
        expect(code, `${kind} at call ${at}: ${message}`).toBe('IO')
        disk.heal()
        const again = await open(disk)
        expect(again.handle().size).toBe(60)
        await again.close()
      }
      expect(failures).toBeGreaterThan(0)
    }
  })
})
