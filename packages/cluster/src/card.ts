import type { PacketBackend, PacketClient } from '@retrap/device'

/** Frames that wait for a card; more are dropped, as a real network does. */
const MOST_WAITING = 4096
const MAXIMUM_FRAME = 1514

/** The machine that has the card: its clock, and its timers. */
export interface CardClock {
  /** Nanoseconds of the machine's own clock. */
  now(): number
  /** Makes a timer that calls back when the clock has come to its instant. */
  create(callback: () => void): {
    /** Sets the timer for this many nanoseconds from now. */
    armAfter(ns: number): void
  }
}

/** The network of one machine's card. Frames leave and enter at instants of the machine's own clock. */
export class Card implements PacketBackend {
  /** The cable is always plugged in: a network that is cut says nothing. */
  readonly linkUp = true
  /** Of a frame of Ethernet without tags. */
  readonly maximumBytes: number = MAXIMUM_FRAME
  /** Frames that the machine has sent since they were last taken, with their instants. */
  #sent: { readonly ns: number; readonly frame: Uint8Array }[] = []
  /** Frames in flight to this machine, the next one first. */
  readonly #coming: { readonly ns: number; readonly frame: Uint8Array }[] = []
  #client: PacketClient | undefined
  #clock: CardClock | undefined
  #timer: ReturnType<CardClock['create']> | undefined
  /** The card has no room. */
  #isFull = false

  /** Names the machine, which is made after its card. */
  attach(clock: CardClock): void {
    this.#clock = clock
    this.#timer = clock.create(() => this.#deliver())
    this.#arm()
  }

  /** Returns what was sent since the last call, in order. */
  take(): readonly { readonly ns: number; readonly frame: Uint8Array }[] {
    const sent = this.#sent
    if (sent.length > 0) this.#sent = []
    return sent
  }

  /** Further frames that the card takes notice of when they are delivered; 0 while it has no room. */
  get room(): number {
    return this.#isFull ? 0 : MOST_WAITING - this.#coming.length
  }

  /** Has a frame enter the machine at an instant of its clock, or at once where that has passed. Equal instants keep their order. */
  deliver(ns: number, frame: Uint8Array): void {
    if (this.#coming.length >= MOST_WAITING) return
    let at = this.#coming.length
    while (at > 0 && this.#coming[at - 1]!.ns > ns) at--
    this.#coming.splice(at, 0, { ns, frame })
    if (at === 0) this.#arm()
  }

  /** The place in the network of a machine that goes on from this instant by itself; `attach` names that machine. */
  copy(): Card {
    const copy = new Card()
    copy.#coming.push(...this.#coming)
    copy.#sent = [...this.#sent]
    copy.#isFull = this.#isFull
    return copy
  }

  /** Has all frames in flight to this machine arrive earlier by `ns`: the machine's clock has stood still. */
  hasten(ns: number): void {
    for (const [i, { ns: at, frame }] of this.#coming.entries()) this.#coming[i] = { ns: at - ns, frame }
    this.#arm()
  }

  /** Names the card that gets the frames. */
  connect(client: PacketClient): void {
    this.#client = client
  }

  /** Notes a frame, with the instant. */
  send(frame: Uint8Array): boolean {
    // Until a clock is attached, the machine has not begun.
    this.#sent.push({ ns: this.#clock?.now() ?? 0, frame: frame.slice() })
    return true
  }

  /** Goes on delivering. */
  ready(): void {
    if (!this.#isFull) return
    this.#isFull = false
    // A card is never called from within its own call.
    this.#arm()
  }

  #arm(): void {
    const [first] = this.#coming
    if (first !== undefined && !this.#isFull) this.#timer!.armAfter(Math.max(0, first.ns - this.#clock!.now()))
  }

  #deliver(): void {
    const now = this.#clock!.now()
    for (let [next] = this.#coming; next !== undefined && next.ns <= now; [next] = this.#coming) {
      if (this.#client?.receive(next.frame) === false) {
        this.#isFull = true
        return
      }
      this.#coming.shift()
    }
    this.#arm()
  }
}
