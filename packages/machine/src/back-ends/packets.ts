import type { PacketBackend, PacketClient } from '@retrap/device'
import { Feeder } from './feeder.ts'
import { fromJson, MESSAGE, type Post, type Said, toJson } from './messages.ts'

/*
 * A network used by a card's model in another thread, or behind the gate of a recording.
 */

/** Most frames in flight to another thread. */
export const MOST_FRAMES = 128
/** Frames that wait for a network without room; further ones are lost, as on a wire. */
const MOST_WAITING = 1024

/** The facts about a network that its card asks for when the machine is made: plain data. */
export interface NetworkFacts {
  readonly macAddress: readonly number[] | null
  readonly maximumBytes: number
  readonly linkUp: boolean
}

/** Returns the facts about a network. */
export const factsOf = ({ macAddress, maximumBytes, linkUp }: NetworkOfFacts): NetworkFacts => ({
  macAddress: macAddress === undefined ? null : [...macAddress],
  maximumBytes,
  linkUp,
})

/** The part of a network that its facts are about. */
type NetworkOfFacts = Pick<PacketBackend, 'linkUp' | 'macAddress' | 'maximumBytes'>

/** Returns the network that the facts describe. */
export const networkOf = ({ macAddress, ...others }: NetworkFacts): NetworkOfFacts => ({
  ...others,
  ...(macAddress !== null && { macAddress: Uint8Array.from(macAddress) }),
})

/** The packets that the card's end holds, and the link as the card knows it. */
interface HeldPackets {
  readonly linkUp: boolean
  readonly waiting: readonly Uint8Array[]
}

/** The card's end of a network. */
export class FarNetwork implements PacketBackend {
  linkUp: boolean
  readonly maximumBytes: number
  readonly macAddress?: Uint8Array
  readonly #post: Post
  readonly #most: number
  #client: PacketClient | null = null
  /** Frames that the network has not taken. */
  #onTheWay = 0
  #full = false
  /** Frames that the card has no room for. */
  readonly #feeder: Feeder<Uint8Array>

  /** @param most - most frames that the network may not have taken. Infinity: it does not report taken frames */
  constructor(facts: NetworkFacts, post: Post, most: number = MOST_FRAMES) {
    const { linkUp, maximumBytes, macAddress } = networkOf(facts)
    this.#post = post
    this.#most = most
    this.linkUp = linkUp
    this.maximumBytes = maximumBytes
    if (macAddress !== undefined) this.macAddress = macAddress
    this.#feeder = new Feeder(
      ([first]) => this.#client?.receive(first!),
      (length) => post(MESSAGE.taken, { length }),
    )
  }

  connect(client: PacketClient): void {
    this.#client = client
  }

  send(frame: Uint8Array): boolean {
    this.#full = this.#onTheWay >= this.#most
    if (this.#full) return false
    this.#onTheWay++
    this.#post(MESSAGE.send, { bytes: frame })
    return true
  }

  ready(): void {
    this.#feeder.ready()
  }

  filter(addresses: Parameters<NonNullable<PacketBackend['filter']>>[0]): void {
    const { promiscuous, unicast, multicast } = addresses
    const bytes = toJson({ promiscuous, unicast: [...unicast], multicast: multicast.map((one) => [...one]) })
    this.#post(MESSAGE.filter, { bytes })
  }

  /** Handles a message from the network's end. */
  receive({ kind, flags = 0, length = 0, bytes }: Said): void {
    if (kind === MESSAGE.receive) this.#feeder.push(bytes!.slice())
    else if (kind === MESSAGE.link) {
      this.linkUp = flags !== 0
      this.#client?.linkChanged(this.linkUp)
    } else {
      this.#onTheWay -= length
      if (!this.#full || this.#onTheWay > this.#most / 2) return
      this.#full = false
      this.#client?.drained()
    }
  }

  /** Returns the state as plain data, which stays as it is. */
  save(): HeldPackets {
    return { linkUp: this.linkUp, waiting: this.#feeder.save() }
  }

  /** Restores the frames that `save` returned. @returns how many frames wait */
  restore(saved: unknown): number {
    const { linkUp, waiting } = saved as HeldPackets
    this.linkUp = linkUp
    this.#feeder.restore(waiting)
    return waiting.length
  }
}

/** The other end, which has the network. */
export class NearNetwork {
  /** Frames that the card has not taken. */
  onTheWay = 0
  readonly #network: PacketBackend
  /** Number of frames in flight at which the network resumes. */
  readonly #goesOnAt: number
  /** Frames that the network has no room for. */
  readonly #feeder: Feeder<Uint8Array>

  /** @param most - frames that the card may not have taken */
  constructor(network: PacketBackend, post: Post, most: number = MOST_FRAMES, goesOnAt: number = most / 2) {
    this.#network = network
    this.#goesOnAt = goesOnAt
    this.#feeder = new Feeder(
      ([first]) => network.send(first!),
      (length) => post(MESSAGE.sent, { length }),
    )
    network.connect({
      receive: (frame) => {
        if (this.onTheWay >= most) return false
        this.onTheWay++
        post(MESSAGE.receive, { bytes: frame })
        return true
      },
      drained: () => this.#feeder.ready(),
      linkChanged: (up) => post(MESSAGE.link, { flags: up ? 1 : 0 }),
    })
  }

  /** Handles a message from the card's end. */
  receive({ kind, length = 0, bytes }: Said): void {
    if (kind === MESSAGE.send) this.#send(bytes!)
    else if (kind === MESSAGE.filter) this.#filter(bytes!)
    else {
      this.onTheWay -= length
      if (this.onTheWay <= this.#goesOnAt) this.#network.ready()
    }
  }

  #send(frame: Uint8Array): void {
    const waiting = this.#feeder.size
    if (waiting >= MOST_WAITING) return
    this.#feeder.add(frame.slice())
    // A network that has refused a frame reports when it has room.
    if (waiting === 0) this.#feeder.ready()
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
