/** `varve/skiplist`: the ordered index of the database as a library of its own. */

export { VarveError } from '../errors.ts'
export type { Key } from '../keys/index.ts'
export type { SkipListRange } from './range.ts'
export { SkipList, type SkipListOptions } from './skip-list.ts'
