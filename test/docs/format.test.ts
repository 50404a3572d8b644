/**
 * Reads a database directory by docs/file-format.md alone: a second reader, which shares nothing with the one in src/ but the
 * hash of keys and their encoding, each of which has tests of its own. Every byte is looked at: what the document calls reserved
 * or zero is zero, every checksum is right, every count is that of what is there.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codecs, Database, table, type Key } from '../../src/index.ts'
import { encodeKey } from '../../src/keys/index.ts'
import { Directory } from '../../src/durability/index.ts'
import { hashLow, hashStoredKey } from '../../src/runs/hash.ts'
import { NodeStorage } from '../../src/storage/index.ts'
import { optionsFor } from '../durability/sessions.ts'

const labels = table<string | number, string>('labels', { value: codecs.string() })

interface ManifestText {
  databaseId: string
  epoch: number
  sequence: number
  timeMs: number
  segments: { first: number; last: number }
  nextRun: number
  runs: Record<'number' | 'bytes' | 'entries' | 'tombstones' | 'firstSequence' | 'lastSequence', number>[]
  tables: { id: number; name: string; key: string | null; value: string; entries: number; bytes: number }[]
  falsePositiveRate: number
}

/** What was read: by stored key in hexadecimal, the value and the commit that wrote it; null where it was deleted. */
type Contents = Map<string, { readonly sequence: number; readonly value: string | null; readonly expiresAt?: number }>

const stored = (id: number, key: Key): string =>
  Buffer.concat([Buffer.from([id >>> 24, id >>> 16, id >>> 8, id]), encodeKey(key)]).toString('hex')

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

/** A position in bytes. */
class Cursor {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  u8(): number {
    return this.bytes.readUInt8(this.at++)
  }

  take(length: number): Buffer {
    expect(this.at + length).toBeLessThanOrEqual(this.bytes.length)
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  varint(): number {
    let value = 0
    for (let factor = 1; ; factor *= 0x80) {
      const byte = this.u8()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
  }

  instant(): number {
    const instant = this.take(8).readDoubleLE(0)
    expect(instant).toBeGreaterThan(0)
    expect(instant).toBeLessThan(Infinity)
    return instant
  }

  signed(): number {
    const value = this.varint()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
}

function u64(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at))
}

function readManifest(directory: string): ManifestText {
  const bytes = readFileSync(join(directory, 'manifest'))
  expect(bytes.toString('latin1', 0, 8)).toBe('VARVEMAN')
  expect(bytes.readUInt16LE(8)).toBe(1)
  expect(bytes.readUInt16LE(10)).toBe(0)
  expect(bytes.readUInt32LE(12)).toBe(bytes.length - 20)
  expect(bytes.readUInt32LE(16)).toBe(crc32(Buffer.concat([bytes.subarray(0, 16), bytes.subarray(20)])))
  const text = JSON.parse(bytes.toString('utf8', 20)) as ManifestText
  const members = 'databaseId,epoch,falsePositiveRate,logged,nextRun,runs,segments,sequence,tables,timeMs'
  expect(Object.keys(text).sort().join()).toBe(members)
  expect(text.databaseId).toMatch(/^[0-9a-f]{32}$/)
  for (const run of text.runs) {
    const fields = 'bytes,entries,firstSequence,id,lastSequence,number,tombstones'
    expect(Object.keys(run).sort().join()).toBe(fields)
    expect(run.number).toBeLessThan(text.nextRun)
  }
  return text
}

/** One segment by its frames. */
class SegmentFile {
  readonly bytes: Buffer
  readonly number: number
  readonly #seed: number
  readonly epoch: number
  readonly isStarted: boolean
  readonly predecessor: { number: number; end: number; epoch: number }
  readonly lastSequence: number

