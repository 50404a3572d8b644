/**
 * A session store: a session lives for half an hour after it was last used, survives a restart, and all sessions of a user can
 * be ended at once.
 *
 * Two tables change together in one transaction, so the list of a user's sessions never names one that is not there. Both
 * entries expire at the same instant, because one transaction sees one.
 */
import { randomUUID } from 'node:crypto'
import { type AnyDatabase, type Handle, type Key, table } from 'varve'

export interface Session {
  readonly user: string
  readonly startedAt: number
  /** Whatever the application keeps with it. */
  readonly data: Readonly<Record<string, Key>>
}

const HALF_AN_HOUR_MS = 30 * 60_000

const sessions = table<string, Session>('sessions')
const byUser = table<readonly [user: string, id: string], true>('sessions by user')

export class SessionStore {
  readonly #sessions: Handle<string, Session>
  readonly #ttlMs: number

  /** @param lifetimeMs how long a session lives after it was last used */
  constructor(db: AnyDatabase, lifetimeMs: number = HALF_AN_HOUR_MS) {
    this.#sessions = db.handle(sessions)
    this.#ttlMs = lifetimeMs
  }

  /** Starts a session; resolves to its id when that is as durable as the database was opened for. */
  async start(user: string, data: Session['data'] = {}): Promise<string> {
    const id = randomUUID()
    const ttlMs = this.#ttlMs
    await this.#sessions.transaction((tx) => {
      tx.set(id, { user, startedAt: Date.now(), data }, { ttlMs })
      tx.table(byUser).set([user, id], true, { ttlMs })
    })
    return id
  }

  /** The session, if it is still alive. Reading does not keep it alive; {@link use} does. */
  peek(id: string): Session | undefined {
    return this.#sessions.get(id)
  }

  /** The session, which now lives for its whole time again. */
  async use(id: string): Promise<Session | undefined> {
    const ttlMs = this.#ttlMs
    return this.#sessions.transaction((tx) => {
      const session = tx.get(id)
      if (session === undefined) return undefined
      tx.expire(id, ttlMs)
      tx.table(byUser).expire([session.user, id], ttlMs)
      return session
    })
  }

  /** Changes what the application keeps with a session; how long it lives stays as it is. */
  async put(id: string, name: string, value: Key): Promise<boolean> {
    const after = await this.#sessions.update(id, (session) =>
      session === undefined ? undefined : { ...session, data: { ...session.data, [name]: value } },
    )
    return after !== undefined
  }

  async end(id: string): Promise<boolean> {
    return this.#sessions.transaction((tx) => {
      const session = tx.take(id)
      if (session !== undefined) tx.table(byUser).delete([session.user, id])
      return session !== undefined
    })
  }

  /** Ends every session of a user, one that is being started meanwhile included; resolves to how many there were. */
  async endAll(user: string): Promise<number> {
    return this.#sessions.transaction((tx) => {
      const own = [...tx.table(byUser).keys({ prefix: [user] })]
      for (const key of own) {
        tx.delete(key[1])
        tx.table(byUser).delete(key)
      }
      return own.length
    })
  }

  /** How many sessions are alive. */
  get alive(): number {
    return this.#sessions.count()
  }
}
