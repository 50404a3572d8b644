/**
 * An embedded ledger: many clients post bank movements into one database at once, and at the end the books balance.
 *
 *   npm start                                        a generated journal
 *   npm start -- --input movements.asc.gz            a real one
 *   npm start -- --isolation snapshot                what the weaker level lets through
 *   npm start -- --durability relaxed                without waiting for the disk; memory: without a disk
 *   npm start -- --path ledger                       keeps the books
 *   npm start -- --stats                             what the database says of itself meanwhile
 *
 * On disk, a process that posts is killed in the middle first, to see that what it was told is there.
 *
 * Where to read on: tables.ts (what is stored), posting.ts (the transaction), clients.ts (many of them at once), audit.ts (does
 * it all add up), crash.ts (what a killed process leaves), write-skew.ts (why serializable). The rest reads and generates journals and prints.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database, type DatabaseOptions, type Key } from 'varve'
import { type Arguments, HELP, parseArguments } from './arguments.ts'
import { audit } from './audit.ts'
import { type Outcome, postJournal } from './clients.ts'
import { killWriter, survivorsOf } from './crash.ts'
import { InputError } from './input-error.ts'
import type { Journal } from './journal.ts'
import { LiveStats } from './live-stats.ts'
import { Progress } from './progress.ts'
import {
  auditReport,
  badRowsReport,
  countOf,
  crashReport,
  outcomeTable,
  reopenedReport,
  writeSkewReport,
} from './report.ts'
import { journalName, journalOf } from './source.ts'
import { accounts, type Movement, movements } from './tables.ts'
import { tryWriteSkew } from './write-skew.ts'

const WRITE_SKEW_ROUNDS = 1000
/** The writer is killed when it has posted this share of the journal, or this many. */
const KILL_AFTER_SHARE = 0.2
const KILL_AFTER_MOST = 5000
const BALANCED = 0
const UNBALANCED = 1
const BAD_INPUT = 2
const INTERRUPTED = 130

async function main(): Promise<number> {
  const given = parseArguments(process.argv.slice(2))
  if (given.help) {
    print(HELP)
    return BALANCED
  }
  const journal = await journalOf(given)
  print(badRowsReport(journal.badRows, journalName(given)))
  const stop = stopOnSignal()
  const balanced =
    given.durability === 'memory' ? await runInMemory(given, journal, stop) : await runOnDisk(given, journal, stop)
  if (!balanced) return UNBALANCED
  if (stop.aborted) return INTERRUPTED
  return (await runWriteSkew(given)) ? BALANCED : UNBALANCED
}

async function runInMemory(given: Arguments, journal: Journal, stop: AbortSignal): Promise<boolean> {
  await using db = await Database.open({ isolation: given.isolation })
  return await runLedger(db, given, journal.movements, [], stop)
}

/** Kills a writer and looks at what it left, posts the rest, and opens the ledger once more to see that it kept it. */
async function runOnDisk(given: Arguments, { movements: all }: Journal, stop: AbortSignal): Promise<boolean> {
  const path = given.path ?? (await mkdtemp(join(tmpdir(), 'varve-ledger-')))
  const { durability, isolation } = given
  const options = { path, durability, isolation }
  try {
    const before = await foundIn(options)
    if (before.length === 0 && !(await surviveKill(options, all))) return false
    const found = await foundIn(options)
    const ids = new Set(found.map(({ id }) => id))
    const rest = all.filter(({ id }) => !ids.has(id))
    if (!(await postTo(options, given, rest, found, stop))) return false
    return await reopen(options, stop)
  } finally {
    if (given.path === undefined) await rm(path, { recursive: true, force: true })
  }
}

async function foundIn(options: DatabaseOptions): Promise<Movement[]> {
  await using db = await Database.open(options)
  return [...db.handle(movements).values()]
}

/** Returns whether every acknowledged movement was there, and none was half there. */
async function surviveKill(options: DatabaseOptions, all: readonly Movement[]): Promise<boolean> {
  const afterMovements = Math.min(Math.ceil(all.length * KILL_AFTER_SHARE), KILL_AFTER_MOST)
  const given = [...process.argv.slice(2), '--path', options.path as string]
  const killed = await killWriter(given, afterMovements)
  const begunAtMs = performance.now()
  await using db = await Database.open(options)
  const reopenMs = performance.now() - begunAtMs
  const survivors = await survivorsOf(db, killed.acknowledged)
  print(crashReport(killed, survivors, reopenMs))
  return survivors.lost.length === 0 && survivors.books.problems.length === 0
}

async function postTo(
  options: DatabaseOptions,
  given: Arguments,
  rest: readonly Movement[],
  found: readonly Movement[],
  stop: AbortSignal,
): Promise<boolean> {
  await using db = await Database.open(options)
  return await runLedger(db, given, rest, found, stop)
}

/** The books once more, as the closed ledger has kept them. */
async function reopen(options: DatabaseOptions, stop: AbortSignal): Promise<boolean> {
  if (stop.aborted) return true
  const begunAtMs = performance.now()
  await using db = await Database.open({ ...options, readOnly: true })
  const reopenMs = performance.now() - begunAtMs
  const { found, books } = await survivorsOf(db, [])
  const { problems } = await db.check()
  print(reopenedReport(reopenMs, found.length, [...books.problems, ...problems]))
  return books.problems.length === 0 && problems.length === 0
}

/** Posts a journal and audits the result, with what was in the books before. Returns whether they balance. */
async function runLedger(
  db: Database<Key, unknown>,
  given: Arguments,
  journal: readonly Movement[],
  before: readonly Movement[],
  stop: AbortSignal,
): Promise<boolean> {
  const { clients, isolation, durability } = given
  const many = countOf(journal.length, 'movement')
  print(`posting ${many} of ${journalName(given)}, ${countOf(clients, 'client')}, ${isolation}, ${durability}\n`)
  const live = given.stats ? new LiveStats(db, process.stdout) : null
  const progress = new Progress(process.stdout, 'posting', journal.length)
  const onPosted = (_: Movement, done: number): void => {
    if (live === null) progress.show(done)
  }
  const outcome: Outcome = await postJournal(db, { journal, clients, stop, onPosted })
  if (live === null) progress.end()
  else live.end()
  if (stop.aborted) print('interrupted; what was posted so far:\n')
  print(`\n${outcomeTable(outcome)}\n`)

  const expected = [...before, ...outcome.posted]
  const found = await db.handle(accounts).transaction((tx) => audit(tx, expected), { readOnly: true })
  print(auditReport(found, { posted: expected, spotChecks: outcome.spotChecks }))
  return found.problems.length === 0 && outcome.spotChecks.failed === 0
}

/** Shows write skew at the level asked for, and that the default refuses it. Returns whether it did. */
async function runWriteSkew({ isolation }: Arguments): Promise<boolean> {
  if (isolation === 'snapshot') {
    print(`\n${writeSkewReport(isolation, await tryWriteSkew(isolation, WRITE_SKEW_ROUNDS))}`)
  }
  const refused = await tryWriteSkew('serializable', WRITE_SKEW_ROUNDS)
  print(`\n${writeSkewReport('serializable', refused)}`)
  return refused.broken === 0
}

function print(text: string): void {
  process.stdout.write(text)
}

/** Ctrl-C ends the work in good order; a second one ends the program. */
function stopOnSignal(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  return stop.signal
}

// Nobody reads on, as in `npm start | head`: there is nobody left to tell anything.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})

try {
  process.exitCode = await main()
} catch (error) {
  if (!(error instanceof InputError)) throw error
  console.error(`ledger: ${error.message}`)
  process.exitCode = BAD_INPUT
}
