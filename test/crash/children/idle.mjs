/** Leaves everything open that waits for its time, and has nothing more to do. Arguments: entry point, directory or nothing. */
import { pathToFileURL } from 'node:url'

const [entry, path] = process.argv.slice(2)
const { Database } = await import(pathToFileURL(entry).href)

const db = await Database.open({
  ...(path === undefined ? {} : { path }),
  ttl: { sweepIntervalMs: 600_000 },
  vacuum: { intervalMs: 600_000 },
  maxTransactionAgeMs: 3_600_000,
  maxSnapshotAgeMs: 3_600_000,
  maxMemoryBytes: 1e6,
})
const handle = db.handle()
const commits = db.changes()
await handle.set('expires', 1, { ttlMs: 3_600_000 })
await handle.set('changes', 1)
// Kept, so that nothing of it is collected and closed.
globalThis.kept = [db.snapshot(), handle.begin(), db.fork(), commits, handle.watch({ key: 'changes' })]
await handle.set('changes', 2)
// One step more than there are commits: somebody waits for the next.
for (let step = 0; step < 4; step++) void commits.next()
