/**
 * Watches over what holds a snapshot on behalf of user code: iterators, snapshots and transactions from `begin()`.
 *
 * They are held weakly. When one is collected without having been ended, its transaction is rolled back, the snapshot goes
 * with it, and `stats().leaked` counts it: an abandoned iterator costs memory until the next collection, not for ever.
 */
import type { Engine, Txn } from './mvcc/index.ts'

interface Held {
  readonly engine: Engine
  readonly txn: Txn
}

const registry = new FinalizationRegistry<Held>(({ engine, txn }) => engine.abandon(txn))

/** Ends `txn` when `owner` is collected. */
export function watchOver(owner: object, engine: Engine, txn: Txn): void {
  registry.register(owner, { engine, txn }, owner)
}

/** The owner has ended its transaction properly. */
export function release(owner: object): void {
  registry.unregister(owner)
}
