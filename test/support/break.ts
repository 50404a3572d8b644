/** Breaking what is examined: a part of the engine is replaced for the length of one test, which must then find something. */
import { onTestFinished } from 'vitest'

/** A method, or what a getter does. */
export type Method = (this: never, ...args: never[]) => unknown

/** Something that has parts to break. */
export interface Breakable {
  readonly prototype: object
}

/** Replaces a method or getter until the test has ended. It must be there: what was renamed is not to pass for examined. */
export function breakMethod({ prototype }: Breakable, name: string, broken: (original: Method) => Method): void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)
  if (descriptor === undefined) throw new Error(`there is no ${name} to break any more`)
  const { value, get } = descriptor as { readonly value?: Method; readonly get?: Method }
  const kind = get === undefined ? 'value' : 'get'
  Object.defineProperty(prototype, name, { ...descriptor, [kind]: broken((get ?? value) as Method) })
  onTestFinished(() => void Object.defineProperty(prototype, name, descriptor))
}

/** What does nothing. */
export const nothing = (): Method => () => undefined
