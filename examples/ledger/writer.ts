/**
 * A process that posts the journal and tells each movement's number as soon as its commit is acknowledged. It is there to be
 * killed: see crash.ts. Started with the arguments of the ledger itself.
 */
import { Database } from 'varve'
import { parseArguments } from './arguments.ts'
import { postJournal } from './clients.ts'
import { journalOf } from './source.ts'

const given = parseArguments(process.argv.slice(2))
const { movements } = await journalOf(given)
const { path, durability, isolation, clients } = given
if (path === undefined || durability === 'memory') throw new Error('a writer needs a directory')
await using db = await Database.open({ path, durability, isolation })
await postJournal(db, {
  journal: movements,
  clients,
  // A pipe is written to before the call returns, so what has been told has been told.
  onPosted: ({ id }) => process.stdout.write(`${id}\n`),
})
