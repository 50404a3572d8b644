/**
 * An embedded ledger: many clients post bank movements into one database at once, and at the end the books balance.
 *
 *   npm start                                        a generated journal
 *   npm start -- --input movements.asc.gz            a real one
 *   npm start -- --isolation snapshot                what the weaker level lets through
 *
 * Where to read on: tables.ts (what is stored), posting.ts (the transaction), clients.ts (many of them at once), audit.ts (does
 * it all add up), write-skew.ts (why serializable). The rest reads and generates journals and prints.
 */
import { Database } from 'varve'
import { type Arguments, HELP, parseArguments } from './arguments.ts'
import { audit } from './audit.ts'
import { postJournal } from './clients.ts'
import { generateJournal } from './generator.ts'
import { InputError } from './input-error.ts'
import { type Journal, readJournal } from './journal.ts'
import { linesOf } from './lines.ts'
import { Progress } from './progress.ts'
import { auditReport, badRowsReport, countOf, outcomeTable, writeSkewReport } from './report.ts'
import { accounts } from './tables.ts'
import { tryWriteSkew } from './write-skew.ts'

const WRITE_SKEW_ROUNDS = 1000
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
  const name = given.input === undefined ? `a generated journal (seed ${given.seed})` : given.input
  const journal = await readJournal(
    given.input === undefined ? generateJournal(given.movements, given.seed) : linesOf(given.input),
    name,
  )
  print(badRowsReport(journal.badRows, name))
  const stop = stopOnSignal()
  const balanced = await runLedger(given, name, journal, stop)
  if (!balanced) return UNBALANCED
  if (stop.aborted) return INTERRUPTED
  return (await runWriteSkew(given)) ? BALANCED : UNBALANCED
}

/** Posts the journal and audits the result. Returns whether the books balance. */
async function runLedger(given: Arguments, name: string, { movements }: Journal, stop: AbortSignal): Promise<boolean> {
  const { clients, isolation } = given
  await using db = await Database.open({ isolation })
  print(`posting ${countOf(movements.length, 'movement')} of ${name}, ${countOf(clients, 'client')}, ${isolation}\n`)
  const progress = new Progress(process.stdout, 'posting', movements.length)
  const onProgress = (done: number): void => progress.show(done)
  const outcome = await postJournal(db, { journal: movements, clients, stop, onProgress })
  progress.end()
  if (stop.aborted) print('interrupted; what was posted so far:\n')
  print(`\n${outcomeTable(outcome)}\n`)

  const found = await db.handle(accounts).transaction((tx) => audit(tx, outcome.posted), { readOnly: true })
  print(auditReport(found, outcome))
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
