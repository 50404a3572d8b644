/** Cursors: places in the order of commits, to go on from later, maybe in another process. */
import { VarveError } from '../errors.ts'

/**
 * A place in the order of all commits of one database: right behind one commit, or one change of it. Plain data, to be kept as
 * JSON and given back as `from`; what is in it is checked there, and not for use otherwise.
 */
export interface Cursor {
  /** The database: for one on disk, as long as its directory lives; for one in memory, until it is closed. */
  readonly database: string
  /** The opening for writing that it is of, counted. */
  readonly epoch: number
  /** The commit. */
  readonly sequence: number
  /** Of a change that is not the last one watched of its commit: its place in it. */
  readonly change?: number | undefined
}

/** Which database this is, and which opening of it. */
export interface CursorOrigin {
  readonly database: string
  readonly epoch: number
  /** The newest commit when it was opened. */
  readonly sequence: number
}

/**
 * Checks what was given as `from`.
 * @param newest the newest commit there is
 * @throws VarveError `INVALID_ARGUMENT` if it is no cursor, of another database, or of a commit that this one does not have.
 */
export function admitCursor(given: unknown, origin: CursorOrigin, newest: number): Cursor {
  const { database, epoch, sequence, change } = (given ?? {}) as Partial<Cursor>
  const isSound =
    typeof given === 'object' &&
    typeof database === 'string' &&
    isCount(epoch) &&
    isCount(sequence) &&
    (change === undefined || isCount(change))
  if (!isSound) {
    throw refuse('from is no cursor: give the cursor of a commit or change as it was, or what JSON has kept of it')
  }
  if (database !== origin.database) {
    throw refuse(
      'the cursor is of another database, or of an earlier opening of one in memory: start from a snapshot of this one',
    )
  }
  const known = epoch === origin.epoch ? newest : origin.sequence
  if (epoch > origin.epoch || sequence > known) {
    throw refuse(
      `the cursor is of commit ${sequence}, which this database does not have: it was restored from an older copy, or that ` +
        'commit was lost before it was on disk; start from a snapshot',
    )
  }
  return { database, epoch, sequence, change }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function refuse(message: string): VarveError {
  return new VarveError('INVALID_ARGUMENT', message)
}
