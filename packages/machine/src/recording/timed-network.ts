import type { PacketBackend, PacketClient } from '@retrap/device'
import { type NetworkFacts, networkOf } from '../back-ends/packets.ts'
import type { InputGate } from './input-gate.ts'

/** A network whose frames enter by timers from outside. It keeps frames beyond the card's room, outside the machine's state. */
export class TimedNetwork implements PacketBackend {
  readonly linkUp: boolean
  readonly maximumBytes: number
  readonly macAddress?: Uint8Array
  readonly #gate: InputGate
  readonly #network: PacketBackend | null
  readonly #party: number
  #client: PacketClient | null = null

  /** @param network - null in a replay */
  constructor(gate: InputGate, name: string, network: PacketBackend | null, facts: NetworkFacts) {
    const { linkUp, maximumBytes, macAddress } = networkOf(facts)
    this.linkUp = linkUp
    this.maximumBytes = maximumBytes
    if (macAddress !== undefined) this.macAddress = macAddress
    this.#gate = gate
    this.#network = network
    this.#party = gate.party(name, (frame) => this.#client?.receive(frame))
  }

  connect(client: PacketClient): void {
    this.#client = client
    this.#network?.connect({
      ...{ drained: () => client.drained(), linkChanged: (up) => client.linkChanged(up) },
      receive: (frame) => this.#gate.offer(this.#party, frame.slice(), () => client.receive(frame)),
    })
  }

  send(frame: Uint8Array): boolean {
    return this.#network?.send(frame) ?? true
  }

  ready(): void {
    this.#network?.ready()
  }
}
