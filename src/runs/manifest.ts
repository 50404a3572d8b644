/**
 * The manifest: the one root of a database directory. It says which runs there are, which segments of the log exist, what
 * tables there are, and up to which commit the runs hold everything. It is replaced whole, never changed.
 *
 * | bytes | what                                                        |
 * |-------|-------------------------------------------------------------|
 * | 0-7   | magic, `VARVEMAN`                                           |
 * | 8-9   | format version                                              |
 * | 10-11 | zero                                                        |
 * | 12-15 | length of the text in bytes                                 |
 * | 16-19 | CRC-32 of bytes 0 to 15 and of the text                     |
 * | 20-   | the text: JSON in UTF-8, an object with exactly the members of {@link Manifest}; the file ends with it |
 *
 * Numbers are little endian. JSON, because it is small, seldom written, and can be read by people and mended by hand.
 *
 * I1  What readManifest returns satisfies every condition of `Manifest`, whatever bytes the file holds; or it throws
 *     `CORRUPTION` with the file and the place. No more is allocated than a small multiple of the size of the file.
 * I2  Once writeManifest has returned, the new manifest is what a power loss leaves. If it throws before `renaming` was
 *     called, the old one is; if after, either may be.
 * I3  The name `manifest` never stands for a file that was not synced whole.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { VarveError } from '../errors.ts'
import { type Storage, type StorageFile, errnoOf, isMissing } from '../storage/storage.ts'
import type { RunSummary } from './format.ts'
import { Checks } from './manifest-checks.ts'

/** A table, and its size as of the manifest's `sequence`. */
export interface TableEntry {
  readonly id: number
  readonly name: string
  /** Name of the codec of keys; null if any key may stand in it. */
  readonly key: string | null
  /** Name of the codec of values. */
  readonly value: string
  readonly entries: number
  readonly bytes: number
}

/** All that is known of a database without reading anything else. */
export interface Manifest {
  /** 32 hexadecimal digits. */
  readonly databaseId: string
  /** Greater at every open for writing. */
  readonly epoch: number
  /** Every commit up to this one is in the runs. */
  readonly sequence: number
  /** Every commit up to this one was durable when the manifest was written: a log that ends before it has been cut. */
  readonly logged: number
  /** When that commit was logged, in milliseconds. */
  readonly timeMs: number
  /** Numbers of the segment files that exist, both included; `last` is `first` - 1 where there are none. */
  readonly segments: { readonly first: number; readonly last: number }
  /** Greater than the number of every run there has been. */
  readonly nextRun: number
  /** Newest first. */
  readonly runs: readonly RunSummary[]
  readonly tables: readonly TableEntry[]
  /** What the maplets of runs are built for. */
  readonly falsePositiveRate: number
}

/** The name of the file. */
const MANIFEST_NAME = 'manifest'

const MAGIC = 'VARVEMAN'
const VERSION = 1
const HEADER_BYTES = 20

/** No manifest is larger: room for a hundred thousand tables. What claims to be is not read. */
const MAX_BYTES = 64 * 1024 * 1024

/**
 * The manifest of a directory; null if it has none.
 *
 * @throws VarveError `CORRUPTION` if it is damaged, or of a newer version; `IO` if it cannot be read.
 */
