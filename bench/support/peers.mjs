/** The contestants that are not varve. What is not installed is left out, with a line that says so. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BTreeModule from 'sorted-btree'

/** sorted-btree is CommonJS. */
export const BTree = /** @type {any} */ (BTreeModule).default ?? BTreeModule

/**
 * SQLite through better-sqlite3, which needs a compiler or a prebuilt binary from GitHub; null where it has got neither.
 *
 * @param {string[]} notes
 */
export async function loadSqlite(notes) {
  try {
    const { default: Sqlite } = await import('better-sqlite3')
    new Sqlite(':memory:').close()
    return Sqlite
  } catch (error) {
    notes.push(`better-sqlite3 is left out: ${firstLine(error)}`)
    return null
  }
}

/**
 * LMDB on a directory that is thrown away, without syncs; null where its prebuilt binary does not load.
 *
 * @param {string[]} notes
 */
export async function openLmdb(notes) {
  try {
    const { open } = await import('lmdb')
    const path = mkdtempSync(join(tmpdir(), 'varve-bench-'))
    const db = open({ path, noSync: true })
    const close = async () => {
      await db.close()
      rmSync(path, { recursive: true, force: true })
    }
    return { db, close }
  } catch (error) {
    notes.push(`lmdb is left out: ${firstLine(error)}`)
    return null
  }
}

/**
 * Which of the peers that keep data on disk can be used here.
 *
 * @param {string[]} notes
 */
export async function installedPeers(notes) {
  const loads = async (name) => {
    try {
      await import(name)
      return true
    } catch (error) {
      notes.push(`${name} is left out: ${firstLine(error)}`)
      return false
    }
  }
  const sqlite = (await loadSqlite(notes)) !== null
  return { sqlite, lmdb: await loads('lmdb'), level: await loads('classic-level') }
}

/** @param {unknown} error */
function firstLine(error) {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0]
}

/**
 * Locks by key as they are mostly written by hand around a Map: each holder leaves a promise for the next one to await.
 * Whoever needs several takes them in ascending order.
 */
export class PromiseLocks {
  /** @type {Map<string, Promise<void>>} */
  #last = new Map()

  /**
   * @param {string} key
   * @returns {Promise<() => void>} what releases the lock
   */
  async acquire(key) {
    const before = this.#last.get(key)
    /** @type {() => void} */
    let release = () => {}
    const held = new Promise((resolve) => {
      release = resolve
    })
    this.#last.set(key, held)
    if (before !== undefined) await before
    return () => {
      if (this.#last.get(key) === held) this.#last.delete(key)
      release()
    }
  }
}

/** The same with less: a free lock is taken without waiting, a taken one is handed to whoever has waited longest. */
export class KeyLocks {
  /** @type {Map<string, (() => void)[] | null>} */
  #waiting = new Map()

  /**
   * @param {string} key
   * @returns {Promise<void> | null} null: the lock is yours
   */
  acquire(key) {
    const waiting = this.#waiting.get(key)
    if (waiting === undefined) {
      this.#waiting.set(key, null)
      return null
    }
    return new Promise((resolve) => {
      if (waiting === null) this.#waiting.set(key, [resolve])
      else waiting.push(resolve)
    })
  }

  /** @param {string} key */
  release(key) {
    const next = this.#waiting.get(key)?.shift()
    if (next === undefined) this.#waiting.delete(key)
    else next()
  }
}
