/** A directory on the real file system: names, modes, kinds, and a worker or what stands in for it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Directory, type DirectoryOptions } from '../../src/durability/index.ts'
import { NodeStorage } from '../../src/storage/index.ts'
import { Random } from '../support/random.ts'
import { Ledger, optionsFor, someChanges } from './sessions.ts'

let root: string
let path: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'varve-directory-'))
  path = join(root, 'data base', 'żółw')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const open = async (overrides: Partial<DirectoryOptions> = {}): Promise<Directory> =>
  Directory.open(optionsFor(new NodeStorage(), { path, background: undefined, ...overrides }))

async function filled(ledger: Ledger): Promise<void> {
  const directory = await open()
  const random = new Random('node')
  for (let i = 0; i < 30; i++) {
    if (i % 10 === 5) await directory.checkpoint()
    await ledger.commit(directory, someChanges(random, 12, 600))
  }
  await directory.close()
}

describe('a directory on a real disk', () => {
  it('keeps everything over sessions, through symbolic links and relative paths too', async () => {
    const ledger = new Ledger()
    await filled(ledger)
    symlinkSync(join(root, 'data base'), join(root, 'link'))
    for (const way of [path, `${path}/`, relative(process.cwd(), path), join(root, 'link', 'żółw')]) {
      const directory = await open({ path: way })
      ledger.expectFound(directory, ledger.history.length)
      await ledger.commit(directory, [{ key: 'way', value: way }])
      await expect(open()).rejects.toMatchObject({ code: 'LOCKED' })
      await expect(open({ readOnly: true })).rejects.toMatchObject({ code: 'LOCKED' })
      await directory.close()
    }
    const reader = await open({ readOnly: true })
    ledger.expectFound(reader, ledger.history.length)
    await reader.close()
  })

  it('is for its owner alone, a backup too, whatever the umask', async () => {
    const copy = join(root, 'copy')
    const before = process.umask(0o000)
    try {
      const ledger = new Ledger()
      await filled(ledger)
      const directory = await open()
      await directory.backup(copy)
      await directory.close()
      const restored = await open({ path: copy })
      ledger.expectFound(restored, ledger.history.length)
      await restored.close()
    } finally {
      process.umask(before)
    }
    for (const directory of [path, copy, join(root, 'data base')]) {
      expect(statSync(directory).mode & 0o777).toBe(0o700)
      for (const name of readdirSync(directory)) {
        const mode = statSync(join(directory, name)).mode
        expect([name, mode & 0o077]).toEqual([name, 0])
      }
    }
  })

  it('refuses FIFOs, links and directories under names of its own, at once', async () => {
    const ledger = new Ledger()
    await filled(ledger)
    for (const name of ['wal-000000009999.log', 'run-000000009999.run', 'manifest.tmp-0123456789abcdef']) {
      const at = join(path, name)
      execFileSync('sh', ['-c', 'mkfifo "$0"', at])
      await expect(open()).rejects.toMatchObject({ code: 'CORRUPTION' })
      rmSync(at)
      mkdirSync(at)
      await expect(open({ readOnly: true })).rejects.toMatchObject({ code: 'CORRUPTION' })
      rmSync(at, { recursive: true })
      writeFileSync(join(root, 'precious'), 'x')
      symlinkSync(join(root, 'precious'), at)
      await expect(open()).rejects.toMatchObject({ code: 'CORRUPTION' })
      rmSync(at)
    }
    expect(statSync(join(root, 'precious')).size).toBe(1)
    const directory = await open()
    ledger.expectFound(directory, ledger.history.length)
    expect((await directory.verify()).problems).toEqual([])
    await directory.close()
  })

  it('opens again and again without growing', async () => {
    const ledger = new Ledger()
    await filled(ledger)
    const descriptors = (): number => readdirSync('/proc/self/fd').length
    const before = { files: readdirSync(path).length, descriptors: descriptors() }
    for (let i = 0; i < 20; i++) await (await open()).close()
    expect(readdirSync(path).length).toBeLessThanOrEqual(before.files + 1)
    expect(descriptors()).toBeLessThanOrEqual(before.descriptors + 2)
    const directory = await open()
    ledger.expectFound(directory, ledger.history.length)
    await directory.close()
  })
})
