/**
 * Time in tests. What is bound to happen is waited for, however slow the machine; costs are told by the processor time of this
 * process, which a busy machine does not stretch, and compared with each other, never with a number of ms; slices of time are
 * cut by a clock that moves only when it is asked.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { onTestFinished, vi } from 'vitest'

/** Longer than anything takes that ends at all. */
const PATIENCE_MS = 120_000

/** Waits until something holds; fails if it never does. */
export async function until(holds: () => boolean, what = 'what is waited for'): Promise<void> {
  const end = Date.now() + PATIENCE_MS
  while (!holds()) {
    if (Date.now() > end) throw new Error(`${what} has not happened within ${PATIENCE_MS / 1000} s`)
    await sleep(1)
  }
}

/** Processor time in ms that this process takes for something: the least of several rounds. */
export async function leastCost(rounds: number, work: () => unknown): Promise<number> {
  let least = Infinity
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage()
    await work()
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1000)
  }
  return least
}

/** Until the test ends `performance.now` moves by so many ms whenever it is asked, and otherwise by hand alone. */
export function clockThatSteps(stepMs: number): { ms: number } {
  const clock = { ms: performance.now() }
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => (clock.ms += stepMs))
  onTestFinished(() => spy.mockRestore())
  return clock
}
