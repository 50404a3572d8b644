/**
 * What a power failure may leave of a simulated disk: one of the states that the rules of inode.ts (N2, N3) and disk.ts
 * (D1 to D3) allow, chosen by a seed.
 *
 * Choosing every sector and every name by a fair coin would make almost all images alike, half of everything lost in each
 * file, and never show the interesting ones: all kept but one write, all lost but the last, one write torn. So each image
 * first draws how it goes about it, then each file and the names do so once more on their own.
 */
import { applyDurably, type Inode, Disk, DirectoryInode, OtherInode, type NameOperation, sharesName } from './disk.ts'
import {
  composePage,
  cutPages,
  dropBeyond,
  FileInode,
  PAGE_BYTES,
  type PageVersion,
  SECTOR_BYTES,
  type SizeChange,
} from './inode.ts'
import type { SeededRandom } from './random.ts'

/** What becomes of that which was not synced: nothing, everything, or whatever the seed says. */
export type Survival = 'none' | 'all' | 'any'

/** How the writes of one file survive. */
type Style = 'none' | 'all' | 'prefix' | 'torn' | 'writes' | 'sectors'

const STYLES: readonly [Style, ...Style[]] = ['none', 'all', 'prefix', 'torn', 'torn', 'writes', 'sectors']

/** The disk as it may be found after a power failure. The old one stays as it is. */
export function imageAfterCrash(disk: Disk, survival: Survival, random: SeededRandom): Disk {
  const image = new Disk(disk.capacityBytes, disk.syncsNames)
  const style = survival === 'any' && random.chance(0.6) ? random.pick(STYLES) : undefined
  const names = survivingNames(disk, survival, random)
  const inodes = new Map<Inode, Inode>()
  copyDirectory(disk.root, image.root, names, inodes, (file) => {
    const chosen: Style = survival === 'any' ? (style ?? random.pick(STYLES)) : survival
    const copy = imageOfFile(file, chosen, random)
    image.usedBytes += copy.allocated * PAGE_BYTES
    return copy
  })
  return image
}

type Names = Map<DirectoryInode, Map<string, Inode>>

/** What each directory with pending operations holds when some of them survive. */
function survivingNames(disk: Disk, survival: Survival, random: SeededRandom): Names {
  const probability = survival === 'none' ? 0 : survival === 'all' ? 1 : random.pick([0, 1, 0.15, 0.5, 0.85])
  const lost: NameOperation[] = []
  const names: Names = new Map()
  for (const operation of disk.pending) {
    const isLost = !random.chance(probability) || lost.some((earlier) => sharesName(earlier, operation))
    if (isLost) {
      lost.push(operation)
      continue
    }
    for (const { directory, name, to } of operation.changes) {
      let entries = names.get(directory)
      if (entries === undefined) names.set(directory, (entries = new Map(directory.durable)))
      if (to === undefined) entries.delete(name)
      else entries.set(name, to)
    }
  }
  return names
}

function copyDirectory(
  from: DirectoryInode,
  to: DirectoryInode,
  names: Names,
  inodes: Map<Inode, Inode>,
  copyFile: (file: FileInode) => FileInode,
): void {
  for (const [name, inode] of names.get(from) ?? from.durable) {
    let copy = inodes.get(inode)
    if (copy === undefined) {
      if (inode.kind === 'file') copy = copyFile(inode)
      else copy = inode.kind === 'directory' ? new DirectoryInode() : new OtherInode()
      inodes.set(inode, copy)
      if (inode.kind === 'directory') copyDirectory(inode, copy as DirectoryInode, names, inodes, copyFile)
    }
    if (copy.kind === 'file') copy.links++
    to.entries.set(name, copy)
    to.durable.set(name, copy)
  }
}

/** Which sectors of which writes of one file survive. */
class Tear {
  private readonly style: Style
  private readonly random: SeededRandom
  /** Of `prefix` and `torn`: the write up to which all survives. */
  private readonly cut: number
  /** Of `writes`: what was decided. */
  private readonly kept = new Map<number, boolean>()
  private readonly probability: number

