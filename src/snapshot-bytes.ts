/**
 * Snapshots as bytes: all tables of one in a form that stands alone, and back. docs/file-format.md describes them.
 *
 *   snapshot = header · section*
 *   section  = length u32 · CRC u32 · payload: records as in the log
 *
 * B1  Any bytes whatever give the tables that were written, or `CORRUPTION`; the header says how much there is, so nothing can be
 *     missing or too much, and checksums are seeded so that no section can take another's place.
 * B2  No length in them is believed: memory stays a small multiple of the bytes that are there.
 *
 * Reading takes them as the replayed tail of a log is taken: entries stay encoded, and a value is decoded by whoever reads it.
 */
import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

import { VarveError } from './errors.ts'
import { ALL, decodeKey } from './keys/index.ts'
import { SampledLatency } from './latency.ts'
import { Engine, TierBase, type Txn } from './mvcc/index.ts'
import { WriteLine } from './room.ts'
import { ColdTier, hashSeedOf, MemoryRun } from './runs/index.ts'
import type { DatabaseState } from './table-core.ts'
import { type FoundTable, type Ground, Tables } from './tables.ts'
import {
  FRAME_HEADER_BYTES,
  RecordBuffer,
  RecordReader,
  type RecordSink,
  type TableDefinition,
  writeUint64,
  readUint64,
} from './wal/index.ts'

const MAGIC = Buffer.from('VARVESNP', 'latin1')
const VERSION = 1
const HEADER_BYTES = 48
const SECTION_HEADER_BYTES = 8
/** A section ends behind the entry with which it reaches this. */
const SECTION_BYTES = 2 ** 20

// Places in the header.
const AT_VERSION = 8
const AT_SECTIONS = 12
const AT_SEQUENCE = 16
const AT_CREATED = 24
const AT_LENGTH = 32
const AT_SEED = 40
const AT_CRC = 44

/** Everything that a snapshot shows, table by table. */
export function snapshotBytes(tables: Tables, txn: Txn, createdAt: number): Uint8Array {
  const writer = new SectionWriter(txn.snapshot, txn.fixInstant())
  const named = tables.names().map((name) => tables.named(name))
  for (const [id, core] of named.entries()) {
    if (core === undefined) continue
    writer.define({ id, name: core.name, key: core.keyCodecName ?? null, value: core.resident.codec.name })
  }
  for (const [id, core] of named.entries()) {
    if (core === undefined) continue
    const { store } = core
    const { resident } = store.spec
    const cursor = txn.view(store).scan(ALL, 'value')
    while (cursor.next()) {
      writer.put(id, cursor.key, resident.encode(cursor.value), cursor.size, cursor.expiresAt)
    }
  }
  return writer.finish(createdAt)
}

class SectionWriter {
  readonly #sequence: number
  readonly #instant: number
  readonly #seed: number = randomBytes(4).readUInt32LE()
  readonly #buffer: RecordBuffer = new RecordBuffer(SECTION_BYTES)
  readonly #parts: Uint8Array[] = []
  #sections = 0
  #bytes: number = HEADER_BYTES
  #isOpen = false

  constructor(sequence: number, instant: number) {
    this.#sequence = sequence
    this.#instant = instant
  }

  define(table: TableDefinition): void {
    this.#buffer.define(table)
  }

