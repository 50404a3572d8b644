/** The modules of the ledger example, one by one; its process is tested in ledger-run.test.ts. */
import { rmSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseArguments } from '../../examples/ledger/arguments.ts'
import { type Audit, audit } from '../../examples/ledger/audit.ts'
import { type Outcome, postJournal } from '../../examples/ledger/clients.ts'
import { generateJournal } from '../../examples/ledger/generator.ts'
import { readJournal } from '../../examples/ledger/journal.ts'
import { linesOf } from '../../examples/ledger/lines.ts'
import { post, trialBalance } from '../../examples/ledger/posting.ts'
import { Progress } from '../../examples/ledger/progress.ts'
import { auditReport, badRowsReport, countOf, outcomeTable, percentile } from '../../examples/ledger/report.ts'
import { accounts, BANK, entries, type Movement, movements, totals } from '../../examples/ledger/tables.ts'
import { tryWriteSkew } from '../../examples/ledger/write-skew.ts'
import { Database, type Isolation, type Key, type Transaction } from '../../src/index.ts'

const FIXTURE = new URL('ledger/movements.asc', import.meta.url).pathname
const LEVELS: readonly Isolation[] = ['serializable', 'snapshot']

const directory = mkdtempSync(join(tmpdir(), 'varve-ledger-'))
afterAll(() => rmSync(directory, { recursive: true }))

function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

async function linesIn(path: string): Promise<string[]> {
  const lines: string[] = []
  for await (const line of linesOf(path)) lines.push(line)
  return lines
}

async function generated(count: number, seed = 7): Promise<readonly Movement[]> {
  return (await readJournal(generateJournal(count, seed), 'generated')).movements
}

