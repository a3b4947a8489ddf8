import type { Dma, RangeHandler } from '@retrap/device'
import { NETWORK_MAC, TestNetwork } from '@retrap/device/test-machine'
import { E1000, type E1000Options } from '../../src/e1000/index.ts'
import { FakeMachine } from './fake-machine.ts'

/** Where the driver keeps its rings and buffers: guest-physical addresses. */
export const TRANSMIT_RING = 0x1000
export const RECEIVE_RING = 0x2000
export const BUFFERS = 0x1_0000
export const ENTRIES = 16

export const MAC: readonly number[] = NETWORK_MAC
const DEVICE = 4

/** A data descriptor of the extended form. */
export interface DataDescriptor {
  readonly gpa: number
  readonly bytes: number
  /** EOP 1, IFCS 2, TSE 4, RS 8, VLE 0x40, IDE 0x80; default EOP and RS. */
  readonly command?: number
  /** 1: IP checksum, 2: that of TCP or UDP. */
  readonly options?: number
  readonly tag?: number
}

/** A machine with a network card alone, and what a driver does with it. */
export class E1000Machine {
  readonly machine = new FakeMachine()
  readonly network = new TestNetwork()
  readonly model: E1000
  readonly #memory: RangeHandler
  readonly io: RangeHandler

  constructor(options: Partial<E1000Options> = {}, watch: (dma: Dma) => Dma = (dma) => dma) {
    this.machine.grow(0x20_0000)
    this.model = new E1000({ network: this.network, device: DEVICE, ...options })
    const context = this.machine.context()
    this.model.attach({ ...context, dma: { ...context.dma, ...watch(context.dma) } })
    const { bars } = this.machine.functions.get(8 * DEVICE)!.options
    this.#memory = bars![0]!.handler!
    this.io = bars![1]!.handler!
    this.master(true)
  }

  /** Lets the card reach memory, or not. */
  master(on: boolean): void {
    const { config, options } = this.machine.functions.get(8 * DEVICE)!
    config[4] = on ? 7 : 3
    options.onWrite?.(4, 2)
  }

  get view(): DataView {
    return new DataView(this.machine.ram.buffer)
  }

  get pin(): boolean {
    return this.machine.line(100 + DEVICE).level
  }

  read(offset: number): number {
    return (this.#memory.read(offset, 4) as number) >>> 0
  }
  write(offset: number, value: number): void {
    void this.#memory.write(offset, 4, value >>> 0)
  }

  readPhy(register: number): number {
    this.write(0x20, (2 << 26) | (1 << 21) | (register << 16))
    return this.read(0x20) & 0xffff
  }
  writePhy(register: number, value: number): void {
    this.write(0x20, (1 << 26) | (1 << 21) | (register << 16) | value)
  }

  /** Link up, both rings of 16 entries, transmitter and receiver on; buffers of 2048 bytes. */
  start({ receive = 0x0400_8002, transmit = 0x0a } = {}): void {
    this.write(0x0, this.read(0x0) | 0x40)
    this.write(0x3800, TRANSMIT_RING)
    this.write(0x3804, 0)
    this.write(0x3808, 16 * ENTRIES)
    this.write(0x3810, 0)
    this.write(0x3818, 0)
    this.write(0x400, transmit)
    this.write(0x2800, RECEIVE_RING)
    this.write(0x2804, 0)
    this.write(0x2808, 16 * ENTRIES)
    this.write(0x2810, 0)
    this.write(0x2818, 0)
    for (let i = 0; i < ENTRIES; i++) this.view.setUint32(RECEIVE_RING + 16 * i, BUFFERS + 2048 * i, true)
    this.write(0x100, receive)
  }

  #put(write: (at: number) => void): void {
    const tail = this.read(0x3818)
    const at = TRANSMIT_RING + 16 * tail
    this.machine.ram.fill(0, at, at + 16)
    write(at)
    this.write(0x3818, (tail + 1) % ENTRIES)
  }

  sendLegacy(gpa: number, bytes: number, command = 0x0b, { offset = 0, start = 0, tag = 0 } = {}): void {
    this.#put((at) => {
      this.view.setUint32(at, gpa, true)
      this.view.setUint16(at + 8, bytes, true)
      this.machine.ram.set([offset, command, 0, start], at + 10)
      this.view.setUint16(at + 14, tag, true)
    })
  }

  /** Sends a context: its first eight bytes, then TUCMD, header length, segment size and payload length. */
  sendContext(offsets: readonly number[], command: number, headerBytes = 0, segmentBytes = 0, payload = 0): void {
    this.#put((at) => {
      this.machine.ram.set(offsets, at)
      this.view.setUint32(at + 8, payload | ((command | 0x20) << 24), true)
      this.view.setUint8(at + 13, headerBytes)
      this.view.setUint16(at + 14, segmentBytes, true)
    })
  }

  sendData({ gpa, bytes, command = 0x09, options = 0, tag = 0 }: DataDescriptor): void {
    this.#put((at) => {
      this.view.setUint32(at, gpa, true)
      this.view.setUint32(at + 8, bytes | (1 << 20) | ((command | 0x20) << 24), true)
      this.view.setUint8(at + 13, options)
      this.view.setUint16(at + 14, tag, true)
    })
  }

  /** Gives the card so many receive buffers more. */
  give(count: number): void {
    this.write(0x2818, (this.read(0x2818) + count) % ENTRIES)
  }

  /** A receive descriptor as the card has left it, and its bytes. */
  received(index: number) {
    const at = RECEIVE_RING + 16 * index
    const length = this.view.getUint16(at + 8, true)
    const gpa = this.view.getUint32(at, true)
    return {
      bytes: this.machine.ram.slice(gpa, gpa + length),
      checksum: this.view.getUint16(at + 10, true),
      status: this.view.getUint8(at + 12),
      errors: this.view.getUint8(at + 13),
      tag: this.view.getUint16(at + 14, true),
    }
  }

  /** Status of a transmit descriptor. */
  done(index: number): number {
    return this.machine.ram[TRANSMIT_RING + 16 * index + 12]!
  }
}
