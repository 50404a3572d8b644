/** The lock of a directory between processes and threads, which die in every way. */
import { fork, type ChildProcess } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { loadFlock } from '../../src/storage/flock.ts'
import { identifySelf } from '../../src/storage/lock-holder.ts'
import { acquireLock, probeLock } from '../../src/storage/lock.ts'
import { compile, type Compiled } from '../support/compile.ts'
import { root } from '../support/markdown.ts'
import { runs } from '../support/random.ts'

interface Answer {
  readonly id: number
  readonly code?: string
  readonly message?: string
  readonly [more: string]: unknown
}

/** Another process or thread, which does one thing at a time. */
class Contender {
  readonly #process: ChildProcess | undefined
  readonly #worker: Worker | undefined
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  readonly ended: Promise<unknown>
  readonly ready: Promise<Answer>
  #lastId = 0

  constructor(kind: 'process' | 'thread') {
    const program = join(root, 'test/storage/lock-contender.mjs')
    const directory = dirname(compiled.path('storage/lock.ts'))
    // Vitest's own process options are not for it.
    if (kind === 'process') this.#process = fork(program, [directory], { execArgv: [] })
    else this.#worker = new Worker(program, { workerData: directory, execArgv: [] })
    this.ready = this.#answerTo(0)
    const source = this.#process ?? this.#worker!
    source.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.(answer))
    this.ended = new Promise((resolve) => source.on('exit', resolve))
    contenders.push(this)
  }

  get pid(): number {
    return this.#process?.pid ?? process.pid
  }

  ask(task: string, details: object): Promise<Answer> {
    const message = { id: ++this.#lastId, do: task, ...details }
    const answer = this.#answerTo(message.id)
    if (this.#process === undefined) this.#worker!.postMessage(message, [])
    else this.#process.send(message)
    return answer
  }

  async kill(): Promise<void> {
    if (this.#process === undefined) await this.#worker!.terminate()
    else this.#process.kill('SIGKILL')
    await this.ended
  }

  #answerTo(id: number): Promise<Answer> {
    return new Promise((resolve) => this.#waiting.set(id, resolve))
  }
}

const contenders: Contender[] = []
let compiled: Compiled
let directory: string

async function contender(kind: 'process' | 'thread'): Promise<Contender> {
  const made = new Contender(kind)
  await made.ready
  return made
}

beforeAll(() => {
  compiled = compile('lock', ['storage/lock.ts'])
})
afterAll(() => compiled.dispose())
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'varve-lock-'))
})
afterEach(async () => {
  await Promise.all(contenders.splice(0).map((each) => each.kill()))
  fs.rmSync(directory, { recursive: true, force: true })
})

const mixtures = [
  { holder: true, other: true },
  { holder: true, other: false },
  { holder: false, other: true },
  { holder: false, other: false },
]

describe.each(mixtures)('a holder with flock: $holder, a contender: $other', ({ holder, other }) => {
  const here = other ? {} : { flock: null }

  it.each(['process', 'thread'] as const)('in another %s keeps everybody out until it is gone', async (kind) => {
    const first = await contender(kind)
    // Threads never load fs-ext: two that do bring the process down.
    expect((await first.ready)['flock']).toBe(kind === 'process' && (await loadFlock()) !== null)
    expect(await first.ask('acquire', { directory, useFlock: holder })).toEqual({ id: 1 })
    for (const attempt of [acquireLock, probeLock]) {
      const error = (await attempt(directory, here).then(
        () => undefined,
        (error: unknown) => error,
      )) as { code: string; message: string } | undefined
      expect(error?.code).toBe('LOCKED')
      expect(error!.message).toContain(`process ${first.pid}`)
    }
    await first.kill()
    expect(fs.readdirSync(directory)).toEqual(['lock'])
    await probeLock(directory, here)
    const lock = await acquireLock(directory, here)
    const second = await contender('process')
    const refused = await second.ask('acquire', { directory, useFlock: holder })
    expect(refused.code).toBe('LOCKED')
    expect(refused.message).toContain(`process ${process.pid} on host`)
    await lock.release()
    expect((await second.ask('acquire', { directory, useFlock: holder })).code).toBeUndefined()
    void second.ask('exit', {})
    await second.ended
    await (await acquireLock(directory, here)).release()
  })
})

describe('twenty processes', () => {
  it('race for the lock of a dead one, all, none or half of them with flock: exactly one gets it (L3)', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => contender('process')))
    const lockPath = join(directory, 'lock')
    const stale = {
      ...{ version: 1, ...identifySelf(), started: '1', time: '2026-01-01', nonce: '' },
      flock: false,
    }
    for (let round = 0; round < runs(15); round++) {
      const useFlock = [() => true, () => false, (n: number) => n % 2 === 0][round % 3]!
      const nonce = round.toString(16).padStart(16, '0')
      fs.writeFileSync(lockPath, JSON.stringify({ ...stale, nonce, flock: round % 4 < 2 }))
      const atMs = Date.now() + 10
      const answers = await Promise.all(
        all.map((each, n) => each.ask('acquire', { directory, useFlock: useFlock(n), atMs })),
      )
      const winners = all.filter((_, n) => answers[n]!.code === undefined)
      expect(winners).toHaveLength(1)
      for (const answer of answers.filter(({ code }) => code !== undefined)) {
        expect(answer.code).toBe('LOCKED')
        expect(answer.message).toContain(`locked by process ${winners[0]!.pid} on host`)
      }
      expect(fs.readdirSync(directory)).toEqual(['lock'])
      await winners[0]!.ask('release', { directory })
      expect(fs.readdirSync(directory)).toEqual([])
    }
  })
})

describe('contenders who stall and die at every step', () => {
  it('never hold the lock together (L1, L2), and always somebody gets it (L3)', async () => {
    const all = await Promise.all(Array.from({ length: 6 }, () => contender('process')))
    for (const useFlock of [() => false, () => true, (n: number) => n % 2 === 0]) {
      const place = fs.mkdtempSync(join(directory, 'database-'))
      const arena = fs.mkdtempSync(join(directory, 'arena-'))
      const untilMs = Date.now() + runs(800)
      const details = { directory: place, arena, untilMs, maxStallMs: 3, deaths: 0.08 }
      const tallies = await Promise.all(all.map((each, n) => each.ask('strive', { ...details, useFlock: useFlock(n) })))
      const sum = (name: string): number => tallies.reduce((total, tally) => total + Number(tally[name]), 0)
      expect(tallies.flatMap((tally) => tally['unexpected'] ?? [tally.message])).toEqual([])
      expect(sum('together')).toBe(0)
      // Hundreds of locks and dozens of deaths on an idle machine, but on a busy one perhaps only what they wait for.
      expect(sum('taken')).toBeGreaterThan(sum('abandoned'))
      expect(sum('abandoned')).toBeGreaterThan(0)
    }
  })
})
