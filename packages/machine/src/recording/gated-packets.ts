import type { PacketBackend, PacketClient } from '@retrap/device'
import { Feeder } from '../back-ends/feeder.ts'
import type { InputGate } from './gate.ts'

/** Frames that may be on their way, or wait for the card, before the network waits. */
const MOST_OUTSTANDING = 256
/** Frames that wait for a network without room; further ones are lost, as on a wire. */
const MOST_WAITING = 1024
/** First byte of an input. */
const FRAME = 0
const LINK = 1

/** A recording's facts about a network. */
export interface NetworkFacts {
  readonly macAddress: readonly number[] | null
  readonly maximumBytes: number
  readonly linkUp: boolean
}

/** The packets that a network holds for the machine. */
interface HeldPackets {
  readonly linkUp: boolean
  readonly waiting: readonly Uint8Array[]
}

/** The facts about a network that its card asks for when the machine is made. */
export const factsOf = ({ macAddress, maximumBytes, linkUp }: PacketBackend): NetworkFacts => ({
  macAddress: macAddress === undefined ? null : [...macAddress],
  maximumBytes,
  linkUp,
})

/** The network that the facts were about. */
export const networkOf = ({
  macAddress,
  ...others
}: NetworkFacts): Pick<PacketBackend, 'linkUp' | 'macAddress' | 'maximumBytes'> => ({
  ...others,
  ...(macAddress !== null && { macAddress: Uint8Array.from(macAddress) }),
})

/** A network whose frames enter the machine by the gate. */
export class GatedPackets implements PacketBackend {
  readonly macAddress?: Uint8Array
  readonly maximumBytes: number
  readonly filter?: NonNullable<PacketBackend['filter']>
  readonly #network: PacketBackend | null
  readonly #number: number
  readonly #gate: InputGate
  #client: PacketClient | null = null
  #linkUp: boolean
  /** Frames that were delivered, and that the card has no room for. */
  readonly #feeder: Feeder<Uint8Array>
  #outstanding = 0
  /** Frames of the guest that the network had no room for. */
  #unsent: Uint8Array[] = []

  constructor(gate: InputGate, name: string, network: PacketBackend | null, facts: NetworkFacts) {
    this.#gate = gate
    this.#network = network
    this.maximumBytes = facts.maximumBytes
    this.#linkUp = facts.linkUp
    if (facts.macAddress !== null) this.macAddress = Uint8Array.from(facts.macAddress)
    if (network?.filter !== undefined) this.filter = (addresses) => network.filter?.(addresses)
    this.#feeder = new Feeder(
      ([first]) => this.#client?.receive(first!),
      (count) => {
        this.#outstanding -= count
        network?.ready()
      },
    )
    this.#number = gate.party(name, (data) => this.#delivered(data), {
      save: (): HeldPackets => ({ linkUp: this.#linkUp, waiting: this.#feeder.save() }),
      restore: (saved) => {
        const { linkUp, waiting } = saved as HeldPackets
        this.#linkUp = linkUp
        this.#feeder.restore(waiting)
        this.#outstanding = waiting.length
      },
    })
    network?.connect({
      receive: (frame) => this.#received(frame),
      drained: () => this.#drained(),
      linkChanged: (up) => gate.post(this.#number, Uint8Array.of(LINK, up ? 1 : 0)),
    })
  }

  get linkUp(): boolean {
    return this.#linkUp
  }

  connect(client: PacketClient): void {
    this.#client = client
  }

  /** Takes every frame: whether the network has room is no matter of the guest's. */
  send(frame: Uint8Array): boolean {
    const network = this.#network
    if (network === null) return true
    if (this.#unsent.length > 0 || !network.send(frame)) {
      if (this.#unsent.length < MOST_WAITING) this.#unsent.push(frame.slice())
    }
    return true
  }

  ready(): void {
    this.#feeder.ready()
  }

  #received(frame: Uint8Array): boolean {
    if (this.#outstanding >= MOST_OUTSTANDING) return false
    this.#outstanding++
    const data = new Uint8Array(1 + frame.length)
    data[0] = FRAME
    data.set(frame, 1)
    this.#gate.post(this.#number, data)
    return true
  }

  #delivered(data: Uint8Array): void {
    if (data[0] === LINK) {
      this.#linkUp = data[1] === 1
      this.#client?.linkChanged(this.#linkUp)
      return
    }
    this.#feeder.push(data.subarray(1))
  }

  #drained(): void {
    const unsent = this.#unsent
    this.#unsent = []
    for (const frame of unsent) this.send(frame)
  }
}
