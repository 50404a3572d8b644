/** The simulated process: faults, delays, stopping, killing, capacity, locks. What a crash leaves is in crash.property.test.ts. */
import { describe, expect, it } from 'vitest'
import { type FaultKind, type OperationName, SimulatedStorage } from '../../src/storage/simulated.ts'
import { errnoOf, isMissing, type StorageFile } from '../../src/storage/storage.ts'
import { leastCost } from '../support/patience.ts'
import { runs } from '../support/random.ts'

async function fileOn(disk: SimulatedStorage, path = '/file', synced = false): Promise<StorageFile> {
  const file = await disk.open(path, 'create', { synced })
  await disk.syncDirectory('/')
  return file
}

async function errnoOfRejection(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise
    return undefined
  } catch (error) {
    expect(error).toMatchObject({ name: 'VarveError', code: 'IO' })
    return errnoOf(error)
  }
}

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

describe('faults', () => {
  it('hit the n-th call of all, and only one that can fail so', async () => {
    const disk = new SimulatedStorage()
    const file = await fileOn(disk)
    disk.failAt(disk.operations + 2, 'EIO')
    await file.write(bytes(1, 1), 0)
    expect(await errnoOfRejection(file.write(bytes(1, 1), 0))).toBe('EIO')
    await file.write(bytes(1, 1), 0)
    expect(disk.faultsInjected).toBe(1)
    disk.failAt(disk.operations + 1, 'ENOSPC')
    await file.read(bytes(1, 1), 0)
    expect(disk.faultsInjected).toBe(1)
    disk.failEvery(3, 'EIO')
    const outcomes: unknown[] = []
    for (let i = 0; i < 9; i++) outcomes.push(await errnoOfRejection(file.size()))
    expect(outcomes.filter((outcome) => outcome === 'EIO')).toHaveLength(3)
    disk.heal()
    await file.size()
  })

  it('are told apart by name, path, how many are spared and how often they come', async () => {
    const disk = new SimulatedStorage()
    const log = await fileOn(disk, '/wal-1.log')
    const run = await fileOn(disk, '/run-1.run')
    disk.fail({ kind: 'EIO', operation: ['sync', 'write'], path: /wal-\d+/, skip: 1, times: 2 })
    await log.write(bytes(1, 1), 0)
    await run.write(bytes(1, 1), 0)
    expect(await errnoOfRejection(log.sync())).toBe('EIO')
    await run.sync()
    expect(await log.size()).toBe(1)
    expect(() => log.writeSync(bytes(1, 1), 0)).toThrow(/cannot write \/wal-1\.log: EIO/)
    await log.sync()
    disk.fail({ kind: 'EIO', operation: 'rename', path: '/manifest' })
    expect(await errnoOfRejection(disk.rename('/run-1.run', '/manifest'))).toBe('EIO')
  })

  it('of every kind reach every call that they are for', async () => {
    const calls: Record<OperationName, (disk: SimulatedStorage, file: StorageFile) => Promise<unknown>> = {
      open: (disk) => disk.open('/file', 'read'),
      create: (disk) => disk.open('/new', 'create'),
      read: (_, file) => file.read(bytes(1, 0), 0),
      write: (_, file) => file.write(bytes(600, 2), 0),
      sync: (_, file) => file.sync(),
      size: (_, file) => file.size(),
      truncate: (_, file) => file.truncate(7),
      close: (_, file) => file.close(),
      list: (disk) => disk.list('/'),
      makeDirectory: (disk) => disk.makeDirectory('/x'),
      removeDirectory: async (disk) => {
        disk.plant('/empty', 'directory')
        await disk.removeDirectory('/empty')
      },
      rename: (disk) => disk.rename('/file', '/other'),
      remove: (disk) => disk.remove('/file'),
      syncDirectory: (disk) => disk.syncDirectory('/'),
      lock: (disk) => disk.lock('/'),
      probeLock: (disk) => disk.probeLock('/'),
      unlock: async (disk) => (await disk.lock('/')).release(),
    }
    const failing: Partial<Record<FaultKind, string>> = {
      EIO: Object.keys(calls).join(' '),
      ENOSPC: 'create write truncate makeDirectory rename lock',
      EMFILE: 'open create list makeDirectory syncDirectory lock probeLock',
      EROFS: 'open create truncate makeDirectory removeDirectory rename remove lock',
      short: 'write',
      EINTR: '',
      lost: '',
    }
    for (const [kind, names] of Object.entries(failing)) {
      for (const [name, run] of Object.entries(calls)) {
        const disk = new SimulatedStorage({ seed: 5 })
        const file = await fileOn(disk)
        await file.write(bytes(300, 1), 0)
        disk.fail({ kind: kind as FaultKind, operation: name as OperationName })
        const errno = await errnoOfRejection(run(disk, file))
        const expected = names.split(' ').includes(name) ? (kind === 'short' ? 'ENOSPC' : kind) : undefined
        expect(errno, `${kind} of ${name}`).toBe(expected)
      }
    }
  })

  it('of a write leave a part of it, of one that is synced too', async () => {
    for (const kind of ['EIO', 'ENOSPC', 'short'] as const) {
      const lengths = new Set<number>()
      for (let seed = 0; seed < 40; seed++) {
        const disk = new SimulatedStorage({ seed })
        const file = await fileOn(disk, '/file', seed % 2 === 0)
        disk.fail({ kind, operation: 'write' })
        await expect(file.write(bytes(5000, 1), 0)).rejects.toThrow(kind === 'EIO' ? 'EIO' : 'ENOSPC')
        lengths.add(disk.contents('/file').length)
      }
      expect(lengths.size).toBeGreaterThan(10)
      expect(lengths.has(0)).toBe(kind !== 'short')
      expect(lengths.has(5000)).toBe(false)
    }
  })

  it('of an O_DSYNC write leave nothing to rely on', async () => {
    const found = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk, '/file', true)
      await file.write(bytes(4096, 1), 0)
      disk.fail({ kind: 'EIO', operation: 'write' })
      await expect(file.write(bytes(4096, 2), 0)).rejects.toThrow('EIO')
      const seen = disk.contents('/file').filter((byte) => byte === 2).length
      const kept = disk
        .crash({ survival: 'none' })
        .contents('/file')
        .filter((byte) => byte === 2).length
      found.add(seen === 0 ? 'nothing' : kept === 0 ? 'lost' : kept < seen ? 'torn' : 'kept')
    }
    expect([...found].filter((end) => end !== 'kept').sort()).toEqual(['lost', 'nothing', 'torn'])
  })

  it('of a sync lose what it was to write, although a later sync succeeds and the process still sees it', async () => {
    let lost = 0
    for (let seed = 0; seed < 40; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk)
      await file.write(bytes(4096, 1), 0)
      disk.fail({ kind: 'EIO', operation: 'sync' })
      await expect(file.sync()).rejects.toThrow('EIO')
      await file.sync()
      expect(Buffer.compare(disk.contents('/file'), bytes(4096, 1))).toBe(0)
      const found = disk.crash({ survival: 'all' }).contents('/file')
      if (found.length < 4096 || found.includes(0)) lost++
      expect(lost).toBeGreaterThan(0)
      const next = disk.kill()
      const again = await next.open('/file', 'write')
      await again.write(bytes(4096, 1), 0)
      await again.truncate(4095)
      await again.sync()
      expect(Buffer.compare(next.crash().contents('/file'), bytes(4095, 1))).toBe(0)
    }
    expect(lost).toBeGreaterThan(30)
  })

  it('of a sync lose it for the next process too, if the cache needed the room, but not what was written since', async () => {
    const found = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk)
      await file.write(bytes(8192, 1), 0)
      await file.sync()
      await file.write(bytes(1024, 2), 0)
      await file.write(bytes(1024, 2), 7000)
      disk.fail({ kind: 'EIO', operation: 'sync' })
      await expect(file.sync()).rejects.toThrow('EIO')
      await file.write(bytes(512, 3), 0)
      const next = disk.kill()
      const content = next.contents('/file')
      expect(content).toHaveLength(8192)
      expect([content[0], content[511], content[1024], content[6999], content[8100]]).toEqual([3, 3, 1, 1, 1])
      found.add(`${content[512]}${content[7500]}`)
      expect(next.crash({ survival: 'none' }).contents('/file')[0]).not.toBe(3)
      expect(next.crash({ survival: 'all' }).contents('/file')[0]).toBe(3)
    }
    expect(found).toEqual(new Set(['11', '12', '21', '22']))
  })

  it('of a sync of a directory lose names likewise', async () => {
    const found = new Set<string>()
    for (let seed = 0; seed < 40; seed++) {
      const disk = new SimulatedStorage({ seed })
      await disk.open('/a', 'create')
      await disk.open('/b', 'create')
      disk.fail({ kind: 'EIO', operation: 'syncDirectory' })
      await expect(disk.syncDirectory('/')).rejects.toThrow('EIO')
      await disk.syncDirectory('/')
      expect(disk.files()).toEqual(['/a', '/b'])
      found.add(disk.crash({ survival: 'all' }).files().join())
    }
    expect(found).toEqual(new Set(['', '/a', '/b', '/a,/b']))
  })

  it('flip one bit on its way, and lose a write silently', async () => {
    const disk = new SimulatedStorage({ seed: 3 })
    const file = await fileOn(disk)
    const bitsSet = (content: Uint8Array): number =>
      content.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)
    await file.write(bytes(100, 0), 0)
    disk.fail({ kind: 'flip', operation: 'read' })
    const target = bytes(100, 0)
    expect(await file.read(target, 0)).toBe(100)
    expect(bitsSet(target)).toBe(1)
    await file.read(target, 0)
    expect(bitsSet(target)).toBe(0)
    const data = bytes(100, 0)
    disk.fail({ kind: 'flip', operation: 'write' })
    await file.write(data, 0)
    expect(bitsSet(data)).toBe(0)
    expect(bitsSet(disk.contents('/file'))).toBe(1)
    disk.fail({ kind: 'lost' })
    await file.write(bytes(100, 255), 0)
    expect(bitsSet(disk.contents('/file'))).toBe(1)
  })

  it('stall a call until the plan is cleared, or for so many turns, while others go on and close() waits', async () => {
    const disk = new SimulatedStorage()
    const file = await fileOn(disk)
    disk.fail({ kind: 'stall', operation: 'sync' })
    const order: string[] = []
    const syncing = file.sync().then(() => order.push('sync'))
    await file.write(bytes(1, 1), 0)
    order.push('write')
    const closing = file.close().then(() => order.push('close'))
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(order).toEqual(['write'])
    disk.heal()
    await Promise.all([syncing, closing])
    expect(order).toEqual(['write', 'sync', 'close'])
    disk.fail({ kind: 'stall', operation: 'list', turns: 50 })
    await Promise.all([
      disk.list('/').then(() => order.push('list')),
      disk.open('/file', 'read').then(() => order.push('open')),
    ])
    expect(order.slice(3)).toEqual(['open', 'list'])
  })
})

