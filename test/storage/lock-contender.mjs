/**
 * A process or thread that takes and gives back locks as it is told: by messages {id, do, ...}, answered by {id, ...}.
 * Its first argument (of a process) or workerData (of a thread) is the compiled src/storage.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { isMainThread, parentPort, workerData } from 'node:worker_threads'

const compiled = isMainThread ? process.argv[2] : workerData
const { acquireLock, probeLock } = await import(join(compiled, 'lock.js'))
const { loadFlock } = await import(join(compiled, 'flock.js'))
const { identifySelf } = await import(join(compiled, 'lock-holder.js'))

const flock = await loadFlock()
const identity = identifySelf()
const locks = new Map()

function stall(maxMs) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.random() * maxMs)
}

/**
 * Takes, holds and abandons one lock for a while, and until somebody has abandoned it and somebody given it back, being another mortal each time: one of invented pid who lives while the
 * file graveyard/<pid> is missing. Calls of the protocol stall and mortals die at random, also while they take over.
 */
async function strive({ directory, arena, untilMs, useFlock, maxStallMs, deaths }) {
  const tally = { taken: 0, abandoned: 0, died: 0, refused: 0, together: 0, unexpected: [] }
  const dead = (pid) => fs.existsSync(join(arena, `${pid}`))
  const [abandoned, released] = [join(arena, 'abandoned'), join(arena, 'released')]
  const isEnough = () => Date.now() >= untilMs && fs.existsSync(abandoned) && fs.existsSync(released)
  for (let life = 0; !isEnough(); life++) {
    const pid = (process.pid % 100_000) * 10_000 + (life % 10_000) + 1
    const die = () => {
      fs.writeFileSync(join(arena, `${pid}`), '')
      tally.died++
      throw new Error('died')
    }
    let lock
    try {
      lock = await acquireLock(directory, {
        self: { ...identity, pid, started: '1' },
        sight: (other) => {
          stall(maxStallMs)
          return dead(other) ? { exists: false } : { exists: true, started: '1' }
        },
        link: (from, to) => {
          stall(maxStallMs)
          fs.linkSync(from, to)
          if (Math.random() < deaths) die()
        },
        flock: (fd, mode) => {
          if (mode === 'exclusive') stall(maxStallMs)
          return useFlock && flock !== null ? flock(fd, mode) : 'unsupported'
        },
      })
    } catch (error) {
      if (error.code === 'LOCKED') tally.refused++
      else if (error.cause?.message !== 'died') tally.unexpected.push(error.message)
      stall(maxStallMs)
      continue
    }
    tally.taken++
    const held = join(arena, 'held')
    try {
      fs.closeSync(fs.openSync(held, 'wx'))
      stall(maxStallMs / 2)
      fs.unlinkSync(held)
    } catch {
      tally.together++
    }
    if (Math.random() < 0.5) {
      // Leaves the lock behind: release removes only its own file, which this copy is not, and drops the flock.
      const path = join(directory, 'lock')
      fs.copyFileSync(path, join(arena, `copy-${pid}`))
      // While it still lives and so nobody replaces the lock under its hands.
      fs.renameSync(join(arena, `copy-${pid}`), path)
      fs.writeFileSync(join(arena, `${pid}`), '')
      tally.abandoned++
      fs.writeFileSync(abandoned, '')
    } else fs.writeFileSync(released, '')
    await lock.release()
  }
  return tally
}

async function obey(message) {
  const { directory } = message
  const surroundings = message.useFlock === false ? { flock: null } : {}
  switch (message.do) {
    case 'acquire':
      while (Date.now() < (message.atMs ?? 0));
      locks.set(directory, await acquireLock(directory, surroundings))
      return {}
    case 'probe':
      return probeLock(directory, surroundings)
    case 'release':
      await locks.get(directory).release()
      return {}
    case 'exit':
      return process.exit(0)
    case 'strive':
      return strive(message)
    default:
      throw new Error(`told to ${message.do}`)
  }
}

const reply = isMainThread ? (answer) => process.send(answer) : (answer) => parentPort.postMessage(answer, [])
const source = isMainThread ? process : parentPort
source.on('message', (message) => {
  obey(message).then(
    (result) => reply({ id: message.id, ...result }),
    (error) => reply({ id: message.id, code: error.code ?? 'none', message: error.message }),
  )
})
reply({ id: 0, ready: true, flock: flock !== null })
