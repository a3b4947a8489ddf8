import {
  type DeviceContext,
  type InputBackend,
  type InputClient,
  type InputEvent,
  restoreDeadline,
  savedDeadline,
  savedRegisters,
  type Timer,
  type Word64,
} from '@retrap/device'
import { ACKNOWLEDGE, type Ps2Device, RESEND, SELF_TEST_DONE, SELF_TEST_NS } from './device.ts'
import { MouseMotion, type MouseMotionState } from './mouse-motion.ts'

const SCALE_1_1 = 0xe6
const SCALE_2_1 = 0xe7
const SET_RESOLUTION = 0xe8
const STATUS = 0xe9
const STREAM = 0xea
const READ_DATA = 0xeb
const LEAVE_WRAP = 0xec
const WRAP = 0xee
const REMOTE = 0xf0
const IDENTIFY = 0xf2
const SET_RATE = 0xf3
const ENABLE = 0xf4
const DISABLE = 0xf5
const DEFAULTS = 0xf6
const RESET = 0xff

/** The second byte in a row that is no command (Synaptics PS/2 TouchPad Interfacing Guide, "Error handling"). */
const FAILURE = 0xfc

const STATUS_REMOTE = 0x40
const STATUS_ENABLED = 0x20
const STATUS_SCALED = 0x10

const RATES: readonly number[] = [10, 20, 40, 60, 80, 100, 200]
/** Three rates in a row that turn the wheel, and two more buttons, on. */
const WHEEL_KNOCK = [200, 100, 80] as const
const FIVE_BUTTON_KNOCK = [200, 200, 80] as const
const NONE = -1
/** Room for a packet, and for an answer with the status. */
const QUEUE_BYTES = 16

/** Set by command 0xF6; a resolution of 2 is four counts a millimetre. */
const DEFAULT_MODE = { enabled: false, remote: false, wrap: false, scaled: false, resolution: 2, rate: 100 }
/** See {@link Ps2MouseState}. */
const POWER_ON = { ...DEFAULT_MODE, knock: [] as readonly number[], id: 0, pending: NONE, failed: false }

/** Saved form of a PS/2 mouse. */
export interface Ps2MouseState extends MouseMotionState {
  /** Whether movements are reported in stream mode. */
  readonly enabled: boolean
  /** Reports only when asked. */
  readonly remote: boolean
  /** Sends back what it is sent. */
  readonly wrap: boolean
  /** Doubles movements in stream mode. */
  readonly scaled: boolean
  /** 0 to 3: 1, 2, 4 or 8 counts a millimetre. */
  readonly resolution: number
  /** Reports a second. */
  readonly rate: number
  /** The last three rates, newest last. */
  readonly knock: readonly number[]
  /** 0: three buttons; 3: a wheel; 4: a wheel and five buttons. */
  readonly id: number
  /** Command that waits for its data; −1: none. */
  readonly pending: number
  /** The last byte from the controller was no command. */
  readonly failed: boolean
  /** The last packet or answer, for a guest that asks for it again. */
  readonly last: readonly number[]
  /** Bytes that wait. */
  readonly queue: readonly number[]
  /** Whether the self-test runs. */
  readonly testing: boolean
  /** Time of the next sample, or of the end of the self-test. */
  readonly timerAt: Word64 | null
}

/** A mouse at the controller's second port: three buttons, and by a knock a wheel and two more buttons. */
export class Ps2Mouse implements Ps2Device, InputClient {
  readonly #backend: InputBackend
  readonly #motion = new MouseMotion()
  #queue: number[] = []
  #last: readonly number[] = []
  #r = { ...POWER_ON }
  #testing = false
  #refused = false
  #quiet = false
  #reporting = false
  #timer: Timer | null = null
  #bytesReady: () => void = () => {}

  constructor(backend: InputBackend) {
    this.#backend = backend
    backend.connect(this)
  }

  connect(context: DeviceContext, bytesReady: () => void): void {
    this.#bytesReady = bytesReady
    this.#timer = context.timer(() => this.#expired())
  }

  input(events: readonly InputEvent[]): number {
    let taken = 0
    for (const event of events) {
      // A click between two samples is two reports: what comes after a button's change waits for its report.
      if (this.#quiet || (this.#streams() && this.#motion.buttonsChanged)) {
        this.#refused = true
        break
      }
      this.#motion.add(event)
      this.#sample()
      taken++
    }
    return taken
  }