  constructor(directory: string, number: number, databaseId: string) {
    this.bytes = readFileSync(join(directory, `wal-${String(number).padStart(12, '0')}.log`))
    this.number = number
    const id = Buffer.from(databaseId, 'hex')
    this.#seed = crc32(id)
    this.epoch = this.bytes.readUInt32LE(12)
    expect(this.isFrame(0)).toBe(true)
    expect(this.bytes.length % 512).toBe(0)
    expect(this.bytes[16]).toBe(4)
    expect(this.bytes.readUInt16LE(18)).toBe(64)
    const payload = this.bytes.subarray(32, 512)
    expect(payload.toString('latin1', 0, 8)).toBe('VARVEWAL')
    expect(payload.readUInt16LE(8)).toBe(1)
    this.isStarted = payload[10] === 1
    expect([payload[10], payload[11]]).toEqual([this.isStarted ? 1 : 0, 0])
    expect(payload.subarray(12, 28).equals(id)).toBe(true)
    expect(payload.readUInt32LE(28)).toBe(number)
    expect(u64(payload, 32)).toBeLessThanOrEqual(this.bytes.length)
    this.predecessor = {
      number: payload.readUInt32LE(40),
      end: payload.readUInt32LE(44),
      epoch: payload.readUInt32LE(48),
    }
    expect(payload.readUInt32LE(52)).toBe(0)
    this.lastSequence = u64(payload, 56)
    expect(isZero(payload.subarray(64))).toBe(true)
  }

