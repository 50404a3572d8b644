import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url))

/**
 * Ms for a test. It is there to end what would never end, and far longer than anything takes on a slow and busy machine.
 * Randomised tests do VARVE_RUNS times their usual work (test/support/random.ts), so they get as much more time.
 */
const patience = 300_000 * Math.max(1, Number(process.env['VARVE_RUNS'] ?? 1))

/** Where to leave a machine-readable report of the run, if anywhere: .ci/run counts from it. */
const report = process.env['VARVE_REPORT']

/** Tests that weigh the process, or change it: memory, descriptors, processor time, its events, clocks and timers, what all objects inherit. */
const NEEDS_A_PROCESS =
  /\bvi\.|clockThatSteps|process\.(?:memoryUsage|cpuUsage|on\()|collectGarbage|globalThis\.gc|leastCost|\/proc\/self|getActiveResources|(?:Object|Array)\.prototype,/

/** Files of tests that need a process of their own; the others share a few, which is much quicker. */
const alone = readdirSync(join(import.meta.dirname, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => `test/${name.replaceAll('\\', '/')}`)
  .filter((name) => NEEDS_A_PROCESS.test(readFileSync(join(import.meta.dirname, name), 'utf8')))

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^varve$/, replacement: source('index.ts') },
      { find: /^varve\/testing$/, replacement: source('testing.ts') },
      { find: /^varve\/(skiplist|maplet)$/, replacement: source('$1/index.ts') },
    ],
  },
  oxc: { target: 'node20' },
  test: {
    setupFiles: ['test/support/replay.ts'],
    environment: 'node',
    // Processes rather than threads: tests that weigh the heap need one of their own, and only a process takes --expose-gc.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    // The default leaves one processor to the main process, which has next to nothing to do.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: patience,
    hookTimeout: patience,
    projects: [
      { extends: true, test: { name: 'alone', include: alone } },
      {
        extends: true,
        test: {
          name: 'together',
          include: ['test/**/*.test.ts'],
          exclude: alone,
          isolate: false,
          typecheck: {
            enabled: true,
            include: ['test/**/*.test-d.ts'],
            tsconfig: 'tsconfig.test-d.json',
            checker: 'tsc',
            ignoreSourceErrors: true,
          },
        },
      },
    ],
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
})

export default config
