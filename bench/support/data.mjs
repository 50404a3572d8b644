/**
 * The data of all workloads: string keys of 16 to 24 characters in random order, small objects as values. Everything comes
 * from seeds, so that two runs, and all contestants of one run, see the same.
 */

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789'
const PREFIX = 'acct:'
const SHORTEST = 16
const LONGEST = 24

/** What every account holds at the start of a workload that moves money. */
export const OPENING_BALANCE = 1000

/**
 * Random numbers from a seed (Marsaglia's xorshift, 32 bits).
 *
 * @param {number} seed
 * @returns {(bound: number) => number} gives an integer in [0, bound)
 */
export function randomOf(seed) {
  let state = (seed ^ 0x9e3779b9) | 0
  if (state === 0) state = 1
  return (bound) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % bound
  }
}

/**
 * Distinct keys in random order. Flat one-byte strings, none of which has been hashed yet.
 *
 * @param {number} count
 * @param {number} seed
 * @returns {string[]}
 */
export function makeKeys(count, seed) {
  const random = randomOf(seed)
  const bytes = Buffer.alloc(LONGEST)
  bytes.latin1Write(PREFIX, 0)
  const keys = new Array(count)
  const seen = new Set()
  for (let i = 0; i < count; i++) {
    const length = SHORTEST + random(LONGEST - SHORTEST + 1)
    for (let at = PREFIX.length; at < length; at++) bytes[at] = ALPHABET.charCodeAt(random(ALPHABET.length))
    const key = bytes.latin1Slice(0, length)
    // A collision would make an insert into an update; with 11 random characters it all but never happens.
    if (count <= 10_000) {
      if (seen.has(key)) throw new Error(`seed ${seed} makes the key ${key} twice`)
      seen.add(key)
    }
    keys[i] = key
  }
  return keys
}

/**
 * Equal strings that are other objects and have not been hashed yet, as when keys are parsed from requests.
 *
 * @param {readonly string[]} keys
 * @returns {string[]}
 */
export function freshCopies(keys) {
  const bytes = Buffer.alloc(LONGEST)
  return keys.map((key) => bytes.latin1Slice(0, bytes.latin1Write(key, 0)))
}

/**
 * How contestants are given the keys they ask for: the very strings that were stored, which a Map has hashed before and
 * recognises by identity; or equal ones that were just made and are used once, as when they come out of a request.
 */
export const STRINGS = /** @type {const} */ ([
  ['same strings', (/** @type {string[]} */ keys) => keys],
  ['equal copies', freshCopies],
])

/**
 * @param {number} id
 * @returns {{ id: number, owner: string, balance: number }}
 */
export function makeValue(id) {
  return { id, owner: `owner ${id}`, balance: OPENING_BALANCE }
}

/**
 * @param {number} count
 * @returns {{ id: number, owner: string, balance: number }[]}
 */
export function makeValues(count) {
  const values = new Array(count)
  for (let id = 0; id < count; id++) values[id] = makeValue(id)
  return values
}

/**
 * Random members, with repetition.
 *
 * @template T
 * @param {readonly T[]} items
 * @param {number} count
 * @param {number} seed
 * @returns {T[]}
 */
export function draw(items, count, seed) {
  const random = randomOf(seed)
  const drawn = new Array(count)
  for (let i = 0; i < count; i++) drawn[i] = items[random(items.length)]
  return drawn
}

/**
 * Transfers to make: payer, payee (never the same) and amount.
 *
 * @param {readonly string[]} keys
 * @param {number} count
 * @param {number} seed
 * @param {(keys: string[]) => string[]} keysOf one of STRINGS
 */
export function planTransfers(keys, count, seed, keysOf) {
  const random = randomOf(seed)
  const payers = new Array(count)
  const payees = new Array(count)
  const amounts = new Array(count)
  for (let i = 0; i < count; i++) {
    const payer = random(keys.length)
    payers[i] = keys[payer]
    payees[i] = keys[(payer + 1 + random(keys.length - 1)) % keys.length]
    amounts[i] = 1 + random(100)
  }
  return { payers: keysOf(payers), payees: keysOf(payees), amounts }
}

/** Entries of a chunk of the two data sets below, and writes per commit where they are loaded. */
export const CHUNK = 1000
/** Characters at the end of a key that tell its chunk. */
const MARK = 4

/**
 * Accounts in chunks, so that nobody keeps more than a chunk of them.
 *
 * @param {number} count
 */
export function* accountChunks(count) {
  for (let from = 0; from < count; from += CHUNK) {
    const length = Math.min(CHUNK, count - from)
    yield { keys: accountKeys(length, from), values: Array.from({ length }, (_, i) => makeValue(from + i)) }
  }
}

/** The keys of the chunk that begins with such a number. */
function accountKeys(length, from) {
  return makeKeys(length, 1 + from).map((key) => marked(key, from))
}

/** Seeds that are close give sequences that overlap now and then; the chunk's own mark keeps keys apart all the same. */
function marked(key, from) {
  const mark = (from / CHUNK).toString(36).padStart(MARK, '0')
  return Buffer.from(key.slice(0, -MARK) + mark, 'latin1').latin1Slice()
}

/**
 * A key of that data set.
 *
 * @param {number} count
 * @param {number} number
 */
export function accountKey(count, number) {
  const from = number - (number % CHUNK)
  return accountKeys(Math.min(CHUNK, count - from), from)[number - from]
}

/** Bytes of a key and a value of the entries below. */
export const ENTRY_BYTES = 117
const ENTRY_KEY_BYTES = 17
const ENTRY_VALUE_BYTES = ENTRY_BYTES - ENTRY_KEY_BYTES

/**
 * Keys of 17 characters, in random order: those of the chunk that begins with such a number.
 *
 * @param {number} length
 * @param {number} from
 * @returns {string[]}
 */
export function entryKeys(length, from) {
  const random = randomOf(1 + from)
  const bytes = Buffer.alloc(ENTRY_KEY_BYTES)
  bytes.latin1Write(PREFIX, 0)
  return Array.from({ length }, () => {
    for (let at = PREFIX.length; at < ENTRY_KEY_BYTES; at++) bytes[at] = ALPHABET.charCodeAt(random(ALPHABET.length))
    return marked(bytes.latin1Slice(), from)
  })
}

/**
 * Values of 100 random bytes, which no compression makes smaller.
 *
 * @param {number} count
 * @param {number} seed
 * @returns {Uint8Array[]}
 */
export function entryValues(count, seed) {
  const random = randomOf(seed)
  return Array.from({ length: count }, () => {
    const value = new Uint8Array(ENTRY_VALUE_BYTES)
    for (let at = 0; at < ENTRY_VALUE_BYTES; at++) value[at] = random(256)
    return value
  })
}

/** @param {number} count */
export function* entryChunks(count) {
  for (let from = 0; from < count; from += CHUNK) {
    const length = Math.min(CHUNK, count - from)
    yield { keys: entryKeys(length, from), values: entryValues(length, 2 + from) }
  }
}
