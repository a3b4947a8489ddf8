import { type DeviceContext, type InputBackend, Stateful, type Timer } from '@retrap/device'

/** A keyboard or mouse at the end of the controller's cable. */
export abstract class Ps2Device extends Stateful {
  protected readonly backend: InputBackend
  /** Whether the back end has offered events for which there was no room. */
  protected refused = false
  /** Whether the machine stands still: no events are taken. */
  protected quiet = false
  protected timer: Timer | null = null
  protected bytesReady: () => void = () => {}

  constructor(backend: InputBackend) {
    super()
    this.backend = backend
  }

  /** Connects the device: to timers of the machine, and to a listener for bytes that are ready. */
  abstract connect(context: DeviceContext, bytesReady: () => void): void
  /** Takes a byte that the controller sends; −1: none is ready. */
  abstract take(): number
  /** Whether `take` has a byte. */
  abstract get ready(): boolean
  /** Receives a byte from the controller. */
  abstract receive(byte: number): void
  /** Whether an event finds room. */
  protected abstract get hasRoom(): boolean

  /** Notifies the back end of room for events that were refused. */
  protected offerRoom(): void {
    if (!this.refused || this.quiet || !this.hasRoom) return
    this.refused = false
    this.backend.ready()
  }

  /** Takes no events until `resume`. */
  quiesce(): void {
    this.quiet = true
  }

  resume(): void {
    this.quiet = false
    this.offerRoom()
  }

  override reset(): void {
    super.reset()
    this.offerRoom()
  }
}

/**
 * The self-test of a keyboard or mouse. Real ones take 300 to 500 ms, for which firmware polls: on deterministic time that
 * would be hundreds of millions of instructions.
 */
export const SELF_TEST_NS = 5e6

export const ACKNOWLEDGE = 0xfa
export const RESEND = 0xfe
export const SELF_TEST_DONE = 0xaa
