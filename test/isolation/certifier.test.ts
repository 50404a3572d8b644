/** Histories that a plausible certifier gets wrong, one by one. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { clockThatSteps, until } from '../support/patience.ts'
import { Database, type Handle, type MergeOperator, table, type Transaction, VarveError } from '../../src/index.ts'

type Tx = Transaction<string, number>

const addition: MergeOperator<number, number> = { identity: 0, merge: (a, b) => a + b, commutative: true }
/** Associative, not commutative: decimal digits written one behind the other. */
const append: MergeOperator<number, number> = { identity: 0, merge: (a, b) => Number(`${a}${b}`) }
const digits = table<string, number>('digits', { merge: append })

let db: Database<string, number>
let handle: Handle<string, number>
let opened: Tx[]

beforeEach(async () => {
  opened = []
  db = await Database.open<string, number>({ merge: addition })
  handle = db.handle()
  await write({ w: 0, x: 0, y: 0, z: 0 })
})

afterEach(async () => {
  for (const tx of opened) tx[Symbol.dispose]()
  expect((await db.check()).problems).toEqual([])
  await db.close()
})

function begin(options: { readOnly?: boolean | 'safe' } = {}): Tx {
  const tx = handle.begin(options)
  opened.push(tx)
  return tx
}

/** Commits these values at once, blindly. */
async function write(values: Record<string, number>): Promise<void> {
  const tx = begin()
  for (const [key, value] of Object.entries(values)) tx.set(key, value)
  await tx.commit()
}

/** Reads the keys in a transaction that has begun, and hands it back. */
function reading(keys: string, tx: Tx = begin()): Tx {
  for (const key of keys) tx.get(key)
  return tx
}

