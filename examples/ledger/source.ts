/** Where the movements come from: a file, or the generator. */
import type { Arguments } from './arguments.ts'
import { generateJournal } from './generator.ts'
import { type Journal, readJournal } from './journal.ts'
import { linesOf } from './lines.ts'

export function journalName({ input, seed }: Arguments): string {
  return input ?? `a generated journal (seed ${seed})`
}

export function journalOf(given: Arguments): Promise<Journal> {
  const { input, movements, seed } = given
  return readJournal(input === undefined ? generateJournal(movements, seed) : linesOf(input), journalName(given))
}
