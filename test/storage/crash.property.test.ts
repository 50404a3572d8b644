/** Whatever a simulated power failure leaves is something that could have been on the disk: N1 to N4, D1 to D3. */
import { describe, expect, it } from 'vitest'
import { SimulatedStorage } from '../../src/storage/simulated.ts'
import type { StorageFile } from '../../src/storage/storage.ts'
import { Random, runs } from '../support/random.ts'

const SECTOR = 512
const SECTORS = 40

/** What a file may hold after a crash, kept sector by sector: an independent and slow account of the same rules. */
class Account {
  /** What each sector was since it was last durable, oldest first. */
  readonly histories: string[][] = Array.from({ length: SECTORS }, () => [hex(new Uint8Array(SECTOR))])
  /** Sizes since the last durable one. */
  sizes: number[] = [0]
  readonly bytes: Uint8Array = new Uint8Array(SECTORS * SECTOR)
  size = 0
  /** What is there if nothing survives that need not. */
  readonly least: Uint8Array = new Uint8Array(SECTORS * SECTOR)

  changed(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR); sector * SECTOR < to; sector++) {
      this.histories[sector]!.push(this.sector(sector))
    }
  }

  durable(from = 0, to = SECTORS * SECTOR): void {
    this.least.fill(0, Math.min(...this.sizes))
    this.least.set(this.bytes.subarray(from - (from % SECTOR), Math.ceil(to / SECTOR) * SECTOR), from - (from % SECTOR))
    for (let sector = Math.floor(from / SECTOR); sector * SECTOR < to; sector++) {
      this.histories[sector] = [this.sector(sector)]
    }
    this.sizes = [this.size]
  }

  sector(index: number): string {
    return hex(this.bytes.subarray(index * SECTOR, (index + 1) * SECTOR))
  }

  write(data: Uint8Array, position: number): void {
    this.bytes.set(data, position)
    this.changed(position, position + data.length)
    this.resize(Math.max(this.size, position + data.length))
  }

  truncate(size: number): void {
    this.bytes.fill(0, size)
    const cut = this.histories[Math.floor(size / SECTOR)]!
    cut.push(...cut.map((state) => state.slice(0, (size % SECTOR) * 2).padEnd(SECTOR * 2, '0')))
    this.changed(size, SECTORS * SECTOR)
    this.resize(size)
  }

  resize(size: number): void {
    if (size !== this.size) this.sizes.push(size)
    this.size = size
  }

  /** What is wrong with a file that was found, or undefined. */
  defect(found: Uint8Array): string | undefined {
    const between = this.sizes.some((size, i) => i > 0 && found.length > this.sizes[i - 1]! && found.length < size)
    if (!this.sizes.includes(found.length) && !between)
      return `size ${found.length} was never one of ${this.sizes.join()}`
    const padded = new Uint8Array(SECTORS * SECTOR)
    padded.set(found)
    for (let sector = 0; sector * SECTOR < found.length; sector++) {
      const content = hex(padded.subarray(sector * SECTOR, (sector + 1) * SECTOR))
      const visible = Math.min(SECTOR, found.length - sector * SECTOR) * 2
      const known = this.histories[sector]!.some((state) => state.slice(0, visible) === content.slice(0, visible))
      if (!known) return `sector ${sector} was never like that`
    }
    return undefined
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Some steps of a process that has a file open, once or twice: with and without O_DSYNC. */
async function live(random: Random, files: readonly StorageFile[], account: Account, steps: number): Promise<void> {
  for (let step = 0; step < steps; step++) {
    const file = random.pick(files)
    const kind = random.int(12)
    if (kind < 8) {
      const position = random.chance(0.5) ? random.int(30) * SECTOR : random.int(30 * SECTOR)
      const data = new Uint8Array(1 + random.int(random.chance(0.3) ? 9 * SECTOR : 2 * SECTOR)).fill(
        random.chance(0.2) ? 0 : 1 + random.int(255),
      )
      if (random.chance(0.3)) file.writeSync(data, position)
      else await file.write(data, position)
      account.write(data, position)
      if (file.synced) account.durable(position, position + data.length)
    } else if (kind < 10) {
      if (random.chance(0.3)) file.syncSync()
      else await file.sync()
      account.durable()
    } else if (kind === 10) {
      const size = random.int(30 * SECTOR)
      await file.truncate(size)
      account.truncate(size)
    }
  }
}

describe('a power failure', () => {
  it('leaves each sector as it once was since it was last durable, and a size likewise (N1 to N4)', async () => {
    for (let round = 0; round < runs(250); round++) {
      const random = new Random(`crash ${round}`)
      const disk = new SimulatedStorage({ seed: random.uint32(), maxDelayTurns: 0 })
      const files = [await disk.open('/file', 'create', { synced: random.chance(0.5) })]
      files.push(await disk.open('/file', 'write', { synced: random.chance(0.5) }))
      await disk.syncDirectory('/')
      const account = new Account()
      await live(random, files, account, 3 + random.int(20))
      expect(Buffer.compare(disk.contents('/file'), account.bytes.subarray(0, account.size))).toBe(0)
      for (let image = 0; image < 8; image++) {
        const found = disk.crash().contents('/file')
        expect(account.defect(found), `round ${round} image ${image}`).toBeUndefined()
      }
      expect(hex(disk.crash({ survival: 'all' }).contents('/file'))).toBe(hex(account.bytes.subarray(0, account.size)))
      const durable = disk.crash({ survival: 'none' }).contents('/file')
      expect(hex(durable)).toBe(hex(account.least.subarray(0, account.sizes[0])))
    }
  })

  it('leaves of a file all that was synced and of another life after it the same (images are disks like others)', async () => {
    for (let round = 0; round < runs(60); round++) {
      const random = new Random(`lives ${round}`)
      let disk = new SimulatedStorage({ seed: random.uint32(), maxDelayTurns: 0 })
      await (await disk.open('/file', 'create')).close()
      await disk.syncDirectory('/')
      for (let life = 0; life < 4; life++) {
        const account = new Account()
        const start = disk.contents('/file')
        account.bytes.set(start)
        account.size = start.length
        account.durable()
        const file = await disk.open('/file', 'write', { synced: random.chance(0.5) })
        await live(random, [file], account, random.int(12))
        if (random.chance(0.3)) {
          disk = disk.kill()
          expect(hex(disk.contents('/file'))).toBe(hex(account.bytes.subarray(0, account.size)))
        }
        disk = disk.crash()
        expect(account.defect(disk.contents('/file')), `round ${round} life ${life}`).toBeUndefined()
      }
    }
  })

  it('undoes a truncation wholly or not at all', async () => {
    const disk = new SimulatedStorage()
    const file = await disk.open('/file', 'create')
    const content = new Uint8Array(3000).fill(9)
    await file.write(content, 0)
    await file.sync()
    await disk.syncDirectory('/')
    await file.truncate(100)
    const found = new Set(Array.from({ length: 60 }, () => hex(disk.crash().contents('/file'))))
    expect(found).toEqual(new Set([hex(content), hex(content.subarray(0, 100))]))
  })

  it('finds a disk that shares nothing with the one before it', async () => {
    const disk = new SimulatedStorage()
    const file = await disk.open('/file', 'create')
    await file.write(new Uint8Array(6000).fill(1), 0)
    await file.sync()
    await disk.syncDirectory('/')
    const next = disk.crash()
    const again = await next.open('/file', 'write', { synced: true })
    await again.write(new Uint8Array(6000).fill(2), 0)
    expect(hex(disk.crash().contents('/file'))).toBe('01'.repeat(6000))
    expect(hex(disk.crash({ survival: 'none' }).contents('/file'))).toBe('01'.repeat(6000))
    expect(hex(next.crash({ survival: 'none' }).contents('/file'))).toBe('02'.repeat(6000))
  })

  it('keeps of a sync only what was written before it was called', async () => {
    const disk = new SimulatedStorage()
    const file = await disk.open('/file', 'create')
    await disk.syncDirectory('/')
    await file.write(Uint8Array.of(1), 0)
    disk.fail({ kind: 'stall', operation: 'sync' })
    const syncing = file.sync()
    await file.write(Uint8Array.of(2), 0)
    disk.heal()
    await syncing
    expect([...disk.crash({ survival: 'none' }).contents('/file')]).toEqual([1])
  })

  it('finds the same with the same seed, and other things with others', async () => {
    const life = async (seed: number): Promise<SimulatedStorage> => {
      const disk = new SimulatedStorage({ seed })
      const files = await Promise.all(['/a', '/b', '/c'].map((path) => disk.open(path, 'create')))
      await Promise.all(files.map((file, i) => file.write(new Uint8Array(9000).fill(i + 1), 100 * i)))
      return disk
    }
    const print = (disk: SimulatedStorage): string =>
      disk
        .files()
        .map((path) => `${path} ${hex(disk.contents(path))}`)
        .join('\n')
    const disk = await life(7)
    const images = new Set<string>()
    for (let seed = 0; seed < 40; seed++) {
      const image = print(disk.crash({ seed }))
      images.add(image)
      expect(print(disk.crash({ seed }))).toBe(image)
      expect(print((await life(7)).crash({ seed }))).toBe(image)
    }
    expect(images.size).toBeGreaterThan(15)
  })
})

describe('names after a power failure', () => {
  /** All sets of names that are found, over many images. */
  function outcomes(disk: SimulatedStorage): Set<string> {
    const found = new Set<string>()
    for (let image = 0; image < 200; image++) {
      const after = disk.crash()
      found.add(
        after
          .files()
          .map((path) => `${path}=${after.contents(path)[0] ?? '-'}`)
          .join(' '),
      )
    }
    return found
  }

  async function make(disk: SimulatedStorage, path: string, byte: number): Promise<void> {
    const file = await disk.open(path, 'create')
    await file.write(Uint8Array.of(byte), 0)
    await file.sync()
    await file.close()
  }

  it('are there or not, whole and atomically renamed (D1)', async () => {
    const disk = new SimulatedStorage()
    await make(disk, '/old', 1)
    await disk.syncDirectory('/')
    await make(disk, '/tmp', 2)
    await disk.rename('/tmp', '/old')
    expect(outcomes(disk)).toEqual(new Set(['/old=1', '/old=1 /tmp=2', '/old=2']))
  })

  it('may be lost in any order, but not against the order of one name (D2)', async () => {
    const disk = new SimulatedStorage()
    await make(disk, '/a', 1)
    await make(disk, '/b', 2)
    await disk.syncDirectory('/')
    await disk.rename('/a', '/c')
    await disk.rename('/b', '/d')
    expect(outcomes(disk)).toEqual(new Set(['/a=1 /b=2', '/a=1 /d=2', '/b=2 /c=1', '/c=1 /d=2']))
    const chain = new SimulatedStorage()
    await make(chain, '/a', 1)
    await chain.syncDirectory('/')
    await chain.rename('/a', '/b')
    await chain.rename('/b', '/c')
    expect(outcomes(chain)).toEqual(new Set(['/a=1', '/b=1', '/c=1']))
  })

  it('are durable once their directory is synced, removals too, and not before the call', async () => {
    const disk = new SimulatedStorage()
    await make(disk, '/a', 1)
    await make(disk, '/b', 2)
    await disk.remove('/b')
    disk.fail({ kind: 'stall', operation: 'syncDirectory' })
    const syncing = disk.syncDirectory('/')
    await make(disk, '/late', 3)
    disk.heal()
    await syncing
    expect(outcomes(disk)).toEqual(new Set(['/a=1', '/a=1 /late=3']))
  })

  it('lead to content that is as lost as it was not synced: synced names, empty files (D3)', async () => {
    const disk = new SimulatedStorage()
    const file = await disk.open('/a', 'create')
    await file.write(Uint8Array.of(1), 0)
    await disk.syncDirectory('/')
    expect(outcomes(disk)).toEqual(new Set(['/a=-', '/a=0', '/a=1']))
    const synced = new SimulatedStorage()
    await make(synced, '/a', 1)
    expect(outcomes(synced)).toEqual(new Set(['', '/a=1']))
  })

  it('across directories need only one of them synced', async () => {
    const disk = new SimulatedStorage()
    await disk.makeDirectory('/x')
    await disk.makeDirectory('/y')
    await make(disk, '/x/a', 1)
    await disk.rename('/x/a', '/y/a')
    await disk.syncDirectory('/y')
    expect(outcomes(disk)).toEqual(new Set(['/y/a=1']))
  })

  it('are durable at once, and in order, where directories cannot be synced', async () => {
    const disk = new SimulatedStorage({ directorySync: false })
    await make(disk, '/a', 1)
    await disk.rename('/a', '/b')
    expect(outcomes(disk)).toEqual(new Set(['/b=1']))
  })
})
