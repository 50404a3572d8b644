/**
 * `varve/maplet`: the maplet as a library of its own, its form without values, and the merge operators, which the
 * database uses too.
 */
export { Filter, type FilterOptions } from './filter.ts'
export type { GenerationsStats as FilterStats } from './generations.ts'
export { Maplet, type MapletOptions, type MapletState } from './maplet.ts'
export { type MergeOperator, type Merges, merges } from './merges.ts'
export type { MapletStats } from './core.ts'
