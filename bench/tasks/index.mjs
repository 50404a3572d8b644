/** Everything that task.mjs can do, by name. */

import { keepUpdating } from './amplification.mjs'
import { fillForKill, load, openAndGet, readAll } from './reopen.mjs'
import { fillAndCompact } from './size.mjs'

/** @type {Record<string, (given: any) => Promise<any>>} */
export const tasks = { load, openAndGet, readAll, fillForKill, keepUpdating, fillAndCompact }
