/** A test of the code itself: sizes, direction of imports, marks of unfinished work, docstrings of what is public. */
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from './support/markdown.ts'

interface SourceFile {
  /** Relative to the root, with forward slashes. */
  readonly path: string
  readonly text: string
}

function filesUnder(directory: string): SourceFile[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => ({ path: `${directory}/${name}`, text: readFileSync(join(root, directory, name), 'utf8') }))
}

const sources = filesUnder('src')
const tests = filesUnder('test').filter(({ path }) => path !== 'test/tidy.test.ts')

/** Every line that matches, as `file:line: text`. */
function matches(files: readonly SourceFile[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [])),
  )
}

/**
 * The rooms of src/, topmost first. A file may import from its own room and from rooms of lower layers, never from
 * above and never from a neighbour. `face` is src/*.ts and what is in `faceRooms`, but for the
 * files that lie beneath everything.
 */
const layers: readonly (readonly string[])[] = [
  ['face'],
  ['mvcc', 'durability'],
  ['runs'],
  ['skiplist', 'maplet', 'wal', 'eviction', 'arena'],
  ['keys', 'codecs', 'storage'],
  ['errors.ts', 'latency.ts', 'latin1.ts', 'limits.ts', 'next-turn.ts'],
]

/** Folders of the face: parts of it that have many files. */
const faceRooms: readonly string[] = ['watching']

