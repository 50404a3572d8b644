/**
 * A cache of responses: bounded in bytes, each response good for a time, each loaded once however many ask for it at once.
 *
 * In memory, what does not fit is forgotten: the policy `s3fifo` keeps what is asked for again and lets a crawler's one-time
 * visits pass through. What a response counts for is said by `sizeOf`, so that the limit means bytes of bodies.
 */
import { Database, type Handle } from 'varve'

export interface CachedResponse {
  readonly status: number
  readonly type: string
  readonly body: string
}

export interface ResponseCacheOptions {
  /** Bytes of responses to keep. */
  readonly maxBytes: number
  /** How long a response is good for, ms. */
  readonly ttlMs: number
}

export class ResponseCache {
  readonly #db: Database<string, CachedResponse>
  readonly #responses: Handle<string, CachedResponse>
  /** Responses being loaded, by address. */
  readonly #loading: Map<string, Promise<CachedResponse>> = new Map()

  private constructor(db: Database<string, CachedResponse>) {
    this.#db = db
    this.#responses = db.handle()
  }

  static async open({ maxBytes, ttlMs }: ResponseCacheOptions): Promise<ResponseCache> {
    const db = await Database.open<string, CachedResponse>({
      maxMemoryBytes: maxBytes,
      eviction: 's3fifo',
      ttl: { defaultMs: ttlMs },
      sizeOf: (address, { type, body }) => 2 * (address.length + type.length + body.length),
    })
    return new ResponseCache(db)
  }

  /** The response under an address: the kept one while it is good, else what `load` gives. */
  async fetch(address: string, load: (address: string) => Promise<CachedResponse>): Promise<CachedResponse> {
    const kept = this.#responses.get(address)
    if (kept !== undefined) return kept
    const underWay = this.#loading.get(address)
    if (underWay !== undefined) return underWay
    const loading = this.#load(address, load).finally(() => this.#loading.delete(address))
    this.#loading.set(address, loading)
    return loading
  }

  async #load(address: string, load: (address: string) => Promise<CachedResponse>): Promise<CachedResponse> {
    const response = await load(address)
    if (response.status === 200) await this.#keep(address, response)
    return response
  }

  /** A response that is larger than the whole cache is served all the same. */
  async #keep(address: string, response: CachedResponse): Promise<void> {
    try {
      await this.#responses.set(address, response)
    } catch (error) {
      if ((error as { code?: string }).code !== 'MEMORY_LIMIT') throw error
    }
  }

  /** Forgets every response whose address begins so. */
  async forget(prefix: string): Promise<number> {
    return this.#responses.transaction((tx) => {
      const addresses = [...tx.keys({ prefix })]
      for (const address of addresses) tx.delete(address)
      return addresses.length
    })
  }

  get entries(): number {
    return this.#responses.size
  }

  get bytes(): number {
    return this.#responses.sizeBytes
  }

  async close(): Promise<void> {
    await this.#db.close()
  }
}
