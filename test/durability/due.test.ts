/** When a checkpoint is due (K1, K3 of checkpointer.ts). */
import { describe, expect, it, vi } from 'vitest'
import { Directory } from '../../src/durability/index.ts'
import { type Background, inlineBackground } from '../../src/runs/index.ts'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import { Ledger, PATH, optionsFor } from './sessions.ts'

const CHECKPOINT_BYTES = 64 * 1024

/** Writes until something is so, each commit once the one before is on disk. */
async function writeUntil(directory: Directory, ledger: Ledger, condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) await ledger.commit(directory, [{ key: `key ${i % 5}`, value: 'v'.repeat(700) }])
}

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
        await vi.waitUntil(() => held.ends[index] !== undefined, { timeout: 120_000, interval: 1 })
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
    await vi.waitUntil(condition, { timeout: 120_000, interval: 1 })
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

  it('that fails leaves it to the next attempt, also if somebody had asked for it', async () => {
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

  it('that somebody asked for, and that ends well, starts what came due while a failure was waited out', async () => {
    const held = await Held.open()
    held.ends.push('badly')
    await held.seal(CHECKPOINT_BYTES)
    await held.until(() => held.directory.stats().checkpoints.failed === 1)
    const asked = held.directory.checkpoint()
    await held.until(() => held.taken.length === 2)
    await held.seal(2.5 * CHECKPOINT_BYTES)
    held.ends.push('well', 'well')
    await asked
    await held.until(() => held.taken.length === 3)
    held.ends.push('well', 'well')
    await held.directory.close()
  })
})

describe('while commits wait for a segment', () => {
  /** So large that what these tests seal never comes near it. */
  const FAR = 1 << 20
  const few = { segmentBytes: FAR / 2, poolSize: 1 }

  it('a checkpoint is due however little is sealed: spares of a session with smaller segments fill the pool', async () => {
    const storage = new SimulatedStorage({ seed: 5 })
    const ledger = new Ledger()
    const small = { segmentBytes: 8 * 1024, poolSize: 12 }
    const before = await Directory.open(optionsFor(storage, { wal: small, checkpointBytes: FAR, tailBytes: FAR }))
    await writeUntil(before, ledger, () => before.log!.stats().spareSegments === small.poolSize)
    await before.close()

    const directory = await Directory.open(optionsFor(storage, { wal: few, checkpointBytes: FAR, tailBytes: FAR }))
    await writeUntil(directory, ledger, () => directory.stats().checkpoints.done > 0)
    expect(directory.log?.stats().bytesWritten).toBeLessThan(FAR / 4)
    await directory.close()
    const again = await Directory.open(optionsFor(storage))
    ledger.expectFound(again)
    await again.close()
  })

  it('a checkpoint is due on a full disk too, which may have room for a run and none for a segment', async () => {
    const storage = new SimulatedStorage({ seed: 6 })
    const ledger = new Ledger()
    const wal = { segmentBytes: 64 * 1024, poolSize: 1 }
    const directory = await Directory.open(optionsFor(storage, { wal, checkpointBytes: FAR, tailBytes: FAR }))
    await writeUntil(directory, ledger, () => directory.log!.sealedSegments.length === 3)
    storage.capacityBytes = storage.usedBytes + 2 * wal.segmentBytes - 8 * 1024
    const written = directory.log!.stats().bytesWritten
    await writeUntil(directory, ledger, () => directory.log!.stats().bytesWritten > written + 4 * wal.segmentBytes)
    expect(directory.stats().checkpoints.done).toBeGreaterThan(0)
    await directory.close()
    storage.capacityBytes = Infinity
    const again = await Directory.open(optionsFor(storage))
    ledger.expectFound(again)
    await again.close()
  })
})
