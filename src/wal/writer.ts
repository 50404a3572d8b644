/** The writer of the log. */

import type { VarveError } from '../errors.ts'
import type { Key } from '../keys/index.ts'
import type { LogStats, SealedSegment } from './log.ts'
import type { TableDefinition } from './record.ts'

export class LogWriter {
  readonly appended: number = 0
  readonly settled: number = 0
  readonly synced: number = 0
  readonly crowded: boolean = false
  readonly sealedSegments: readonly SealedSegment[] = []
  readonly sealedBytes: number = 0
  readonly poisoned: VarveError | null = null

  begin(_timeMs: number): void {}
  put(_table: number, _key: Key, _value: Uint8Array, _size: number): void {}
  remove(_table: number, _key: Key): void {}
  cancel(): void {}
  resized(_table: number, _entries: number, _bytes: number): void {}
  end(_sequence: number): void {}
  define(_table: TableDefinition): void {}
  settledAt(_sequence: number): Promise<void> | null {
    return null
  }
  async flush(): Promise<void> {}
  flushSync(): void {}
  async room(): Promise<void> {}
  async rotate(): Promise<void> {}
  async release(_throughSegment: number): Promise<void> {}
  stats(): LogStats {
    throw new Error('no statistics')
  }
  async close(): Promise<void> {}
}
