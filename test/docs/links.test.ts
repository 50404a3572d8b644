/** Every link between the project's documents leads somewhere. Links to other sites are not followed. */
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allMarkdown, anchors, links, parseMarkdown, readMarkdown, root } from '../support/markdown.ts'

/** What is wrong with a link of `file`, or undefined. */
function defect(file: string, target: string): string | undefined {
  if (/^[a-z][a-z+.-]*:/i.test(target)) return undefined
  const [path = '', anchor] = decodeURI(target).split('#')
  const linked = path === '' ? file : normalize(join(dirname(file), path))
  if (linked.startsWith('..')) return 'leads out of the project'
  if (!existsSync(join(root, linked))) return 'no such file'
  if (anchor === undefined || !linked.endsWith('.md')) return undefined
  return anchors(readMarkdown(linked)).has(anchor) ? undefined : 'no such heading'
}

describe('links', () => {
  it.each(allMarkdown())('%s', (file) => {
    const broken = links(readMarkdown(file)).flatMap(({ line, target }) => {
      const reason = defect(file, target)
      return reason === undefined ? [] : [`${file}:${line}: ${target}: ${reason}`]
    })
    expect(broken).toEqual([])
  })

  it('finds links, and skips code', () => {
    const text = ['[a](x.md) ![b](y.png "title") `[no](z.md)`', '[r]: w.md', '```', '[no](v.md)', '```'].join('\n')
    expect(links(parseMarkdown('t.md', text)).map(({ target }) => target)).toEqual(['x.md', 'y.png', 'w.md'])
  })

  it('sees what is broken', () => {
    expect(defect('README.md', 'docs/no-such-page.md')).toBe('no such file')
    expect(defect('README.md', '#no-such-heading')).toBe('no such heading')
    expect(defect('README.md', '../elsewhere.md')).toBe('leads out of the project')
    expect(defect('README.md', 'https://example.org/none')).toBeUndefined()
  })

  it('slugs headings as GitHub does', () => {
    const text = '# A `code` & more!\n## Twice\n## Twice\n### SERIALIZATION_FAILURE\n'
    expect([...anchors(parseMarkdown('t.md', text))]).toEqual([
      'a-code--more',
      'twice',
      'twice-1',
      'serialization_failure',
    ])
  })
})
