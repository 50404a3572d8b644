/** Traces of keys that a cache is asked for, as indices; all from seeds. */

import { randomOf } from './data.mjs'

/**
 * Ranks by Zipf's law: rank r is asked for in proportion to 1 / (r + 1) ** theta. By the cumulative distribution and a
 * binary search, which is exact.
 *
 * @param {number} items
 * @param {number} theta
 * @param {number} length
 * @param {number} seed
 * @returns {Uint32Array}
 */
export function zipf(items, theta, length, seed) {
  const cumulative = new Float64Array(items)
  let sum = 0
  for (let rank = 0; rank < items; rank++) {
    sum += (rank + 1) ** -theta
    cumulative[rank] = sum
  }
  const random = randomOf(seed)
  const places = shuffled(items, seed + 1)
  return Uint32Array.from({ length }, () => {
    const wanted = (random(2 ** 31) / 2 ** 31) * sum
    let low = 0
    let high = items - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (cumulative[middle] < wanted) low = middle + 1
      else high = middle
    }
    return places[low]
  })
}

function shuffled(items, seed) {
  const random = randomOf(seed)
  const places = Uint32Array.from({ length: items }, (_, i) => i)
  for (let i = items - 1; i > 0; i--) {
    const j = random(i + 1)
    const place = places[i]
    places[i] = places[j]
    places[j] = place
  }
  return places
}

/** Everything in turn, over and over. */
export function loop(items, length) {
  return Uint32Array.from({ length }, (_, i) => i % items)
}

/** Zipf, with a run through cold keys every now and then: `share` of all requests. */
export function scanned(items, theta, length, seed, share) {
  const hot = zipf(items, theta, length, seed)
  const burst = 1000
  const period = Math.round(burst / share)
  let cold = items
  for (let from = period - burst; from + burst <= length; from += period) {
    for (let i = 0; i < burst; i++) hot[from + i] = cold++
  }
  return hot
}

/** Zipf, but what is hot moves on four times. */
export function shifting(items, theta, length, seed) {
  const trace = zipf(items, theta, length, seed)
  const era = Math.ceil(length / 5)
  return trace.map((item, i) => (item + Math.floor(i / era) * 7919) % items)
}
