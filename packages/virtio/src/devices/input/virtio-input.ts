import { DeviceError, type InputBackend, type InputClient, type InputEvent, Stateful } from '@retrap/device'
import type { VirtioChain } from '../../ring/chain.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import {
  ABS,
  EV,
  FIRST_BUTTON,
  InputConfig,
  type InputKind,
  LED,
  MOST_BUTTONS,
  MOST_PLACE,
  REL,
  KEY_CODES,
} from './input-config.ts'

/** Options of {@link VirtioInput}. */
export interface VirtioInputOptions {
  /** The kind of device. A tablet reports absolute positions, so that a window need not capture the mouse. */
  readonly kind: 'keyboard' | 'mouse' | 'tablet'
  /** The source of keys or motion; it also shows the keyboard's lamps. */
  readonly input: InputBackend
  /** Text that the guest can read, at most 128 bytes of UTF-8. Default none. */
  readonly serialNumber?: string | undefined
  /** Names the device; default `virtio-` and the kind. */
  readonly name?: string
}

/** One event for the driver. */
type Event = readonly [type: number, code: number, value: number]

const INPUT = 18
const EVENTS = 0
const QUEUE_ENTRIES = 64
const EVENT_BYTES = 8
/** Events that may wait for the driver's buffers. The back end's last event may add a few more. */
const MOST_WAITING = 64
/** Most events read from one chain. */
const MOST_STATUS = 64
const MOST_SERIAL = 128
const SYN_REPORT: Event = [EV.SYN, 0, 0]

/**
 * A keyboard, a mouse or a tablet.
 *
 * Source: VIRTIO 1.2, §5.8, "Input Device".
 */
