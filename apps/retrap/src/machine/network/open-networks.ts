import { realpathSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { PacketBackend, PacketClient } from '@retrap/device'
import { Hub, UserNetwork, type UserNetworkOptions, WebSocketNetwork } from '@retrap/network'
import { captureToFile, listenWebSocket, nodeSockets, StreamNetwork } from '@retrap/network/node'
import { describeThrown } from '@retrap/machine'
import { CliError } from '@retrap/linux-guest/errors'
import type { NetdevArgument } from './netdevs.ts'
import type { FailedClose } from '../drives/open-drives.ts'
import { usage } from '../../options/values.ts'

/** The networks of a session. After a reset the new machine uses the same ones. */
export class OpenNetworks {
  readonly #outlets = new Map<string, () => PacketBackend>()
  readonly #closing: Closing[] = []
  readonly #hubs = new Map<number, Hub>()
  /** The network of each capture file. */
  readonly #captures = new Map<string, string>()

  /** Guests do not reach the host's 127.0.0.1, whatever the options of a network say. */
  readonly #closesLoopback: boolean

  private constructor(closesLoopback: boolean) {
    this.#closesLoopback = closesLoopback
  }

  /**
   * @param reachNothing - cards have networks without a host: no port is opened, and no capture written
   * @param closesLoopback - guests do not reach the host's 127.0.0.1, whatever the options of a network say
   * @throws CliError `ERR_USAGE`; NetworkError
   */
  static async open(
    list: readonly NetdevArgument[],
    reachNothing: boolean = false,
    closesLoopback: boolean = false,
  ): Promise<OpenNetworks> {
    const opened = new OpenNetworks(closesLoopback)
    if (reachNothing) {
      for (const { id } of list) opened.#outlets.set(id, networkOutlet(new Hub().port()))
      return opened
    }
    const networks = new Map<string, PacketBackend>()
    const attached: { readonly hub: Hub; readonly id: string; readonly by: string }[] = []
    try {
      for (const netdev of list) {
        if (networks.has(netdev.id)) throw usage(`--netdev: the id '${netdev.id}' is given twice`)
        networks.set(netdev.id, await opened.#open(netdev))
        if (netdev.kind !== 'hubport' || netdev.netdev === undefined) continue
        attached.push({ hub: hubOf(opened.#hubs, netdev.hub), id: netdev.netdev, by: netdev.id })
      }
      for (const { hub, id, by } of attached) {
        const network = networks.get(id)
        if (network === undefined) throw usage(`--netdev hubport,id=${by}: there is no --netdev with id=${id}`)
        // The place in the hub is that network's, and no card's.
        networks.delete(id)
        networks.delete(by)
        hub.attach(network)
      }
      for (const [id, network] of networks) opened.#outlets.set(id, networkOutlet(network))
      return opened
    } catch (error) {
      opened.close()
      throw error
    }
  }

  async #open(netdev: NetdevArgument): Promise<PacketBackend> {
    const { id, capture: path } = netdev
    const closing: Closing[] = []
    try {
      const allowed = netdev.kind === 'user' && this.#closesLoopback ? { ...netdev, hostLoopback: false } : netdev
      const network = await openNetwork(allowed, this.#hubs, (one) => {
        closing.push({ id, path: '', close: () => one.close() })
        return one
      })
      if (path === undefined) return network
      const place = placeOf(path)
      const other = this.#captures.get(place)
      if (other !== undefined)
        throw usage(`--netdev id=${id}: pcap=${path} is that of id=${other}; give each a file of its own`)
      const capture = captureToFile(network, path)
      this.#captures.set(place, id)
      const close = (): void => {
        this.#captures.delete(place)
        capture.close()
      }
      closing.push({ id, path, close })
      return capture.network
    } finally {
      this.#closing.push(...closing)
    }
  }

  /** Ids of the networks that a card may have. */
  get ids(): readonly string[] {
    return [...this.#outlets.keys()]
  }

  /** Opens a network while a machine runs. @throws CliError `ERR_USAGE`; NetworkError */
  async add(netdev: NetdevArgument): Promise<void> {
    const { id } = netdev
    if (this.#outlets.has(id)) throw usage(`there is a network '${id}' already`)
    if (netdev.kind === 'hubport' && netdev.netdev !== undefined)
      throw usage(`a hub takes another network at the start only; write hubport,id=${id},hubid=${netdev.hub}`)
    try {
      this.#outlets.set(id, networkOutlet(await this.#open(netdev)))
    } catch (error) {
      this.#close(id)
      throw error
    }
  }

  /** Closes a network that no card uses. @throws CliError `ERR_USAGE` for an unknown network; `ERR_INPUT` */
  remove(id: string): void {
    if (!this.#outlets.delete(id))
      throw usage(`there is no network '${id}'; there are: ${this.ids.join(', ') || 'none'}`)
    const [failed] = this.#close(id)
    if (failed === undefined) return
    throw new CliError('ERR_INPUT', `${failed.path}: not all that passed is in it: ${describeThrown(failed.error)}`)
  }

  #close(id: string): readonly FailedClose[] {
    const closing = this.#closing.filter((one) => one.id === id)
    for (const one of closing) this.#closing.splice(this.#closing.indexOf(one), 1)
    return closeAll(closing)
  }

  /** The network for a card of a new machine's. @throws CliError `ERR_USAGE` */
  plug(id: string): PacketBackend {
    const outlet = this.#outlets.get(id)
    if (outlet === undefined) throw usage(`--device: there is no --netdev with id=${id} for a card`)
    return outlet()
  }

  /** Breaks off all connections, and closes captures. @returns the captures for which this has failed */
  close(): readonly FailedClose[] {
    return closeAll(this.#closing)
  }
}

/** Returns one path for all names of a place in a folder, by whatever links the folder is named. */
function placeOf(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    // The folder does not exist: opening the file reports that.
    return resolve(path)
  }
}

/** A resource to close at the end. */
interface Closing {
  /** The network's `id=`. */
  readonly id: string
  readonly path: string
  close(): void
}

function closeAll(closing: readonly Closing[]): readonly FailedClose[] {
  const failed: FailedClose[] = []
  for (const one of closing.toReversed()) {
    try {
      one.close()
    } catch (error) {
      failed.push({ path: one.path, error })
    }
  }
  return failed
}

function hubOf(hubs: Map<number, Hub>, number: number): Hub {
  const hub = hubs.get(number) ?? new Hub()
  hubs.set(number, hub)
  return hub
}

/** @param closed - takes parts that are closed with the network */
async function openNetwork(
  netdev: NetdevArgument,
  hubs: Map<number, Hub>,
  closed: <T extends Pick<Closing, 'close'>>(one: T) => T,
): Promise<PacketBackend> {
  switch (netdev.kind) {
    case 'hubport':
      // An attached network has the place of the hub itself.
      return netdev.netdev === undefined ? closed(hubOf(hubs, netdev.hub).port()) : new Hub().port()
    case 'stream': {
      const { listens, address, reconnectMs } = netdev
      if (listens) return closed(await StreamNetwork.listen(address))
      return closed(await StreamNetwork.connect(address, reconnectMs === undefined ? {} : { reconnectMs }))
    }
    case 'websocket':
      return closed(new WebSocketNetwork(() => new WebSocket(netdev.url), { reconnectMs: netdev.reconnectMs }))
    case 'relay': {
      const hub = new Hub()
      closed(await listenWebSocket(hub, { ...netdev.address, origins: netdev.origins }))
      return hub.port()
    }
    case 'user':
      return closed(await UserNetwork.open(userOptions(netdev)))
  }
}

function userOptions(netdev: NetdevArgument & { readonly kind: 'user' }): UserNetworkOptions {
  const sockets = nodeSockets()
  const { bootFolder, services, ...options } = netdev
  return {
    ...options,
    sockets,
    guestForwards: services.map(({ address, port, to }) => ({
      address,
      port,
      connect: (client) => sockets.connectTcp({ address: to.host, port: to.port }, client),
    })),
    ...(bootFolder !== undefined && { bootFiles: (name: string) => readBootFile(bootFolder, name) }),
  }
}

/** Reads a file for a guest. Only files in the folder are readable, even through links. */
export async function readBootFile(folder: string, name: string): Promise<Uint8Array | null> {
  try {
    const [top, path] = await Promise.all([realpath(folder), realpath(join(folder, name))])
    return path.startsWith(top + sep) ? await readFile(path) : null
  } catch {
    return null
  }
}

/**
 * Makes a connection point at which the cards of successive machines join a network that survives resets of the guest.
 *
 * @returns gives the network for a new machine's card; the previous card is unplugged
 */
export function networkOutlet(network: PacketBackend): () => PacketBackend {
  let client: PacketClient | null = null
  network.connect({
    receive: (frame) => client?.receive(frame) ?? true,
    drained: () => client?.drained(),
    linkChanged: (up) => client?.linkChanged(up),
  })
  return () => {
    let mine: PacketClient | null = null
    client = null
    // Frames that the card before had no room for are lost with it.
    network.ready()
    const isMine = (): boolean => mine !== null && mine === client
    return {
      get linkUp() {
        return network.linkUp
      },
      maximumBytes: network.maximumBytes,
      ...(network.macAddress !== undefined && { macAddress: network.macAddress }),
      connect: (given) => {
        client = mine = given
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
