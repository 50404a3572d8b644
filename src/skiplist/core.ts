/** What the engine uses of the skiplist: the index, its leaves, and cursors over it. Users have `varve/skiplist`. */

export { Cursor } from './cursor.ts'
export { KIND_MIXED } from './kind.ts'
export { type KeySource, Leaf } from './leaf.ts'
export { OrderedIndex } from './ordered-index.ts'
