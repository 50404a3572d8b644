/** Stores of small objects that are filled in one process and opened again in another. */

import { runningMs } from '../support/clock.mjs'
import { accountChunks } from '../support/data.mjs'
import { openLevel, openLmdb, openSqlite, openVarve } from '../support/durable-stores.mjs'

const open = {
  varve: (path) => openVarve(path, { durability: 'relaxed' }),
  lmdb: (path) => openLmdb(path, { isSynced: true }),
  'better-sqlite3': (path) => openSqlite(path, { isSynced: false }),
  'classic-level': (path) => openLevel(path, false),
}

/** Loads the code, which is not what is being timed. */
async function openerOf(name) {
  if (name !== 'varve') await import(name)
  return open[name]
}

async function fill(store, count) {
  for (const { keys, values } of accountChunks(count)) await store.insert(keys, values)
}

/** A store that was closed as it should be. */
export async function load({ contestant, path, count }) {
  const open = await openerOf(contestant)
  const store = await open(path)
  await fill(store, count)
  await store.close()
  return {}
}

/**
 * A store that its process leaves open. In varve every entry is a commit of its own, so that the log has a record for each.
 */
export async function fillForKill({ contestant, path, count }) {
  const open = await openerOf(contestant)
  const store = await open(path)
  if (contestant !== 'varve') {
    await fill(store, count)
    return { staysOpen: true, records: count }
  }
  const { db, handle } = store
  for (const { keys, values } of accountChunks(count)) {
    let last
    for (let i = 0; i < keys.length; i++) last = handle.set(keys[i], values[i])
    await last
  }
  // What a checkpoint has taken over is not replayed.
  return { staysOpen: true, records: count - db.stats().disk.coveredSequence }
}

/** How long it takes from the call that opens to the first value. */
export async function openAndGet({ contestant, path, key, size }) {
  const open = await openerOf(contestant)
  const start = runningMs()
  const store = await open(path)
  const value = await store.get(key)
  const ms = runningMs() - start
  if (value === undefined) throw new Error(`${contestant} has lost ${key}`)
  if (size !== undefined && store.handle !== undefined && store.handle.size !== size)
    throw new Error(`${contestant} has ${store.handle.size} entries instead of ${size}`)
  await store.close()
  return { ms }
}

/** How long it takes from the call that opens until every key and value has been seen, the values decoded. */
export async function readAll({ contestant, path, isAsync, count }) {
  const open = await openerOf(contestant)
  const start = runningMs()
  const store = await open(path)
  let seen = 0
  let sum = 0
  if (isAsync) {
    for await (const [key, value] of store.stream()) {
      sum += value.balance + key.length
      seen++
    }
  } else {
    for (const [key, value] of store.entries()) {
      sum += value.balance + key.length
      seen++
    }
  }
  const ms = runningMs() - start
  if (seen !== count) throw new Error(`${contestant} has ${seen} entries instead of ${count}`)
  await store.close()
  return { ms, sum }
}