async function expectRefused(tx: Tx): Promise<void> {
  const error = await tx.commit().then(
    () => 'committed',
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(VarveError)
  expect((error as VarveError).code).toMatch(/SERIALIZATION_FAILURE|WRITE_CONFLICT/)
}

describe('a reader of the newest state leaves its marks, even one that takes no time', () => {
  /** T reads x and y, y is overwritten, `report` reads both, T overwrites x: report, T, writer of y, report. */
  async function between(report: () => unknown): Promise<Tx> {
    const tx = reading('xy')
    await write({ y: 1 })
    await report()
    tx.set('x', 1)
    return tx
  }

  const reports: Record<string, () => unknown> = {
    'a read-only transaction': () => reading('xy', begin({ readOnly: true })).commit(),
    'a read-only transaction that runs at once': () =>
      handle.transactionSync((tx) => void reading('xy', tx), { readOnly: true }),
    'a read-only transaction run by transaction()': () =>
      handle.transaction((tx) => void reading('xy', tx), { readOnly: true }),
    'a transaction that happens to write nothing': () => reading('xy').commit(),
    'entries() of the handle': () => [...handle.entries()],
    'values() of the handle': () => [...handle.values({ gte: 'x', lte: 'y' })],
    'getMany() of the handle': () => handle.getMany(['x', 'y']),
  }
  for (const [name, report] of Object.entries(reports)) {
    it(name, async () => expectRefused(await between(report)))
  }

  it('and one that read before the write, or only one of the keys, is in nobody’s way', async () => {
    await (await between(() => handle.getMany(['y']))).commit()
  })

  it('a scan of the handle that ends early leaves marks for what it consumed', async () => {
    const consumed = await between(() => {
      for (const [key] of handle.entries({ reverse: true })) if (key === 'x') break
    })
    await expectRefused(consumed)
    const unconsumed = await between(() => {
      for (const [key] of handle.entries({ reverse: true })) if (key === 'y') break
    })
    await unconsumed.commit()
  })

  it('existence leaves its own marks', async () => {
    for (const report of [() => handle.count(), () => [...handle.keys()]]) {
      const tx = begin()
      expect(tx.has('new')).toBe(false)
      await write({ new: 1 })
      report()
      tx.delete('x')
      await expectRefused(tx)

      const unaffected = begin()
      expect(unaffected.has('other')).toBe(false)
      await write({ other: 1 })
      report()
      unaffected.set('x', 1)
      await unaffected.commit()
      await handle.delete('new')
      await handle.delete('other')
    }
  })

  it('single-key reads of the handle need none', async () => {
    const tx = await between(() => [handle.get('x'), handle.get('y'), handle.has('x')])
    await tx.commit()
  })

  it('a single-key read of a merged key leaves a mark: merges are not ordered by themselves', async () => {
    const tx = reading('y')
    const other = begin()
    other.set('y', 1)
    other.merge('x', 1)
    await other.commit()
    expect(handle.get('x')).toBe(1)
    tx.merge('x', 10)
    await expectRefused(tx)
  })
})

describe('safe readers', () => {
  it('see a serializable point: never the deposit without the withdrawal that came before it', async () => {
    const withdrawal = reading('xy')
    await write({ y: 20 })
    const report = begin({ readOnly: 'safe' })
    const seen = [report.get('x'), report.get('y')]
    withdrawal.set('x', -11)
    await withdrawal.commit()
    await report.commit()
    expect(seen).toEqual([0, 0])
    expect([handle.get('x'), handle.get('y')]).toEqual([-11, 20])
  })

  it('read the newest commit when no update is in flight', async () => {
    for (let i = 1; i <= 20; i++) {
      await write({ x: i })
      const report = begin({ readOnly: 'safe' })
      expect([report.sequence, report.get('x')]).toEqual([db.sequence, i])
      await report.commit()
    }
  })

  it('advance, and never go back, while updates overlap without a pause', async () => {
    const inFlight: Tx[] = []
    let last = -1
    let advances = 0
    for (let i = 0; i < 400; i++) {
      inFlight.push(reading('w'))
      if (inFlight.length > 8) {
        const tx = inFlight.shift()!
        tx.set(`k${i % 50}`, i)
        await tx.commit()
      }
      const report = begin({ readOnly: 'safe' })
      expect(report.sequence).toBeGreaterThanOrEqual(last)
      if (report.sequence > last) advances++
      last = report.sequence
      await report.commit()
      opened.length = 0
    }
    for (const tx of inFlight) tx.rollback()
    expect(advances).toBeGreaterThan(20)
    expect(db.sequence - last).toBeLessThan(40)
  })

  it('stay readable under constant writing and vacuum, and so does the next one', async () => {
    for (let i = 0; i < 200; i++) await handle.set(`k${i}`, -1)
    const hold = reading('w')
    const safe = begin({ readOnly: 'safe' })
    const before = [...safe.entries()]
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 200; i += 2) await handle.set(`k${i}`, round)
      for (let i = 1; i < 200; i += 20) await handle.delete(`k${i}`)
      await db.vacuum()
      const another = begin({ readOnly: 'safe' })
      expect([...another.entries()]).toEqual(before)
      await another.commit()
      expect([...safe.entries()]).toEqual(before)
    }
    await safe.commit()
    hold.rollback()
    const after = begin({ readOnly: 'safe' })
    expect([after.get('k0'), after.get('k1')]).toEqual([19, undefined])
  })

  it('take over from a tracked reader that transaction() runs, if that would close a cycle', async () => {
    const seen: unknown[] = []
    const between = reading('xy')
    await write({ y: 1 })
    await handle.transaction(
      async (tx) => {
        const y = tx.get('y')
        if (seen.length === 0) {
          between.set('x', 1)
          await between.commit()
        }
        seen.push([tx.get('x'), y])
      },
      { readOnly: true, retries: 1 },
    )
    // First the state between the two writers, which no serial order has; then one that some serial order has.
    expect(seen[0]).toEqual([0, 1])
    expect(seen).toHaveLength(2)
    expect([
      [0, 0],
      [1, 1],
    ]).toContainEqual(seen[1])
  })

  it('never abort, whatever happens around them', async () => {
    const report = begin({ readOnly: 'safe' })
    const first = reading('xy')
    const second = reading('xy')
    reading('xyz', report)
    first.set('x', 1)
    await first.commit()
    second.set('z', 1)
    await second.commit()
    await write({ y: 5 })
    expect([...report.keys()]).toEqual(['w', 'x', 'y', 'z'])
    await report.commit()
  })
})

