import type { BlockErrorCode, Dma } from '@retrap/device'
import type { NvmeCommand } from '../../src/nvme/command.ts'
import { CompletionQueue, SubmissionQueue } from '../../src/nvme/queues.ts'
import { NvmeMachine } from './nvme-machine.ts'
import type { Choose } from './random-ide.ts'
import { TestMedium } from './test-medium.ts'

const ERRORS: readonly BlockErrorCode[] = ['ERR_MEDIUM', 'ERR_RANGE', 'ERR_NO_SPACE', 'ERR_NO_MEDIUM', 'ERR_READ_ONLY']

/** Queue N has its commands here, and its completions in the page behind them. */
const queueAt = (id: number): number => 0x1_0000 + 0x2_0000 * id
const COMPLETIONS = 0x1_0000
const QUEUES = 4
const ADMIN_ENTRIES = 16
const LISTS = 0x9_0000
const DATA = 0xa_0000
const COMMAND_BYTES = 64
/** The first part of a completion. */
const FIRST_BYTES = 12
const EVENT_REQUEST = 0x0c

// Registers.
const CC = 0x14
const CSTS = 0x1c
const DOORBELLS = 0x1000
const ENABLED = 0x0046_0001

/** Calls of DMA for one act: a batch of commands, each with its data in pages, and a list that is read again for each. */
const MOST_CALLS = 20_000
/** Completions of one queue that may wait for room: of open commands, and the controller's own. */
const MOST_WAITING = 64 + 16

/**
 * The queue that a controller reads or writes just now; null: it moves data. Addresses and lengths do not tell the two
 * apart, since a guest's data may have any length and lie anywhere.
 */
let queueInUse: number | null = null

function watchQueues(): void {
  const [submissions, completions] = [SubmissionQueue.prototype, CompletionQueue.prototype]
  const fetch: (this: SubmissionQueue, dma: Dma) => NvmeCommand | null = submissions['fetch']
  submissions.fetch = function (dma) {
    queueInUse = this.id
    const command = fetch.call(this, dma)
    queueInUse = null
    return command
  }
  const flush: (this: CompletionQueue, dma: Dma) => boolean = completions['flush']
  completions.flush = function (dma) {
    queueInUse = this.id
    const written = flush.call(this, dma)
    queueInUse = null
    return written
  }
}
watchQueues()

/** What `save` says of the completion queues. */
interface SavedQueues {
  readonly completions: readonly (readonly [
    id: number,
    state: { readonly size: number; readonly tail: number; readonly waiting: readonly unknown[] },
  ])[]
  readonly submissions: readonly (readonly [id: number, state: { readonly head: number; readonly tail: number }])[]
}

/** A controller whose guest may do anything, over a medium that answers late or fails, and a watch on what it does. */
export class RandomNvme {
  readonly medium = new TestMedium(200 * 512)
  readonly nvme: NvmeMachine
  /** The first thing that went wrong. */
  violation: string | undefined
  #calls = 0
  #master = true
  #paused = false
  #id = 0
  #tails: number[] = Array.from({ length: QUEUES }, () => 0)
  /** Commands that were fetched and have not been answered: `queue:identifier` and the opcodes. */
  readonly #open = new Map<string, number[]>()
  #first: { readonly at: number; readonly source: number } | null = null

  constructor() {
    this.nvme = new NvmeMachine(this.medium, (dma) => ({
      ...dma,
      read: (gpa, into) => {
        this.#count('read', gpa, into.length)
        const good = dma.read(gpa, into)
        if (queueInUse !== null && good) this.#fetched(queueInUse, into)
        return good
      },
      write: (gpa, from) => {
        this.#count('written', gpa, from.length)
        if (queueInUse !== null) this.#completed(gpa, from)
        return dma.write(gpa, from)
      },
    }))
    this.nvme.read(CSTS)
  }

