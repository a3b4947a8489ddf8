import type { PacketBackend, PacketClient } from '@retrap/device'

/** Where the cards of one machine after another are plugged into a network that goes on when the guest resets its machine. */
export class NetworkOutlet {
  readonly #network: PacketBackend
  #client: PacketClient | null = null

  constructor(network: PacketBackend) {
    this.#network = network
    network.connect({
      receive: (frame) => this.#client?.receive(frame) ?? true,
      drained: () => this.#client?.drained(),
      linkChanged: (up) => this.#client?.linkChanged(up),
    })
  }

  /** The network for a new machine's card; the one before it is unplugged. */
  plug(): PacketBackend {
    const network = this.#network
    let mine: PacketClient | null = null
    this.#client = null
    // What the card before had no room for is lost with it.
    network.ready()
    const isMine = (): boolean => mine !== null && mine === this.#client
    return {
      get linkUp() {
        return network.linkUp
      },
      maximumBytes: network.maximumBytes,
      ...(network.macAddress !== undefined && { macAddress: network.macAddress }),
      connect: (client) => {
        this.#client = mine = client
      },
      send: (frame) => !isMine() || network.send(frame),
      ready: () => {
        if (isMine()) network.ready()
      },
      filter: (addresses) => {
        if (isMine()) network.filter?.(addresses)
      },
    }
  }
}
