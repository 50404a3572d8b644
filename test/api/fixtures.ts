/** What the tests of the public interface share: databases that check themselves, refusals as data, collection of garbage. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished } from 'vitest'

import { type Injected, openWith } from '../../src/database.ts'
import {
  type Database,
  type DatabaseOptions,
  type ErrorCode,
  type Handle,
  type Key,
  VarveError,
} from '../../src/index.ts'

/** A database that is checked and closed when its test ends, whatever the test has done to it. */
export function open<K = string, V = number>(
  options: DatabaseOptions<K, V> = {},
  injected: Injected = {},
): Database<K, V> {
  const db = openWith<K, V>(options, injected)
  onTestFinished(async () => {
    if (isClosed(db)) return
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })
  return db
}

function isClosed(db: { tables(): string[] }): boolean {
  try {
    db.tables()
    return false
  } catch {
    return true
  }
}

/** A handle on the default table of a database of its own, with some entries in it. */
export async function withEntries<V>(entries: Readonly<Record<string, V>>): Promise<Handle<string, V>> {
  const handle = open<string, V>().handle()
  for (const [key, value] of Object.entries(entries)) await handle.set(key, value)
  return handle
}

/** The error that a call throws or rejects with. Anything but a VarveError, or no error at all, fails the test. */
export async function failure(call: () => unknown): Promise<VarveError> {
  let outcome: unknown
  try {
    outcome = await call()
  } catch (error) {
    if (error instanceof VarveError) return error
    throw error
  }
  return expect.unreachable(`expected a VarveError, got ${String(outcome)}`)
}

/** The code of the error that a call throws or rejects with. */
export async function refusal(call: () => unknown): Promise<ErrorCode> {
  return (await failure(call)).code
}

/** The code of the error that a synchronous call throws, before anything can await. */
export function thrown(call: () => unknown): ErrorCode {
  try {
    call()
  } catch (error) {
    if (error instanceof VarveError) return error.code
    throw error
  }
  return expect.unreachable('expected a VarveError')
}

/** Everything in a table, as of now. */
export function contents<K extends Key, V>(reader: { entries(): Iterable<[K, V]> }): [K, V][] {
  return [...reader.entries()]
}

/** Collects what nobody holds any more, finalisers included. */
export async function collectGarbage(): Promise<void> {
  const { gc } = globalThis as unknown as { gc?: () => void }
  if (gc === undefined) throw new Error('these tests need --expose-gc; vitest.config.ts passes it')
  for (let i = 0; i < 4; i++) {
    gc()
    // A turn of its own, then time for the finalisers that it scheduled.
    await sleep(2)
  }
}

/** Lets every microtask that is due run. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A promise with its handles outside, for callbacks that wait until the test says so. */
export interface Gate {
  readonly passed: Promise<void>
  open(): void
}

export function gate(): Gate {
  let release = (): void => {}
  const passed = new Promise<void>((resolve) => (release = resolve))
  return { passed, open: () => release() }
}
