import { Stateful } from '@retrap/device'
import type { AttachedDevice } from '../attached-device.ts'

/** Bits of PORTSC. Source: xHCI 1.2, §5.4.8, "Port Status and Control Register". */
const CONNECTED = 0x1
const ENABLED = 0x2
const RESET = 0x10
const POWER = 0x200
const LINK_WRITE = 0x1_0000
const CONNECT_CHANGE = 0x2_0000
const WARM_RESET_CHANGE = 0x8_0000
const RESET_CHANGE = 0x20_0000
const LINK_CHANGE = 0x40_0000
/** CSC, PEC, WRC, OCC, PRC, PLC, CEC. */
const CHANGES = 0xfe_0000
/** WCE, WDE, WOE. */
const WAKE_ENABLES = 0x0e00_0000
const WARM_RESET = 0x8000_0000

/** Link states. */
const U0 = 0
const U3 = 3
const DISABLED = 4
const RX_DETECT = 5
const POLLING = 7
const RESUME = 15

/** Port speed IDs, the default ones. Source: xHCI 1.2, table 7-13. */
const SPEED_IDS = { full: 1, low: 2, high: 3, super: 4 } as const

/** U1 and U2 timeouts. */
const POWER_MANAGEMENT = 0x1_ffff

/** A root hub port of USB 2 or USB 3. A reset of a port takes no time. */
export class RootPort extends Stateful {
  readonly number: number
  readonly isSuper: boolean
  device: AttachedDevice | null = null
  readonly #changed: (port: RootPort) => void
  readonly #r = this.keeps({
    /** Status without link state and speed. */
    bits: POWER as number,
    link: RX_DETECT as number,
    power: 0,
    /** Whether an event has reported the change bits that are set. */
    announced: false,
    /** An event is to be sent. */
    unannounced: false,
  })

  /** @param changed - an event is to be sent, or the device's state has changed */
  constructor(number: number, isSuper: boolean, changed: (port: RootPort) => void) {
    super()
    this.number = number
    this.isSuper = isSuper
    this.#changed = changed
  }

  get isEnabled(): boolean {
    return (this.#r.bits & ENABLED) !== 0
  }

  get isSuspended(): boolean {
    return this.#r.link === U3
  }

  /** Whether an event is to be sent. */
  get unannounced(): boolean {
    return this.#r.unannounced
  }

  /** The event has been sent. */
  sent(): void {
    this.#r.unannounced = false
  }

  /** The speed ID of the plugged device. */
  get speed(): number {
    return this.device === null ? 0 : SPEED_IDS[this.device.speed]
  }

  plug(device: AttachedDevice): void {
    this.device = device
    this.#connect()
  }

  #connect(): void {
    this.#r.bits |= CONNECTED
    // A SuperSpeed link trains by itself.
    this.#r.link = this.isSuper ? U0 : POLLING
    if (this.isSuper) this.#r.bits |= ENABLED
    this.#change(CONNECT_CHANGE)
  }

  unplug(): void {
    this.device = null
    this.#r.bits &= ~(CONNECTED | ENABLED)
    this.#r.link = RX_DETECT
    this.#change(CONNECT_CHANGE)
  }

  #change(bits: number): void {
    this.#r.bits |= bits
    if (!this.#r.announced) this.#r.unannounced = true
    this.#r.announced = true
    this.#changed(this)
  }

  /** The device ends a suspend. */
  wake(): void {
    if (this.#r.link !== U3 || this.device?.mayWake !== true) return
    this.#r.link = RESUME
    this.#change(LINK_CHANGE)
  }

  read(register: number): number {
    if (register === 4) return this.#r.power
    if (register !== 0) return 0
    // Speed is known of an enabled port, and of a SuperSpeed one that has a device.
    const speed = this.isEnabled ? this.speed : 0
    return (this.#r.bits | (this.#r.link << 5) | (speed << 10)) >>> 0
  }

  write(register: number, value: number): void {
    if (register === 4 && this.isSuper) this.#r.power = value & POWER_MANAGEMENT
    if (register !== 0) return
    this.#r.bits &= ~(value & CHANGES)
    if ((this.#r.bits & CHANGES) === 0) this.#r.announced = false
    this.#r.bits = (this.#r.bits & ~WAKE_ENABLES) | (value & WAKE_ENABLES)
    const warm = this.isSuper && (value & WARM_RESET) !== 0
    if ((value & RESET) !== 0 || warm) this.#reset(warm)
    else if ((value & ENABLED) !== 0 && this.isEnabled) this.#disable()
    else if ((value & LINK_WRITE) !== 0) this.#setLink((value >>> 5) & 0xf)
  }

  #reset(warm: boolean): void {
    if (this.device === null) return
    this.device.reset()
    this.#r.bits |= ENABLED
    this.#r.link = U0
    this.#change(warm ? RESET_CHANGE | WARM_RESET_CHANGE : RESET_CHANGE)
  }

  #disable(): void {
    this.#r.bits &= ~ENABLED
    this.#r.link = this.isSuper ? DISABLED : POLLING
    this.#changed(this)
  }

  /** Source: xHCI 1.2, §4.19.1.1.6 and §4.19.1.2.13, "U3". */
  #setLink(link: number): void {
    if (link === U3 && this.isEnabled && this.#r.link === U0) this.#r.link = U3
    else if (link === RESUME && this.#r.link === U3 && !this.isSuper) this.#r.link = RESUME
    else if (link === U0 && (this.#r.link === U3 || this.#r.link === RESUME)) {
      this.#r.link = U0
      this.#change(LINK_CHANGE)
    } else if (link === DISABLED && this.isSuper) this.#disable()
    else if (link === RX_DETECT && this.isSuper && this.#r.link === DISABLED) {
      this.#r.link = RX_DETECT
      if (this.device !== null) this.#connect()
    }
  }

  /** Resets the port with its controller: a plugged device is detected again. */
  override reset(): void {
    super.reset()
    this.device?.reset()
    if (this.device !== null) this.#connect()
  }
}
