/**
 * The policies from their definitions, with arrays, maps and sorting, and nothing of how src/eviction does it. What the headers
 * there say of bytes, ghosts, ties and the bench is said here a second time, in the plainest way.
 */
import type { EvictionPolicy } from '../../src/eviction/index.ts'

/** What driving a policy takes. */
export type Driven = Omit<EvictionPolicy, 'name' | 'overheadBytes' | 'accesses' | 'check'>

interface Resident {
  readonly id: number
  readonly hash: number
  bytes: number
  expiresAt: number
}

interface Ghost {
  readonly hash: number
  readonly bytes: number
}

const without = <T>(items: readonly T[], item: T): T[] => items.filter((other) => other !== item)
const total = (items: Iterable<{ readonly bytes: number }>): number => {
  let sum = 0
  for (const { bytes } of items) sum += bytes
  return sum
}

abstract class Model implements Driven {
  readonly residents: Map<number, Resident> = new Map()
  /** Spared, the longest waiting first. */
  bench: number[] = []
  /** Spared in this round. */
  tried: number[] = []

  get entries(): number {
    return this.residents.size
  }

  get bytes(): number {
    return total(this.residents.values())
  }

  /** The first in the order, without the bench. */
  abstract first(): number | undefined
  abstract admit(resident: Resident): void
  abstract use(id: number): void
  abstract forget(id: number): void
  /** Takes off the bench what need not be tried from it. */
  tidyBench(): void {}
  remember(_resident: Resident): void {}
  evictable(): number {
    return this.entries
  }

  insert(id: number, hash: number, bytes: number, expiresAt: number): void {
    this.tried = []
    const resident = { id, hash, bytes, expiresAt }
    this.residents.set(id, resident)
    this.admit(resident)
  }

  access(id: number): void {
    this.tried = []
    this.use(id)
  }

  write(id: number, bytes: number, expiresAt: number): void {
    const resident = this.residents.get(id)!
    resident.bytes = bytes
    resident.expiresAt = expiresAt
    this.access(id)
  }

  resize(id: number, bytes: number): void {
    this.tried = []
    this.residents.get(id)!.bytes = bytes
  }

  remove(id: number): void {
    this.tried = []
    this.bench = without(this.bench, id)
    this.forget(id)
    this.residents.delete(id)
  }

  next(): number {
    if (this.tried.length >= this.evictable()) {
      this.tried = []
      return -1
    }
    if (this.tried.length === 0) {
      this.tidyBench()
      if (this.bench.length > 0) return this.bench[0]!
    }
    let first = this.first()
    if (first === undefined) {
      this.tidyBench()
      first = this.first()
    }
    return first ?? this.bench[0]!
  }

  evicted(id: number): void {
    const resident = this.residents.get(id)!
    this.remove(id)
    this.remember(resident)
  }

  spared(id: number): void {
    this.forget(id)
    this.bench = [...without(this.bench, id), id]
    this.tried.push(id)
  }

  limit(_bytes: number): void {}
}

/** The order of use. */
class LruModel extends Model {
  order: number[] = []

  override first(): number | undefined {
    return this.order[0]
  }

  override admit({ id }: Resident): void {
    this.order.push(id)
  }

  override use(id: number): void {
    this.bench = without(this.bench, id)
    this.order = [...without(this.order, id), id]
  }

  override forget(id: number): void {
    this.order = without(this.order, id)
  }
}

interface Leveled {
  uses: number
  level: number
  /** The level of the queue in which it is, and when it came there. */
  queue: number
  since: number
  wasUsed: boolean
}

/** LFU-DA in which an access is worth 8 ages, and 7 of them count; an id changes queues only when it is found in one that is not of its level. */
class LfuModel extends Model {
  readonly levels: Map<number, Leveled> = new Map()
  age = 0
  time = 0

  override first(): number | undefined {
    for (;;) {
      const queued = [...this.levels].filter(([id]) => !this.bench.includes(id))
      if (queued.length === 0) return undefined
      const [id, found] = queued.reduce((best, other) => {
        const [a, b] = [best[1], other[1]]
        return b.queue < a.queue || (b.queue === a.queue && b.since < a.since) ? other : best
      })
      if (found.level === found.queue) {
        // The definition: nothing in the queues has a lower level.
        if (queued.some(([, { level }]) => level < found.level)) throw new Error('the model contradicts itself')
        this.age = found.level
        return id
      }
      this.queue(id)
    }
  }

