/**
 * How long committed transactions are remembered: in the graph until they can lie on no future cycle, or until it is full; then
 * as numbers (summary.ts), until these are harmless. Marks of what is forgotten are left to the garbage.
 */
import type { GarbageQueue } from './garbage.ts'
import type { Graph } from './graph.ts'
import { Summary } from './summary.ts'

export class Retention {
  private readonly graph: Graph
  private readonly garbage: GarbageQueue
  private readonly summary: Summary = new Summary()

  constructor(graph: Graph, garbage: GarbageQueue) {
    this.graph = graph
    this.garbage = garbage
  }

  /** Nobody is active who could close a cycle: everything is forgotten. */
  clear(): void {
    if (this.graph.summarisedMax > 0) this.forgetSummary()
    const dropped = this.graph.clear()
    if (dropped.length > 0) this.garbage.addDropped(dropped)
  }

  /**
   * After a commit has been remembered: summarises what is too much, and forgets what has become harmless.
   * @param horizon at or below it nothing can lie on a future cycle
   * @param oldest the oldest snapshot of an active tracked transaction
   */
  bound(horizon: number, oldest: number): void {
    const { graph } = this
    for (let node = graph.summariseOldest(); node !== null; node = graph.summariseOldest()) this.summary.absorb(node)
    if (graph.summarisedMax > 0) {
      // Reachability is cut at summarised nodes, so nothing is swept before they are harmless; then the graph shrinks again.
      if (graph.summarisedMax > horizon) return
      this.forgetSummary()
      graph.summarisedMax = 0
    } else if (!graph.crowded) return
    const dropped = graph.sweep(oldest)
    if (dropped.length > 0) this.garbage.addDropped(dropped)
  }

  private forgetSummary(): void {
    this.garbage.addStamped(this.summary.clear(), this.graph.summarisedMax)
  }
}
