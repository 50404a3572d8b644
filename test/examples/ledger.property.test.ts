/** Properties of the ledger example: money to the cent, fields as they were written, generated journals that are read. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { generateJournal } from '../../examples/ledger/generator.ts'
import { readJournal, splitFields } from '../../examples/ledger/journal.ts'
import { formatCents, parseCents } from '../../examples/ledger/money.ts'
import { fcParameters } from '../support/random.ts'

describe('money', () => {
  it('reads back what it writes', () => {
    const cents = fc.maxSafeNat()
    fc.assert(
      fc.property(cents, (amount) => {
        expect(parseCents(formatCents(amount).replaceAll(',', ''))).toBe(amount)
        if (amount !== 0) expect(formatCents(-amount)).toBe(`-${formatCents(amount)}`)
      }),
      fcParameters(300),
    )
  })

  it('is exact, where multiplying by 100 is not', () => {
    expect(Math.trunc(Number('0.29') * 100)).toBe(28)
    expect(['0.29', '1.1', '700', '0.00', '5123.00', '90071992547409.91'].map(parseCents)).toEqual([
      29,
      110,
      70_000,
      0,
      512_300,
      Number.MAX_SAFE_INTEGER,
    ])
    expect([0, 5, -5, 100, 123_456, -123_456_789].map(formatCents)).toEqual([
      ...['0.00', '0.05', '-0.05', '1.00', '1,234.56', '-1,234,567.89'],
    ])
  })

  it('takes nothing that is not an amount', () => {
    const texts = [
      '',
      '.',
      '.5',
      '5.',
      '1.005',
      '-1',
      '+1',
      ' 1',
      '1,5',
      '1e3',
      '0x1',
      'NaN',
      '90071992547409.92',
      '1.0\n',
    ]
    expect(texts.filter((text) => parseCents(text) !== undefined)).toEqual([])
  })
})

describe('fields', () => {
  const field = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom('"', ';', 'a', ' ') }))

  it('come back as they were quoted', () => {
    fc.assert(
      fc.property(fc.array(field, { minLength: 1 }), (fields) => {
        const text = fields.map((each) => `"${each.replaceAll('"', '""')}"`).join(';')
        expect(splitFields(text)).toEqual(fields)
      }),
      fcParameters(300),
    )
  })

  it('come back plain where they need no quotes', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string().filter((each) => !/[";]/.test(each)),
          { minLength: 1 },
        ),
        (fields) => {
          expect(splitFields(fields.join(';'))).toEqual(fields)
        },
      ),
      fcParameters(100),
    )
  })
})

it('a generated journal is read without loss, whatever its seed and length', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(2 ** 32 - 1), fc.integer({ min: 1, max: 300 }), async (seed, length) => {
      const { movements, badRows } = await readJournal(generateJournal(length, seed), 'generated')
      expect(badRows).toEqual([])
      expect(movements).toHaveLength(length)
    }),
    fcParameters(50),
  )
})
