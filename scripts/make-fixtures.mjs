/**
 * Makes fixtures of the file format: node scripts/make-fixtures.mjs <format-1 | format-1-expiry | format-1-blocks> [directory]
 *
 * Run once for each change of the format, by a build that writes it, and committed: the files stay readable for ever. Each
 * is an archive of a database directory, healthy or damaged, and expectations.json says what opening it gives. What the
 * archives hold is said in README.md beside them.
 *
 * Databases that end by death are written by a child process (this script, with --write), which kills itself.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { crc32, gzipSync } from 'node:zlib'
import { bundle } from './bundle.mjs'

// Rooms that the package does not export, built together with what it does, so that each class is there once. Children find
// them built.
const rooms = ['index', 'durability/index', 'runs/index', 'storage/index']
const builtPath = fileURLToPath(new URL('../dist/rooms', import.meta.url))
if (process.argv[2] !== '--write') {
  process.on('exit', () => rmSync(builtPath, { recursive: true, force: true }))
  await bundle(Object.fromEntries(rooms.map((name) => [name, `src/${name}.ts`])), 'dist/rooms')
}
const built = (/** @type {string} */ name) => import(pathToFileURL(join(builtPath, `${name}.js`)).href)
const { Database, codecs, keys, table } = await built('index')
const { Directory } = await built('durability/index')
const { inlineBackground } = await built('runs/index')
const { NodeStorage } = await built('storage/index')

/** @typedef {Map<string, Buffer>} Files of a directory by name */

const SEGMENT_BYTES = 64 * 1024

// ---------------------------------------------------------------- what is stored

const bytes = (/** @type {number[]} */ ...of) => Uint8Array.from(of)

/** Keys of every kind, and of each the extremes. */
const EVERY_KEY = [
  ...[false, true, -Infinity, -1.5e300, -1, 0, 5e-324, 0.1, 1, 1n, 2 ** 53, Infinity, -(2n ** 100n), -7n, 2n ** 64n],
  ...['', '\0', '\u0001a', 'a', 'ab', 'é', '漢字', '\ud800', '😀', 'x'.repeat(300)],
  ...[bytes(), bytes(0), bytes(0, 1, 255), bytes(255, 255)],
  ...[[], [[]], ['a', 1], ['a', 1, [bytes(1), true]], [2n, 'b', '']],
]

/** Values of every kind that the default codec carries. */
const EVERY_VALUE = [
  ...[
    null,
    true,
    false,
    0,
    -0,
    NaN,
    -Infinity,
    0.1,
    2 ** 53,
    2 ** 31,
    -129,
    1n,
    -(2n ** 70n),
    '',
    'é\ud800',
    'y'.repeat(300),
  ],
  ...[[], [1, [undefined, 'two']], {}, { a: { b: [{ c: null }] }, ü: undefined }],
  ...[
    new Date(0),
    new Date(NaN),
    new Map([['k', new Set([1, 'x'])]]),
    new Set(),
    bytes(1, 2, 3),
    Float64Array.of(1.5, NaN),
  ],
]

