/** All workloads, in the order in which they run and are reported. */

import { amplification } from './amplification.mjs'
import { cache, evicting } from './cache.mjs'
import { clients, hot } from './clients.mjs'
import { diskSize } from './disk-size.mjs'
import { diskStall } from './disk-stall.mjs'
import { transfersFull, transfersRelaxed } from './durable-transfer.mjs'
import { get } from './get.mjs'
import { importing } from './import.mjs'
import { insert } from './insert.mjs'
import { maplet } from './maplet.mjs'
import { memory } from './memory.mjs'
import { miss } from './miss.mjs'
import { mixed } from './mixed.mjs'
import { cold, crash, reopen } from './reopen.mjs'
import { scan } from './scan.mjs'
import { spill } from './spill.mjs'
import { stall } from './stall.mjs'
import { state, struct, watchers } from './state.mjs'
import { transfer } from './transfer.mjs'
import { update } from './update.mjs'

/**
 * @typedef {object} Context
 * @property {number} count entries in each store
 * @property {number} repetitions
 * @property {boolean} isLarge whether ten times as many entries are wanted as well, where that says something
 * @property {string[]} notes lines that belong under the rows
 *
 * @typedef {object} Workload
 * @property {string} name for --only
 * @property {'in-memory' | 'durable' | 'bounded'} group for --only as well
 * @property {string} title
 * @property {(context: Context) => Promise<import('../support/measure.mjs').Row[]>} run
 */

/** @type {readonly Workload[]} */
export const workloads = [
  ...[get, miss, insert, update, scan, transfer, clients, hot, mixed, maplet, memory, stall],
  ...[transfersFull, transfersRelaxed, importing, reopen, crash, cold, amplification, diskSize, diskStall],
  ...[cache, ...evicting, spill, struct, state, watchers],
]
