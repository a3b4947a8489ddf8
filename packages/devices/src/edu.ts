import {
  type AccessSize,
  type DeviceContext,
  type DeviceModel,
  type PciFunction,
  Stateful,
  type SynchronousRangeHandler,
  type Timer,
} from '@retrap/device'
import { checkDeviceNumber } from './pci-device-number.ts'

const BAR_BYTES = 1 << 20
/** 1.0 of the interface, and the device's mark. */
const IDENTITY = 0x0100_00ed

const [ID, LIVENESS, FACTORIAL, STATUS, INTERRUPT_STATUS] = [0x00, 0x04, 0x08, 0x20, 0x24] as const
const [INTERRUPT_RAISE, INTERRUPT_ACKNOWLEDGE] = [0x60, 0x64] as const
/** Source, destination, count and command, of 64 bits each. */
const DMA = 0x80
const DMA_WORDS = 8
const DMA_COMMAND = 6

const COMPUTING = 0x01
const INTERRUPT_AFTER = 0x80
const FACTORIAL_DONE = 0x0000_0001
const DMA_RUN = 0x01
const DMA_TO_MEMORY = 0x02
const DMA_INTERRUPT = 0x04
const DMA_DONE = 0x0000_0100

/** The device's own memory, as DMA addresses name it. */
const BUFFER_AT = 0x4_0000
const BUFFER_BYTES = 4096
/** Virtual duration of a factorial and a transfer, so that a driver can observe them in progress. */
const FACTORIAL_NS = 10_000
const DMA_NS = 100_000
/** The product of more factors is 0 in 32 bits. */
const MOST_FACTORS = 34

/** Options of {@link Edu}. */
export interface EduOptions {
  /** PCI device number on bus 0; default 29. */
  readonly device?: number
  /** Bits of a guest-physical address that DMA reaches, from 1 to 52; default 28. */
  readonly addressBits?: number
}

/**
 * QEMU's `edu` (1234:11E8), by which people learn to write drivers: a register that inverts, one that computes factorials,
 * interrupts that a driver asks for (INTx or one MSI), and DMA from and to 4 KiB of the device's own.
 *
 * | offset | register |
 * |---|---|
 * | 00 | identity 010000EDh, read-only |
 * | 04 | liveness: reads the complement of the value written |
 * | 08 | factorial: a write computes, which status bit 0 shows |
 * | 20 | status: bit 0 computing; bit 7, of the driver: interrupt 1h at the end |
 * | 24, 60, 64 | interrupt status; raise (set bits); acknowledge (clear bits) |
 * | 80, 88, 90 | DMA: source, destination, count; the buffer is at 40000h |
 * | 98 | DMA command: bit 0 run, bit 1 from the buffer to memory, bit 2 interrupt 100h at the end |
 *
 * Source: QEMU, docs/specs/edu.rst, "EDU device".
 */
