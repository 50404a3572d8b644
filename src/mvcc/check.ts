/** The part of an engine's check that is about what its tables share: deadlines, and pins. */
import type { ActiveList } from './active.ts'
import { CHUNK_BITS, type Chunk } from './chunk.ts'
import type { DeadlineHeap } from '../eviction/index.ts'

/** I6 of store.ts, the other way round: nothing waits for its deadline but entries that expire. Throws if something does. */
export function checkDeadlines(deadlines: DeadlineHeap, chunks: readonly (Chunk | undefined)[]): void {
  deadlines.check()
  let expiring = 0
  for (const chunk of chunks) {
    if (chunk === undefined || chunk.expiries === null) continue
    for (let i = 0; i < chunk.capacity; i++) if (chunk.valueAt(i) !== undefined && chunk.expiryAt(i) !== 0) expiring++
  }
  if (deadlines.size !== expiring) throw new Error(`I6: ${deadlines.size} entries are queued, but ${expiring} expire`)
}

/** R4 of residency.ts. Throws if an entry has more or fewer pins than noted reads. */
export function checkPins(lists: readonly ActiveList[], chunks: readonly (Chunk | undefined)[]): void {
  const noted = new Map<number, number>()
  for (const list of lists) {
    for (let txn = list.first; txn !== null; txn = txn.next) {
      for (const { tracked, reads, existenceReads } of txn.views) {
        if (!tracked) continue
        for (const id of reads) noted.set(id, (noted.get(id) ?? 0) + 1)
        for (const id of existenceReads) noted.set(id, (noted.get(id) ?? 0) + 1)
      }
    }
  }
  chunks.forEach((chunk, at) => {
    chunk?.pins?.forEach((pins, i) => {
      const wanted = noted.get((at << CHUNK_BITS) | i) ?? 0
      if (pins !== wanted) throw new Error(`R4: an entry has ${pins} pins for ${wanted} reads`)
    })
  })
}