describe('calls', () => {
  it('never end while they are made, take effect when they end, and overtake each other', async () => {
    const orders = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk)
      const order: number[] = []
      const data = bytes(1, 1)
      const writes = [1, 2, 3].map((i) => file.write(data, i).then(() => order.push(i)))
      expect(disk.contents('/file')).toHaveLength(0)
      data[0] = 7
      await Promise.all(writes)
      expect([...disk.contents('/file')]).toEqual([0, 7, 7, 7])
      orders.add(order.join(''))
    }
    expect(orders.size).toBe(6)
  })

  it('are the same in the same order from the same seed', async () => {
    const life = async (): Promise<string> => {
      const disk = new SimulatedStorage({ seed: 11, capacityBytes: 100_000 })
      disk.failEvery(7, 'EIO')
      const ends: string[] = []
      for (let i = 0; i < 30; i++) {
        const file = await disk.open(`/${i}`, 'create').catch(() => undefined)
        const note = (end: string) => (): number => ends.push(end)
        if (file === undefined) continue
        const writes = [1, 2, 3].map((n) => file.write(bytes(3000, n), n * 1000).then(note(`${n}`), note(`!${n}`)))
        await Promise.all(writes)
      }
      const image = disk.crash()
      return JSON.stringify([ends, disk.log, image.files().map((path) => [...image.contents(path)])])
    }
    expect(await life()).toBe(await life())
  })

  it('are counted and logged, synchronous ones too', async () => {
    const disk = new SimulatedStorage()
    const file = await fileOn(disk)
    file.writeSync(bytes(10, 1), 5)
    expect(file.readSync(bytes(20, 0), 5)).toBe(10)
    file.syncSync()
    await disk.rename('/file', '/other')
    expect(disk.operations).toBe(6)
    expect(disk.log.at(-4)).toEqual({
      number: 3,
      name: 'write',
      path: '/file',
      position: 5,
      bytes: 10,
      outcome: 'done',
    })
    expect(disk.log.at(-1)).toMatchObject({ number: 6, name: 'rename', path: '/file', to: '/other' })
    expect(disk.traffic).toEqual({ bytesRead: 10, bytesWritten: 10, syncs: 2 })
  })
})

