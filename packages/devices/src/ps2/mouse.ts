import { type DeviceContext, type InputBackend, type InputClient, type InputEvent, Stateful } from '@retrap/device'
import { ACKNOWLEDGE, Ps2Device, RESEND, SELF_TEST_DONE, SELF_TEST_NS } from './device.ts'

/** Button numbers of the HID Button page, in the order of the bits of a report: left, right, middle, fourth, fifth. */
const BUTTONS = 5
const ALWAYS_ONE = 0x08
const NEGATIVE_X = 0x10
const NEGATIVE_Y = 0x20
/** The counters of a report have nine bits. */
const LEAST = -256
const MOST = 255
/** Movement that waits for a report is bounded. */
const FARTHEST = 0x7fff
/** Detents that one report has room for, with five buttons and without. */
const MOST_DETENTS = 7

/** The mouse's motion since the last report, and its buttons. */
class MouseMotion extends Stateful {
  /** Counts to the right and down, detents away from the user, buttons from bit 0, and as last reported. */
  readonly #r = this.keeps({ dx: 0, dy: 0, wheel: 0, buttons: 0, reported: 0 })

  /** Counts an event. An absolute place is not for a mouse. */
  add(event: InputEvent): void {
    if (event.kind === 'relative') {
      this.#r.dx = bounded(this.#r.dx + event.dx)
      this.#r.dy = bounded(this.#r.dy + event.dy)
    } else if (event.kind === 'wheel') this.#r.wheel = bounded(this.#r.wheel + event.vertical)
    else if (event.kind === 'button' && event.button >= 1 && event.button <= BUTTONS) {
      const bit = 1 << (event.button - 1)
      this.#r.buttons = event.down ? this.#r.buttons | bit : this.#r.buttons & ~bit
    }
  }

  get buttonsChanged(): boolean {
    return this.#r.buttons !== this.#r.reported
  }

  get changed(): boolean {
    return this.buttonsChanged || this.#r.dx !== 0 || this.#r.dy !== 0 || this.#r.wheel !== 0
  }

  /** The buttons in the status byte's order: right, middle and left from bit 0. */
  get statusButtons(): number {
    const buttons = this.#r.buttons
    return ((buttons >> 1) & 3) | ((buttons & 1) << 2)
  }