function roomOf(path: string): string {
  const [first = '', ...rest] = path.replace(/^src\//, '').split('/')
  if (rest.length > 0) return faceRooms.includes(first) ? 'face' : first
  return layers.at(-1)!.includes(first) ? first : 'face'
}

function importsOf({ text }: SourceFile): string[] {
  const statements = text.matchAll(/^\s*(?:import|export)\b[^'"]*?\bfrom\s+'([^']+)'|^import\s+'([^']+)'/gm)
  const calls = text.matchAll(/\bimport\('([^']+)'\)/g)
  return [...statements, ...calls].map((match) => (match[1] ?? match[2])!)
}

/** What is wrong with an import, or undefined. */
function importDefect(file: SourceFile, specifier: string): string | undefined {
  const room = roomOf(file.path)
  if (/^(node:)?fs(\/|$)/.test(specifier)) return room === 'storage' ? undefined : 'only src/storage touches node:fs'
  if (!specifier.startsWith('.')) return undefined
  const target = roomOf(relative('.', join(dirname(file.path), specifier)))
  if (target === room) return undefined
  const from = layers.findIndex((layer) => layer.includes(room))
  const to = layers.findIndex((layer) => layer.includes(target))
  if (from < 0 || to < 0) return `'${from < 0 ? room : target}' has no place in the layers of this test`
  return to > from ? undefined : `${room} must not import ${target}`
}

/** Public symbols without a docstring, members of public classes and interfaces included. */
function undocumented(entry: string): string[] {
  const index = sources.find(({ path }) => path === entry)
  if (index === undefined) return [`${entry} is missing`]
  if (/^export \*/m.test(index.text)) return [`${entry}: 'export *' hides what is public`]
  const own = [
    ...index.text.matchAll(/^export (?:abstract |async )*(?:class|interface|type|const|function\*?) (\w+)/gm),
  ]
  const passedOn = index.text.matchAll(/^export\s+(?:type\s+)?\{([^}]*)\}\s+from\s+'([^']+)'/gm)
  return [
    ...own.flatMap((match) => undocumentedIn(entry, match[1]!)),
    ...[...passedOn].flatMap((match) => {
      const names = match[1]!.split(',').map(
        (name) =>
          name
            .trim()
            .replace(/^type\s+/, '')
            .split(' as ')[0]!,
      )
      const path = join(dirname(entry), match[2]!)
      return names.filter((name) => name !== '').flatMap((name) => undocumentedIn(path, name))
    }),
  ]
}

function undocumentedIn(path: string, name: string): string[] {
  const file = sources.find((source) => source.path === path)
  if (file === undefined) return [`${path} is missing`]
  const declaration = new RegExp(
    `^export (?:declare |abstract |async )*(class|interface|type|const|function\\*?) ${name.replace('$', '\\$')}\\b`,
  )
  const lines = file.text.split('\n')
  const at = lines.findIndex((line) => declaration.test(line))
  if (at < 0) {
    const passedOn = new RegExp(`export\\s+(?:type\\s+)?\\{[^}]*\\b${name}\\b[^}]*\\}\\s+from\\s+'([^']+)'`).exec(
      file.text,
    )
    return passedOn === null ? [`${path}: ${name} not found`] : undocumentedIn(join(dirname(path), passedOn[1]!), name)
  }
  const missing = isDocumented(lines, at) ? [] : [`${path}:${at + 1}: ${name}`]
  const kind = declaration.exec(lines[at]!)![1]
  if (kind !== 'class' && kind !== 'interface') return missing
  return [
    ...missing,
    ...undocumentedMembers(lines, at).map((line) => `${path}:${line + 1}: ${name}: ${lines[line]!.trim()}`),
  ]
}

/** A declaration is documented by a comment right above it; overloads share that of the first. */
function isDocumented(lines: readonly string[], at: number): boolean {
  const nameAt = (index: number): string | undefined =>
    /^\s*(?:export )?(?:\w+ )*?([\w$]+)[(<]/.exec(lines[index] ?? '')?.[1]
  const above = lines[at - 1]?.trim() ?? ''
  if (above.endsWith('*/')) return true
  return (
    at > 0 &&
    !above.endsWith('{') &&
    nameAt(at) !== undefined &&
    nameAt(at) === nameAt(at - 1) &&
    isDocumented(lines, at - 1)
  )
}

/** Lines of public members without a comment. Overriding members inherit theirs; constructors say theirs in the class. */
function undocumentedMembers(lines: readonly string[], at: number): number[] {
  if (lines[at]!.trimEnd().endsWith('}')) return []
  const end = lines.indexOf('}', at)
  const member =
    /^ {2}(?:static |readonly |async |abstract |get |declare )*\*?(?:[A-Za-z_$][\w$]*|\[Symbol\.\w+\])(?:\?|!)?(?:[(<:]| =)/
  const exempt = /^ {2}(?:private|protected|override|constructor|set|static \{)\b/
  const result: number[] = []
  for (let i = at + 1; i < end; i++) {
    const line = lines[i]!
    if (member.test(line) && !exempt.test(line) && !isDocumented(lines, i)) result.push(i)
  }
  return result
}

describe('src/', () => {
  it('has no file over 800 lines', () => {
    const long = sources.filter(({ text }) => text.split('\n').length > 801)
    expect(long.map(({ path }) => path)).toEqual([])
  })

  it('imports downward only, and leaves the disk to src/storage', () => {
    const defects = sources.flatMap((file) =>
      importsOf(file).flatMap((specifier) => {
        const defect = importDefect(file, specifier)
        return defect === undefined ? [] : [`${file.path}: '${specifier}': ${defect}`]
      }),
    )
    expect(defects).toEqual([])
  })

  it('holds no unfinished work and silences no check', () => {
    const marks =
      /\b(TODO|FIXME|XXX)\b|\bas any\b|@ts-(ignore|expect-error|nocheck)|(ox|es)lint-disable|not implemented/i
    expect(matches(sources, marks)).toEqual([])
  })

  it('takes time and chance from its caller below the face', () => {
    const below = sources.filter(({ path }) => roomOf(path) !== 'face')
    expect(matches(below, /^(?!\s*(\*|\/\/|\/\*)).*\b(Date\.now|performance\.now|Math\.random|new Date)\(\)/)).toEqual(
      [],
    )
  })

  it.each(['src/index.ts', 'src/skiplist/index.ts', 'src/maplet/index.ts', 'src/testing.ts'])(
    'documents all that %s exports',
    (entry) => {
      expect(undocumented(entry)).toEqual([])
    },
  )
})

describe('test/', () => {
  it('skips, singles out and postpones nothing', () => {
    expect(
      matches(
        tests,
        /\b(it|test|describe|suite|bench)\.(skip|only|todo|skipIf|runIf|fails)\(|\b(xit|xdescribe|fit|fdescribe)\(/,
      ),
    ).toEqual([])
  })

  it('holds no message against a bare pattern, which toMatchObject takes for anything', () => {
    expect(matches(tests, /\bmessage: \/(?![/*])/)).toEqual([])
  })

  it('takes chance from test/support/random.ts', () => {
    expect(matches(tests, /\bMath\.random\(\)/)).toEqual([])
  })
})

describe('package-lock.json', () => {
  it('lists the optional dependencies of every platform: npm ci refuses a lock that lacks one', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>
    }
    const missing = Object.entries(lock.packages).flatMap(([parent, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter(
        (name) => !(`node_modules/${name}` in lock.packages) && !(`${parent}/node_modules/${name}` in lock.packages),
      ),
    )
    expect(missing).toEqual([])
  })
})

describe('the checks of this file', () => {
  const at = (path: string, text = ''): SourceFile => ({ path, text })

  it('see every form of import', () => {
    const text = `import { a,\n  b } from './a.ts'\nimport type { C } from './c.ts'\nexport * from './d.ts'\nimport './e.ts'\nawait import('./f.ts')\n`
    expect(importsOf(at('src/x.ts', text))).toEqual(['./a.ts', './c.ts', './d.ts', './e.ts', './f.ts'])
  })

  it('know up from down', () => {
    expect(importDefect(at('src/mvcc/a.ts'), '../database.ts')).toBe('mvcc must not import face')
    expect(importDefect(at('src/skiplist/a.ts'), '../maplet/b.ts')).toBe('skiplist must not import maplet')
    expect(importDefect(at('src/keys/a.ts'), '../mvcc/b.ts')).toBe('keys must not import mvcc')
    expect(importDefect(at('src/errors.ts'), './options.ts')).toBe('errors.ts must not import face')
    expect(importDefect(at('src/mvcc/a.ts'), 'node:fs/promises')).toBe('only src/storage touches node:fs')
    expect(importDefect(at('src/mvcc/a.ts'), '../attic/b.ts')).toContain("'attic' has no place")
    for (const specifier of ['../keys/b.ts', '../errors.ts', './b.ts', '../skiplist/deep/c.ts', 'node:crypto']) {
      expect(importDefect(at('src/mvcc/a.ts'), specifier)).toBeUndefined()
    }
  })

  it('see missing docstrings', () => {
    const lines = [
      '/** Doc. */',
      'export class A {',
      '  get(k: K): V',
      '  /** Doc. */',
      '  set(k: K): void',
      '  set(k: K, v: V): void {',
      '  }',
      '  readonly size: number',
      '  #secret = 1',
      '  override toString(): string {',
      '}',
    ]
    expect(isDocumented(lines, 1)).toBe(true)
    expect(undocumentedMembers(lines, 1)).toEqual([2, 7])
  })
})
