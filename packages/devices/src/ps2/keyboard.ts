import { type DeviceContext, type InputBackend, type InputClient, type InputEvent, type Word64 } from '@retrap/device'
import { ACKNOWLEDGE, Ps2Device, RESEND, SELF_TEST_DONE, SELF_TEST_NS } from './device.ts'
import {
  KEY_BREAKS,
  KEY_REPEATS,
  KEY_REPEATS_AND_BREAKS,
  type KeyContext,
  keySequence,
  LONGEST_SEQUENCE,
  repeatSequence,
  SET_3,
  SET_3_DEFAULTS,
  USAGE,
} from './scan-codes.ts'

const SET_LEDS = 0xed
const ECHO = 0xee
const SELECT_SET = 0xf0
const IDENTIFY = 0xf2
const SET_RATE = 0xf3
const ENABLE = 0xf4
const DISABLE = 0xf5
const DEFAULTS = 0xf6
const ALL_REPEAT = 0xf7
const ALL_REPEAT_AND_BREAK = 0xfa
const KEY_REPEATS_ONLY = 0xfb
const KEY_MAKES_ONLY = 0xfd
const RESET = 0xff
const FIRST_COMMAND = SET_LEDS

const LED_SCROLL = 1
const LED_NUM = 2
const LED_CAPS = 4

const IDENTITY = [0xab, 0x83] as const
/** 500 ms until a key repeats, then 10.9 times a second. */
const DEFAULT_RATE = 0x2b
const DEFAULT_SET = 2
const BUFFER_BYTES = 16
const ANSWER_BYTES = 16
const NONE = -1

/** The behaviour of keys in set 3 after 0xF7 to 0xFA, and of one key after 0xFB to 0xFD. */
const KINDS = [KEY_REPEATS, KEY_BREAKS, 0, KEY_REPEATS_AND_BREAKS] as const

/** Options of a PS/2 keyboard. */
export interface Ps2KeyboardOptions {
  /** Source of keys, which also gets the lamps. */
  readonly backend: InputBackend
  /** Whether the back end waits when 16 bytes are not yet read (default), or codes are lost as on a real keyboard. */
  readonly whenFull: 'wait' | 'overrun'
}

function isKey(usage: number): boolean {
  return Number.isInteger(usage) && usage >= 0 && usage <= 0xff
}