  queue(id: number): void {
    const entry = this.levels.get(id)!
    entry.queue = entry.level
    entry.since = ++this.time
  }

  override admit({ id }: Resident): void {
    this.levels.set(id, { uses: 0, level: this.age + 1, queue: this.age + 1, since: ++this.time, wasUsed: false })
  }

  override use(id: number): void {
    const entry = this.levels.get(id)!
    entry.uses++
    entry.level = this.age + 1 + 8 * Math.min(entry.uses, 7)
    entry.wasUsed = true
  }

  override remove(id: number): void {
    super.remove(id)
    this.levels.delete(id)
  }

  override forget(_id: number): void {}

  override spared(id: number): void {
    super.spared(id)
    this.levels.get(id)!.wasUsed = false
  }

  override tidyBench(): void {
    while (this.bench.length > 0) {
      const id = this.bench[0]!
      const { wasUsed, level } = this.levels.get(id)!
      if (!wasUsed || level < this.age) return
      this.bench.shift()
      this.queue(id)
    }
  }
}

/** The 2003 algorithm, with pages of different sizes. */
class ArcModel extends Model {
  /** All of T1 and T2, the bench included, and the orders without it. */
  parts: Map<number, 1 | 2> = new Map()
  t1: number[] = []
  t2: number[] = []
  b1: Ghost[] = []
  b2: Ghost[] = []
  p = 0
  c: number

  constructor(limitBytes: number) {
    super()
    this.c = limitBytes
  }

  sum(part: 1 | 2): number {
    return total([...this.residents.values()].filter(({ id }) => this.parts.get(id) === part))
  }

  override first(): number | undefined {
    if (this.t1.length === 0 || this.t2.length === 0) return this.t1[0] ?? this.t2[0]
    const newest = this.residents.get(this.t1.at(-1)!)!.bytes
    return this.sum(1) > Math.max(this.p, newest) ? this.t1[0] : this.t2[0]
  }

  override admit({ id, hash, bytes }: Resident): void {
    const [size1, size2] = [total(this.b1), total(this.b2)]
    const inB1 = this.b1.some((ghost) => ghost.hash === hash)
    const inB2 = this.b2.some((ghost) => ghost.hash === hash)
    if (inB1) {
      this.p = Math.min(this.c, this.p + (size1 > 0 ? Math.max(1, size2 / size1) : 1) * bytes)
      this.b1 = this.b1.filter((ghost) => ghost.hash !== hash)
    } else if (inB2) {
      this.p = Math.max(0, this.p - (size2 > 0 ? Math.max(1, size1 / size2) : 1) * bytes)
      this.b2 = this.b2.filter((ghost) => ghost.hash !== hash)
    }
    if (inB1 || inB2) this.t2.push(id)
    else this.t1.push(id)
    this.parts.set(id, inB1 || inB2 ? 2 : 1)
    this.trim()
  }

  override use(id: number): void {
    this.bench = without(this.bench, id)
    this.forget(id)
    this.parts.set(id, 2)
    this.t2.push(id)
  }

  override forget(id: number): void {
    this.t1 = without(this.t1, id)
    this.t2 = without(this.t2, id)
  }

  override remember({ id, hash, bytes }: Resident): void {
    const isOfT1 = this.parts.get(id) === 1
    const ghosts = (isOfT1 ? this.b1 : this.b2).filter((ghost) => ghost.hash !== hash)
    ghosts.push({ hash, bytes })
    if (isOfT1) this.b1 = ghosts
    else this.b2 = ghosts
    this.trim()
  }

  override limit(bytes: number): void {
    this.tried = []
    this.c = bytes
    this.p = Math.min(this.p, bytes)
    this.trim()
  }

