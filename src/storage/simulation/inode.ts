/**
 * The bytes of one simulated file twice over: as processes see them, and as a power failure may leave them.
 *
 * A file is a row of pages of 4 KiB that are never changed: a write puts new pages in place of old ones. So a page can be
 * shared by the live file, the durable one and any number of crash images, and an image costs one reference per page.
 * A hole has no page; pages of zeros written whole share one. Writing n bytes costs O(n), at least one page; nothing
 * costs O(size) but an image.
 *
 * N1  Live content = durable content, then every pending version in order, unless a sync has failed.
 * N2  A sector (512 bytes) of a version is the live sector right after the write of that order: whatever subset of sectors
 *     of whatever subset of writes survives, each surviving sector is one that once existed as a whole. (A truncation that
 *     survives zeroes the end of its last sector in whichever of these states.)
 * N3  Versions of one page, and changes of size, are in ascending order. No sector of a pending version is older than the
 *     durable one: what became durable at once (O_DSYNC) is never undone by a write before it.
 * N4  Live bytes beyond the size are zeros.
 */
import type { SeededRandom } from './random.ts'

/** What a disk writes whole or not at all. */
export const SECTOR_BYTES = 512
/** What is allocated, copied and shared. */
export const PAGE_BYTES = 4096

/** Content of 4 KiB; never changed. A missing one is a hole. */
export type Page = Uint8Array
/** Pages by index; holes are missing. */
export type Pages = (Page | undefined)[]

const ZEROS: Page = new Uint8Array(PAGE_BYTES)

/** A page as one write left it. */
export interface PageVersion {
  /** Which write; ascending over the whole disk. */
  readonly order: number
  readonly page: Page
  /** The page that it replaced. */
  readonly base: Page | undefined
  /** Which of the eight sectors the write touched, and are not durable in this or a later version yet. */
  mask: number
}

/** The size as one write or truncation left it. */
export interface SizeChange {
  readonly order: number
  readonly size: number
  /** Whether content beyond the new size was thrown away. */
  readonly cut: boolean
}

/** `target` with the sectors of `mask` taken from `source`. */
export function composePage(target: Page | undefined, source: Page, mask: number): Page | undefined {
  if (mask === 0) return target
  if (mask === 0xff) return source
  const page = new Uint8Array(PAGE_BYTES)
  if (target !== undefined) page.set(target)
  for (let sector = 0; sector < 8; sector++) {
    if ((mask & (1 << sector)) === 0) continue
    const from = sector * SECTOR_BYTES
    page.set(source.subarray(from, from + SECTOR_BYTES), from)
  }
  return page
}

/** Drops whole pages beyond `size`, and zeroes what lies beyond it in the last one. */
export function cutPages(pages: Pages, size: number): void {
  const count = Math.ceil(size / PAGE_BYTES)
  if (pages.length > count) pages.length = count
  const inside = size % PAGE_BYTES
  const last = pages[count - 1]
  if (inside === 0 || last === undefined || last === ZEROS) return
  if (Buffer.compare(last.subarray(inside), ZEROS.subarray(inside)) === 0) return
  const page = new Uint8Array(PAGE_BYTES)
  page.set(last.subarray(0, inside))
  pages[count - 1] = page
}

/** A regular file. */
export class FileInode {
  readonly kind = 'file' as const
  size = 0
  pages: Pages = []
  durableSize = 0
  durable: Pages = []
  /** What is visible and not durable, by page. */
  readonly pending: Map<number, PageVersion[]> = new Map()
  sizes: SizeChange[] = []
  /** Sectors, by page, that a failed sync was to write: visible for the time being, and taken for clean. */
  private readonly lost: Map<number, number> = new Map()
  /** Pages that take room: all but holes. */
  allocated = 0
  /** Names that lead here. */
  links = 0
  /** Open files. */
  handles = 0

  /** A durable file with this content; the array of pages becomes the inode's own. */
  static of(pages: Pages, size: number): FileInode {
    const inode = new FileInode()
    inode.pages = pages
    inode.durable = pages.slice()
    inode.size = inode.durableSize = size
    pages.forEach(() => inode.allocated++)
    return inode
  }

  /** The bytes as processes see them, copied to `target`; how many there were. */
  read(target: Uint8Array, position: number): number {
    const end = Math.min(this.size, position + target.length)
    for (let at = position; at < end;) {
      const index = Math.floor(at / PAGE_BYTES)
      const start = at - index * PAGE_BYTES
      const length = Math.min(PAGE_BYTES - start, end - at)
      const page = this.pages[index]
      if (page === undefined) target.fill(0, at - position, at - position + length)
      else target.set(page.subarray(start, start + length), at - position)
      at += length
    }
    return Math.max(0, end - position)
  }

  /** Writes as much of `data` as fits in `freePages` more pages; how many bytes that was. */
  write(data: Uint8Array, position: number, order: number, freePages: number): number {
    if (data.length === 0) return 0
    let free = freePages
    const end = position + data.length
    let at = position
    while (at < end) {
      const index = Math.floor(at / PAGE_BYTES)
      const start = at - index * PAGE_BYTES
      const length = Math.min(PAGE_BYTES - start, end - at)
      const base = this.pages[index]
      if (base === undefined && free-- <= 0) break
      this.replace(index, pageWith(base, data.subarray(at - position, at - position + length), start), base, order, {
        start,
        length,
      })
      at += length
    }
    if (at > this.size) this.resize(at, order, false)
    return at - position
  }

