/** What a database tells about itself. */
import type { Directory, DirectoryStats } from './durability/index.ts'
import type { EvictionName } from './eviction/index.ts'
import type { LatencyHistogram } from './latency.ts'
import type { MapletStats } from './maplet/index.ts'
import { type Engine, type TableStore, VERSION_BYTES } from './mvcc/index.ts'
import type { DatabaseState, OperationCounts } from './table-core.ts'
import type { LogStats } from './wal/index.ts'

/** Figures since open, unless they are of the moment. Cheap to ask for: O(number of tables). */
export interface Stats {
  /** ms since open. */
  readonly uptimeMs: number
  /** Sequence of the newest commit. */
  readonly sequence: number
  /** Calls by kind. */
  readonly operations: Readonly<OperationCounts>
  /** How transactions ended. */
  readonly transactions: {
    /** Commits that wrote something, autocommit included. */
    readonly commits: number
    readonly readOnlyCommits: number
    /** Rolled back by the application, by an error, by age or by close. */
    readonly rollbacks: number
    /** Commits refused, of all causes. */
    readonly conflicts: number
    /** Of these: another transaction had written a key first. */
    readonly writeConflicts: number
    /** Of these: tracked readers, which then ran again on a safe snapshot. */
    readonly readerConflicts: number
    /** Of these: refused because the dependency graph was full, not because a cycle was proved. */
    readonly graphFullConflicts: number
    /** Of these: refused in favour of a transaction that had lost too often. */
    readonly favourRefusals: number
    /** Attempts that were run again by `transaction()`. */
    readonly retries: number
    /** Ended for their age. */
    readonly expired: number
    /** Iterators, snapshots and transactions that were collected without having been ended. */
    readonly leaked: number
    /** Active right now, snapshots and iterators included. */
    readonly open: number
  }
  /** How long things take. */
  readonly latency: {
    /** From the commit of a transaction to its acknowledgement; one in 16 is timed. */
    readonly commit: LatencyStats
    /** Writes and syncs of the log; null in memory. */
    readonly sync: LatencyStats | null
  }
  /** What the certifier remembers, and how hard it worked. */
  readonly certifier: {
    /** Committed transactions kept because they may still matter. */
    readonly retained: number
    /** Times the exact search ran, and nodes it visited. */
    readonly searches: number
    readonly visited: number
    /** Transactions summarised because the graph was full. */
    readonly summarised: number
  }
  /** Versions in memory, newest ones and tombstones included. */
  readonly versions: number
  /** Old versions and deleted keys. */
  readonly garbage: {
    /** Versions that only an open snapshot still sees. */
    readonly chained: number
    /** Items of garbage that could go now. */
    readonly pending: number
    /** Removed so far. */
    readonly removed: number
    readonly removedKeys: number
    /** Commits since the oldest open snapshot; 0 if none is open. */
    readonly oldestSnapshotLag: number
    /** How long the oldest open snapshot has been open, ms; 0 if none is. */
    readonly oldestSnapshotAgeMs: number
    /** Commits since the newest safe snapshot. */
    readonly safeSnapshotLag: number
  }
  /** Keys that expire. */
  readonly expiry: {
    /** In memory, those included that have expired and not been reclaimed yet. */
    readonly keys: number
    /** Entries on disk that expire; also those of keys in memory and those that newer ones have replaced. 0 in memory. */
    readonly entriesOnDisk: number
    /** Keys reclaimed because they had expired, since open. */
    readonly expired: number
  }
  /** Estimated bytes by what they are for. */
  readonly memory: {
    /** All of it: what {@link Database.memoryUsage} says. */
    readonly totalBytes: number
    /** Keys and newest values. */
    readonly entryBytes: number
    /** All but those. */
    readonly overheadBytes: number
    /** Columns of entries. */
    readonly columnBytes: number
    /** Order of keys. */
    readonly indexBytes: number
    /** Hash filters. */
    readonly mapletBytes: number
    /** Old versions that open snapshots need. */
    readonly versionBytes: number
    /** Blocks of runs; part of `maxMemoryBytes`. */
    readonly cacheBytes: number
    /** What entries and versions count for under the limit, and the limit that is theirs; Infinity if there is none. */
    readonly usedBytes: number
    readonly limitBytes: number
    /** Of what is used: written since the last checkpoint, so that it cannot leave memory yet. */
    readonly dirtyBytes: number
  }
  /** How well memory serves reads by key. */
  readonly cache: {
    /** The policy in force; null without a limit. */
    readonly policy: EvictionName | null
    /** Reads of a value by its key: those that found an entry in memory, and those that did not. */
    readonly hits: number
    readonly misses: number
    /** Hits among both; 0 before the first read. */
    readonly hitRatio: number
    /** Misses that found a value on disk. */
    readonly coldReads: number
    /** Entries that have left memory: for want of room, by `evict()`, and the bytes that they counted for. */
    readonly evicted: number
    readonly evictedByHand: number
    readonly evictedBytes: number
  }
  /** What {@link Database.compact} could give back, as shares from 0 to 1. */
  readonly fragmentation: {
    /** Of columns and memory for values outside of the heap: free places. */
    readonly memory: number
    /** Of entries in runs: deletions, and those that newer ones have replaced. An estimate; 0 in memory. */
    readonly disk: number
  }
  /** Forks that are open and stand on this database. */
  readonly forks: number
  /** Those who watch, by `changes()` and `watch()`. */
  readonly feed: {
    /** How many there are. */
    readonly readers: number
    /** Commits kept in memory for them, and their bytes; part of `memory` as well. */
    readonly commits: number
    readonly bytes: number
    /** How many were ended since open because they had fallen too far behind. */
    readonly lagged: number
  }
  /** Log, runs and background work; null in memory. */
  readonly disk: DirectoryStats | null
  /** By name; those that this session has not used are missing. */
  readonly tables: Readonly<Record<string, TableStats>>
}

