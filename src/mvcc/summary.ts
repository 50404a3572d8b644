/**
 * What remains of nodes that the full graph had to give up: numbers instead of edges.
 *
 * While a transaction stays active for very long, every commit beside it must be remembered. Above the cap the oldest node
 * is summarised: its marks become stamps (the newest such commit per entry, one per table for ranges and absent keys), and
 * a commit that meets a stamp at or above its own reach is refused, as plain SSN would. Sound, bounded, and counted.
 *
 * I1  A stamp is not below the commit of any summarised node whose mark it replaced, until all of them are harmless.
 */
import type { Node } from './node.ts'
import type { TableStore } from './store.ts'
import type { Meta, MergeGroup } from './version.ts'

const OPERANDS_KEPT = 64

export class Summary {
  private metas: Set<Meta> = new Set()
  private readonly stores: Set<TableStore> = new Set()

  /** Turns the marks of a summarised node into stamps. */
  absorb(node: Node): void {
    for (const meta of node.metas) {
      if (meta.readers?.includes(node) === true) {
        meta.readers = without(meta.readers, node)
        meta.readStamp = Math.max(meta.readStamp, node.commit)
      }
      if (meta.idleDeleters?.includes(node) === true) {
        // It comes before the next writer of the key, exactly as a reader does.
        meta.idleDeleters = without(meta.idleDeleters, node)
        meta.readStamp = Math.max(meta.readStamp, node.commit)
      }
      if (meta.existenceReaders?.includes(node) === true) {
        meta.existenceReaders = without(meta.existenceReaders, node)
        meta.existenceReadStamp = Math.max(meta.existenceReadStamp, node.commit)
      }
      if (meta.group !== null) mergeOldOperands(meta.group)
      this.metas.add(meta)
    }
    node.metas = []
    if (node.absentMarks !== null) {
      for (const { store, key } of node.absentMarks) {
        const left = without(store.absentReaders.get(key) ?? [], node)
        if (left === null) store.absentReaders.delete(key)
        else store.absentReaders.set(key, left)
        this.cover(store, node)
      }
      node.absentMarks = null
    }
    if (node.ranges !== null) {
      for (const { store } of node.ranges) {
        store.rangeMarks = store.rangeMarks.filter((mark) => mark.node !== node)
        this.cover(store, node)
      }
      node.ranges = null
    }
  }

  private cover(store: TableStore, node: Node): void {
    store.coverStamp = Math.max(store.coverStamp, node.commit)
    this.stores.add(store)
  }

  /** Hands over the entries that carry stamps, all harmless now, to be looked at in due course. */
  clear(): Set<Meta> {
    const metas = this.metas
    this.metas = new Set()
    for (const store of this.stores) store.coverStamp = 0
    this.stores.clear()
    return metas
  }
}

function without(nodes: Node[], node: Node): Node[] | null {
  const left = nodes.filter((other) => other !== node)
  return left.length === 0 ? null : left
}

/** Lets one summarised operand stand for the run of summarised ones before it: newest commit, lowest reach. */
function mergeOldOperands(group: MergeGroup): void {
  const operands = group.operands
  if (operands.length <= OPERANDS_KEPT) return
  let run = 0
  let pi = Infinity
  while (run < operands.length && (operands[run] as Node).summarised) pi = Math.min(pi, (operands[run++] as Node).pi)
  if (run < 2) return
  const representative = operands[run - 1] as Node
  representative.pi = pi
  group.operands = operands.slice(run - 1)
}
