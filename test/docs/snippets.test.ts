/**
 * Runs the documentation: every ```ts block of README.md and docs/ is type-checked against the built package and run as
 * a program of its own, in an empty directory. What the opening fence may say after `ts`:
 *
 *   no-run       only type-check
 *   continued    goes on where the block before it, in the same file, stopped: the two are one program
 *
 * A comment `// => text` states a line of output. If a program has any, its output must be exactly those lines, in order.
 * Blocks keep their line numbers, so a failure points into the document.
 */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { documentation, parseMarkdown, readMarkdown, root, type CodeBlock, type Markdown } from '../support/markdown.ts'

/** One or more blocks that are compiled, and perhaps run, as one module. */
interface Program {
  readonly name: string
  readonly blocks: readonly CodeBlock[]
  readonly runs: boolean
}

const runLimitMs = 120_000

function programs(markdown: Markdown): Program[] {
  const result: Program[] = []
  let chain: CodeBlock[] | undefined
  for (const block of markdown.blocks) {
    const at = `${block.file}:${block.line}`
    if (/^(typescript|tsx|mts|js|mjs|cjs|javascript)$/i.test(block.language)) throw new Error(`${at}: write \`\`\`ts`)
    if (block.language !== 'ts') continue
    const unknown = block.flags.find((flag) => flag !== 'no-run' && flag !== 'continued')
    if (unknown !== undefined) throw new Error(`${at}: '${unknown}' is neither 'no-run' nor 'continued'`)
    const runs = !block.flags.includes('no-run')
    const continued = block.flags.includes('continued')
    if (continued && chain === undefined) throw new Error(`${at}: continues no block that runs`)
    if (!runs) {
      result.push({ name: at, blocks: continued ? [...chain!, block] : [block], runs })
      if (!continued) chain = undefined
    } else if (continued) {
      chain!.push(block)
    } else {
      chain = [block]
      result.push({ name: at, blocks: chain, runs })
    }
  }
  return result
}

/** The module text: each line of code on the line it has in the document. */
function moduleText(program: Program): string {
  const lines: string[] = []
  for (const block of program.blocks) {
    while (lines.length < block.line) lines.push('')
    lines.push(...block.lines)
  }
  return `${lines.join('\n')}\n`
}

/** The output that the program's comments state, or undefined if they state none. */
function statedOutput(program: Program): string | undefined {
  const stated = program.blocks.flatMap((block) => block.lines.flatMap((line) => /\/\/ => (.*)$/.exec(line)?.[1] ?? []))
  return stated.length === 0 ? undefined : stated.join('\n')
}

/** Compiles and runs programs in a directory of this process, inside the package so that `varve` resolves as for a user. */
class Workshop {
  readonly #directory: string
  readonly #diagnostics = new Map<string, string[]>()

  constructor(name: string) {
    this.#directory = join(root, '.snippets', `${name}-${process.pid}`)
  }

