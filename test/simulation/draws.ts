/** What a simulated life draws from its seed: options, keys, values. */
import type { DatabaseOptions, Key } from '../../src/index.ts'
import type { Random } from '../support/random.ts'
import type { TableName } from './model.ts'

/** Options of one session. Everything but the path may change from one to the next. */
export function drawOptions(random: Random, path: string): DatabaseOptions & { path: string } {
  const durability = random.chance(0.6) ? 'full' : 'relaxed'
  return {
    path,
    durability,
    isolation: random.chance(0.8) ? 'serializable' : 'snapshot',
    wal: {
      segmentBytes: random.pick([64, 64, 72.5, 128, 512]) * 1024,
      poolSize: random.between(1, 4),
      ...(random.chance(0.4) && { retain: { bytes: random.pick([1, 100_000, 1_000_000]) } }),
    },
    ...(durability === 'relaxed' && {
      flush: {
        intervalMs: random.pick([1, 20, 1000, Infinity]),
        commits: random.pick([1, 3, 20, Infinity]),
        bytes: random.pick([2000, 50_000, Infinity]),
      },
    }),
    vacuum: random.chance(0.5) ? false : { intervalMs: random.pick([0, 5, 50]) },
    maplet: { falsePositiveRate: random.pick([0.001, 0.01, 0.2]) },
  }
}

/** Keys of every type that meet each other often. */
const ANY_KEYS: readonly Key[] = [
  ...['', 'a', 'b', 'a\0', '__proto__', '\ud800', '\udfff', 'x'.repeat(300)],
  ...[0, 1, -1, 1.5, Infinity, -Infinity, 2 ** 53, Number.MIN_VALUE],
  ...[0n, 1n, -1n, 2n ** 64n, -(2n ** 70n)],
  ...[false, true],
  ...[new Uint8Array(0), new Uint8Array([0]), new Uint8Array([255, 255]), new Uint8Array([255, 0, 1])],
  ...[[], [[]], ['a'], ['a', 1], ['a', 1n], [new Uint8Array([1]), [true, '']]],
]

export function drawKey(random: Random, table: TableName): Key {
  switch (table) {
    case 'accounts':
      return `account-${random.int(30)}`
    case 'texts':
      return [random.pick(['', 'en', 'fr\0']), random.int(8)]
    case 'blobs':
      return random.chance(0.8) ? BigInt(random.int(10)) : 2n ** 64n - 1n - BigInt(random.int(3))
    case 'anything':
    case 'counters':
      return random.chance(0.5) ? random.pick(ANY_KEYS) : random.int(60)
    default:
      throw new Error(`${table} has keys of its own`)
  }
}

/** A value that no other write of the life equals, unless it is empty. */
export function drawValue(random: Random, table: TableName, stamp: string): unknown {
  const pad = random.chance(0.9) ? random.int(60) : random.int(3000)
  switch (table) {
    case 'accounts':
      return { balance: random.int(1000), stamp: stamp + '.'.repeat(pad) }
    case 'texts':
      return random.chance(0.2) ? '' : `${stamp} \ud800 ${'é'.repeat(pad)}`
    case 'blobs': {
      const bytes = random.pick([0, 1, 479, 480, 481, 5000, 70_000])
      return new Uint8Array(bytes).fill(random.int(256))
    }
    case 'counters':
      return random.between(-50, 50)
    default:
      return random.chance(0.1)
        ? random.pick([null, '', 0, false, [], {}])
        : { stamp, list: [random.int(9), null, 'x'.repeat(pad)], when: new Date(random.int(2 ** 31)) }
  }
}

/** What `merge` takes on a table; undefined where there is no operator. */
export function drawOperand(random: Random, table: TableName, stamp: string): unknown {
  if (table === 'counters') return random.between(-9, 9)
  return table === 'texts' ? `+${stamp}` : undefined
}
