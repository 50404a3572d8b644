/**
 * One opener per directory: the file `lock` in it, and the protocol by which it is taken, taken over and given back.
 *
 * The file holds a record of its holder (lock-holder.ts), who keeps it open, under flock where there is flock. Its mere
 * existence is the lock. Everything below works between processes with flock and without, in any mixture.
 *
 *   take        write the record to a fresh `lock.tmp-<nonce>`, flock it, link(2) it to `lock`. link fails if the name
 *               exists, so one succeeds; nobody ever sees our lock empty, half written or not yet under flock.
 *   judge       read what is there; ask for a *shared* flock on it, so that those who look do not disturb each other.
 *               Only a holder that is certainly gone is replaced, and one that is gone stays gone.
 *   take over   lock X is replaced by rename(2), which is atomic but does not ask what it replaces. So only who holds the
 *               *claim* `lock.claim-<nonce of X>` may do it, and only after having seen that `lock` is still X.
 *   give back   remove `lock` if it still is our file, then close it, which drops the flock.
 *
 * A claim is a lock file like `lock`, taken by the same steps; if its holder died it is taken over by way of a claim on
 * the claim, and so on: one level for each process that died in the middle.
 *
 * L1  A lock whose holder lives is neither replaced nor removed by anybody else. (Only "gone" is replaced; see the table
 *     in lock-holder.ts.)
 * L2  While `lock` is X and X is gone, only the holder of the claim on X changes `lock`. Nonces are never used twice, so
 *     once `lock` is not X it never will be again: who comes late with a claim on X sees another lock and steps back.
 * L3  Of any number of contenders for one gone lock exactly one gets it, unless it dies trying: the others find its claim
 *     (wait, as it is about to end) or its lock (LOCKED).
 * L4  Claims and temporary files left by the dead are removed by whoever has `lock`, as no claim on a lock that is no
 *     longer there matters (L2). A contender whose temporary file is swept away begins again.
 * L5  One thread opens a directory once, whatever the path by which it is reached: links, relative paths and mounts lead
 *     to one device and inode, which this thread remembers. Other threads meet the lock file like any other process.
 *
 * Rejected: rename(2) of the gone lock to a name of one's own, looking afterwards whether it was the right one (two may
 * hold it once the wrong one was moved); age or heartbeats (a stopped process wakes up and writes); flock on a file whose
 * content is overwritten (contenders without flock read half of it).
 *
 * Where hard links are missing (FAT, some network mounts) the lock is created exclusively and written thereafter. Others
 * then can see it empty: without flock they refuse it, and so it stays if its writer died at that instant.
 */
import { linkSync, lstatSync, readdirSync, realpathSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VarveError } from '../errors.ts'
import { loadFlock } from './flock.ts'
import {
  closeQuietly,
  discard,
  examine,
  giveBack,
  isStill,
  randomNonce,
  removeQuietly,
  writeLockFile,
  type FoundFile,
  type HeldFile,
  type UnreadableFile,
  type Writer,
} from './lock-file.ts'
import {
  identifySelf,
  isOpenHere,
  judge,
  sightPid,
  type HolderRecord,
  type PidSighting,
  type ProcessIdentity,
} from './lock-holder.ts'
import { errnoOf, ioError, isMissing, type DirectoryLock } from './storage.ts'

/** What the protocol sees of the world beside the directory. Tests put other worlds in its place. */
export interface LockSurroundings extends Writer {
  readonly sight: (pid: number) => PidSighting
  readonly link: (from: string, to: string) => void
}

/** A directory and the world around it. */
interface Place extends LockSurroundings {
  /** As the caller named it: for messages. */
  readonly shown: string
  /** Without symbolic links, so that neither chdir nor a changed link leads elsewhere. */
  readonly root: string
}

/** Why a lock file could not be had. */
interface Refusal {
  readonly path: string
  readonly record: HolderRecord | undefined
  readonly holder: 'live' | 'unknown'
  readonly why: string
  /** Somebody is about to take the lock over: asking again soon gives another answer. */
  readonly passing?: true
  readonly cause?: unknown
}

/** How often, and how far apart, to ask again while others take a lock over, which takes them about a millisecond. */
const TAKEOVER_ATTEMPTS = 400
const TAKEOVER_PAUSE_MS = 5

/** Rounds of one attempt, each of which is spoilt only by somebody else's progress. */
const MAX_ROUNDS = 100

const LEFTOVER = /^lock\.(tmp|claim)-[0-9a-f]{16}$/

