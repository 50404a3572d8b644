/**
 * A log on a simulated disk, with what surrounds it: a manifest that never fails, and an account of what was appended and
 * what was settled, held against what recovery finds.
 */
import type { SimulatedStorage } from '../../src/storage/simulated.ts'
import type { LogConfig, LogHooks, LogWriter, RecordSink, TableDefinition } from '../../src/wal/index.ts'
import { openLog } from '../../src/wal/index.ts'
import type { VarveError } from '../../src/errors.ts'
import type { Random } from '../support/random.ts'

export const DIRECTORY = '/log'
export const DATABASE_ID: Uint8Array = Uint8Array.from({ length: 16 }, (_, i) => 3 * i + 1)

export const CONFIG: LogConfig = {
  durability: 'full',
  segmentBytes: 8 << 10,
  poolSize: 1,
  maxPoolSegments: 40,
  maxQueueBytes: 1 << 20,
  flush: { intervalMs: 1, commits: 50, bytes: 8 << 10 },
  idleMarkerMs: 2,
}

/** One operation of a commit, as a line. */
function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

/** Takes in a log as lines of text: one for each commit, one for each table. */
export class Collector implements RecordSink {
  readonly commits: Map<number, string> = new Map()
  readonly tables: TableDefinition[] = []
  last = 0

  commit(sequence: number, timeMs: number): void {
    this.last = sequence
    this.commits.set(sequence, `@${timeMs}`)
  }

  put(table: number, key: Uint8Array, size: number, value: Uint8Array, expiresAt: number): void {
    this.#add(`put ${table} ${hex(key)} ${size} ${hex(value)}${expiresAt === 0 ? '' : ` until ${expiresAt}`}`)
  }

  remove(table: number, key: Uint8Array, expired: boolean): void {
    this.#add(`delete ${table} ${hex(key)}${expired ? ' expired' : ''}`)
  }

  resized(table: number, entries: number, bytes: number): void {
    this.#add(`resized ${table} ${entries} ${bytes}`)
  }

  define(table: TableDefinition): void {
    this.tables.push(table)
  }

  #add(line: string): void {
    this.commits.set(this.last, `${this.commits.get(this.last)}; ${line}`)
  }
}

export interface Manifest {
  first: number
  last: number
  epoch: number
  sequence: number
}

/** The log of a database over many sessions, crashes and repairs. */
export class World {
  storage: SimulatedStorage
  manifest: Manifest = { first: 1, last: 0, epoch: 0, sequence: 0 }
  config: LogConfig = CONFIG
  /** What each commit says that may be in the log. */
  readonly written: Map<number, string> = new Map()
  /** What recovery must find at least: after a power failure, and after the death of the process alone. */
  promised = 0
  handedOver = 0
  poisoned: VarveError | null = null
  onPoison: () => void = () => {}
  onReserve: () => void = () => {}
  /** Fails what the manifest is asked for. */
  reserveFails = false
  /** How often it was told that somebody waits for a segment. */
  stalls = 0
  log!: LogWriter
  /** The log, if it is open. */
  session: LogWriter | null = null

  constructor(storage: SimulatedStorage) {
    this.storage = storage
  }

  /** Another outcome of the same past. */
  fork(storage: SimulatedStorage): World {
    const world = new World(storage)
    world.manifest = { ...this.manifest }
    world.config = this.config
    for (const [sequence, text] of this.written) world.written.set(sequence, text)
    world.promised = this.promised
    world.handedOver = this.handedOver
    return world
  }

