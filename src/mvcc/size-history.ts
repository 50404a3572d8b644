/** How large a table was as of commits that somebody may read at: sizes are kept for open snapshots like any other version. */
import type { SnapshotSet } from './snapshots.ts'

/** Sizes kept before those that nobody sees are looked for. */
const SIZES_KEPT = 16

interface SizeVersion {
  readonly sequence: number
  readonly size: number
  readonly bytes: number
}

export class SizeHistory {
  private versions: SizeVersion[] = []
  /** The commit that changed the size last. */
  private newest = 0

  /** Keeps the size before the commit `sequence`, if somebody sees it. */
  before(sequence: number, size: number, bytes: number, snapshots: SnapshotSet): void {
    if (sequence === this.newest) return
    const pinned = snapshots.newest()
    if (pinned < 0) {
      if (this.versions.length > 0) this.versions.length = 0
    } else if (pinned >= this.newest) this.versions.push({ sequence: this.newest, size, bytes })
    this.newest = sequence
    if (this.versions.length > snapshots.size * 2 + SIZES_KEPT) this.prune(snapshots)
  }

  /** The size that the snapshot at `sequence` sees; null: that of now. */
  at(sequence: number): { readonly size: number; readonly bytes: number } | null {
    if (sequence >= this.newest) return null
    for (let i = this.versions.length - 1; i >= 0; i--) {
      const version = this.versions[i] as SizeVersion
      if (version.sequence <= sequence) return version
    }
    return { size: 0, bytes: 0 }
  }

  /** Forgets sizes that no open snapshot sees. */
  prune(snapshots: SnapshotSet): void {
    const { versions } = this
    if (versions.length === 0) return
    this.versions = versions.filter(({ sequence }, i) => {
      const end = versions[i + 1]?.sequence ?? this.newest
      return snapshots.newestWithin(sequence, end) !== null
    })
  }
}
