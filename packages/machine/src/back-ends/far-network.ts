import type { PacketBackend, PacketClient } from '@retrap/device'
import { Feeder } from './feeder.ts'
import { MESSAGE, type Message, type Post, toJson } from './messages.ts'

/** Frames on their way to the other thread, at most. */
export const MOST_FRAMES = 128

/** The properties of a network. */
export interface NetworkProperties {
  readonly linkUp: boolean
  readonly maximumBytes: number
  readonly macAddress?: Uint8Array | undefined
}

/** A network of the machine's thread, as a card's model of another thread uses it. */
export class FarNetwork implements PacketBackend {
  linkUp: boolean
  readonly maximumBytes: number
  readonly macAddress?: Uint8Array
  readonly #which: number
  readonly #post: Post
  #client: PacketClient | null = null
  /** Frames that the network has not taken. */
  #onTheWay = 0
  #full = false
  /** Frames that the card has no room for. */
  readonly #feeder: Feeder<Uint8Array>

  /** @param which - its number, in messages */
  constructor(which: number, { linkUp, maximumBytes, macAddress }: NetworkProperties, post: Post) {
    this.#which = which
    this.#post = post
    this.linkUp = linkUp
    this.maximumBytes = maximumBytes
    if (macAddress !== undefined) this.macAddress = macAddress
    this.#feeder = new Feeder(
      ([first]) => this.#client?.receive(first!),
      (length) => post(MESSAGE.taken, { which, length }),
    )
  }

  connect(client: PacketClient): void {
    this.#client = client
  }

  send(frame: Uint8Array): boolean {
    this.#full = this.#onTheWay >= MOST_FRAMES
    if (this.#full) return false
    this.#onTheWay++
    this.#post(MESSAGE.send, { which: this.#which, bytes: frame })
    return true
  }

  ready(): void {
    this.#feeder.ready()
  }

  filter(addresses: Parameters<NonNullable<PacketBackend['filter']>>[0]): void {
    const { promiscuous, unicast, multicast } = addresses
    const bytes = toJson({ promiscuous, unicast: [...unicast], multicast: multicast.map((one) => [...one]) })
    this.#post(MESSAGE.filter, { which: this.#which, bytes })
  }

  /** Takes what the machine says. */
  receive({ kind, flags, length, bytes }: Message): void {
    if (kind === MESSAGE.receive) this.#feeder.push(bytes.slice())
    else if (kind === MESSAGE.link) {
      this.linkUp = flags !== 0
      this.#client?.linkChanged(this.linkUp)
    } else {
      this.#onTheWay -= length
      if (!this.#full || this.#onTheWay > MOST_FRAMES / 2) return
      this.#full = false
      this.#client?.drained()
    }
  }
}
