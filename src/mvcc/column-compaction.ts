/**
 * Giving back columns after many deletions: entries of chunks that are nearly empty move to free places of others.
 *
 * An entry has another id afterwards, so nothing moves while somebody may remember ids: active updates and tracked readers do,
 * and so does a policy of eviction. Entries with a history (chain, marks) and tombstones stay where they are.
 */
import { nextTurn } from '../next-turn.ts'
import type { Engine } from './engine.ts'
import { CHUNK_BITS, CHUNK_SIZE } from './chunk.ts'
import type { TableStore } from './store.ts'

const SLICE_MS = 1
/** Entries between two looks at the clock. */
const SLICE_ENTRIES = 256
/** Turns of the event loop that are waited, in all, for ids to be forgotten. */
const PATIENCE_TURNS = 1000

/** Empties and gives back sparse chunks of all tables, in slices of about a millisecond. */
export async function compactColumns(engine: Engine, now: () => number): Promise<void> {
  const patience = { turns: PATIENCE_TURNS }
  for (const store of engine.stores) await compactStore(engine, store, now, patience)
}

async function compactStore(
  engine: Engine,
  store: TableStore,
  now: () => number,
  patience: { turns: number },
): Promise<void> {
  const { places } = store
  const shut = places.shutSparse()
  try {
    let until = now() + SLICE_MS
    for (const at of shut) {
      for (let i = 0; i < CHUNK_SIZE; i++) {
        if (i % SLICE_ENTRIES === 0 && now() >= until) {
          await nextTurn()
          until = now() + SLICE_MS
        }
        while (engine.remembersIds) {
          if (patience.turns-- <= 0) return
          await nextTurn()
        }
        const id = (at << CHUNK_BITS) | i
        if (store.isMovable(id)) store.move(id)
      }
    }
  } finally {
    places.reopen(shut)
  }
}
