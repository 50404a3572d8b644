/** Stores of entries of 117 bytes: strings of 17 characters and values of 100 random bytes. */

import { codecs, Database } from '../../dist/index.js'
import { entryChunks } from '../support/data.mjs'

/** @param {string} path */
export function openEntries(path) {
  return Database.open({ path, durability: 'relaxed', value: codecs.bytes() })
}

/**
 * @param {import('../../dist/index.js').Database<string, Uint8Array>} db
 * @param {number} count
 */
export async function fillEntries(db, count) {
  const handle = db.handle()
  for (const { keys, values } of entryChunks(count)) {
    await handle.transaction((tx) => {
      for (let i = 0; i < keys.length; i++) tx.set(keys[i], values[i])
    })
  }
}
