/** Running again after a conflict: how often, with what pauses, and how to give up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'

import {
  type Handle,
  type Transaction,
  TransactionError,
  type TransactionOptions,
  VarveError,
} from '../../src/index.ts'
import { failure, gate, open, refusal, thrown, turn, withEntries } from './fixtures.ts'

type Callback = (tx: Transaction<string, number>) => Promise<string>

/** A callback that loses to a commit of its own making, `losses` times; then it goes through. */
function loser(handle: Handle<string, number>, losses: number): Callback & { attempts: number } {
  const callback = async (tx: Transaction<string, number>): Promise<string> => {
    callback.attempts++
    const n = tx.get('k') ?? 0
    if (callback.attempts <= losses) await handle.set('k', n + 10)
    tx.set('k', n + 1)
    return `attempt ${callback.attempts}`
  }
  callback.attempts = 0
  return callback
}

describe('retries', () => {
  it('runs the callback again until it commits', async () => {
    const handle = open().handle()
    const callback = loser(handle, 7)
    expect(await handle.transaction(callback)).toBe('attempt 8')
    expect(handle.get('k')).toBe(71)
  })

  it('are ten by default: eleven attempts, then RETRIES_EXHAUSTED with the last conflict as its cause', async () => {
    const handle = open().handle()
    const callback = loser(handle, Infinity)
    const error = await failure(() => handle.transaction(callback))
    expect(callback.attempts).toBe(11)
    expect(error.code).toBe('RETRIES_EXHAUSTED')
    expect(error.retryable).toBe(true)
    expect(error.cause).toBeInstanceOf(TransactionError)
    expect((error.cause as TransactionError).code).toMatch(/^(WRITE_CONFLICT|SERIALIZATION_FAILURE)$/)
    expect(error.message).toContain('11')
    expect((error.cause as TransactionError).conflict.keys).toEqual([{ table: 'default', key: 'k' }])
  })

  it.each([1, 2, 5])('of %i', async (retries) => {
    const handle = open().handle()
    const callback = loser(handle, Infinity)
    expect(await refusal(() => handle.transaction(callback, { retries }))).toBe('RETRIES_EXHAUSTED')
    expect(callback.attempts).toBe(retries + 1)
  })

  it('of 0 gives the conflict itself', async () => {
    const handle = open().handle()
    const callback = loser(handle, Infinity)
    const error = await failure(() => handle.transaction(callback, { retries: 0 }))
    expect(error).toBeInstanceOf(TransactionError)
    expect(error.code).toBe('WRITE_CONFLICT')
    expect(callback.attempts).toBe(1)
  })

  it('of Infinity do not end', async () => {
    const handle = open().handle()
    expect(await handle.transaction(loser(handle, 15), { retries: Infinity })).toBe('attempt 16')
  })

  it('happen at the snapshot level too', async () => {
    const handle = open().handle()
    expect(await handle.transaction(loser(handle, 3), { isolation: 'snapshot' })).toBe('attempt 4')
    expect(handle.get('k')).toBe(31)
  })

  it('do not happen for errors of the callback, not even for conflicts that it passes on from elsewhere', async () => {
    const handle = open().handle()
    let attempts = 0
    const theirs = await failure(() => handle.transaction(loser(handle, Infinity), { retries: 0 }))
    const outcome = handle.transaction(() => {
      attempts++
      throw theirs
    })
    expect(await failure(() => outcome)).toBe(theirs)
    expect(attempts).toBe(1)
  })

  it('start from nothing: what the refused attempt wrote is gone', async () => {
    const handle = await withEntries({ k: 1 })
    let attempts = 0
    await handle.transaction(async (tx) => {
      const n = tx.get('k') as number
      if (++attempts === 1) {
        tx.set('first', 1)
        await handle.set('k', 5)
      }
      expect(tx.has('first')).toBe(attempts === 1)
      tx.set('k', n + 1)
    })
    expect(handle.has('first')).toBe(false)
    expect(handle.get('k')).toBe(6)
  })

  it('are counted', async () => {
    const db = open()
    await db.handle().transaction(loser(db.handle(), 3))
    expect(db.stats().transactions).toMatchObject({ retries: 3, conflicts: 3, writeConflicts: 3 })
  })
})

