/** What other rooms use of the arena. */
export { Arena, arenaBytes } from './arena.ts'
