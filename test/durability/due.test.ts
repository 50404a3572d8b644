/** When a checkpoint is due (K1, K3 of checkpointer.ts). */
import { describe, expect, it, vi } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { type Background, inlineBackground } from '../../src/runs/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Ledger, PATH, optionsFor } from './sessions.ts'

const CHECKPOINT_BYTES = 64 * 1024

/** A database whose checkpoints begin when they are due and go on when they are told to. */
class Held {
  readonly ledger: Ledger = new Ledger()
  /** Log that each checkpoint took. */
  readonly taken: number[] = []
  /** What the checkpoints end with, in their order, once it is there. */
  readonly ends: ('well' | 'badly')[] = []
  directory!: Directory

  static async open(): Promise<Held> {
    const held = new Held()
    const storage = new SimulatedStorage({ seed: 3 })
    const inline = inlineBackground(storage, PATH)
    const background: Background = {
      checkpoint: async (job) => {
        held.taken.push(job.segments.reduce((sum, { bytes }) => sum + bytes, 0))
        const index = held.taken.length - 1
        await vi.waitUntil(() => held.ends[index] !== undefined, { timeout: 10_000, interval: 1 })
        if (held.ends[index] === 'badly') throw new Error('told to fail')
        return inline.checkpoint(job)
      },
      merge: (job) => inline.merge(job),
      cancel: (kind) => inline.cancel(kind),
      close: () => inline.close(),
    }
    held.directory = await Directory.open(optionsFor(storage, { background, checkpointBytes: CHECKPOINT_BYTES }))
    return held
  }

  /** Writes until so much log is sealed. */
  async seal(bytes: number): Promise<void> {
    for (let i = 0; this.sealedBytes < bytes; i++) {
      await this.ledger.commit(this.directory, [{ key: `key ${i}`, value: 'v'.repeat(700) }])
    }
  }

  async until(condition: () => boolean): Promise<void> {
    await vi.waitUntil(condition, { timeout: 10_000, interval: 1 })
  }

  get sealedBytes(): number {
    return this.directory.log?.sealedBytes ?? 0
  }

  get done(): number {
    return this.directory.stats().checkpoints.done
  }
}

describe('a checkpoint under way', () => {
  it('makes no other due by what it takes itself, only by what is sealed meanwhile', async () => {
    const held = await Held.open()
    await held.seal(CHECKPOINT_BYTES)
    await held.until(() => held.taken.length === 1)
    await held.seal(1.6 * CHECKPOINT_BYTES)
    held.ends.push('well')
    await held.until(() => held.done === 1 && held.sealedBytes < CHECKPOINT_BYTES)
    await held.directory.flush()
    expect(held.taken).toHaveLength(1)

    await held.seal(CHECKPOINT_BYTES)
    await held.until(() => held.taken.length === 2)
    await held.seal(2.3 * CHECKPOINT_BYTES)
    held.ends.push('well')
    await held.until(() => held.taken.length === 3)
    held.ends.push('well', 'well', 'well')
    await held.until(() => held.done === 3)
    for (const bytes of held.taken) expect(bytes).toBeGreaterThanOrEqual(CHECKPOINT_BYTES)
    await held.directory.close()
  })

  it('that fails leaves it to the next attempt, also if somebody had asked for it', { timeout: 20_000 }, async () => {
    const held = await Held.open()
    await held.seal(0.8 * CHECKPOINT_BYTES)
    const asked = held.directory.checkpoint()
    asked.catch(() => undefined)
    await held.until(() => held.taken.length === 1)
    await held.seal(1.3 * CHECKPOINT_BYTES)
    expect(held.taken).toHaveLength(1)
    held.ends.push('badly')
    await expect(asked).rejects.toMatchObject({ code: 'IO' })
    held.ends.push('well', 'well')
    await held.until(() => held.done === 1)
    expect(held.taken[1]).toBeGreaterThanOrEqual(1.3 * CHECKPOINT_BYTES)
    await held.directory.close()
  })
})