/** An enhanced keyboard at the controller's first port. */
export class Ps2Keyboard extends Ps2Device implements InputClient, KeyContext {
  readonly #waits: boolean
  readonly down: Set<number> = new Set()
  readonly #kinds: Uint8Array = SET_3_DEFAULTS.slice()
  readonly #r = this.keeps(
    {
      scanning: true,
      /** Set of scan codes, 1 to 3. */
      set: DEFAULT_SET,
      /** Typematic rate and delay, as the guest gave them. */
      rate: DEFAULT_RATE,
      leds: 0,
      /** Command that waits for its data; −1: none. */
      pending: NONE,
      /** The last byte sent, for a guest that requests a repetition. */
      last: 0,
      /** Answers to commands, which the controller takes first, and codes of keys. */
      answers: [] as number[],
      codes: [] as number[],
      down: this.down,
      /** Key that repeats; −1: none. */
      repeating: NONE,
      systemRequest: {
        save: (): boolean => this.systemRequest,
        restore: (pressed: boolean): void => void (this.systemRequest = pressed),
        reset: (): void => void (this.systemRequest = false),
      },
      /** The behaviour of keys in set 3 where a guest has changed it, by scan code. */
      kinds: {
        save: (): number[][] => [...this.#kinds.entries()].filter(([code, kind]) => SET_3_DEFAULTS[code] !== kind),
        restore: (kinds: readonly (readonly [code: number, kind: number])[]): void => {
          this.#kinds.set(SET_3_DEFAULTS)
          for (const [code, kind] of kinds) this.#kinds[code] = kind
        },
        reset: (): void => this.#kinds.set(SET_3_DEFAULTS),
      },
      testing: false,
      /** The next repeat, or the end of the self-test. */
      timerAt: () => this.timer,
    },
    { device: 'keyboard', settled: (): void => this.#setLeds(this.#r.leds) },
  )
  systemRequest = false

  constructor({ backend, whenFull }: Ps2KeyboardOptions) {
    super(backend)
    this.#waits = whenFull === 'wait'
    backend.connect(this)
  }

  connect(context: DeviceContext, bytesReady: () => void): void {
    this.bytesReady = bytesReady
    this.timer = context.timer((at, deadline) => this.#expired(context.clock.now() - at, deadline))
  }

  get numLock(): boolean {
    return (this.#r.leds & LED_NUM) !== 0
  }

  input(events: readonly InputEvent[]): number {
    if (this.quiet) {
      this.refused = true
      return 0
    }
    const sends = this.#r.scanning && !this.#r.testing
    let taken = 0
    for (const event of events) {
      // A key cannot go down twice; a back end that reports a host's repeats changes nothing.
      if (event.kind === 'key' && isKey(event.usage) && this.down.has(event.usage) !== event.down) {
        if (sends && this.#waits && this.#r.codes.length > BUFFER_BYTES - LONGEST_SEQUENCE) {
          this.refused = true
          break
        }
        if (event.down) this.down.add(event.usage)
        // Modifiers count while they are down, and their own codes do not depend on them.
        if (sends) this.#send(event.usage, event.down)
        if (!event.down) this.down.delete(event.usage)
      }
      taken++
    }
    if (this.ready) this.bytesReady()
    return taken
  }

  #send(usage: number, down: boolean): void {
    const kind = this.#r.set === 3 ? this.#kinds[SET_3[usage]!]! : KEY_REPEATS_AND_BREAKS
    if (down || (kind & KEY_BREAKS) !== 0) this.#store(keySequence(this.#r.set, usage, down, this))
    if (!down) {
      if (this.#r.repeating === usage) this.#stopRepeating()
    } else if ((kind & KEY_REPEATS) !== 0 && usage !== USAGE.pause) {
      this.#r.repeating = usage
      this.timer?.armAfter(this.#delayNs())
    } else this.#stopRepeating()
  }

  /** Queues codes; the one that finds no room becomes the overrun code, and the others are lost. */
  #store(bytes: readonly number[]): void {
    for (const byte of bytes) {
      if (this.#r.codes.length < BUFFER_BYTES) this.#r.codes.push(byte)
      else if (this.#r.codes.length === BUFFER_BYTES) this.#r.codes.push(this.#r.set === 1 ? 0xff : 0)
    }
  }

  /** Bits 6:5: a quarter of a second each, and one more (IBM PS/2, "Set Typematic Rate/Delay"). */
  #delayNs(): number {
    return (1 + (this.#r.rate >> 5)) * 250e6
  }

  /** (8 + bits 2:0) × 2^(bits 4:3) × 4.17 ms. */
  #periodNs(): number {
    return (8 + (this.#r.rate & 7)) * 2 ** ((this.#r.rate >> 3) & 3) * 4_170_000
  }

  #stopRepeating(): void {
    this.#r.repeating = NONE
    if (!this.#r.testing) this.timer?.cancel()
  }

  #expired(lateNs: number, deadline: Readonly<Word64>): void {
    if (this.#r.testing) {
      this.#r.testing = false
      this.#answer(SELF_TEST_DONE)
      this.bytesReady()
      return
    }
    if (this.#r.repeating === NONE) return
    // While a guest does not read, the first press alone is kept.
    if (this.#r.codes.length === 0) this.#store(repeatSequence(this.#r.set, this.#r.repeating, this))
    // Repeats that a late host has missed are not made up for.
    const period = this.#periodNs()
    if (lateNs < period) this.timer?.armAfter(period, deadline)
    else this.timer?.armAfter(period)
    if (this.ready) this.bytesReady()
  }

  get ready(): boolean {
    return this.#r.answers.length > 0 || this.#r.codes.length > 0
  }

  take(): number {
    const byte = this.#r.answers.shift() ?? this.#r.codes.shift() ?? NONE
    if (byte >= 0 && byte !== RESEND) this.#r.last = byte
    this.offerRoom()
    return byte
  }

  protected get hasRoom(): boolean {
    return this.#r.codes.length <= BUFFER_BYTES - LONGEST_SEQUENCE
  }

  receive(byte: number): void {
    // The test ignores other bytes.
    if (this.#r.testing && byte !== RESET) return
    const pending = this.#r.pending
    this.#r.pending = NONE
    if (pending === NONE || !this.#data(pending, byte)) this.#command(byte)
    this.offerRoom()
    if (this.ready) this.bytesReady()
  }

  /** Queues an answer; bytes that find no room are lost. */
  #answer(...bytes: readonly number[]): void {
    this.#r.answers.push(...bytes.slice(0, ANSWER_BYTES - this.#r.answers.length))
  }

  /** @returns false where the byte is a command instead of the data of the last one */
  #data(command: number, byte: number): boolean {
    if (byte >= FIRST_COMMAND) return false
    switch (command) {
      case SET_LEDS:
        this.#setLeds(byte & 7)
        this.#answer(ACKNOWLEDGE)
        return true
      case SET_RATE:
        this.#r.rate = byte & 0x7f
        this.#answer(ACKNOWLEDGE)
        return true
      case SELECT_SET:
        this.#selectSet(byte)
        return true
      default:
        // Codes of keys follow until a command comes.
        this.#kinds[byte] = KINDS[command - KEY_REPEATS_ONLY]!
        this.#r.pending = command
        this.#answer(ACKNOWLEDGE)
        return true
    }
  }

  #selectSet(set: number): void {
    if (set > 3) {
      this.#r.pending = SELECT_SET
      this.#answer(RESEND)
      return
    }
    this.#answer(ACKNOWLEDGE)
    if (set === 0) this.#answer(this.#r.set)
    else {
      this.#r.set = set
      this.#clearCodes()
    }
  }

  #command(command: number): void {
    switch (command) {
      case ECHO:
        this.#answer(ECHO)
        return
      case RESEND:
        this.#answer(this.#r.last)
        return
      case IDENTIFY:
        this.#answer(ACKNOWLEDGE, ...IDENTITY)
        return
      case SET_LEDS:
      case SELECT_SET:
      case SET_RATE:
      case KEY_REPEATS_ONLY:
      case KEY_REPEATS_ONLY + 1:
      case KEY_MAKES_ONLY:
        this.#r.pending = command
        break
      case ENABLE:
        this.#clearCodes()
        this.#r.scanning = true
        break
      case DISABLE:
        this.#setDefaults()
        this.#r.scanning = false
        break
      case DEFAULTS:
        this.#setDefaults()
        break
      case RESET:
        this.#r.answers = []
        this.#setDefaults()
        this.#r.scanning = true
        this.#setLeds(0)
        this.#r.testing = true
        this.timer?.armAfter(SELF_TEST_NS)
        break
      default:
        if (command < ALL_REPEAT || command > ALL_REPEAT_AND_BREAK) {
          this.#answer(RESEND)
          return
        }
        this.#kinds.fill(KINDS[command - ALL_REPEAT]!)
        break
    }
    this.#answer(ACKNOWLEDGE)
  }

  #clearCodes(): void {
    this.#r.codes = []
    this.#stopRepeating()
  }

  #setDefaults(): void {
    this.#clearCodes()
    this.#r.rate = DEFAULT_RATE
    this.#r.set = DEFAULT_SET
    this.#kinds.set(SET_3_DEFAULTS)
  }

  #setLeds(leds: number): void {
    this.#r.leds = leds
    this.backend.setLeds?.({
      numLock: (leds & LED_NUM) !== 0,
      capsLock: (leds & LED_CAPS) !== 0,
      scrollLock: (leds & LED_SCROLL) !== 0,
    })
  }
}