export class Edu extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** The device depends on the guest's accesses and on time alone. */
  readonly deterministic = true
  readonly #device: number
  readonly #limit: number
  readonly #buffer = new Uint8Array(BUFFER_BYTES)
  readonly #dma = new Uint32Array(DMA_WORDS)
  #context: DeviceContext | null = null
  #function: PciFunction | null = null
  #factorialTimer: Timer | null = null
  #transferTimer: Timer | null = null
  readonly #s = this.keeps({
    version: 1,
    registers: { liveness: 0, factorial: 1, status: 0, interrupts: 0 },
    dma: this.#dma,
    buffer: this.#buffer,
    factorialAt: () => this.#factorialTimer,
    transferAt: () => this.#transferTimer,
  })

  constructor({ device = 29, addressBits = 28 }: EduOptions = {}) {
    super()
    checkDeviceNumber('edu', device)
    this.#device = device
    this.#limit = 2 ** addressBits
    this.name = `edu-${device.toString(16)}`
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#factorialTimer = context.timer(() => this.#finishFactorial())
    this.#transferTimer = context.timer(() => this.#finishTransfer())
    const handler: SynchronousRangeHandler = {
      // Narrower accesses of registers have no meaning.
      read: (offset: number, size: AccessSize): number => (size === 4 ? this.#read(offset) >>> 0 : 0),
      write: (offset: number, size: AccessSize, value: number): void => {
        if (size === 4) this.#write(offset, value)
      },
    }
    this.#function = context.pci.add({
      ...{ device: this.#device, vendorId: 0x1234, deviceId: 0x11e8, revisionId: 0x10, classCode: 0x00_ff00 },
      ...{ subsystemVendorId: 0x1af4, subsystemId: 0x1100, interruptPin: 1, msi: { vectors: 1, wide: true } },
      bars: [{ index: 0, kind: 'memory', bytes: BAR_BYTES, handler, maximumAccess: 4 }],
    })
  }

  #read(offset: number): number {
    const r = this.#s.registers
    if (offset === ID) return IDENTITY
    if (offset === LIVENESS) return r.liveness
    if (offset === FACTORIAL) return r.factorial
    if (offset === STATUS) return r.status
    return offset === INTERRUPT_STATUS ? r.interrupts : (this.#dma[(offset - DMA) >> 2] ?? 0)
  }

  #write(offset: number, value: number): void {
    const r = this.#s.registers
    if (offset === LIVENESS) r.liveness = ~value >>> 0
    else if (offset === STATUS) r.status = (r.status & COMPUTING) | (value & INTERRUPT_AFTER)
    else if (offset === INTERRUPT_RAISE) this.#interrupt(r.interrupts | value)
    else if (offset === INTERRUPT_ACKNOWLEDGE) this.#interrupt(r.interrupts & ~value)
    else if (offset === FACTORIAL && (r.status & COMPUTING) === 0) {
      r.factorial = value
      r.status |= COMPUTING
      this.#factorialTimer?.armAfter(FACTORIAL_NS)
    } else if (offset >= DMA && (this.#dma[DMA_COMMAND]! & DMA_RUN) === 0) {
      // A write during a transfer has no effect.
      const index = (offset - DMA) >> 2
      if (index < DMA_WORDS) this.#dma[index] = value
      if (index === DMA_COMMAND && (value & DMA_RUN) !== 0) this.#transferTimer?.armAfter(DMA_NS)
    }
  }

  #finishFactorial(): void {
    const r = this.#s.registers
    let product = r.factorial >= MOST_FACTORS ? 0 : 1
    for (let factor = r.factorial; product !== 0 && factor > 1; factor--) product = Math.imul(product, factor)
    r.factorial = product >>> 0
    r.status &= ~COMPUTING
    if ((r.status & INTERRUPT_AFTER) !== 0) this.#interrupt(r.interrupts | FACTORIAL_DONE)
  }

  /** Moves the buffer's bytes; a transfer beyond the buffer's ends moves nothing. */
  #finishTransfer(): void {
    const [source = 0, destination = 0, count = 0] = [0, 2, 4].map((i) => this.#dma[i]! + this.#dma[i + 1]! * 2 ** 32)
    const command = this.#dma[DMA_COMMAND]!
    const toMemory = (command & DMA_TO_MEMORY) !== 0
    const at = (toMemory ? source : destination) - BUFFER_AT
    const gpa = (toMemory ? destination : source) % this.#limit
    if (at >= 0 && count <= BUFFER_BYTES - at && this.#function?.mayMaster === true) {
      const part = this.#buffer.subarray(at, at + count)
      if (toMemory) this.#context?.dma.write(gpa, part)
      else this.#context?.dma.read(gpa, part)
    }
    this.#dma[DMA_COMMAND] = command & ~DMA_RUN
    if ((command & DMA_INTERRUPT) !== 0) this.#interrupt(this.#s.registers.interrupts | DMA_DONE)
  }

  /** Sets the interrupt status: the line follows it, and new bits send a message. */
  #interrupt(status: number): void {
    const rises = (status & ~this.#s.registers.interrupts) !== 0
    this.#s.registers.interrupts = status >>> 0
    const messages = this.#function?.messages
    if (messages?.mode !== 'msi') this.#function?.interrupt?.set(status !== 0)
    else if (rises) messages.signal(0)
  }

  /** Returns to the state at power-on. */
  override reset(): void {
    super.reset()
    this.#function?.interrupt?.set(false)
  }
}
