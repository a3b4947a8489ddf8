import { type DeviceContext, Stateful, type Timer } from '@retrap/device'
import { ByteQueue, WaitingCharacters } from '../byte-queue.ts'
import { DR_BE, DR_ERRORS_SHIFT, DR_OE, INT_BE, INT_OE, INT_RT, INT_RX } from './pl011-registers.ts'

/** Characters that a FIFO holds. */
export const FIFO_CHARACTERS = 16
/** Eighths of the FIFO, by IFLS; higher values are reserved and count as the last. */
const EIGHTHS = [1, 2, 4, 6, 7] as const
const RSR_OE = DR_OE >> DR_ERRORS_SHIFT

/** Characters at which a FIFO interrupts. @param select - three bits of IFLS */
export const triggerLevel = (select: number): number =>
  (FIFO_CHARACTERS * EIGHTHS[Math.min(select, EIGHTHS.length - 1)]!) / 8

/** The part of its UART that a {@link Pl011Receiver} needs. */
export interface Pl011ReceiverPorts {
  /** Whether the receiver listens to the line. */
  listens(): boolean
  fifos(): boolean
  /** Characters at which the receiver interrupts. */
  trigger(): number
  /** Returns the duration of 32 bits on the line. */
  timeoutNs(): number
  /** Raises raw interrupts. */
  raise(interrupts: number): void
  /** Takes raw interrupts back. */
  lower(interrupts: number): void
  /** The stream may offer more characters: it was refused some before. */
  ready(): void
}

/** Receiver of a PL011: its FIFO, the characters' error flags, and the bytes waiting on the line. */
export class Pl011Receiver extends Stateful {
  readonly #ports: Pl011ReceiverPorts
  /** The receive FIFO; one deep while FIFOs are off. */
  readonly #received = new ByteQueue()
  /** Characters that the host has sent and the FIFO has no room for yet. */
  readonly waiting: WaitingCharacters = new WaitingCharacters()
  #timer: Timer | null = null
  readonly registers: { rsr: number; overrun: boolean } = this.keeps(
    {
      /** Receive status register: errors of the character that was read last, and the overrun. */
      rsr: 0,
      /** Whether a character was lost; the next character carries the overrun flag. */
      overrun: false,
      received: this.#received,
      waiting: this.waiting,
      timeoutAt: () => this.#timer,
    },
    { lasting: ['waiting'] },
  )

  constructor(ports: Pl011ReceiverPorts) {
    super()
    this.#ports = ports
  }

  attach(context: DeviceContext): void {
    this.#timer = context.timer(() => {
      if (!this.empty) this.#ports.raise(INT_RT)
    })
  }

  /** Whether no character can be read. */
  get empty(): boolean {
    return this.#received.length === 0
  }

  /** Whether another character would overrun. */
  get full(): boolean {
    return this.#received.length >= (this.#ports.fifos() ? FIFO_CHARACTERS : 1)
  }

  /** Moves characters from the line to the FIFO while there is room. */
  refill(): void {
    while (this.#ports.listens() && this.waiting.length > 0 && !this.full) this.#accept(this.waiting.shift())
    if (this.waiting.hasNewRoom()) this.#ports.ready()
  }

  /** Receives a character from the transmitter. A full FIFO drops the new character. */
  loopBack(character: number): void {
    if (!this.full) {
      this.#accept(character)
      return
    }
    this.registers.overrun = true
    this.registers.rsr |= RSR_OE
    this.#ports.raise(INT_OE)
  }

  /** Reads the oldest character with its error flags; 0 if the FIFO is empty. */
  read(): number {
    const character = Math.max(0, this.#received.shift())
    // The overrun flag stays until the guest clears it; the other flags belong to the character just read.
    this.registers.rsr = (this.registers.rsr & RSR_OE) | (character >> DR_ERRORS_SHIFT)
    if (this.#received.length < this.#ports.trigger()) this.#ports.lower(INT_RX)
    if (this.empty) this.#stopTimeout()
    this.refill()
    return character
  }

  /** Restarts the timeout that the guest has cleared without reading, while characters are waiting. */
  timeoutCleared(): void {
    if (!this.empty) this.#startTimeout()
  }

  /** The trigger level has changed. */
  triggerChanged(): void {
    if (this.#received.length >= this.#ports.trigger()) this.#ports.raise(INT_RX)
    else this.#ports.lower(INT_RX)
  }

  /** Empties the FIFO. */
  clear(): void {
    this.#received.reset()
    this.registers.overrun = false
    this.#ports.lower(INT_RX)
    this.#stopTimeout()
  }

  #accept(character: number): void {
    const marked = this.registers.overrun ? character | DR_OE : character
    this.registers.overrun = false
    this.#received.push(marked)
    if ((character & DR_BE) !== 0) this.#ports.raise(INT_BE)
    if (this.#received.length >= this.#ports.trigger()) this.#ports.raise(INT_RX)
    this.#startTimeout()
  }

  /** "No more data is received during a 32-bit period": the count begins again with each arrival. */
  #startTimeout(): void {
    this.#timer?.armAfter(this.#ports.timeoutNs())
  }

  #stopTimeout(): void {
    this.#timer?.cancel()
    this.#ports.lower(INT_RT)
  }
}