  /**
   * The next report. Movement beyond its nine bits is left for the one after it, so that no overflow is reported.
   *
   * @param id - 0: three bytes; 3: a wheel in the fourth; 4: and two more buttons
   */
  packet(id: number, scaled: boolean): number[] {
    const rawX = clamp(this.#r.dx, LEAST, MOST)
    const rawY = clamp(-this.#r.dy, LEAST, MOST)
    this.#r.dx -= rawX
    this.#r.dy += rawY
    const x = scaled ? clamp(scale(rawX), LEAST, MOST) : rawX
    const y = scaled ? clamp(scale(rawY), LEAST, MOST) : rawY
    this.#r.reported = this.#r.buttons
    const signs = (x < 0 ? NEGATIVE_X : 0) | (y < 0 ? NEGATIVE_Y : 0)
    const bytes = [ALWAYS_ONE | signs | (this.#r.buttons & 7), x & 0xff, y & 0xff]
    if (id === 0) {
      this.#r.wheel = 0
      return bytes
    }
    // Towards the user is positive.
    const detents = clamp(-this.#r.wheel, -MOST_DETENTS, MOST_DETENTS)
    this.#r.wheel += detents
    bytes.push(id === 3 ? detents & 0xff : (detents & 0x0f) | ((this.#r.buttons & 0x18) << 1))
    return bytes
  }

  /** Drops movement that was not reported; buttons stay as they are. */
  forget(): void {
    Object.assign(this.#r, { dx: 0, dy: 0, wheel: 0, reported: this.#r.buttons })
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}

function bounded(value: number): number {
  // A back end's NaN must not stay for ever.
  return clamp(Math.trunc(value) || 0, -FARTHEST, FARTHEST)
}

/** Counts of a report with scaling 2:1 (IBM PS/2 mouse, "Set Scaling 2:1"). */
function scale(counts: number): number {
  const magnitude = Math.abs(counts)
  const scaled = [0, 1, 1, 3, 6, 9][magnitude] ?? 2 * magnitude
  return counts < 0 ? -scaled : scaled
}

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

/** The mode that command 0xF6 sets; a resolution of 2 is four counts a millimetre. */
const DEFAULT_MODE = { enabled: false, remote: false, wrap: false, scaled: false, resolution: 2, rate: 100 }

/** A mouse at the controller's second port: three buttons, and by a knock a wheel and two more buttons. */
export class Ps2Mouse extends Ps2Device implements InputClient {
  readonly #motion = new MouseMotion()
  readonly #r = this.keeps(
    {
      /** Modes, resolution (1, 2, 4 or 8 counts a millimetre) and reports a second. */
      ...DEFAULT_MODE,
      /** The last three rates, newest last. */
      knock: [] as readonly number[],
      /** 0: three buttons; 3: a wheel; 4: a wheel and five buttons. */
      id: 0,
      /** Command that waits for its data byte; −1: none. */
      pending: NONE,
      /** The last byte from the controller was no command. */
      failed: false,
      motion: this.#motion,
      /** The last packet or answer, for a guest that asks for it again. */
      last: [] as readonly number[],
      queue: [] as number[],
      testing: false,
      /** The next sample, or the end of the self-test. */
      timerAt: () => this.timer,
    },
    { flat: ['motion'], settled: (): void => this.#showPointer() },
  )
  #reporting = false

  constructor(backend: InputBackend) {
    super(backend)
    backend.connect(this)
  }

  connect(context: DeviceContext, bytesReady: () => void): void {
    this.bytesReady = bytesReady
    this.timer = context.timer(() => this.#expired())
  }

  input(events: readonly InputEvent[]): number {
    let taken = 0
    for (const event of events) {
      // A click between two samples gives two reports: movement after a button's change waits for the next report.
      if (this.quiet || (this.#streams() && this.#motion.buttonsChanged)) {
        this.refused = true
        break
      }
      this.#motion.add(event)
      this.#sample()
      taken++
    }
    return taken
  }

  #streams(): boolean {
    return this.#r.enabled && !this.#r.remote && !this.#r.wrap && !this.#r.testing
  }

  /** Reports in stream mode the motion since the last report, unless that was just now or is not read yet. */
  #sample(): void {
    if (!this.#streams() || !this.#motion.changed || this.timer?.deadlineNs !== Infinity) return
    if (this.#r.queue.length > 0) return
    this.#send(this.#motion.packet(this.#r.id, this.#r.scaled))
    this.timer.armAfter(1e9 / this.#r.rate)
    this.bytesReady()
  }

  #expired(): void {
    if (this.#r.testing) {
      this.#r.testing = false
      this.#send([SELF_TEST_DONE, 0])
      this.bytesReady()
      return
    }
    this.#sample()
    this.offerRoom()
  }

  protected get hasRoom(): boolean {
    return !this.#streams() || !this.#motion.buttonsChanged
  }

  #send(bytes: readonly number[]): void {
    this.#r.last = bytes
    this.#r.queue.push(...bytes.slice(0, QUEUE_BYTES - this.#r.queue.length))
  }

  get ready(): boolean {
    return this.#r.queue.length > 0
  }

  take(): number {
    const byte = this.#r.queue.shift() ?? NONE
    if (this.#r.queue.length === 0) {
      this.#sample()
      this.offerRoom()
    }
    return byte
  }

  receive(byte: number): void {
    // The test ignores other bytes.
    if (this.#r.testing && byte !== RESET) return
    if (byte === RESEND) {
      this.#r.queue = []
      this.#send(this.#r.last)
    } else {
      // A command drops the rest of the present report.
      this.#r.queue = []
      const pending = this.#r.pending
      this.#r.pending = NONE
      if (this.#r.wrap && byte !== RESET && byte !== LEAVE_WRAP) this.#send([byte])
      else if (pending !== NONE) this.#data(pending, byte)
      else this.#command(byte)
    }
    this.#showPointer()
    this.offerRoom()
    if (this.ready) this.bytesReady()
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
        this.#r.testing = true
        this.timer?.armAfter(SELF_TEST_NS)
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
    this.timer?.cancel()
    Object.assign(this.#r, DEFAULT_MODE)
    this.#motion.forget()
  }

  /** A guest that takes reports, or asks for them, has a pointer to move. */
  #showPointer(): void {
    const reporting = this.#r.enabled || this.#r.remote
    if (reporting === this.#reporting) return
    this.#reporting = reporting
    this.backend.setPointer?.(reporting ? 'relative' : 'none')
  }
}

function matches(rates: readonly number[], knock: readonly number[]): boolean {
  return knock.every((rate, i) => rates[i] === rate)
}