  hooks(): LogHooks {
    const { storage } = this
    return {
      reserve: async (first, last) => {
        const epoch = this.manifest.epoch
        this.onReserve()
        await new Promise((resolve) => setImmediate(resolve))
        if (storage.halted) await new Promise(() => {})
        if (this.reserveFails) throw new Error('the manifest could not be written')
        this.manifest = { ...this.manifest, first, last, epoch: Math.max(epoch, this.#epoch) }
      },
      sealed: () => {},
      stalled: () => void this.stalls++,
      poisoned: (error) => {
        if (storage.halted) return
        this.poisoned = error
        this.onPoison()
      },
      now: () => 0,
    }
  }

  #epoch = 0

  /** Opens the log, at most until the disk stops, and holds what is found against the account. Returns whether it opened. */
  async open(readOnly = false): Promise<Collector | null> {
    const sink = new Collector()
    const { first: firstSegment, last: lastSegment, epoch, sequence } = this.manifest
    this.#epoch = epoch + 1
    this.poisoned = null
    const start = {
      databaseId: DATABASE_ID,
      epoch: epoch + 1,
      firstSegment,
      lastSegment,
      sequence,
      logged: 0,
      readOnly,
    }
    const opening = openLog(this.storage, DIRECTORY, start, this.config, this.hooks(), sink)
    const log = await this.until(opening)
    if (log === undefined) return null
    this.session = log
    if (log !== null) this.log = log
    this.check(sink)
    // What is served is durable; reading alone makes nothing so.
    if (log !== null) this.durable(this.handedOver)
    return sink
  }

  /** The result, or undefined if the disk stopped first. */
  async until<T>(work: Promise<T>): Promise<T | undefined> {
    const { storage } = this
    const whileAlive = work.catch((error: unknown) => {
      if (!storage.halted) throw error
      return undefined
    })
    return Promise.race([whileAlive, storage.stopped.then(() => undefined)])
  }

  /** Recovered: every commit that was promised, none that was not written, each whole, without a gap. */
  check(sink: Collector): void {
    let next = this.manifest.sequence + 1
    for (const [sequence, text] of sink.commits) {
      if (sequence !== next++) throw new Error(`commit ${sequence} was recovered where ${next - 1} should be`)
      if (text !== this.written.get(sequence)) {
        throw new Error(`commit ${sequence} is ${text}, not ${this.written.get(sequence)}`)
      }
    }
    const last = next - 1
    const least = Math.max(this.promised, this.handedOver)
    if (last < least) throw new Error(`${least} was promised, ${last} was recovered`)
    for (const sequence of this.written.keys()) if (sequence > last) this.written.delete(sequence)
    this.handedOver = last
  }

  /** Appends a commit with what chance gives it; returns its sequence. */
  append(random: Random, mostValueBytes = 300): number {
    const { log } = this
    const sequence = log.appended + 1
    const timeMs = 1_000_000 + random.int(1000) / 4
    let text = `@${timeMs}`
    if (random.chance(0.1)) {
      log.begin(1)
      log.put(1, 'cancelled', new Uint8Array(random.int(2000)), 1)
      log.cancel()
    }
    log.begin(timeMs)
    for (let i = random.int(4); i >= 0; i--) {
      const table = random.pick([1, 2, 200, 70_000])
      const key = random.chance(0.05) ? 'k'.repeat(random.int(3000)) : `key ${random.int(50)}`
      const keyHex = `30${Buffer.from(key).toString('hex')}00`
      if (random.chance(0.2)) {
        log.remove(table, key)
        text += `; delete ${table} ${keyHex}`
      } else {
        const value = new Uint8Array(random.int(mostValueBytes)).fill(random.int(256))
        const size = random.pick([random.int(100), random.int(2 ** 31), 2 ** 50 + random.int(1000)])
        log.put(table, key, value, size)
        text += `; put ${table} ${keyHex} ${size} ${hex(value)}`
      }
    }
    const entries = random.pick([0, 1, -1, random.int(2 ** 31), -random.int(2 ** 31)])
    log.resized(7, entries, -entries)
    text += `; resized 7 ${entries} ${0 - entries}`
    this.written.set(sequence, text)
    log.end(sequence)
    return sequence
  }

  /** The commit is durable: every crash leaves it. */
  durable(sequence: number): void {
    this.promised = Math.max(this.promised, sequence)
  }

  /** The process dies; what was settled must be found, in `relaxed` too. */
  kill(): void {
    this.handedOver = Math.max(this.handedOver, this.session?.settled ?? 0)
    this.session = null
    this.storage = this.storage.kill()
  }

  /** Power fails. */
  crash(random: Random): void {
    if (this.session !== null) this.durable(this.session.synced)
    this.handedOver = 0
    this.session = null
    this.storage = this.storage.crash({ seed: random.uint32() })
  }

  /** What a checkpoint does: the runs take over what is sealed. */
  async checkpoint(random: Random): Promise<void> {
    const { sealedSegments } = this.log
    if (sealedSegments.length === 0) return
    const { number, lastSequence } = random.pick(sealedSegments)
    this.manifest = { ...this.manifest, first: number + 1, sequence: lastSequence }
    this.promised = Math.max(this.promised, lastSequence)
    await this.until(this.log.release(number))
  }
}
