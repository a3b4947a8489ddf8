import type { BlockBackend, Dma, RangeHandler } from '@retrap/device'
import { Nvme, type NvmeOptions } from '../../src/nvme/index.ts'
import { FakeMachine } from './fake-machine.ts'

/** Where the driver keeps its queues and data: guest-physical addresses. */
export const ADMIN_SUBMISSIONS = 0x1000
export const ADMIN_COMPLETIONS = 0x2000
export const IO_SUBMISSIONS = 0x3000
export const IO_COMPLETIONS = 0x4000
export const LISTS = 0x8000
export const DATA = 0x4_0000

const ENTRIES = 16

/** A command's words; the identifier is given by the driver. */
export interface CommandWords {
  readonly opcode: number
  readonly flags?: number
  readonly namespace?: number
  readonly prp1?: number
  readonly prp2?: number
  readonly words?: readonly number[]
}

/** What came of a command. */
export interface Completion {
  readonly id: number
  readonly status: number
  readonly result: number
  readonly queue: number
}

/** A machine with a controller alone, and what a driver does with it. */
export class NvmeMachine {
  readonly machine = new FakeMachine()
  readonly model: Nvme
  readonly #bar: RangeHandler
  readonly #tails = [0, 0]
  readonly #heads = [0, 0]
  #id = 0

  constructor(medium: BlockBackend, watch: (dma: Dma) => Dma = (dma) => dma) {
    this.machine.grow(0x20_0000)
    this.model = new Nvme({ medium, device: 4 })
    const context = this.machine.context()
    this.model.attach({ ...context, dma: { ...context.dma, ...watch(context.dma) } })
    this.#bar = this.machine.functions.get(32)!.options.bars![0]!.handler!
    this.master(true)
  }

  /** Lets the controller reach memory, or not. */
  master(on: boolean): void {
    const { config, options } = this.machine.functions.get(32)!
    config[4] = on ? 6 : 2
    options.onWrite?.(4, 2)
  }

  /** A controller with other options. */
  static make(medium: BlockBackend, options: Partial<NvmeOptions>): Nvme {
    return new Nvme({ medium, device: 4, ...options })
  }

  /** Goes on as the driver of another machine whose memory and controller this one has. */
  adopt(other: NvmeMachine): void {
    for (const queue of [0, 1] as const) {
      this.#tails[queue] = other.#tails[queue]!
      this.#heads[queue] = other.#heads[queue]!
    }
    this.#id = other.#id
  }

  get view(): DataView {
    return new DataView(this.machine.ram.buffer)
  }

  get pin(): boolean {
    return this.machine.line(104).level
  }

  read(offset: number): number {
    return this.#bar.read(offset, 4) as number
  }
  write(offset: number, value: number): void {
    void this.#bar.write(offset, 4, value >>> 0)
  }

  /** Switches the controller on, with queues of 16 entries. */
  enable(): void {
    this.machine.ram.fill(0, ADMIN_SUBMISSIONS, LISTS)
    this.#tails.fill(0)
    this.#heads.fill(0)
    this.write(0x24, (ENTRIES - 1) * 0x1_0001)
    this.write(0x28, ADMIN_SUBMISSIONS)
    this.write(0x30, ADMIN_COMPLETIONS)
    this.write(0x14, 0x0046_0001)
  }

  /** The same, and makes I/O queue 1. */
  async start(): Promise<void> {
    this.enable()
    await this.admin({ opcode: 5, prp1: IO_COMPLETIONS, words: [((ENTRIES - 1) << 16) | 1, 3] })
    await this.admin({ opcode: 1, prp1: IO_SUBMISSIONS, words: [((ENTRIES - 1) << 16) | 1, 0x1_0001] })
  }

  /** Puts a command into a queue without telling. @returns its identifier */
  put(queue: 0 | 1, { opcode, flags = 0, namespace = 1, prp1 = DATA, prp2 = 0, words = [] }: CommandWords): number {
    const at = (queue === 0 ? ADMIN_SUBMISSIONS : IO_SUBMISSIONS) + 64 * this.#tails[queue]!
    const { view } = this
    this.machine.ram.fill(0, at, at + 64)
    this.#id = (this.#id + 1) & 0xffff
    view.setUint32(at, opcode | (flags << 8) | (this.#id << 16), true)
    view.setUint32(at + 4, namespace, true)
    view.setBigUint64(at + 24, BigInt(prp1), true)
    view.setBigUint64(at + 32, BigInt(prp2), true)
    words.forEach((word, i) => view.setUint32(at + 40 + 4 * i, word, true))
    this.#tails[queue] = (this.#tails[queue]! + 1) % ENTRIES
    return this.#id
  }

  /** Writes a submission queue's doorbell. */
  ring(queue: 0 | 1): void {
    this.write(0x1000 + 8 * queue, this.#tails[queue]!)
  }

  submit(queue: 0 | 1, command: CommandWords): number {
    const id = this.put(queue, command)
    this.ring(queue)
    return id
  }

  /** Takes the completions that there are. @param tell - whether the controller hears of it */
  completions(queue: 0 | 1, tell = true): Completion[] {
    const found: Completion[] = []
    for (;;) {
      const head = this.#heads[queue]!
      const at = (queue === 0 ? ADMIN_COMPLETIONS : IO_COMPLETIONS) + 16 * (head % ENTRIES)
      const last = this.view.getUint32(at + 12, true)
      const phase = Math.floor(head / ENTRIES) % 2 === 0 ? 1 : 0
      if (((last >>> 16) & 1) !== phase) break
      const queueId = this.view.getUint16(at + 10, true)
      found.push({ id: last & 0xffff, status: last >>> 17, result: this.view.getUint32(at, true), queue: queueId })
      this.#heads[queue] = (head + 1) % (2 * ENTRIES)
    }
    if (tell && found.length > 0) this.write(0x1004 + 8 * queue, this.#heads[queue]! % ENTRIES)
    return found
  }

  /** One request of a medium takes its time. */
  async pass(): Promise<void> {
    // No two requests have the same instant.
    this.machine.advance(20_100)
    await new Promise((resolve) => setImmediate(resolve))
  }

  async #end(queue: 0 | 1, id: number): Promise<Completion> {
    for (let turns = 0; turns < 2000; turns++) {
      const found = this.completions(queue).find((one) => one.id === id)
      if (found !== undefined) return found
      await this.pass()
    }
    throw new Error(`command ${id} does not end`)
  }

  /** Gives an admin command, and waits for its end. */
  admin(command: CommandWords): Promise<Completion> {
    return this.#end(0, this.submit(0, command))
  }

  /** Gives a command of the I/O queue, and waits for its end. */
  io(command: CommandWords): Promise<Completion> {
    return this.#end(1, this.submit(1, command))
  }
}
