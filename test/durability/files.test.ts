import { describe, expect, it } from 'vitest'
import { Catalogue, mergedTables } from '../../src/durability/catalogue.ts'
import { takeInventory } from '../../src/durability/files.ts'
import { segmentName } from '../../src/wal/index.ts'

const file = (name: string): { name: string; kind: 'file' } => ({ name, kind: 'file' })

describe('names of files', () => {
  it('sorts ours by number, and leaves alone what is not exactly ours', () => {
    const inventory = takeInventory('/d', [
      file('wal-000000000010.log'),
      file('wal-000000000009.log'),
      file('run-000000000003.run'),
      file('manifest'),
      file('lock'),
      file('manifest.tmp-0123456789abcdef'),
      file('run-000000000004.run.tmp-0123456789abcdef'),
      ...[
        'wal-1.log',
        'wal-0000000000010.log',
        'WAL-000000000001.log',
        'manifest.tmp',
        'manifest.tmp-0123',
        'notes',
      ].map(file),
      file('run-000000000004.run.tmp-0123456789ABCDEF'),
      file('lock.tmp-0123456789abcdef'),
    ])
    expect(inventory).toEqual({
      manifest: true,
      segments: [9, 10],
      runs: [3],
      temporary: ['manifest.tmp-0123456789abcdef', 'run-000000000004.run.tmp-0123456789abcdef'],
    })
  })

  it('keeps the order of numbers in names', () => {
    const names = [9, 10, 999_999, 1_000_000, 999_999_999_999].map(segmentName)
    expect([...names].sort()).toEqual(names)
  })

  it.each(['manifest', 'wal-000000000001.log', 'run-000000000001.run', 'manifest.tmp-0123456789abcdef'])(
    'refuses a %s that is not a regular file',
    (name) => {
      expect(() => takeInventory('/d', [{ name, kind: 'directory' }])).toThrow(
        expect.objectContaining({ code: 'CORRUPTION', message: expect.stringContaining(`/d/${name} is a directory`) }),
      )
      expect(() => takeInventory('/d', [{ name, kind: 'other' }])).toThrow(/not a regular file/)
    },
  )

  it('takes no offence at foreign directories', () => {
    expect(takeInventory('/d', [{ name: 'backup', kind: 'directory' }]).manifest).toBe(false)
  })
})

describe('the catalogue', () => {
  const a = { id: 0, name: 'a', key: null, value: 'string' }

  it('gives ids above all that were (C1)', () => {
    const catalogue = new Catalogue('/d')
    expect(catalogue.nextId).toBe(0)
    catalogue.define({ ...a, id: 7 })
    expect(catalogue.nextId).toBe(8)
    expect(catalogue.find('a')?.id).toBe(7)
  })

  it('accepts the same definition twice, as when log and manifest overlap, and refuses a different one (C2)', () => {
    const catalogue = new Catalogue('/d', [{ ...a, entries: 2, bytes: 20 }])
    catalogue.define(a)
    expect(catalogue.entries()).toEqual([{ ...a, entries: 2, bytes: 20 }])
    for (const other of [{ value: 'bytes' }, { key: 'u64' }, { name: 'b' }, { id: 1 }]) {
      expect(() => catalogue.define({ ...a, ...other })).toThrow(expect.objectContaining({ code: 'CORRUPTION' }))
    }
  })

  it('keeps the longest schema of a table of structs, in whatever order they are met (C2)', () => {
    const value = 'struct:{id:u32}'
    const longer = 'struct:{id:u32,note:string?}'
    for (const [first, second] of [
      [value, longer],
      [longer, value],
    ] as const) {
      const catalogue = new Catalogue('/d', [{ ...a, value: first, entries: 2, bytes: 20 }])
      catalogue.define({ ...a, value: second })
      expect(catalogue.entries()).toEqual([{ ...a, value: longer, entries: 2, bytes: 20 }])
      expect(() => catalogue.define({ ...a, value: 'struct:{id:i32}' })).toThrow(/defined twice, and differently/)
    }
  })

  it('adds up sizes (C3)', () => {
    const definitions = [{ id: 1, name: 'b', key: 'u64', value: 'bytes' }]
    const deltas = [
      { id: 0, entries: 3, bytes: 30 },
      { id: 1, entries: 1, bytes: 5 },
      { id: 0, entries: -1, bytes: -10 },
    ]
    expect(mergedTables('/d', [{ ...a, entries: 2, bytes: 20 }], { definitions, deltas })).toEqual([
      { ...a, entries: 4, bytes: 40 },
      { ...definitions[0], entries: 1, bytes: 5 },
    ])
    expect(() => mergedTables('/d', [], { definitions: [], deltas })).toThrow(/defined nowhere/)
  })
})
