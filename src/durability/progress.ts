/** Telling how far a long walk has come. */

/** Called as a long walk goes on. What it throws is ignored. */
export type ProgressListener = (progress: { readonly doneBytes: number; readonly totalBytes: number }) => void

/** Calls a listener; what it throws is its own affair. */
export function report(listener: ProgressListener | undefined, doneBytes: number, totalBytes: number): void {
  if (listener === undefined) return
  try {
    listener({ doneBytes, totalBytes })
  } catch {
    // The walk goes on: a display that fails must not cost a backup.
  }
}
