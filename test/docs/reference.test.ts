/**
 * docs/reference.md is complete, and names nothing that does not exist: exported names, members, options, figures, events, error
 * codes. What a table of it is about is told by its place and its first column; the names in it are the code spans of the
 * first cells, up to a parenthesis.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { codecs } from '../../src/codecs/index.ts'
import { Database } from '../../src/database.ts'
import { ERROR_CODES, type VarveError } from '../../src/errors.ts'
import { keys } from '../../src/keys/index.ts'
import { merges } from '../../src/maplet/index.ts'
import { maps } from '../../src/maps.ts'
import {
  checkTableOptions,
  defaultTransactionOptions,
  resolveOptions,
  resolveTransactionOptions,
} from '../../src/options.ts'
import { readMarkdown, root } from '../support/markdown.ts'

/** Text of the first column's head, and the names in the column, of one table. */
interface ReferenceTable {
  readonly section: string
  readonly head: string
  readonly names: readonly string[]
}

function tablesOf(lines: readonly string[]): ReferenceTable[] {
  const found: (ReferenceTable & { names: string[] })[] = []
  let section = ''
  let current: (ReferenceTable & { names: string[] }) | undefined
  for (const text of lines) {
    const heading = /^##+ (.*)$/.exec(text)
    if (heading !== null) section = heading[1]!
    // Names are listed by entry point: `Of `varve`:`.
    const owner = /^Of `(varve[\w/]*)`:$/.exec(text)
    if (owner !== null) section = `exports of ${owner[1]}`
    if (!text.startsWith('|')) {
      current = undefined
      continue
    }
    const cell = text.slice(1).split(' | ')[0]!.replaceAll('|', '').trim()
    if (current === undefined) found.push((current = { section, head: cell, names: [] }))
    else if (!cell.startsWith('---'))
      current.names.push(...[...cell.matchAll(/`([^`]+)`/g)].map((span) => nameIn(span[1]!)))
  }
  return found
}

/** The name at the beginning of `name(arguments)`. */
function nameIn(span: string): string {
  return span.replace(/\(.*$/, '')
}

const documented = tablesOf(readMarkdown('docs/reference.md').prose.map(({ text }) => text))

/** The names of all tables of a section, or of the one of them with that head. */
function namesOf(section: string, head?: string): string[] {
  const tables = documented.filter((table) => table.section === section && (head === undefined || table.head === head))
  if (tables.length === 0) throw new Error(`docs/reference.md has no table '${head ?? ''}' under '${section}'`)
  return tables.flatMap(({ names }) => names)
}

const source = (path: string): string => readFileSync(join(root, 'src', path), 'utf8')

/** What a module exports by name. */
function exportsOf(path: string): string[] {
  const text = source(path)
  const own = text.matchAll(/^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm)
  const lists = text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)
  const listed = [...lists].flatMap((list) =>
    list[1]!.split(',').flatMap((part) => part.trim().match(/[\w$]+$/)?.[0] ?? []),
  )
  return [...[...own].map((match) => match[1]!), ...listed]
}

/** The public members that a class or interface of a file declares itself. */
function membersOf(path: string, name: string): string[] {
  const body = new RegExp(`^export (?:class|interface) ${name}\\b[^]*?^\\}`, 'm').exec(source(path))?.[0]
  if (body === undefined) throw new Error(`src/${path} has no ${name}`)
  const found = new Set<string>()
  let isInternal = false
  for (const line of body.split('\n').slice(1)) {
    if (line.includes('@internal')) isInternal = true
    const member = /^ {2}(?:(?:static|async|readonly|override|get) )*\*?(\w+|\[Symbol\.\w+\])[?]?[(<:=]/.exec(line)
    if (member === null || member[1] === 'constructor') {
      if (/^ {2}\S/.test(line) && !/^ {2}(\/\*\*| \*|\})/.test(line)) isInternal = false
      continue
    }
    if (!isInternal) found.add(member[1]!)
    isInternal = false
  }
  return [...found]
}

function expectSame(names: readonly string[], wanted: readonly string[]): void {
  expect([...names].sort()).toEqual([...wanted].sort())
}

describe('docs/reference.md', () => {
  it.each([
    ['varve', 'index.ts'],
    ['varve/skiplist', 'skiplist/index.ts'],
    ['varve/maplet', 'maplet/index.ts'],
    ['varve/testing', 'testing.ts'],
  ])('names what %s exports', (section, path) => {
    expectSame(namesOf(`exports of ${section}`), exportsOf(path))
  })

  it('names every entry point of the package', () => {
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: object }
    const points = Object.keys(exports).filter((path) => path !== './package.json')
    const owners = documented.flatMap(({ section }) => /^exports of (.*)/.exec(section)?.[1] ?? [])
    expectSame(
      [...new Set(owners)],
      points.map((path) => path.replace('.', 'varve')),
    )
  })

  it.each([
    ['Database', 'member', 'database.ts', 'Database'],
    ['Reader', 'member', 'reader.ts', 'Reader'],
    ['Handle', 'property of an entry', 'inspect.ts', 'EntryInfo'],
    ['Transaction', 'member', 'transaction.ts', 'Transaction'],
    ['Entry', 'member', 'entry.ts', 'Entry'],
    ['Entry', 'member', 'async-entry.ts', 'AsyncEntry'],
    ['Snapshot', 'member', 'snapshot.ts', 'Snapshot'],
    ['Range', 'property', 'keys/range.ts', 'Range'],
    ['Value codecs', 'member', 'codecs/codec.ts', 'ValueCodec'],
    ['Key codecs', 'member', 'keys/codecs.ts', 'KeyCodec'],
    ['Merge operators', 'member', 'maplet/merges.ts', 'MergeOperator'],
    ['Changes', 'property of a commit', 'watching/changes.ts', 'Commit'],
    ['Changes', 'property of a cursor', 'watching/cursor.ts', 'Cursor'],
    ['Reports', 'property of a check', 'database.ts', 'CheckReport'],
    ['Reports', 'property of a checkpoint', 'durability/options.ts', 'CheckpointReport'],
    ['Reports', 'property of a conflict', 'errors.ts', 'ConflictReport'],
    ['Reports', 'property of an edge', 'errors.ts', 'ConflictEdge'],
    ['Errors', 'property of an error', 'errors.ts', 'VarveError'],
    ['varve/skiplist', 'option', 'skiplist/skip-list.ts', 'SkipListOptions'],
    ['varve/skiplist', 'member', 'skiplist/skip-list.ts', 'SkipList'],
    ['varve/maplet', 'option', 'maplet/maplet.ts', 'MapletOptions'],
    ['varve/maplet', 'member of Maplet', 'maplet/maplet.ts', 'Maplet'],
    ['varve/maplet', 'member of Filter', 'maplet/filter.ts', 'Filter'],
    ['varve/testing', 'member of a fixture', 'testing.ts', 'ForkFixture'],
    ['varve/testing', 'member of a clock', 'testing.ts', 'TestClock'],
    ['varve/testing', 'option of a disk', 'testing.ts', 'TestDiskOptions'],
    ['varve/testing', 'member of a disk', 'testing.ts', 'TestDisk'],
  ])('%s: names each %s of src/%s, %s', (section, head, path, name) => {
    expectSame(namesOf(section, head), membersOf(path, name))
  })

  it.each([
    ['property of one of its changes', 'watching/changes.ts', 'ChangedEntry'],
    ['property of a change', 'watching/watch.ts', 'ChangedKey'],
  ])('names each %s, whether it has a value or not', (head, path, name) => {
    expectSame(namesOf('Changes', head), [...membersOf(path, name), 'kind', 'value'])
  })

  it('names what a handle has besides what every reader has', () => {
    const inherited = membersOf('reader.ts', 'Reader')
    const own = membersOf('handle.ts', 'Handle').filter((name) => !inherited.includes(name))
    expectSame(namesOf('Handle', 'member'), own)
  })

  it.each([
    ['codecs', 'Value codecs', 'codec', codecs],
    ['keys', 'Key codecs', 'codec', keys],
    ['maps', 'Maps', 'preset', maps],
    ['merges', 'Merge operators', 'operator', merges],
  ])('names each of %s', (name, section, head, object) => {
    expectSame(
      namesOf(section, head),
      Object.keys(object).map((key) => `${name}.${key}`),
    )
  })

  it('names each error code', () => {
    expect(namesOf('Errors', 'code')).toEqual(Object.keys(ERROR_CODES))
  })

  it('names each event, and its channel', async () => {
    const db = await Database.open()
    let message = ''
    try {
      db.on('no such event' as 'commit', () => undefined)
    } catch (error) {
      ;({ message } = error as VarveError)
    }
    await db.close()
    const events = /there are (.*)$/.exec(message)![1]!.split(', ')
    expectSame(namesOf('Events'), events)
    expectSame(
      namesOf('Diagnostics channels'),
      [...events, 'stats'].map((event) => `varve:${event}`),
    )
  })
})

describe('options in docs/reference.md', () => {
  const defaults = defaultTransactionOptions('serializable')
  /** Whatever may be the name of an option. */
  const candidates = [...new Set([...source('options.ts').matchAll(/\b(\w+)\??: /g)].map((match) => match[1]!))]

  /** Whether options with nothing but this one are told that there is no such option. */
  function isKnown(check: (options: never) => unknown, name: string): boolean {
    const given = name.split('.').reduceRight<unknown>((inner, part) => ({ [part]: inner }), undefined)
    try {
      check(given as never)
      return true
    } catch (error) {
      return !new RegExp(`\\b${name.replaceAll('.', '\\.')} is (unknown|not available)`).test((error as Error).message)
    }
  }

  /** All options that are taken, those of objects inside by dotted names. */
  function accepted(check: (options: never) => unknown, prefix = ''): string[] {
    return candidates.flatMap((candidate) => {
      const name = `${prefix}${candidate}`
      if (!isKnown(check, name)) return []
      // An object of options says so of what it does not know.
      return isKnown(check, `${name}.noSuchOption`) ? [name] : [name, ...accepted(check, `${name}.`)]
    })
  }

  it.each([
    ['Of the database', (options: never) => resolveOptions(options)],
    ['Of a table', (options: never) => checkTableOptions(options)],
    ['Of a transaction', (options: never) => resolveTransactionOptions(options, defaults)],
  ])('%s: those that are taken, and no others', (section, check) => {
    const names = namesOf(section, 'option')
    const taken = accepted(check)
    expect(taken.length).toBeGreaterThan(3)
    expect(names.filter((name) => !taken.includes(name))).toEqual([])
    const isDocumented = (name: string): boolean => names.some((each) => each === name || each.startsWith(`${name}.`))
    expect(taken.filter((name) => !isDocumented(name))).toEqual([])
  })

  it('of single calls: those of the interfaces', () => {
    const taken = [
      ...membersOf('watching/changes.ts', 'ChangesOptions'),
      ...membersOf('watching/watch.ts', 'WatchOptions'),
      ...membersOf('database.ts', 'ProgressOptions'),
      ...membersOf('options.ts', 'WriteOptions'),
      'safe',
    ]
    expectSame(namesOf('Of single calls'), [...new Set(taken)])
  })
})

describe('figures in docs/reference.md', () => {
  /** Paths of all figures: objects are opened, but for errors. */
  function pathsOf(value: unknown, path: string): string[] {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Error) return [path]
    return Object.entries(value).flatMap(([key, inner]) => pathsOf(inner, path === '' ? key : `${path}.${key}`))
  }

  it('are those of stats()', async () => {
    const path = mkdtempSync(join(tmpdir(), 'varve-reference-'))
    const db = await Database.open({ path })
    const { tables, ...rest } = db.stats()
    await db.close()
    rmSync(path, { recursive: true })
    const figures = [...pathsOf(rest, ''), ...pathsOf(tables['default'], 'tables[name]')]
    const names = namesOf('Statistics').filter((name) => !['disk', 'disk.log'].includes(name))
    expectSame(names, figures)
  })
})
