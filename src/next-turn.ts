/** Resolves once the event loop has turned: what works in slices lets others have theirs. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