  #streams(): boolean {
    return this.#r.enabled && !this.#r.remote && !this.#r.wrap && !this.#testing
  }

  /** Reports in stream mode what has changed, unless the last report was just now or is not read yet. */
  #sample(): void {
    if (!this.#streams() || !this.#motion.changed || this.#timer?.deadlineNs !== Infinity) return
    if (this.#queue.length > 0) return
    this.#send(this.#motion.packet(this.#r.id, this.#r.scaled))
    this.#timer.armAfter(1e9 / this.#r.rate)
    this.#bytesReady()
  }

  #expired(): void {
    if (this.#testing) {
      this.#testing = false
      this.#send([SELF_TEST_DONE, 0])
      this.#bytesReady()
      return
    }
    this.#sample()
    this.#offerRoom()
  }

  #offerRoom(): void {
    if (!this.#refused || this.#quiet || (this.#streams() && this.#motion.buttonsChanged)) return
    this.#refused = false
    this.#backend.ready()
  }

  #send(bytes: readonly number[]): void {
    this.#last = bytes
    this.#queue.push(...bytes.slice(0, QUEUE_BYTES - this.#queue.length))
  }

  get ready(): boolean {
    return this.#queue.length > 0
  }

  take(): number {
    const byte = this.#queue.shift() ?? NONE
    if (this.#queue.length === 0) {
      this.#sample()
      this.#offerRoom()
    }
    return byte
  }

  receive(byte: number): void {
    // The test looks at nothing else.
    if (this.#testing && byte !== RESET) return
    if (byte === RESEND) {
      this.#queue = []
      this.#send(this.#last)
    } else {
      // A command ends the report that is under way.
      this.#queue = []
      const pending = this.#r.pending
      this.#r.pending = NONE
      if (this.#r.wrap && byte !== RESET && byte !== LEAVE_WRAP) this.#send([byte])
      else if (pending !== NONE) this.#data(pending, byte)
      else this.#command(byte)
    }
    this.#showPointer()
    this.#offerRoom()
    if (this.ready) this.#bytesReady()
  }

  #data(command: number, byte: number): void {
    if (command === SET_RESOLUTION && byte <= 3) this.#r.resolution = byte
    else if (command === SET_RATE && RATES.includes(byte)) this.#setRate(byte)
    else {
      // The guest may send the data once more.
      if (!this.#r.failed) this.#r.pending = command
      this.#refuse()
      return
    }
    this.#accept()
  }

  #setRate(rate: number): void {
    this.#r.rate = rate
    this.#r.knock = [...this.#r.knock.slice(-2), rate]
    if (matches(this.#r.knock, FIVE_BUTTON_KNOCK)) this.#r.id = 4
    else if (matches(this.#r.knock, WHEEL_KNOCK) && this.#r.id === 0) this.#r.id = 3
  }

  #accept(...bytes: readonly number[]): void {
    this.#r.failed = false
    this.#send([ACKNOWLEDGE, ...bytes])
  }

  #refuse(): void {
    this.#send([this.#r.failed ? FAILURE : RESEND])
    this.#r.failed = !this.#r.failed
  }

  #command(command: number): void {
    switch (command) {
      case SCALE_1_1:
      case SCALE_2_1:
        this.#r.scaled = command === SCALE_2_1
        break
      case SET_RESOLUTION:
      case SET_RATE:
        this.#r.pending = command
        break
      case STATUS:
        this.#accept(this.#status(), this.#r.resolution, this.#r.rate)
        return
      case STREAM:
      case REMOTE:
        this.#r.remote = command === REMOTE
        this.#motion.forget()
        break
      case READ_DATA:
        this.#accept(...this.#motion.packet(this.#r.id, false))
        return
      case LEAVE_WRAP:
      case WRAP:
        this.#r.wrap = command === WRAP
        this.#motion.forget()
        break
      case IDENTIFY:
        this.#accept(this.#r.id)
        return
      case ENABLE:
      case DISABLE:
        this.#r.enabled = command === ENABLE
        this.#motion.forget()
        break
      case DEFAULTS:
        this.#setDefaults()
        break
      case RESET:
        this.#setDefaults()
        this.#r.id = 0
        this.#r.knock = []
        this.#testing = true
        this.#timer?.armAfter(SELF_TEST_NS)
        break
      default:
        this.#refuse()
        return
    }
    this.#accept()
  }

  #status(): number {
    return (
      (this.#r.remote ? STATUS_REMOTE : 0) |
      (this.#r.enabled ? STATUS_ENABLED : 0) |
      (this.#r.scaled ? STATUS_SCALED : 0) |
      this.#motion.statusButtons
    )
  }

  #setDefaults(): void {
    this.#timer?.cancel()
    Object.assign(this.#r, DEFAULT_MODE)
    this.#motion.forget()
  }

  /** A guest that takes reports, or asks for them, has a pointer to move. */
  #showPointer(): void {
    const reporting = this.#r.enabled || this.#r.remote
    if (reporting === this.#reporting) return
    this.#reporting = reporting
    this.#backend.setPointer?.(reporting ? 'relative' : 'none')
  }

  /** Takes no events until `resume`. */
  quiesce(): void {
    this.#quiet = true
  }

  resume(): void {
    this.#quiet = false
    this.#offerRoom()
  }

  reset(): void {
    this.#setDefaults()
    this.#motion.reset()
    this.#queue = []
    this.#last = []
    this.#r = { ...POWER_ON }
    this.#testing = false
    this.#showPointer()
    this.#offerRoom()
  }

  save(): Ps2MouseState {
    return {
      ...this.#r,
      ...this.#motion.save(),
      last: this.#last,
      queue: [...this.#queue],
      testing: this.#testing,
      timerAt: savedDeadline(this.#timer),
    }
  }

  restore(saved: Ps2MouseState): void {
    this.#r = savedRegisters('mouse', saved, POWER_ON)
    this.#motion.restore(saved)
    this.#last = saved.last
    this.#queue = saved.queue.slice(0, QUEUE_BYTES)
    this.#testing = saved.testing
    restoreDeadline(this.#timer, saved.timerAt)
    this.#showPointer()
  }
}

function matches(rates: readonly number[], knock: readonly number[]): boolean {
  return knock.every((rate, i) => rates[i] === rate)
}
