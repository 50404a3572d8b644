import { describe, expect, it } from 'vitest'

import { admitKey, type Key, KeyMap } from '../../src/keys/index.ts'

describe('KeyMap', () => {
  it('finds bytes and tuples by value (I1)', () => {
    const map = new KeyMap<string>()
    map.set(Uint8Array.of(1, 2), 'bytes').set(admitKey(['a', [1n, Uint8Array.of(3)]]), 'tuple')
    expect(map.get(Uint8Array.of(1, 2))).toBe('bytes')
    expect(map.get(['a', [1n, Uint8Array.of(3)]])).toBe('tuple')
    expect(map.has(['a', [1, Uint8Array.of(3)]])).toBe(false)
    expect(map.size).toBe(2)
  })

  it('takes look-alikes for different keys (I1)', () => {
    const keys: Key[] = [
      1,
      1n,
      '1',
      true,
      'true',
      [1],
      [1n],
      ['1'],
      Uint8Array.of(1),
      '',
      [],
      Uint8Array.of(),
      [[]],
      [''],
      'P\0',
      0,
      false,
    ]
    const map = new KeyMap<number>()
    for (const [i, key] of keys.entries()) map.set(key, i)
    expect(map.size).toBe(keys.length)
    for (const [i, key] of keys.entries()) expect(map.get(key)).toBe(i)
  })

  it('keeps the first key and the last value (I2)', () => {
    const map = new KeyMap<number>()
    const [first, second] = [admitKey(['a']), admitKey(['a'])]
    map.set(first, 1).set(second, 2)
    expect(map.size).toBe(1)
    expect([...map.keys()][0]).toBe(first)
    expect(map.get(first)).toBe(2)
  })

  it('tells an undefined value from no entry', () => {
    const map = new KeyMap<undefined>()
    map.set('a', undefined).set(['a'], undefined)
    expect([map.has('a'), map.has(['a']), map.has('b'), map.has(['b'])]).toEqual([true, true, false, false])
    expect([map.delete('a'), map.delete('a'), map.delete(['a']), map.delete(['a'])]).toEqual([true, false, true, false])
    expect(map.size).toBe(0)
  })

  it('is empty when new, and answers so', () => {
    const map = new KeyMap<number>()
    expect([map.size, map.get('a'), map.get(['a']), map.has('a'), map.delete('a'), map.delete(['a'])]).toEqual([
      0,
      undefined,
      undefined,
      false,
      false,
      false,
    ])
    expect([...map.keys(), ...map.values(), ...map.entries()]).toEqual([])
    map.clear()
    map.forEach(() => expect.unreachable())
  })

  it('survives changes during an iteration (I3)', () => {
    const map = new KeyMap<number>()
    map.set('a', 1).set('b', 2).set(['a'], 3).set(['b'], 4)
    const seen: Key[] = []
    for (const key of map.keys()) {
      seen.push(key)
      map.delete('b')
      map.delete(['b'])
    }
    expect(seen).toEqual(['a', ['a']])

    const cleared: Key[] = []
    for (const key of map.keys()) {
      cleared.push(key)
      map.clear()
    }
    expect(cleared).toEqual(['a'])
  })
})
