/** Something only the user can mend: an argument, a file. It is told in one line, and the program ends with code 2. */
export class InputError extends Error {
  override readonly name: string = 'InputError'
}
