/** Real processes under limits of their own: size of files, number of descriptors, closed standard streams. */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { inspect, Place, prepare, tidy, write } from './processes.ts'

const hasLimits = spawnSync('sh', ['-c', 'ulimit -n 64 && ulimit -f 2048']).status === 0

beforeAll(prepare)
afterAll(tidy)

/** Runs the writer under a shell that sets something up first. */
async function limited(set: string, more: number): Promise<void> {
  using place = new Place()
  await write(place, { durability: 'full', clients: 4, end: 'exit' })
  let least = 200
  for (const durability of ['full', 'relaxed'] as const) {
    least += more
    await write(place, { durability, clients: 4, end: 'exit' }, undefined, ['sh', '-c', `${set}; exec "$@"`, 'sh'])
    expect(await inspect(place)).toBeGreaterThanOrEqual(least)
  }
}

describe(hasLimits ? 'under limits' : 'limits cannot be set here', () => {
  for (const blocks of hasLimits ? [100, 520, 1100] : []) {
    it(`files of at most ${blocks} blocks lose nothing that was acknowledged`, () => limited(`ulimit -f ${blocks}`, 0))
  }
  for (const descriptors of hasLimits ? [20, 24, 28] : []) {
    it(`${descriptors} descriptors lose nothing that was acknowledged`, () => limited(`ulimit -n ${descriptors}`, 0))
  }
  it('closed standard streams: what is printed does not land in a file of the database', () =>
    limited('exec 0<&- 1>&- 2>&-', 200))
})
