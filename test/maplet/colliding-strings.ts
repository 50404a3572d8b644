/**
 * Strings that collide in all 64 bits of the seeded hash, for somebody who knows the seed: a multicollision of Joux
 * (CRYPTO 2004). For each block of eight code units two contents are found that lead from the same state to the same
 * state; n blocks then make 2^n strings. The last word of a block is solved so that one lane ends where it should; for
 * the other lane the birthday paradox does the rest, in some 80,000 tries.
 */
import { Random } from '../support/random.ts'
import type { HashSeed } from '../../src/maplet/hash.ts'

const MULTIPLY_A = 0xcc9e_2d51 | 0
const MULTIPLY_B = 0x1b87_3593

const rotate = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits))

function stepA(a: number, word: number): number {
  return rotate(Math.imul(a ^ word, MULTIPLY_A), 15)
}

function stepB(b: number, word: number): number {
  return rotate(Math.imul(b ^ word, MULTIPLY_B), 13)
}

/** The odd number whose product with an odd `x` is 1 modulo 2^32, by Newton's method. */
function inverseOf(x: number): number {
  let inverse = x
  for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(x, inverse))
  return inverse
}

function textOf(words: readonly number[]): string {
  return String.fromCharCode(...words.flatMap((word) => [word & 0xffff, word >>> 16]))
}

/** Two blocks that lead both lanes from one state to one state, and that state. */
function twins(a: number, b: number, target: number, random: Random): { texts: [string, string]; b: number } {
  const unmultiply = inverseOf(MULTIPLY_A)
  const solved = Math.imul(rotate(target, 17), unmultiply)
  const tried: number[] = []
  const seen = new Map<number, number>()
  for (;;) {
    const [first, second, third] = [random.uint32() | 0, random.uint32() | 0, random.uint32() | 0]
    const last = stepA(stepA(stepA(a, first), second), third) ^ solved
    const end = stepB(stepB(stepB(stepB(b, first), second), third), last)
    const twin = seen.get(end)
    if (twin !== undefined)
      return { texts: [textOf(tried.slice(twin, twin + 4)), textOf([first, second, third, last])], b: end }
    seen.set(end, tried.length)
    tried.push(first, second, third, last)
  }
}

/** `count` distinct strings with one hash; `count` is at most 2^`blocks`. */
export function collidingStrings(count: number, blocks: number, seed: HashSeed): string[] {
  const random = new Random('colliding strings')
  const choices: [string, string][] = []
  let { a, b } = seed
  for (let block = 0; block < blocks; block++) {
    const target = random.uint32() | 0
    const { texts, b: end } = twins(a, b, target, random)
    choices.push(texts)
    a = target
    b = end
  }
  return Array.from({ length: count }, (_, n) => choices.map((pair, block) => pair[(n >>> block) & 1]).join(''))
}
