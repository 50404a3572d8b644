/** A directory for a database that goes when the test ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database, type DatabaseOptions, type Key } from '../../src/index.ts'

export class Directory {
  readonly root: string = mkdtempSync(join(tmpdir(), 'varve-'))
  readonly path: string = join(this.root, 'data')

  open(options: DatabaseOptions = {}): Promise<Database<Key, unknown>> {
    return Database.open({ path: this.path, ...options })
  }

  /** Opens, does something, closes. */
  async session<T>(act: (db: Database<Key, unknown>) => T | Promise<T>, options: DatabaseOptions = {}): Promise<T> {
    const db = await this.open(options)
    try {
      return await act(db)
    } finally {
      await db.close()
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}