/** @type {[name: string, key: any, value: any, entries: [unknown, unknown][]][]} */
const TABLES = [
  [
    'strings',
    keys.string(),
    codecs.string(),
    [
      ['a', ''],
      ['b', 'é\ud800😀'],
      ['c', 'z'.repeat(1000)],
    ],
  ],
  [
    'bytes',
    keys.bytes(),
    codecs.bytes(),
    [
      [bytes(), bytes(1)],
      [bytes(0), bytes()],
      [bytes(9, 0), bytes(0, 255)],
    ],
  ],
  [
    'views',
    keys.float64(),
    codecs.bytesView(),
    [
      [-1, bytes(1, 2)],
      [0.5, bytes()],
    ],
  ],
  [
    'booleans',
    keys.i64(),
    codecs.boolean(),
    [
      [-5n, true],
      [3n, false],
    ],
  ],
  [
    'unsigned',
    keys.u64(),
    codecs.string(),
    [
      [0n, 'none'],
      [2n ** 64n - 1n, 'most'],
    ],
  ],
  [
    'pairs',
    keys.tuple(keys.string(), keys.float64()),
    codecs.structured(),
    [
      [['a', 1], 'one'],
      [['b', -1], [2]],
    ],
  ],
  [
    'int8',
    null,
    codecs.int8(),
    [
      [1, -128],
      [2, 127],
    ],
  ],
  [
    'int16',
    null,
    codecs.int16(),
    [
      [1, -32768],
      [2, 32767],
    ],
  ],
  [
    'int32',
    null,
    codecs.int32(),
    [
      [1, -(2 ** 31)],
      [2, 2 ** 31 - 1],
    ],
  ],
  ['uint8', null, codecs.uint8(), [[1, 255]]],
  ['uint16', null, codecs.uint16(), [[1, 65535]]],
  ['uint32', null, codecs.uint32(), [[1, 2 ** 32 - 1]]],
  [
    'bigint64',
    null,
    codecs.bigint64(),
    [
      [1, -(2n ** 63n)],
      [2, 2n ** 63n - 1n],
    ],
  ],
  ['biguint64', null, codecs.biguint64(), [[1, 2n ** 64n - 1n]]],
  [
    'float32',
    null,
    codecs.float32(),
    [
      [1, 0.5],
      [2, -0],
      [3, NaN],
    ],
  ],
  [
    'float64',
    null,
    codecs.float64(),
    [
      [1, 0.1],
      [2, -Infinity],
    ],
  ],
  ['empty', null, codecs.string(), []],
]

/** A database being filled, beside what it must hold. */
class Filling {
  /** @type {Map<string, { key: string | null, value: string, entries: Map<string, [unknown, unknown]> }>} */
  model = new Map()
  /** @param {any} db */
  constructor(db) {
    this.db = db
  }

  /** @param {string} name @param {any} [key] @param {any} [value] */
  table(name, key, value) {
    const options = { ...(key ? { key } : {}), ...(value ? { value } : {}) }
    const handle = name === 'default' ? this.db.handle() : this.db.handle(table(name, options))
    let known = this.model.get(name)
    if (known === undefined) {
      known = { key: key?.name ?? null, value: value?.name ?? 'structured', entries: new Map() }
      this.model.set(name, known)
    }
    const { entries } = known
    return {
      /** @param {unknown} k @param {unknown} v */
      set: (k, v) => {
        entries.set(JSON.stringify(tag(k)), [k, v])
        return handle.set(k, v)
      },
      /** @param {unknown} k */
      delete: (k) => {
        entries.delete(JSON.stringify(tag(k)))
        return handle.delete(k)
      },
    }
  }

  /** What it holds now, as expectations.json says it. */
  expected() {
    return [...this.model].map(([name, { key, value, entries }]) => {
      return { name, key, value, entries: [...entries.values()].map(([k, v]) => [tag(k), tag(v)]) }
    })
  }
}

/** A key or value as JSON. @param {unknown} value @returns {unknown} */
function tag(value) {
  if (value === undefined) return { undefined: true }
  if (typeof value === 'bigint') return { bigint: String(value) }
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
    return { number: Object.is(value, -0) ? '-0' : String(value) }
  if (typeof value === 'string' && value.length > 200) {
    const unit = value.slice(0, 10)
    if (value !== unit.repeat(value.length / 10)) throw new Error('only repetitions may be long')
    return { repeat: [unit, value.length / 10] }
  }
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(tag)
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (value instanceof Float64Array) return { float64s: [...value].map(tag) }
  if (value instanceof Date) return { date: tag(value.getTime()) }
  if (value instanceof Map) return { map: [...value].map(tag) }
  if (value instanceof Set) return { set: [...value].map(tag) }
  return { object: Object.entries(value).map(tag) }
}

// ---------------------------------------------------------------- what expires

const FAR_FUTURE = 1e13
const LONG_PAST = 1e12

/**
 * A table whose entries expire, written below the face: there an entry has an instant, which stays the same whenever this
 * runs, and not some time to live.
 */
