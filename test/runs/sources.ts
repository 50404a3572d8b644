/** Runs for tests that need no files: what a run answers, out of memory, and whether it was closed. */
import type { HashSeed } from '../../src/runs/hash.ts'
import { MemoryRun } from '../../src/runs/memory-run.ts'
import type { OpenRun } from '../../src/runs/source.ts'

export const seedOfTests: HashSeed = { key0: 0x0123_4567, key1: 0x89ab_cdef }

export class FakeRun extends MemoryRun implements OpenRun {
  readonly summary: { readonly number: number }
  closed = 0

  constructor(number: number, hashSeed: HashSeed = seedOfTests) {
    super(hashSeed)
    this.summary = { number }
  }

  close(): Promise<void> {
    this.closed++
    return Promise.resolve()
  }
}
