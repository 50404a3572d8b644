/**
 * Those who watch a database: readers of its feed that begin somewhere, are interrupted, and go on from their cursor, also in
 * the next session. Together each must have seen every commit behind its beginning once, in order, as the model has it.
 */
import type { Cursor, Key } from '../../src/index.ts'
import type { Random } from '../support/random.ts'
import { idOf, isLive, plainOf, TABLES, type Timeline } from './model.ts'
import { agree, demand, show, turn, type World } from './world.ts'

interface Item {
  readonly cursor: Cursor
  readonly sequence: number
  readonly lines: readonly string[]
}

type Opener = (world: World, from: Cursor | undefined, signal: AbortSignal) => AsyncIterable<Item>

/** A change in one line. */
function line(table: number, key: Key, value: unknown, expiresAt: number): string {
  return `${table} ${idOf(key)} ${show(value)} ${expiresAt}`
}

/** One reader of the feed and what it has seen in this and earlier sessions. */
class Watcher {
  readonly name: string
  readonly isDurable: boolean
  readonly #open: Opener
  readonly #expected: (timeline: Timeline, sequence: number) => readonly string[]
  #seen: Item[] = []
  #start = 0
  #cursor: Cursor | undefined
  #error: Error | undefined
  #abort = new AbortController()
  #done: Promise<void> = Promise.resolve()

  constructor(name: string, isDurable: boolean, open: Opener, tables: readonly number[]) {
    this.name = name
    this.isDurable = isDurable
    this.#open = open
    this.#expected = (timeline, after) =>
      timeline.commits.flatMap(({ sequence, changes }) => {
        if (sequence <= after) return []
        const mine = changes.filter(({ table }) => tables.includes(table))
        return mine
          .map(({ table, key, value, expiresAt }) => `${sequence}: ${line(table, key, value, expiresAt)}`)
          .toSorted()
      })
  }

  /** Begins, or goes on where it was. */
  begin(world: World): void {
    const isNew = this.#cursor === undefined
    if (isNew) {
      this.#start = world.db.sequence
      this.#cursor = world.db.cursor
      this.#seen = []
    }
    const abort = (this.#abort = new AbortController())
    // Without a cursor it begins with what comes next, which must come to the same.
    const items = this.#open(world, isNew ? undefined : this.#cursor, abort.signal)
    this.#done = this.#read(items, abort)
  }

  async #read(items: AsyncIterable<Item>, abort: AbortController): Promise<void> {
    try {
      for await (const item of items) {
        if (abort.signal.aborted) return
        this.#seen.push(item)
        this.#cursor = item.cursor
      }
    } catch (error) {
      if (!abort.signal.aborted) this.#error = error as Error
    }
  }

  async interrupt(world: World): Promise<void> {
    this.#abort.abort()
    await this.#done
    this.begin(world)
  }

  /** The process is gone. */
  abandon(): void {
    this.#abort.abort()
    // What was only applied may be lost: its reader begins anew.
    if (!this.isDurable) this.#cursor = undefined
  }

  /** Nothing was told that a crash could take. */
  recovered(sequence: number): void {
    const told = this.#cursor?.sequence ?? 0
    demand(told <= sequence, () => `${this.name} was told of commit ${told}; found ${sequence}`)
  }

  /** Waits for what is still to come, and compares everything. */
  async finish({ db, timeline, name }: World): Promise<void> {
    const expected = this.#expected(timeline, this.#start)
    const count = (): number => this.#seen.reduce((sum, { lines }) => sum + lines.length, 0)
    await db.flush()
    for (let turns = 0; count() < expected.length && this.#error === undefined && turns < 500; turns++) await turn()
    if (this.#error !== undefined) throw this.#error
    const seen = this.#seen.flatMap(({ sequence, lines }) => lines.toSorted().map((each) => `${sequence}: ${each}`))
    // Told one by one: changes of one commit come in an order of their own.
    const sorted = (lines: readonly string[]): string[] => lines.toSorted()
    for (let i = 1; i < this.#seen.length; i++)
      demand(this.#seen[i]!.sequence >= this.#seen[i - 1]!.sequence, () => `${this.name}: out of order`)
    agree(`${name}: ${this.name} from ${this.#start}`, sorted(seen), sorted(expected))
    this.#abort.abort()
    await this.#done
  }
}

/** What somebody was told had been there before a commit. */
interface Before {
  readonly table: number
  readonly key: Key
  readonly sequence: number
  readonly was: unknown
  readonly timeMs: number
}

const ALL = TABLES.map((_, at) => at)

function all(durable: boolean, before: boolean, befores: Before[] = []): Opener {
  return async function* (world, from, signal) {
    for await (const { cursor, sequence, timeMs, changes } of world.db.changes({ from, signal, durable, before })) {
      const lines: string[] = []
      for (const change of changes) {
        const table = TABLES.findIndex(({ name }) => name === change.table)
        if (table < 0) continue
        const { kind } = TABLES[table]!
        lines.push(line(table, change.key, plainOf(kind, change.value), change.expiresAt ?? 0))
        if (!('before' in change)) continue
        befores.push({ table, key: change.key, sequence, was: plainOf(kind, change.before), timeMs })
      }
      yield { cursor, sequence, lines }
    }
  }
}

function one(table: number, durable: boolean): Opener {
  return async function* (world, from, signal) {
    for await (const change of world.handles[table]!.watch({}, { signal, durable, ...(from && { from }) })) {
      const { cursor, sequence, key, value, expiresAt = 0 } = change
      yield { cursor, sequence, lines: [line(table, key, plainOf(TABLES[table]!.kind, value), expiresAt)] }
    }
  }
}

/** All that watch one database. */
export class Watchers {
  readonly #befores: Before[] = []
  readonly #list: Watcher[] = [
    new Watcher('changes', true, all(true, false), ALL),
    new Watcher('changes as applied, with what was before', false, all(false, true, this.#befores), ALL),
    new Watcher('watch', true, one(0, true), [0]),
    new Watcher('watch as applied', false, one(5, false), [5]),
  ]

  attach(world: World): void {
    for (const watcher of this.#list) {
      watcher.recovered(world.db.sequence)
      watcher.begin(world)
    }
  }

  async interrupt(world: World, random: Random): Promise<void> {
    await random.pick(this.#list).interrupt(world)
  }

  abandon(): void {
    for (const watcher of this.#list) watcher.abandon()
    this.#befores.length = 0
  }

  async finish(world: World): Promise<void> {
    for (const watcher of this.#list) await watcher.finish(world)
    for (const { table, key, sequence, was, timeMs } of this.#befores.splice(0)) {
      const version = world.timeline.at(table, key, sequence - 1)
      // What had expired by then was there, or was not.
      if (was === undefined && !isLive(version, timeMs)) continue
      agree(`before ${sequence}: ${TABLES[table]!.name} ${show(key)}`, was, version?.value)
    }
  }
}