describe('onRetry', () => {
  it('hears of every further run beforehand: the refusal and the number of the run', async () => {
    const handle = open().handle()
    const callback = loser(handle, 3)
    const heard: [string, boolean, number, number][] = []
    await handle.transaction(callback, {
      onRetry: (error, attempt) =>
        heard.push([error.code, error instanceof TransactionError, attempt, callback.attempts]),
    })
    expect(heard).toEqual([1, 2, 3].map((attempt) => ['WRITE_CONFLICT', true, attempt, attempt]))
  })

  it('is not called when there is no further run', async () => {
    const handle = open().handle()
    const attempts: number[] = []
    const options: TransactionOptions = { retries: 2, onRetry: (_error, attempt) => attempts.push(attempt) }
    await refusal(() => handle.transaction(loser(handle, Infinity), options))
    expect(attempts).toEqual([1, 2])
    await handle.transaction((tx) => tx.set('k', 1), options)
    expect(attempts).toEqual([1, 2])
  })

  it('that throws ends it with that very error, and nothing is left open', async () => {
    const db = open()
    const stop = new Error('enough')
    const outcome = db.handle().transaction(loser(db.handle(), Infinity), {
      onRetry: () => {
        throw stop
      },
    })
    await expect(outcome).rejects.toBe(stop)
    expect(db.stats().transactions.open).toBe(0)
  })
})

describe('pauses', () => {
  it('are drawn from the injected chance', async () => {
    let drawn = 0
    const db = open({}, { random: () => (drawn++, 0) })
    const before = drawn
    await db.handle().transaction(loser(db.handle(), 3))
    expect(drawn - before).toBe(3)
  })

  it('are longer for the unlucky: microtasks come between the attempts', async () => {
    const turnsBetween = async (chance: number): Promise<number> => {
      const handle = open({}, { random: () => chance }).handle()
      const callback = loser(handle, 2)
      const state = { turns: 0, running: true }
      const outcome = handle.transaction(callback).finally(() => (state.running = false))
      while (state.running && state.turns < 1000) {
        await Promise.resolve()
        state.turns++
      }
      await outcome
      return state.turns
    }
    expect(await turnsBetween(0.999)).toBeGreaterThan(await turnsBetween(0))
  })

  it('let the event loop turn before a transaction that always loses has worn it out', async () => {
    const handle = open({}, { random: () => 0.5 }).handle()
    let turns = 0
    let running = true
    const tick = (): void => {
      turns++
      if (running) setImmediate(tick)
    }
    setImmediate(tick)
    await handle.transaction(loser(handle, 20), { retries: Infinity })
    running = false
    expect(turns).toBeGreaterThan(10)
  })
})

