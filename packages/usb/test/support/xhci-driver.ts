import { turn } from '@retrap/device/test-machine'
import { type UsbDevice, type UsbSetup, Xhci, type XhciOptions } from '../../src/index.ts'
import { UsbMachine } from './usb-machine.ts'

/** Where the driver keeps its structures, from the beginning of RAM. */
const CONTEXTS = 0x1000
const COMMANDS = 0x2000
const SEGMENTS = 0x3000
const EVENTS = 0x4000
const INPUT = 0x6000
const OUTPUT = 0x8000
const RINGS = 0x2_0000
const RING_BYTES = 0x1000
export const DATA = 0x8_0000
const EVENT_TRBS = 32
/** TRBs of a ring; the last one links to the first. */
const RING_TRBS = 16

const COMMAND = 0x40
const STATUS = 0x44
const RUNTIME = 0x1000
const DOORBELLS = 0x2000

/** An event as the driver reads it. */
export interface Event {
  readonly type: number
  readonly code: number
  readonly length: number
  readonly slot: number
  readonly endpoint: number
  readonly pointer: number
  readonly flags: number
}

/** The words of a TRB without the cycle bit. */
export type Words = readonly [lo: number, hi: number, status: number, control: number]

interface ProducerRing {
  readonly base: number
  at: number
  cycle: number
}

export const IOC = 0x20
export const CHAIN = 0x10
export const ISP = 0x04
export const trbType = (type: number): number => type << 10

/** A driver of the controller, with as little as the specification asks for. */
export class XhciDriver {
  readonly machine: UsbMachine
  readonly model: Xhci
  readonly #rings = new Map<number, ProducerRing>()
  #eventAt = 0
  #eventCycle = 1
  /** Upper word of all addresses of RAM. */
  readonly high: number

  constructor(devices: readonly UsbDevice[] = [], options: Partial<XhciOptions> = {}, high = 0) {
    this.model = new Xhci({ device: 4, devices, ...options })
    this.machine = new UsbMachine(this.model, 1 << 20, high * 2 ** 32)
    this.high = high
  }

  /** Goes on as the driver of another machine whose memory this one has. */
  adopt(other: XhciDriver): void {
    for (const [id, ring] of other.#rings) this.#rings.set(id, { ...ring })
    this.#eventAt = other.#eventAt
    this.#eventCycle = other.#eventCycle
  }

  /** Resets the controller, and lets it run. */
  start(): void {
    const { machine } = this
    machine.write(COMMAND, 2)
    machine.ram.fill(0)
    this.#rings.clear()
    this.#eventAt = 0
    this.#eventCycle = 1
    machine.write(COMMAND + 0x38, 8)
    machine.write(COMMAND + 0x30, CONTEXTS)
    machine.write(COMMAND + 0x34, this.high)
    machine.write(COMMAND + 0x18, COMMANDS | 1)
    machine.write(COMMAND + 0x1c, this.high)
    this.#makeRing(0, COMMANDS)
    machine.view.setUint32(SEGMENTS, EVENTS, true)
    machine.view.setUint32(SEGMENTS + 4, this.high, true)
    machine.view.setUint32(SEGMENTS + 8, EVENT_TRBS, true)
    machine.write(RUNTIME + 0x28, 1)
    machine.write(RUNTIME + 0x38, EVENTS)
    machine.write(RUNTIME + 0x3c, this.high)
    machine.write(RUNTIME + 0x30, SEGMENTS)
    machine.write(RUNTIME + 0x34, this.high)
    machine.write(RUNTIME + 0x24, 0)
    machine.write(RUNTIME + 0x20, 2)
    machine.write(COMMAND, 5)
  }

  #makeRing(id: number, base: number): ProducerRing {
    const ring = { base, at: 0, cycle: 1 }
    this.#rings.set(id, ring)
    this.machine.ram.fill(0, base, base + RING_TRBS * 16)
    return ring
  }

  get status(): number {
    return this.machine.read(STATUS)
  }

  port(number: number): number {
    return this.machine.read(0x440 + 16 * (number - 1))
  }

  writePort(number: number, value: number): void {
    this.machine.write(0x440 + 16 * (number - 1), value)
  }

  /** Puts TRBs on a ring; the first is given away last. @returns their places in RAM */
  put(id: number, ...trbs: readonly Words[]): number[] {
    const ring = this.#rings.get(id)!
    const { view } = this.machine
    const places = trbs.map(([lo, hi, status, control]) => {
      const address = ring.base + 16 * ring.at
      for (const [i, word] of [lo, hi, status].entries()) view.setUint32(address + 4 * i, word, true)
      const place = { address, control: control | ring.cycle }
      if (++ring.at < RING_TRBS - 1) return place
      const link = ring.base + 16 * ring.at
      view.setUint32(link, ring.base, true)
      view.setUint32(link + 4, this.high, true)
      // It belongs to the same transfer if that goes on.
      view.setUint32(link + 12, trbType(6) | 2 | (control & CHAIN) | ring.cycle, true)
      ring.at = 0
      ring.cycle ^= 1
      return place
    })
    for (const { address, control } of places.toReversed()) view.setUint32(address + 12, control, true)
    return places.map(({ address }) => address)
  }

