/** Checks of values that came out of JSON, one kind of value each: every one returns what it has checked, or throws. */

export class Checks {
  private readonly fail: (what: string) => Error

  /** `fail` makes the error from what is wrong. */
  constructor(fail: (what: string) => Error) {
    this.fail = fail
  }

  that(condition: boolean, what: string): void {
    if (!condition) throw this.fail(what)
  }

  /** An object with exactly these members. */
  members(value: unknown, at: string, names: readonly string[]): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.fail(`${at} is not an object`)
    const missing = names.find((name) => !Object.hasOwn(value, name))
    if (missing !== undefined) throw this.fail(`${at} has no member ${missing}`)
    const unknown = Object.keys(value).find((name) => !names.includes(name))
    if (unknown !== undefined) throw this.fail(`${at} has an unknown member`)
    return value as Record<string, unknown>
  }

  list(value: unknown, at: string): unknown[] {
    if (!Array.isArray(value)) throw this.fail(`${at} is not a list`)
    return value
  }

  /** A whole number that is exact. */
  whole(value: unknown, at: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
      throw this.fail(`${at} is not a whole number from ${least} to ${most}`)
    }
    return value + 0
  }

  number(value: unknown, at: string): number {
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.fail(`${at} is not a number`)
    return value
  }

  text(value: unknown, at: string): string {
    if (typeof value !== 'string') throw this.fail(`${at} is not a string`)
    return value
  }

  hex(value: unknown, at: string, digits: number): string {
    const text = this.text(value, at)
    if (text.length !== digits || !/^[0-9a-f]*$/.test(text))
      throw this.fail(`${at} is not ${digits} hexadecimal digits`)
    return text
  }

  distinct(values: readonly unknown[], what: string): void {
    this.that(new Set(values).size === values.length, what)
  }
}