export async function readManifest(storage: Storage, directory: string): Promise<Manifest | null> {
  const path = join(directory, MANIFEST_NAME)
  let file: StorageFile
  try {
    file = await storage.open(path, 'read')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
  try {
    return decodeManifest(await readWhole(file, path), path)
  } finally {
    await file.close()
  }
}

async function readWhole(file: StorageFile, path: string): Promise<Uint8Array> {
  const size = await file.size()
  if (size > MAX_BYTES) throw damaged(path, 0, `it has ${size} bytes, more than the ${MAX_BYTES} a manifest may have`)
  const bytes = new Uint8Array(size)
  const read = await file.read(bytes, 0)
  return bytes.subarray(0, read)
}

/**
 * Replaces the manifest: a new file is written and synced, renamed over the old one, and the directory is synced.
 *
 * @param renaming called just before the rename, see I2.
 * @throws VarveError `IO`. The temporary file is then removed, if that is possible.
 */
export async function writeManifest(
  storage: Storage,
  directory: string,
  manifest: Manifest,
  renaming: () => void = (): void => {},
): Promise<void> {
  const path = join(directory, MANIFEST_NAME)
  const temporary = `${path}.tmp-${randomBytes(8).toString('hex')}`
  const bytes = encodeManifest(manifest)
  try {
    await writeWhole(storage, temporary, bytes)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') await storage.remove(temporary).catch(() => {})
    throw error
  }
  renaming()
  try {
    await storage.rename(temporary, path)
  } catch (error) {
    await storage.remove(temporary).catch(() => {})
    throw error
  }
  await storage.syncDirectory(directory)
}

async function writeWhole(storage: Storage, path: string, bytes: Uint8Array): Promise<void> {
  const file = await storage.open(path, 'create')
  try {
    await file.write(bytes, 0)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** The bytes of the file. What is not a valid manifest is not written either. */
function encodeManifest(manifest: Manifest): Uint8Array {
  const checked = checkManifest(
    manifest,
    (what) => new Error(`varve invariant violated: a manifest is not valid: ${what}`),
  )
  const text = Buffer.from(JSON.stringify(checked), 'utf8')
  const bytes = Buffer.alloc(HEADER_BYTES + text.length)
  bytes.write(MAGIC, 0, 'latin1')
  bytes.writeUInt16LE(VERSION, 8)
  bytes.writeUInt32LE(text.length, 12)
  text.copy(bytes, HEADER_BYTES)
  bytes.writeUInt32LE(checksumOf(bytes), 16)
  return bytes
}

function checksumOf(bytes: Uint8Array): number {
  return crc32(bytes.subarray(HEADER_BYTES), crc32(bytes.subarray(0, 16)))
}

function decodeManifest(bytes: Uint8Array, path: string): Manifest {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const beginning = header.toString('latin1', 0, MAGIC.length)
  if (!MAGIC.startsWith(beginning)) throw foreign(path)
  if (bytes.length < HEADER_BYTES) throw damaged(path, bytes.length, `it ends within its header`)
  const version = header.readUInt16LE(8)
  if (version > VERSION) throw newer(path, version)
  if (version !== VERSION) throw damaged(path, 8, `there is no format version ${version}`)
  const length = header.readUInt32LE(12)
  if (length !== bytes.length - HEADER_BYTES) {
    throw damaged(path, 12, `it says that ${length} bytes follow its header, and ${bytes.length - HEADER_BYTES} do`)
  }
  if (header.readUInt32LE(16) !== checksumOf(bytes)) throw damaged(path, 16, 'its checksum is wrong')
  if (header.readUInt16LE(10) !== 0) throw damaged(path, 10, 'reserved bytes are not zero')
  return parse(header.toString('utf8', HEADER_BYTES), path)
}

function parse(text: string, path: string): Manifest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw damaged(path, HEADER_BYTES, 'its text is not JSON')
  }
  return checkManifest(value, (what) => damaged(path, HEADER_BYTES, what))
}

function damaged(path: string, offset: number, what: string): VarveError {
  return new VarveError(
    'CORRUPTION',
    `${path} is damaged at byte ${offset}: ${what}; restore the database from a backup`,
  )
}

function foreign(path: string): VarveError {
  return new VarveError(
    'CORRUPTION',
    `${path} is no manifest of a varve database: if it is somebody else's, use another directory; if it was one, it is ` +
      'damaged at byte 0: restore the database from a backup',
  )
}

function newer(path: string, version: number): VarveError {
  return new VarveError(
    'CORRUPTION',
    `${path} has format version ${version} (byte 8), and this release reads up to ${VERSION}: open it with a newer release`,
  )
}

/** A copy of `value` that is a manifest, member by member; throws what `fail` makes of the first defect. */
function checkManifest(value: unknown, fail: (what: string) => Error): Manifest {
  const checks = new Checks(fail)
  const at = 'the manifest'
  const root = checks.members(value, at, [
    'databaseId',
    'epoch',
    'sequence',
    'logged',
    'timeMs',
    'segments',
    'nextRun',
    'runs',
    'tables',
    'falsePositiveRate',
  ])
  const segments = checks.members(root['segments'], 'segments', ['first', 'last'])
  const nextRun = checks.whole(root['nextRun'], 'nextRun', 1)
  const manifest: Manifest = {
    databaseId: checks.hex(root['databaseId'], 'databaseId', 32),
    epoch: checks.whole(root['epoch'], 'epoch', 0),
    sequence: checks.whole(root['sequence'], 'sequence', 0),
    logged: checks.whole(root['logged'], 'logged', 0),
    timeMs: checks.number(root['timeMs'], 'timeMs'),
    segments: {
      first: checks.whole(segments['first'], 'segments.first', 0),
      last: checks.whole(segments['last'], 'segments.last', 0),
    },
    nextRun,
    runs: checks.list(root['runs'], 'runs').map((run, index) => checkRun(checks, run, `runs[${index}]`)),
    tables: checks.list(root['tables'], 'tables').map((table, index) => checkTable(checks, table, `tables[${index}]`)),
    falsePositiveRate: checks.number(root['falsePositiveRate'], 'falsePositiveRate'),
  }
  checkTogether(checks, manifest)
  return manifest
}

function checkRun(checks: Checks, value: unknown, at: string): RunSummary {
  const run = checks.members(value, at, [
    'number',
    'id',
    'bytes',
    'entries',
    'tombstones',
    'firstSequence',
    'lastSequence',
  ])
  return {
    number: checks.whole(run['number'], `${at}.number`, 1),
    id: checks.hex(run['id'], `${at}.id`, 32),
    bytes: checks.whole(run['bytes'], `${at}.bytes`, 1),
    entries: checks.whole(run['entries'], `${at}.entries`, 0),
    tombstones: checks.whole(run['tombstones'], `${at}.tombstones`, 0),
    firstSequence: checks.whole(run['firstSequence'], `${at}.firstSequence`, 0),
    lastSequence: checks.whole(run['lastSequence'], `${at}.lastSequence`, 0),
  }
}

const MAX_TABLE_ID = 0xffff_ffff

function checkTable(checks: Checks, value: unknown, at: string): TableEntry {
  const table = checks.members(value, at, ['id', 'name', 'key', 'value', 'entries', 'bytes'])
  return {
    id: checks.whole(table['id'], `${at}.id`, 0, MAX_TABLE_ID),
    name: checks.text(table['name'], `${at}.name`),
    key: table['key'] === null ? null : checks.text(table['key'], `${at}.key`),
    value: checks.text(table['value'], `${at}.value`),
    entries: checks.number(table['entries'], `${at}.entries`),
    bytes: checks.number(table['bytes'], `${at}.bytes`),
  }
}

/** What must hold between members. */
function checkTogether(
  checks: Checks,
  { segments, nextRun, runs, tables, sequence, logged, falsePositiveRate }: Manifest,
): void {
  checks.that(segments.last >= segments.first - 1, 'the last segment is before the first')
  checks.that(logged >= sequence, `commit ${sequence} is in runs, but only ${logged} were logged`)
  checks.that(falsePositiveRate > 0 && falsePositiveRate < 1, 'falsePositiveRate is not between 0 and 1')
  checks.distinct(
    runs.map((run) => run.number),
    'two runs have one number',
  )
  checks.distinct(
    tables.map((table) => table.id),
    'two tables have one id',
  )
  checks.distinct(
    tables.map((table) => table.name),
    'two tables have one name',
  )
  for (const run of runs) {
    checks.that(run.number < nextRun, `run ${run.number} is not below nextRun, ${nextRun}`)
    checks.that(run.tombstones <= run.entries, `run ${run.number} has more tombstones than entries`)
    checks.that(run.firstSequence <= run.lastSequence, `run ${run.number} ends before it begins`)
    checks.that(run.lastSequence <= sequence, `run ${run.number} goes beyond commit ${sequence}`)
  }
  for (const [index, older] of runs.slice(1).entries()) {
    const isInOrder = (runs[index] as RunSummary).firstSequence > older.lastSequence
    checks.that(isInOrder, `runs are out of order: run ${older.number} has commits of the one before it`)
  }
}
