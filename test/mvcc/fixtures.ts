/** Engines, tables and nodes for unit tests of what lies below transactions. */
import { codecs, residentOf } from '../../src/codecs/index.ts'
import { admitKey, type Key } from '../../src/keys/index.ts'
import { type MergeOperator, merges } from '../../src/maplet/index.ts'
import { Engine, type EngineOptions } from '../../src/mvcc/engine.ts'
import { install } from '../../src/mvcc/install.ts'
import { Edge, Node } from '../../src/mvcc/node.ts'
import type { SnapshotSet } from '../../src/mvcc/snapshots.ts'
import { TableStore, type TableSpec } from '../../src/mvcc/store.ts'
import { DELETE, Pending, SET } from '../../src/mvcc/write-set.ts'

/** A table of anything under any keys. */
export function specOf(name = 'table', merge?: MergeOperator<unknown, never>, id = 0): TableSpec {
  return {
    name,
    id,
    resident: residentOf(codecs.structured()),
    merge,
    sizeOf: undefined,
    maplet: { capacity: 0, falsePositiveRate: 0.001, autoResize: true },
  }
}

/**
 * @param seed of its hash
 * @param key name of its key codec
 */
export function makeStore(seed?: number, key: string | null = null): TableStore {
  const spec = specOf()
  return new TableStore({ ...spec, key, maplet: { ...spec.maplet, seed } }, null, [], () => 0)
}

/** An engine in memory, without tables, whose time stands still. */
export function bareEngine(options: Partial<EngineOptions> = {}): Engine {
  return new Engine({
    firstSequence: 0,
    now: () => 0,
    timeMs: () => 0,
    random: () => 0.5,
    graphCap: 1000,
    vacuumIntervalMs: null,
    maxTransactionAgeMs: Infinity,
    maxSnapshotAgeMs: Infinity,
    feedBytes: 1 << 20,
    disk: null,
    ...options,
  })
}

export function makeEngine(options: Partial<EngineOptions> = {}): {
  engine: Engine
  store: TableStore
  sums: TableStore
} {
  const engine = bareEngine(options)
  const store = engine.addTable(specOf(), null)
  const sums = engine.addTable(specOf('sums', merges.sum), null)
  return { engine, store, sums }
}

/** What a scan that has not ended finds. */
export function drain(cursor: { next(): boolean; readonly key: Key; readonly value: unknown }): [Key, unknown][] {
  const found: [Key, unknown][] = []
  while (cursor.next()) found.push([cursor.key, cursor.value])
  return found
}

/** Puts a value (undefined: a tombstone) in place as commit `sequence`, as the engine does; returns the entry id. */
export function write(
  store: TableStore,
  snapshots: SnapshotSet,
  key: Key,
  value: unknown,
  sequence: number,
  node: Node | null = null,
): number {
  const pending = new Pending(admitKey(key))
  pending.kind = value === undefined ? DELETE : SET
  pending.value = value
  pending.size = value === undefined ? 0 : 8
  pending.entry = store.find(pending.key)
  install(store, pending, sequence, node, snapshots)
  return store.find(pending.key)
}

/** A node of an update that committed at `commit` (of a reader, with `readOnly`). */
export function nodeAt(commit: number, readOnly = false): Node {
  return new Node(commit, Math.max(0, commit - 5), commit, commit, readOnly)
}

export function edgeTo(to: Node, store: TableStore): Edge {
  return new Edge(to, 'rw', store, 'k')
}