  constructor(style: Style, random: SeededRandom, orders: readonly number[]) {
    this.style = style
    this.random = random
    this.cut = orders.length === 0 ? 0 : (orders[random.int(orders.length)] as number)
    this.probability = random.pick([0.1, 0.5, 0.9])
  }

  /** The sectors of a version that survive. */
  sectors({ order, mask }: PageVersion): number {
    switch (this.style) {
      case 'none':
        return 0
      case 'all':
        return mask
      case 'prefix':
        return order <= this.cut ? mask : 0
      case 'torn':
        return order < this.cut ? mask : order === this.cut ? mask & this.random.uint32() : 0
      case 'writes':
        return this.keeps(order) ? mask : 0
      case 'sectors':
        return mask & this.coins()
    }
  }

  /** How many of the changes of size survive: always the earlier ones. */
  sizes(changes: readonly SizeChange[]): number {
    if (this.style === 'none') return 0
    if (this.style === 'all') return changes.length
    if (this.style === 'prefix' || this.style === 'torn') {
      const after = changes.findIndex((change) => change.order > this.cut)
      return after < 0 ? changes.length : after
    }
    return this.random.chance(0.5) ? changes.length : this.random.int(changes.length + 1)
  }

  private keeps(order: number): boolean {
    let isKept = this.kept.get(order)
    if (isKept === undefined) this.kept.set(order, (isKept = this.random.chance(this.probability)))
    return isKept
  }

  private coins(): number {
    let bits = 0
    for (let sector = 0; sector < 8; sector++) if (this.random.chance(this.probability)) bits |= 1 << sector
    return bits
  }
}

function imageOfFile(file: FileInode, style: Style, random: SeededRandom): FileInode {
  if (file.pending.size === 0 && file.sizes.length === 0) return FileInode.of(file.durable.slice(), file.durableSize)
  const pages = file.durable.slice()
  const pending = new Map(file.pending)
  const tear = new Tear(style, random, ordersOf(file))
  const keptSizes = tear.sizes(file.sizes)
  let size = file.durableSize
  const undone = new Set<number>()
  for (const [index, change] of file.sizes.entries()) {
    if (index >= keptSizes) {
      // What a truncation zeroes inside its last page belongs to the truncation.
      if (change.cut) undone.add(change.order)
      continue
    }
    size = change.size
    if (!change.cut) continue
    cutPages(pages, size)
    dropBeyond(pending, change)
  }
  const next = file.sizes[keptSizes]
  if (next !== undefined && !next.cut && style !== 'none' && style !== 'prefix' && random.chance(0.3)) {
    // A growing file is written back in parts.
    size += random.int(Math.floor((next.size - size) / SECTOR_BYTES) + 1) * SECTOR_BYTES
  }
  for (const [index, versions] of pending) {
    let page = pages[index]
    for (const version of versions) {
      if (!undone.has(version.order)) page = composePage(page, version.page, tear.sectors(version))
    }
    if (page !== undefined) pages[index] = page
  }
  cutPages(pages, size)
  return FileInode.of(pages, size)
}

function ordersOf(file: FileInode): number[] {
  const orders = new Set<number>()
  for (const change of file.sizes) orders.add(change.order)
  for (const versions of file.pending.values()) for (const version of versions) orders.add(version.order)
  return [...orders].sort((a, b) => a - b)
}

/** A sync of a directory has failed: some of what was pending in it is durable, the rest will never be. */
export function failDirectorySync(disk: Disk, directory: DirectoryInode, order: number, random: SeededRandom): void {
  const probability = random.pick([0, 0.5, 1])
  const lost: NameOperation[] = []
  for (const operation of disk.take(directory, order)) {
    const isLost = !random.chance(probability) || lost.some((earlier) => sharesName(earlier, operation))
    if (isLost) lost.push(operation)
    else applyDurably(operation)
  }
}
