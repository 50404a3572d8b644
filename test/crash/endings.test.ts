/** The ways in which a process ends without having closed its database, or while it closes it. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Random, runs } from '../support/random.ts'
import { entry, inspect, Place, prepare, tidy, write } from './processes.ts'

/** Does something once a process has noted so many lines. */
function onceNoted(lines: () => readonly string[], count: number, act: () => void): void {
  const watching = setInterval(() => {
    if (lines().length < count) return
    clearInterval(watching)
    act()
  }, 1)
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

beforeAll(prepare)
afterAll(tidy)

describe.each(['full', 'relaxed'] as const)("in '%s', a process", (durability) => {
  it('that calls process.exit() right after a commit keeps what it acknowledged', async () => {
    using place = new Place()
    const ended = await write(place, { durability, clients: 8, end: 'exit' })
    expect(ended.code, `it said: ${ended.stderr}`).toBe(0)
    expect(await inspect(place)).toBeGreaterThanOrEqual(200)
  })

  it('that dies of an uncaught exception amid commits keeps what it acknowledged', async () => {
    using place = new Place()
    const ended = await write(place, { durability, clients: 8, end: 'throw' })
    expect(ended.code).not.toBe(0)
    expect(ended.stderr).toContain('on purpose')
    expect(await inspect(place)).toBeGreaterThanOrEqual(200)
  })

  it('that gets SIGTERM keeps what it acknowledged', async () => {
    using place = new Place()
    const ended = await write(place, { durability, clients: 8, end: 'never' }, (kill, lines) => {
      onceNoted(lines, 50, () => kill('SIGTERM'))
    })
    expect(ended.signal, `it said: ${ended.stderr}`).toBe('SIGTERM')
    expect(await inspect(place)).toBeGreaterThan(0)
  })

  it('that never closes ends by itself once it has nothing to do, and keeps everything', async () => {
    using place = new Place()
    const ended = await write(place, { durability, clients: 8, end: 'drain' })
    expect(ended.code, `it said: ${ended.stderr}`).toBe(0)
    expect(await inspect(place)).toBeGreaterThanOrEqual(200)
  })

  it('that closes amid commits ends by itself', async () => {
    using place = new Place()
    const ended = await write(place, { durability, clients: 8, end: 'close' })
    expect(ended.code, `it said: ${ended.stderr}`).toBe(0)
    expect(place.lines()).toContain('closed')
    expect(await inspect(place)).toBeGreaterThanOrEqual(200)
  })

  it('that is killed in close() keeps what it acknowledged', async () => {
    using place = new Place()
    const random = new Random(`kill in close ${durability}`)
    for (let round = runs(3); round > 0; round--) {
      const after = random.int(15)
      const before = place.lines().length
      await write(place, { durability, clients: 8, end: 'close' }, (kill, lines) => {
        onceNoted(lines, before + 190, () => void pause(after).then(() => kill('SIGKILL')))
      })
      await inspect(place)
    }
  })
})

describe('a process in which a database waits for what is far off: expiry, garbage, ages, changes', () => {
  it.each(['in memory', 'on disk'])('ends by itself all the same, %s', (where) => {
    using place = new Place()
    const child = fileURLToPath(new URL('children/idle.mjs', import.meta.url))
    const given = where === 'on disk' ? [place.directory] : []
    const { status, signal, stderr } = spawnSync(process.execPath, [child, entry(), ...given], { timeout: 240_000 })
    expect({ status, signal, stderr: stderr.toString() }).toEqual({ status: 0, signal: null, stderr: '' })
  })
})
