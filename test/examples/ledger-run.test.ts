/** The ledger example as a process: compiled against the built package, as `npm start` runs it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root } from '../support/markdown.ts'

/** Inside the package, so that `varve` resolves as it does for the example. */
const directory = join(root, '.examples', `test-${process.pid}`)
const fixture = join(root, 'test/examples/ledger/movements.asc')

beforeAll(() => {
  if (!existsSync(join(root, 'dist/index.js'))) throw new Error('dist/index.js is missing: npm run build')
  const tsc = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.examples.json', '--outDir', directory]
  const { status, stdout } = spawnSync(process.execPath, tsc, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(stdout)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(given: readonly string[], nodeOptions: readonly string[] = []): ChildProcess {
  return spawn(process.execPath, [...nodeOptions, join(directory, 'ledger/main.js'), ...given], { cwd: root })
}

function endOf(child: ChildProcess): Promise<Ended> {
  let out = ''
  let err = ''
  child.stdout?.on('data', (text) => (out += String(text)))
  child.stderr?.on('data', (text) => (err += String(text)))
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })))
}

/** Output with what differs from run to run made the same. */
function settled(out: string): string {
  return out
    .replaceAll(/ *[\d.]+ m?s$/gm, ' <time>')
    .replaceAll(/(transactions\/s|conflicts|retries) +[\d,]+$/gm, '$1 <number>')
    .replaceAll(/(movements posted|commits) +/g, '$1 ')
    .replaceAll(/^ {2}\d+ spot checks? .*\n/gm, '')
}

const IN_MEMORY = ['--durability', 'memory']