describe('nothing is forgotten too early', () => {
  /**
   * T' reads w, B overwrites it, B had read y before Y overwrote it, P read Y's y and z and ended before T' began, T'
   * overwrites z. P is concurrent with neither T' nor, once it has ended, anything that begins; the cycle is real.
   */
  async function lateCycle(read: (tx: Tx) => unknown, last: (tx: Tx) => unknown, vacuum: boolean): Promise<Tx> {
    const b = reading('y')
    await write({ y: 1 })
    const p = begin()
    p.get('y')
    read(p)
    await p.commit()
    const late = reading('w')
    b.set('w', 1)
    await b.commit()
    if (vacuum) await db.vacuum()
    for (let i = 0; i < 100; i++) await write({ unrelated: i })
    last(late)
    return late
  }

  const readers: Record<string, (tx: Tx) => unknown> = {
    'of the key': (tx) => tx.get('z'),
    'of a range over it': (tx) => [...tx.entries({ gte: 'z' })],
    'of the range backwards': (tx) => [...tx.values({ gt: 'y', reverse: true })],
  }
  for (const [name, read] of Object.entries(readers)) {
    for (const vacuum of [false, true]) {
      it(`a reader ${name} that ended before its overwriter began${vacuum ? ', after vacuum' : ''}`, async () => {
        await expectRefused(await lateCycle(read, (tx) => tx.set('z', 1), vacuum))
      })
    }
  }

  it('a reader of absence', async () => {
    await expectRefused(
      await lateCycle(
        (tx) => tx.get('none'),
        (tx) => tx.set('none', 1),
        true,
      ),
    )
  })

  it('a reader of existence', async () => {
    await expectRefused(
      await lateCycle(
        (tx) => tx.has('z'),
        (tx) => tx.delete('z'),
        true,
      ),
    )
    const overwriting = await lateCycle(
      (tx) => tx.has('z'),
      (tx) => tx.set('z', 1),
      true,
    )
    await overwriting.commit()
  })

  it('a reader of a counter', async () => {
    await handle.merge('z', 1)
    await expectRefused(
      await lateCycle(
        (tx) => tx.get('z'),
        (tx) => tx.merge('z', 1),
        true,
      ),
    )
  })

  it('the oldest transaction that still matters, by one that scans what it wrote', async () => {
    const between = reading('x')
    await write({ x: 1 })
    const reader = begin()
    expect([...reader.values({ lte: 'x' })]).toEqual([0, 1])
    between.table(digits).set('d', 1)
    await between.commit()
    expect(reader.table(digits).get('d')).toBeUndefined()
    reader.set('unrelated', 1)
    await expectRefused(reader)
  })

  it('the deletion that a reader of absence depends on', async () => {
    const tx = reading('y')
    const other = begin()
    other.set('y', 1)
    other.delete('x')
    await other.commit()
    for (let i = 0; i < 50; i++) await write({ unrelated: i })
    await db.vacuum()
    const reader = begin()
    expect(reader.get('x')).toBeUndefined()
    expect(reader.get('z')).toBe(0)
    reader.set('unrelated', 0)
    await reader.commit()
    tx.set('z', 1)
    await expectRefused(tx)
  })

  it('the deletion that a read-only transaction depends on, when no update is left', async () => {
    const reads: ((tx: Tx) => unknown)[] = [(tx) => tx.get('x'), (tx) => tx.has('x'), (tx) => tx.count()]
    for (const read of reads) {
      for (const early of [false, true]) {
        await write({ x: 1, y: 1 })
        const between = reading('x')
        const remover = begin()
        remover.delete('x')
        await remover.commit()
        const report = reading('y', begin({ readOnly: true }))
        if (early) read(report)
        between.set('y', 2)
        await between.commit()
        await db.vacuum()
        if (!early) read(report)
        await expectRefused(report)
      }
    }
  })

  it('the version that lies under an overwriter’s overwriter', async () => {
    const tx = reading('x')
    const other = reading('z')
    other.set('x', 1)
    await other.commit()
    for (let i = 2; i < 50; i++) await write({ x: i })
    await db.vacuum()
    tx.set('z', 1)
    await expectRefused(tx)
  })
})

