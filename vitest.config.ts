import { availableParallelism } from 'node:os'
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
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/replay.ts'],
    environment: 'node',
    // Processes rather than threads: tests that weigh the heap need one of their own, and only a process takes --expose-gc.
    pool: 'forks',
    execArgv: ['--expose-gc'],
    // The default leaves one processor to the main process, which has next to nothing to do.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: patience,
    hookTimeout: patience,
    typecheck: {
      enabled: true,
      include: ['test/**/*.test-d.ts'],
      tsconfig: 'tsconfig.json',
      checker: 'tsc',
      ignoreSourceErrors: true,
    },
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
})

export default config