  compile(all: readonly Program[]): void {
    this.dispose()
    mkdirSync(join(this.#directory, 'src'), { recursive: true })
    for (const program of all) writeFileSync(this.#file('src', program, 'ts'), moduleText(program))
    const compilerOptions = {
      ...{ noEmit: false, rootDir: 'src', outDir: 'out', paths: {}, moduleDetection: 'force' },
      ...{ isolatedDeclarations: false, declaration: false },
    }
    const config = { extends: '../../tsconfig.json', compilerOptions, include: ['src'] }
    writeFileSync(join(this.#directory, 'tsconfig.json'), JSON.stringify(config))
    const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '-p', this.#directory, '--pretty', 'false']
    const { stdout, stderr, error } = spawnSync(process.execPath, tsc, { cwd: root, encoding: 'utf8' })
    if (error !== undefined) throw error
    for (const line of `${stdout}${stderr}`.split('\n')) this.#note(line, all)
  }

  /** Complaints of the compiler about one program, placed in its document; without a program, those about none. */
  diagnostics(program?: Program): string[] {
    return this.#diagnostics.get(program?.name ?? '') ?? []
  }

  /** Runs a compiled program to its end and returns what it printed. */
  run(program: Program): Promise<string> {
    const cwd = join(this.#directory, 'cwd', this.#baseName(program))
    mkdirSync(cwd, { recursive: true })
    const script = ['--enable-source-maps', this.#file('out', program, 'js')]
    return new Promise((resolve, reject) => {
      execFile(process.execPath, script, { cwd, timeout: runLimitMs, encoding: 'utf8' }, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout.trimEnd())
        const how = error.killed === true ? `did not end within ${runLimitMs} ms` : `ended with code ${error.code}`
        const place = this.#file('src', program, 'ts')
        const output = `${stdout}${stderr}`
          .replaceAll(`file://${place}`, place)
          .replaceAll(place, program.blocks[0]!.file)
        reject(new Error(`${program.name} ${how}\n${output}`))
      })
    })
  }

  dispose(): void {
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #note(line: string, all: readonly Program[]): void {
    if (line.trim() === '') return
    const place = /^.*\/src\/([^/]+)\.ts\((\d+),(\d+)\): (.*)$/.exec(line)
    const program = place === null ? undefined : all.find((each) => this.#baseName(each) === place[1])
    const name = program?.name ?? ''
    const text = program === undefined ? line : `${program.blocks[0]!.file}:${place![2]}:${place![3]}: ${place![4]}`
    this.#diagnostics.set(name, [...(this.#diagnostics.get(name) ?? []), text])
  }

  #file(directory: string, program: Program, extension: string): string {
    return join(this.#directory, directory, `${this.#baseName(program)}.${extension}`)
  }

  #baseName(program: Program): string {
    return program.name.replaceAll('/', '-').replace(':', '-line-')
  }
}

/** The snippets run what `npm run build` left; what is older than its sources proves nothing. */
function requireFreshBuild(): void {
  const built = join(root, 'dist/index.js')
  if (!existsSync(built)) throw new Error('dist/index.js is missing: npm run build')
  const { mtimeMs } = statSync(built)
  for (const name of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    const isSource = name.endsWith('.ts') && !name.endsWith('.d.ts')
    if (isSource && statSync(join(root, 'src', name)).mtimeMs > mtimeMs) {
      throw new Error(`dist is older than src/${name}: npm run build`)
    }
  }
}

describe('documentation', () => {
  const workshop = new Workshop('documentation')
  const all = documentation().flatMap((file) => programs(readMarkdown(file)))
  const running = all.filter((program) => program.runs)

  beforeAll(() => {
    if (all.length === 0) return
    requireFreshBuild()
    workshop.compile(all)
  })
  afterAll(() => workshop.dispose())

  it(`compiles ${all.length} programs, ${running.length} of which run`, () => {
    expect(workshop.diagnostics()).toEqual([])
  })

  for (const program of all) {
    it.concurrent(program.name, async ({ expect: expectHere }) => {
      expectHere(workshop.diagnostics(program)).toEqual([])
      if (!program.runs) return
      const printed = await workshop.run(program)
      const stated = statedOutput(program)
      if (stated !== undefined) expectHere(printed, `${program.name}: output`).toBe(stated)
    })
  }
})

describe('the runner itself', () => {
  const parse = (...lines: string[]): Program[] => programs(parseMarkdown('t.md', lines.join('\n')))

  it('joins continued blocks and keeps line numbers', () => {
    const found = parse(
      '# T',
      '```ts',
      'let a = 1',
      '```',
      'text',
      '```ts no-run continued',
      'a = 2',
      '```',
      '```ts continued',
      'a = 3 // => 3',
      '```',
    )
    expect(found.map(({ name, runs }) => [name, runs])).toEqual([
      ['t.md:2', true],
      ['t.md:6', false],
    ])
    expect(moduleText(found[0]!)).toBe('\n\nlet a = 1\n\n\n\n\n\n\na = 3 // => 3\n')
    expect(moduleText(found[1]!)).toBe('\n\nlet a = 1\n\n\n\na = 2\n')
    expect(found.map(statedOutput)).toEqual(['3', undefined])
  })

  it('refuses fences it does not know', () => {
    expect(() => parse('```ts norun', '```')).toThrow("t.md:1: 'norun' is neither")
    expect(() => parse('```javascript', '```')).toThrow('t.md:1: write ```ts')
    expect(() => parse('```ts continued', '```')).toThrow('t.md:1: continues no block')
    expect(() => parse('```ts', '')).toThrow('t.md:1: the code block is never closed')
  })

  it('reports compiler errors, exceptions and endless programs where they stand in the document', async () => {
    const workshop = new Workshop('runner')
    const [wrong, throwing, printing] = parse(
      ...['```ts', 'const n: number = "a"', 'export { n }', '```'],
      ...['```ts', 'const text: string = "b"', 'throw new Error(text)', '```'],
      ...['```ts', 'console.log(1 + 1) // => 2', '```'],
    ) as [Program, Program, Program]
    workshop.compile([wrong, throwing, printing])
    expect(workshop.diagnostics(wrong)).toEqual([
      "t.md:2:7: error TS2322: Type 'string' is not assignable to type 'number'.",
    ])
    expect(workshop.diagnostics(throwing)).toEqual([])
    expect(workshop.diagnostics()).toEqual([])
    await expect(workshop.run(throwing)).rejects.toThrow(/t\.md:5 ended with code 1\n.*t\.md:7/s)
    expect(await workshop.run(printing)).toBe('2')
    workshop.dispose()
  })
})
