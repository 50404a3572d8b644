/** The memory that the stored form of a structured value takes, found by walking it: for what was not just copied in. */

import { octetsBytes } from './octets.ts'
import { ArrayPart, BinaryPart, MapPart, ObjectPart, Part, SetPart } from './parts.ts'
import { type Plain } from './plain.ts'
import { DATE_PART_BYTES, SLOT_BYTES, arrayBytes, objectBytes, partBytes, weigh } from './sizes.ts'

/** Bytes of a stored form with its slot. A walk over all of it, unless it is a part, which knows. */
export function residentBytes(stored: unknown): number {
  if (stored instanceof Part) return stored.bytes
  return SLOT_BYTES + measure(stored)
}

/** Bytes besides the slot. */
export function measure(stored: unknown): number {
  const weight = weigh(stored)
  if (weight >= 0) return weight
  if (stored instanceof Part) return measurePart(stored)
  return Array.isArray(stored) ? measureArray(stored) : measureObject(stored as Plain)
}

function measureArray(items: readonly unknown[]): number {
  let bytes = arrayBytes(items.length)
  for (let i = 0; i < items.length; i++) bytes += measure(items[i])
  return bytes
}

function measureObject(object: Plain): number {
  const names = Object.getOwnPropertyNames(object)
  let bytes = objectBytes(names.length)
  for (let i = 0; i < names.length; i++) bytes += measure(object[names[i] as string])
  return bytes
}

function measurePart(part: Part): number {
  if (part instanceof ObjectPart) {
    return partBytes(2) + arrayBytes(part.names.length) + measureObject(part.template)
  }
  if (part instanceof ArrayPart) return partBytes(2) + arrayBytes(part.indices.length) + measureArray(part.template)
  if (part instanceof MapPart) return partBytes(1) + measureArray(part.entries)
  if (part instanceof SetPart) return partBytes(1) + measureArray(part.members)
  if (part instanceof BinaryPart) return partBytes(2) + octetsBytes(part.octets)
  return DATE_PART_BYTES
}
