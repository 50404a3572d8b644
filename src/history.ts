/** What the log tells of the past, in the form in which it is given out. */
import type { Key } from './keys/index.ts'

/** A write as the log has it. */
export interface LoggedWrite {
  /** Name of its table. */
  readonly table: string
  readonly key: Key
  /** Its place among the writes of its commit, from 0. */
  readonly ordinal: number
  /** What it did, decoded afresh. Throws `CODEC_MISMATCH`. */
  effect(): { kind: 'set' | 'delete'; value?: unknown; expiresAt?: number }
}
