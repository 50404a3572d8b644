import { expect, it } from 'vitest'
import { ERROR_CODES } from '../../src/errors.ts'
import { headings, readMarkdown } from '../support/markdown.ts'

it('docs/errors.md has one heading for every code of src/errors.ts, in the same order, and no other', () => {
  const documented = headings(readMarkdown('docs/errors.md')).filter((heading) => /^[A-Z_]+$/.test(heading))
  expect(documented).toEqual(Object.keys(ERROR_CODES))
})
