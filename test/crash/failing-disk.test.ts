/**
 * Real processes whose system calls fail, by strace where it can trace, and on a small disk where one can be mounted. Where
 * neither is possible the same is shown by test/simulation/faults.sim.test.ts alone; the names of the tests say which.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { setTimeout as pause } from 'node:timers/promises'
import { until } from '../support/patience.ts'
import { inspect, Place, prepare, tidy, write } from './processes.ts'

const canTrace = spawnSync('sh', ['-c', 'strace -f -e inject=fdatasync:error=EIO true']).status === 0

/** Mounts a small file system; undefined where that is not allowed. */
function smallDisk(at: string, bytes: number): (() => void) | undefined {
  mkdirSync(at, { recursive: true })
  if (spawnSync('sh', ['-c', 'mount -t tmpfs -o size="$0" tmpfs "$1"', `${bytes}`, at]).status !== 0) return undefined
  return () => execFileSync('sh', ['-c', 'umount -l "$0"', at])
}

const canMount = ((): boolean => {
  using place = new Place()
  const unmount = smallDisk(join(place.root, 'probe'), 1 << 20)
  unmount?.()
  return unmount !== undefined
})()

beforeAll(prepare)
afterAll(tidy)

describe(canTrace ? 'with system calls that fail' : 'system calls cannot be made to fail here: no strace', () => {
  /** Runs a writer of which the n-th call of each of these system calls on files of its directory fails. */
  async function failing(durability: 'full' | 'relaxed', injections: readonly string[]): Promise<void> {
    using place = new Place()
    await write(place, { durability, clients: 4, end: 'exit' })
    const wrap = ['sh', '-c', 'exec strace "$@"', 'sh', '-f', '-qq', '-o', '/dev/null']
    for (const injection of injections) wrap.push('-e', `inject=${injection}`)
    const ended = await write(place, { durability, clients: 4, end: 'exit' }, undefined, wrap)
    expect(ended.signal, `it said: ${ended.stderr}`).toBe(null)
    expect(await inspect(place)).toBeGreaterThanOrEqual(200)
  }

  for (const when of canTrace ? [1, 2, 30] : []) {
    it(`EIO of write ${when} and all after it: nothing acknowledged is lost, in 'full'`, () =>
      failing('full', [`pwrite64,pwritev,pwritev2:error=EIO:when=${when}+`]))
    it(`EIO of sync ${when}, which succeeds when it is asked again, in 'relaxed'`, () =>
      failing('relaxed', [`fdatasync,fsync:error=EIO:when=${when}`]))
  }

  it(canTrace ? 'one interrupted call changes nothing' : 'nothing to show', async () => {
    if (canTrace) await failing('full', ['pwrite64,pwritev:error=EINTR:when=3'])
  })
})

describe(canMount ? 'on a disk that is full' : 'no small disk can be mounted here', () => {
  it(
    canMount ? 'nothing acknowledged is lost, and the rest goes on once there is room' : 'nothing to show',
    async () => {
      if (!canMount) return
      using place = new Place()
      // Room for all that four rounds can log: a disk that is full of its own log cannot be opened for writing.
      const unmount = smallDisk(place.directory, 64 << 20)!
      try {
        let transfers = 0
        for (let round = 0; round < 4; round++) {
          const free = statfsSync(place.directory).bavail * 4096
          const filler = join(place.directory, 'filler')
          if (round > 0) writeFileSync(filler, Buffer.alloc(Math.max(0, free - round * 150_000)))
          const ended = await write(place, { durability: 'full', clients: 8, end: 'never' }, async (kill, lines) => {
            // A slow machine may not get as far in that time; once, on an empty disk, it must.
            if (round === 0) await until(() => lines().at(-1) !== 'open')
            await pause(500)
            kill('SIGKILL')
          })
          expect(ended.stderr).not.toContain('RangeError')
          rmSync(filler, { force: true })
          const found = await inspect(place)
          expect(found).toBeGreaterThanOrEqual(transfers)
          transfers = found
        }
        expect(transfers).toBeGreaterThan(0)
      } finally {
        unmount()
      }
    },
  )
})
