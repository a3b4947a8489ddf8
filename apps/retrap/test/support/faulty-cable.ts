import type { PacketBackend, PacketClient } from '@retrap/device'
import { numbers } from '@retrap/tooling/random'

/** Of 1,000 frames in each direction, how many meet each fault. */
export interface CableFaults {
  readonly lost: number
  readonly twice: number
  /** Arrive up to {@link lateMs} late, and so behind others. */
  readonly late: number
  readonly lateMs: number
  /** Not taken at first: whoever sends has to wait. */
  readonly refused: number
  /** Frames until the cable is pulled for half a second. */
  readonly pulledAfter: number
}

/** A cable to a network that loses, doubles, delays and refuses frames. */
export class FaultyCable implements PacketBackend {
  /** Frames that were handed over, and faults. */
  frames = 0
  faulted = 0
  linkUp = true
  readonly #network: PacketBackend
  readonly #faults: CableFaults
  readonly #draw: (bound: number) => number
  #card: PacketClient | null = null
  #closed = false

  constructor(network: PacketBackend, faults: CableFaults, seed: number) {
    this.#network = network
    this.#faults = faults
    this.#draw = numbers(seed)
  }

  get maximumBytes(): number {
    return this.#network.maximumBytes
  }

  connect(client: PacketClient): void {
    this.#card = client
    this.#network.connect({
      receive: (frame) =>
        this.#pass(
          frame,
          (bytes) => client.receive(bytes),
          () => this.#network.ready(),
        ),
      drained: () => client.drained(),
      linkChanged: () => {},
    })
  }

  send(frame: Uint8Array): boolean {
    return this.#pass(
      frame,
      (bytes) => this.#network.send(bytes),
      () => this.#card?.drained(),
    )
  }

  ready(): void {
    this.#network.ready()
  }

  /** Nothing arrives any more. */
  close(): void {
    this.#closed = true
  }

  #hits(number: number): boolean {
    const hit = this.#draw(1000) < number
    if (hit) this.faulted++
    return hit
  }

  /** @returns whether the frame was taken, which a frame that is lost was as well */
  #pass(frame: Uint8Array, on: (bytes: Uint8Array) => boolean, again: () => void): boolean {
    const { lost, twice, late, lateMs, refused, pulledAfter } = this.#faults
    if (++this.frames === pulledAfter) this.#pull()
    if (this.#hits(refused)) {
      setTimeout(() => this.#closed || again(), 1)
      return false
    }
    if (!this.linkUp || this.#hits(lost)) return true
    const copy = frame.slice()
    // A copy that finds no room is lost.
    const later = (): void => void setTimeout(() => this.#closed || on(copy), this.#draw(lateMs))
    if (this.#hits(twice)) later()
    if (!this.#hits(late)) return on(frame)
    later()
    return true
  }

  #pull(): void {
    this.linkUp = false
    this.#card?.linkChanged(false)
    setTimeout(() => {
      this.linkUp = true
      if (!this.#closed) this.#card?.linkChanged(true)
    }, 500)
  }
}
