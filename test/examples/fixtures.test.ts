/** The suites of the fixtures example: that of vitest runs here, that of node:test in a process of its own. */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'

import { root } from '../support/markdown.ts'

await import('../../examples/fixtures/seats.vitest.ts')

/** Inside the package, so that `varve` resolves as it does for the example. */
const directory = join(root, '.examples', `test-${process.pid}`)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

it('the suite for node:test passes against the built package', () => {
  if (!existsSync(join(root, 'dist/testing.js'))) throw new Error('dist/testing.js is missing: npm run build')
  const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.examples.json', '--outDir', directory]
  const compiled = spawnSync(process.execPath, tsc, { cwd: root, encoding: 'utf8' })
  expect(compiled.stdout).toBe('')
  const suite = ['--test', join(directory, 'fixtures/seats.node.js')]
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, suite, { cwd: root, encoding: 'utf8', env })
  expect({ status, stderr, stdout }).toEqual({ status: 0, stderr: '', stdout: expect.stringMatching(/pass 3/) })
})