  doorbell(slot: number, target: number): void {
    this.machine.write(DOORBELLS + 4 * slot, target)
  }

  /** Takes the events that there are. @param tell - whether the controller hears of it */
  events(tell = true): Event[] {
    const found: Event[] = []
    const { view } = this.machine
    for (;;) {
      const at = EVENTS + 16 * this.#eventAt
      const control = view.getUint32(at + 12, true)
      if ((control & 1) !== this.#eventCycle) break
      const status = view.getUint32(at + 8, true)
      const type = (control >>> 10) & 0x3f
      // A change of a port has no address.
      const high = view.getUint32(at + 4, true) - (type === 34 ? 0 : this.high)
      found.push({
        type,
        code: status >>> 24,
        length: status & 0xff_ffff,
        slot: control >>> 24,
        endpoint: (control >>> 16) & 0x1f,
        pointer: high * 2 ** 32 + view.getUint32(at, true),
        flags: control & 0x3fe,
      })
      if (++this.#eventAt < EVENT_TRBS) continue
      this.#eventAt = 0
      this.#eventCycle ^= 1
    }
    if (tell && found.length > 0) this.machine.write(RUNTIME + 0x38, (EVENTS + 16 * this.#eventAt) | 8)
    return found
  }

  /** Gives a command. @returns its completion */
  command(...words: Words): Event {
    const [address] = this.put(0, words)
    this.doorbell(0, 0)
    const found = this.events().filter(({ type }) => type === 33)
    const event = found.find(({ pointer }) => pointer === address)
    if (event === undefined) throw new Error(`no completion of the command at ${address}`)
    return event
  }

  /** A context of the input context: 0 is the control context. */
  input(index: number, ...words: readonly number[]): void {
    words.forEach((word, i) => this.machine.view.setUint32(INPUT + 32 * index + 4 * i, word, true))
  }

  output(slot: number, index: number, word: number): number {
    return this.machine.view.getUint32(OUTPUT + 0x400 * slot + 32 * index + 4 * word, true)
  }

  /** Makes a ring for an endpoint. @returns its address */
  ring(slot: number, index: number): number {
    const base = RINGS + RING_BYTES * (8 * (slot - 1) + (index % 8))
    this.#makeRing(32 * slot + index, base)
    return base
  }

  /** Resets a port, enables a slot and addresses the device. @returns the slot */
  address(port: number, speed: number): number {
    this.writePort(port, 0x210)
    const { slot } = this.command(0, 0, 0, trbType(9))
    this.machine.view.setUint32(CONTEXTS + 8 * slot, OUTPUT + 0x400 * slot, true)
    this.machine.view.setUint32(CONTEXTS + 8 * slot + 4, this.high, true)
    this.machine.ram.fill(0, INPUT, INPUT + 0x420)
    this.input(0, 0, 3)
    this.input(1, (1 << 27) | (speed << 20), port << 16)
    this.input(2, 0, (64 << 16) | (4 << 3) | 6, this.ring(slot, 1) | 1, this.high)
    const { code } = this.command(INPUT, this.high, 0, trbType(11) | (slot << 24))
    if (code !== 1) throw new Error(`Address Device: ${code}`)
    return slot
  }

  /** Adds an endpoint. @param kind - as in its context */
  addEndpoint(slot: number, index: number, kind: number, interval = 0): Event {
    this.machine.ram.fill(0, INPUT, INPUT + 0x420)
    this.input(0, 0, (1 << index) | 1)
    this.input(1, index << 27)
    this.input(index + 1, interval << 16, (64 << 16) | (kind << 3) | 6, this.ring(slot, index) | 1, this.high)
    return this.command(INPUT, this.high, 0, trbType(12) | (slot << 24))
  }

  /** Makes a control transfer. @returns its events, and what came */
  control(slot: number, setup: UsbSetup, out?: Uint8Array): { readonly events: Event[]; readonly data: Uint8Array } {
    const { type, request, value, index, length } = setup
    const toHost = (type & 0x80) !== 0
    if (out !== undefined) this.machine.ram.set(out, DATA)
    const stages: Words[] = [
      [
        type | (request << 8) | (value << 16),
        index | (length << 16),
        8,
        trbType(2) | 0x40 | (toHost ? 3 << 16 : 2 << 16),
      ],
    ]
    if (length > 0) stages.push([DATA, this.high, length, trbType(3) | ISP | (toHost ? 1 << 16 : 0)])
    stages.push([0, 0, 0, trbType(4) | IOC | (toHost && length > 0 ? 0 : 1 << 16)])
    this.put(32 * slot + 1, ...stages)
    this.doorbell(slot, 1)
    const events = this.events()
    const short = events.find(({ code }) => code === 13)
    return { events, data: this.machine.ram.slice(DATA, DATA + length - (short?.length ?? 0)) }
  }

  /** Chooses configuration 1. */
  configure(slot: number): void {
    this.control(slot, { type: 0, request: 9, value: 1, index: 0, length: 0 })
  }

  /** Lets the host and the clock go on until there is an event. */
  async wait(): Promise<Event[]> {
    for (let i = 0; i < 100; i++) {
      const found = this.events()
      if (found.length > 0) return found
      this.machine.advance(200_000)
      await turn()
    }
    throw new Error('there is no event')
  }
}
