/** Starts the writing process of these tests, stops it somehow, and checks what it left against what it had acknowledged. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import { codecs, Database, merges, table } from '../../src/index.ts'
import { compile, type Compiled } from '../support/compile.ts'

let compiled: Compiled | undefined

/** Makes the library as it is now into what processes can run. Before all tests; {@link tidy} after. */
export function prepare(): void {
  compiled = compile('crash', ['index.ts'])
}

export function tidy(): void {
  compiled?.dispose()
}

/** The entry point of the library for processes. */
export function entry(): string {
  return compiled!.path('index.ts')
}

/** Far longer than a writer takes, on a busy machine too. */
const LIMIT_MS = 240_000

/** How the writing process ends if nobody ends it. */
export type End = 'never' | 'close' | 'exit' | 'throw' | 'drain'

const writer = fileURLToPath(new URL('children/writer.mjs', import.meta.url))
const accounts = table<string, number>('accounts', { value: codecs.float64() })
const journal = table<readonly [string, number]>('journal')
const progress = table<string, number>('progress', { value: codecs.float64() })
const total = table<string, number>('total', { value: codecs.float64(), merge: merges.sum })

/** A directory of its own for one test, and the names in it. */
export class Place {
  readonly root: string = mkdtempSync(join(tmpdir(), 'varve-crash-'))
  readonly directory: string = join(this.root, 'ledger')
  readonly acks: string = join(this.root, 'acks');

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true })
  }

  /** Lines of the side log that are whole. */
  lines(): string[] {
    return existsSync(this.acks) ? readFileSync(this.acks, 'utf8').split('\n').slice(0, -1) : []
  }
}

/** How a process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
}

/**
 * Runs the writer; `stop` is called once it has opened its database, with a way to signal it.
 *
 * @param wrap a command that runs the process, such as strace with its arguments
 */
export function write(
  place: Place,
  settings: { durability: 'full' | 'relaxed'; clients: number; end: End; segmentBytes?: number },
  stop?: (kill: (signal: NodeJS.Signals) => void, lines: () => string[]) => unknown,
  wrap: readonly string[] = [],
): Promise<Ended> {
  const { durability, clients, end, segmentBytes = 256 * 1024 } = settings
  const before = place.lines().filter((line) => line === 'open').length
  const command = [
    process.execPath,
    writer,
    entry(),
    place.directory,
    place.acks,
    durability,
    `${clients}`,
    end,
    `${segmentBytes}`,
  ]
  const [program, ...rest] = [...wrap, ...command] as [string, ...string[]]
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const limit = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the writer did not end within ${LIMIT_MS} ms\n${stderr}`))
    }, LIMIT_MS)
    const opening = setInterval(() => {
      if (place.lines().filter((line) => line === 'open').length <= before) return
      clearInterval(opening)
      stop?.(
        (signal) => child.kill(signal),
        () => place.lines(),
      )
    }, 2)
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      clearTimeout(limit)
      clearInterval(opening)
      resolve({ code, signal, stderr })
    })
  })
}

/** Opens what the writers left: everything acknowledged is there, and nothing is half there. Returns how many transfers. */
export async function inspect(place: Place, readOnly = false): Promise<number> {
  const acknowledged = new Map<string, number>()
  for (const line of place.lines()) {
    const [client, number] = line.split(' ')
    if (number !== undefined && /^\d+$/.test(client!)) acknowledged.set(`client ${client}`, Number(number))
  }
  const db = await Database.open({ path: place.directory, readOnly })
  try {
    let transfers = 0
    const balances = [...db.handle(accounts).values()]
    expect(balances.reduce((sum, balance) => sum + balance, 0)).toBe(balances.length * 1000)
    const clients = new Map(db.handle(progress).entries())
    for (const [client, number] of acknowledged) {
      expect(clients.get(client) ?? 0, `${client} has its acknowledged transfers`).toBeGreaterThanOrEqual(number)
    }
    for (const [client, number] of clients) {
      const noted = [...db.handle(journal).keys({ prefix: [client] as unknown as readonly [string, number] })].map(
        ([, at]) => at,
      )
      const expected = Array.from({ length: Math.min(number, 100) }, (_, i) => number - Math.min(number, 100) + 1 + i)
      expect(noted, `the journal of ${client}`).toEqual(expected)
      transfers += number
    }
    expect(db.handle(total).get('transfers') ?? 0).toBe(transfers)
    const report = await db.check()
    expect(report.problems).toEqual([])
    return transfers
  } finally {
    await db.close()
  }
}