/** What link(2) says where there are no hard links. */
const NO_LINKS: ReadonlySet<unknown> = new Set(['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/** Directories (by device and inode) that this thread has open or is opening. */
const openHere = new Map<string, Place>()

/**
 * Takes a directory for this process and this opening alone.
 *
 * @throws VarveError `LOCKED` naming the holder, if somebody else has it or cannot be shown to be gone; `IO` if the
 *   directory cannot be written, or what is called `lock` in it is not a regular file.
 */
export async function acquireLock(
  directory: string,
  surroundings: Partial<LockSurroundings> = {},
): Promise<DirectoryLock> {
  const place = await survey(directory, surroundings)
  const identity = refuseSecond(place)
  openHere.set(identity, place)
  const forget = (): void => {
    if (openHere.get(identity) === place) openHere.delete(identity)
  }
  try {
    const held = await takeOrThrow(place)
    sweep(place)
    return new HeldDirectory(held, forget)
  } catch (error) {
    forget()
    throw error
  }
}

/**
 * Looks whether a directory is somebody's. Takes and writes nothing, so somebody may take it right afterwards.
 *
 * @throws VarveError `LOCKED` naming the holder, if there is one who cannot be shown to be gone.
 */
export async function probeLock(directory: string, surroundings: Partial<LockSurroundings> = {}): Promise<void> {
  const place = await survey(directory, surroundings)
  refuseSecond(place)
  const path = join(place.root, 'lock')
  const found = examine(path, place.flock)
  if (found === undefined) return
  const refusal = refusalOf(place, path, found)
  if (refusal !== undefined) throw lockedError(place, refusal)
}

async function survey(directory: string, given: Partial<LockSurroundings>): Promise<Place> {
  // The path is resolved before anything is awaited: the working directory may change meanwhile.
  const root = onDisk('lock the directory', directory, () => realpathSync.native(directory))
  return {
    shown: directory,
    root,
    self: given.self ?? identifySelf(),
    sight: given.sight ?? sightPid,
    link: given.link ?? linkSync,
    wallClock: given.wallClock ?? Date.now,
    flock: given.flock === undefined ? await loadFlock() : given.flock,
  }
}

/** The identity of a directory that this thread does not have open (L5). */
function refuseSecond(place: Place): string {
  const identity = onDisk('lock the directory', place.shown, () => identityOf(place.root))
  const other = openHere.get(identity)
  if (other === undefined) return identity
  try {
    if (identityOf(other.root) === identity) throw openTwice(place)
  } catch (error) {
    // The other directory was removed while it was open, and the inode number is used again.
    if (!isMissing(error)) throw error
  }
  return identity
}

function identityOf(root: string): string {
  return tokenOf(statSync(root, { bigint: true }))
}

async function takeOrThrow(place: Place): Promise<HeldFile> {
  for (let attempt = 1; ; attempt++) {
    const outcome = take(place, join(place.root, 'lock'))
    if ('fd' in outcome) return outcome
    if (outcome.passing !== true || attempt >= TAKEOVER_ATTEMPTS) throw lockedError(place, outcome)
    await sleep(TAKEOVER_PAUSE_MS)
  }
}

/** Takes `lock` or a claim. Without waiting, so that threads of one process at most, never tasks of one thread, compete. */
function take(place: Place, path: string): HeldFile | Refusal {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const found = examine(path, place.flock)
    if (found === undefined) {
      const held = publish(place, path)
      if (held !== undefined) return held
    } else {
      const refusal = refusalOf(place, path, found)
      if (refusal !== undefined || 'errno' in found) return refusal!
      const outcome = replace(place, path, found)
      if (outcome !== undefined) return outcome
    }
  }
  return {
    path,
    record: undefined,
    holder: 'live',
    why: 'others are taking and giving it back all the time',
    passing: true,
  }
}

/** Takes a lock file that does not exist. Undefined if it does by now, or our temporary file was swept away. */
function publish(place: Place, path: string): HeldFile | undefined {
  const candidate = writeCandidate(place)
  try {
    place.link(candidate.path, path)
  } catch (error) {
    discard(candidate)
    const errno = errnoOf(error)
    if (errno === 'EEXIST' || errno === 'ENOENT') return undefined
    if (NO_LINKS.has(errno)) return createUnlinked(place, path)
    throw ioError('create', path, error)
  }
  removeQuietly(candidate.path)
  return { ...candidate, path }
}

/** As `publish`, where there are no hard links. */
function createUnlinked(place: Place, path: string): HeldFile | undefined {
  let held: HeldFile
  try {
    held = writeLockFile(path, randomNonce(), place)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return undefined
    throw error
  }
  // Somebody with flock may have found it empty, hence abandoned.
  if (isStill(held)) return held
  closeQuietly(held.fd)
  return undefined
}

/** Replaces a lock whose holder is gone. Undefined if somebody else has done so; a refusal if somebody is about to. */
function replace(place: Place, path: string, gone: FoundFile): HeldFile | Refusal | undefined {
  const claim = take(place, join(place.root, `lock.claim-${gone.key}`))
  if (!('fd' in claim)) return { ...claim, passing: true }
  try {
    const now = examine(path, place.flock)
    if (now === undefined || 'errno' in now || now.key !== gone.key) return undefined
    const candidate = writeCandidate(place)
    try {
      renameSync(candidate.path, path)
    } catch (error) {
      discard(candidate)
      if (isMissing(error)) return undefined
      throw ioError('replace', path, error)
    }
    return { ...candidate, path }
  } finally {
    discard(claim)
  }
}

/** A record of ours in a fresh file. */
function writeCandidate(place: Place): HeldFile {
  const nonce = randomNonce()
  return writeLockFile(join(place.root, `lock.tmp-${nonce}`), nonce, place)
}

/** Undefined: the holder is gone, the lock may be taken over. */
function refusalOf(place: Place, path: string, found: FoundFile | UnreadableFile): Refusal | undefined {
  if ('errno' in found) {
    const why = `the lock file cannot be read (${found.errno})`
    return { path, record: undefined, holder: 'unknown', why, cause: found.cause }
  }
  const { holder, why } = judge(found.record, {
    self: place.self,
    sight: place.sight,
    flock: found.flock,
    openHere: () => isOpenHere(found.device, found.inode),
  })
  if (holder === 'gone') return undefined
  return { path, record: typeof found.record === 'object' ? found.record : undefined, holder, why }
}

/** Removes what the dead left of their attempts (L4). */
function sweep(place: Place): void {
  try {
    for (const name of readdirSync(place.root)) {
      const path = join(place.root, name)
      if (LEFTOVER.test(name) && lstatSync(path).isFile()) removeQuietly(path)
    }
  } catch {
    // They take room and do no harm.
  }
}

/** Makes a failure of the file system one of varve's. */
function onDisk<T>(action: string, path: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw ioError(action, path, error)
  }
}

