/** `varve/testing`: what tests of an application need. Fixtures on forks, a clock moved by hand, chance from a seed, a disk that fails. */
import { type Database, openWith } from './database.ts'
import { VarveError } from './errors.ts'
import type { Key } from './keys/index.ts'
import type { DatabaseOptions } from './options.ts'
import { SimulatedStorage } from './storage/simulated.ts'
import { SeededRandom } from './storage/simulation/random.ts'

/** A clock for the option `clock` that stands still until it is moved. */
export interface TestClock {
  /** The time, ms since the epoch. */
  (): number
  /**
   * Moves it on; returns the time then.
   * @throws VarveError `INVALID_ARGUMENT` for less than 0 ms: the time of a database does not go back.
   */
  advance(ms: number): number
}

/** 2000-01-01, so that tests read well. */
const FIRST_MS = 946_684_800_000

/**
 * A clock that stands still until it is moved: `Database.open({ clock })`, then `clock.advance(60_000)` for what expires.
 * @param startMs its first time, ms since the epoch. Default: 2000-01-01.
 */
export function testClock(startMs: number = FIRST_MS): TestClock {
  let now = startMs
  const read = (): number => now
  const advance = (ms: number): number => {
    if (!(ms >= 0)) throw new VarveError('INVALID_ARGUMENT', 'a clock is advanced by 0 ms or more')
    return (now += ms)
  }
  return Object.assign(read, { advance })
}

/** Chance that is the same in each run: numbers from 0 to below 1, as `Math.random` gives them. */
export function seededRandom(seed: number): () => number {
  const random = new SeededRandom(seed >>> 0, 0)
  return () => random.uint32() / 2 ** 32
}

/** The hooks of a test runner: those of vitest and jest, and those of `node:test`. */
export interface TestHooks {
  /** Runs before each test. */
  readonly beforeEach: (run: () => Promise<void>) => unknown
  /** Runs after each test. */
  readonly afterEach: (run: () => Promise<void>) => unknown
  /** Runs after all tests: `afterAll` in vitest and jest, `after` in `node:test`. */
  readonly after: (run: () => Promise<void>) => unknown
}

/** A database that is made once and forked for each test. */
export interface ForkFixture<D> {
  /** A fork of it, to be closed by you or by {@link ForkFixture.close}. The first call makes the database. */
  fork(): Promise<D>
  /** Runs `test` with a fork, and closes that whatever comes of it. */
  use<T>(test: (db: D) => T | PromiseLike<T>): Promise<T>
  /**
   * Gives each test a fork of its own by the hooks of a runner; the function returned gives that of the test that runs. With
   * vitest: `const db = fixture.perTest({ beforeEach, afterEach, after: afterAll })`.
   */
  perTest(hooks: TestHooks): () => D
  /** Closes the forks that are open, the last one first, and the database. */
  close(): Promise<void>
  /** Closes at the end of a scope: `await using fixture = …`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What a fixture can be made of: a {@link Database}. */
interface Forkable {
  fork(): Forkable
  close(): Promise<void>
}

/**
 * A fixture for tests: `make` fills a database once, and each test gets a fork of it, in microseconds whatever is in it. What a
 * test writes no other sees, so they may run in any order, or at once.
 *
 * ```ts
 * const fixture = forkFixture(async () => {
 *   const db = await Database.open<string, number>()
 *   await db.handle().set('alice', 100)
 *   return db
 * })
 * test('a transfer', () => fixture.use(async (db) => { … }))
 * ```
 *
 * @param make may open a database on disk as well. If it rejects, so does whoever asked, and the next one tries again.
 */
export function forkFixture<K, V>(make: () => Promise<Database<K, V>>): ForkFixture<Database<K, V>> {
  return new Fixture<Database<K, V>>(make)
}

class Fixture<D extends Forkable> implements ForkFixture<D> {
  readonly #make: () => Promise<D>
  #base: Promise<D> | null = null
  readonly #open: Set<D> = new Set()

  constructor(make: () => Promise<D>) {
    this.#make = make
  }

  async fork(): Promise<D> {
    this.#base ??= this.#make()
    let base: D
    try {
      base = await this.#base
    } catch (error) {
      this.#base = null
      throw error
    }
    const fork = base.fork() as D
    this.#open.add(fork)
    return fork
  }

  async use<T>(test: (db: D) => T | PromiseLike<T>): Promise<T> {
    const fork = await this.fork()
    try {
      return await test(fork)
    } finally {
      await this.#end(fork)
    }
  }

  perTest({ beforeEach, afterEach, after }: TestHooks): () => D {
    let current: D | null = null
    beforeEach(async () => {
      current = await this.fork()
    })
    afterEach(async () => {
      const fork = current
      current = null
      if (fork !== null) await this.#end(fork)
    })
    after(() => this.close())
    return () => {
      if (current !== null) return current
      throw new VarveError('INVALID_ARGUMENT', 'no test is running: ask for its fork inside a test')
    }
  }

  async #end(fork: D): Promise<void> {
    this.#open.delete(fork)
    await fork.close()
  }

  async close(): Promise<void> {
    const base = this.#base
    this.#base = null
    for (const fork of [...this.#open].reverse()) await this.#end(fork)
    const made = await base?.catch(() => undefined)
    await made?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Settings of a {@link TestDisk}. */
export interface TestDiskOptions {
  /** What all chance comes from: which unsynced writes a power failure takes, how long calls take. Default 0. */
  seed?: number | undefined
  /** Room on the disk in bytes; what goes beyond meets `ENOSPC`. Default: without end. */
  capacityBytes?: number | undefined
}

/** A computer with a disk, both only simulated, on which databases are opened, crash and are opened again. */
export interface TestDisk {
  /**
   * Opens a database there, as `Database.open` does; background work runs on this thread. Paths are the simulated disk's.
   * @throws VarveError as `Database.open`.
   */
  open<K = Key, V = unknown>(options: DatabaseOptions<K, V> & { path: string }): Promise<Database<K, V>>
  /**
   * Power fails. What was not synced is lost, kept or torn, as the seed will have it. Databases that were open are gone: their
   * promises never settle, and they need not be closed. Open them again to see what is left.
   */
  crash(): void
  /** The process is killed; what it has written to the operating system is there. Otherwise as {@link TestDisk.crash}. */
  kill(): void
  /** Names of the files on it. */
  files(): string[]
}

/**
 * A simulated disk, to see what becomes of an application's data when the power fails. Everything on it happens in memory, and
 * the same seed and the same calls give the same outcome.
 */
export function testDisk(options: TestDiskOptions = {}): TestDisk {
  const { seed = 0, capacityBytes = Infinity } = options
  let storage = new SimulatedStorage({ seed, capacityBytes })
  return {
    open: (given) => openWith(given, { storage, background: 'inline' }),
    crash: () => {
      storage = storage.crash()
    },
    kill: () => {
      storage = storage.kill()
    },
    files: () => storage.files(),
  }
}