describe('a process', () => {
  it('that stops in the middle of a call never learns how it ended, and does nothing more', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk)
      disk.stopAt(disk.operations + 3)
      let settled = 0
      const count = (): number => settled++
      void file.write(bytes(1, 1), 0).then(count, count)
      await disk.open('/other', 'create').then(count)
      void disk.remove('/file').then(count, count)
      void file.write(bytes(1, 2), 0).then(count, count)
      await disk.stopped
      expect(disk.halted).toBe(true)
      expect(() => file.writeSync(bytes(1, 3), 0)).toThrow('ESHUTDOWN')
      expect(() => file.syncSync()).toThrow('ESHUTDOWN')
      // What had ended before is heard of a microtask later.
      await Promise.resolve()
      const before = settled
      await new Promise((resolve) => setTimeout(resolve, 2))
      expect(settled).toBe(before)
      expect(before).toBeLessThanOrEqual(2)
      expect(disk.contents('/file').includes(3)).toBe(false)
    }
  })

  it('that halts has no effect from then on by what it had called before', async () => {
    for (const maxDelayTurns of [0, 3]) {
      const disk = new SimulatedStorage({ maxDelayTurns })
      const file = await fileOn(disk)
      void file.write(bytes(1, 1), 0)
      disk.halt()
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(disk.contents('/file')).toHaveLength(0)
      expect(disk.crash({ survival: 'all' }).contents('/file')).toHaveLength(1)
    }
  })

  it('that stops in a synchronous call throws there, having done a part', async () => {
    const lengths = new Set<number>()
    for (let seed = 0; seed < 40; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk)
      disk.stopAt(disk.operations + 1)
      expect(() => file.writeSync(bytes(3000, 1), 0)).toThrow('ESHUTDOWN')
      lengths.add(disk.kill().contents('/file').length)
    }
    expect(lengths).toContain(0)
    expect(lengths).toContain(3000)
    expect(lengths.size).toBeGreaterThan(5)
  })

  it('that is killed leaves what it wrote, no more durable than before, and calls in flight done, half done or not', async () => {
    const found = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk)
      await file.write(bytes(10, 1), 0)
      void file.write(bytes(2000, 2), 0)
      void disk.open('/new', 'create')
      const next = disk.kill()
      const content = next.contents('/file')
      found.add(content.length === 10 ? (content[9] === 2 ? 'part' : 'none') : content.length === 2000 ? 'all' : 'part')
      found.add(next.files().join())
      expect(next.crash({ survival: 'none' }).contents('/file')).toHaveLength(0)
      expect(disk.openFiles).toEqual([])
    }
    expect(found).toEqual(new Set(['none', 'part', 'all', '/file', '/file,/new']))
  })

  it('that crashes with an O_DSYNC write in flight may leave it torn, and after it has ended does not', async () => {
    const found = new Set<string>()
    for (let seed = 0; seed < 60; seed++) {
      const disk = new SimulatedStorage({ seed })
      const file = await fileOn(disk, '/file', true)
      expect(file.synced).toBe(true)
      await file.write(bytes(1024, 1), 0)
      void file.write(bytes(1024, 2), 0)
      const content = disk.crash().contents('/file')
      found.add(`${content[0]}${content[512]}`)
      const ended = new SimulatedStorage({ seed })
      const other = await fileOn(ended, '/file', true)
      await other.write(bytes(1024, 2), 0)
      expect(Buffer.compare(ended.crash().contents('/file'), bytes(1024, 2))).toBe(0)
    }
    expect(found).toEqual(new Set(['11', '12', '21', '22']))
  })

  it('that crashes with changes of names in flight may have made them or not', async () => {
    for (const directorySync of [true, false]) {
      const found = new Set<string>()
      for (let seed = 0; seed < 100; seed++) {
        const disk = new SimulatedStorage({ seed, directorySync })
        disk.plant('/a', bytes(1, 1))
        void disk.makeDirectory('/d')
        void disk.rename('/a', '/b')
        const after = disk.crash()
        found.add(
          (await after.list('/'))
            .map(({ name }) => name)
            .sort()
            .join(),
        )
      }
      expect(found).toEqual(new Set(['a', 'b', 'a,d', 'b,d']))
    }
  })

  it('on a platform without O_DSYNC is told so, and what it writes is not durable', async () => {
    const disk = new SimulatedStorage({ synced: false })
    const file = await fileOn(disk, '/file', true)
    expect(file.synced).toBe(false)
    await file.write(bytes(10, 1), 0)
    expect(disk.crash({ survival: 'none' }).contents('/file')).toHaveLength(0)
  })

  it('holds a directory against itself and others until it lets go or dies', async () => {
    const disk = new SimulatedStorage()
    await disk.makeDirectory('/db')
    const other = disk.peer()
    const lock = await disk.lock('/db')
    await expect(disk.lock('/x/../db')).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringMatching(/this process/),
    })
    await expect(other.lock('/db/')).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringMatching(/process 1/),
    })
    await expect(other.probeLock('/db')).rejects.toMatchObject({ code: 'LOCKED' })
    await lock.release()
    await lock.release()
    await other.probeLock('/db')
    const theirs = await other.lock('/db')
    await lock.release()
    await expect(disk.lock('/db')).rejects.toMatchObject({ code: 'LOCKED' })
    void theirs
    const third = other.peer()
    third.kill()
    await expect(disk.lock('/db')).rejects.toMatchObject({ code: 'LOCKED' })
    await other.kill().lock('/db')
    await expect(disk.lock('/db')).rejects.toMatchObject({ code: 'LOCKED' })
    await disk.crash().lock('/db')
  })

  it('dies with the whole machine when power fails', async () => {
    const disk = new SimulatedStorage()
    const other = disk.peer()
    const file = await fileOn(other)
    disk.crash()
    expect(other.halted).toBe(true)
    expect(() => file.writeSync(bytes(1, 1), 0)).toThrow('ESHUTDOWN')
  })
})