describe('a key set and deleted again by one transaction, which asks the database nothing', () => {
  it('is a write where somebody has created and deleted it meanwhile', async () => {
    const tx = reading('y')
    tx.set('n', 1)
    tx.delete('n')
    await handle.set('n', 1)
    const remover = begin()
    remover.set('y', 1)
    expect(remover.delete('n')).toBe(true)
    await remover.commit()
    // Before the remover tx would have taken the key away; after it tx would have read the new y.
    await expectRefused(tx)
  })

  it('is a write where the deletion that it follows may still be preceded by others', async () => {
    await handle.set('n', 1)
    const between = reading('z')
    const remover = begin()
    remover.set('z', 1)
    expect(remover.delete('n')).toBe(true)
    await remover.commit()
    const tx = reading('y')
    tx.set('n', 2)
    tx.delete('n')
    between.set('y', 1)
    await between.commit()
    // tx, then the one between, then the remover: but had tx come first, there would have been nothing to remove.
    await expectRefused(tx)
  })

  it('precedes every merge of the group that starts on it, not the first one only', async () => {
    const tx = reading('y')
    const idle = begin()
    idle.set('n', 1)
    idle.delete('n')
    idle.set('y', 1)
    await idle.commit()
    await handle.merge('n', 1)
    tx.merge('n', 1)
    await expectRefused(tx)
  })

  it('is in nobody’s way where the key never was', async () => {
    const tx = reading('y')
    tx.set('n', 1)
    tx.delete('n')
    await write({ y: 1 })
    await tx.commit()
    expect(handle.has('n')).toBe(false)
  })
})

describe('merges', () => {
  it('do not conflict with each other, and all of them count', async () => {
    const transactions = Array.from({ length: 20 }, () => begin())
    for (const tx of transactions) tx.merge('x', 1)
    for (const tx of transactions) await tx.commit()
    expect(handle.get('x')).toBe(20)
  })

  it('do not conflict with a transaction that reads its counter first', async () => {
    const tx = reading('x')
    await handle.merge('x', 1)
    tx.merge('x', 10)
    await tx.commit()
    expect(handle.get('x')).toBe(11)
  })

  it('conflict where two transactions each read what the other merges', async () => {
    const first = reading('x')
    const second = reading('y')
    first.merge('y', 1)
    second.merge('x', 1)
    await first.commit()
    await expectRefused(second)
  })

  it('a reader precedes every later operand, not the next one only', async () => {
    const tx = reading('x')
    await handle.merge('x', 1)
    await handle.merge('x', 1)
    const later = reading('z')
    later.merge('x', 1)
    await later.commit()
    await handle.merge('x', 1)
    tx.set('z', 1)
    await expectRefused(tx)
  })

  it('a reader precedes the write that ends the group', async () => {
    const tx = reading('x')
    await handle.merge('x', 1)
    const later = reading('z')
    later.set('x', 100)
    await later.commit()
    tx.set('z', 1)
    await expectRefused(tx)
  })

  it('a reader follows every operand it saw, not the last one only', async () => {
    const early = reading('y')
    const operand = begin()
    operand.set('y', 1)
    operand.merge('x', 1)
    await operand.commit()
    await handle.merge('x', 1)
    await handle.merge('x', 1)
    const reader = reading('xz')
    reader.set('w', 1)
    await reader.commit()
    early.set('z', 1)
    await expectRefused(early)
  })

  it('a reader that ended is remembered by every later operand', async () => {
    const tx = reading('y')
    await handle.merge('x', 1)
    await write({ y: 1 })
    await reading('xy').commit()
    await handle.merge('x', 1)
    tx.merge('x', 1)
    await expectRefused(tx)
  })

  it('a reader of the absence that a group starts from precedes all of it', async () => {
    const tx = begin()
    expect(tx.has('n')).toBe(false)
    await handle.merge('n', 1)
    const later = reading('z')
    later.merge('n', 1)
    await later.commit()
    tx.set('z', 1)
    await expectRefused(tx)
  })

  it('that only associate apply in commit order and conflict like writes', async () => {
    const first = begin()
    const second = begin()
    second.table(digits).merge('d', 2)
    first.table(digits).merge('d', 1)
    await first.commit()
    await second.commit()
    expect(db.handle(digits).get('d')).toBe(12)
    const reader = begin()
    expect(reader.table(digits).get('d')).toBe(12)
    await db.handle(digits).merge('d', 3)
    reader.table(digits).merge('d', 4)
    await expectRefused(reader)
    expect(db.handle(digits).get('d')).toBe(123)
  })

  it('never fail at the snapshot level', async () => {
    const tx = handle.begin({ isolation: 'snapshot' })
    tx.merge('x', 1)
    tx.table(digits).merge('d', 2)
    await handle.set('x', 10)
    await db.handle(digits).merge('d', 1)
    await tx.commit()
    expect([handle.get('x'), db.handle(digits).get('d')]).toEqual([11, 12])
  })
})

