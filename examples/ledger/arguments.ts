/** The command line. */
import { parseArgs } from 'node:util'
import type { Durability, Isolation } from 'varve'
import { InputError } from './input-error.ts'

export const HELP = `Posts bank movements into an embedded ledger with many concurrent clients, then audits it.

usage: npm start -- [options]

  --input FILE       journal to post, .gz or plain; without it one is generated
  --movements N      length of the generated journal (100000)
  --seed S           seed of the generated journal (1993)
  --clients N        concurrent clients (64)
  --isolation LEVEL  serializable or snapshot (serializable)
  --durability HOW   full, relaxed or memory (full): when a commit counts as done
  --path DIR         where to keep the ledger; without it, a temporary directory
  --stats            show what the database says of itself meanwhile
  -h, --help         show this

Exit code: 0 if the books balance, 1 if not, 2 for bad arguments or input, 130 if interrupted.
`

export interface Arguments {
  readonly help: boolean
  readonly input: string | undefined
  readonly movements: number
  readonly seed: number
  readonly clients: number
  readonly isolation: Isolation
  readonly durability: Durability
  /** Undefined: a temporary directory. */
  readonly path: string | undefined
  /** Whether statistics are shown while clients are at work. */
  readonly stats: boolean
}

/** @throws InputError that says in one line what is wrong. */
export function parseArguments(given: readonly string[]): Arguments {
  const values = parse(given)
  if (values.input !== undefined && (values.movements ?? values.seed) !== undefined) {
    throw new InputError('--movements and --seed shape the generated journal; they do not go with --input')
  }
  if (values.input === '') throw new InputError('--input needs the name of a file')
  const isolation = values.isolation ?? 'serializable'
  if (isolation !== 'serializable' && isolation !== 'snapshot') {
    throw new InputError(`--isolation is serializable or snapshot, not '${isolation}'`)
  }
  const durability = values.durability ?? 'full'
  if (durability !== 'full' && durability !== 'relaxed' && durability !== 'memory') {
    throw new InputError(`--durability is full, relaxed or memory, not '${durability}'`)
  }
  if (values.path === '') throw new InputError('--path needs the name of a directory')
  if (values.path !== undefined && durability === 'memory') {
    throw new InputError('--durability memory keeps nothing, so it does not go with --path')
  }
  return {
    help: values.help ?? false,
    input: values.input,
    movements: wholeNumber('--movements', values.movements ?? '100000', 1, 1_000_000),
    seed: wholeNumber('--seed', values.seed ?? '1993', 0, 2 ** 32 - 1),
    clients: wholeNumber('--clients', values.clients ?? '64', 1, 10_000),
    isolation,
    durability,
    path: values.path,
    stats: values.stats ?? false,
  }
}

interface Values {
  help?: boolean | undefined
  stats?: boolean | undefined
  input?: string | undefined
  movements?: string | undefined
  seed?: string | undefined
  clients?: string | undefined
  isolation?: string | undefined
  durability?: string | undefined
  path?: string | undefined
}

function parse(given: readonly string[]): Values {
  const text = { type: 'string' } as const
  const options = {
    ...{ input: text, movements: text, seed: text, clients: text, isolation: text, durability: text, path: text },
    stats: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const
  try {
    return parseArgs({ args: [...given], options }).values
  } catch (error) {
    // The first sentence says what is wrong; those after it explain how any program may be called.
    const [reason = ''] = (error as Error).message.split(/\.\s|\n/)
    throw new InputError(`${reason.replace(/\.$/, '')} (--help shows the options)`, { cause: error })
  }
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= least && number <= most) return number
  throw new InputError(`${option} is a whole number from ${least} to ${most}, not '${text}'`)
}
