/**
 * Real processes that are killed at random while they write, with a side log of what they had acknowledged. A killed process
 * loses nothing that was acknowledged, in `relaxed` either, and leaves no transaction half done.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../support/patience.ts'
import { Random, runs } from '../support/random.ts'
import { inspect, Place, prepare, tidy, write } from './processes.ts'

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

describe('a killed process', () => {
  beforeAll(prepare)
  afterAll(tidy)

  for (const durability of ['full', 'relaxed'] as const) {
    it(`loses no acknowledged transfer in '${durability}', round after round on one directory`, async () => {
      using place = new Place()
      const random = new Random(`kill ${durability}`)
      let transfers = 0
      for (let round = runs(5); round > 0; round--) {
        const after = random.between(0, random.pick([20, 100, 400]))
        const clients = random.pick([1, 4, 32])
        const segmentBytes = random.pick([64, 256, 16_384]) * 1024
        const ended = await write(place, { durability, clients, end: 'never', segmentBytes }, async (kill, lines) => {
          // A slow machine may not get as far in that time; once it must.
          if (transfers === 0) await until(() => lines().at(-1) !== 'open')
          await pause(after)
          kill('SIGKILL')
        })
        expect(ended.signal, `it said: ${ended.stderr}`).toBe('SIGKILL')
        const found = await inspect(place)
        expect(found).toBeGreaterThanOrEqual(transfers)
        transfers = found
      }
      expect(transfers).toBeGreaterThan(0)
    })

    it(`may be killed while it opens, in '${durability}'`, async () => {
      using place = new Place()
      const random = new Random(`kill opening ${durability}`)
      await write(
        place,
        { durability, clients: 8, end: 'never' },
        (kill) => void pause(100).then(() => kill('SIGKILL')),
      )
      const transfers = await inspect(place)
      for (let round = runs(3); round > 0; round--) {
        const wrap = ['timeout', '-s', 'KILL', (random.between(30, 250) / 1000).toFixed(3)]
        await write(place, { durability, clients: 1, end: 'exit' }, undefined, wrap)
      }
      expect(await inspect(place)).toBeGreaterThanOrEqual(transfers)
    })
  }
})
