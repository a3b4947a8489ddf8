import type { PacketBackend } from '@retrap/device'
import { Feeder } from './feeder.ts'
import { MOST_FRAMES, type NetworkProperties } from './far-network.ts'
import { fromJson, MESSAGE, type Message, type Post } from './messages.ts'

/** A network of this thread, used by a card's model of another one. */
export class NearNetwork {
  readonly #network: PacketBackend
  /** Frames that the network has no room for. */
  readonly #feeder: Feeder<Uint8Array>
  /** Frames that the card has not taken. */
  #onTheWay = 0
  #full = false

  /** @param which - its number, in messages */
  constructor(network: PacketBackend, which: number, post: Post) {
    this.#network = network
    this.#feeder = new Feeder(
      ([first]) => network.send(first!),
      (length) => post(MESSAGE.sent, { which, length }),
    )
    network.connect({
      receive: (frame) => {
        this.#full = this.#onTheWay >= MOST_FRAMES
        if (this.#full) return false
        this.#onTheWay++
        post(MESSAGE.receive, { which, bytes: frame })
        return true
      },
      drained: () => this.#feeder.ready(),
      linkChanged: (up) => post(MESSAGE.link, { which, flags: up ? 1 : 0 }),
    })
  }

  /** The facts that the card's model needs. */
  get properties(): NetworkProperties {
    const { linkUp, maximumBytes, macAddress } = this.#network
    return { linkUp, maximumBytes, macAddress }
  }

  /** Takes what the model says. */
  receive({ kind, length, bytes }: Message): void {
    if (kind === MESSAGE.send) this.#feeder.push(bytes.slice())
    else if (kind === MESSAGE.filter) this.#filter(bytes)
    else {
      this.#onTheWay -= length
      if (!this.#full || this.#onTheWay > MOST_FRAMES / 2) return
      this.#full = false
      this.#network.ready()
    }
  }

  #filter(bytes: Uint8Array): void {
    const { promiscuous, unicast, multicast } = fromJson(bytes) as {
      readonly promiscuous: boolean
      readonly unicast: readonly number[]
      readonly multicast: readonly (readonly number[])[]
    }
    const toBytes = (from: readonly number[]): Uint8Array => Uint8Array.from(from)
    this.#network.filter?.({ promiscuous, unicast: toBytes(unicast), multicast: multicast.map(toBytes) })
  }
}