describe('npm start', () => {
  it('posts a file, tells of bad rows, balances', async () => {
    const { code, out, err } = await endOf(
      start(['--input', 'test/examples/ledger/movements.asc', '--clients', '4', ...IN_MEMORY]),
    )
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(settled(out)).toMatchInlineSnapshot(`
      "10 bad rows of test/examples/ledger/movements.asc skipped
        line 8: trans_id 12 was already on line 3
        line 9: date "930229" is not a day as YYMMDD
        line 10: type "prijem" is none of PRIJEM, VYDAJ, VYBER
        line 11: amount "1e2" is not an amount such as 5123.00
        line 12: amount "-100.00" is not an amount such as 5123.00
        line 13: amount "1.005" is not an amount such as 5123.00
        line 14: trans_id "x1" is not a whole number
        line 15: account_id "" is not a whole number
        line 16: the quotes of field 5 do not enclose it
        line 17: 3 fields instead of 10
      posting 8 movements of test/examples/ledger/movements.asc, 4 clients, serializable, memory
      posting  25 %  2 of 8
      posting  50 %  4 of 8
      posting  75 %  6 of 8
      posting 100 %  8 of 8

        movements posted 8
        wall time <time>
        transactions/s <number>
        commits 8
        conflicts <number>
        retries <number>
        latency p50 <time>
        latency p99 <time>

      audit: the books balance
        2 accounts, each balance the sum of its entries; 16 entries in all
        8 movements posted, 8 found: nothing missing, nothing twice
        customers hold -17,519.49, the bank 17,519.49: together 0.00

      write skew, serializable: two withdrawals at once that only together overdraw a customer, 1,000 times
        the customer was overdrawn 0 times; 1,000 commits were refused and run again
      "
    `)
  })

  it('posts a generated journal the same way every time, and shows write skew at snapshot', async () => {
    const given = ['--movements', '400', '--seed', '5', '--isolation', 'snapshot', ...IN_MEMORY]
    const [first, second] = await Promise.all([endOf(start(given)), endOf(start(given))])
    expect(first).toMatchObject({ code: 0, err: '' })
    expect(settled(second.out)).toBe(settled(first.out))
    expect(first.out).toMatch(/400 movements posted, 400 found: nothing missing, nothing twice/)
    expect(first.out).toMatch(/write skew, snapshot: [^]*overdrawn 1,000 times; 0 commits were refused/)
    expect(first.out).toMatch(/write skew, serializable: [^]*overdrawn 0 times; 1,000 commits were refused/)
  })

  it('ends with 1 and says what is wrong if the books do not balance', async () => {
    mkdirSync(directory, { recursive: true })
    const corrupt = join(directory, 'corrupt.mjs')
    writeFileSync(
      corrupt,
      `import { Database, table } from 'varve'
       const open = Database.open
       Database.open = async (options) => {
         const db = await open.call(Database, options)
         await db.handle(table('accounts')).set('7', { balance: 1, entries: 0 })
         return db
       }`,
    )
    const { code, out } = await endOf(start(['--input', fixture, ...IN_MEMORY], ['--import', corrupt]))
    expect(code).toBe(1)
    expect(out).toContain('audit: THE BOOKS DO NOT BALANCE\n')
    expect(out).toMatch(/\n {2}account 7 holds [-\d,.]+, but its entries come to [-\d,.]+\n/)
    expect(out).not.toContain('write skew')
  })

  it.each(['full', 'relaxed'])(
    'on disk (%s): survives the kill of a writer, goes on, and reopens balanced',
    async (durability) => {
      const kept = join(directory, `kept-${durability}`)
      const given = ['--movements', '2000', '--durability', durability, '--path', kept]
      const { code, out, err } = await endOf(start(given))
      expect({ code, err }).toEqual({ code: 0, err: '' })
      const [, acknowledged = '', found = '', more = ''] =
        /killed \(SIGKILL\) after ([\d,]+) acknowledged movements\n {2}reopened in [\d.]+ ms: ([\d,]+) of them found, and ([\d,]+) whose/.exec(
          out,
        ) ?? []
      expect(Number(acknowledged.replace(',', ''))).toBeGreaterThanOrEqual(400)
      expect(found).toBe(acknowledged)
      expect(out).toContain('  none is half there: every balance is the sum of its entries\n')
      const rest = 2000 - Number(found.replace(',', '')) - Number(more.replace(',', ''))
      expect(out).toContain(`posting ${rest.toLocaleString('en')} movements of a generated journal`)
      expect(out).toContain('  2,000 movements posted, 2,000 found: nothing missing, nothing twice\n')
      expect(out).toMatch(/reopened in [\d.]+ ms: 2,000 movements, the books balance, every byte on disk checked\n/)

      // What is kept is found again: nothing is left to post.
      const again = await endOf(start(given))
      expect(again).toMatchObject({ code: 0, err: '' })
      expect(again.out).not.toContain('SIGKILL')
      expect(again.out).toContain('posting 0 movements')
      expect(again.out).toContain('  2,000 movements posted, 2,000 found: nothing missing, nothing twice\n')
    },
  )

  it('on disk too, ends with 1 if the books do not balance', async () => {
    const { code, out } = await endOf(start(['--input', fixture], ['--import', join(directory, 'corrupt.mjs')]))
    expect(code).toBe(1)
    expect(out).toContain('SOME ARE HALF THERE\n')
    expect(out).not.toContain('write skew')
  })

  it('shows statistics meanwhile if asked to', async () => {
    const { code, out, err } = await endOf(start(['--movements', '3000', '--stats', '--durability', 'relaxed']))
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const lines = out.split('\n')
    const at = lines.findIndex((line) => /^ +s +commits\/s +refused +open +versions/.test(line))
    expect(at).toBeGreaterThan(0)
    const figures = lines[at + 1]?.trim().split(/ {2,}/) ?? []
    expect(figures).toHaveLength(9)
    expect(Number(figures[4]?.replaceAll(',', ''))).toBeGreaterThan(0)
    expect(out).not.toContain('posting  ')
    expect(out).toContain('commits')
  })

  it('shows its options', async () => {
    const { code, out } = await endOf(start(['--help']))
    expect(code).toBe(0)
    expect(out).toContain('usage: npm start -- [options]')
  })

  it('ends with 2 and one line for what the user can mend', async () => {
    const ends = await Promise.all(
      [
        ['--input', 'no-such-file.gz'],
        ['--clients', 'many'],
        ['--input', 'package.json'],
        ['--colour'],
        ['--durability', 'soon'],
        ['--path', 'x', ...IN_MEMORY],
      ].map((given) => endOf(start(given))),
    )
    expect(ends.map(({ code, out }) => ({ code, out }))).toEqual(ends.map(() => ({ code: 2, out: '' })))
    expect(ends.map(({ err }) => err)).toEqual([
      'ledger: cannot read no-such-file.gz: there is no such file\n',
      "ledger: --clients is a whole number from 1 to 10000, not 'many'\n",
      expect.stringMatching(/^ledger: package\.json: line 1 should name the columns of a journal, but lacks [^\n]*\n$/),
      "ledger: Unknown option '--colour' (--help shows the options)\n",
      "ledger: --durability is full, relaxed or memory, not 'soon'\n",
      'ledger: --durability memory keeps nothing, so it does not go with --path\n',
    ])
  })

  it('ends quietly when nobody reads on', async () => {
    const child = start(['--movements', '30000', ...IN_MEMORY])
    child.stdout?.once('data', () => child.stdout?.destroy())
    let err = ''
    child.stderr?.on('data', (text) => (err += String(text)))
    const code = await new Promise((resolve) => child.on('exit', resolve))
    expect({ code, err }).toEqual({ code: 0, err: '' })
  })

  it('audits what was posted when interrupted', async () => {
    const child = start(['--movements', '80000', ...IN_MEMORY])
    child.stdout?.once('data', () => setTimeout(() => child.kill('SIGINT'), 50))
    const { code, out, err } = await endOf(child)
    expect({ code, err }).toEqual({ code: 130, err: '' })
    expect(out).toContain('interrupted; what was posted so far:\n')
    expect(out).toMatch(/audit: the books balance\n/)
    expect(out).not.toContain('write skew')
  })
})
