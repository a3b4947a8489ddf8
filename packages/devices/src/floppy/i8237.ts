import { type DeviceContext, type DeviceModel, listed, Stateful, type SynchronousRangeHandler } from '@retrap/device'

/** Options of {@link I8237}. */
export interface I8237Options {
  /** Whether channel 4, the cascade, is unmasked at power-on, as firmware would leave it. Default false. */
  readonly cascades?: boolean
}

/** A DMA channel for the device at its request line. */
export interface DmaChannel {
  /**
   * Moves bytes. Without a right to the bus, because the channel is masked or a controller is off, none are moved.
   *
   * @param write - whether the device's bytes go to memory; otherwise they come from there
   * @returns how many bytes were moved, and whether the channel's count has ended
   */
  move(bytes: Uint8Array, write: boolean): { readonly moved: number; readonly ended: boolean }
  /** Names the listener that hears that bytes may be moved again. */
  onReady(listener: () => void): void
}

const CHANNELS = 4
const CASCADE = 4
const PORTS = 16
/** The page register of each channel, as an offset from 0x80. */
const PAGES = [7, 3, 1, 2, 15, 11, 9, 10]
/** Registers 0x81 to 0x8F; 0x80 is the port of progress codes. */
const PAGE_PORTS = 15

// Offsets of a controller's registers, after the registers of its channels.
const COMMAND = 8
const REQUEST = 9
const MASK = 10
const MODE = 11
const CLEAR_FLIP_FLOP = 12
const MASTER_CLEAR = 13
const CLEAR_MASK = 14
const WRITE_MASK = 15

const DISABLED = 0x04
// Mode of a channel.
const TO_MEMORY = 0x04
const FROM_MEMORY = 0x08
const TYPE = 0x0c
const AUTO_INITIALIZE = 0x10
const DECREMENT = 0x20

/** The registers of a channel, in the order of their list in saved states. */
const CHANNEL_POWER_ON = {
  baseAddress: 0,
  baseCount: 0,
  address: 0,
  count: 0,
  mode: 0,
  /** 1: the channel is masked. */
  masked: 1,
}

type Channel = typeof CHANNEL_POWER_ON

class Controller extends Stateful {
  readonly channels = Array.from({ length: CHANNELS }, (): Channel => ({ ...CHANNEL_POWER_ON }))
  readonly r = this.keeps({
    command: 0,
    /** Bits 3:0: channels whose count has ended; 7:4: requests by software. */
    status: 0,
    flipFlop: false,
    channels: this.channels.map((channel) => listed(channel)),
  })

  clear(): void {
    this.r.command = 0
    this.r.status = 0
    this.r.flipFlop = false
    for (const channel of this.channels) channel.masked = 1
  }

  read(register: number): number {
    if (register < COMMAND) {
      const channel = this.channels[register >> 1]!
      const value = (register & 1) === 0 ? channel.address : channel.count
      this.r.flipFlop = !this.r.flipFlop
      return this.r.flipFlop ? value & 0xff : value >> 8
    }
    if (register === WRITE_MASK) return this.channels.reduce((bits, { masked }, i) => bits | (masked << i), 0xf0)
    if (register !== COMMAND) return 0
    const status = this.r.status
    this.r.status &= 0xf0
    return status
  }

  /** @returns whether a channel may have been let free */
  write(register: number, value: number): boolean {
    const channel = this.channels[value & 3]!
    if (register < COMMAND) this.#writeChannel(this.channels[register >> 1]!, (register & 1) === 0, value)
    else if (register === COMMAND) this.r.command = value
    else if (register === REQUEST) {
      const bit = 0x10 << (value & 3)
      this.r.status = (value & 4) === 0 ? this.r.status & ~bit : this.r.status | bit
    } else if (register === MASK) channel.masked = (value >> 2) & 1
    else if (register === MODE) channel.mode = value & 0xfc
    else if (register === CLEAR_FLIP_FLOP) this.r.flipFlop = false
    else if (register === MASTER_CLEAR) this.clear()
    else if (register === CLEAR_MASK) for (const each of this.channels) each.masked = 0
    else this.channels.forEach((each, i) => (each.masked = (value >> i) & 1))
    return register === COMMAND || register === MASK || register === CLEAR_MASK || register === WRITE_MASK
  }

  #writeChannel(channel: Channel, isAddress: boolean, value: number): void {
    const before = isAddress ? channel.baseAddress : channel.baseCount
    this.r.flipFlop = !this.r.flipFlop
    const next = this.r.flipFlop ? (before & 0xff00) | value : (before & 0xff) | (value << 8)
    if (isAddress) channel.address = channel.baseAddress = next
    else channel.count = channel.baseCount = next
  }
}

