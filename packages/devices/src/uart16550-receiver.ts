import { type DeviceContext, Stateful, type Timer } from '@retrap/device'
import { ByteQueue, WaitingCharacters } from './byte-queue.ts'

// Line Status Register.
const LSR_DR = 0x01
const LSR_OE = 0x02
const LSR_PE = 0x04
const LSR_FE = 0x08
const LSR_BI = 0x10
const LSR_FIFO_ERROR = 0x80
const LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI

/** Characters that a FIFO holds. */
export const FIFO_BYTES = 16
const TRIGGERS = [1, 4, 8, 14] as const
/** Error bits of a received character are kept above its byte. */
const ERRORS_SHIFT = 8
/** A break: a zero character with BI set. */
export const BREAK: number = (LSR_BI | LSR_FE) << ERRORS_SHIFT

/** The part of its UART that a {@link Receiver} needs. */
export interface ReceiverPorts {
  /** Nanoseconds after which characters below the trigger level time out. */
  timeoutNs(): number
  /** The receiver listens to the transmitter, not to the line. */
  loopback(): boolean
  /** The stream may offer more characters: it was refused some before. */
  ready(): void
  /** The character timeout has passed. */
  timedOut(): void
}

/** Receiver of a 16550A: its FIFO, the characters' error flags, and the bytes waiting on the line. */
export class Receiver extends Stateful {
  readonly #ports: ReceiverPorts
  /** The receive FIFO; one deep while FIFOs are off. */
  readonly #received = new ByteQueue()
  /** Characters that the host has sent and the FIFO has no room for yet. */
  readonly waiting: WaitingCharacters = new WaitingCharacters()
  #timer: Timer | null = null
  readonly #r = this.keeps(
    {
      fifos: false,
      trigger: 0,
      /** Error bits of the Line Status Register and the latched overrun; the rest is worked out. */
      lsr: 0,
      timeoutPending: false,
      timeoutAt: () => this.#timer,
      received: this.#received,
      waiting: this.waiting,
    },
    { lasting: ['waiting'] },
  )

  constructor(ports: ReceiverPorts) {
    super()
    this.#ports = ports
  }

  attach(context: DeviceContext): void {
    this.#timer = context.timer(() => {
      this.#r.timeoutPending = this.#received.length > 0 && this.#r.fifos
      this.#ports.timedOut()
    })
  }

  get fifos(): boolean {
    return this.#r.fifos
  }

  /** Whether the FIFO has reached its trigger level. */
  triggered(): boolean {
    return this.#received.length >= (this.#r.fifos ? TRIGGERS[this.#r.trigger]! : 1)
  }

  /** Whether characters below the trigger level have waited too long. */
  timeoutPending(): boolean {
    return this.#r.timeoutPending
  }

  /** Whether an error has not been read. */
  failed(): boolean {
    return (this.#r.lsr & LSR_ERRORS) !== 0
  }

  /** Moves characters from the line to the FIFO while there is room. */
  refill(): void {
    if (this.#ports.loopback()) return
    const room = this.#capacity()
    while (this.waiting.length > 0 && this.#received.length < room) this.#accept(this.waiting.shift())
    if (this.waiting.hasNewRoom()) this.#ports.ready()
  }

  /** Takes a character of the transmitter. */
  loopBack(character: number): void {
    if (this.#received.length < this.#capacity()) {
      this.#accept(character)
      return
    }
    // A full FIFO drops the new character; the single register is overwritten.
    this.#r.lsr |= LSR_OE
    if (!this.#r.fifos) {
      this.#received.reset()
      this.#accept(character)
    }
  }

  /** Reads the oldest character; 0 if there is none. */
  read(): number {
    const character = this.#received.shift()
    if (character < 0) return 0
    this.#r.timeoutPending = false
    // Error flags appear when their character is next to be read.
    const next = this.#received.at(0)
    if (next >= 0) this.#r.lsr |= next >> ERRORS_SHIFT
    this.#restartTimeout()
    this.refill()
    return character & 0xff
  }

  /** Returns the receiver's bits of the Line Status Register. */
  status(): number {
    let status = this.#r.lsr
    if (this.#received.length > 0) status |= LSR_DR
    if (this.#r.fifos) {
      for (let i = 0; i < this.#received.length; i++) {
        if (this.#received.at(i) >> ERRORS_SHIFT !== 0) {
          status |= LSR_FIFO_ERROR
          break
        }
      }
    }
    return status
  }

  /** A read of the Line Status Register clears the errors that it shows. */
  clearErrors(): void {
    this.#r.lsr &= ~LSR_ERRORS
  }

  /** Turns the FIFOs on or off, and sets the trigger level. */
  control(fifos: boolean, trigger: number): void {
    this.#r.fifos = fifos
    this.#r.trigger = trigger
  }

  /** Empties the FIFO. */
  clear(): void {
    this.#received.reset()
    this.#r.lsr &= ~(LSR_PE | LSR_FE | LSR_BI)
    this.#r.timeoutPending = false
    this.#timer?.cancel()
  }

  #capacity(): number {
    return this.#r.fifos ? FIFO_BYTES : 1
  }

  #accept(character: number): void {
    this.#received.push(character)
    if (this.#received.length === 1) this.#r.lsr |= character >> ERRORS_SHIFT
    this.#restartTimeout()
  }

  /** "No characters for 4 character times, and none read": the count begins again with each arrival and each read. */
  #restartTimeout(): void {
    const timer = this.#timer
    if (timer === null) return
    if (!this.#r.fifos || this.#received.length === 0) timer.cancel()
    else timer.armAfter(this.#ports.timeoutNs())
  }
}
