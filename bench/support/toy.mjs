/**
 * Toys: a Map and a log in groups, which is about what a disk can do under Node. Nothing is isolated, checked for conflicts,
 * rolled back, read back or ever checkpointed, and the log runs in a circle.
 *
 * One asynchronous write is in flight at a time, on a descriptor that syncs each write (O_DSYNC), into a file that was filled
 * with zeros before. Whoever commits meanwhile goes into the next group.
 */

import { close, closeSync, constants, fsyncSync, openSync, write, writeSync } from 'node:fs'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { Packr } from 'msgpackr'

import { settled } from './measure.mjs'

const MIB = 2 ** 20
const FILE_BYTES = 64 * MIB
const BUFFER_BYTES = 4 * MIB
/** Without waiting for the disk, commits wait only when so much is still to be written. */
const MAX_QUEUED_BYTES = 256 * 1024
/** Length and checksum of a group. */
const HEADER_BYTES = 8

const packr = new Packr()

/** @param {string} path */
function createLogFile(path) {
  const zeros = Buffer.alloc(MIB)
  const file = openSync(path, 'wx')
  for (let at = 0; at < FILE_BYTES; at += MIB) writeSync(file, zeros, 0, MIB, at)
  fsyncSync(file)
  closeSync(file)
}

class ToyLog {
  #file
  /** Whether a group waits for the end of the turn's commits, instead of starting with the first. */
  #gathers
  #filling = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #writing = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #used = HEADER_BYTES
  #position = 0
  #isBusy = false
  /** @type {Promise<void> | null} settles with the group that is being filled */
  #group = null
  #settleGroup = () => {}
  #settleWritten = () => {}

  constructor(path, { isSynced, gathers }) {
    createLogFile(path)
    this.#file = openSync(path, constants.O_RDWR | (isSynced ? (constants.O_DSYNC ?? constants.O_SYNC) : 0))
    this.#gathers = gathers
  }

  get queuedBytes() {
    return this.#used
  }

  /** @param {string} text */
  text(text) {
    const buffer = this.#filling
    const at = this.#used
    buffer[at] = text.length
    buffer.latin1Write(text, at + 1)
    this.#used = at + 1 + text.length
  }

  /** @param {number} number */
  number(number) {
    this.#used = this.#filling.writeDoubleLE(number, this.#used)
  }

  /** @param {Uint8Array} bytes */
  bytes(bytes) {
    const at = this.#filling.writeUInt16LE(bytes.length, this.#used)
    this.#filling.set(bytes, at)
    this.#used = at + bytes.length
  }

  /** Ends a record. The promise settles when the record is written. */
  commit() {
    this.#group ??= new Promise((resolve) => {
      this.#settleGroup = resolve
    })
    const group = this.#group
    if (!this.#isBusy) {
      this.#isBusy = true
      if (this.#gathers) process.nextTick(this.#flush)
      else this.#flush()
    }
    return group
  }

  #flush = () => {
    const buffer = this.#filling
    const length = this.#used
    this.#filling = this.#writing
    this.#writing = buffer
    this.#used = HEADER_BYTES
    this.#group = null
    this.#settleWritten = this.#settleGroup
    buffer.writeUInt32LE(length, 4)
    buffer.writeUInt32LE(crc32(buffer.subarray(4, length)), 0)
    if (this.#position + length > FILE_BYTES) this.#position = 0
    write(this.#file, buffer, 0, length, this.#position, this.#written)
    this.#position += length
  }

  #written = (error) => {
    if (error) throw error
    this.#settleWritten()
    if (this.#group !== null) this.#flush()
    else this.#isBusy = false
  }

  async close() {
    while (this.#isBusy) await (this.#group ?? new Promise((resolve) => setImmediate(resolve)))
    await promisify(close)(this.#file)
  }
}

/**
 * A store with the interface of varve's transactions: writes are collected, then applied to a Map and logged, key and whole
 * value of each. A group starts with the first commit that finds the log idle.
 */
export class Toy {
  /** @type {Map<string, any>} */
  accounts = new Map()
  #log
  #isSynced

  constructor(path, isSynced) {
    this.#isSynced = isSynced
    this.#log = new ToyLog(path, { isSynced, gathers: false })
  }

  async transaction(run) {
    const { accounts } = this
    const writes = new Map()
    const result = run({
      get: (key) => writes.get(key) ?? accounts.get(key),
      set: (key, value) => void writes.set(key, value),
    })
    const log = this.#log
    for (const [key, value] of writes) {
      accounts.set(key, value)
      log.text(key)
      log.bytes(packr.pack(value))
    }
    const committed = log.commit()
    if (this.#isSynced || log.queuedBytes > MAX_QUEUED_BYTES) await committed
    return result
  }

  close() {
    return this.#log.close()
  }
}

/**
 * The same made for this one purpose: a transfer is a function, the log has nothing but the two new balances, and a group
 * starts when all clients of the last one have had their turn.
 */
export class LeanToy {
  /** @type {Map<string, any>} */
  accounts = new Map()
  #log
  #isSynced

  constructor(path, isSynced) {
    this.#isSynced = isSynced
    this.#log = new ToyLog(path, { isSynced, gathers: true })
  }

  transfer(payer, payee, amount) {
    const { accounts } = this
    const log = this.#log
    const from = accounts.get(payer)
    const to = accounts.get(payee)
    const left = { id: from.id, owner: from.owner, balance: from.balance - amount }
    const right = { id: to.id, owner: to.owner, balance: to.balance + amount }
    accounts.set(payer, left)
    accounts.set(payee, right)
    log.text(payer)
    log.number(left.balance)
    log.text(payee)
    log.number(right.balance)
    const committed = log.commit()
    return this.#isSynced || log.queuedBytes > MAX_QUEUED_BYTES ? committed : settled
  }

  close() {
    return this.#log.close()
  }
}