/** Figures of one table. */
export interface TableStats {
  /** Live keys, in memory or not. */
  readonly keys: number
  /** Of these: on disk only. */
  readonly coldKeys: number
  /** Deleted keys that cannot go yet. */
  readonly tombstones: number
  /** Bytes of live keys and values. */
  readonly bytes: number
  /** State of its hash filter. */
  readonly maplet: MapletStats
}

/** Of one kind of wait. */
export interface LatencyStats {
  /** How many there were. */
  readonly count: number
  /** The median, to about a fifth; 0 before the first. */
  readonly p50Ms: number
  /** The 99th percentile, likewise. */
  readonly p99Ms: number
}

export function collectStats(state: DatabaseState, directory: Directory | null, openedAtMs: number): Stats {
  const { engine } = state
  const { counters, graph, feed } = engine
  const tables: Record<string, TableStats> = Object.create(null) as Record<string, TableStats>
  let chained = 0
  let versions = 0
  let entryBytes = 0
  let columnBytes = 0
  let indexBytes = 0
  let mapletBytes = 0
  let overheadBytes = sharedBytes(engine, directory)
  for (const store of engine.stores) {
    tables[store.spec.name] = tableStats(store)
    chained += store.versions
    versions += store.entries + store.versions
    entryBytes += store.bytes - store.coldBytes
    overheadBytes += store.overheadBytes()
    columnBytes += store.places.bytes
    indexBytes += store.indexBytes
    mapletBytes += store.maplet.bytes
  }
  const oldest = engine.snapshots.oldest()
  const { residency } = engine
  const disk = directory === null ? null : directory.stats()
  const cacheBytes = disk?.cache.bytes ?? 0
  return {
    uptimeMs: engine.options.now() - openedAtMs,
    sequence: engine.clock,
    operations: { ...state.counts },
    transactions: {
      ...counters,
      favourRefusals: engine.favours.refusals,
      retries: state.retries,
      open: engine.openCount,
    },
    latency: {
      commit: latencyStats(state.commitLatency.histogram, state.commitLatency.calls),
      sync: disk === null || disk.log === null ? null : syncStats(disk.log),
    },
    certifier: { retained: graph.nodes.length, ...graph.counters },
    versions,
    garbage: {
      chained,
      pending: engine.garbage.pending(engine.safePoint),
      removed: engine.garbage.counters.versions,
      removedKeys: engine.garbage.counters.keys,
      oldestSnapshotLag: oldest === Infinity ? 0 : engine.clock - oldest,
      oldestSnapshotAgeMs: engine.snapshots.ageMs(),
      safeSnapshotLag: engine.clock - engine.safePoint,
    },
    expiry: {
      keys: engine.deadlines.size,
      entriesOnDisk: engine.options.disk?.tier.expiring ?? 0,
      expired: engine.sweeper.swept,
    },
    memory: {
      totalBytes: entryBytes + overheadBytes,
      entryBytes,
      overheadBytes,
      columnBytes,
      indexBytes,
      mapletBytes,
      versionBytes: chained * VERSION_BYTES + residency.chainedBytes,
      cacheBytes,
      usedBytes: residency.used,
      limitBytes: residency.limit,
      dirtyBytes: residency.ledger?.bytes ?? 0,
    },
    cache: cacheStats(state),
    fragmentation: { memory: freeShareOf(engine), disk: directory === null ? 0 : deadShareOf(engine, directory) },
    forks: state.forks,
    feed: { readers: feed?.size ?? 0, commits: feed?.length ?? 0, bytes: feed?.bytes ?? 0, lagged: state.feed.lagged },
    disk,
    tables,
  }
}