describe('the low watermark of a committed transaction', () => {
  /**
   * P reads a and, later overwritten by X, what X writes. X commits with nothing behind it; then T, which read y before
   * Y overwrote it, overwrites what X had read: X now reaches Y through T. P saw Y, so P may not commit.
   */
  async function lowered(xReads: (tx: Tx) => unknown, tWrites: (tx: Tx) => unknown, chain = 0): Promise<Tx> {
    const t = reading('y')
    await write({ y: 1 })
    const p = reading('yx')
    let target = 'x'
    const links: Tx[] = []
    for (let i = 0; i < chain; i++) {
      const link = reading(`link${i}`.slice(-1))
      link.set(target, 1)
      target = `link${i}`.slice(-1)
      links.push(link)
    }
    const x = begin()
    xReads(x)
    x.set(target, 1)
    for (const link of links) await link.commit()
    await x.commit()
    tWrites(t)
    await t.commit()
    p.set('unrelated', 1)
    return p
  }

  it('falls when what it read is overwritten by one that reaches further back', async () => {
    await expectRefused(
      await lowered(
        (x) => x.get('z'),
        (t) => t.set('z', 1),
      ),
    )
  })

  it('falls through ranges, absence, existence and merges', async () => {
    await expectRefused(
      await lowered(
        (x) => [...x.entries({ gte: 'z' })],
        (t) => t.set('z5', 1),
      ),
    )
    await expectRefused(
      await lowered(
        (x) => x.get('none'),
        (t) => t.set('none', 1),
      ),
    )
    await expectRefused(
      await lowered(
        (x) => x.has('w'),
        (t) => t.delete('w'),
      ),
    )
    await handle.merge('z', 1)
    await expectRefused(
      await lowered(
        (x) => x.get('z'),
        (t) => t.merge('z', 1),
      ),
    )
  })

  it('falls through a chain of transactions', async () => {
    for (let chain = 1; chain <= 4; chain++) {
      await expectRefused(
        await lowered(
          (x) => x.get('z'),
          (t) => t.set('z', chain),
          chain,
        ),
      )
    }
  })

  it('stays where the search finds no cycle', async () => {
    const p = await lowered(
      (x) => x.get('z'),
      (t) => t.set('w', 1),
    )
    await p.commit()
  })
})

