/** What the skiplist is held against: a sorted array, and families of keys that its fast paths have to survive. */

import { compareKeys, type Key } from '../../src/keys/index.ts'
import type { Random } from '../support/random.ts'

/** An ordered map as plain as can be. */
export class SortedArray<K, V> {
  readonly compare: (a: K, b: K) => number
  readonly keys: K[] = []
  readonly values: V[] = []

  constructor(compare: (a: K, b: K) => number) {
    this.compare = compare
  }

  /** Index of the first key >= `key`. */
  lowerBound(key: K): number {
    let low = 0
    let high = this.keys.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.compare(this.keys[middle]!, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Index of the first key > `key`. */
  upperBound(key: K): number {
    const index = this.lowerBound(key)
    return index < this.keys.length && this.compare(this.keys[index]!, key) === 0 ? index + 1 : index
  }

  has(key: K): boolean {
    return this.upperBound(key) !== this.lowerBound(key)
  }

  set(key: K, value: V): void {
    const index = this.lowerBound(key)
    if (this.has(key)) {
      this.values[index] = value
    } else {
      this.keys.splice(index, 0, key)
      this.values.splice(index, 0, value)
    }
  }

  delete(key: K): boolean {
    if (!this.has(key)) return false
    const index = this.lowerBound(key)
    this.keys.splice(index, 1)
    this.values.splice(index, 1)
    return true
  }

  clear(): void {
    this.keys.length = 0
    this.values.length = 0
  }
}

/** Keys of one kind; `make` repeats itself often enough for removals and lookups to hit. */
export interface KeyFamily {
  readonly name: string
  readonly compare: (a: Key, b: Key) => number
  /** Whether that is the order of the database. */
  readonly isNatural: boolean
  readonly make: (random: Random, spread: number) => Key
}

function letters(random: Random, alphabet: string, longest: number): string {
  let text = ''
  for (let length = random.int(longest + 1); length > 0; length--) text += alphabet[random.int(alphabet.length)]
  return text
}

function anyKey(random: Random, spread: number): Key {
  switch (random.int(7)) {
    case 0:
      return random.int(spread) - spread / 2
    case 1:
      return BigInt(random.int(spread)) - BigInt(spread >> 1)
    case 2:
      return random.chance(0.5)
    case 3:
      return Uint8Array.from({ length: random.int(4) }, () => random.int(256))
    case 4:
      return [random.int(8), letters(random, 'ab', 4)]
    case 5:
      return [letters(random, 'ab', 3), [random.int(spread)]]
    default:
      return letters(random, 'abcdefgh', 6)
  }
}

/** `spread` is about the number of different keys. */
const kinds: readonly Omit<KeyFamily, 'isNatural'>[] = [
  { name: 'numbered', compare: compareKeys, make: (random, n) => `user:${String(random.int(n)).padStart(12, '0')}` },
  { name: 'letters', compare: compareKeys, make: (random) => letters(random, 'abcdefghijklmnopqrstuvwxyz', 4) },
  { name: 'binary', compare: compareKeys, make: (random) => letters(random, 'ab', 14) },
  {
    name: 'two prefixes',
    compare: compareKeys,
    make: (random, n) => (random.chance(0.5) ? 'account/' : 'entry/2024-') + random.int(n).toString(36),
  },
  {
    name: 'nasty units',
    compare: compareKeys,
    make: (random) => letters(random, '\0\u0001a~\u007f\u0080ÿĀ\ud800\udfff\uffff', 6),
  },
  { name: 'cyrillic', compare: compareKeys, make: (random) => `ключ${letters(random, 'абвгдежзик', 5)}` },
  {
    name: 'rarely wide',
    compare: compareKeys,
    make: (random, n) => `k${random.int(n)}${random.chance(0.01) ? 'я' : ''}`,
  },
  { name: 'integers', compare: compareKeys, make: (random, n) => random.int(n) - (n >> 1) },
  {
    name: 'doubles',
    compare: compareKeys,
    make: (random, n) => (random.chance(0.01) ? random.pick([Infinity, -Infinity, 5e-324]) : random.int(n) / 7),
  },
  { name: 'bigints', compare: compareKeys, make: (random, n) => BigInt(random.int(n)) - BigInt(n >> 1) },
  {
    // Those of one size have the same double next to them, or a few.
    name: 'large bigints',
    compare: compareKeys,
    make: (random, n) => random.pick([1n << 53n, 1n << 62n, -(1n << 90n), 1n << 2000n]) + BigInt(random.int(n)),
  },
  {
    name: 'rarely no bigints',
    compare: compareKeys,
    make: (random, n) => (random.chance(0.001) ? random.pick<Key>([1, 'a', -Infinity]) : BigInt(random.int(n))),
  },
  { name: 'mixed', compare: compareKeys, make: anyKey },
  {
    name: 'rarely mixed',
    compare: compareKeys,
    make: (random, n) => (random.chance(0.001) ? random.int(3) : `k${random.int(n)}`),
  },
  { name: 'reversed', compare: (a, b) => compareKeys(b, a), make: (random, n) => `k${random.int(n)}` },
  {
    name: 'ignoring case',
    compare: (a, b) => compareKeys(String(a).toLowerCase(), String(b).toLowerCase()),
    make: (random) => letters(random, 'aAbBcCdD', 7),
  },
]

export const families: readonly KeyFamily[] = kinds.map((kind) => ({
  ...kind,
  isNatural: kind.compare === compareKeys,
}))
