import type { AccessSize, RangeHandler } from '@retrap/device'
import { type IdeDriveOptions, PiixIde } from '../../src/ide/index.ts'
import { FakeMachine } from './fake-machine.ts'

export const BSY = 0x80
export const DRQ = 0x08
export const ERR = 0x01
/** Status of a disk that does nothing. */
export const READY = 0x50
export const NIEN = 0x02
export const SRST = 0x04

/** Guest-physical addresses of the PRD table, and of data. */
export const TABLE = 0x1000
export const DATA = 0x2_0000

/** A PC with an IDE controller alone, and what a driver does with it. */
export class IdeMachine {
  readonly machine = new FakeMachine()
  readonly model: PiixIde
  readonly base: number
  readonly #busMaster: number
  readonly #bar: RangeHandler

  /** @param channel - the one that these registers are of */
  constructor(drives: readonly (IdeDriveOptions | null)[], channel: 0 | 1 = 0) {
    this.machine.grow(0x8_0000)
    this.model = new PiixIde({ drives })
    this.model.attach(this.machine.context())
    const { options, config } = this.machine.functions.get(9)!
    config[4] = 5
    this.#bar = options.bars![0]!.handler!
    this.base = channel === 0 ? 0x1f0 : 0x170
    this.#busMaster = 8 * channel
  }

  /** The interrupt line of the channel. */
  get line() {
    return this.machine.line(this.base === 0x1f0 ? 14 : 15)
  }

  out(register: number, value: number): void {
    this.machine.out(this.base + register, value)
  }
  in(register: number): number {
    return this.machine.in(this.base + register)
  }
  control(value: number): void {
    this.machine.out(this.base + 0x206, value)
  }
  get alternateStatus(): number {
    return this.machine.in(this.base + 0x206)
  }

  readBusMaster(offset: number): number {
    return this.#bar.read(this.#busMaster + offset, 1) as number
  }
  writeBusMaster(offset: number, value: number, size: AccessSize = 1): void {
    for (let i = 0; i < size; i++) void this.#bar.write(this.#busMaster + offset + i, 1, (value >>> (8 * i)) & 0xff)
  }

  /** Writes a PRD table and sets the register to it. */
  prds(...entries: readonly (readonly [address: number, count: number, last?: boolean])[]): void {
    const view = new DataView(this.machine.ram.buffer)
    entries.forEach(([address, count, last], i) => {
      view.setUint32(TABLE + 8 * i, address, true)
      view.setUint32(TABLE + 8 * i + 4, (count & 0xffff) | ((last ?? i === entries.length - 1) ? 0x8000_0000 : 0), true)
    })
    this.writeBusMaster(4, TABLE, 4)
  }

  /** Puts a command with a 28-bit address into the registers. */
  command28(opcode: number, lba: number, count: number, unit = 0): void {
    this.out(6, 0xe0 | (unit << 4) | (lba >>> 24))
    for (const [register, value] of [
      [2, count],
      [3, lba],
      [4, lba >>> 8],
      [5, lba >>> 16],
    ] as const)
      this.out(register, value & 0xff)
    this.out(7, opcode)
  }

  /** The same with 48 bits: the upper bytes first. */
  command48(opcode: number, lba: number, count: number): void {
    this.out(6, 0x40)
    const upper = Math.floor(lba / 2 ** 24)
    for (const [register, high, low] of [
      [2, count >> 8, count],
      [3, upper, lba],
      [4, upper >>> 8, lba >>> 8],
      [5, upper >>> 16, lba >>> 16],
    ] as const) {
      this.out(register, high & 0xff)
      this.out(register, low & 0xff)
    }
    this.out(7, opcode)
  }

  /** Reads words of the data register. */
  words(count: number): number[] {
    return Array.from({ length: count }, () => this.machine.in(this.base, 2))
  }

  /** Reads bytes by the data register. */
  data(bytes: number): Uint8Array {
    return Uint8Array.from(this.words(bytes / 2).flatMap((word) => [word & 0xff, word >> 8]))
  }

  /** Writes bytes by the data register. */
  feed(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i += 2) this.machine.out(this.base, bytes[i]! | ((bytes[i + 1] ?? 0) << 8), 2)
  }

  /** Sends a packet of 12 bytes. */
  packet(bytes: readonly number[], { limit = 0xfffe, dma = false, unit = 0 } = {}): void {
    this.out(6, 0xa0 | (unit << 4))
    this.out(1, dma ? 1 : 0)
    this.out(4, limit & 0xff)
    this.out(5, limit >> 8)
    this.out(7, 0xa0)
    this.feed(Uint8Array.from({ length: 12 }, (_, i) => bytes[i] ?? 0))
  }

  /** One request of a medium takes its time. */
  async pass(): Promise<void> {
    this.machine.advance(20_000)
    await new Promise((resolve) => setImmediate(resolve))
  }

  /** Lets time pass until the drive is not busy. */
  async ready(): Promise<number> {
    for (let turns = 0; turns < 2000 && (this.alternateStatus & BSY) !== 0; turns++) await this.pass()
    return this.alternateStatus
  }
}
