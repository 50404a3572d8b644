/** Those who wait for the same thing, told all at once. */
export class Waiters {
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
    })
  }

  resolve(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve()
  }

  reject(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