  /** Changes the size. */
  truncate(size: number, order: number): void {
    if (size === this.size) return
    const cut = size < this.size
    if (cut) {
      const index = Math.floor(size / PAGE_BYTES)
      const start = size % PAGE_BYTES
      const base = this.pages[index]
      this.pages.length = Math.min(this.pages.length, Math.ceil(size / PAGE_BYTES))
      this.allocated = 0
      this.pages.forEach(() => this.allocated++)
      if (start > 0 && base !== undefined) {
        const length = PAGE_BYTES - start
        this.replace(index, pageWith(base, ZEROS.subarray(start), start), base, order, { start, length })
      }
    }
    this.resize(size, order, cut)
  }

  /** All up to `order` is durable. */
  sync(order: number): void {
    this.syncSize(order)
    for (const [index, versions] of this.pending) {
      let count = 0
      for (const version of versions) {
        if (version.order > order) break
        this.promote(index, version, version.mask)
        count++
      }
      this.forget(index, versions, count)
    }
  }

  /** What the write of this order put into these pages is durable, and nothing else (O_DSYNC). */
  syncWrite(order: number, position: number, bytes: number): void {
    this.syncSize(order)
    const last = Math.floor((position + bytes - 1) / PAGE_BYTES)
    for (let index = Math.floor(position / PAGE_BYTES); index <= last; index++) {
      const versions = this.pending.get(index)
      const version = versions?.find((version) => version.order === order)
      if (versions === undefined || version === undefined) continue
      this.promote(index, version, version.mask)
      const { mask } = version
      for (const older of versions) if (older.order <= order) older.mask &= ~mask
      const left = versions.filter((version) => version.mask !== 0)
      if (left.length === 0) this.pending.delete(index)
      else this.pending.set(index, left)
    }
  }

  /**
   * A sync up to `order` has failed: the kernel takes what it had to write for clean. Whatever had not reached the disk is
   * lost, although it is still visible, and no later sync will write it.
   *
   * @param from only writes from this order on (those of one failed O_DSYNC write)
   */
  failSync(order: number, random: SeededRandom, from = 0): void {
    const losesAll = random.chance(0.5)
    if (from === 0) {
      const changes = this.sizes.findIndex((change) => change.order > order)
      const known = changes < 0 ? this.sizes.length : changes
      const kept = losesAll ? 0 : random.int(known + 1)
      if (kept > 0) this.syncSize((this.sizes[kept - 1] as SizeChange).order)
      this.sizes = this.sizes.filter((change) => change.order > order)
    }
    for (const [index, versions] of this.pending) {
      const left: PageVersion[] = []
      for (const version of versions) {
        if (version.order > order || version.order < from) {
          left.push(version)
          continue
        }
        const kept = losesAll ? 0 : version.mask & random.uint32()
        this.promote(index, version, kept)
        this.lost.set(index, (this.lost.get(index) ?? 0) | (version.mask & ~kept))
      }
      if (left.length === 0) this.pending.delete(index)
      else this.pending.set(index, left)
    }
  }

  /** Whether a failed sync has lost something that is still seen. */
  get hasLost(): boolean {
    return this.lost.size > 0
  }

  /** What a failed sync lost is read from the disk again, because the cache, which takes it for clean, needed the room. */
  evictLost(): void {
    for (const [index, mask] of this.lost) {
      if (this.pages[index] === undefined) continue
      const page = composePage(this.pages[index], this.durable[index] ?? ZEROS, mask)
      if (page !== undefined) this.pages[index] = page
    }
    this.lost.clear()
    cutPages(this.pages, this.size)
  }

  private replace(
    index: number,
    page: Page,
    base: Page | undefined,
    order: number,
    range: { readonly start: number; readonly length: number },
  ): void {
    if (base === undefined) this.allocated++
    this.pages[index] = page
    const first = Math.floor(range.start / SECTOR_BYTES)
    const last = Math.floor((range.start + range.length - 1) / SECTOR_BYTES)
    const mask = (2 << last) - (1 << first)
    if (this.lost.size > 0) this.lost.set(index, (this.lost.get(index) ?? 0) & ~mask)
    const version: PageVersion = { order, page, base, mask }
    const versions = this.pending.get(index)
    if (versions === undefined) this.pending.set(index, [version])
    else versions.push(version)
  }

  private resize(size: number, order: number, cut: boolean): void {
    this.size = size
    this.sizes.push({ order, size, cut })
  }

  private syncSize(order: number): void {
    let count = 0
    for (const change of this.sizes) {
      if (change.order > order) break
      count++
      this.durableSize = change.size
      if (!change.cut) continue
      cutPages(this.durable, change.size)
      dropBeyond(this.pending, change)
    }
    if (count > 0) this.sizes.splice(0, count)
  }

  private promote(index: number, version: PageVersion, mask: number): void {
    const durable = this.durable[index]
    // The usual case, and it keeps live and durable page the same object: nothing else is pending beneath the write.
    const page =
      durable === version.base && mask === version.mask ? version.page : composePage(durable, version.page, mask)
    if (page !== undefined) this.durable[index] = page
  }

  private forget(index: number, versions: PageVersion[], count: number): void {
    if (count === versions.length) this.pending.delete(index)
    else if (count > 0) versions.splice(0, count)
  }
}

/** Forgets versions of whole pages that a truncation threw away. */
export function dropBeyond(pending: Map<number, PageVersion[]>, change: SizeChange): void {
  const first = Math.ceil(change.size / PAGE_BYTES)
  for (const [index, versions] of pending) {
    if (index < first) continue
    const left = versions.filter((version) => version.order > change.order)
    if (left.length === 0) pending.delete(index)
    else if (left.length < versions.length) pending.set(index, left)
  }
}

function pageWith(base: Page | undefined, data: Uint8Array, start: number): Page {
  if (data.length === PAGE_BYTES) return Buffer.compare(data, ZEROS) === 0 ? ZEROS : data.slice()
  const page = new Uint8Array(PAGE_BYTES)
  if (base !== undefined) page.set(base)
  page.set(data, start)
  return page
}