export class VirtioInput extends Stateful implements VirtioDevice, InputClient {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = INPUT
  /** The event queue and the status queue. */
  readonly queues: readonly VirtioQueueDefinition[] = [
    { size: QUEUE_ENTRIES, notify: () => this.#refilled() },
    { size: QUEUE_ENTRIES, handle: (chain) => this.#status(chain) },
  ]
  /** The driver's query, with the response. */
  readonly config: Uint8Array
  readonly #kind: InputKind
  readonly #input: InputBackend
  readonly #config: InputConfig
  #host: VirtioHost | null = null
  readonly #r = this.keeps({
    waiting: [] as Event[],
    /** Codes of keys and buttons that are down. */
    down: new Set<number>(),
    leds: 0,
  })
  #quiet = false
  #refused = false

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ kind, input, serialNumber = '', name = `virtio-${kind}` }: VirtioInputOptions) {
    super()
    if (new TextEncoder().encode(serialNumber).length > MOST_SERIAL)
      throw new DeviceError('ERR_OPTION', `${name}: a serial number: expected at most ${MOST_SERIAL} bytes`)
    this.name = name
    this.#kind = kind
    this.#input = input
    this.#config = new InputConfig(kind, serialNumber)
    this.config = this.#config.bytes
  }

  /** Connects the back end. */
  attach(host: VirtioHost): void {
    this.#host = host
    this.#input.connect(this)
  }

  /** Selects the data for the driver's next query. */
  configWritten(offset: number, bytes: Uint8Array): void {
    this.#config.write(offset, bytes)
  }

  /** Asks the back end for events: the driver is ready. */
  start(): void {
    this.#tellActive(true)
    this.#offerRoom()
  }

  #tellActive(active: boolean): void {
    this.#input.setActive?.(active)
    if (this.#kind === 'keyboard') return
    this.#input.setPointer?.(!active ? 'none' : this.#kind === 'tablet' ? 'absolute' : 'relative')
  }

  // ---- Events ----

  /** Takes events while the driver uses the device. */
  input(events: readonly InputEvent[]): number {
    let taken = 0
    if (this.#host?.running === true && !this.#quiet)
      for (const event of events) {
        if (this.#r.waiting.length >= MOST_WAITING) break
        taken++
        this.#note(event)
      }
    this.#refused ||= taken < events.length
    this.#deliver()
    return taken
  }

  #note(event: InputEvent): void {
    const found = (this.#kind === 'keyboard' ? this.#ofKey(event) : this.#ofPointer(event)).filter(
      // A motion of 0 is no event; a position of 0 is one.
      ([type, , value]) => type !== EV.REL || value !== 0,
    )
    if (found.length > 0) this.#r.waiting.push(...found, SYN_REPORT)
  }

  #ofKey(event: InputEvent): readonly Event[] {
    return event.kind === 'key' ? this.#press(KEY_CODES[event.usage] ?? 0, event.down) : []
  }

  #ofPointer(event: InputEvent): readonly Event[] {
    const whole = (value: number): number => Math.round(value) | 0
    const place = (value: number): number => Math.max(0, Math.min(MOST_PLACE, Math.round(value) || 0))
    switch (event.kind) {
      case 'button': {
        const has = Number.isInteger(event.button) && event.button >= 1 && event.button <= MOST_BUTTONS
        return has ? this.#press(FIRST_BUTTON + event.button - 1, event.down) : []
      }
      case 'wheel':
        return [
          [EV.REL, REL.WHEEL, whole(event.vertical)],
          [EV.REL, REL.HORIZONTAL_WHEEL, whole(event.horizontal)],
        ]
      case 'relative':
        if (this.#kind !== 'mouse') return []
        return [
          [EV.REL, REL.X, whole(event.dx)],
          [EV.REL, REL.Y, whole(event.dy)],
        ]
      case 'absolute':
        if (this.#kind !== 'tablet') return []
        return [
          [EV.ABS, ABS.X, place(event.x)],
          [EV.ABS, ABS.Y, place(event.y)],
        ]
      default:
        return []
    }
  }

  /** A key cannot go down twice; a back end that reports a host's repeats changes nothing. */
  #press(code: number, down: boolean): readonly Event[] {
    if (code === 0 || this.#r.down.has(code) === down) return []
    if (down) this.#r.down.add(code)
    else this.#r.down.delete(code)
    return [[EV.KEY, code, down ? 1 : 0]]
  }

  #refilled(): void {
    this.#deliver()
    this.#offerRoom()
  }

  #deliver(): void {
    const queue = this.#host?.queues[EVENTS]
    if (queue === undefined || this.#quiet) return
    const chains: VirtioChain[] = []
    const written: number[] = []
    const bytes = new Uint8Array(EVENT_BYTES)
    const view = new DataView(bytes.buffer)
    while (chains.length < this.#r.waiting.length) {
      const chain = queue.take()
      if (chain === null) break
      const [type, code, value] = this.#r.waiting[chains.length]!
      view.setUint16(0, type, true)
      view.setUint16(2, code, true)
      view.setInt32(4, value, true)
      chains.push(chain)
      written.push(chain.writable.write(0, bytes) ? EVENT_BYTES : 0)
    }
    this.#r.waiting.splice(0, chains.length)
    if (chains.length > 0) queue.completeTogether(chains, written)
  }

  #offerRoom(): void {
    if (!this.#refused || this.#quiet || this.#r.waiting.length >= MOST_WAITING) return
    this.#refused = false
    this.#input.ready()
  }

  // ---- Lamps ----

  #status({ readable }: VirtioChain): number {
    const bytes = readable.slice(0, Math.min(readable.length, EVENT_BYTES * MOST_STATUS))
    const before = this.#r.leds
    if (bytes !== null && this.#kind === 'keyboard') {
      const view = new DataView(bytes.buffer)
      for (let at = 0; at + EVENT_BYTES <= bytes.length; at += EVENT_BYTES) {
        const [type, code] = [view.getUint16(at, true), view.getUint16(at + 2, true)]
        if (type !== EV.LED || code > LED.SCROLL_LOCK) continue
        const isLit = view.getUint32(at + 4, true) !== 0
        this.#r.leds = isLit ? this.#r.leds | (1 << code) : this.#r.leds & ~(1 << code)
      }
    }
    if (this.#r.leds !== before) this.#showLeds()
    return 0
  }

  #showLeds(): void {
    const isLit = (code: number): boolean => (this.#r.leds & (1 << code)) !== 0
    this.#input.setLeds?.({
      numLock: isLit(LED.NUM_LOCK),
      capsLock: isLit(LED.CAPS_LOCK),
      scrollLock: isLit(LED.SCROLL_LOCK),
    })
  }

  // ---- Machine ----

  /** Forgets keys that are down, and events that wait. */
  override reset(): void {
    const { leds } = this.#r
    super.reset()
    this.config.fill(0)
    if (leds !== 0) this.#showLeds()
    this.#tellActive(false)
  }

  /** Takes no events until `resume`. */
  quiesce(): void {
    this.#quiet = true
  }

  /** Whether no event waits although buffers are available. */
  isAtRest(): boolean {
    return this.#r.waiting.length === 0 || this.#host?.queues[0]?.isEmpty !== false
  }

  /** Delivers the waiting events. */
  resume(): void {
    this.#quiet = false
    this.#refilled()
  }

  /** Restores the state that `save` returned. */
  override restore(state: unknown): void {
    super.restore(state)
    if (this.#kind === 'keyboard') this.#showLeds()
    this.#tellActive(this.#host?.running === true)
  }
}