function latencyStats(histogram: LatencyHistogram, count: number): LatencyStats {
  return { count, p50Ms: histogram.percentileMs(0.5), p99Ms: histogram.percentileMs(0.99) }
}

function syncStats({ syncs, syncP50Ms, syncP99Ms }: LogStats): LatencyStats {
  return { count: syncs, p50Ms: syncP50Ms, p99Ms: syncP99Ms }
}

function cacheStats({ engine, counts }: DatabaseState): Stats['cache'] {
  const { policy, counters } = engine.residency
  const { misses, coldReads, evictedForLimit, evictedByHand, evictedBytes } = counters
  let hits = policy === null ? Math.max(0, counts.gets - misses) : 0
  if (policy !== null) for (const store of engine.stores) hits += store.hits
  return {
    policy: policy === null ? null : policy.name,
    hits,
    misses,
    hitRatio: hits + misses === 0 ? 0 : hits / (hits + misses),
    coldReads,
    evicted: evictedForLimit,
    evictedByHand,
    evictedBytes,
  }
}

function tableStats(store: TableStore): TableStats {
  return {
    keys: store.size,
    coldKeys: store.coldSize,
    tombstones: store.entries - (store.size - store.coldSize),
    bytes: store.bytes,
    maplet: store.maplet.stats(),
  }
}

/** The share of columns and arenas that moving what is in them together would free. */
function freeShareOf(engine: Engine): number {
  let bytes = 0
  let free = 0
  for (const { places, offHeap } of engine.stores) {
    bytes += places.bytes
    free += places.freeBytes
    if (offHeap === null) continue
    bytes += offHeap.arena.reservedBytes
    free += offHeap.arena.reservedBytes - offHeap.arena.usedBytes
  }
  return bytes === 0 ? 0 : free / bytes
}

/** The share of entries in runs that are no live keys, given that all live keys are in runs. */
function deadShareOf(engine: Engine, directory: Directory): number {
  const { entries } = directory.stats().runs
  let keys = 0
  for (const { name, entries: found } of directory.tables()) {
    keys += engine.stores.find(({ spec }) => spec.name === name)?.size ?? found
  }
  return entries === 0 ? 0 : Math.max(0, 1 - keys / entries)
}

/** Estimated bytes resident on behalf of a database. */
export function memoryUsage(engine: Engine, directory: Directory | null): number {
  let bytes = sharedBytes(engine, directory)
  for (const store of engine.stores) bytes += store.bytes - store.coldBytes + store.overheadBytes()
  return bytes
}

/** What is there for all tables together: old versions, those who watch, what expires, the eviction policy, the disk. */
function sharedBytes(engine: Engine, directory: Directory | null): number {
  const { overheadBytes, chainedBytes } = engine.residency
  const { feed } = engine
  const own = chainedBytes + (feed?.bytes ?? 0) + deadlineBytes(engine) + overheadBytes
  return own + (directory?.memoryBytes ?? 0)
}

/** What the queue of what expires costs; nothing where nothing does. */
function deadlineBytes({ deadlines }: Engine): number {
  return deadlines.size === 0 ? 0 : deadlines.overheadBytes
}