class Sessions {
  /** @type {Map<string, { value: string, expiresAt: number }>} */
  model = new Map()
  /** @param {any} directory */
  constructor(directory) {
    this.directory = directory
    this.id = directory.define('sessions', null, 'string')
    this.sequence = directory.sequence
  }

  /** In a directory where the default table has something. @param {string} path */
  static async open(path) {
    const db = await open(path)
    await db.handle().set('of the default table', 1)
    const { falsePositiveRate } = db.options.maplet
    await db.close()
    const storage = new NodeStorage()
    return new Sessions(
      await Directory.open({
        path,
        storage,
        durability: 'full',
        flush: { intervalMs: 1000, commits: 1000, bytes: 2 ** 23 },
        wal: { segmentBytes: SEGMENT_BYTES, poolSize: 1 },
        readOnly: false,
        falsePositiveRate,
        now: () => performance.now(),
        random: crypto.getRandomValues.bind(crypto),
        background: inlineBackground(storage, path),
        hooks: { poisoned: () => undefined, checkpointed: () => undefined },
      }),
    )
  }

  /** @param {string} key @param {string} value @param {number} [expiresAt] */
  set(key, value, expiresAt = 0) {
    return this.commit(key, { value, expiresAt })
  }

  /** @param {string} key @param {boolean} [expired] */
  remove(key, expired = false) {
    return this.commit(key, null, expired)
  }

  /** @param {string} key @param {{ value: string, expiresAt: number } | null} after @param {boolean} [expired] */
  async commit(key, after, expired = false) {
    const { log } = this.directory
    const before = this.model.get(key)
    const sizeOf = (/** @type {{ value: string } | undefined | null} */ entry) =>
      entry === undefined || entry === null ? 0 : key.length + entry.value.length
    log.begin(LONG_PAST - 1e6 + this.sequence)
    if (after === null) log.remove(this.id, key, expired)
    else log.put(this.id, key, Buffer.from(after.value), sizeOf(after), after.expiresAt)
    log.resized(this.id, (after === null ? 0 : 1) - (before === undefined ? 0 : 1), sizeOf(after) - sizeOf(before))
    log.end(++this.sequence)
    await log.settledAt(this.sequence)
    if (after === null) this.model.delete(key)
    else this.model.set(key, after)
  }

  /** What is there, with when it expires; without what has expired already. */
  expected() {
    const entries = [...this.model].filter(([, { expiresAt }]) => expiresAt === 0 || expiresAt >= FAR_FUTURE)
    return [
      { name: 'default', key: null, value: 'structured', entries: [['of the default table', 1]] },
      {
        name: 'sessions',
        key: null,
        value: 'string',
        entries: entries.map(([key, { value, expiresAt }]) =>
          expiresAt === 0 ? [key, tag(value)] : [key, tag(value), expiresAt],
        ),
      },
    ]
  }

  /** Entries that expire and do not, that get or lose an instant, that are deleted; of each some. @param {boolean} inRuns */
  async fill(inRuns) {
    for (let i = 0; i < 120; i++) {
      await this.set(`session ${i}`, 'logged in. '.slice(0, 10).repeat(i * 3), i % 3 === 0 ? 0 : FAR_FUTURE + i / 7)
    }
    if (inRuns) await this.directory.checkpoint()
    for (let i = 0; i < 40; i++) {
      if (i % 4 === 0) await this.set(`session ${i}`, 'renewed', FAR_FUTURE + 1000 - i)
      else if (i % 4 === 1) await this.set(`session ${i}`, 'for ever')
      else if (i % 4 === 2) await this.remove(`session ${i}`, i % 8 === 2)
    }
    if (inRuns) await this.directory.checkpoint()
    for (let i = 0; i < 20; i++) await this.set(`last ${i}`, 'in the log', i % 2 === 0 ? 0 : 2 ** 52 + i)
    await this.remove('session 4', true)
    await this.set('session 8', 'again', Number.MAX_VALUE)
  }