  trim(): void {
    while (this.b1.length > 0 && this.sum(1) + total(this.b1) > this.c) this.b1.shift()
    while (this.bytes + total(this.b1) + total(this.b2) > 2 * this.c && this.b1.length + this.b2.length > 0) {
      if (this.b2.shift() === undefined) this.b1.shift()
    }
    while (this.b1.length + this.b2.length > 2 * this.entries + 64) {
      if (this.b1.length > this.b2.length) this.b1.shift()
      else this.b2.shift()
    }
  }
}

/** Three queues. */
class S3FifoModel extends Model {
  readonly uses: Map<number, { isUsed: boolean; isSmall: boolean }> = new Map()
  small: number[] = []
  main: number[] = []
  ghosts: Ghost[] = []
  limitBytes: number

  constructor(limitBytes: number) {
    super()
    this.limitBytes = limitBytes
  }

  override first(): number | undefined {
    while (this.small.length + this.main.length > 0) {
      const inSmall = total([...this.residents.values()].filter(({ id }) => this.uses.get(id)!.isSmall))
      const newest = this.small.length === 0 ? 0 : this.residents.get(this.small.at(-1)!)!.bytes
      const fromSmall =
        this.main.length === 0 || (this.small.length > 0 && inSmall > Math.max(this.limitBytes * 0.25, newest))
      const id = (fromSmall ? this.small : this.main)[0]!
      if (!this.passOn(id)) return id
    }
    return undefined
  }

  passOn(id: number): boolean {
    const use = this.uses.get(id)!
    if (!use.isUsed) return false
    this.uses.set(id, { isUsed: false, isSmall: false })
    this.forget(id)
    this.bench = without(this.bench, id)
    this.main.push(id)
    return true
  }

  override tidyBench(): void {
    while (this.bench.length > 0 && this.passOn(this.bench[0]!));
  }

  override admit({ id, hash }: Resident): void {
    const isKnown = this.ghosts.some((ghost) => ghost.hash === hash)
    this.ghosts = this.ghosts.filter((ghost) => ghost.hash !== hash)
    this.uses.set(id, { isUsed: false, isSmall: !isKnown })
    if (isKnown) this.main.push(id)
    else this.small.push(id)
  }

  override use(id: number): void {
    this.uses.get(id)!.isUsed = true
  }

  override forget(id: number): void {
    this.small = without(this.small, id)
    this.main = without(this.main, id)
  }

  override remember({ id, hash, bytes }: Resident): void {
    if (this.uses.get(id)!.isSmall)
      this.ghosts = [...this.ghosts.filter((ghost) => ghost.hash !== hash), { hash, bytes }]
    this.trim()
  }

  override limit(bytes: number): void {
    this.tried = []
    this.limitBytes = bytes
    this.trim()
  }

  trim(): void {
    const most = this.limitBytes - this.limitBytes * 0.25
    while (total(this.ghosts) > most || this.ghosts.length > 2 * this.entries + 64) this.ghosts.shift()
  }
}

/** The soonest to expire, the smaller id of two. */
class TtlModel extends Model {
  override evictable(): number {
    return [...this.residents.values()].filter(({ expiresAt }) => expiresAt !== 0).length
  }

  override first(): number | undefined {
    return [...this.residents.values()]
      .filter(({ id, expiresAt }) => expiresAt !== 0 && !this.bench.includes(id))
      .sort((a, b) => a.expiresAt - b.expiresAt || a.id - b.id)[0]?.id
  }

  /** Reads do not matter, so they do not end a round either. */
  override access(_id: number): void {}

  override write(id: number, bytes: number, expiresAt: number): void {
    super.write(id, bytes, expiresAt)
    this.tried = []
    this.bench = without(this.bench, id)
  }

  override admit(_resident: Resident): void {}
  override use(_id: number): void {}
  override forget(_id: number): void {}
}

/** Names of the policies that have an order, and so a model that decides it. */
export type ModelName = 'lru' | 'lfu' | 'arc' | 's3fifo' | 'ttl'

/** A model without entries. */
export function createModel(name: ModelName, limitBytes: number): Model {
  switch (name) {
    case 'lru':
      return new LruModel()
    case 'lfu':
      return new LfuModel()
    case 'arc':
      return new ArcModel(limitBytes)
    case 's3fifo':
      return new S3FifoModel(limitBytes)
    case 'ttl':
      return new TtlModel()
  }
}