/**
 * The two DMA controllers of a PC, with their page registers: channels 0 to 3 move bytes, 5 to 7 words, and 4 leads from
 * the first controller to the second.
 *
 * Sources: Intel 8237A data sheet (231466); Intel 82371SB data sheet (290550), "DMA Registers".
 */
export class I8237 extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string = 'dma'
  readonly #controllers = [new Controller(), new Controller()] as const
  readonly #pages = new Uint8Array(16)
  readonly #cascades: boolean
  /** The devices that wait until a channel may move bytes, by its number. */
  readonly #listeners: ((() => void) | undefined)[] = []
  #context: DeviceContext | null = null

  constructor({ cascades = false }: I8237Options = {}) {
    super()
    this.#cascades = cascades
    this.keeps({ version: 1, controllers: this.#controllers, pages: this.#pages })
    this.#at(CASCADE).masked = cascades ? 0 : 1
  }

  /** Claims the ports of both controllers and the page registers. */
  attach(context: DeviceContext): void {
    this.#context = context
    const handler = (controller: Controller, shift: number): SynchronousRangeHandler => ({
      read: (offset) => controller.read(offset >> shift),
      write: (offset, _size, value) => {
        if (controller.write(offset >> shift, value)) this.#tellDevices()
      },
    })
    context.mapPorts(0x00, PORTS, handler(this.#controllers[0], 0), { maximumAccess: 1 })
    context.mapPorts(0xc0, 2 * PORTS, handler(this.#controllers[1], 1), { maximumAccess: 1 })
    const pages: SynchronousRangeHandler = {
      read: (offset) => this.#pages[offset + 1]!,
      write: (offset, _size, value) => void (this.#pages[offset + 1] = value),
    }
    context.mapPorts(0x81, PAGE_PORTS, pages, { maximumAccess: 1 })
  }

  /** The channel of a number: 0 to 3 or 5 to 7. */
  channel(number: number): DmaChannel {
    return {
      move: (bytes, write) => this.#move(number, bytes, write),
      onReady: (listener) => void (this.#listeners[number] = listener),
    }
  }

  #at(number: number): Channel {
    return this.#controllers[number >> 2]!.channels[number & 3]!
  }

  #mayMove(number: number): boolean {
    const [first, second] = this.#controllers
    const own = number < CASCADE ? first : second
    if (this.#at(number).masked !== 0 || (own.r.command & DISABLED) !== 0) return false
    return own === second || (this.#at(CASCADE).masked === 0 && (second.r.command & DISABLED) === 0)
  }

  #tellDevices(): void {
    for (let number = 0; number < 2 * CHANNELS; number++)
      if (number !== CASCADE && this.#mayMove(number)) this.#listeners[number]?.()
  }

  #move(number: number, bytes: Uint8Array, write: boolean): { readonly moved: number; readonly ended: boolean } {
    const channel = this.#at(number)
    const unit = number < CASCADE ? 1 : 2
    let moved = 0
    while (moved < bytes.length && this.#mayMove(number)) {
      const isDown = (channel.mode & DECREMENT) !== 0
      // The page does not change: addresses wrap within 64 K units.
      const straight = isDown ? 1 : Math.min(channel.count + 1, 0x1_0000 - channel.address)
      const units = Math.min(straight, Math.ceil((bytes.length - moved) / unit))
      const part = bytes.subarray(moved, moved + units * unit)
      this.#copy(number, channel, part, write)
      moved += part.length
      channel.address = (channel.address + (isDown ? -units : units)) & 0xffff
      if (units <= channel.count) channel.count -= units
      else {
        this.#end(number, channel)
        return { moved, ended: true }
      }
    }
    return { moved, ended: false }
  }

  /** A channel that verifies counts, and leaves memory alone. */
  #copy(number: number, { mode, address }: Channel, part: Uint8Array, write: boolean): void {
    const page = this.#pages[PAGES[number]!]!
    const gpa = number < CASCADE ? page * 0x1_0000 + address : (page & 0xfe) * 0x1_0000 + 2 * address
    if (write && (mode & TYPE) === TO_MEMORY) this.#context!.dma.write(gpa, part)
    else if (!write && ((mode & TYPE) !== FROM_MEMORY || !this.#context!.dma.read(gpa, part))) part.fill(0)
  }

  #end(number: number, channel: Channel): void {
    const controller = this.#controllers[number >> 2]!
    controller.r.status = (controller.r.status | (1 << (number & 3))) & ~(0x10 << (number & 3))
    if ((channel.mode & AUTO_INITIALIZE) !== 0) {
      channel.address = channel.baseAddress
      channel.count = channel.baseCount
    } else {
      channel.count = 0xffff
      channel.masked = 1
    }
  }

  /** Returns to the state at power-on: all channels are masked. */
  override reset(): void {
    super.reset()
    this.#at(CASCADE).masked = this.#cascades ? 0 : 1
  }
}
