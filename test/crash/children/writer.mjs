/**
 * A process that writes until it is stopped: node writer.mjs ENTRY DIRECTORY ACKS DURABILITY CLIENTS END SEGMENT_BYTES
 *
 * Each client moves money between accounts, one transaction after the other, notes each in a journal and its number under its
 * own name. Once the promise of a transaction has resolved, and not before, `client number` goes to the file ACKS by a
 * synchronous write. What END says happens after a while: `never`, `close`, `exit`, `throw`, `drain`.
 */
import { openSync, writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [entry, directory, acks, durability, clients, end, segmentBytes] = process.argv.slice(2)
const { Database, codecs, merges, table } = await import(pathToFileURL(entry).href)

const accounts = table('accounts', { value: codecs.float64() })
const journal = table('journal')
const progress = table('progress', { value: codecs.float64() })
const total = table('total', { value: codecs.float64(), merge: merges.sum })
const ACCOUNTS = 50

const log = openSync(acks, 'a')
const db = await Database.open({
  path: directory,
  durability,
  wal: { segmentBytes: Number(segmentBytes) },
  ...(durability === 'relaxed' && { flush: { intervalMs: 50, commits: 500 } }),
})

if (db.handle(accounts).size === 0) {
  await db.handle(accounts).transaction((tx) => {
    for (let i = 0; i < ACCOUNTS; i++) tx.set(`account ${i}`, 1000)
  })
}
writeSync(log, 'open\n')

let done = 0
let stopping = false

async function client(number) {
  const name = `client ${number}`
  for (let i = (db.handle(progress).get(name) ?? 0) + 1; !stopping; i++) {
    await db.handle(accounts).transaction((tx) => {
      const from = `account ${Math.floor(Math.random() * ACCOUNTS)}`
      const to = `account ${Math.floor(Math.random() * ACCOUNTS)}`
      const amount = Math.ceil(Math.random() * 10)
      tx.update(from, (balance) => balance - amount)
      tx.update(to, (balance) => balance + amount)
      tx.table(journal).set([name, i], { from, to, amount, note: 'x'.repeat(i % 500) })
      tx.table(journal).delete([name, i - 100])
      tx.table(progress).set(name, i)
      tx.table(total).merge('transfers', 1)
    })
    writeSync(log, `${number} ${i}\n`)
    done++
    if (done === 200) finish()
  }
}

function finish() {
  if (end === 'exit') process.exit(0)
  if (end === 'throw') throw new Error('on purpose')
  if (end === 'drain') stopping = true
  if (end === 'close') {
    db.close().then(
      () => writeSync(log, 'closed\n'),
      (error) => writeSync(log, `close failed: ${error}\n`),
    )
  }
}

const running = Array.from({ length: Number(clients) }, (_, i) => client(i))
for (const each of running) {
  each.catch((error) => {
    if (error?.code === 'CLOSED' && end === 'close') return
    throw error
  })
}
