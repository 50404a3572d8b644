/** Opening the directory under a database: from its options to what the engine stands on. */
import { randomFillSync } from 'node:crypto'

import { type CheckpointReport, Directory, type DirectoryHooks } from './durability/index.ts'
import type { VarveError } from './errors.ts'
import type { EngineDisk } from './mvcc/index.ts'
import { cacheBytesOf, checkpointBytesOf } from './memory.ts'
import type { ResolvedOptions } from './options.ts'
import { inlineBackground } from './runs/index.ts'
import { NodeStorage, type Storage } from './storage/index.ts'

/** What tests may replace under a database on disk. */
export interface InjectedDisk {
  /** The file system. Default: Node's. */
  readonly storage?: Storage
  /** Where checkpoints and merges run. Default `worker`; `inline`: on this thread, in slices. */
  readonly background?: 'inline' | 'worker'
  /** Sealed log, in bytes, at which a checkpoint is due. */
  readonly checkpointBytes?: number
  /** Log, in bytes, that close may leave out of the runs. */
  readonly tailBytes?: number
}

/** An open directory, and whom it tells what happens to it. */
export interface Disk {
  readonly directory: Directory
  /** Set by the database once it exists; nothing happens before the first commit. */
  listener: DirectoryHooks | null
}

/** Opens the directory that the options name. */
export async function openDisk(
  options: ResolvedOptions & { readonly path: string },
  now: () => number,
  random: (() => number) | undefined,
  injected: InjectedDisk,
): Promise<Disk> {
  const storage = injected.storage ?? new NodeStorage()
  const { path } = options
  let listener: DirectoryHooks | null = null
  const directory = await Directory.open({
    path,
    storage,
    durability: options.durability === 'relaxed' ? 'relaxed' : 'full',
    flush: options.flush,
    wal: options.wal,
    readOnly: options.readOnly,
    falsePositiveRate: options.maplet.falsePositiveRate,
    cacheBytes: cacheBytesOf(options),
    checkpointBytes: injected.checkpointBytes ?? checkpointBytesOf(options),
    tailBytes: injected.tailBytes,
    now,
    random: random === undefined ? randomFillSync : (target): void => fill(target, random),
    background: injected.background === 'inline' ? inlineBackground(storage, path) : undefined,
    hooks: {
      poisoned: (error: VarveError): void => listener?.poisoned(error),
      checkpointed: (report: CheckpointReport): void => listener?.checkpointed(report),
    },
  })
  return {
    directory,
    get listener() {
      return listener
    },
    set listener(value) {
      listener = value
    },
  }
}

function fill(target: Uint8Array, random: () => number): void {
  for (let i = 0; i < target.length; i++) target[i] = Math.floor(random() * 256)
}

/** What the engine gets of a directory. */
export function engineDisk(directory: Directory): EngineDisk {
  return { log: directory.log, tier: directory.tier }
}
