/** The lines of a text file, compressed or not, one at a time. */
import { createReadStream } from 'node:fs'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { InputError } from './input-error.ts'

/** Lines end with LF or CRLF, which are not part of them; a file whose name ends with `.gz` is unpacked on the way. */
export async function* linesOf(path: string): AsyncIterableIterator<string> {
  const stream = open(path).setEncoding('utf8')
  let rest = ''
  try {
    for await (const chunk of stream) {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line
    }
  } catch (error) {
    throw new InputError(`cannot read ${path}: ${reasonOf(error)}`, { cause: error })
  }
  if (rest !== '') yield rest.endsWith('\r') ? rest.slice(0, -1) : rest
}

function open(path: string): Readable {
  const file = createReadStream(path)
  if (!path.endsWith('.gz')) return file
  // What goes wrong in either stream ends the reading of the last one; there is nothing else to do about it.
  return pipeline(file, createGunzip(), () => {})
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EISDIR') return 'it is a directory'
  if (code === 'EACCES') return 'permission denied'
  return message
}
