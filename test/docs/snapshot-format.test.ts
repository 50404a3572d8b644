/** docs/file-format.md, "Snapshots in bytes": a reader made after that page alone finds in one what was put in. */
import { crc32 } from 'node:zlib'
import { expect, it } from 'vitest'

import { codecs, Database, table } from '../../src/index.ts'
import { encodeKey } from '../../src/keys/index.ts'

interface Found {
  readonly sequence: number
  readonly createdAt: number
  readonly tables: Map<number, { name: string; key: string | null; value: string }>
  /** Table, key and value as hex, expiry. */
  readonly entries: string[]
}

class Reader {
  readonly bytes: Buffer
  at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes)
  }

  take(length: number): Buffer {
    const taken = this.bytes.subarray(this.at, this.at + length)
    expect(taken.length).toBe(length)
    this.at += length
    return taken
  }

  u8 = (): number => this.take(1).readUInt8()
  u32 = (): number => this.take(4).readUInt32LE()
  u64 = (): number => Number(this.take(8).readBigUInt64LE())
  f64 = (): number => this.take(8).readDoubleLE()

  varint(): number {
    for (let value = 0, factor = 1; ; factor *= 128) {
      const byte = this.u8()
      value += (byte & 127) * factor
      if (byte < 128) return value
    }
  }
}

function readRecords(body: Reader, found: Found): void {
  while (body.at < body.bytes.length) {
    const type = body.u8()
    const record = new Reader(body.take(body.u32()))
    if (type === 2) {
      const { id, ...definition } = JSON.parse(record.bytes.toString()) as { id: number } & Record<string, string>
      found.tables.set(id, definition as never)
      continue
    }
    expect([type, record.u64(), record.f64() > 0]).toEqual([1, found.sequence, true])
    while (record.at < record.bytes.length) {
      const kind = record.u8()
      expect([1, 17]).toContain(kind)
      const id = record.varint()
      const key = record.take(record.varint()).toString('hex')
      const expiresAt = kind === 17 ? record.f64() : 0
      expect(record.varint()).toBeGreaterThan(0)
      const value = record.take(record.varint()).toString('hex')
      found.entries.push(`${found.tables.get(id)!.name} ${key} ${value} ${expiresAt}`)
    }
  }
}

function read(bytes: Uint8Array): Found {
  const whole = new Reader(bytes)
  expect(whole.take(8).toString('latin1')).toBe('VARVESNP')
  expect(whole.u32()).toBe(1)
  const sections = whole.u32()
  const found: Found = { sequence: whole.u64(), createdAt: whole.f64(), tables: new Map(), entries: [] }
  expect(whole.u64()).toBe(bytes.length)
  const seed = whole.u32()
  expect(whole.u32()).toBe(crc32(bytes.subarray(0, 44)))
  for (let section = 0; section < sections; section++) {
    const length = whole.u32()
    const checksum = whole.u32()
    const payload = whole.take(length)
    const start = Buffer.alloc(8)
    start.writeUInt32LE(seed, 0)
    start.writeUInt32LE(section, 4)
    expect(crc32(payload, crc32(start))).toBe(checksum)
    readRecords(new Reader(payload), found)
  }
  expect(whole.at).toBe(bytes.length)
  return found
}

it('a snapshot in bytes is as described', async () => {
  const clock = (): number => 1_700_000_000_000
  await using db = await Database.open<number, string>({ value: codecs.string(), clock })
  const blobs = table<string, Uint8Array>('blobs', { value: codecs.bytes() })
  const wanted: string[] = []
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  await db.handle().transaction((tx) => {
    for (let i = 0; i < 3000; i++) tx.set(i, `value ${i}`, i % 3 === 0 ? { ttlMs: 1 + i } : {})
  })
  await db.handle(blobs).transaction((tx) => {
    for (let i = 0; i < 12; i++) tx.set(`blob ${i}`, new Uint8Array(200_000 + i).fill(i))
  })
  for (let i = 0; i < 3000; i++) {
    const expiresAt = i % 3 === 0 ? clock() + 1 + i : 0
    wanted.push(`default ${hex(encodeKey(i))} ${hex(Buffer.from(`value ${i}`))} ${expiresAt}`)
  }
  for (let i = 0; i < 12; i++) {
    wanted.push(`blobs ${hex(encodeKey(`blob ${i}`))} ${hex(new Uint8Array(200_000 + i).fill(i))} 0`)
  }
  const { sequence, createdAt, tables, entries } = read(db.snapshot().toBytes())
  expect([sequence, createdAt]).toEqual([2, clock()])
  expect([...tables.values()]).toEqual([
    { name: 'default', key: null, value: 'string' },
    { name: 'blobs', key: null, value: 'bytes' },
  ])
  expect(entries.length).toBe(wanted.length)
  expect(new Set(entries)).toEqual(new Set(wanted))
})