  put(
    table: number,
    key: Parameters<RecordBuffer['put']>[1],
    value: Uint8Array,
    size: number,
    expiresAt: number,
  ): void {
    const buffer = this.#buffer
    if (!this.#isOpen) buffer.begin(this.#instant)
    this.#isOpen = true
    buffer.put(table, key, value, size, expiresAt)
    if (buffer.at >= SECTION_BYTES) this.#close()
  }

  #close(): void {
    const buffer = this.#buffer
    if (this.#isOpen) buffer.end(this.#sequence)
    this.#isOpen = false
    const payload = buffer.memory.bytes.slice(FRAME_HEADER_BYTES, buffer.at)
    buffer.clear()
    const head = new Uint8Array(SECTION_HEADER_BYTES)
    const view = new DataView(head.buffer)
    view.setUint32(0, payload.length, true)
    view.setUint32(4, crc32(payload, seedOf(this.#seed, this.#sections)), true)
    this.#parts.push(head, payload)
    this.#sections++
    this.#bytes += head.length + payload.length
  }

  finish(createdAt: number): Uint8Array {
    this.#close()
    let bytes: Uint8Array
    try {
      bytes = new Uint8Array(this.#bytes)
    } catch (cause) {
      const message = `a snapshot of ${this.#bytes} bytes is more than one array can hold: make a backup instead`
      throw new VarveError('CAPACITY_EXCEEDED', message, { cause })
    }
    const view = new DataView(bytes.buffer)
    bytes.set(MAGIC)
    view.setUint32(AT_VERSION, VERSION, true)
    view.setUint32(AT_SECTIONS, this.#sections, true)
    writeUint64(view, AT_SEQUENCE, this.#sequence)
    view.setFloat64(AT_CREATED, createdAt, true)
    writeUint64(view, AT_LENGTH, this.#bytes)
    view.setUint32(AT_SEED, this.#seed, true)
    view.setUint32(AT_CRC, crc32(bytes.subarray(0, AT_CRC)), true)
    let at = HEADER_BYTES
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }
}

/** What the checksum of a section starts from: which snapshot it belongs to, and its place there. */
function seedOf(seed: number, section: number): number {
  return crc32(Uint32Array.of(seed, section))
}

/** A snapshot that was read from bytes: its tables, on an engine of its own. */
export interface ReadSnapshot {
  readonly tables: Tables
  readonly sequence: number
  readonly createdAt: number
}

/** Reads what {@link snapshotBytes} wrote. Throws `CORRUPTION`, with the offset. */
export function readSnapshotBytes(bytes: Uint8Array): ReadSnapshot {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const isWhole =
    bytes.length >= HEADER_BYTES &&
    MAGIC.equals(bytes.subarray(0, MAGIC.length)) &&
    crc32(bytes.subarray(0, AT_CRC)) === view.getUint32(AT_CRC, true)
  if (!isWhole) throw damaged('this is not the beginning of a snapshot', 0)
  const version = view.getUint32(AT_VERSION, true)
  if (version !== VERSION)
    throw damaged(`its version is ${version}, and this program reads version ${VERSION}`, AT_VERSION)
  const length = readUint64(view, AT_LENGTH)
  if (length !== bytes.length) throw damaged(`it has ${bytes.length} bytes and should have ${length}`, AT_LENGTH)
  const sequence = readUint64(view, AT_SEQUENCE)
  const loader = new Loader()
  const seed = view.getUint32(AT_SEED, true)
  let at = HEADER_BYTES
  for (let section = 0; section < view.getUint32(AT_SECTIONS, true); section++) {
    if (at + SECTION_HEADER_BYTES > length) throw damaged('a section is cut short', at)
    const start = at + SECTION_HEADER_BYTES
    const end = start + view.getUint32(at, true)
    if (end > length) throw damaged('a section is cut short', at)
    const payload = bytes.subarray(start, end)
    if (crc32(payload, seedOf(seed, section)) !== view.getUint32(at + 4, true))
      throw damaged('the checksum of a section is wrong', at)
    loader.read(payload, sequence, start)
    at = end
  }
  if (at !== length) throw damaged('something follows the last section', at)
  return { tables: tablesOn(loader, sequence), sequence, createdAt: view.getFloat64(AT_CREATED, true) }
}

function damaged(what: string, offset: number, cause?: unknown): VarveError {
  const message = `a snapshot in bytes cannot be read: ${what} (at byte ${offset}); use another copy`
  return new VarveError('CORRUPTION', message, cause === undefined ? {} : { cause })
}

/** A table that was read, and what is in it. */
interface LoadedTable extends FoundTable {
  readonly id: number
  entries: number
  bytes: number
}

/** Takes the records in, and holds them against what a snapshot may say. */
class Loader implements RecordSink {
  readonly run: MemoryRun = new MemoryRun(hashSeedOf(randomBytes(16)), -1)
  readonly tables: Map<number, LoadedTable> = new Map()
  instant = 0
  #sequence = 0
  #offset = 0

  read(payload: Uint8Array, sequence: number, offset: number): void {
    this.#sequence = sequence
    this.#offset = offset
    const reader = new RecordReader(this, -1, -1, (what, at) => damaged(what, offset + at))
    reader.read(payload, payload.length)
  }

  commit(sequence: number, timeMs: number): void {
    if (sequence !== this.#sequence) throw this.#wrong('a section is of another commit')
    this.instant = timeMs
    this.run.commit(sequence, timeMs)
  }

  put(table: number, key: Uint8Array, size: number, value: Uint8Array, expiresAt: number): void {
    const known = this.tables.get(table)
    if (known === undefined) throw this.#wrong('an entry is of no table')
    try {
      decodeKey(key)
    } catch (cause) {
      throw damaged('a key is none', this.#offset, cause)
    }
    const { entries } = this.run
    this.run.put(table, key, size, value, expiresAt)
    if (this.run.entries === entries) throw this.#wrong('a key is there twice')
    known.entries++
    known.bytes += size
  }

  remove(): void {
    throw this.#wrong('it deletes something')
  }

  resized(): void {
    throw this.#wrong('it changes the size of a table')
  }

  define({ id, name, key, value }: TableDefinition): void {
    for (const known of this.tables.values()) {
      if (known.id === id || known.name === name) throw this.#wrong('a table is defined twice')
    }
    this.tables.set(id, { id, name, key, value, entries: 0, bytes: 0 })
  }

  #wrong(what: string): VarveError {
    return damaged(what, this.#offset)
  }
}

/** Tables over what was read: an engine without a past, whose time stands still at the instant of the snapshot. */
function tablesOn({ run, tables, instant }: Loader, sequence: number): Tables {
  const base = new TierBase(new ColdTier(run, [], sequence))
  const now = (): number => 0
  const engine = new Engine({
    firstSequence: sequence,
    disk: null,
    base,
    now,
    timeMs: () => instant,
    random: Math.random,
    graphCap: 1,
    vacuumIntervalMs: null,
    maxTransactionAgeMs: Infinity,
    maxSnapshotAgeMs: Infinity,
    feedBytes: 0,
  })
  const found = new Map([...tables.values()].map((table) => [table.name, table]))
  const ground: Ground = {
    place: 'in the snapshot',
    found,
    define: () => 0,
    part: (name) => {
      const table = found.get(name)
      if (table === undefined) return null
      return { table: base.table(table.id), size: table.entries, bytes: table.bytes, empty: table.entries === 0 }
    },
  }
  const state: DatabaseState = {
    engine,
    feed: {
      engine,
      history: null,
      origin: { database: '', epoch: 0, sequence },
      isOnDisk: false,
      ended: null,
      lagged: 0,
    },
    log: null,
    readOnly: true,
    closed: null,
    line: new WriteLine(),
    forks: 0,
    counts: { gets: 0, has: 0, scans: 0, sets: 0, deletes: 0, merges: 0 },
    retries: 0,
    commitLatency: new SampledLatency(now),
  }
  return new Tables(
    state,
    ground,
    {
      maplet: { capacity: 0, falsePositiveRate: 0.001, autoResize: true },
      ttl: { defaultMs: Infinity, sweepIntervalMs: 0 },
    },
    undefined,
  )
}
