/** The part of `check()` that reads tables as everybody does, memory and disk together. */
import { ALL } from './keys/index.ts'
import type { Engine, TableStore, Txn } from './mvcc/index.ts'
import { nextTurn } from './next-turn.ts'

const SLICE_KEYS = 2048

/** Counts the keys of every table that is partly on disk; one sentence for each that has not as many as it says. */
export async function checkScans(engine: Engine): Promise<string[]> {
  const problems: string[] = []
  for (const store of engine.stores) {
    if (store.base === null) continue
    const txn = engine.beginSnapshot()
    // What has expired and not been swept yet is counted too.
    txn.instant = -Infinity
    try {
      const counted = await countKeys(txn, store)
      const { size } = store.sizeAt(txn.snapshot)
      if (counted !== size) problems.push(`table '${store.spec.name}': ${counted} keys, but ${size} are counted`)
    } catch (error) {
      problems.push(`table '${store.spec.name}': ${error instanceof Error ? error.message : String(error)}`)
    } finally {
      engine.rollback(txn)
    }
  }
  return problems
}

/** Gives way to the event loop every now and then. */
async function countKeys(txn: Txn, store: TableStore): Promise<number> {
  const cursor = txn.view(store).scan(ALL, 'existence')
  let count = 0
  while (cursor.next()) {
    if (++count % SLICE_KEYS === 0) await nextTurn()
  }
  return count
}
