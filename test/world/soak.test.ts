/**
 * A database in a real directory at which everything goes on at once for a while: seconds in `npm test`, minutes in
 * `npm run test:long`. The process is one of its own (children/soak.mjs), so that its memory and descriptors are the database's.
 */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Directory } from '../persistence/directory.ts'
import { compile, type Compiled } from '../support/compile.ts'
import { multiplier, seed } from '../support/random.ts'

const MEGABYTE = 2 ** 20
const child = fileURLToPath(new URL('children/soak.mjs', import.meta.url))

interface Outcome {
  readonly pages: number
  readonly counts: Readonly<Record<string, number>>
  readonly fixed: number
  readonly base: { readonly live: number; readonly rss: number; readonly descriptors: number }
  readonly most: Readonly<Record<'usage' | 'used' | 'live' | 'rss' | 'descriptors' | 'files', number>>
  readonly end: { readonly descriptors: number; readonly files: number; readonly open: number }
  readonly cache: { readonly coldReads: number; readonly evicted: number }
  readonly expiry: { readonly expired: number }
  readonly work: { readonly checkpoints: number; readonly merges: number; readonly failed: number }
}

let compiled: Compiled | undefined
beforeAll(() => {
  compiled = compile('soak', ['index.ts', 'runs/varve-runs-worker.ts'])
})
afterAll(() => compiled?.dispose())

describe('a soak', () => {
  const durationMs = Math.min(600_000, multiplier > 1 ? multiplier * 9000 : 3000)

  it(
    'stays within its limit, leaks nothing, and the books balance',
    { timeout: durationMs * 4 + 120_000 },
    async () => {
      const limit = multiplier >= 10 ? 64 * MEGABYTE : 4 * MEGABYTE
      using place = new Directory()
      const settings = [child, compiled!.path('index.ts'), place.path, `${limit}`, `${durationMs}`, `${seed}`]
      const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', ...settings])
      const outcome = JSON.parse(stdout) as Outcome
      console.log(stdout)
      const { base, most, end, cache, expiry, work, fixed } = outcome
      expect(most.used).toBeLessThanOrEqual(limit)
      // Room in the arena between values is given back from 1 MiB on; indexes of the files on disk are not part of the limit.
      expect(most.usage - fixed).toBeLessThan(limit * 1.15 + 4 * MEGABYTE)
      // Beside the entries: buffers of the log, blocks in flight, up to 16 MiB for those who watch, what transactions hold.
      expect(most.live - base.live).toBeLessThan(limit * 1.15 + 48 * MEGABYTE)
      // And the isolate in which checkpoints are made, room that V8 keeps for its next objects, freed memory that malloc keeps.
      expect(most.rss - base.rss).toBeLessThan(limit * 2 + 256 * MEGABYTE)
      expect(end.descriptors).toBeLessThanOrEqual(base.descriptors)
      // Files that merges have replaced stay open for whoever reads at an older version; with this limit there are several a second.
      expect(most.descriptors).toBeLessThan(base.descriptors + 200)
      expect(end.files).toBeLessThan(20)
      expect(end.open).toBe(0)
      expect(work.failed).toBe(0)
      expect(work.checkpoints).toBeGreaterThan(0)
      if (multiplier <= 1) return
      expect(Math.min(cache.coldReads, cache.evicted, expiry.expired)).toBeGreaterThan(0)
    },
  )
})
