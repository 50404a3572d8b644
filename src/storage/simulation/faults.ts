/**
 * Which calls of a simulated process fail, and how. A plan is a list of rules; the first that applies to a call has its way.
 *
 * | kind | what happens | to |
 * |---|---|---|
 * | `EIO` | the device fails. A write may have come to disk in part, a rename or removal may have happened. After a failed sync what it was to write is lost for later syncs too | all |
 * | `ENOSPC`, `EDQUOT`, `EFBIG` | no room: a write has written a part of what was asked | create, write, truncate, makeDirectory, rename, lock |
 * | `short` | a write stops in the middle and finds no more room when it goes on: like `ENOSPC`, but never without a part | write |
 * | `EMFILE` | no descriptor left | open, create, list, syncDirectory, makeDirectory, lock, probeLock |
 * | `EACCES`, `EROFS` | not allowed | open, create, truncate, makeDirectory, removeDirectory, rename, remove, lock |
 * | `EINTR` | a signal interrupts the call, which is made again: it only takes longer | all |
 * | `flip` | one bit is wrong, silently: on its way from the disk or to it | read, write |
 * | `lost` | the write reports success and does nothing | write |
 * | `stall` | the call takes `turns` more, or until the plan is cleared | all but synchronous calls |
 *
 * A rule never applies to a call that its kind cannot happen to: failing the n-th call for every n meets all that can fail.
 */

/** What can be asked of a simulated storage. Synchronous calls bear the same names. */
export type OperationName =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'size'
  | 'truncate'
  | 'close'
  | 'list'
  | 'makeDirectory'
  | 'removeDirectory'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'lock'
  | 'probeLock'
  | 'unlock'

/** How a call may go wrong. */
export type FaultKind =
  | 'EIO'
  | 'ENOSPC'
  | 'EDQUOT'
  | 'EFBIG'
  | 'EMFILE'
  | 'EACCES'
  | 'EROFS'
  | 'short'
  | 'EINTR'
  | 'flip'
  | 'lost'
  | 'stall'

/** When a call goes wrong. All conditions that are given must hold. */
export interface FaultRule {
  readonly kind: FaultKind
  /** Only calls of this name. */
  readonly operation?: OperationName | readonly OperationName[]
  /** Only calls on paths that contain the text or match the expression; of a rename, either path. */
  readonly path?: string | RegExp
  /** Only the call of this number, from 1, counting all calls of the process. */
  readonly at?: number
  /** Only calls whose number is a multiple of this. */
  readonly every?: number
  /** So many calls that match are spared first. Default 0. */
  readonly skip?: number
  /** So often the rule applies. Default 1, or without end with `every`. */
  readonly times?: number
  /** Of `stall`: how many turns. Default: until the plan is cleared. */
  readonly turns?: number
}

/** One call, as the log shows it. */
export interface Operation {
  /** From 1, in order of calling. */
  readonly number: number
  readonly name: OperationName
  readonly path: string
  /** Of a rename: the new path. */
  readonly to?: string
  readonly position: number
  readonly bytes: number
  /** `pending`, `done`, or the error or fault it met. */
  outcome: string
}

const ROOM: readonly OperationName[] = ['create', 'write', 'truncate', 'makeDirectory', 'rename', 'lock']
const DESCRIPTORS: readonly OperationName[] = [
  'open',
  'create',
  'list',
  'syncDirectory',
  'makeDirectory',
  'lock',
  'probeLock',
]
const RIGHTS: readonly OperationName[] = [
  'open',
  'create',
  'truncate',
  'makeDirectory',
  'removeDirectory',
  'rename',
  'remove',
  'lock',
]

/** What each kind can happen to; everything where nothing is said. */
const APPLIES_TO: Readonly<Partial<Record<FaultKind, readonly OperationName[]>>> = {
  ENOSPC: ROOM,
  EDQUOT: ROOM,
  EFBIG: ['write', 'truncate'],
  EMFILE: DESCRIPTORS,
  EACCES: RIGHTS,
  EROFS: RIGHTS,
  short: ['write'],
  flip: ['read', 'write'],
  lost: ['write'],
}

interface ActiveRule {
  readonly rule: FaultRule
  skip: number
  times: number
}

/** The rules in force. */
export class FaultPlan {
  private rules: ActiveRule[] = []
  /** How many calls have met a fault. */
  injected = 0

  /** Adds a rule, after those that are there. */
  add(rule: FaultRule): void {
    const times = rule.times ?? (rule.every === undefined ? 1 : Infinity)
    this.rules.push({ rule, skip: rule.skip ?? 0, times })
  }

  /** Forgets all rules. */
  clear(): void {
    this.rules = []
  }

  /** The rule that applies to a call, used up by one. */
  take(operation: Operation): FaultRule | undefined {
    for (const active of this.rules) {
      if (active.times === 0 || !matches(active.rule, operation)) continue
      if (active.skip > 0) {
        active.skip--
        continue
      }
      active.times--
      this.injected++
      return active.rule
    }
    return undefined
  }
}

function matches(rule: FaultRule, operation: Operation): boolean {
  const { number, name, path, to } = operation
  if (rule.at !== undefined && rule.at !== number) return false
  if (rule.every !== undefined && number % rule.every !== 0) return false
  if (APPLIES_TO[rule.kind]?.includes(name) === false) return false
  if (rule.operation !== undefined) {
    if (typeof rule.operation === 'string' ? rule.operation !== name : !rule.operation.includes(name)) return false
  }
  return rule.path === undefined || holds(rule.path, path) || (to !== undefined && holds(rule.path, to))
}

function holds(wanted: string | RegExp, path: string): boolean {
  return typeof wanted === 'string' ? path.includes(wanted) : path.search(wanted) >= 0
}
