/**
 * Which runs are merged, and when.
 *
 * The oldest run holds most of the data; checkpoints add newer ones. Two rules:
 *
 * P1  When the newer runs together are as large as the oldest, all become one. While D bytes of changes come in, D bytes
 *     are rewritten: that adds 1 to the write amplification, whatever the size of the database, and at most half of what
 *     is on disk is out of date.
 * P2  When there are more than FEW_RUNS, neighbours of like size become one, the oldest run apart: such that the largest of
 *     them is at most a tenth of what they are together. So whatever is rewritten ends up in a run ten times as large as
 *     the one it came from, and that happens at most once for each factor of 10 between a checkpoint and the oldest run.
 * P3  There are never more than MAX_RUNS: sizes that give P2 nothing to do, such as small and large ones by turns, are
 *     merged where it costs least. Updates at a steady rate never get there.
 *
 * Among the neighbours that qualify, those are taken that cost least for each run that goes away: bytes to be written, by
 * number of runs less one.
 *
 * Write amplification under uniform updates, in units of the bytes logged: 1 for the log, 1 for the checkpoint, 1 for P1.
 * P2 adds nothing until the data is FEW_RUNS - 2 times what a checkpoint covers (10^7 entries of 117 bytes, at 64 MiB), and
 * from then on at most 1 for each factor of 10. The test of this file plays it out.
 *
 * Rejected: levels of runs that do not overlap, as in LevelDB, which write each byte about ten times per level; one run
 * rewritten by every checkpoint, which writes D for each 64 MiB of changes.
 */
import type { RunSummary } from './format.ts'

/** Up to so many runs are left alone, unless P1 wants them. */
export const FEW_RUNS = 24

/** More runs than this there are only while a merge is under way. */
export const MAX_RUNS = 64

/** How much larger than the largest of its inputs a run must be that P2 makes. */
const GROWTH = 10

/** Runs to be replaced by one. */
export interface MergePlan {
  /** Neighbours, newest first. */
  readonly inputs: readonly RunSummary[]
  /** Whether the oldest of all runs is among them: then tombstones have nothing left to hide. */
  readonly dropTombstones: boolean
}

/** What to merge next, or null; `runs` are all there are, newest first. */
export function planMerge(runs: readonly RunSummary[]): MergePlan | null {
  const last = runs.length - 1
  if (last < 1) return null
  let newer = 0
  for (let i = 0; i < last; i++) newer += (runs[i] as RunSummary).bytes
  if (newer >= (runs[last] as RunSummary).bytes) return { inputs: [...runs], dropTombstones: true }
  if (runs.length <= FEW_RUNS) return null
  const others = runs.slice(0, last)
  const inputs = cheapest(others, GROWTH) ?? (runs.length > MAX_RUNS ? cheapest(others, 1) : null)
  return inputs === null ? null : { inputs, dropTombstones: false }
}

/**
 * The neighbours that cost least for each run that goes away, among those that together are at least `growth` times as
 * large as the largest of them.
 */
function cheapest(runs: readonly RunSummary[], growth: number): readonly RunSummary[] | null {
  let best = Infinity
  let from = 0
  let to = 0
  for (let start = 0; start < runs.length - 1; start++) {
    let bytes = (runs[start] as RunSummary).bytes
    let largest = bytes
    for (let end = start + 1; end < runs.length; end++) {
      const more = (runs[end] as RunSummary).bytes
      bytes += more
      largest = Math.max(largest, more)
      const cost = bytes / (end - start)
      if (bytes >= growth * largest && cost < best) {
        best = cost
        from = start
        to = end + 1
      }
    }
  }
  return to === 0 ? null : runs.slice(from, to)
}
