/**
 * A database directory to damage, and the verdict on what opening a damaged copy of it gives: the right data or a clear
 * refusal, which leaves the files as they are.
 */
import { cpSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { codecs, Database, type Key, table, VarveError } from '../../src/index.ts'

const texts = table<number, string>('texts', { value: codecs.string() })
const OPTIONS = { wal: { segmentBytes: 64 * 1024, poolSize: 2 } } as const

/** What a damaged directory turned out to be. */
export type Verdict =
  | { readonly kind: 'right' }
  /** Some reads refused, with these messages, the others were right. */
  | { readonly kind: 'refused'; readonly at: 'open' | 'read'; readonly messages: readonly string[] }
  | { readonly kind: 'wrong'; readonly what: string }

/** Content by table and key, values as JSON. */
export type Content = ReadonlyMap<string, string>

export class Specimen {
  readonly root: string = mkdtempSync(join(tmpdir(), 'varve-damage-'))
  readonly original: string = join(this.root, 'original')
  /** What it holds. */
  content: Content = new Map()
  #copies = 0;

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true })
  }

  /**
   * Fills the original: two runs, deletes that hide what the older one holds, and a tail of the log in several segments.
   *
   * @param clean whether it is closed; otherwise the files are those of a process that was killed after all was synced
   */
  async make(clean: boolean, stamp = 'specimen'): Promise<void> {
    const path = clean ? this.original : join(this.root, 'living')
    const db = await Database.open({ path, ...OPTIONS })
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 400; i++) tx.set(`key ${i}`, `${stamp} ${i} ${'-'.repeat(i % 100)}`)
      for (let i = 0; i < 200; i++) tx.table(texts).set(i, `${stamp} ${i}`)
    })
    await db.checkpoint()
    await db.handle().transaction((tx) => {
      for (let i = 0; i < 400; i += 3) tx.delete(`key ${i}`)
      for (let i = 0; i < 50; i++) tx.set(`second ${i}`, { stamp, i })
    })
    await db.checkpoint()
    for (let i = 0; i < 100; i++) {
      await db.handle().transaction((tx) => {
        tx.set(`tail ${i}`, `${stamp} ${'+'.repeat((i * 37) % 3000)}`)
        tx.delete(`second ${i}`)
        tx.table(texts).set(i, `${stamp} tail ${i}`)
      })
    }
    this.content = await contentOf(db)
    await db.flush()
    if (!clean) cpSync(path, this.original, { recursive: true })
    await db.close()
  }

  /** Files of the original that carry data, in the order of their names. */
  files(): string[] {
    return readdirSync(this.original)
      .filter((name) => name !== 'lock')
      .sort()
  }

  read(name: string): Buffer {
    return readFileSync(join(this.original, name))
  }

  /** A copy, without the lock of whoever made the original. */
  copy(): string {
    const path = join(this.root, `copy-${this.#copies++}`)
    cpSync(this.original, path, { recursive: true })
    rmSync(join(path, 'lock'), { force: true })
    return path
  }

  /** Damages a copy, opens it, reads everything and removes it. */
  async judge(damage: (path: string) => void, contents: readonly Content[] = [this.content]): Promise<Verdict> {
    const path = this.copy()
    try {
      damage(path)
      return await judge(path, contents)
    } finally {
      rmSync(path, { recursive: true, force: true })
    }
  }
}

/** Opens a directory and reads everything. Right is any of the given contents. */
export async function judge(path: string, contents: readonly Content[]): Promise<Verdict> {
  const before = fingerprint(path)
  let db: Database<Key, unknown>
  try {
    db = await Database.open({ path, ...OPTIONS })
  } catch (error) {
    if (!(error instanceof VarveError)) return { kind: 'wrong', what: `open threw ${String(error)}` }
    const after = fingerprint(path)
    if (after !== before) return { kind: 'wrong', what: `a refused open changed the directory:\n${before}\n${after}` }
    return { kind: 'refused', at: 'open', messages: [`${error.code} ${error.message}`] }
  }
  try {
    return await judgeReads(db, contents)
  } finally {
    await db.close()
  }
}

async function judgeReads(db: Database<Key, unknown>, contents: readonly Content[]): Promise<Verdict> {
  const messages: string[] = []
  const refused = (error: unknown): void => {
    if (!(error instanceof VarveError)) throw error
    messages.push(`${error.code} ${error.message}`)
  }
  const candidates = new Set(contents)
  for (const name of new Set(contents.flatMap((content) => [...content.keys()]))) {
    const [tableName, key] = JSON.parse(name) as ['default' | 'texts', never]
    try {
      const value: unknown = tableName === 'default' ? db.handle().get(key) : db.handle(texts).get(key)
      for (const content of candidates)
        if (content.get(name) !== (value === undefined ? undefined : JSON.stringify(value))) candidates.delete(content)
    } catch (error) {
      refused(error)
    }
    if (candidates.size === 0) return { kind: 'wrong', what: `another value of ${name} than ever was` }
  }
  try {
    const found = await contentOf(db)
    if (![...candidates].some((content) => sameContent(content, found))) {
      return { kind: 'wrong', what: `a scan shows ${found.size} entries, not what was there` }
    }
  } catch (error) {
    refused(error)
  }
  const report = await db.check()
  if (messages.length > 0) {
    if (report.ok) return { kind: 'wrong', what: `reads are refused and check() finds nothing: ${messages[0]}` }
    return { kind: 'refused', at: 'read', messages: [...messages, ...report.problems] }
  }
  return { kind: 'right' }
}

function sameContent(a: Content, b: Content): boolean {
  return a.size === b.size && [...a].every(([name, value]) => b.get(name) === value)
}

/** Everything in a database. */
export async function contentOf(db: Database<Key, unknown>): Promise<Content> {
  const content = new Map<string, string>()
  for (const [key, value] of db.handle().entries()) content.set(JSON.stringify(['default', key]), JSON.stringify(value))
  for (const [key, value] of db.handle(texts).entries())
    content.set(JSON.stringify(['texts', key]), JSON.stringify(value))
  return content
}

/** Names, kinds, sizes and bytes of a directory but for its lock. */
function fingerprint(path: string): string {
  return readdirSync(path)
    .filter((name) => name !== 'lock' && !name.startsWith('lock'))
    .sort()
    .map((name) => {
      const stat = lstatSync(join(path, name))
      return `${name} ${stat.mode} ${stat.size} ${stat.isFile() ? hash(readFileSync(join(path, name))) : ''}`
    })
    .join('\n')
}

function hash(bytes: Buffer): number {
  let result = 0
  for (let i = 0; i < bytes.length; i++) result = (Math.imul(result, 31) + bytes[i]!) | 0
  return result
}
