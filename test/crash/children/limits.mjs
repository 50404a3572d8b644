/**
 * Opens directories one after the other with little memory and reads everything: node limits.mjs ENTRY DIRECTORY...
 * Prints a line for each: `right <entries>`, or the code and message of the refusal.
 */
import { pathToFileURL } from 'node:url'

const [entry, ...directories] = process.argv.slice(2)
const { Database } = await import(pathToFileURL(entry).href)

for (const path of directories) {
  try {
    const db = await Database.open({ path })
    try {
      let entries = 0
      for (const key of db.handle().keys()) {
        db.handle().get(key)
        entries++
      }
      console.log(`right ${entries}`)
    } finally {
      await db.close()
    }
  } catch (error) {
    console.log(`${error.code ?? error.name} ${String(error.message).split('\n')[0]}`)
  }
}