describe('the disk', () => {
  it('fills up: a write does what there is room for, then ENOSPC; removed files that are open keep their room', async () => {
    const disk = new SimulatedStorage({ capacityBytes: 5 * 4096 })
    const file = await fileOn(disk)
    await file.write(bytes(3 * 4096, 0), 0)
    expect(disk.usedBytes).toBe(3 * 4096)
    await expect(file.write(bytes(4 * 4096, 1), 3 * 4096)).rejects.toThrow('ENOSPC')
    expect(await file.size()).toBe(5 * 4096)
    await file.write(bytes(5 * 4096, 2), 0)
    await disk.remove('/file')
    const other = await fileOn(disk, '/other')
    await expect(other.write(bytes(1, 1), 0)).rejects.toThrow('ENOSPC')
    await file.close()
    expect(disk.usedBytes).toBe(0)
    await other.write(bytes(1, 1), 0)
    await other.truncate(10 ** 9)
    expect(disk.usedBytes).toBe(4096)
    await expect(other.write(bytes(5 * 4096, 1), 4096)).rejects.toThrow('ENOSPC')
    disk.capacityBytes = 100 * 4096
    await other.write(bytes(5 * 4096, 1), 4096)
    await other.truncate(1)
    expect(disk.usedBytes).toBe(4096)
    const next = await disk.open('/next', 'create')
    await next.write(bytes(4096, 1), 0)
    await next.close()
    await disk.rename('/next', '/other')
    await other.close()
    expect(disk.usedBytes).toBe(4096)
    await (await disk.open('/third', 'create')).close()
    await disk.rename('/third', '/other')
    expect(disk.usedBytes).toBe(0)
    expect(disk.crash({ survival: 'none' }).usedBytes).toBe(0)
  })

  it('can be edited past all calls, durably', async () => {
    const disk = new SimulatedStorage()
    await disk.makeDirectory('/db')
    disk.plant('/db/a', bytes(5000, 1))
    disk.plant('/db/dir', 'directory')
    disk.plant('/db/fifo', 'other')
    disk.flip('/db/a', 4999, 7)
    expect(disk.files('/db')).toEqual(['/db/a'])
    const kinds = Object.fromEntries((await disk.list('/db')).map(({ name, kind }) => [name, kind]))
    expect(kinds).toEqual({ a: 'file', dir: 'directory', fifo: 'other' })
    expect(disk.contents('/db/a')[4999]).toBe(0x81)
    expect(await errnoOfRejection(disk.open('/db/dir', 'read'))).toBe('EISDIR')
    expect(await errnoOfRejection(disk.open('/db/fifo', 'write'))).toBe('ELOOP')
    disk.erase('/db/dir')
    const next = disk.crash({ survival: 'none' })
    expect(next.contents('/db/a')[4999]).toBe(0x81)
    expect((await next.list('/db')).map(({ name }) => name).sort()).toEqual(['a', 'fifo'])
    await expect(next.open('/db/dir', 'read')).rejects.toSatisfy(isMissing)
  })

  it('is quick enough for hundreds of lives', async () => {
    let calls = 0
    const cost = await leastCost(1, async () => {
      for (let seed = 0; seed < runs(100); seed++) {
        const disk = new SimulatedStorage({ seed })
        const file = await fileOn(disk, '/file', true)
        await file.write(bytes(1 << 20, 0), 0)
        for (let i = 0; i < 50; i++) await file.write(bytes(512, i), i * 512)
        calls += disk.operations
        disk.crash()
      }
    })
    // ms of processor time a call; the bound, of some fifty times what it takes, only catches a cost that grows with the file.
    expect(cost / calls).toBeLessThan(0.5)
  })
})
