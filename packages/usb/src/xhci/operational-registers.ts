import { listed, type StatePart } from '@retrap/device'

/** USBCMD. Source: xHCI 1.2, §5.4.1. */
const RUN = 0x1
const RESET = 0x2
const INTERRUPTS = 0x4
const HOST_ERRORS = 0x8
const SAVE = 0x100
const RESTORE = 0x200
const WRAP_EVENTS = 0x400
const KEPT = RUN | INTERRUPTS | HOST_ERRORS | WRAP_EVENTS

/** USBSTS. Source: xHCI 1.2, §5.4.2. */
const HALTED = 0x1
const HOST_ERROR = 0x4
const EVENT = 0x8
const PORT_CHANGE = 0x10
const RESTORE_ERROR = 0x400
const CONTROLLER_ERROR = 0x1000
const CLEARED_BY_ONE = HOST_ERROR | EVENT | PORT_CHANGE | RESTORE_ERROR

const PAGE_SIZE = 1

/** Registers that read as they are. */
type Stored = 'command' | 'status' | 'notifications' | 'contextsLo' | 'contextsHi' | 'configuration'

const REGISTERS: Readonly<Record<number, Stored>> = {
  0x00: 'command',
  0x04: 'status',
  0x14: 'notifications',
  0x30: 'contextsLo',
  0x34: 'contextsHi',
  0x38: 'configuration',
}

/** The effects of the registers. */
export interface OperationalHost {
  /** The guest lets the controller run, or stops it. */
  runs(on: boolean): void
  /** The guest resets the controller. */
  reset(): void
  /** Interrupts were enabled or disabled. */
  interruptsChanged(): void
  /** The command ring's register. */
  readCommandRing(high: boolean): number
  writeCommandRing(high: boolean, value: number): void
}

/** The operational registers without the ports'. Source: xHCI 1.2, §5.4, "Host Controller Operational Registers". */
export class OperationalRegisters {
  readonly #host: OperationalHost
  readonly #r = {
    command: 0,
    status: HALTED,
    notifications: 0,
    contextsLo: 0,
    contextsHi: 0,
    configuration: 0,
    /** 1: the guest has saved the state, and nothing has reset the controller since. */
    saved: 0,
  }
  /** The part that saves the registers as a list. */
  readonly state: StatePart = listed(this.#r)

  constructor(host: OperationalHost) {
    this.#host = host
  }

  get isRunning(): boolean {
    return (this.#r.status & HALTED) === 0
  }

  get interrupts(): boolean {
    return (this.#r.command & INTERRUPTS) !== 0
  }

  get wrapEvents(): boolean {
    return (this.#r.command & WRAP_EVENTS) !== 0
  }

  /** Slots that the guest has enabled. */
  get slots(): number {
    return this.#r.configuration & 0xff
  }

  /** Guest-physical address of the device context base address array. */
  get contexts(): number {
    return this.#r.contextsHi * 2 ** 32 + this.#r.contextsLo
  }

  noteEvent(): void {
    this.#r.status |= EVENT
  }

  notePortChange(): void {
    this.#r.status |= PORT_CHANGE
  }

  /** The guest named an address that is not RAM. */
  failHost(): void {
    this.#stop(HOST_ERROR)
  }

  /** The guest's structures are invalid. */
  failController(): void {
    this.#stop(CONTROLLER_ERROR)
  }

  #stop(why: number): void {
    this.#r.command &= ~RUN
    this.#r.status |= HALTED | why
    this.#host.runs(false)
  }

  read(offset: number): number {
    if (offset === 0x08) return PAGE_SIZE
    if (offset === 0x18 || offset === 0x1c) return this.#host.readCommandRing(offset === 0x1c)
    const name = REGISTERS[offset]
    return name === undefined ? 0 : this.#r[name]
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case 0x00:
        this.#writeCommand(value)
        break
      case 0x04:
        this.#r.status &= ~(value & CLEARED_BY_ONE)
        break
      case 0x14:
        this.#r.notifications = value & 0xffff
        break
      case 0x18:
      case 0x1c:
        this.#host.writeCommandRing(offset === 0x1c, value)
        break
      case 0x30:
        this.#r.contextsLo = (value & ~0x3f) >>> 0
        break
      case 0x34:
        this.#r.contextsHi = value
        break
      case 0x38:
        if (!this.isRunning) this.#r.configuration = value & 0x3ff
        break
    }
  }

  #writeCommand(value: number): void {
    if ((value & RESET) !== 0) {
      this.#host.reset()
      return
    }
    const before = this.#r.command
    this.#r.command = value & KEPT
    // State is kept inside, as long as nothing resets the controller: a save ends at once.
    if ((value & SAVE) !== 0 && !this.isRunning) this.#r.saved = 1
    if ((value & RESTORE) !== 0 && !this.isRunning && this.#r.saved === 0) this.#r.status |= RESTORE_ERROR
    const isBroken = (this.#r.status & (HOST_ERROR | CONTROLLER_ERROR)) !== 0
    if ((value & RUN) !== 0 && !this.isRunning && !isBroken) {
      this.#r.status &= ~HALTED
      this.#host.runs(true)
    } else if ((value & RUN) === 0 && this.isRunning) {
      this.#r.status |= HALTED
      this.#host.runs(false)
    }
    if (((before ^ this.#r.command) & INTERRUPTS) !== 0) this.#host.interruptsChanged()
  }
}
