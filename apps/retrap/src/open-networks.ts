import { realpathSync } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import type { PacketBackend } from '@retrap/device'
import { Hub, UserNetwork, type UserNetworkOptions, WebSocketNetwork } from '@retrap/network'
import { captureToFile, listenWebSocket, nodeSockets, StreamNetwork } from '@retrap/network/node'
import type { NetdevArgument } from './netdevs.ts'
import type { FailedClose } from './open-drives.ts'
import { NetworkOutlet } from './network-outlet.ts'
import { usage } from './values.ts'

/** The networks of a session. A machine that replaces one that was reset goes on with the same ones. */
export class OpenNetworks {
  readonly #outlets: ReadonlyMap<string, NetworkOutlet>
  readonly #closing: readonly Closing[]

  private constructor(outlets: ReadonlyMap<string, NetworkOutlet>, closing: readonly Closing[]) {
    this.#outlets = outlets
    this.#closing = closing
  }

  /** @throws CliError `ERR_USAGE`; NetworkError */
  static async open(list: readonly NetdevArgument[]): Promise<OpenNetworks> {
    const closing: Closing[] = []
    const networks = new Map<string, PacketBackend>()
    const hubs = new Map<number, Hub>()
    /** The network of each capture file. */
    const captures = new Map<string, string>()
    const attached: { readonly hub: Hub; readonly id: string; readonly by: string }[] = []
    try {
      for (const netdev of list) {
        if (networks.has(netdev.id)) throw usage(`--netdev: the id '${netdev.id}' is given twice`)
        // oxlint-disable-next-line no-await-in-loop -- what is open so far is closed where one fails
        let network = await openNetwork(netdev, hubs, closing)
        if (netdev.capture !== undefined) {
          const place = placeOf(netdev.capture)
          const other = captures.get(place)
          if (other !== undefined)
            throw usage(
              `--netdev id=${netdev.id}: pcap=${netdev.capture} is that of id=${other}; give each a file of its own`,
            )
          captures.set(place, netdev.id)
          const capture = captureToFile(network, netdev.capture)
          closing.push({ path: netdev.capture, close: () => capture.close() })
          network = capture.network
        }
        networks.set(netdev.id, network)
        if (netdev.kind !== 'hubport' || netdev.netdev === undefined) continue
        attached.push({ hub: hubOf(hubs, netdev.hub), id: netdev.netdev, by: netdev.id })
      }
      for (const { hub, id, by } of attached) {
        const network = networks.get(id)
        if (network === undefined) throw usage(`--netdev hubport,id=${by}: there is no --netdev with id=${id}`)
        // The place in the hub is that network's, and no card's.
        networks.delete(id)
        networks.delete(by)
        hub.attach(network)
      }
      const outlets = new Map([...networks].map(([id, network]) => [id, new NetworkOutlet(network)]))
      return new OpenNetworks(outlets, closing)
    } catch (error) {
      closeAll(closing)
      throw error
    }
  }

  /** The network for a card of a new machine's. @throws CliError `ERR_USAGE` */
  plug(id: string): PacketBackend {
    const outlet = this.#outlets.get(id)
    if (outlet === undefined) throw usage(`--device: there is no --netdev with id=${id} for a card`)
    return outlet.plug()
  }

  /** Breaks off all connections, and closes captures. @returns the captures for which this has failed */
  close(): readonly FailedClose[] {
    return closeAll(this.#closing)
  }
}

/** The same for every name of a place in a folder, by whatever links the folder is named. */
function placeOf(path: string): string {
  try {
    return join(realpathSync(dirname(path)), basename(path))
  } catch {
    // There is no such folder: opening the file says so.
    return resolve(path)
  }
}

/** Something to close at the end. */
interface Closing {
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

async function openNetwork(netdev: NetdevArgument, hubs: Map<number, Hub>, closing: Closing[]): Promise<PacketBackend> {
  if (netdev.kind === 'hubport') {
    // An attached network has the place of the hub itself.
    return netdev.netdev === undefined ? hubOf(hubs, netdev.hub).port() : new Hub().port()
  }
  if (netdev.kind === 'stream') {
    const { listens, address, reconnectMs } = netdev
    const cable = listens
      ? await StreamNetwork.listen(address)
      : await StreamNetwork.connect(address, reconnectMs === undefined ? {} : { reconnectMs })
    closing.push({ path: '', close: () => cable.close() })
    return cable
  }
  if (netdev.kind === 'websocket') {
    const { url, reconnectMs } = netdev
    const cable = new WebSocketNetwork(() => new WebSocket(url), { reconnectMs })
    closing.push({ path: '', close: () => cable.close() })
    return cable
  }
  if (netdev.kind === 'relay') {
    const hub = new Hub()
    const relay = await listenWebSocket(hub, { ...netdev.address, origins: netdev.origins })
    closing.push({ path: '', close: () => relay.close() })
    return hub.port()
  }
  const network = await UserNetwork.open(userOptions(netdev))
  closing.push({ path: '', close: () => network.close() })
  return network
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

/** Reads a file for a guest. Only what lies in the folder is there, wherever links lead. */
export async function readBootFile(folder: string, name: string): Promise<Uint8Array | null> {
  try {
    const [top, path] = await Promise.all([realpath(folder), realpath(join(folder, name))])
    return path.startsWith(top + sep) ? await readFile(path) : null
  } catch {
    return null
  }
}
