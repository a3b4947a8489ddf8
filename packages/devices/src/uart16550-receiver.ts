import type { DeviceContext, Timer, Word64 } from '@retrap/device'
import { ByteQueue, WaitingCharacters } from './byte-queue.ts'
import { restoreDeadline, savedDeadline } from './saved-deadline.ts'
import { LSR_BI, LSR_DR, LSR_ERRORS, LSR_FE, LSR_FIFO_ERROR, LSR_OE, LSR_PE } from './uart16550-modem.ts'
import type { ByteBatchState } from './byte-batch.ts'

/** Saved form of a `Uart16550`. */
export interface Uart16550State {
  /** Layout of the state. */
  readonly version: 2
  /** Interrupt Enable Register. */
  readonly ier: number
  /** Whether the FIFOs are on. */
  readonly fifos: boolean
  /** Receive trigger level in characters. */
  readonly trigger: number
  /** Line Control Register. */
  readonly lcr: number
  /** Modem Control Register. */
  readonly mcr: number
  /** Error bits of the Line Status Register and the latched overrun; the rest is worked out. */
  readonly lsr: number
  /** Delta bits of the Modem Status Register. */
  readonly msr: number
  /** Scratch Register. */
  readonly scr: number
  /** Divisor latch. */
  readonly divisor: number
  /** The transmitter-empty interrupt is pending. */
  readonly thrEmptyPending: boolean
  /** The character timeout interrupt is pending. */
  readonly timeoutPending: boolean
  /** Time of the next character timeout: nanoseconds of the machine's clock, 64 bits; null: none is due. */
  readonly timeoutAt: Word64 | null
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  readonly modem: number
  /** The host holds the transmitter. */
  readonly paused: boolean
  /** Characters with their error bits above the byte. */
  readonly received: readonly number[]
  /** Characters from the host that the FIFO has had no room for. */
  readonly waiting: readonly number[]
  /** Characters in the transmit FIFO. */
  readonly sending: readonly number[]
  /** The bytes that were sent just now, and are handed over together; absent: none were. */
  readonly batch?: ByteBatchState
}

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

/** Receiver of a 16550A: its FIFO, the errors of its characters, and what waits on the line. */
export class Receiver {
  /** FIFOs are on. */
  fifos = false
  readonly #ports: ReceiverPorts
  /** The receive FIFO; one deep while FIFOs are off. */
  readonly #received = new ByteQueue()
  /** Characters that the host has sent and the FIFO has no room for yet. */
  readonly waiting: WaitingCharacters = new WaitingCharacters()
  /** Error bits and the latched overrun. */
  #errors = 0
  #trigger = 0
  #timeoutPending = false
  #timer: Timer | null = null

  constructor(ports: ReceiverPorts) {
    this.#ports = ports
  }

  attach(context: DeviceContext): void {
    this.#timer = context.timer(() => {
      this.#timeoutPending = this.#received.length > 0 && this.fifos
      this.#ports.timedOut()
    })
  }

  /** Whether the FIFO has reached its trigger level. */
  triggered(): boolean {
    return this.#received.length >= (this.fifos ? TRIGGERS[this.#trigger]! : 1)
  }

  /** Whether characters below the trigger level have waited too long. */
  timeoutPending(): boolean {
    return this.#timeoutPending
  }

  /** Whether an error has not been read. */
  failed(): boolean {
    return (this.#errors & LSR_ERRORS) !== 0
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
    // FIFOs keep what they hold; the single register takes the newer character.
    this.#errors |= LSR_OE
    if (!this.fifos) {
      this.#received.clear()
      this.#accept(character)
    }
  }

  /** Reads the oldest character; 0 if there is none. */
  read(): number {
    const character = this.#received.shift()
    if (character < 0) return 0
    this.#timeoutPending = false
    // Errors show when their character is the next to be read.
    const next = this.#received.at(0)
    if (next >= 0) this.#errors |= next >> ERRORS_SHIFT
    this.#restartTimeout()
    this.refill()
    return character & 0xff
  }

  /** Returns the receiver's bits of the Line Status Register. */
  status(): number {
    let status = this.#errors
    if (this.#received.length > 0) status |= LSR_DR
    if (this.fifos) {
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
    this.#errors &= ~LSR_ERRORS
  }

  /** Turns the FIFOs on or off, and sets the trigger level. */
  control(fifos: boolean, trigger: number): void {
    this.fifos = fifos
    this.#trigger = trigger
  }

  /** Empties the FIFO. */
  clear(): void {
    this.#received.clear()
    this.#errors &= ~(LSR_PE | LSR_FE | LSR_BI)
    this.#timeoutPending = false
    this.#timer?.cancel()
  }

  /** Power-on: characters on the line stay. */
  reset(): void {
    this.control(false, 0)
    this.clear()
    this.#errors = 0
  }

  #capacity(): number {
    return this.fifos ? FIFO_BYTES : 1
  }

  #accept(character: number): void {
    this.#received.push(character)
    if (this.#received.length === 1) this.#errors |= character >> ERRORS_SHIFT
    this.#restartTimeout()
  }

  /** "No characters for 4 character times, and none read": the count begins again with each arrival and each read. */
  #restartTimeout(): void {
    const timer = this.#timer
    if (timer === null) return
    if (!this.fifos || this.#received.length === 0) timer.cancel()
    else timer.armAfter(this.#ports.timeoutNs())
  }

  save(): Pick<Uart16550State, 'fifos' | 'trigger' | 'lsr' | 'timeoutPending' | 'timeoutAt' | 'received' | 'waiting'> {
    return {
      fifos: this.fifos,
      trigger: this.#trigger,
      lsr: this.#errors,
      timeoutPending: this.#timeoutPending,
      timeoutAt: savedDeadline(this.#timer),
      received: this.#received.toArray(),
      waiting: this.waiting.toArray(),
    }
  }

  restore(saved: Uart16550State): void {
    this.control(saved.fifos, saved.trigger)
    this.#errors = saved.lsr
    this.#timeoutPending = saved.timeoutPending
    this.#received.fill(saved.received)
    this.waiting.fill(saved.waiting)
    restoreDeadline(this.#timer, saved.timeoutAt)
  }
}
