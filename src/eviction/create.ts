/** Policies by name. */

import { Arc } from './arc.ts'
import { Lfu } from './lfu.ts'
import { Lru } from './lru.ts'
import { Manual } from './manual.ts'
import type { EvictionName, EvictionPolicy } from './policy.ts'
import { RandomEviction } from './random.ts'
import { S3Fifo } from './s3fifo.ts'
import { Ttl } from './ttl.ts'

/** What policies need to know. */
export interface PolicyOptions {
  /** Numbers in [0, 1), as `Math.random` gives them; `random` alone draws. */
  readonly random: () => number
  /** Bytes that there is room for; `arc` and `s3fifo` size their parts by it. May be changed by `limit`. */
  readonly limitBytes: number
}

/** A policy without entries. */
export function createPolicy(name: EvictionName, options: PolicyOptions): EvictionPolicy {
  switch (name) {
    case 'lru':
      return new Lru()
    case 'lfu':
      return new Lfu()
    case 'random':
      return new RandomEviction(options.random)
    case 'arc':
      return new Arc(options.limitBytes)
    case 's3fifo':
      return new S3Fifo(options.limitBytes)
    case 'ttl':
      return new Ttl()
    case 'manual':
      return new Manual()
  }
}