describe('a signal', () => {
  it('that has fired already: the callback does not run', async () => {
    const handle = open().handle()
    let ran = false
    const reason = new Error('no need')
    const options = { signal: AbortSignal.abort(reason) }
    const error = await failure(() => handle.transaction(() => (ran = true), options))
    expect(error.code).toBe('ABORTED')
    expect(error.retryable).toBe(false)
    expect(error.cause).toBe(reason)
    expect(ran).toBe(false)
    expect(thrown(() => handle.transactionSync(() => (ran = true), options))).toBe('ABORTED')
    expect(ran).toBe(false)
  })

  it('that fires during the callback rejects at once, rolls back, and closes the transaction', async () => {
    const db = open()
    const controller = new AbortController()
    const paused = gate()
    let inside: string | undefined
    const outcome = db.handle().transaction(
      async (tx) => {
        tx.set('k', 1)
        await paused.passed
        inside = thrown(() => tx.set('k', 2))
      },
      { signal: controller.signal },
    )
    await turn()
    controller.abort()
    expect(await refusal(() => outcome)).toBe('ABORTED')
    expect(db.stats().transactions.open).toBe(0)
    paused.open()
    await turn()
    expect(inside).toBe('ABORTED')
    expect(db.sequence).toBe(0)
  })

  it('ends a transaction whose callback never settles', async () => {
    const db = open()
    const outcome = db.handle().transaction(
      async (tx) => {
        tx.set('k', 1)
        await new Promise<void>(() => {})
      },
      { signal: AbortSignal.timeout(10) },
    )
    const error = await failure(() => outcome)
    expect(error.code).toBe('ABORTED')
    expect((error.cause as Error).name).toBe('TimeoutError')
    expect(db.stats().transactions.open).toBe(0)
  })

  it('that the callback itself fires ends it', async () => {
    const db = open()
    const controller = new AbortController()
    const outcome = db.handle().transaction(
      (tx) => {
        tx.set('k', 1)
        controller.abort()
        return 'ignored'
      },
      { signal: controller.signal },
    )
    expect(await refusal(() => outcome)).toBe('ABORTED')
    expect(db.sequence).toBe(0)
  })

  it('that fires between two attempts: there is no further one', async () => {
    const handle = open().handle()
    const controller = new AbortController()
    const callback = loser(handle, Infinity)
    const outcome = handle.transaction(callback, {
      signal: controller.signal,
      retries: 100,
      onRetry: (_error, attempt) => void (attempt === 3 && controller.abort()),
    })
    expect(await refusal(() => outcome)).toBe('ABORTED')
    const { attempts } = callback
    expect(attempts).toBe(3)
    await sleep(5)
    expect(callback.attempts).toBe(attempts)
  })

  it('that fires after the commit changes nothing: what is committed is not reported as given up', async () => {
    const db = open()
    const controller = new AbortController()
    db.on('commit', () => controller.abort())
    const outcome = db.handle().transaction((tx) => (tx.set('k', 1), 'committed'), { signal: controller.signal })
    expect(await outcome).toBe('committed')
    expect(db.handle().get('k')).toBe(1)
  })

  it('is let go of: nothing listens after the end', async () => {
    const handle = open().handle()
    const { signal } = new AbortController()
    let listening = 0
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => (listening++, add(...args))
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (listening--, remove(...args))
    await handle.transaction((tx) => tx.set('k', 1), { signal })
    await handle
      .transaction(
        () => {
          throw new Error('mine')
        },
        { signal },
      )
      .catch(() => {})
    await turn()
    expect(listening).toBe(0)
  })

  it('does not get in the way of one that does not fire', async () => {
    const handle = open().handle()
    const { signal } = new AbortController()
    expect(await handle.transaction(loser(handle, 2), { signal })).toBe('attempt 3')
    const mine = new Error('mine')
    await expect(
      handle.transaction(
        () => {
          throw mine
        },
        { signal },
      ),
    ).rejects.toBe(mine)
  })
})

describe('options of a transaction', () => {
  it('are checked before the callback runs, all together', async () => {
    const handle = open().handle()
    const wrong = { isolation: 'none', readOnly: 'yes', retries: -1, signal: {}, onRetry: 1, onRety: () => {} } as never
    let ran = false
    const error = await failure(() => handle.transaction(() => (ran = true), wrong))
    expect(error.code).toBe('INVALID_OPTIONS')
    for (const name of ['isolation', 'readOnly', 'retries', 'signal', 'onRetry', 'onRety'])
      expect(error.message).toContain(name)
    expect(ran).toBe(false)
    expect(thrown(() => handle.begin(wrong))).toBe('INVALID_OPTIONS')
    expect(thrown(() => handle.transactionSync(() => 1, wrong))).toBe('INVALID_OPTIONS')
    for (const retries of [1.5, Number.NaN, '3']) {
      expect(thrown(() => handle.begin({ retries: retries as never }))).toBe('INVALID_OPTIONS')
    }
    expect(thrown(() => handle.begin(null as never))).toBe('INVALID_OPTIONS')
  })

  it('may be given as undefined', async () => {
    const handle = open().handle()
    await handle.transaction((tx) => tx.set('k', 1), {
      isolation: undefined,
      readOnly: undefined,
      retries: undefined,
      signal: undefined,
      onRetry: undefined,
    })
    expect(handle.get('k')).toBe(1)
  })

  it('isolation overrides the database’s', async () => {
    const skew = async (db: ReturnType<typeof open>, options?: TransactionOptions): Promise<string> => {
      const handle = db.handle()
      const [first, second] = [handle.begin(options), handle.begin(options)]
      first.get('x')
      second.get('y')
      first.set('y', 1)
      second.set('x', 1)
      await first.commit()
      return second.commit().then(
        () => 'committed',
        (error: unknown) => (error as VarveError).code,
      )
    }
    expect(await skew(open())).toBe('SERIALIZATION_FAILURE')
    expect(await skew(open(), { isolation: 'snapshot' })).toBe('committed')
    expect(await skew(open({ isolation: 'snapshot' }))).toBe('committed')
    expect(await skew(open({ isolation: 'snapshot' }), { isolation: 'serializable' })).toBe('SERIALIZATION_FAILURE')
  })
})
