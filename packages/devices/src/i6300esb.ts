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

// Configuration space.
const CONFIGURATION = 0x60
const LOCK = 0x68
const PRESCALER_1_MHZ = 1 << 2
const INTERRUPT_TYPE = 3
const OUTPUT_OFF = 1 << 5
const LOCKED = 1 << 0
const ENABLED = 1 << 1
const FREE_RUNNING = 1 << 2

// Memory.
const BAR_BYTES = 16
const PRELOAD_1 = 0x00
const PRELOAD_2 = 0x04
const INTERRUPT_STATUS = 0x08
const RELOAD = 0x0c
const PRELOAD_MASK = 0xf_ffff
const RELOAD_BIT = 1 << 8
const TIMEOUT_BIT = 1 << 9
/** Values that unlock the reload register for one write, when written to it in this order. */
const UNLOCK = [0x80, 0x86] as const

/** The timer counts the PCI clock of 33 MHz, divided by 2^15 or 2^5. */
const PCI_CLOCK_NS: number = 1e9 / 33_333_333
const SLOW_NS: number = PCI_CLOCK_NS * 2 ** 15
const FAST_NS: number = PCI_CLOCK_NS * 2 ** 5

/** Options of {@link I6300Esb}. */
export interface I6300EsbOptions {
  /** PCI device number on bus 0; default 28. */
  readonly device?: number
  /** Called when the time of stage 2 is over: the guest hangs. */
  readonly onExpired: (context: DeviceContext) => void
}

/**
 * The watchdog of Intel's 6300ESB (8086:25AB): two stages of 20 bits. At the end of stage 1 the driver may get an
 * interrupt; at the end of stage 2 the guest is reset, or the host's own action is taken.
 *
 * Source: Intel 6300ESB I/O Controller Hub Datasheet, chapter 16, "Watchdog Timer (WDT)".
 */
export class I6300Esb extends Stateful implements DeviceModel {
  /** Name of the model in errors, traces and snapshots. */
  readonly name: string
  /** The device depends on the guest's accesses and on time alone. */
  readonly deterministic = true
  readonly #options: I6300EsbOptions
  readonly #device: number
  #context: DeviceContext | null = null
  #function: PciFunction | null = null
  #timer: Timer | null = null
  readonly #s = this.keeps({
    version: 1,
    /** `lock`: the lock register as it was before the last write. */
    registers: {
      ...{ preload1: 0xf_ffff, preload2: 0xf_ffff, unlocked: 0, stage: 1, interrupt: 0, timedOut: 0, lock: 0 },
    },
    stageEnd: () => this.#timer,
  })

  constructor(options: I6300EsbOptions) {
    super()
    const { device = 28 } = options
    checkDeviceNumber('i6300esb', device)
    this.#options = options
    this.#device = device
    this.name = `i6300esb-${device.toString(16)}`
  }

  /** Adds the PCI function. */
  attach(context: DeviceContext): void {
    this.#context = context
    this.#timer = context.timer(() => this.#stageEnds())
    const handler: SynchronousRangeHandler = {
      read: (offset: number, size: AccessSize): number =>
        (this.#read(offset & ~3) >>> (8 * (offset & 3))) & (size === 4 ? -1 : (1 << (8 * size)) - 1),
      write: (offset: number, _size: AccessSize, value: number): void => this.#write(offset, value),
    }
    this.#function = context.pci.add({
      device: this.#device,
      vendorId: 0x8086,
      deviceId: 0x25ab,
      classCode: 0x08_8000,
      interruptPin: 1,
      bars: [{ index: 0, kind: 'memory', bytes: BAR_BYTES, handler, maximumAccess: 4 }],
      writable: [
        [CONFIGURATION, OUTPUT_OFF | PRESCALER_1_MHZ | INTERRUPT_TYPE],
        [LOCK, LOCKED | ENABLED | FREE_RUNNING],
      ],
      onWrite: (register, size) => {
        if (register <= LOCK && register + size > LOCK) this.#lockWritten()
      },
    })
  }

  get #lock(): number {
    return this.#function?.config[LOCK] ?? 0
  }

  /** A lock that is closed keeps the register until the reset. */
  #lockWritten(): void {
    const config = this.#function?.config
    if (config === undefined) return
    if ((this.#s.registers.lock & LOCKED) !== 0) config[LOCK] = this.#s.registers.lock
    const starts = (this.#lock & ENABLED) !== (this.#s.registers.lock & ENABLED)
    this.#s.registers.lock = this.#lock
    if (starts) this.#restart()
  }

  #read(offset: number): number {
    const r = this.#s.registers
    if (offset === PRELOAD_1) return r.preload1
    if (offset === PRELOAD_2) return r.preload2
    if (offset === INTERRUPT_STATUS) return r.interrupt
    return offset === RELOAD ? r.timedOut : 0
  }

  #write(offset: number, value: number): void {
    const r = this.#s.registers
    if (offset === RELOAD && value === UNLOCK[r.unlocked]) {
      r.unlocked++
      return
    }
    if (offset === INTERRUPT_STATUS) {
      r.interrupt &= ~value & 1
      this.#function?.interrupt?.set(r.interrupt !== 0)
      return
    }
    const isUnlocked = r.unlocked === UNLOCK.length
    r.unlocked = 0
    if (!isUnlocked) return
    if (offset === PRELOAD_1) r.preload1 = value & PRELOAD_MASK
    else if (offset === PRELOAD_2) r.preload2 = value & PRELOAD_MASK
    else if (offset === RELOAD) {
      if ((value & TIMEOUT_BIT) !== 0) r.timedOut = 0
      if ((value & RELOAD_BIT) !== 0) this.#restart()
    }
  }

  /** Begins the first stage, or stands still. */
  #restart(): void {
    this.#s.registers.stage = 1
    if ((this.#lock & ENABLED) !== 0) this.#begin(this.#s.registers.preload1)
    else this.#timer?.cancel()
  }

  #begin(ticks: number): void {
    const isFast = ((this.#function?.config[CONFIGURATION] ?? 0) & PRESCALER_1_MHZ) !== 0
    this.#timer?.armAfter(Math.max(1, Math.round(ticks * (isFast ? FAST_NS : SLOW_NS))))
  }

  #stageEnds(): void {
    const r = this.#s.registers
    const configuration = this.#function?.config[CONFIGURATION] ?? 0
    if (r.stage === 1) {
      r.stage = 2
      if ((configuration & INTERRUPT_TYPE) === 0) {
        r.interrupt = 1
        this.#function?.interrupt?.set(true)
      }
      this.#begin(r.preload2)
      return
    }
    if ((this.#lock & FREE_RUNNING) !== 0) return this.#restart()
    r.timedOut = TIMEOUT_BIT
    if ((configuration & OUTPUT_OFF) === 0 && this.#context !== null) this.#options.onExpired(this.#context)
  }

  /** Returns to the state at power-on. */
  override reset(): void {
    super.reset()
    this.#function?.interrupt?.set(false)
  }
}
