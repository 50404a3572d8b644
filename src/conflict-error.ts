/** Turns the engine's refusal into an error that explains itself. Made only when somebody will see it: it is not free. */
import { type ConflictReport, SerializationError, TransactionError, WriteConflictError } from './errors.ts'
import { formatKey, releaseKey } from './keys/index.ts'
import type { Conflict, ConflictStep } from './mvcc/index.ts'

const SHOWN_STEPS = 6
const WHY = { ww: 'overwrote', wr: 'read from' } as const

export function conflictError(conflict: Conflict): TransactionError {
  const report = conflictReport(conflict)
  if (conflict.reason === 'evicted') return new TransactionError('SNAPSHOT_TOO_OLD', describe(conflict), report)
  const Class = conflict.overOneKey ? WriteConflictError : SerializationError
  return new Class(conflict.overOneKey ? 'WRITE_CONFLICT' : 'SERIALIZATION_FAILURE', describe(conflict), report)
}

export function conflictReport(conflict: Conflict): ConflictReport {
  const edges = conflict.steps.map((step) => ({ ...step, key: releaseKey(step.key) }))
  const keys = new Map<string, { table: string; key: unknown }>()
  for (const step of conflict.steps) keys.set(place(step), { table: step.table, key: releaseKey(step.key) })
  const transactions = edges.length === 0 ? [conflict.victim] : [...new Set(edges.map((edge) => edge.from))]
  return Object.freeze({
    victim: conflict.victim,
    reason: conflict.reason,
    edges,
    transactions,
    keys: [...keys.values()],
  })
}

function describe(conflict: Conflict): string {
  const victim = `transaction ${conflict.victim}`
  const again = 'nothing was written; run it again'
  switch (conflict.reason) {
    case 'favoured':
      return `${victim} gave way to a transaction that had lost too often; ${again}`
    case 'graph-full':
      return `${victim} was refused because too many transactions are in flight to decide exactly (one has been open for very long); ${again}`
    case 'evicted': {
      const [step] = conflict.steps
      return `${victim} read ${step === undefined ? 'a key' : place(step)}, which was evicted since its snapshot; ${again}`
    }
    case 'overwritten': {
      const [step] = conflict.steps
      return `${victim} wrote ${step === undefined ? 'a key' : place(step)}, which was changed since its snapshot; ${again}`
    }
    case 'cycle':
      return `${victim} cannot be put in a serial order: ${sentences(conflict.steps)}; ${again}`
  }
}

/** The cycle in words; a long one is cut, `error.conflict` has all of it. */
function sentences(steps: readonly ConflictStep[]): string {
  if (steps.length <= SHOWN_STEPS) return steps.map(sentence).join(', ')
  const shown = steps
    .slice(0, SHOWN_STEPS - 1)
    .map(sentence)
    .join(', ')
  return `${shown}, … (${steps.length - SHOWN_STEPS} more), ${sentence(steps.at(-1) as ConflictStep)}`
}

/** An edge as a clause; the arrow of time points from `from` to `to`. */
function sentence(step: ConflictStep): string {
  const { from, to, kind } = step
  if (kind === 'rw') return `${from} read ${place(step)} before ${to} wrote it`
  return `${to} ${WHY[kind]} ${from} at ${place(step)}`
}

function place(step: ConflictStep): string {
  return `${step.table}[${formatKey(step.key)}]`
}