  /** Some that have expired long since, wherever entries lie. */
  async lapse() {
    for (let i = 0; i < 30; i++) await this.set(`lapsed ${i}`, 'gone', LONG_PAST + i)
    await this.directory.checkpoint()
    for (let i = 20; i < 50; i++) await this.set(`lapsed ${i}`, 'gone', LONG_PAST + 50 - i)
    for (let i = 0; i < 5; i++) await this.set(`lapsed ${i}`, 'back')
    await this.set('session 5', 'short', LONG_PAST)
  }
}

// ---------------------------------------------------------------- how it is written

/** Everything once; then deletions and new values of some of it; then some more. @param {any} db @param {boolean} inRuns */
async function fill(db, inRuns) {
  const filling = new Filling(db)
  const main = filling.table('default')
  for (const [at, key] of EVERY_KEY.entries()) void main.set(key, EVERY_VALUE[at % EVERY_VALUE.length])
  for (const [at, value] of EVERY_VALUE.entries()) void main.set(['value', at], value)
  for (let i = 0; i < 200; i++) {
    const set = main.set(`old ${i}`, { i, text: 'some text '.repeat(i) })
    if (i % 10 === 0) await set
  }
  for (const [name, key, value, entries] of TABLES) {
    const handle = filling.table(name, key, value)
    for (const [k, v] of entries) await handle.set(k, v)
  }
  await db.flush()
  if (inRuns) await db.checkpoint()
  for (let i = 0; i < 40; i += 2) void main.delete(`old ${i}`)
  for (let i = 1; i < 40; i += 2) void main.set(`old ${i}`, 'new')
  void main.delete('a')
  await db.flush()
  if (inRuns) await db.checkpoint()
  for (let i = 1; i < 40; i += 4) void main.delete(`old ${i}`)
  void main.set('old 0', 'back again')
  void filling.table('strings', keys.string(), codecs.string()).delete('a')
  for (let i = 0; i < 20; i++) await main.set(`last ${i}`, 'in the log '.slice(0, 10).repeat(i * 5))
  return filling
}

/** What is written by each child. @type {Record<string, (path: string) => Promise<unknown>>} */
const WRITERS = {
  /** In the log, in several segments. */
  killed: async (path) => (await fill(await open(path), false)).expected(),
  relaxed: async (path) => (await fill(await open(path, 'relaxed'), false)).expected(),
  /** A commit that is larger than a segment, between two small ones. */
  'large-group': async (path) => {
    const filling = new Filling(await open(path))
    const main = filling.table('default')
    await main.set('before', 1)
    await main.set('large', '0123456789'.repeat(20_000))
    await main.set('after', 2)
    return filling.expected()
  },
  /** Ends with a commit of several frames, the last of which will be taken away. */
  torn: async (path) => {
    const filling = new Filling(await open(path))
    const main = filling.table('default')
    for (let i = 0; i < 10; i++) await main.set(i, `value ${i}`)
    const expected = filling.expected()
    await main.set('torn', 'torn off. '.repeat(200))
    return expected
  },
  'expiring-killed': async (path) => {
    const sessions = await Sessions.open(path)
    await sessions.fill(false)
    return sessions.expected()
  },
  'expiring-torn': async (path) => {
    const sessions = await Sessions.open(path)
    for (let i = 0; i < 10; i++) await sessions.set(`session ${i}`, 'logged in', FAR_FUTURE + i)
    const expected = sessions.expected()
    await sessions.set('session 3', 'torn off. '.repeat(200), FAR_FUTURE + 100)
    return expected
  },
}

/** @param {string} path @param {string} [durability] */
function open(path, durability = 'full') {
  return Database.open({ path, durability, wal: { segmentBytes: SEGMENT_BYTES, poolSize: 1 } })
}

