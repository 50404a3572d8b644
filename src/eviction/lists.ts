/**
 * Doubly linked lists of entry ids in one typed array: the lists of one policy share it, because an id is in at most one.
 *
 *   links   | list 0 | list 1 | ... | id 0 | id 1 | ...       two numbers each: the slot that is newer, the slot that is older
 *
 * Each list is a circle through the slot of the list itself, so that linking and unlinking have no special cases, and an id
 * is unlinked without knowing from which list. Both links of an id share a cache line. 8 bytes per id.
 *
 * L1  The newer of the older of a slot is the slot, and the older of the newer.
 * L2  The first link of an id that is in no list is -1.
 */

import { invariant } from '../errors.ts'
import { grownInt32, grownLength, INITIAL_IDS } from './columns.ts'

/** Lists from the oldest id to the newest, by number. See the head of this file. */
export class Lists {
  /** How many lists there are: the slot of an id is `id + count`. */
  readonly count: number
  /** See the head of this file; policies walk it where a call per step would be felt. */
  links: Int32Array

  constructor(count: number) {
    this.count = count
    this.links = new Int32Array(2 * (count + INITIAL_IDS)).fill(-1)
    for (let list = 0; list < count; list++) this.links[2 * list] = this.links[2 * list + 1] = list
  }

  /** Makes room for an id. */
  reserve(id: number): void {
    const ids = (this.links.length >>> 1) - this.count
    if (id < ids) return
    this.links = grownInt32(this.links, 2 * (grownLength(ids, id) + this.count), -1)
  }

  /** The oldest id of a list, or -1: it is empty. */
  oldest(list: number): number {
    const slot = this.links[2 * list] as number
    return slot === list ? -1 : slot - this.count
  }

  /** The newest id of a list, or -1: it is empty. */
  newest(list: number): number {
    const slot = this.links[2 * list + 1] as number
    return slot === list ? -1 : slot - this.count
  }

  /** Makes an id that is in no list the newest of one. */
  add(list: number, id: number): void {
    const { links } = this
    const slot = id + this.count
    const older = links[2 * list + 1] as number
    links[2 * slot] = list
    links[2 * slot + 1] = older
    links[2 * older] = slot
    links[2 * list + 1] = slot
  }

  /** Takes an id out of the list in which it is. */
  remove(id: number): void {
    const { links } = this
    const slot = id + this.count
    const newer = links[2 * slot] as number
    const older = links[2 * slot + 1] as number
    links[2 * newer + 1] = older
    links[2 * older] = newer
    links[2 * slot] = -1
  }

  /** Makes an id the newest of a list, wherever it was. */
  move(list: number, id: number): void {
    this.remove(id)
    this.add(list, id)
  }

  /** The ids of a list from the oldest on; throws if its links do not hold. For checks: it allocates. */
  idsOf(list: number): number[] {
    const ids: number[] = []
    let before = list
    for (let slot = this.links[2 * list] as number; ; slot = this.links[2 * slot] as number) {
      invariant(this.links[2 * slot + 1] === before, `L1: slot ${slot} of list ${list} has a wrong older neighbour`)
      if (slot === list) return ids
      invariant(slot >= this.count && slot < this.links.length >>> 1, `L1: list ${list} leads to slot ${slot}`)
      ids.push(slot - this.count)
      before = slot
    }
  }

  /** Ids that are in any list; walks all links. */
  linked(): number {
    let linked = 0
    for (let slot = this.count; 2 * slot < this.links.length; slot++) if (this.links[2 * slot] !== -1) linked++
    return linked
  }
}