function openTwice({ shown, self }: Place): VarveError {
  const message = `the database at ${shown} is open in this thread already (process ${self.pid} on ${self.host})`
  return new VarveError('LOCKED', `${message}: use that one, or close it first`)
}

function lockedError({ shown, self }: Place, { path, record, holder, why, cause }: Refusal): VarveError {
  const details = cause === undefined ? {} : { cause }
  const whom = record === undefined ? 'an unknown process' : nameHolder(record, self)
  const message = `the database at ${shown} is locked by ${whom}: ${why}.`
  if (holder === 'live') return new VarveError('LOCKED', `${message} Close it there first`, details)
  const remedy =
    `If that process is gone and no other uses the directory, remove ${path} and open again` +
    ` (where the optional dependency fs-ext is installed at both ends, locks of the dead are recognised as such)`
  return new VarveError('LOCKED', `${message} ${remedy}`, details)
}

function nameHolder({ pid, thread, host, time }: HolderRecord, self: ProcessIdentity): string {
  const where = `${pid === self.pid && host === self.host ? 'this process, ' : ''}process ${pid}`
  return `${where}${thread === 0 ? '' : `, thread ${thread}`} on host ${printable(host)} since ${printable(time)}`
}

/** What came out of a file, fit for a message. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 80)
}

/** What tells a lock file from every other, as long as its holder has it open: nobody else can have its inode meanwhile. */
export function tokenOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev}:${ino}`
}

class HeldDirectory implements DirectoryLock {
  readonly token: string
  readonly #held: HeldFile
  readonly #forget: () => void
  #released = false

  constructor(held: HeldFile, forget: () => void) {
    this.token = tokenOf({ dev: held.device, ino: held.inode })
    this.#held = held
    this.#forget = forget
  }

  async release(): Promise<void> {
    if (this.#released) return
    this.#released = true
    try {
      giveBack(this.#held)
    } finally {
      this.#forget()
    }
  }
}
