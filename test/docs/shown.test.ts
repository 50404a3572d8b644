/**
 * What docs/ says is shown by a test is shown by one: every `room/file › name` in a code span is a test that exists.
 *
 * `room/file` stands for test/room/file.test.ts, .property.test.ts or .sim.test.ts. The name is that of an `it` or `describe` as
 * it is written in the source; … stands for any text, where the name is put together or long. A test that is renamed turns
 * this red: rename it in the documents too.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { documentation, readMarkdown, root } from '../support/markdown.ts'

const SUFFIXES = ['.test.ts', '.property.test.ts', '.sim.test.ts']

interface Reference {
  readonly at: string
  readonly file: string
  readonly name: string
}

function referencesIn(at: string, text: string): Reference[] {
  return [...text.matchAll(/`([\w-]+\/[\w-]+) › ([^`]+)`/g)].map((match) => ({ at, file: match[1]!, name: match[2]! }))
}

/** Texts of all string literals of a test file, templates as they are written. */
function literalsOf(source: string): string[] {
  const found = source.matchAll(/'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g)
  return [...found].map((match) => (match[1] ?? match[2] ?? match[3])!)
}

const literals = new Map<string, readonly string[]>()

/** What is wrong with a reference, or undefined. */
function defect({ file, name }: Reference): string | undefined {
  let known = literals.get(file)
  if (known === undefined) {
    const paths = SUFFIXES.map((suffix) => join(root, 'test', `${file}${suffix}`)).filter((path) => existsSync(path))
    if (paths.length === 0) return `there is no test/${file}.test.ts`
    known = paths.flatMap((path) => literalsOf(readFileSync(path, 'utf8')))
    literals.set(file, known)
  }
  const escaped = name.split('…').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const pattern = new RegExp(`^${escaped.join('.*')}$`)
  return known.some((literal) => pattern.test(literal)) ? undefined : `test/${file} has no test of that name`
}

/** The rows of all tables of a document with these columns, as cells. */
function rowsUnder(file: string, columns: readonly string[]): { line: number; cells: string[] }[] {
  const rows: { line: number; cells: string[] }[] = []
  let isInside = false
  for (const { line, text } of readMarkdown(file).prose) {
    const cells = text.split(' | ').map((cell) => cell.replaceAll(/^\||\|$/g, '').trim())
    if (!text.startsWith('|')) isInside = false
    else if (cells.join() === columns.join()) isInside = true
    else if (isInside && !text.startsWith('|---')) rows.push({ line, cells })
  }
  return rows
}

describe('tests that the documents name', () => {
  it.each(documentation())('of %s exist', (file) => {
    const references = readMarkdown(file).prose.flatMap(({ line, text }) => referencesIn(`${file}:${line}`, text))
    const broken = references.flatMap((reference) => {
      const reason = defect(reference)
      return reason === undefined ? [] : [`${reference.at}: '${reference.name}': ${reason}`]
    })
    expect(broken).toEqual([])
  })

  it('are there for every state that an opening may find', () => {
    const rows = rowsUnder('docs/durability.md', ['#', 'state', 'outcome', 'shown by'])
    expect(rows.map(({ cells }) => Number(cells[0]))).toEqual(rows.map((_, index) => index + 1))
    expect(rows.length).toBeGreaterThan(30)
    for (const [index, { line, cells }] of rows.entries()) {
      const shown = cells[3] ?? ''
      const isShown = referencesIn('', shown).length > 0 || (index > 0 && shown.startsWith('the same'))
      expect(isShown, `docs/durability.md:${line}: state ${cells[0]} names no test`).toBe(true)
    }
  })

  it('or a reason are there for every fault', () => {
    const rows = rowsUnder('docs/durability.md', ['fault', 'outcome', 'shown by'])
    expect(rows.length).toBeGreaterThan(50)
    for (const { line, cells } of rows) {
      const [, outcome = '', shown = ''] = cells
      const isShown = referencesIn('', shown).length > 0 || /^(the same|not tested: )/.test(shown)
      expect(isShown || outcome === 'not part of this version', `docs/durability.md:${line} names no test`).toBe(true)
    }
  })

  it('are missed if they are not there', () => {
    const reference = (file: string, name: string): Reference => ({ at: '', file, name })
    expect(defect(reference('docs/shown', 'are missed if they are not there'))).toBeUndefined()
    expect(defect(reference('docs/shown', 'are … not there'))).toBeUndefined()
    expect(defect(reference('docs/links', 'are missed if they are not there'))).toBe(
      'test/docs/links has no test of that name',
    )
    expect(defect(reference('docs/never', 'was'))).toBe('there is no test/docs/never.test.ts')
    expect(referencesIn('x:1', 'as `a/b › c d` and `e`')).toEqual(
      [reference('a/b', 'c d')].map((r) => ({ ...r, at: 'x:1' })),
    )
  })
})
