/** What entries of 117 bytes take on disk once everything has been compacted. */

import { entryChunks } from '../support/data.mjs'
import { bytesAt } from '../support/scratch.mjs'
import { fillEntries, openEntries } from './entries.mjs'

const fill = {
  async varve(path, count) {
    const db = await openEntries(path)
    await fillEntries(db, count)
    await db.compact()
    await db.close()
  },
  async 'classic-level'(path, count) {
    const { ClassicLevel } = await import('classic-level')
    const db = new ClassicLevel(path, { valueEncoding: 'view' })
    await db.open()
    for (const { keys, values } of entryChunks(count)) {
      await db.batch(keys.map((key, i) => ({ type: 'put', key, value: values[i] })))
    }
    await db.compactRange('', '\uffff')
    await db.close()
  },
}

export async function fillAndCompact({ contestant, path, count }) {
  await fill[contestant](path, count)
  return { total: bytesAt(path), tables: bytesAt(path, (name) => /\.(run|ldb)$/.test(name)) }
}
