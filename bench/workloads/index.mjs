/** All workloads, in the order in which they run and are reported. */

import { clients, hot } from './clients.mjs'
import { get } from './get.mjs'
import { insert } from './insert.mjs'
import { maplet } from './maplet.mjs'
import { memory } from './memory.mjs'
import { miss } from './miss.mjs'
import { mixed } from './mixed.mjs'
import { scan } from './scan.mjs'
import { stall } from './stall.mjs'
import { transfer } from './transfer.mjs'
import { update } from './update.mjs'

/**
 * @typedef {object} Context
 * @property {number} count entries in each store
 * @property {number} repetitions
 * @property {string[]} notes lines that belong under the rows
 *
 * @typedef {object} Workload
 * @property {string} name for --only
 * @property {string} title
 * @property {(context: Context) => Promise<import('../support/measure.mjs').Row[]>} run
 */

/** @type {readonly Workload[]} */
export const workloads = [get, miss, insert, update, scan, transfer, clients, hot, mixed, maplet, memory, stall]