  isFrame(frame: number): boolean {
    const at = frame * 512
    const { bytes } = this
    if (at + 512 > bytes.length) return false
    return (
      bytes.readUInt32LE(at) === crc32(bytes.subarray(at + 4, at + 512), this.#seed) &&
      bytes.readUInt32LE(at + 4) === this.number &&
      bytes.readUInt32LE(at + 8) === frame &&
      bytes.readUInt32LE(at + 12) === this.epoch
    )
  }

  /** The payloads of its groups, up to `end`, and how many frames there were. */
  groups(end: number): { payloads: Buffer[]; frames: number } {
    const payloads: Buffer[] = []
    let parts: Buffer[] = []
    let frame = 1
    for (; frame < end && this.isFrame(frame); frame++) {
      const bytes = this.bytes.subarray(frame * 512, frame * 512 + 512)
      const flags = bytes.readUInt8(16)
      const used = bytes.readUInt16LE(18)
      expect([bytes[17], bytes.readUInt32LE(28), flags & ~0b1011]).toEqual([0, 0, 0])
      expect((flags & 1) !== 0).toBe(parts.length === 0)
      expect(isZero(bytes.subarray(32 + used))).toBe(true)
      const promise = [bytes.readUInt32LE(20), bytes.readUInt32LE(24)] as const
      expect(promise[0]).toBeLessThanOrEqual(this.number)
      if (promise[0] === this.number) expect(promise[1]).toBeLessThanOrEqual(frame)
      parts.push(bytes.subarray(32, 32 + used))
      if ((flags & 2) === 0) {
        expect(used).toBe(480)
        continue
      }
      payloads.push(Buffer.concat(parts))
      parts = []
    }
    expect(parts).toEqual([])
    return { payloads, frames: frame }
  }
}

/** Reads the log into `contents` and `tables`; returns the last commit. */
function readLog(directory: string, manifest: ManifestText, contents: Contents, tables: Set<string>): number {
  const { first, last } = manifest.segments
  const all = Array.from(
    { length: last - first + 1 },
    (_, i) => new SegmentFile(directory, first + i, manifest.databaseId),
  )
  const started = all.filter((segment) => segment.isStarted)
  expect(all.slice(0, started.length)).toEqual(started)
  let sequence = started[0]!.lastSequence
  expect(sequence).toBeLessThanOrEqual(manifest.sequence)
  for (const [i, segment] of started.entries()) {
    expect(segment.epoch).toBeLessThanOrEqual(manifest.epoch)
    expect(segment.lastSequence).toBe(sequence)
    const next = started[i + 1]
    if (next !== undefined) {
      expect(next.predecessor).toMatchObject({ number: segment.number, epoch: segment.epoch })
    }
    const { payloads, frames } = segment.groups(next?.predecessor.end ?? Infinity)
    if (next !== undefined) expect(frames).toBe(next.predecessor.end)
    for (const payload of payloads) sequence = readRecords(payload, sequence, manifest.sequence, contents, tables)
  }
  return sequence
}

function readRecords(
  payload: Buffer,
  before: number,
  covered: number,
  contents: Contents,
  tables: Set<string>,
): number {
  let sequence = before
  const records = new Cursor(payload)
  while (records.at < payload.length) {
    const type = records.u8()
    if (type === 0) {
      expect(isZero(payload.subarray(records.at))).toBe(true)
      break
    }
    const length = records.take(4).readUInt32LE(0)
    const body = new Cursor(records.take(length))
    if (type === 2) {
      const definition = JSON.parse(body.bytes.toString('utf8')) as Record<string, unknown>
      expect(Object.keys(definition).sort()).toEqual(['id', 'key', 'name', 'value'])
      tables.add(definition['name'] as string)
      continue
    }
    expect(type).toBe(1)
    expect(u64(body.take(8), 0)).toBe(++sequence)
    expect(Math.abs(body.take(8).readDoubleLE(0) - Date.now())).toBeLessThan(3_600_000)
    while (body.at < length) readItem(body, sequence <= covered ? null : contents, sequence)
  }
  return sequence
}

function readItem(body: Cursor, contents: Contents | null, sequence: number): void {
  const kind = body.u8()
  const id = body.varint()
  if (kind === 3) {
    body.signed()
    body.signed()
    return
  }
  expect([1, 2, 17, 18]).toContain(kind)
  const key = body.take(body.varint())
  const name = Buffer.concat([Buffer.from([id >>> 24, id >>> 16, id >>> 8, id]), key]).toString('hex')
  if (kind === 2 || kind === 18) {
    contents?.set(name, { sequence, value: null })
    return
  }
  const expiry = kind === 17 ? { expiresAt: body.instant() } : {}
  expect(body.varint()).toBeGreaterThan(0)
  const value = body.take(body.varint()).toString('hex')
  contents?.set(name, { sequence, value, ...expiry })
}

/** Reads a run, from its footer back, into `contents`. */
function readRun(directory: string, listed: ManifestText['runs'][number], contents: Contents): void {
  const bytes = readFileSync(join(directory, `run-${String(listed.number).padStart(12, '0')}.run`))
  const footer = bytes.subarray(bytes.length - 140)
  const id = footer.subarray(8, 24)
  const checksum = (part: Buffer, kind: number, number: number): number =>
    crc32(part, (crc32(id) ^ Math.imul(number * 4 + kind, 0x9e3779b1)) >>> 0)
  expect(footer.toString('latin1', 132)).toBe('VARVERUN')
  expect(footer.readUInt16LE(128)).toBe(1)
  expect(footer.readUInt32LE(0)).toBe(checksum(footer.subarray(4), 3, 0))
  expect([footer.readUInt32LE(124) & ~1, footer.readUInt16LE(130)]).toEqual([0, 0])
  const expires = footer.readUInt32LE(124) === 1
  expect({
    id: id.toString('hex'),
    number: u64(footer, 24),
    bytes: u64(footer, 32),
    entries: u64(footer, 40),
    tombstones: u64(footer, 48),
    firstSequence: u64(footer, 56),
    lastSequence: u64(footer, 64),
  }).toEqual(listed)
  const [pagesAt, indexAt] = [u64(footer, 72), u64(footer, 80)]
  const [blocks, pages, buckets] = [footer.readUInt32LE(88), footer.readUInt32LE(92), footer.readUInt32LE(96)]
  const [fingerprintBits, blockBits] = [footer[100]!, footer[101]!]
  expect(footer.readUInt16LE(102)).toBe(16)
  const seed = { key0: footer.readUInt32LE(104), key1: footer.readUInt32LE(108) }
  expect(pagesAt + pages * 4096).toBe(indexAt)

  const expiries = bytes.subarray(bytes.length - 140 - (expires ? 8 + 8 * blocks : 0), bytes.length - 140)
  expect(footer.readUInt32LE(120)).toBe(expires ? checksum(expiries, 2, 1) : 0)
  const index = bytes.subarray(indexAt, expiries.byteOffset - bytes.byteOffset)
  expect(footer.readUInt32LE(4)).toBe(checksum(index, 2, 0))
  const offset = (row: number): number => index.readUIntLE(row * 12, 6)
  const separator = (row: number): number => index.readUIntLE(row * 12 + 6, 6)
  const bucketsAt = (blocks + 1) * 12
  const separatorsAt = bucketsAt + pages * 4
  expect(offset(blocks)).toBe(pagesAt)
  expect(separatorsAt + separator(blocks)).toBe(index.length)

  const keys: { key: Buffer; block: number }[] = []
  let tombstones = 0
  let expiring = 0
  for (let number = 0; number < blocks; number++) {
    const block = bytes.subarray(offset(number), offset(number + 1))
    expect(block.readUInt32LE(0)).toBe(checksum(block.subarray(4), 0, number))
    expect(block.readUInt32LE(4)).toBe(number)
    const [entries, end, base] = [block.readUInt32LE(8), block.readUInt32LE(12), block.readUIntLE(16, 6)]
    expect(block.readUInt16LE(22)).toBe(0)
    expect(block.length).toBe(end + Math.ceil(entries / 16) * 4)
    expect(block.length <= 32 * 1024 || entries === 1).toBe(true)
    const cursor = new Cursor(block, 24)
    let key = Buffer.alloc(0)
    let least = Infinity
    for (let i = 0; i < entries; i++) {
      if (i % 16 === 0) expect(block.readUInt32LE(end + (i / 16) * 4)).toBe(cursor.at)
      const shared = cursor.varint()
      if (i % 16 === 0) expect(shared).toBe(0)
      const unsharedAndKind = cursor.varint()
      const kind = unsharedAndKind % 4
      expect(expires ? [0, 1, 2] : [0, 1]).toContain(kind)
      const valueLength = kind === 1 ? 0 : cursor.varint()
      const size = valueLength + cursor.signed()
      const sequence = base + cursor.signed()
      const expiry = kind === 2 ? { expiresAt: cursor.instant() } : {}
      if (expiry.expiresAt !== undefined) {
        expiring++
        least = Math.min(least, expiry.expiresAt)
      }
      const next = Buffer.concat([key.subarray(0, shared), cursor.take((unsharedAndKind - kind) / 4)])
      const before = keys.at(-1)?.key
      if (before !== undefined) expect(Buffer.compare(before, next)).toBe(-1)
      if (i === 0) {
        expect(sequence).toBe(base)
        const split = index.subarray(separatorsAt + separator(number), separatorsAt + separator(number + 1))
        expect(next.subarray(0, split.length).equals(split)).toBe(true)
        if (before === undefined) expect(split).toHaveLength(0)
        else {
          expect(Buffer.compare(split, before)).toBe(1)
          expect(Buffer.compare(split.subarray(0, -1), before)).not.toBe(1)
        }
      }
      key = next
      keys.push({ key, block: number })
      if (kind === 1) {
        tombstones++
        expect(size).toBe(0)
        contents.set(key.toString('hex'), { sequence, value: null })
      } else {
        expect(size).toBeGreaterThan(0)
        contents.set(key.toString('hex'), { sequence, value: cursor.take(valueLength).toString('hex'), ...expiry })
      }
    }
    expect(cursor.at).toBe(end)
    if (expires) expect(expiries.readDoubleLE(8 + number * 8)).toBe(least)
  }
  expect(expiring).toBe(expires ? u64(expiries, 0) : 0)
  if (expires) expect(expiring).toBeGreaterThan(0)
  expect([keys.length, tombstones]).toEqual([listed.entries, listed.tombstones])
  expect(footer.readUInt32LE(112)).toBe(keys[0]!.key.readUInt32BE(0))
  expect(footer.readUInt32LE(116)).toBe(keys.at(-1)!.key.readUInt32BE(0))

  const cells = readPages(bytes.subarray(pagesAt, indexAt), (page, number) => checksum(page, 1, number), {
    fingerprintBits,
    blockBits,
    firstBuckets: Array.from({ length: pages }, (_, i) => index.readUInt32LE(bucketsAt + i * 4)),
    buckets,
  })
  for (const { key, block } of keys) {
    const high = hashStoredKey(key, key.length, seed)
    const cell = `${Math.floor((high * buckets) / 2 ** 32)} ${hashLow >>> (32 - fingerprintBits)} ${block}`
    expect(cells.get(cell) ?? 0).toBeGreaterThan(0)
    cells.set(cell, cells.get(cell)! - 1)
  }
  expect([...cells.values()].every((left) => left === 0)).toBe(true)
}

/** Number of a bit field, lowest bit first. */
function field(bytes: Buffer, at: number, bits: number, place: number): number {
  let value = 0
  for (let i = 0; i < bits; i++) {
    const bit = place * bits + i
    value += ((bytes[at + (bit >> 3)]! >> (bit & 7)) & 1) * 2 ** i
  }
  return value
}

/** All cells, as "bucket fingerprint block", with how often each is there. */
function readPages(
  bytes: Buffer,
  checksum: (page: Buffer, number: number) => number,
  shape: { fingerprintBits: number; blockBits: number; firstBuckets: number[]; buckets: number },
): Map<string, number> {
  const cells = new Map<string, number>()
  let nextBucket = 0
  for (let number = 0; number * 4096 < bytes.length; number++) {
    const page = bytes.subarray(number * 4096, (number + 1) * 4096)
    expect(page.readUInt32LE(0)).toBe(checksum(page.subarray(4), number))
    expect(page.readUInt32LE(4)).toBe(number)
    expect(page.readUInt32LE(8)).toBe(nextBucket)
    expect(shape.firstBuckets[number]).toBe(nextBucket)
    const [buckets, count] = [page.readUInt16LE(12), page.readUInt16LE(14)]
    const fingerprintsAt = 16 + buckets * 2
    const blocksAt = fingerprintsAt + Math.ceil((count * shape.fingerprintBits) / 8)
    const end = blocksAt + Math.ceil((count * shape.blockBits) / 8)
    expect(end).toBeLessThanOrEqual(4092)
    expect(isZero(page.subarray(end))).toBe(true)
    for (let i = 0; i < buckets; i++) {
      const start = page.readUInt16LE(16 + i * 2)
      const stop = i + 1 === buckets ? count : page.readUInt16LE(18 + i * 2)
      expect(start).toBeLessThan(0x8000)
      for (let cell = start; cell < stop; cell++) {
        const fingerprint = field(page, fingerprintsAt, shape.fingerprintBits, cell)
        const name = `${nextBucket + i} ${fingerprint} ${field(page, blocksAt, shape.blockBits, cell)}`
        cells.set(name, (cells.get(name) ?? 0) + 1)
      }
    }
    nextBucket += buckets
  }
  expect(nextBucket).toBe(shape.buckets)
  return cells
}

describe('a directory read by docs/file-format.md', () => {
  const root = mkdtempSync(join(tmpdir(), 'varve-format-'))
  const open = join(root, 'open')
  const closed = join(root, 'closed')
  const expected = new Map<string, string>()

  beforeAll(async () => {
    const path = join(root, 'db')
    const db = await Database.open({ path, value: codecs.string(), wal: { segmentBytes: 65_536, poolSize: 2 } })
    const set = async (key: Key, value: string): Promise<void> => {
      await db.handle().set(key, value)
      expected.set(stored(0, key), Buffer.from(value, 'utf8').toString('hex'))
    }
    const remove = async (key: Key): Promise<void> => {
      await db.handle().delete(key)
      expected.delete(stored(0, key))
    }
    const all = (from: number, to: number, work: (i: number) => Promise<void>): Promise<unknown> =>
      Promise.all(Array.from({ length: to - from }, (_, i) => work(from + i)))
    await all(0, 2000, (i) => set(`key ${i % 1500}`, `value ${i} `.repeat(i % 9)))
    await set('large', 'x'.repeat(100_000))
    await db.checkpoint()
    await all(0, 300, (i) => remove(`key ${i}`))
    await set([1, 'a', true], 'tuple')
    await db.checkpoint()
    await all(200, 880, (i) => set(`key ${i}`, `again ${i}`))
    for (let i = 880; i < 900; i++) await set(`key ${i}`, `again ${i}`)
    await remove('key 1000')
    await db.handle(labels).transaction((tx) => {
      for (const key of ['a', 'b', 7]) {
        tx.set(key, `label ${key}`)
        expected.set(stored(1, key), Buffer.from(`label ${key}`).toString('hex'))
      }
    })
    cpSync(path, open, { recursive: true })
    await db.close()
    cpSync(path, closed, { recursive: true })
  })
  afterAll(() => rmSync(root, { recursive: true }))

  it.each([
    ['open', open],
    ['closed', closed],
  ])('holds what was put in: %s', (_, directory) => {
    const manifest = readManifest(directory)
    const contents: Contents = new Map()
    expect(manifest.runs.length).toBeGreaterThan(0)
    for (const run of [...manifest.runs].reverse()) readRun(directory, run, contents)
    const tables = new Set(manifest.tables.map(({ name }) => name))
    const last = readLog(directory, manifest, contents, tables)
    expect(last).toBe(2000 + 1 + 300 + 1 + 700 + 1 + 1)
    expect([...tables].sort()).toEqual(['default', 'labels'])
    const live = [...contents].flatMap(([key, { value }]) => (value === null ? [] : [[key, value] as const]))
    expect(new Map(live)).toEqual(expected)
  })

  it('holds what was put in, and when it expires', async () => {
    const path = join(root, 'expiring')
    cpSync(closed, path, { recursive: true })
    const directory = await Directory.open(optionsFor(new NodeStorage(), { path }))
    const log = directory.log!
    let sequence = directory.sequence
    const instants = new Map<string, number>()
    const set = async (key: Key, value: string, expiresAt: number): Promise<void> => {
      log.begin(Date.now())
      log.put(0, key, Buffer.from(value), value.length + 9, expiresAt)
      log.end(++sequence)
      await log.settledAt(sequence)
      expected.set(stored(0, key), Buffer.from(value).toString('hex'))
      if (expiresAt === 0) instants.delete(stored(0, key))
      else instants.set(stored(0, key), expiresAt)
    }
    const expire = async (key: Key): Promise<void> => {
      log.begin(Date.now())
      log.remove(0, key, true)
      log.end(++sequence)
      await log.settledAt(sequence)
      expected.delete(stored(0, key))
      instants.delete(stored(0, key))
    }
    for (let i = 0; i < 300; i++) await set(`key ${i * 3}`, 'a while '.repeat(i), i % 3 === 0 ? 0 : 1e12 + i / 7)
    await directory.checkpoint()
    for (let i = 0; i < 50; i++) await set(`key ${i * 7}`, 'another', i % 2 === 0 ? 0 : 5e12)
    await expire('key 3')
    await directory.close()

    const manifest = readManifest(path)
    const contents: Contents = new Map()
    for (const run of [...manifest.runs].reverse()) readRun(path, run, contents)
    expect([...contents.values()].filter(({ expiresAt }) => expiresAt !== undefined).length).toBeGreaterThan(150)
    const tables = new Set(manifest.tables.map(({ name }) => name))
    expect(readLog(path, manifest, contents, tables)).toBe(sequence)
    const live = [...contents].filter(([, { value }]) => value !== null)
    expect(new Map(live.map(([key, { value }]) => [key, value]))).toEqual(expected)
    const expiring = live.flatMap(([key, { expiresAt }]) =>
      expiresAt === undefined ? [] : [[key, expiresAt] as const],
    )
    expect(new Map(expiring)).toEqual(instants)
  })

  it('has a log that says where it ended, if it was closed', () => {
    const manifest = readManifest(closed)
    const { first, last } = manifest.segments
    const started = Array.from(
      { length: last - first + 1 },
      (_, i) => new SegmentFile(closed, first + i, manifest.databaseId),
    )
      .filter(({ isStarted }) => isStarted)
      .at(-1)!
    const { frames } = started.groups(Infinity)
    const marker = started.bytes.subarray((frames - 1) * 512, frames * 512)
    expect([marker[16], marker.readUInt16LE(18)]).toEqual([1 + 2 + 8, 0])
    expect([marker.readUInt32LE(20), marker.readUInt32LE(24)]).toEqual([started.number, frames - 1])
  })

  it('has a lock while it is open, with the members that are named', () => {
    const lock = readFileSync(join(open, 'lock'), 'utf8')
    expect(lock.endsWith('}\n')).toBe(true)
    const members = 'boot,flock,host,namespace,nonce,pid,platform,started,thread,time,version'
    expect(
      Object.keys(JSON.parse(lock) as object)
        .sort()
        .join(),
    ).toBe(members)
    expect(readdirSync(closed)).not.toContain('lock')
  })
})
