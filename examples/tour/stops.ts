/** The stops of the tour. Each opens a database of its own, and tells what it saw. */
import { codecs, Database, keys, maps, merges, table } from 'varve'

type Stop = () => Promise<string[]>

/** Each call outside a transaction is a transaction of its own. */
async function autocommit(): Promise<string[]> {
  await using db = await Database.open<string, number>()
  const stock = db.handle()
  await stock.set('apples', 3)
  await stock.update('apples', (count) => (count ?? 0) + 1)
  const before = await stock.swap('pears', 2)
  return [
    `apples: ${stock.get('apples')}, pears: ${stock.get('pears')}, which were ${before} before`,
    `took ${await stock.take('pears')} pears, left: ${[...stock.keys()].join()}`,
  ]
}

class Overdrawn extends Error {}

/** The application's own error rolls everything back and comes out as it went in. */
async function transfer(): Promise<string[]> {
  await using db = await Database.open<string, number>()
  const accounts = db.handle()
  await accounts.set('alice', 100)
  await accounts.set('bob', 0)
  const move = async (amount: number): Promise<void> =>
    accounts.transaction((tx) => {
      tx.update('bob', (balance) => (balance ?? 0) + amount)
      const left = (tx.get('alice') ?? 0) - amount
      if (left < 0) throw new Overdrawn(`alice lacks ${-left}`)
      tx.set('alice', left)
    })
  await move(70)
  const refusal = await move(70).catch((error: unknown) => error)
  return [
    `refused: ${refusal instanceof Overdrawn ? refusal.message : 'by mistake'}`,
    `alice ${accounts.get('alice')}, bob ${accounts.get('bob')}`,
  ]
}

/** Keys are ordered; a prefix of a string or of a tuple is a range. */
async function scans(): Promise<string[]> {
  await using db = await Database.open()
  const visits = db.handle(table<readonly [page: string, at: number], string>('visits'))
  await visits.transaction((tx) => {
    for (const [i, page] of ['/a', '/b', '/a', '/a/b'].entries()) tx.set([page, i], `visitor ${i}`)
  })
  const who = [...visits.values({ prefix: ['/a'] })]
  const last = [...visits.keys({ reverse: true, limit: 1 })]
  return [`/a was visited by ${who.join(' and ')}`, `the last key is ${JSON.stringify(last[0])}`]
}

interface Document {
  readonly title: string
  readonly body: string
}

/** What a value counts for may be said by the application: here, the limit means bytes of text. */
async function ownTypes(): Promise<string[]> {
  await using db = await Database.open<string, Document>({
    maxMemoryBytes: 45,
    eviction: 'lru',
    sizeOf: (_key, { title, body }) => title.length + body.length,
  })
  const documents = db.handle()
  for (const title of ['one', 'two', 'three']) await documents.set(title, { title, body: 'x'.repeat(10) })
  documents.get('one')
  await documents.set('four', { title: 'four', body: 'y'.repeat(10) })
  return [`${documents.sizeBytes} bytes of at most 45: ${[...documents.keys()].join()} are kept`]
}

/** Tables of native values, of bytes, and of records whose fields are read straight from their bytes. */
async function typedMaps(): Promise<string[]> {
  await using db = await Database.open()
  const point = codecs.struct({ x: 'f32', y: 'f32', label: 'string', weights: 'f64[]', note: 'string?' })
  const names = db.handle(maps.u64String('names'))
  const blobs = db.handle(maps.stringBytes('blobs'))
  const points = db.handle(table('points', { key: keys.string(), value: point }))
  await names.set(7n, 'seven')
  await blobs.set('magic', Uint8Array.of(0xca, 0xfe))
  await points.set('p', { x: 1.5, y: -2, label: 'here', weights: [0.25, 0.75] })
  const p = points.get('p')
  return [
    `7n is ${names.get(7n)}, magic is ${Buffer.from(blobs.get('magic') ?? []).toString('hex')}`,
    `p is at ${p?.x}, ${p?.y}, ${p?.label}, of ${p?.weights.length} weights, the last ${p?.weights[1]}`,
  ]
}

/** The entry of a key: look and act in one place. */
async function entries(): Promise<string[]> {
  await using db = await Database.open()
  const words = db.handle(table<string, number>('words'))
  await words.transaction((tx) => {
    for (const word of 'the quick the lazy the dog'.split(' ')) {
      tx.entry(word)
        .andModify((count) => count + 1)
        .orInsert(1)
    }
  })
  return [[...words.entries()].map(([word, count]) => `${word} ${count}`).join(', ')]
}

/** Merges that commute never conflict, however many transactions add to one key at once. */
async function counters(): Promise<string[]> {
  await using db = await Database.open()
  const hits = db.handle(table('hits', { key: keys.string(), value: codecs.float64(), merge: merges.sum }))
  const transactions = Array.from({ length: 50 }, async () =>
    hits.transaction(async (tx) => {
      tx.merge('home', 1)
      await Promise.resolve()
    }),
  )
  await Promise.all(transactions)
  return [`${hits.get('home')} hits by 50 transactions at once, ${db.stats().transactions.conflicts} conflicts`]
}

/** Readers stand on the layer they began on; a fork goes on from it by itself. */
async function layers(): Promise<string[]> {
  await using db = await Database.open<string, string>()
  const words = db.handle()
  await words.set('greeting', 'hello')
  using snapshot = db.snapshot()
  await using fork = db.fork()
  await words.set('greeting', 'good day')
  await fork.handle().set('greeting', 'howdy')
  const lines = [
    `snapshot: ${snapshot.get('greeting')}, now: ${words.get('greeting')}, fork: ${fork.handle().get('greeting')}`,
  ]
  await db.restore(snapshot)
  lines.push(`restored: ${words.get('greeting')}`)
  return lines
}

/** Every commit, in order, once. */
async function changes(): Promise<string[]> {
  await using db = await Database.open<string, number>()
  const seen: string[] = []
  const commits = db.changes({ before: true })
  const counter = db.handle()
  await counter.set('n', 1)
  await counter.set('n', 2)
  await counter.delete('n')
  for await (const commit of commits) {
    for (const { key, before, value } of commit.changes)
      seen.push(`${String(key)}: ${String(before)} -> ${String(value)}`)
    if (seen.length === 3) break
  }
  return seen
}

export const stops: Readonly<Record<string, Stop>> = {
  autocommit,
  transfer,
  scans,
  'own types': ownTypes,
  'typed maps': typedMaps,
  entries,
  counters,
  layers,
  changes,
}
