/** Kills a process in the middle of posting, and looks at what it left behind. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type Database, type Key } from 'varve'
import { type Audit, audit } from './audit.ts'
import { accounts, type Movement, movements } from './tables.ts'

export interface Killed {
  /** Numbers of the movements whose commits were acknowledged before the end. */
  readonly acknowledged: readonly number[]
  /** False if it had finished before it could be killed. */
  readonly wasKilled: boolean
}

export interface Survivors {
  /** Every movement found. */
  readonly found: readonly Movement[]
  /** Acknowledged, but not found: there must be none. */
  readonly lost: readonly number[]
  /** The books as they were found: a movement half posted would not balance. */
  readonly books: Audit
}

/** Starts a writer with the ledger's arguments and sends it SIGKILL once it has told of so many movements. */
export async function killWriter(given: readonly string[], afterMovements: number): Promise<Killed> {
  const writer = spawn(process.execPath, [fileURLToPath(new URL('./writer.js', import.meta.url)), ...given], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = ''
  let lines = 0
  writer.stdout.setEncoding('latin1').on('data', (text: string) => {
    told += text
    for (const letter of text) if (letter === '\n') lines++
    if (lines >= afterMovements) writer.kill('SIGKILL')
  })
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    writer.on('error', reject)
    writer.on('close', (...end) => resolve(end))
  })
  if (signal === null && code !== 0) throw new Error(`the writer ended with code ${code}`)
  // The last line may have been cut short; what was not told whole counts as not acknowledged.
  const acknowledged = told
    .slice(0, told.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
    .map(Number)
  return { acknowledged, wasKilled: signal !== null }
}

/** What is in a reopened ledger of the movements that a killed writer had acknowledged. */
export function survivorsOf(db: Database<Key, unknown>, acknowledged: readonly number[]): Promise<Survivors> {
  return db.handle(accounts).transaction(
    (tx) => {
      const journal = tx.table(movements)
      const found = [...journal.values()]
      return { found, lost: acknowledged.filter((id) => !journal.has(id)), books: audit(tx, found) }
    },
    { readOnly: true },
  )
}
