/**
 * Who holds a lock, and whether they still can: the record in a lock file, the facts about a process that it is made of,
 * and the judgement on it.
 *
 * A pid alone names nobody: pids are reused, every container has a process 1, and a number from another machine means
 * nothing here. A record therefore says which kernel run (boot id), which pid and time namespaces, which host name, and
 * when the process began (in clock ticks since boot, which no second process of that pid can share).
 *
 * The judgement errs on one side only. `gone` is said only where it is certain and stays so; every doubt is `unknown`,
 * which refuses and tells people what to do. In the order in which it is made:
 *
 *   record of a newer format                              unknown (live if its file is under flock)
 *   file under flock by another open file                 live      the kernel keeps flock only while the holder is there
 *   neither a record nor what may be left of one          unknown   somebody else's file, which only has our name
 *   torn record, flock works here, file is free           gone      whoever uses flock has it before the file is seen
 *   torn record otherwise                                 unknown
 *   record says "flock held", flock works here, free      gone      the kernel's answer decides, whatever else is said
 *   another platform, host name, boot id or namespace     unknown
 *   no process of that pid, or only its zombie            gone
 *   a process of that pid, its beginning not to be seen   unknown
 *   a process of that pid that began at another instant   gone      the pid was reused
 *   this very process, the file open in none of its fds   gone      left by a thread that ended
 *   a process of that pid                                 live      also if it may not be signalled (EPERM)
 *
 * Another boot id is *not* taken for a restart, however much the machines look alike: containers of systemd-nspawn and
 * LXC get a boot id of their own on one kernel and may share directory, machine id and host name with a live holder, as
 * may two nodes that run one image over a network file system. Only flock can tell.
 *
 * Where there is no /proc, boot id, namespace and start are null. On macOS and Windows, which have no pid namespaces,
 * equal host names and no such process then suffice for `gone`. On a Linux without (a fitting) /proc nothing is ever `gone`
 * by its pid.
 */
import { closeSync, openSync, readSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { threadId } from 'node:worker_threads'
import { errnoOf } from './storage.ts'

/** Version of the record; a lock of a newer one is never taken over. */
const RECORD_VERSION = 1

/** More than any record needs. A longer file is not one. */
export const MAX_RECORD_BYTES = 4096

/** The facts that name one process. All but `thread` are compared; null is what this platform cannot say. */
export interface ProcessIdentity {
  /** As in `process.platform`. */
  readonly platform: string
  readonly pid: number
  /** The kernel's random id of this run of it. */
  readonly boot: string | null
  /** The pid namespace and the time namespace: in what pids and start instants are counted. */
  readonly namespace: string | null
  /** Clock ticks since boot. Digits, as they may exceed a number's precision. */
  readonly started: string | null
  readonly host: string
  /** 0 is the main thread. For people. */
  readonly thread: number
}

/** What a lock file says. */
export interface HolderRecord extends ProcessIdentity {
  readonly version: number
  /** Random, of this one lock: no two locks share it. 16 hex digits. */
  readonly nonce: string
  /** Whether the holder has the file under flock. */
  readonly flock: boolean
  /** When it was taken, by the wall clock. For people; nothing is decided by it. */
  readonly time: string
}

/** What can be seen of a pid. `started` is null where that cannot be seen. */
export type PidSighting = { readonly exists: false } | { readonly exists: true; readonly started: string | null }

/** What the judgement looks at beside the record. */
export interface Evidence {
  readonly self: ProcessIdentity
  sight(pid: number): PidSighting
  /** Whether the file is under flock: `unsupported` where that cannot be asked. */
  readonly flock: 'busy' | 'free' | 'unsupported'
  /** Whether an open file of this process, any thread of it, is the lock file. */
  openHere(): boolean
}

/** Whether the holder is still there, and for people why that is thought. */
export interface Verdict {
  readonly holder: 'live' | 'gone' | 'unknown'
  readonly why: string
}

/** The identity of this process and thread. */
export function identifySelf(): ProcessIdentity {
  const known = { platform: process.platform, pid: process.pid, host: hostname(), thread: threadId }
  try {
    // A /proc of another pid namespace would speak of other processes.
    if (readlinkSync('/proc/self') !== String(process.pid)) throw new Error('/proc is of another namespace')
    const sighting = parseStat(readFact('/proc/self/stat'))
    return {
      ...known,
      boot: readFact('/proc/sys/kernel/random/boot_id').trim() || null,
      namespace: `${readlinkSync('/proc/self/ns/pid')} ${timeNamespace()}`,
      started: sighting?.started ?? null,
    }
  } catch {
    return { ...known, boot: null, namespace: null, started: null }
  }
}

/** One line of /proc, which is always shorter than this, in one read: an opening waits for it. */
function readFact(path: string): string {
  const fd = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(MAX_FACT_BYTES)
    return bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}

const MAX_FACT_BYTES = 4096

/** Kernels before 5.6 have none. */
function timeNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/time')
  } catch {
    return 'time:none'
  }
}

/** What can be seen of a pid in our own namespace. */
export function sightPid(pid: number): PidSighting {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return { exists: false }
  }
  try {
    const stat = parseStat(readFact(`/proc/${pid}/stat`))
    if (stat === undefined) return { exists: true, started: null }
    return stat.ended ? { exists: false } : { exists: true, started: stat.started }
  } catch {
    return { exists: true, started: null }
  }
}

/**
 * Reads a line of /proc/PID/stat. A zombie has ended, only nobody has asked how; but while other threads of it are left,
 * one of them may still be writing.
 */
