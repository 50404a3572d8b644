/** Tables of structs through every call that reads or writes a value. */
import { describe, expect, it } from 'vitest'
import { codecs, Database, maps, type MergeOperator, table } from '../../src/index.ts'

const schema = { owner: 'string', balance: 'i64', scores: 'f64[]', raw: 'bytes', note: 'string?' } as const
const accounts = maps.stringStruct('accounts', schema)
const ada = { owner: 'Ada', balance: 40n, scores: [1, 2.5], raw: Uint8Array.of(1, 2) }

describe('a table of structs', () => {
  it('takes what it gave out: changed, as it is, in another table of that schema', async () => {
    await using db = await Database.open()
    const handle = db.handle(accounts)
    const other = db.handle(maps.stringStruct('others', schema))
    await handle.set('ada', ada)
    const view = handle.get('ada')!
    await handle.set('twin', view)
    await other.set('ada', view)
    await handle.update('ada', (current) => current && { ...current, balance: current.balance + 1n })
    await handle.transaction((tx) => {
      tx.entry('ada').andModify((current) => ({ ...current, note: 'seen' }))
      expect(tx.get('ada')?.note).toBe('seen')
      expect(tx.entry('eve').orInsert({ ...ada, owner: 'Eve' }).owner).toBe('Eve')
    })
    expect(handle.get('ada')).toEqual({ ...ada, balance: 41n, note: 'seen' })
    expect([handle.get('twin'), other.get('ada'), view]).toEqual([ada, ada, ada])
    expect((await db.check()).problems).toEqual([])
  })

  it('compares fields, not objects', async () => {
    await using db = await Database.open()
    const handle = db.handle(accounts)
    await handle.set('ada', ada)
    expect(await handle.compareAndSet('ada', { ...ada, balance: 41n }, ada)).toBe(false)
    expect(await handle.compareAndSet('ada', { ...ada, scores: [1] }, ada)).toBe(false)
    expect(await handle.compareAndSet('ada', structuredClone(ada), { ...ada, balance: 1n })).toBe(true)
    expect(await handle.compareAndSet('ada', handle.get('ada'), { ...ada, balance: 2n })).toBe(true)
    expect(await handle.compareAndSet('ada', undefined, ada)).toBe(false)
    expect(handle.get('ada')?.balance).toBe(2n)
  })

  it('gives what it held to those who take it away, for good', async () => {
    await using db = await Database.open()
    const handle = db.handle(accounts)
    await handle.set('ada', ada)
    const before = await handle.swap('ada', { ...ada, owner: 'Eve' })
    const taken = await handle.take('ada')
    for (let i = 0; i < 500; i++) await handle.set(`k${i}`, { ...ada, balance: BigInt(i) })
    await db.compact()
    expect([before, taken]).toEqual([ada, { ...ada, owner: 'Eve' }])
    expect(handle.get('ada')).toBeUndefined()
  })

  it('says where a value is wrong, with table and key, and then has changed nothing', async () => {
    await using db = await Database.open()
    const handle = db.handle(accounts)
    const wrong = { ...ada, scores: [1, 'two'] } as never
    await expect(handle.set('ada', wrong)).rejects.toMatchObject({
      code: 'INVALID_VALUE',
      message: 'value.scores[1] is a string, but the struct takes numbers there (table \'accounts\', key "ada")',
    })
    await expect(handle.transaction((tx) => tx.set('ada', wrong))).rejects.toMatchObject({ code: 'INVALID_VALUE' })
    expect(handle.size).toBe(0)
  })

  it('works with merge operators and a sizeOf of its own', async () => {
    await using db = await Database.open()
    const deposit: MergeOperator<{ balance: bigint }, bigint> = {
      identity: { balance: 0n },
      merge: (value, operand) => ({ ...value, balance: value.balance + operand }),
      commutative: true,
    }
    const wallets = db.handle(
      table<string, { readonly balance: bigint }>('wallets', {
        value: codecs.struct({ balance: 'i64' }),
        merge: deposit,
        sizeOf: (_, { balance }) => Number(balance),
      }),
    )
    await Promise.all([wallets.merge('a', 5n), wallets.merge('a', 6n)])
    await wallets.transaction((tx) => {
      tx.merge('a', 1n)
      expect(tx.get('a')).toEqual({ balance: 12n })
    })
    expect([wallets.get('a'), wallets.sizeBytes]).toEqual([{ balance: 12n }, 12])
    expect((await db.check()).problems).toEqual([])
  })

  it('has views that other tables take as plain objects', async () => {
    await using db = await Database.open()
    const handle = db.handle(accounts)
    await handle.set('ada', ada)
    await db.handle().set('copy', { of: handle.get('ada') })
    expect(db.handle().get('copy')).toEqual({ of: ada })
  })

  it('may be used with one schema at a time', async () => {
    await using db = await Database.open()
    db.handle(accounts)
    const longer = maps.stringStruct('accounts', { ...schema, more: 'u8?' })
    expect(() => db.handle(longer)).toThrow(expect.objectContaining({ code: 'CODEC_MISMATCH' }))
    expect(() => db.handle(maps.stringStruct('accounts', schema))).not.toThrow()
  })
})