describe('a transaction that keeps losing', () => {
  it('is favoured: it gets through while others overwrite what it reads without a pause', async () => {
    // No lease ends, however slow the machine.
    clockThatSteps(0)
    const pause = () => new Promise((resolve) => setTimeout(resolve, 1))
    const work = { stopped: false }
    let overtaken = 0
    const rival = async (key: string) => {
      while (!work.stopped) {
        await handle
          .update(key, (value) => (value ?? 0) + 1)
          .then(
            () => 0,
            (error: unknown) => {
              if (!(error instanceof VarveError && error.retryable)) throw error
              overtaken++
            },
          )
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const rivals = ['w', 'x', 'y', 'z'].map(rival)
    let attempts = 0
    for (let round = 0; round < 3; round++) {
      await handle.transaction(
        async (tx) => {
          attempts++
          let total = 0
          for (const key of 'wxyz') {
            total += tx.get(key)!
            await pause()
          }
          // The first attempt loses, also where the rivals come to nothing for a while.
          const seen = tx.get('w')
          if (attempts === 1) await until(() => handle.get('w') !== seen)
          tx.set('w', total)
          await pause()
          tx.set('z', total)
        },
        { retries: 20 },
      )
    }
    work.stopped = true
    await Promise.all(rivals)
    expect(attempts).toBeGreaterThan(3)
    expect(attempts).toBeLessThanOrEqual(3 * 21)
    console.log(`favoured: 3 transactions took ${attempts} attempts, rivals were refused ${overtaken} times`)
  })

  it('stands in no nested or synchronous commit’s way, not even those that make it lose', async () => {
    let attempts = 0
    const selfDefeating = handle.transaction(
      async (tx) => {
        attempts++
        const seen = tx.get('x')!
        // What it awaits may not wait for it: this passes, and costs the outer transaction its commit every time.
        await handle.transaction((nested) => nested.set('x', nested.get('x')! + 1), { retries: 0 })
        await handle.set('x', seen + 2)
        handle.transactionSync((nested) => nested.set('x', seen + 3))
        tx.set('x', seen + 100)
      },
      { retries: 12 },
    )
    await expect(selfDefeating).rejects.toMatchObject({ code: 'RETRIES_EXHAUSTED' })
    expect(attempts).toBe(13)
    expect(handle.get('x')).toBe(3 * 13)
  })

  it('gets through with nested commits beside it', async () => {
    clockThatSteps(0)
    let attempts = 0
    const work = { stopped: false }
    const rival = (async () => {
      while (!work.stopped) {
        await handle.transaction((tx) => tx.set('x', tx.get('x')! + 1), { retries: 100 })
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    await handle.transaction(
      async (tx) => {
        attempts++
        const seen = tx.get('x')!
        // The first attempt loses, also where the rival comes to nothing for a while.
        if (attempts === 1) await until(() => handle.get('x') !== seen)
        else await new Promise((resolve) => setTimeout(resolve, 2))
        await handle.set('progress', attempts)
        await handle.transaction((nested) => nested.set('other', nested.get('x')!))
        handle.transactionSync((nested) => nested.set('another', 1))
        tx.set('y', seen)
        tx.set('x', seen + 1000)
      },
      { retries: 20 },
    )
    work.stopped = true
    await rival
    expect(attempts).toBeGreaterThan(1)
    expect(handle.get('progress')).toBe(attempts)
    expect(handle.get('x')).toBeGreaterThanOrEqual(1000)
  })

  it('loses its favour when it dawdles: the lease ends', async () => {
    const clock = clockThatSteps(0)
    let hasRead = () => {}
    let goOn = () => {}
    const waitForRead = () => new Promise<void>((resolve) => (hasRead = resolve))
    let read = waitForRead()
    const dawdling = handle.transaction(
      async (tx) => {
        const seen = tx.get('x')!
        const gate = new Promise<void>((resolve) => (goOn = resolve))
        hasRead()
        await gate
        tx.set('x', seen + 1)
      },
      { retries: 30 },
    )
    const overtake = async (): Promise<boolean> => {
      const rival = begin()
      rival.set('x', 1000)
      try {
        await rival.commit()
        return true
      } catch (error) {
        if (!(error instanceof VarveError && error.retryable)) throw error
        return false
      }
    }
    let overtaken = 0
    for (await read; await overtake(); await read) {
      overtaken++
      read = waitForRead()
      goOn()
    }
    expect(overtaken).toBeGreaterThan(0)
    for (let i = 0; i < 20; i++) expect(await overtake()).toBe(false)
    clock.ms += 3000
    expect(await overtake()).toBe(true)
    read = waitForRead()
    goOn()
    await read
    goOn()
    await dawdling
    expect(handle.get('x')).toBe(1001)
  })
})
