/** Structs over sessions: schemas that grow are recorded, changed ones are refused. */
import { describe, expect, it } from 'vitest'
import { codecs, table } from '../../src/index.ts'
import { Directory } from './directory.ts'

const short = { id: 'u32', at: { x: 'f64' } } as const
const long = { id: 'u32', at: { x: 'f64', y: 'f64?' }, note: 'string?' } as const

function points<const S extends typeof short | typeof long>(schema: S) {
  return table<string, ReturnType<ReturnType<typeof codecs.struct<S>>['decode']>>('points', {
    value: codecs.struct(schema),
  })
}

describe('a table of structs', () => {
  it('is read by a longer schema, which is recorded, and then still by the shorter one', async () => {
    using place = new Directory()
    await place.session((db) => db.handle(points(short)).set('old', { id: 1, at: { x: 1 } }))
    await place.session(async (db) => {
      const handle = db.handle(points(long))
      expect(handle.get('old')).toEqual({ id: 1, at: { x: 1 } })
      await handle.set('new', { id: 2, at: { x: 2, y: 3 }, note: 'n' })
    })
    for (const step of ['log', 'run'] as const) {
      await place.session(async (db) => {
        const handle = db.handle(points(short))
        expect([...handle.values()]).toEqual([
          { id: 2, at: { x: 2 } },
          { id: 1, at: { x: 1 } },
        ])
        if (step === 'log') await db.checkpoint()
      })
    }
    await place.session((db) => {
      expect(db.handle(points(long)).get('new')).toEqual({ id: 2, at: { x: 2, y: 3 }, note: 'n' })
    })
    // The longer schema is what holds, also after sessions that did not use it.
    const other = table('points', { value: codecs.struct({ ...short, remark: 'string?' }) })
    await place.session((db) =>
      expect(() => db.handle(other)).toThrow(expect.objectContaining({ code: 'CODEC_MISMATCH' })),
    )
  })

  it('is refused with changed types, in words that name both schemas', async () => {
    using place = new Directory()
    await place.session((db) => db.handle(points(short)).set('old', { id: 1, at: { x: 1 } }))
    for (const schema of [{ id: 'i32', at: { x: 'f64' } }, { id: 'u32' }, { ...short, more: 'u8' }] as const) {
      const changed = table('points', { value: codecs.struct(schema) })
      await place.session((db) => {
        expect(() => db.handle(changed)).toThrow(
          expect.objectContaining({
            code: 'CODEC_MISMATCH',
            message: expect.stringContaining('struct:{id:u32,at:{x:f64}}'),
          }),
        )
      })
    }
  })

  it('opened for reading only takes a longer schema too, and records nothing', async () => {
    using place = new Directory()
    await place.session((db) => db.handle(points(short)).set('old', { id: 1, at: { x: 1 } }))
    await place.session((db) => expect(db.handle(points(long)).get('old')).toEqual({ id: 1, at: { x: 1 } }), {
      readOnly: true,
    })
    const other = table('points', { value: codecs.struct({ ...short, remark: 'string?' }) })
    await place.session((db) => expect(db.handle(other).get('old')).toEqual({ id: 1, at: { x: 1 } }))
  })
})