/** Runs a writer in a process that dies without closing. @param {string} kind */
function writeAndDie(kind) {
  const path = join(root, kind)
  const out = join(root, `${kind}.json`)
  const { signal, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--write', kind, path, out])
  if (signal !== 'SIGKILL') throw new Error(`the writer of ${kind} did not get to its end: ${String(stderr)}`)
  return { files: filesOf(path), contents: JSON.parse(readFileSync(out, 'utf8')) }
}

/** @param {string} path @returns {Files} */
function filesOf(path) {
  return new Map(
    readdirSync(path)
      .sort()
      .map((name) => [name, readFileSync(join(path, name))]),
  )
}

// ---------------------------------------------------------------- how it is damaged

const MANIFEST = 'manifest'
const LOCK = 'lock'
const segment = (/** @type {number} */ number) => `wal-${String(number).padStart(12, '0')}.log`
const run = (/** @type {number} */ number) => `run-${String(number).padStart(12, '0')}.run`

/** A copy, without the lock, in which one file is changed. @param {Files} files @param {string} name @param {(file: Buffer) => Buffer} change */
function damaged(files, name, change) {
  const copy = without(files, LOCK)
  const file = files.get(name)
  if (file === undefined) throw new Error(`there is no ${name}: ${[...files.keys()].join(', ')}`)
  return copy.set(name, change(Buffer.from(file)))
}

/** A copy without the lock and one file. @param {Files} files @param {string} name */
function without(files, name) {
  return new Map([...files].filter(([other]) => other !== name && other !== LOCK))
}

/** @param {number} at */
const flip = (at) => (/** @type {Buffer} */ file) => {
  file[at] = /** @type {number} */ (file[at]) ^ 0x10
  return file
}

/** Raises the version of a manifest, with the checksum that a newer program would write. @param {Buffer} file */
function newerManifest(file) {
  file.writeUInt16LE(2, 8)
  file.writeUInt32LE(crc32(file.subarray(20), crc32(file.subarray(0, 16))), 16)
  return file
}

/** @param {Buffer} file */
function newerSegment(file) {
  file.writeUInt16LE(2, 32 + 8)
  file.writeUInt32LE(crc32(file.subarray(4, 512), crc32(file.subarray(32 + 12, 32 + 28))), 0)
  return file
}

/** @param {Buffer} file */
function newerRun(file) {
  const footer = file.subarray(file.length - 140)
  footer.writeUInt16LE(2, 128)
  footer.writeUInt32LE(crc32(footer.subarray(4), (crc32(footer.subarray(8, 24)) ^ Math.imul(3, 0x9e3779b1)) >>> 0), 0)
  return file
}

/** Sets a flag of a run that nothing has yet, with a right checksum. @param {Buffer} file */
function newerFlag(file) {
  const footer = file.subarray(file.length - 140)
  footer.writeUInt32LE(footer.readUInt32LE(124) + 2, 124)
  footer.writeUInt32LE(crc32(footer.subarray(4), (crc32(footer.subarray(8, 24)) ^ Math.imul(3, 0x9e3779b1)) >>> 0), 0)
  return file
}

/** Flips a bit of what a run says of when its entries expire. @param {Buffer} file */
function flipExpiries(file) {
  if (file.readUInt32LE(file.length - 140 + 124) !== 1) throw new Error('nothing of the run expires')
  return flip(file.length - 140 - 3)(file)
}

/** Takes away the last frame that was written. @param {Buffer} file */
function tear(file) {
  for (let frame = file.length / 512 - 1; frame > 0; frame--) {
    if (file.subarray(frame * 512, (frame + 1) * 512).every((byte) => byte === 0)) continue
    if ((/** @type {number} */ (file[frame * 512 + 16]) & 3) !== 2) throw new Error('the last group has but one frame')
    return file.fill(0, frame * 512, (frame + 1) * 512)
  }
  throw new Error('nothing was written')
}

/** Name of the newest segment that has been written to. @param {Files} files */
function newestStarted(files) {
  const started = [...files].filter(([name, file]) => name.startsWith('wal-') && file[32 + 10] === 1)
  return started.map(([name]) => name).at(-1) ?? ''
}

/** As it was a moment before: without the later half of its frames. @param {Buffer} file */
function older(file) {
  const frames = file.length / 512
  const used = Array.from({ length: frames }, (_, at) => at).filter((at) => file.readUInt32LE(at * 512) !== 0).length
  if (used < 4) throw new Error('there is little in the log')
  return file.fill(0, Math.ceil(used / 2) * 512)
}

// ---------------------------------------------------------------- all of it

/** Archives in a directory, and what is expected of them. */
class Fixtures {
  /** @type {Record<string, object>} */
  #expectations = {}
  #target
  /** @param {string} target */
  constructor(target) {
    mkdirSync(target, { recursive: true })
    this.#target = target
  }

  /** @param {string} name @param {Files} files @param {object} expectation */
  add(name, files, expectation) {
    const text = JSON.stringify(Object.fromEntries([...files].map(([file, data]) => [file, data.toString('base64')])))
    writeFileSync(join(this.#target, `${name}.json.gz`), gzipSync(text, { level: 9 }))
    this.#expectations[name] = expectation
  }

  /** @param {object} contents */
  finish(contents) {
    const text = textOf({ archives: this.#expectations, contents })
    writeFileSync(join(this.#target, 'expectations.json'), text)
  }
}

/** @param {string} file @param {RegExp} [says] */
const refused = (file, says) => ({ refused: { code: 'CORRUPTION', file, ...(says ? { says: says.source } : {}) } })

/** @param {string} target */
async function make(target) {
  const fixtures = new Fixtures(target)
  const add = fixtures.add.bind(fixtures)
  const path = join(root, 'healthy')
  const db = await open(path)
  const contents = (await fill(db, true)).expected()
  const { runs } = db.stats().disk
  if (runs.count !== 2 || runs.tombstones === 0) throw new Error('healthy should have two runs and tombstones')
  await db.close()
  const healthy = filesOf(path)
  const [killed, relaxed, large, torn] = ['killed', 'relaxed', 'large-group', 'torn'].map(writeAndDie)
  if (killed === undefined || relaxed === undefined || large === undefined || torn === undefined) return

  add('healthy', healthy, { opens: 'everything' })
  add('killed', without(killed.files, LOCK), { opens: 'everything' })
  add('relaxed', without(relaxed.files, LOCK), { opens: 'everything' })
  add('large-group', without(large.files, LOCK), { opens: 'large-group' })
  add('torn', damaged(torn.files, segment(1), tear), { opens: 'torn' })
  add('dead-lock', killed.files, { opens: 'everything', isLocked: true })
  add('flipped-run', damaged(healthy, run(1), flip(1000)), { opens: 'everything', damaged: run(1) })
  add('flipped-log', damaged(killed.files, segment(1), flip(20 * 512 + 100)), refused(segment(1)))
  add('flipped-manifest', damaged(healthy, MANIFEST, flip(100)), refused(MANIFEST))
  add('missing-segment', without(killed.files, segment(1)), refused(segment(1), /missing/))
  add('missing-run', without(healthy, run(1)), refused(run(1), /missing/))
  add('missing-manifest', without(healthy, MANIFEST), refused(MANIFEST, /missing/))
  add('newer-manifest', damaged(healthy, MANIFEST, newerManifest), refused(MANIFEST, /newer|version/))
  add('newer-segment', damaged(killed.files, segment(1), newerSegment), refused(segment(1), /newer|version/))
  add('newer-run', damaged(healthy, run(2), newerRun), refused(run(2), /newer|version/))
  const stranger = /** @type {Buffer} */ (relaxed.files.get(segment(1)))
  add(
    'segment-of-another',
    damaged(killed.files, segment(1), () => stranger),
    refused(segment(1), /database/),
  )
  const newest = newestStarted(healthy)
  add('older-log', damaged(healthy, newest, older), refused(newest))
  const lock = JSON.stringify({ ...JSON.parse(String(killed.files.get(LOCK))), version: 2 })
  add('newer-lock', new Map([...healthy, [LOCK, Buffer.from(`${lock}\n`)]]), {
    refused: { code: 'LOCKED', file: LOCK },
  })
  for (const { contents: same } of [killed, relaxed])
    if (JSON.stringify(same) !== JSON.stringify(contents))
      throw new Error('all that fill the same should hold the same')
  fixtures.finish({ everything: contents, 'large-group': large.contents, torn: torn.contents })
}

/** @param {string} target */
async function makeExpiring(target) {
  const fixtures = new Fixtures(target)
  const path = join(root, 'healthy')
  const sessions = await Sessions.open(path)
  await sessions.fill(true)
  await sessions.directory.close()
  const healthy = filesOf(path)
  const contents = sessions.expected()

  const lapsedPath = join(root, 'lapsed')
  const lapsed = await Sessions.open(lapsedPath)
  await lapsed.fill(true)
  await lapsed.lapse()
  await lapsed.directory.close()
  const [killed, torn] = ['expiring-killed', 'expiring-torn'].map(writeAndDie)
  if (killed === undefined || torn === undefined) return
  if (JSON.stringify(killed.contents) !== JSON.stringify(contents)) throw new Error('contents differ')

  fixtures.add('healthy', healthy, { opens: 'everything' })
  fixtures.add('killed', without(killed.files, LOCK), { opens: 'everything' })
  fixtures.add('torn', damaged(torn.files, newestStarted(torn.files), tear), { opens: 'torn' })
  fixtures.add('lapsed', filesOf(lapsedPath), { lapsed: 'lapsed' })
  fixtures.add('flipped-run', damaged(healthy, run(1), flip(1000)), { opens: 'everything', damaged: run(1) })
  fixtures.add('flipped-expiries', damaged(healthy, run(1), flipExpiries), refused(run(1), /expiry/))
  fixtures.add('flipped-log', damaged(killed.files, segment(2), flip(20 * 512 + 100)), refused(segment(2)))
  fixtures.add('newer-flag', damaged(healthy, run(2), newerFlag), refused(run(2), /newer/))
  fixtures.finish({ everything: contents, torn: torn.contents, lapsed: lapsed.expected() })
}

/** The same contents in blocks of 4 KiB, of which a run has many. @param {string} target */
async function makeShortBlocks(target) {
  const fixtures = new Fixtures(target)
  const path = join(root, 'healthy')
  const db = await open(path)
  const contents = (await fill(db, true)).expected()
  await db.close()
  const healthy = filesOf(path)
  fixtures.add('healthy', healthy, { opens: 'everything' })
  fixtures.add('flipped-run', damaged(healthy, run(1), flip(50_000)), { opens: 'everything', damaged: run(1) })
  fixtures.finish({ everything: contents })
}

/** JSON with a line for each entry. @param {unknown} value @param {number} depth @returns {string} */
function textOf(value, depth = 0) {
  /** @type {(text: string) => string} */
  const line = (text) => `\n${'  '.repeat(depth + 1)}${text}`
  const isEntries = depth > 4 || typeof value !== 'object' || value === null
  if (isEntries) return JSON.stringify(value)
  const items = Array.isArray(value)
    ? value.map((item) => line(textOf(item, depth + 1)))
    : Object.entries(value).map(([name, item]) => line(`${JSON.stringify(name)}: ${textOf(item, depth + 1)}`))
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return items.length === 0 ? `${open}${close}` : `${open}${items.join(',')}\n${'  '.repeat(depth)}${close}`
}

const [command, kind = '', path = '', out = ''] = process.argv.slice(2)
if (command === '--write') {
  writeFileSync(out, JSON.stringify(await WRITERS[kind]?.(path)))
  process.kill(process.pid, 'SIGKILL')
}
const makes = new Map([
  ['format-1', make],
  ['format-1-expiry', makeExpiring],
  ['format-1-blocks', makeShortBlocks],
])
const root = mkdtempSync(join(tmpdir(), 'varve-fixtures-'))
try {
  const chosen = makes.get(command ?? '')
  if (chosen === undefined) throw new Error(`say which: ${[...makes.keys()].join(' or ')}`)
  await chosen(kind === '' ? fileURLToPath(new URL(`../test/fixtures/${command}`, import.meta.url)) : kind)
} finally {
  rmSync(root, { recursive: true, force: true })
}