  #fail(what: string): void {
    this.violation ??= what
  }

  #count(what: string, gpa: number, bytes: number): void {
    const told = `${bytes} bytes are ${what} at 0x${gpa.toString(16)}`
    if (++this.#calls > MOST_CALLS) this.#fail('too much work for one access')
    if (!this.#master) this.#fail(`${told} while bus mastering is off`)
    if (this.#paused) this.#fail(`${told} while it is quiesced`)
    if ((this.nvme.read(CC) & 1) === 0) this.#fail(`${told} while the controller is disabled`)
  }

  #fetched(queue: number, bytes: Uint8Array): void {
    if (bytes.length !== COMMAND_BYTES) this.#fail(`a command of ${bytes.length} bytes is fetched`)
    const key = `${queue}:${bytes[2]! | (bytes[3]! << 8)}`
    this.#open.set(key, [...(this.#open.get(key) ?? []), bytes[0]!])
  }

  /** A completion is written in two parts: the one with the phase bit, which the guest waits for, is the last. */
  #completed(gpa: number, from: Uint8Array): void {
    const view = new DataView(from.buffer, from.byteOffset, from.length)
    const first = this.#first
    this.#first = null
    if (first === null) {
      if (from.length !== FIRST_BYTES) this.#fail(`a completion begins with ${from.length} bytes`)
      this.#first = { at: gpa, source: view.getUint32(8, true) }
      return
    }
    if (from.length !== 4 || gpa !== first.at + FIRST_BYTES)
      this.#fail(`a completion at 0x${first.at.toString(16)} ends with ${from.length} bytes at 0x${gpa.toString(16)}`)
    const key = `${first.source >>> 16}:${view.getUint16(0, true)}`
    const open = this.#open.get(key) ?? []
    if (open.length === 0) this.#fail(`command ${key} is answered, and was not asked`)
    open.shift()
    if (open.length === 0) this.#open.delete(key)
  }

  /** What a driver does first: a reset that it waits for, the admin queues, and I/O queues. */
  async begin(choose: Choose): Promise<void> {
    const { nvme } = this
    await this.disable()
    nvme.machine.ram.fill(0, queueAt(0), LISTS)
    this.#tails.fill(0)
    nvme.write(0x24, (ADMIN_ENTRIES - 1) * 0x1_0001)
    nvme.write(0x28, queueAt(0))
    nvme.write(0x2c, 0)
    nvme.write(0x30, queueAt(0) + COMPLETIONS)
    nvme.write(0x34, 0)
    nvme.write(CC, ENABLED)
    for (let id = 1; id < QUEUES; id++) this.#makeQueue(id, 1 + choose(40))
    // The guest wants to hear of another medium.
    this.submit(0, { opcode: 9, words: [0x0b, 0x100] })
    this.submit(0, { opcode: EVENT_REQUEST })
  }

  #makeQueue(id: number, entries: number): void {
    this.submit(0, { opcode: 5, prp1: queueAt(id) + COMPLETIONS, words: [(entries << 16) | id, 3 | (id << 16)] })
    this.submit(0, { opcode: 1, prp1: queueAt(id), words: [(entries << 16) | id, 1 | (id << 16)] })
    this.#tails[id] = 0
  }

  /** Writes a register. One that switches the controller off ends all commands, without answers. */
  #writeRegister(offset: number, value: number): void {
    const { nvme } = this
    const wasEnabled = (nvme.read(CC) & 1) !== 0
    nvme.write(offset, value)
    if (wasEnabled && (nvme.read(CC) & 1) === 0) this.#open.clear()
  }

  /** Switches the controller off, and waits until it says that it is. */
  async disable(): Promise<void> {
    this.nvme.write(CC, 0)
    for (let i = 0; (this.nvme.read(CSTS) & 1) !== 0; i++) {
      if (i === 3) await this.medium.release()
      if (i === 20) return this.#fail('a reset does not end')
      await this.nvme.pass()
    }
    if (this.medium.held > 0) this.#fail('a reset has ended while the medium is busy')
    this.#open.clear()
  }

  /** Puts a command into a queue, and tells. */
  submit(queue: number, { opcode, flags = 0, namespace = 1, prp1 = DATA, prp2 = 0, words = [] }: Command): void {
    const { view, machine } = this.nvme
    const saved = (this.nvme.model.save().queues as SavedQueues).submissions.find(([id]) => id === queue)
    const size = (saved?.[1] as { size?: number } | undefined)?.size ?? ADMIN_ENTRIES
    const tail = this.#tails[queue]! % size
    const at = queueAt(queue) + COMMAND_BYTES * tail
    machine.ram.fill(0, at, at + COMMAND_BYTES)
    this.#id = (this.#id + 1) & 0xffff
    view.setUint32(at, opcode | (flags << 8) | (this.#id << 16), true)
    view.setUint32(at + 4, namespace, true)
    view.setBigUint64(at + 24, BigInt(prp1), true)
    view.setBigUint64(at + 32, BigInt(prp2), true)
    words.forEach((word, i) => view.setUint32(at + 40 + 4 * i, word, true))
    this.#tails[queue] = (tail + 1) % size
    this.nvme.write(DOORBELLS + 8 * queue, this.#tails[queue]!)
  }

  /** Lets the controller reach memory, or not. */
  master(on: boolean): void {
    // The bit first: what follows is done under it.
    this.#master = on
    this.nvme.master(on)
  }

  /** The driver looks at all completions that there are. */
  look(): void {
    for (const [id, { tail, waiting }] of (this.nvme.model.save().queues as SavedQueues).completions) {
      if (waiting.length > MOST_WAITING) this.#fail(`${waiting.length} completions wait`)
      this.nvme.write(DOORBELLS + 8 * id + 4, tail)
    }
  }

  #address(choose: Choose): number {
    if (choose(12) === 0) return choose(2 ** 29) * 16
    return DATA + 0x1000 * choose(64) + (choose(3) === 0 ? 4 * choose(1024) : 0)
  }

  /** A command of an I/O queue, most of them right. */
  #io(choose: Choose): Command {
    const opcode = [2, 2, 1, 1, 0, 5, 8, 9, choose(256)][choose(9)]!
    const blocks = choose(10) === 0 ? choose(0x1_0000) : choose(40)
    const prp1 = this.#address(choose)
    const many = blocks >= 15
    const prp2 = many ? LISTS + 8 * choose(0x800) : this.#address(choose) & ~0xfff
    // What ranges the medium is asked to drop is in the data.
    const words = opcode === 9 ? [choose(20), choose(8)] : [choose(230), 0, blocks | (choose(2) << 30)]
    return {
      opcode,
      flags: choose(30) === 0 ? choose(256) : 0,
      namespace: choose(20) === 0 ? choose(3) : 1,
      prp1,
      prp2,
      words,
    }
  }

  #admin(choose: Choose): Command {
    const id = choose(8) === 0 ? 9 + choose(0xfff7) : choose(QUEUES)
    const entries = choose(6) === 0 ? choose(0x1_0000) : choose(40)
    switch (choose(9)) {
      case 0:
        return { opcode: 0, words: [id] }
      case 1:
        return { opcode: 4, words: [id] }
      case 2: {
        const prp1 = choose(8) === 0 ? this.#address(choose) : queueAt(id % QUEUES) + COMPLETIONS
        return { opcode: 5, prp1, words: [((entries << 16) | id) >>> 0, choose(4) | (choose(10) << 16)] }
      }
      case 3: {
        // Commands that are no RAM end the controller's work.
        const prp1 = choose(30) === 0 ? 2 ** 40 : queueAt(id % QUEUES)
        if (id < QUEUES) this.#tails[id] = 0
        return { opcode: 1, prp1, words: [((entries << 16) | id) >>> 0, 1 | (choose(QUEUES) << 16)] }
      }
      case 4:
        return { opcode: EVENT_REQUEST }
      case 5:
        return { opcode: 6, prp1: this.#address(choose), prp2: DATA, words: [choose(5)] }
      case 6:
        return {
          opcode: 2,
          prp1: this.#address(choose),
          prp2: LISTS,
          words: [choose(6) | ((16 + choose(0x1000)) << 16)],
        }
      case 7:
        return { opcode: 9 + choose(2), words: [choose(13), choose(2) === 0 ? 0x100 : choose(0x1_0000)] }
      default:
        return { opcode: 2 + choose(254), words: [choose(2 ** 32), choose(2 ** 32)] }
    }
  }

  /** Gives a few commands. */
  burst(choose: Choose): void {
    for (let i = choose(6); i >= 0; i--) this.submit(1 + choose(QUEUES - 1), this.#io(choose))
  }

  /** Does one thing that a guest, or its medium, may do. */
  async act(choose: Choose): Promise<void> {
    const { nvme, medium } = this
    const { ram } = nvme.machine
    this.#calls = 0
    switch (choose(26)) {
      case 0:
        return this.#writeRegister(4 * choose(16), choose(3) === 0 ? choose(2 ** 32) : choose(64))
      case 1:
        return nvme.write(DOORBELLS + 4 * choose(12), choose(3) === 0 ? choose(2 ** 32) : choose(40))
      case 2:
        return this.begin(choose)
      case 3:
        return this.disable()
      case 4:
        // Off, and on again before it says that it is off.
        this.#writeRegister(CC, 0)
        return nvme.write(CC, ENABLED | (choose(2) === 0 ? 0 : choose(0x4000)))
      case 5:
        return nvme.write(CC, ENABLED | ((1 + choose(3)) << 14))
      case 6:
        return this.master(choose(3) > 0)
      case 7:
        medium.bad = choose(3) === 0 ? { at: choose(medium.bytes.length), code: ERRORS[choose(ERRORS.length)]! } : null
        return undefined
      case 8:
        medium.hold = true
        return undefined
      case 9:
        medium.letGo(choose(4))
        return undefined
      case 10:
        return medium.release()
      case 11: {
        // Lists with right entries, and with anything.
        const at = LISTS + 8 * choose(0x1000)
        for (let i = choose(600); i >= 0 && at + 8 * i < DATA; i--)
          nvme.view.setBigUint64(
            at + 8 * i,
            BigInt(choose(50) === 0 ? this.#address(choose) : DATA + 0x1000 * choose(128)),
            true,
          )
        return undefined
      }
      case 12: {
        const at = queueAt(0) + choose(LISTS - queueAt(0) - 64)
        for (let i = 0; i < 64; i++) ram[at + i] = choose(256)
        return undefined
      }
      case 13:
        if (choose(4) > 0) return undefined
        // Exchanged, resized, or taken out.
        return medium.change(choose(3) === 0 ? new Uint8Array() : new Uint8Array(512 * (1 + choose(200))))
      case 14:
      case 15:
        return this.submit(0, this.#admin(choose))
      case 16:
      case 17:
      case 18:
      case 19:
        return this.burst(choose)
      case 20:
        return this.look()
      case 21:
        // More than there is room for.
        for (let i = choose(200); i > 0; i--) {
          this.#calls = 0
          this.submit(1, { opcode: choose(3) })
          if (choose(8) === 0) await nvme.pass()
        }
        return undefined
      case 22: {
        // A queue goes while the medium is busy for it, and is made again.
        const id = 1 + choose(QUEUES - 1)
        medium.hold = true
        this.look()
        for (let i = choose(4); i >= 0; i--) this.submit(id, this.#io(choose))
        this.submit(0, { opcode: 0, words: [id] })
        if (choose(2) === 0) await medium.release()
        await nvme.pass()
        return this.#makeQueue(id, 1 + choose(40))
      }
      default:
        return nvme.pass()
    }
  }

  /** What a guest sees without changing anything. */
  observed(): unknown {
    const { nvme } = this
    return [nvme.pin, nvme.read(CSTS), nvme.read(0x0c), nvme.read(CC)]
  }

  /** Lets all that was asked end. */
  async settle(): Promise<void> {
    this.medium.bad = null
    await this.medium.release()
    this.master(true)
    for (let i = 0; i < 300; i++) {
      this.#calls = 0
      await this.nvme.pass()
      this.look()
    }
  }

  /** What is wrong once all has ended. */
  async atEnd(): Promise<string | undefined> {
    await this.settle()
    if ((this.nvme.read(CSTS) & 3) === 1) {
      for (const [key, opcodes] of this.#open) {
        if (key.startsWith('0:') && opcodes.every((opcode) => opcode === EVENT_REQUEST)) continue
        this.#fail(`command ${key} is not answered: ${opcodes.join(', ')}`)
      }
    }
    await this.disable()
    const image = this.nvme.machine.ram.slice()
    await this.settle()
    if (Buffer.compare(image, this.nvme.machine.ram) !== 0) this.#fail('memory is written after a reset')
    return this.violation
  }

  /**
   * Another machine with the same memory and medium that goes on from what this one saves.
   *
   * @param changes - the medium is resized while the machine stands
   */
  async twin(changes: boolean): Promise<RandomNvme> {
    const { nvme, medium } = this
    const standing = nvme.model.quiesce()
    this.#paused = true
    await medium.release()
    await standing
    if (changes) medium.change(medium.bytes.slice(0, 100 * 512))
    const two = new RandomNvme()
    two.medium.bytes = medium.bytes.slice()
    two.medium.bad = medium.bad
    two.nvme.machine.ram.set(nvme.machine.ram)
    two.nvme.machine.exact.set(nvme.machine.exact)
    two.master(this.#master)
    two.#tails = [...this.#tails]
    two.#id = this.#id
    for (const [key, opcodes] of this.#open) two.#open.set(key, [...opcodes])
    const state: unknown = structuredClone(nvme.model.save())
    two.nvme.model.restore(state)
    this.#paused = false
    for (const one of [this, two]) one.nvme.model.resume()
    return two
  }
}

interface Command {
  readonly opcode: number
  readonly flags?: number
  readonly namespace?: number
  readonly prp1?: number
  readonly prp2?: number
  readonly words?: readonly number[]
}
