/** Reads what the documentation promises out of its Markdown: code blocks, headings, links. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'

/** The directory of package.json. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url))

/** A fenced block. `line` is that of its opening fence, counted from 1; the code starts on the next. */
export interface CodeBlock {
  readonly file: string
  readonly line: number
  readonly language: string
  readonly flags: readonly string[]
  readonly lines: readonly string[]
}

/** A line of prose, outside every fenced block. */
export interface ProseLine {
  readonly line: number
  readonly text: string
}

/** One Markdown file, taken apart. `file` is relative to the root. */
export interface Markdown {
  readonly file: string
  readonly blocks: readonly CodeBlock[]
  readonly prose: readonly ProseLine[]
}

/** Paths, relative to the root, of README.md and everything under docs/. */
export function documentation(): string[] {
  return ['README.md', ...under('docs')].filter((file) => existsSync(join(root, file)))
}

/** Paths of every Markdown file that is part of the project. */
export function allMarkdown(): string[] {
  const top = readdirSync(root).filter((name) => name.endsWith('.md'))
  return [...top, ...under('docs'), ...under('examples')]
}

function under(directory: string): string[] {
  if (!existsSync(join(root, directory))) return []
  const names = readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
  return names
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${directory}/${name}`)
    .sort()
}

export function readMarkdown(file: string): Markdown {
  return parseMarkdown(file, readFileSync(join(root, file), 'utf8'))
}

export function parseMarkdown(file: string, text: string): Markdown {
  const blocks: CodeBlock[] = []
  const prose: ProseLine[] = []
  let open: { fence: string; indent: number; block: CodeBlock & { lines: string[] } } | undefined
  for (const [index, text_] of text.split(/\r?\n/).entries()) {
    const fence = /^(\s*)(`{3,})\s*(.*)$/.exec(text_)
    if (open === undefined) {
      if (fence === null) {
        prose.push({ line: index + 1, text: text_ })
        continue
      }
      const [language = '', ...flags] = fence[3]!.split(/\s+/).filter((word) => word !== '')
      open = {
        fence: fence[2]!,
        indent: fence[1]!.length,
        block: { file, line: index + 1, language, flags, lines: [] },
      }
    } else if (fence !== null && fence[2]!.length >= open.fence.length && fence[3] === '') {
      blocks.push(open.block)
      open = undefined
    } else {
      open.block.lines.push(text_.slice(Math.min(open.indent, text_.length - text_.trimStart().length)))
    }
  }
  if (open !== undefined) throw new Error(`${file}:${open.block.line}: the code block is never closed`)
  return { file, blocks, prose }
}

/** Headings in order, without their # and without backticks. */
export function headings(markdown: Markdown): string[] {
  return markdown.prose.flatMap(({ text }) => {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(text)
    return heading === null ? [] : [heading[1]!.replaceAll('`', '')]
  })
}

/** The anchors that GitHub gives to the headings. */
export function anchors(markdown: Markdown): Set<string> {
  const result = new Set<string>()
  for (const heading of headings(markdown)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('*', '')
    const slug = plain
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-')
    let anchor = slug
    for (let i = 1; result.has(anchor); i++) anchor = `${slug}-${i}`
    result.add(anchor)
  }
  return result
}

/** Targets of inline links, images and reference definitions. */
export function links(markdown: Markdown): { line: number; target: string }[] {
  return markdown.prose.flatMap(({ line, text }) => {
    const plain = text.replaceAll(/`[^`]*`/g, '``')
    const inline = [...plain.matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g)]
    const reference = [...plain.matchAll(/^\s*\[[^\]]+\]:\s+<?([^\s>]+)/g)]
    return [...inline, ...reference].map((match) => ({ line, target: match[1]! }))
  })
}
