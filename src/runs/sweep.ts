/**
 * Finds what has expired in the cold tier without reading what has not: of each source the blocks whose least expiry has
 * come, one after the other.
 *
 * I1  What is given out has expired, and is the newest entry of the tier for its key.
 * I2  An entry is given out once for each source that is open: the block then counts from the next expiry in it. A source
 *     that is opened anew, as after a merge, begins anew.
 * I3  A block that cannot be read is reported once; what is in it stays where it is, expired.
 */
import type { Key } from '../keys/index.ts'
import { hashLow, hashStoredKey } from './hash.ts'
import type { Source, SourceWalk } from './source.ts'
import { decodeStoredKey, tableOf } from './stored-key.ts'

/** An entry that has expired. */
export interface ExpiredEntry {
  readonly table: number
  readonly key: Key
  /** The commit that wrote it. */
  readonly sequence: number
  /** In ms since 1970. */
  readonly expiresAt: number
}

/**
 * Appends what has expired at `now` to `into`, from at most `maxBlocks` blocks.
 *
 * @param sources newest first
 * @throws CORRUPTION or IO if a block cannot be read; `into` then has what was found before
 */
export function takeExpired(sources: readonly Source[], now: number, maxBlocks: number, into: ExpiredEntry[]): void {
  let left = maxBlocks
  for (let age = 0; age < sources.length; age++) {
    const { expiries } = sources[age] as Source
    if (expiries === null) continue
    for (; left > 0; left--) {
      const block = expiries.due(now)
      if (block < 0) break
      const since = expiries.leastOf(block)
      expiries.set(block, Infinity)
      expiries.set(block, takeBlock(sources, age, block, since, now, into))
    }
  }
}

/** Takes what has expired of one block from `since` on, as what expired before was taken; returns when the next expires. */
function takeBlock(
  sources: readonly Source[],
  age: number,
  block: number,
  since: number,
  now: number,
  into: ExpiredEntry[],
): number {
  const source = sources[age] as Source
  const walk = source.walk(block)
  let next = Infinity
  while (walk.next()) {
    const { expiresAt } = walk
    if (expiresAt < since) continue
    if (expiresAt > now) {
      if (expiresAt < next) next = expiresAt
    } else if (!isHidden(sources, age, walk)) {
      const { sequence } = walk
      const key = decodeStoredKey(walk.key, walk.keyLength, source.path, sequence)
      into.push({ table: tableOf(walk.key), key, sequence, expiresAt })
    }
  }
  return next
}

/** Whether a newer source has an entry for the key. */
function isHidden(sources: readonly Source[], age: number, { key, keyLength }: SourceWalk): boolean {
  for (let newer = 0; newer < age; newer++) {
    const source = sources[newer] as Source
    const high = hashStoredKey(key, keyLength, source.hashSeed)
    if (source.find(key, keyLength, high, hashLow)) return true
  }
  return false
}
