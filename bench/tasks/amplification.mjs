/** What is written to disk for what the user writes. */

import { readFileSync } from 'node:fs'

import { CHUNK, ENTRY_BYTES, entryKeys, entryValues, randomOf } from '../support/data.mjs'
import { fillEntries, openEntries } from './entries.mjs'

/** Bytes that this process has caused to be sent to a disk, its threads included; null where nobody counts. */
function bytesSentToDisk() {
  try {
    return Number(/^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1])
  } catch {
    return null
  }
}

/** Bytes that the database says it has written: log, checkpoints, merges. */
function bytesByStats(db) {
  const { log, checkpoints, merges } = db.stats().disk
  return { log: log.bytesWritten, checkpoints: checkpoints.bytes, merges: merges.bytes }
}

/** Fills a database, compacts it, then overwrites entries at random, each a commit of its own. */
export async function keepUpdating({ path, count, updates }) {
  const db = await openEntries(path)
  await fillEntries(db, count)
  await db.compact()
  const keys = []
  for (let from = 0; from < count; from += CHUNK) keys.push(...entryKeys(Math.min(CHUNK, count - from), from))
  const values = entryValues(CHUNK, 7)
  const handle = db.handle()
  const random = randomOf(11)
  let mostRuns = 0
  const before = bytesByStats(db)
  const sentBefore = bytesSentToDisk()
  const start = performance.now()
  for (let done = 0; done < updates; done += CHUNK) {
    let last
    for (let i = 0; i < CHUNK; i++) last = handle.set(keys[random(count)], values[i])
    await last
    mostRuns = Math.max(mostRuns, db.stats().disk.runs.count)
  }
  const seconds = (performance.now() - start) / 1000
  // What is still owed is paid before it is counted.
  await db.checkpoint()
  const after = bytesByStats(db)
  const { checkpoints, merges } = db.stats().disk
  await db.close()
  const sent = bytesSentToDisk()
  const userBytes = updates * ENTRY_BYTES
  const share = (kind) => (after[kind] - before[kind]) / userBytes
  return {
    total: sent === null || sentBefore === null ? null : (sent - sentBefore) / userBytes,
    log: share('log'),
    checkpoints: share('checkpoints'),
    merges: share('merges'),
    mostRuns,
    done: { checkpoints: checkpoints.done, merges: merges.done },
    rate: updates / seconds,
  }
}