describe('reading a journal', () => {
  it('takes good rows to the cent, names bad rows by line, and skips them', async () => {
    const journal = await readJournal(linesOf(FIXTURE), 'movements.asc')
    expect(journal.movements).toEqual([
      { id: 11, day: '1993-01-01', account: '7', cents: 70_000, kind: 'cash deposit' },
      { id: 12, day: '1993-01-02', account: '7', cents: -29, kind: 'cash withdrawal' },
      { id: 13, day: '1993-01-02', account: '9', cents: 512_350, kind: 'pension' },
      { id: 14, day: '1993-01-31', account: '9', cents: 1260, kind: 'interest' },
      { id: 15, day: '1993-01-31', account: '9', cents: -1460, kind: 'fee' },
      { id: 24, day: '1993-02-01', account: '7', cents: -1_916_800, kind: 'cash withdrawal' },
      { id: 25, day: '1993-02-28', account: '9', cents: -337_270, kind: 'household' },
      { id: 26, day: '1993-02-28', account: '9', cents: -80_000, kind: 'card withdrawal' },
    ])
    expect(journal.badRows).toEqual([
      { line: 8, reason: 'trans_id 12 was already on line 3' },
      { line: 9, reason: 'date "930229" is not a day as YYMMDD' },
      { line: 10, reason: 'type "prijem" is none of PRIJEM, VYDAJ, VYBER' },
      { line: 11, reason: 'amount "1e2" is not an amount such as 5123.00' },
      { line: 12, reason: 'amount "-100.00" is not an amount such as 5123.00' },
      { line: 13, reason: 'amount "1.005" is not an amount such as 5123.00' },
      { line: 14, reason: 'trans_id "x1" is not a whole number' },
      { line: 15, reason: 'account_id "" is not a whole number' },
      { line: 16, reason: 'the quotes of field 5 do not enclose it' },
      { line: 17, reason: '3 fields instead of 10' },
    ])
  })

  it('reads the same from LF, from .gz, after a byte order mark and without a last line end', async () => {
    const text = readFileSync(FIXTURE, 'utf8')
    const wanted = await readJournal(linesOf(FIXTURE), 'it')
    const paths = [
      fileOf('lf.asc', text.replaceAll('\r\n', '\n')),
      fileOf('bom.asc', `\uFEFF${text}`),
      fileOf('open.asc', text.trimEnd()),
      fileOf('crlf.asc.gz', gzipSync(text)),
      fileOf('lf.asc.gz', gzipSync(text.replaceAll('\r\n', '\n'))),
    ]
    const read = await Promise.all(paths.map((path) => readJournal(linesOf(path), 'it')))
    expect(read).toEqual(paths.map(() => wanted))
  })

  it('finds columns by name', async () => {
    const rows = ['k_symbol;amount;operation;type;date;account_id;trans_id', 'UROK;0.01;;PRIJEM;931231;3;4']
    const { movements: read } = await readJournal(rows, 'it')
    expect(read).toEqual([{ id: 4, day: '1993-12-31', account: '3', cents: 1, kind: 'interest' }])
  })

  it('refuses what has no header, and what would not add up exactly', async () => {
    await expect(readJournal([], 'f.asc')).rejects.toThrow('f.asc is empty')
    await expect(readJournal(['1;2;"x'], 'f.asc')).rejects.toThrow(/f\.asc: line 1 .*lacks trans_id, account_id/)
    const header = 'trans_id;account_id;date;type;operation;amount;k_symbol'
    const row = (id: number): string => `${id};1;930101;PRIJEM;;50000000000000.00;`
    const { movements: read, badRows } = await readJournal([header, row(1), row(2), row(3)], 'f.asc')
    expect(read).toHaveLength(1)
    expect(badRows.map(({ line }) => line)).toEqual([3, 4])
  })

  it('quotes what it shows of a file', async () => {
    const header = 'trans_id;account_id;date;type;operation;amount;k_symbol'
    const { badRows } = await readJournal([header, `1;1;930101;\u001B[2J${'x'.repeat(99)};;1;`], 'f.asc')
    expect(badRows[0]!.reason).toBe(`type "\\u001b[2J${'x'.repeat(36)}…" is none of PRIJEM, VYDAJ, VYBER`)
  })

  it('joins lines across chunks', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i};Příjem ${'ž'.repeat(i % 17)}`)
    expect(await linesIn(fileOf('long.txt', `${lines.join('\r\n')}\r\n`))).toEqual(lines)
    expect(await linesIn(fileOf('long.txt.gz', gzipSync(lines.join('\n'))))).toEqual(lines)
  })

  it('says in one line why a file cannot be read', async () => {
    const whole = gzipSync(readFileSync(FIXTURE))
    await expect(linesIn(join(directory, 'none'))).rejects.toThrow(/cannot read .*none: there is no such file/)
    await expect(linesIn(join(directory, 'none.gz'))).rejects.toThrow(/there is no such file/)
    await expect(linesIn(directory)).rejects.toThrow(/it is a directory/)
    await expect(linesIn(fileOf('plain.gz', 'no gzip'))).rejects.toThrow(/incorrect header check/)
    await expect(linesIn(fileOf('cut.gz', whole.subarray(0, 99)))).rejects.toThrow(/unexpected end of file/)
  })
})

describe('the generator', () => {
  it('makes the same journal from the same seed, and another from another', () => {
    const lines = (seed: number): string[] => [...generateJournal(300, seed)]
    expect(lines(1)).toEqual(lines(1))
    expect(lines(1)).not.toEqual(lines(2))
    // The same on every machine and in every version.
    expect([...generateJournal(3, 1993)]).toMatchInlineSnapshot(`
      [
        ""trans_id";"account_id";"date";"type";"operation";"amount";"balance";"k_symbol";"bank";"account"",
        "19;1;930101;"PRIJEM";"VKLAD";22728.80;22728.80;"";;",
        "62;1;930502;"VYDAJ";"PREVOD NA UCET";5453.07;17275.73;"SIPO";"YZ";"77519356"",
        "75;1;930901;"VYDAJ";"PREVOD NA UCET";7154.39;10121.34;"SIPO";"KL";"44126812"",
      ]
    `)
  })

  it('makes what the reader takes: every row good, sorted by day, over a year, some accounts busy', async () => {
    const { movements: read, badRows } = await readJournal(generateJournal(5000, 3), 'generated')
    expect(badRows).toEqual([])
    expect(read).toHaveLength(5000)
    const days = read.map(({ day }) => day)
    expect(days).toEqual(days.toSorted())
    expect([days[0], days.at(-1)]).toEqual(['1993-01-01', '1993-12-31'])
    expect(new Set(read.map(({ kind }) => kind)).size).toBeGreaterThan(6)
    const counts = new Map<string, number>()
    for (const { account } of read) counts.set(account, (counts.get(account) ?? 0) + 1)
    expect(counts.size).toBeGreaterThan(150)
    expect(Math.max(...counts.values())).toBeGreaterThan(60)
  })
})

describe('posting', () => {
  let db: Database<Key, unknown>
  beforeEach(async () => {
    db = await Database.open()
  })
  afterEach(async () => {
    expect((await db.check()).problems).toEqual([])
    await db.close()
  })

  const auditNow = (expected: readonly Movement[]): Promise<Audit> =>
    db.handle(accounts).transaction((tx) => audit(tx, expected), { readOnly: true })
  const at = (id: number, account: string, cents: number): Movement => ({
    ...{ id, day: '1993-01-01', account, cents, kind: 'cash deposit' },
  })

  it('keeps double entry: two entries, a balance, three totals', async () => {
    await postJournal(db, { journal: [at(1, 'a', 70_000), at(2, 'a', -29)], clients: 1 })
    expect(db.handle(accounts).get('a')).toEqual({ balance: 69_971, entries: 2 })
    expect([...db.handle(entries).entries()]).toEqual([
      [['a', '1993-01-01', 1], 70_000],
      [['a', '1993-01-01', 2], -29],
      [[BANK, '1993-01-01', 1], -70_000],
      [[BANK, '1993-01-01', 2], 29],
    ])
    expect([...db.handle(totals).entries()]).toEqual([
      [['balance', BANK], -69_971],
      [['day', '1993-01-01'], 69_971],
      [['kind', 'cash deposit'], 69_971],
    ])
  })

  it.each(LEVELS)('balances with 64 clients on contended accounts, at %s', async (isolation) => {
    await using contended = await Database.open({ isolation })
    const journal = await generated(1500)
    let done = 0
    const outcome = await postJournal(contended, { journal, clients: 64, onPosted: (_, count) => (done = count) })
    expect(done).toBe(1500)
    expect(outcome).toMatchObject({ commits: 1500, spotChecks: { failed: 0 } })
    expect(outcome.conflicts).toBeGreaterThan(10)
    expect(outcome.retries).toBe(outcome.conflicts)
    expect(outcome.latenciesMs).toHaveLength(1500)
    expect(outcome.latenciesMs).toEqual(outcome.latenciesMs.toSorted())
    const found = await contended.handle(accounts).transaction((tx) => audit(tx, outcome.posted), { readOnly: true })
    expect(found).toMatchObject({ problems: [], movements: 1500, entries: 3000 })
    expect(found.customersHold + found.bankHolds).toBe(0)
    expect((await contended.check()).problems).toEqual([])
  })

  it.each(LEVELS)('has no conflict where only merges meet, at %s', async (isolation) => {
    await using merging = await Database.open({ isolation })
    const journal = Array.from({ length: 500 }, (_, i) => at(i, String(i), i))
    const { commits, conflicts } = await postJournal(merging, { journal, clients: 64 })
    expect({ commits, conflicts }).toEqual({ commits: 500, conflicts: 0 })
  })

  it('refuses a movement that is there already, and leaves no trace of the attempt', async () => {
    const journal = [at(1, 'a', 5)]
    await postJournal(db, { journal, clients: 1 })
    await expect(postJournal(db, { journal: [at(1, 'b', 6)], clients: 3 })).rejects.toThrow(
      'movement 1 has been posted before',
    )
    expect((await auditNow(journal)).problems).toEqual([])
  })

  it('ends the work of all clients with the first error of one', async () => {
    await postJournal(db, { journal: [at(1, 'a', 5)], clients: 1 })
    const journal = [at(1, 'a', 5), ...Array.from({ length: 500 }, (_, i) => at(i + 2, 'b', i))]
    await expect(postJournal(db, { journal, clients: 2 })).rejects.toThrow('movement 1 has been posted before')
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(db.handle(movements).size).toBeLessThan(10)
  })

  it('notices while posting that balances do not sum to zero', async () => {
    const work = {
      ...{ journal: await generated(500), clients: 1 },
      // So long that a spot check is due before the next movement is posted.
      onPosted: (_: Movement, done: number): void => {
        const untilMs = performance.now() + (done === 1 ? 150 : 0)
        while (performance.now() < untilMs);
      },
    }
    const { spotChecks } = await postJournal(db, work)
    expect(spotChecks.done).toBeGreaterThan(0)
    expect(spotChecks.failed).toBe(0)
    await using unbalanced = await Database.open()
    await unbalanced.handle(accounts).set('x', { balance: 1, entries: 0 })
    const outcome = await postJournal(unbalanced, work)
    expect(outcome.spotChecks.done).toBeGreaterThan(0)
    expect(outcome.spotChecks.failed).toBe(outcome.spotChecks.done)
  })

  it('posts a movement once that two clients post at once', async () => {
    const both = await Promise.allSettled([
      db.handle(accounts).transaction((tx) => post(tx, at(1, 'a', 5), () => Promise.resolve())),
      db.handle(accounts).transaction((tx) => post(tx, at(1, 'b', 5), () => Promise.resolve())),
    ])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect((await auditNow([at(1, 'a', 5)])).problems).toEqual([])
  })

  it('stops when asked, with what was begun finished', async () => {
    const stop = new AbortController()
    const journal = await generated(1000)
    const onPosted = (_: Movement, done: number): void => {
      if (done === 100) stop.abort()
    }
    const { posted } = await postJournal(db, { journal, clients: 8, stop: stop.signal, onPosted })
    expect(posted.length).toBeGreaterThanOrEqual(100)
    expect(posted.length).toBeLessThan(108)
    expect((await auditNow(posted)).problems).toEqual([])
  })

  it('posts nothing without clients at work or movements to post', async () => {
    const outcome = await postJournal(db, { journal: [], clients: 64 })
    expect((await auditNow([])).problems).toEqual([])
    expect(outcomeTable(outcome)).toMatch(/latency p99 +-\n$/)
  })

  describe('the audit', () => {
    const journal = [at(1, 'a', 700), at(2, 'b', 400), at(3, 'a', -250)]
    const day = '1993-01-01'
    type Tx = Transaction<string, { readonly balance: number; readonly entries: number }>
    const damages: readonly (readonly [string, (tx: Tx) => void, RegExp])[] = [
      ['a missing movement', (tx) => tx.table(movements).delete(2), /^movement 2 is missing$/],
      [
        'an altered movement',
        (tx) => tx.table(movements).set(2, at(2, 'b', 401)),
        /^movement 2 is not what was posted$/,
      ],
      [
        'a stray movement',
        (tx) => tx.table(movements).set(9, at(9, 'b', 1)),
        /^movement 9 is there, but was never posted$/,
      ],
      [
        'a missing entry',
        (tx) => tx.table(entries).delete(['a', day, 3]),
        /^movement 3 has no entry of -2\.50 in account a$/,
      ],
      [
        'a doubled entry',
        (tx) => tx.table(entries).set(['a', '1993-01-02', 3], -250),
        /^account a has an entry of 1993-01-02 for movement 3, which made none there$/,
      ],
      [
        'an entry in another account',
        (tx) => tx.table(entries).set(['b', day, 3], -250),
        /^account b has an entry of 1993-01-01 for movement 3, which made none there$/,
      ],
      [
        'an altered entry',
        (tx) => tx.table(entries).set(['a', day, 3], 250),
        /^account a has 2\.50 for movement 3, not -2\.50$/,
      ],
      [
        'an altered balance',
        (tx) => tx.set('a', { balance: 451, entries: 2 }),
        /^account a holds 4\.51, but its entries come to 4\.50$/,
      ],
      [
        'a miscounted account',
        (tx) => tx.set('a', { balance: 450, entries: 3 }),
        /^account a counts 3 entries, but has 2$/,
      ],
      ['a lost account', (tx) => tx.delete('b'), /^account b has entries, but no balance$/],
      ['money from nowhere', (tx) => tx.set('c', { balance: 1, entries: 0 }), /that is not zero together$/],
      [
        'an altered balance of the bank',
        (tx) => tx.table(totals).merge(['balance', BANK], 1),
        /^account bank holds -8\.49, but its entries come to -8\.50$/,
      ],
      [
        'an altered total',
        (tx) => tx.table(totals).merge(['day', day], 1),
        /^the total of day 1993-01-01 is 8\.51, not 8\.50$/,
      ],
      [
        'a stray total',
        (tx) => tx.table(totals).set(['kind', 'gift'], 0),
        /^there is a total of kind gift, but no movement$/,
      ],
    ]

    it.each(damages)('notices %s', async (_, damage, problem) => {
      await postJournal(db, { journal, clients: 2 })
      expect((await auditNow(journal)).problems).toEqual([])
      await db.handle(accounts).transaction(damage)
      const found = await auditNow(journal)
      expect(found.problems).toContainEqual(expect.stringMatching(problem))
      const outcome = { posted: journal, spotChecks: { done: 0, failed: 0 } } as unknown as Outcome
      expect(auditReport(found, outcome)).toMatch(/^audit: THE BOOKS DO NOT BALANCE\n {2}/)
    })

    it('notices movements that were posted, but are expected twice or not at all', async () => {
      await postJournal(db, { journal, clients: 2 })
      expect((await auditNow([...journal, journal[0]!])).problems).toContain('movement 1 was posted twice')
      expect((await auditNow(journal.slice(1))).problems).toContain('movement 1 is there, but was never posted')
    })

    it('sees one moment, whatever is posted meanwhile', async () => {
      const posting = postJournal(db, { journal: await generated(400), clients: 16 })
      const sums: number[] = []
      while (sums.length < 20) {
        await new Promise((resolve) => setImmediate(resolve))
        sums.push(await db.handle(accounts).transaction(trialBalance, { readOnly: true }))
      }
      const { posted } = await posting
      expect(sums).toEqual(sums.map(() => 0))
      expect((await auditNow(posted)).problems).toEqual([])
    })
  })
})

describe('write skew', () => {
  it('breaks the rule in every round at snapshot, and in none at serializable', async () => {
    expect(await tryWriteSkew('snapshot', 50)).toEqual({ rounds: 50, broken: 50, refused: 0 })
    expect(await tryWriteSkew('serializable', 50)).toEqual({ rounds: 50, broken: 0, refused: 50 })
  })
})

describe('progress', () => {
  const written = (isTTY: boolean, columns: number, steps: readonly number[]): string[] => {
    const texts: string[] = []
    const progress = new Progress({ isTTY, columns, write: (text: string) => texts.push(text) }, 'posting', 2000)
    for (const done of steps) progress.show(done)
    progress.end()
    return texts
  }

  it('is a line for each quarter where there is no terminal', () => {
    const steps = Array.from({ length: 2000 }, (_, i) => i + 1)
    expect(written(false, 80, steps).join('')).toBe(
      [
        'posting  25 %  500 of 2,000\n',
        'posting  50 %  1,000 of 2,000\n',
        'posting  75 %  1,500 of 2,000\n',
        'posting 100 %  2,000 of 2,000\n',
      ].join(''),
    )
  })

  it('is one line on a terminal, drawn now and then, never wider, and gone at the end', () => {
    const steps = Array.from({ length: 2000 }, () => 1000)
    const texts = written(true, 80, steps)
    expect(texts.length).toBeLessThan(10)
    expect(texts[0]).toBe(`\r\u001B[K[${'#'.repeat(15)}${'-'.repeat(15)}] posting  50 %  1,000 of 2,000`)
    expect(texts.at(-1)).toBe('\r\u001B[K')
    expect(written(true, 40, [1000])[0]).toBe('\r\u001B[Kposting  50 %  1,000 of 2,000')
    expect(written(true, 11, [1000])[0]).toBe('\r\u001B[Kposting  5')
  })
})

describe('the report', () => {
  const outcome: Outcome = {
    posted: [],
    wallMs: 2000,
    latenciesMs: new Float64Array([1, 2, 3, 4]),
    ...{ commits: 20_000, conflicts: 1234, retries: 1234, spotChecks: { done: 3, failed: 1 } },
  }

  it('is a table', () => {
    const posted = Array.from({ length: 20_000 }, () => ({}) as Movement)
    expect(outcomeTable({ ...outcome, posted })).toBe(
      [
        '  movements posted   20,000\n',
        '  wall time         2.000 s\n',
        '  transactions/s     10,000\n',
        '  commits            20,000\n',
        '  conflicts           1,234\n',
        '  retries             1,234\n',
        '  latency p50       2.00 ms\n',
        '  latency p99       4.00 ms\n',
      ].join(''),
    )
  })

  it('takes percentiles by rank', () => {
    const hundred = Float64Array.from({ length: 100 }, (_, i) => i + 1)
    expect([0, 0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100])
    expect(percentile(new Float64Array(0), 0.5)).toBeUndefined()
  })

  it('tells the first problems and bad rows in full, and how many more there are', () => {
    const badRows = Array.from({ length: 12 }, (_, i) => ({ line: i + 2, reason: 'bad' }))
    const lines = badRowsReport(badRows, 'f.asc').trimEnd().split('\n')
    expect([lines[0], lines[1], lines.length, lines.at(-1)]).toEqual([
      '12 bad rows of f.asc skipped',
      '  line 2: bad',
      12,
      '  and 2 more bad rows',
    ])
    expect(badRowsReport([], 'f.asc')).toBe('')
  })

  it('fails on a spot check that failed', () => {
    const found = { accounts: 0, entries: 0, movements: 0, customersHold: 0, bankHolds: 0, problems: [] }
    expect(auditReport(found, outcome)).toContain('1 of 3 times, balances did not sum to zero')
  })

  it('counts', () => {
    expect([countOf(0, 'row'), countOf(1, 'row'), countOf(1e6, 'row')]).toEqual(['0 rows', '1 row', '1,000,000 rows'])
  })
})

describe('arguments', () => {
  it('have defaults, and take every option', () => {
    const defaults = {
      help: false,
      input: undefined,
      movements: 100_000,
      seed: 1993,
      clients: 64,
      isolation: 'serializable',
      durability: 'full',
      path: undefined,
      stats: false,
    }
    expect(parseArguments([])).toEqual(defaults)
    const given = ['--movements', '5', '--seed=0', '--clients', '1', '--isolation', 'snapshot', '--help']
    expect(parseArguments([...given, '--durability', 'relaxed', '--path', 'a b', '--stats'])).toEqual({
      ...{ help: true, input: undefined, movements: 5, seed: 0, clients: 1, isolation: 'snapshot' },
      ...{ durability: 'relaxed', path: 'a b', stats: true },
    })
    expect(parseArguments(['--input', 'a b.gz']).input).toBe('a b.gz')
  })

  it.each([
    [['--clients', '0'], "--clients is a whole number from 1 to 10000, not '0'"],
    [['--clients', '1.5'], "--clients is a whole number from 1 to 10000, not '1.5'"],
    [['--movements', '1e3'], "--movements is a whole number from 1 to 1000000, not '1e3'"],
    [['--seed', '4294967296'], "--seed is a whole number from 0 to 4294967295, not '4294967296'"],
    [['--isolation', 'none'], "--isolation is serializable or snapshot, not 'none'"],
    [
      ['--input', 'f', '--seed', '1'],
      '--movements and --seed shape the generated journal; they do not go with --input',
    ],
    [['--input', ''], '--input needs the name of a file'],
    [['--durability', 'soon'], "--durability is full, relaxed or memory, not 'soon'"],
    [['--path', ''], '--path needs the name of a directory'],
    [['--path', 'x', '--durability', 'memory'], '--durability memory keeps nothing, so it does not go with --path'],
    [['--speed'], "Unknown option '--speed' (--help shows the options)"],
    [['f.asc'], "Unexpected argument 'f.asc' (--help shows the options)"],
    [['--input'], "Option '--input <value>' argument missing (--help shows the options)"],
    [['--help=1'], "Option '-h, --help' does not take an argument (--help shows the options)"],
  ])('%j: %s', (given, message) => {
    expect(() => parseArguments(given)).toThrow(expect.objectContaining({ name: 'InputError', message }))
  })
})
