import { type DeviceContext, Instant, type InterruptLine, type PciFunction, type Region } from '@retrap/device'
import { PciTree, TimerQueue } from '@retrap/device/host'
import { PcieRootPort, type PcieRootPortOptions } from '../../src/pcie/index.ts'

/** PCI device number of the port. */
const PORT = 3
const EXPRESS = 0x10
export const SLOT_CONTROL = 0x18
export const SLOT_STATUS = 0x1a

/** A root port with a slot for cards, and what it sends. */
export class PortMachine {
  readonly port: PcieRootPort
  readonly tree: PciTree
  readonly #now = new Instant()
  readonly #timers: TimerQueue
  /** Data of messages that were sent. */
  readonly messages: number[] = []
  /** The port's pin. */
  level = false
  /** What became of the models in the slot. */
  readonly log: string[] = []
  /** Work in flight that a card without power has still to end. */
  work: { readonly promise: Promise<void>; resolve(): void } | null = null
  card: PciFunction | null = null
  /** What the card was told of configuration writes. */
  readonly written: number[] = []

  constructor(options: Partial<PcieRootPortOptions> = {}) {
    const now = this.#now
    const read = (into: Instant): void => void into.set(now)
    this.#timers = new TimerQueue({ now: () => now.toNumber(), read: read as never })
    this.tree = new PciTree({
      mapBar: () => ({ enabled: false, base: 0, enable() {}, disable() {}, move() {} }) as unknown as Region,
      wire: (): InterruptLine => ({ set: (level) => void (this.level = level), pulse: () => {} }),
      signalMsi: (_address, data) => void this.messages.push(data),
      changed: () => {},
      rest: async (owners) => {
        this.log.push(`rest ${owners.join(' ')}`)
        await this.work?.promise
      },
      release: (busName) => void this.log.push(`release ${busName}`),
    })
    this.port = new PcieRootPort({ device: PORT, busName: 'slot', ...options })
    this.port.attach({
      timer: (callback: (deadlineNs: number, deadline: Instant) => void) => this.#timers.create(callback as never),
      pci: { add: (given: Parameters<PciTree['add']>[1]) => this.tree.add('port', given) },
    } as unknown as DeviceContext)
    // Bus master, and a bus below.
    this.write(4, 2, 7)
    this.write(0x18, 4, 0x0001_0100)
  }

  /** Puts a card into the slot. */
  insert(hot: boolean): void {
    const card = { bus: 'slot', device: 0, vendorId: 0x1234, deviceId: 0x5678, classCode: 0x02_0000 }
    this.card = this.tree.add('card', { ...card, onWrite: (register) => void this.written.push(register) })
    this.tree.arrived('card', hot)
  }

  /** Does what a host does after `release`. */
  remove(): void {
    this.tree.remove('card', false)
    this.tree.slot('slot')!.events.removed()
  }

  get #express(): number {
    let at = this.read(0x34, 1)
    while (this.read(at, 1) !== EXPRESS) at = this.read(at + 1, 1)
    return at
  }

  /** Switches the port's messages on. */
  enableMessages(): void {
    let at = this.read(0x34, 1)
    while (this.read(at, 1) !== 5) at = this.read(at + 1, 1)
    this.write(at + 4, 4, 0xfee0_0000)
    this.write(at + 12, 2, 0x41)
    this.write(at + 2, 2, 1)
  }

  read(register: number, size: number): number {
    return (this.tree.read(PORT << 3, register, size) & (2 ** (8 * size) - 1)) >>> 0
  }

  write(register: number, size: number, value: number): void {
    this.tree.write(PORT << 3, register, size, value)
  }

  /** A register of the capability of PCI Express. */
  register(offset: number, size = 2): number {
    return this.read(this.#express + offset, size)
  }

  /** The card's identifiers, as the guest finds them: ones where nothing answers. */
  get found(): number {
    return this.tree.read(1 << 8, 0, 4) >>> 0
  }

  setRegister(offset: number, value: number, size = 2): void {
    this.write(this.#express + offset, size, value)
  }

  /** Slot status, without what a write of ones has not cleared. */
  takeStatus(): number {
    const status = this.register(SLOT_STATUS)
    this.setRegister(SLOT_STATUS, 0x1ff)
    return status
  }

  /** Lets time pass, and promises go on. */
  async pass(ns = 1e6): Promise<void> {
    this.#now.add(ns)
    this.#timers.expire()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