export function parseStat(line: string): { readonly started: string; readonly ended: boolean } | undefined {
  // The name of the program stands in parentheses and may hold spaces and parentheses.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  const [state, threads, started] = [fields[0], fields[17], fields[19]]
  if (started === undefined || !/^\d+$/.test(started)) return undefined
  return { started, ended: (state === 'Z' || state === 'X') && Number(threads) <= 1 }
}

/** Whether any thread of this process has a file open. True where that cannot be seen. */
export function isOpenHere(device: bigint, inode: bigint): boolean {
  try {
    return readdirSync('/proc/self/fd').some((fd) => {
      try {
        const stat = statSync(`/proc/self/fd/${fd}`, { bigint: true })
        return stat.ino === inode && stat.dev === device
      } catch (error) {
        // It was closed meanwhile, perhaps the descriptor of this listing.
        return errnoOf(error) !== 'ENOENT'
      }
    })
  } catch {
    return true
  }
}

/** The bytes of a lock file. */
export function encodeRecord(self: ProcessIdentity, nonce: string, flock: boolean, timeMs: number): Uint8Array {
  const time = new Date(timeMs).toISOString()
  const record: HolderRecord = { version: RECORD_VERSION, ...self, nonce, flock, time }
  return new TextEncoder().encode(`${JSON.stringify(record)}\n`)
}

/**
 * Reads the bytes of a lock file, which may be anything.
 *
 * @returns the record; 'newer' for one of a later format; undefined if it is what a power loss may have left of one, which
 *   is nothing, zeros, or a beginning with or without zeros behind it; or else 'foreign'.
 */
export function decodeRecord(bytes: Uint8Array): HolderRecord | 'newer' | 'foreign' | undefined {
  const text = new TextDecoder().decode(bytes)
  const json = parseJson(text)
  const none = mayBeTorn(text) ? undefined : 'foreign'
  if (typeof json !== 'object' || json === null) return none
  const { version, platform, pid, boot, namespace, started, host, thread, nonce, flock, time } = json as Partial<
    Record<keyof HolderRecord, unknown>
  >
  if (typeof version !== 'number') return none
  if (version > RECORD_VERSION) return 'newer'
  // Signals to 0 and to negative numbers address whole groups.
  const pidFits = typeof pid === 'number' && Number.isInteger(pid) && pid > 0 && pid <= 0x7fffffff
  if (!pidFits || typeof thread !== 'number' || typeof flock !== 'boolean') return none
  if (typeof nonce !== 'string' || !/^[0-9a-f]{16}$/.test(nonce)) return none
  if (typeof platform !== 'string' || typeof host !== 'string' || typeof time !== 'string') return none
  if (!isTextOrNull(boot) || !isTextOrNull(namespace) || !isTextOrNull(started)) return none
  return { version, platform, pid, boot, namespace, started, host, thread, nonce, flock, time }
}

/** What every record begins with. */
const BEGINNING = '{"version":'

function mayBeTorn(text: string): boolean {
  const left = text.replace(/\0+$/, '')
  return left.length < BEGINNING.length ? BEGINNING.startsWith(left) : left.startsWith(BEGINNING)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}

/** Whether the holder of a lock can still be there: the table at the head of this file, line by line. */
export function judge(record: HolderRecord | 'newer' | 'foreign' | undefined, evidence: Evidence): Verdict {
  if (evidence.flock === 'busy') return { holder: 'live', why: 'the kernel says that the lock file is held' }
  if (record === 'newer') return { holder: 'unknown', why: 'a newer version of varve wrote the lock file' }
  if (record === 'foreign') return { holder: 'unknown', why: 'the lock file is not one that varve wrote' }
  const free: Verdict = { holder: 'gone', why: 'the kernel says that nobody holds the lock file' }
  if (record === undefined) {
    if (evidence.flock === 'free') return free
    return { holder: 'unknown', why: 'the lock file is empty or was cut short' }
  }
  if (record.flock && evidence.flock === 'free') return free
  const elsewhere = foreignness(record, evidence.self)
  if (elsewhere !== undefined) return { holder: 'unknown', why: elsewhere }
  const sighting = evidence.sight(record.pid)
  if (!sighting.exists) return { holder: 'gone', why: 'there is no such process' }
  if (sighting.started === null || record.started === null) {
    return { holder: 'unknown', why: 'there is a process of that pid, which may or may not be the one that took it' }
  }
  if (sighting.started !== record.started) return { holder: 'gone', why: 'the process of that pid is a later one' }
  if (record.pid === evidence.self.pid && !evidence.openHere()) {
    return { holder: 'gone', why: 'it was left by a thread of this process that has ended' }
  }
  return { holder: 'live', why: 'that process is running' }
}

/** Why the pid of a record says nothing to us, or undefined if it does. */
function foreignness(record: HolderRecord, self: ProcessIdentity): string | undefined {
  if (record.host !== self.host) return 'it is of another host name, whose processes cannot be seen from here'
  if (record.boot !== self.boot)
    return 'it is from before a restart of this machine, or of another machine or container'
  if (record.platform !== self.platform) return 'it is of another operating system'
  if (record.namespace !== self.namespace) return 'it is of a container whose processes cannot be seen from here'
  // Only where there are no pid namespaces does a pid mean something without one.
  const enough = record.boot !== null || self.platform === 'darwin' || self.platform === 'win32'
  return enough ? undefined : 'there is no /proc to tell whether the process is still there'
}
