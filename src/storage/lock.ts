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
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, constants, fstatSync, linkSync, lstatSync, openSync, readSync, readdirSync } from 'node:fs'
import { realpathSync, renameSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VarveError } from '../errors.ts'
import { loadFlock, type Flock } from './flock.ts'
import {
  MAX_RECORD_BYTES,
  decodeRecord,
  encodeRecord,
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
export interface LockSurroundings {
  /** Null: there is none. */
  readonly flock: Flock | null
  readonly self: ProcessIdentity
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

/** A lock file that is ours. */
interface HeldFile {
  readonly path: string
  readonly fd: number
  readonly device: bigint
  readonly inode: bigint
}

/** A lock file as it was found. */
interface FoundFile {
  readonly device: bigint
  readonly inode: bigint
  readonly record: HolderRecord | 'newer' | undefined
  /** What tells this lock from every other: the nonce; of a file without one, a hash of what and where it is. */
  readonly key: string
  readonly flock: 'busy' | 'free' | 'unsupported'
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

/** How long to wait for others who are taking a lock over, which takes them about a millisecond. */
const TAKEOVER_PATIENCE_MS = 2000

/** Rounds of one attempt, each of which is spoilt only by somebody else's progress. */
const MAX_ROUNDS = 100

const LEFTOVER = /^lock\.(tmp|claim)-[0-9a-f]{16}$/

/** What link(2) says where there are no hard links. */
const NO_LINKS: ReadonlySet<unknown> = new Set(['EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

/** What opening and reading say of a file that is there but not for us; the last of a file under flock on Windows. */
const NOT_FOR_US: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EBUSY'])

// Neither follow a symbolic link nor wait for the other end of a FIFO. Not every platform has these flags.
const CAREFULLY = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/** Directories (device and inode) that this thread has open or is opening. */
const openHere = new Set<string>()

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
  const identity = identityOf(place)
  if (openHere.has(identity)) throw openTwice(place)
  openHere.add(identity)
  try {
    const held = await takeOrThrow(place)
    sweep(place)
    return new HeldDirectory(held, () => openHere.delete(identity))
  } catch (error) {
    openHere.delete(identity)
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
  if (openHere.has(identityOf(place))) throw openTwice(place)
  const path = join(place.root, 'lock')
  const found = examine(place, path)
  if (found === undefined) return
  const refusal = refusalOf(place, path, found)
  if (refusal !== undefined) throw lockedError(place, refusal)
}

async function survey(directory: string, given: Partial<LockSurroundings>): Promise<Place> {
  // The path is resolved before anything is awaited: the working directory may change meanwhile.
  const root = onDisk('lock the directory', directory, () => realpathSync(directory))
  return {
    shown: directory,
    root,
    self: given.self ?? identifySelf(),
    sight: given.sight ?? sightPid,
    link: given.link ?? linkSync,
    flock: given.flock === undefined ? await loadFlock() : given.flock,
  }
}

function identityOf(place: Place): string {
  const { dev, ino } = onDisk('lock the directory', place.shown, () => statSync(place.root, { bigint: true }))
  return `${dev}:${ino}`
}

async function takeOrThrow(place: Place): Promise<HeldFile> {
  const deadline = performance.now() + TAKEOVER_PATIENCE_MS
  for (;;) {
    const outcome = take(place, join(place.root, 'lock'))
    if ('fd' in outcome) return outcome
    if (outcome.passing !== true || performance.now() >= deadline) throw lockedError(place, outcome)
    await sleep(1 + Math.random() * 10)
  }
}

/** Takes `lock` or a claim. Without waiting, so that threads of one process at most, never tasks of one thread, compete. */
function take(place: Place, path: string): HeldFile | Refusal {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const found = examine(place, path)
    if (found === undefined) {
      const held = publish(place, path)
      if (held !== undefined) return held
    } else if ('why' in found) {
      return found
    } else {
      const refusal = refusalOf(place, path, found)
      if (refusal !== undefined) return refusal
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
    held = writeRecord(place, path, randomNonce())
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
    const now = examine(place, path)
    if (now === undefined || 'why' in now || now.key !== gone.key) return undefined
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
  return writeRecord(place, join(place.root, `lock.tmp-${nonce}`), nonce)
}

function writeRecord(place: Place, path: string, nonce: string): HeldFile {
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | CAREFULLY
  const fd = onDisk('create', path, () => openSync(path, flags, 0o600))
  const { dev, ino } = fstatSync(fd, { bigint: true })
  const held: HeldFile = { path, fd, device: dev, inode: ino }
  try {
    // Nobody can have it under an exclusive flock before us, but where it is created in place somebody may be looking.
    let flocked = place.flock?.(fd, 'exclusive')
    for (let again = 0; flocked === 'busy' && again < MAX_ROUNDS; again++) flocked = place.flock?.(fd, 'exclusive')
    const record = encodeRecord(place.self, nonce, flocked === 'locked')
    let done = 0
    while (done < record.length) {
      const count = writeSync(fd, record, done, record.length - done, done)
      if (count === 0) throw Object.assign(new Error('ENOSPC: nothing was written'), { code: 'ENOSPC' })
      done += count
    }
    return held
  } catch (error) {
    discard(held)
    throw ioError('write', path, error)
  }
}

/** Looks at a lock file. Undefined if there is none; a refusal if it may not be read; throws if it is not a file. */
function examine(place: Place, path: string): FoundFile | Refusal | undefined {
  let fd: number
  try {
    requireFile(path, lstatSync(path))
    fd = openSync(path, constants.O_RDONLY | CAREFULLY)
  } catch (error) {
    if (isMissing(error)) return undefined
    return unreadable(path, error)
  }
  try {
    const stat = fstatSync(fd, { bigint: true })
    requireFile(path, stat)
    const flock = place.flock?.(fd, 'shared') ?? 'unsupported'
    const bytes = new Uint8Array(MAX_RECORD_BYTES + 1)
    const content = bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
    const record = content.length > MAX_RECORD_BYTES ? undefined : decodeRecord(content)
    const { dev: device, ino: inode } = stat
    const key = typeof record === 'object' ? record.nonce : fingerprint(content, device, inode)
    return { device, inode, record, key, flock: flock === 'locked' ? 'free' : flock }
  } catch (error) {
    return unreadable(path, error)
  } finally {
    closeQuietly(fd)
  }
}

function requireFile(
  path: string,
  stat: { isFile(): boolean; isSymbolicLink(): boolean; isDirectory(): boolean },
): void {
  if (stat.isFile()) return
  const kind = stat.isSymbolicLink() ? 'a symbolic link' : stat.isDirectory() ? 'a directory' : 'not a regular file'
  throw new VarveError('IO', `cannot use ${path} as the lock file: it is ${kind}; varve never makes one, so remove it`)
}

function unreadable(path: string, error: unknown): Refusal {
  const errno = errnoOf(error)
  if (!NOT_FOR_US.has(errno)) throw ioError('read', path, error)
  return { path, record: undefined, holder: 'unknown', why: `the lock file cannot be read (${errno})`, cause: error }
}

function fingerprint(content: Uint8Array, device: bigint, inode: bigint): string {
  return createHash('sha256').update(`${device}:${inode}:`).update(content).digest('hex').slice(0, 16)
}

/** Undefined: the holder is gone, the lock may be taken over. */
function refusalOf(place: Place, path: string, found: FoundFile | Refusal): Refusal | undefined {
  if ('why' in found) return found
  const { holder, why } = judge(found.record, {
    self: place.self,
    sight: place.sight,
    flock: found.flock,
    openHere: () => isOpenHere(found.device, found.inode),
  })
  if (holder === 'gone') return undefined
  return { path, record: typeof found.record === 'object' ? found.record : undefined, holder, why }
}

/** Whether the name of a lock file still leads to ours. */
function isStill(held: HeldFile): boolean {
  try {
    const { dev, ino } = lstatSync(held.path, { bigint: true })
    return dev === held.device && ino === held.inode
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** Removes a file of ours while its holder still counts as alive, then lets go of it. */
function giveBack(held: HeldFile): void {
  try {
    if (isStill(held)) unlinkSync(held.path)
  } catch (error) {
    if (!isMissing(error)) throw ioError('remove', held.path, error)
  } finally {
    closeQuietly(held.fd)
  }
}

/** Gives a temporary file or a claim back; what cannot be removed is left to whoever has the lock (L4). */
function discard(held: HeldFile): void {
  try {
    giveBack(held)
  } catch {
    // It names a live process, but nothing it protects is there any more.
  }
}

/** Removes what the dead left of their attempts (L4). */
function sweep(place: Place): void {
  try {
    for (const entry of readdirSync(place.root, { withFileTypes: true })) {
      if (entry.isFile() && LEFTOVER.test(entry.name)) removeQuietly(join(place.root, entry.name))
    }
  } catch {
    // They take room and do no harm.
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // Swept away by another, or left to the next.
  }
}

/** Whatever close says, the descriptor is gone and its flock with it; nothing that matters was written through it. */
function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // See above.
  }
}

function randomNonce(): string {
  return randomBytes(8).toString('hex')
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

class HeldDirectory implements DirectoryLock {
  readonly #held: HeldFile
  readonly #forget: () => void
  #released = false

  constructor(held: HeldFile, forget: () => void) {
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
