/** A tour of what a table can do, one stop after the other: `node .examples/tour/main.js`. */
import { stops } from './stops.ts'

for (const [name, stop] of Object.entries(stops)) {
  console.log(`\n${name}`)
  for (const line of await stop()) console.log(`  ${line}`)
}
