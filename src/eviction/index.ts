/** Eviction policies: in which order entries leave memory. policy.ts says what one is. */
export { createPolicy } from './create.ts'
export { DeadlineHeap } from './deadline-heap.ts'
export { Door } from './door.ts'
export type { EvictionName, EvictionPolicy } from './policy.ts'
