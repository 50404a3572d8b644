/** Runs the session store over a restart: `node .examples/sessions/main.js`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Database } from 'varve'
import { SessionStore } from './sessions.ts'

const LIFETIME_MS = 400

const path = await mkdtemp(join(tmpdir(), 'varve-sessions-'))
try {
  let kept: string
  {
    await using db = await Database.open({ path, durability: 'relaxed' })
    const store = new SessionStore(db, LIFETIME_MS)
    kept = await store.start('alice', { theme: 'dark' })
    await store.start('alice')
    await store.start('bob')
    console.log(`${store.alive} sessions are alive`)
  }
  {
    await using db = await Database.open({ path, durability: 'relaxed' })
    const store = new SessionStore(db, LIFETIME_MS)
    const theme = String(store.peek(kept)?.data['theme'])
    console.log(`after a restart ${store.alive} are, and alice still likes it ${theme}`)
    await pause(LIFETIME_MS / 2)
    await store.use(kept)
    await pause(LIFETIME_MS * 0.75)
    console.log(`${store.alive} was used and lives on`)
    console.log(`${await store.endAll('alice')} of alice's was ended, ${store.alive} are left`)
  }
} finally {
  await rm(path, { recursive: true })
}
