/** The presets: each is the table that its name says, and takes the other options. */
import { describe, expect, it } from 'vitest'
import { Database, type Handle, type Key, type Table, maps, merges } from '../../src/index.ts'

const schema = { id: 'u32', name: 'string' } as const
const KEYS = { u64: 5n, string: 'five', bytes: Uint8Array.of(5) }
const VALUES = {
  String: 'text',
  U64: 7n,
  Number: 0.5,
  Bytes: Uint8Array.of(1, 2, 3),
  Struct: { id: 1, name: 'n' },
  Value: { any: ['thing'] },
}

type Preset = (name: string, ...rest: unknown[]) => Table<Key, unknown>

describe('maps', () => {
  it.each(Object.keys(maps))('%s holds what it says and nothing else', async (preset) => {
    const [, keyKind = '', valueKind = ''] = /^(u64|string|bytes)(\w+)$/.exec(preset) ?? []
    const make = maps[preset as keyof typeof maps] as unknown as Preset
    const definition = valueKind === 'Struct' ? make('t', schema) : make('t')
    await using db = await Database.open()
    const handle: Handle<Key, unknown> = db.handle(definition)
    const key = KEYS[keyKind as keyof typeof KEYS]
    const value = VALUES[valueKind as keyof typeof VALUES]
    await handle.set(key, value)
    expect(handle.get(key)).toEqual(value)
    await expect(handle.set(1, value)).rejects.toMatchObject({ code: 'INVALID_KEY' })
    await expect(handle.set(key, valueKind === 'Value' ? undefined : Symbol('x'))).rejects.toMatchObject({
      code: 'INVALID_VALUE',
    })
  })

  it('take the other options of tables', async () => {
    await using db = await Database.open()
    const visits = db.handle(maps.stringU64('visits', { merge: merges.sum, capacity: { entries: 1000 } }))
    await visits.merge('home', 1n)
    await visits.merge('home', 2n)
    expect(visits.get('home')).toBe(3n)
    const sized = db.handle(maps.stringStruct('sized', schema, { sizeOf: () => 5 }))
    await sized.set('a', { id: 1, name: '' })
    expect(sized.sizeBytes).toBe(5)
    expect(() => maps.u64Struct('bad', { id: 'u33' } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    )
    expect(() => maps.u64String('')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    expect(() => maps.u64String('bad', { what: 1 } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    )
  })
})
