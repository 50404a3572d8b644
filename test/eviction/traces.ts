/**
 * Sequences of keys, for tests and benchmarks of eviction: each from its parameters and a source of chance alone. It imports
 * nothing, so that benchmarks may take it as it is. Keys are small integers.
 */

/** `length` keys of `keys`, the one of rank r with a probability in proportion to (r + 1) ** -exponent. Key = rank. */
export function zipf(random: () => number, length: number, keys: number, exponent: number): Uint32Array {
  const cumulative = new Float64Array(keys)
  let sum = 0
  for (let rank = 0; rank < keys; rank++) cumulative[rank] = sum += (rank + 1) ** -exponent
  const trace = new Uint32Array(length)
  for (let i = 0; i < length; i++) {
    const sought = random() * sum
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (cumulative[middle]! <= sought) low = middle + 1
      else high = middle
    }
    trace[i] = low
  }
  return trace
}

/** 0, 1, ... keys - 1, and from the beginning again. */
export function loop(length: number, keys: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => i % keys)
}

/** A Zipf trace into which after each `every` requests a scan of `scanned` keys comes that are never asked for again. */
export function scanPolluted(
  random: () => number,
  length: number,
  keys: number,
  exponent: number,
  every: number,
  scanned: number,
): Uint32Array {
  const trace = zipf(random, length, keys, exponent)
  for (let from = every, next = keys; from < length; from += every + scanned) {
    for (let i = from; i < Math.min(from + scanned, length); i++) trace[i] = next++
  }
  return trace
}

/** A Zipf trace over keys of which none is asked for in two of its `phases`. */
export function shifting(
  random: () => number,
  length: number,
  keys: number,
  exponent: number,
  phases: number,
): Uint32Array {
  const perPhase = Math.ceil(length / phases)
  return zipf(random, length, keys, exponent).map((key, i) => key + keys * Math.floor(i / perPhase))
}

/** Each key once in every `often` requests' worth of blocks: a block of keys is asked for `often` times, then never again. */
export function usedTimes(length: number, block: number, often: number): Uint32Array {
  return Uint32Array.from({ length }, (_, i) => Math.floor(i / (block * often)) * block + (i % block))
}
