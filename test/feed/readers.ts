/** What the tests of watching share: taking so many steps, telling whether a step waits, commits as plain data. */
import type { Change, Commit } from '../../src/index.ts'
import { turn } from '../api/fixtures.ts'

/** The next so many items; fails if it ends before. */
export async function take<T>(items: AsyncIterator<T>, count: number): Promise<T[]> {
  const taken: T[] = []
  while (taken.length < count) {
    const step = await items.next()
    if (step.done === true) throw new Error(`it ended after ${taken.length} of ${count}`)
    taken.push(step.value)
  }
  return taken
}

/** Everything up to the end, and what it ended with. */
export async function drain<T>(items: AsyncIterable<T>): Promise<{ items: T[]; error: unknown }> {
  const taken: T[] = []
  try {
    for await (const item of items) taken.push(item)
  } catch (error) {
    return { items: taken, error }
  }
  return { items: taken, error: undefined }
}

/** 'waits' if a promise has not settled after some turns of the event loop. */
export async function orWaits<T>(promise: Promise<T>, turns = 10): Promise<T | 'waits'> {
  const waits = async (): Promise<'waits'> => {
    for (let i = 0; i < turns; i++) await turn()
    return 'waits'
  }
  return Promise.race([promise, waits()])
}

/** A commit in one line: its sequence, and what it did. */
export function line({ sequence, changes }: Commit): string {
  const parts = changes.map(({ table, key, kind, value }) => {
    const place = table === 'default' ? String(key) : `${table}/${String(key)}`
    return kind === 'set' ? `${place}=${String(value)}` : `-${place}`
  })
  return `${sequence}: ${parts.join(' ')}`
}

/** A change in one line. */
export function changeLine<K, V>({ sequence, key, kind, value }: Change<K, V>): string {
  return `${sequence}: ${kind === 'set' ? `${String(key)}=${String(value)}` : `-${String(key)}`}`
}
