/**
 * A small ledger of commits for tests of a directory: what was appended, what was acknowledged, and what must be found
 * when the directory is opened again.
 */
import { expect } from 'vitest'
import { Directory, type DirectoryOptions } from '../../src/durability/index.ts'
import { inlineBackground } from '../../src/runs/index.ts'
import type { Storage } from '../../src/storage/index.ts'
import { Random } from '../support/random.ts'

export const PATH = '/data/ledger'

/** One commit: what it does to keys of one table. */
export interface Change {
  readonly key: string
  /** Undefined removes. */
  readonly value: string | undefined
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Options for tests: small segments, everything in this thread, all chance from one seed. */
export function optionsFor(storage: Storage, overrides: Partial<DirectoryOptions> = {}): DirectoryOptions {
  const random = new Random('directory')
  return {
    path: PATH,
    storage,
    durability: 'full',
    flush: { intervalMs: 1000, commits: 1000, bytes: 8 * 1024 * 1024 },
    wal: { segmentBytes: 8 * 1024, poolSize: 1 },
    readOnly: false,
    falsePositiveRate: 0.01,
    checkpointBytes: 64 * 1024,
    tailBytes: 4 * 1024,
    now: () => performance.now(),
    random: (target) => {
      for (let i = 0; i < target.length; i++) target[i] = random.int(256)
    },
    background: inlineBackground(storage, overrides.path ?? PATH),
    hooks: { poisoned: () => undefined, checkpointed: () => undefined },
    ...overrides,
  }
}

/** Every commit ever appended to one database, across crashes, as far as it may still be there. */
export class Ledger {
  /** `history[n]` is commit n + 1. */
  readonly history: (readonly Change[])[] = []
  /** The newest commit whose promise has resolved. */
  acknowledged = 0
  /** The newest commit that some call has promised to be on disk. */
  durable = 0

  /** Runs a call after which everything appended before it is on disk. */
  async settle(call: () => Promise<void>): Promise<void> {
    const appended = this.history.length
    await call()
    this.durable = Math.max(this.durable, appended)
  }

  /** Appends a commit; its promise resolves when it is acknowledged. */
  async commit(directory: Directory, changes: readonly Change[]): Promise<void> {
    const log = directory.log
    if (log === null) throw new Error('opened read-only')
    const table = directory.define('entries', null, 'string')
    const before = this.stateAt(this.history.length)
    this.history.push(changes)
    const sequence = this.history.length
    let entries = 0
    let bytes = 0
    log.begin(1_700_000_000_000 + sequence)
    for (const { key, value } of changes) {
      const old = before.get(key)
      if (old !== undefined) {
        entries--
        bytes -= sizeOf(key, old)
        before.delete(key)
      }
      if (value === undefined) log.remove(table, key)
      else {
        log.put(table, key, encoder.encode(value), sizeOf(key, value))
        before.set(key, value)
        entries++
        bytes += sizeOf(key, value)
      }
    }
    log.resized(table, entries, bytes)
    log.end(sequence)
    await log.settledAt(sequence)
    this.acknowledged = Math.max(this.acknowledged, sequence)
  }

  /** What commits 1 to `sequence` make. */
  stateAt(sequence: number): Map<string, string> {
    const state = new Map<string, string>()
    for (const changes of this.history.slice(0, sequence)) {
      for (const { key, value } of changes) {
        if (value === undefined) state.delete(key)
        else state.set(key, value)
      }
    }
    return state
  }

  /**
   * Holds what was found at open against the history: everything acknowledged is there, and whole commits only. What was
   * appended and not found never happened: later commits take its place.
   */
  expectFound(directory: Directory, least: number = this.acknowledged): void {
    expect(directory.sequence, 'an acknowledged commit is missing').toBeGreaterThanOrEqual(least)
    expect(directory.sequence, 'a commit from nowhere').toBeLessThanOrEqual(this.history.length)
    const state = this.stateAt(directory.sequence)
    expect(readAll(directory)).toEqual(new Map([...state].sort(([a], [b]) => (a < b ? -1 : 1))))
    const [table] = directory.tables()
    if (table === undefined) {
      expect(directory.sequence).toBe(0)
      return
    }
    expect(table).toMatchObject({ name: 'entries', key: null, value: 'string', entries: state.size })
    expect(table.bytes).toBe([...state].reduce((sum, [key, value]) => sum + sizeOf(key, value), 0))
    const cold = directory.tier.table(table.id)
    for (const [key, value] of state) {
      const isThere = cold.find(key)
      expect([key, isThere, decoder.decode(cold.value)]).toEqual([key, true, value])
      expect(cold.size).toBe(sizeOf(key, value))
    }
    expect(cold.find('no such key')).toBe(false)
  }

  /** To be called after a crash: what was not found never was. */
  resume(directory: Directory): void {
    this.history.length = directory.sequence
    this.acknowledged = directory.sequence
    this.durable = directory.sequence
  }
}

function sizeOf(key: string, value: string): number {
  return key.length + value.length
}

/** All live entries of the first table, in order. */
function readAll(directory: Directory): Map<string, string> {
  const found = new Map<string, string>()
  const [table] = directory.tables()
  if (table === undefined) return found
  const version = directory.tier.acquire()
  const scan = directory.tier.table(table.id).scan(
    {
      lower: undefined,
      lowerOpen: false,
      upper: undefined,
      upperOpen: false,
      reverse: false,
      limit: Infinity,
      empty: false,
    },
    version,
  )
  while (scan.next()) found.set(scan.key as string, decoder.decode(scan.value))
  directory.tier.release(version)
  return found
}

/** Some changes of a few keys, with values of up to `longest` characters. */
export function someChanges(random: Random, keys: number, longest: number): Change[] {
  const changes = new Map<string, Change>()
  for (let i = random.between(1, 4); i > 0; i--) {
    const key = `k${random.int(keys)}`
    const value = random.chance(0.3) ? undefined : `${random.uint32()}`.repeat(random.between(0, longest / 10))
    changes.set(key, { key, value })
  }
  return [...changes.values()]
}
