import type { PcOptions } from '@retrap/machine'
import {
  ChannelNetwork,
  fetchSockets,
  Hub,
  type RefusedConnection,
  translateAddress,
  UserNetwork,
  WebSocketNetwork,
} from '@retrap/network'
import { WebError } from '../errors.ts'
import type { SentNetwork } from '../protocol.ts'
import { reasonOf, type SourceListener } from './sources.ts'

/** Channels of this origin have one space of names. */
const CHANNEL_PREFIX = 'retrap-network-'
/** A guest tries again and again: of this many hosts the page hears, once each. */
const MOST_WARNINGS = 20

type Warn = Pick<SourceListener, 'warning'>
type Network = Parameters<Hub['attach']>[0] & { close(): void }

/** The network of a machine. Each start of the machine has a card of its own. */
export class MachineNetwork {
  readonly #listener: Warn
  readonly #hub = new Hub()
  /** The address by which others know the card; null: its own. */
  readonly #outside: string | null
  #options: SentNetwork & { readonly macAddress: string }
  #port: ReturnType<Hub['port']> | null = null
  #unplug: (() => void) | null = null

  private constructor(options: SentNetwork, isCopy: boolean, listener: Warn) {
    this.#outside = isCopy ? randomAddress() : null
    this.#options = { ...options, macAddress: options.macAddress ?? randomAddress() }
    this.#listener = listener
  }

  /**
   * @param isCopy - the card is a snapshot's: other machines may have gone on from there, and their cards have its address too
   * @throws WebError `ERR_OPTION`
   */
  static async open(options: SentNetwork, isCopy: boolean, listener: Warn): Promise<MachineNetwork> {
    const network = new MachineNetwork(options, isCopy, listener)
    await network.connect(options)
    return network
  }

  /** With the card's address. */
  get options(): SentNetwork {
    return this.#options
  }

  /** Plugs the cable in elsewhere. The card stays what it is. @throws WebError `ERR_OPTION` */
  async connect(options: SentNetwork): Promise<void> {
    let outside: Network | null
    try {
      outside = await openNetwork(options, this.#listener)
    } catch (error) {
      throw new WebError('ERR_OPTION', `network: ${reasonOf(error)}`, { cause: error })
    }
    this.#unplug?.()
    this.#unplug = null
    const { card, macAddress } = this.#options
    this.#options = { ...options, macAddress, ...(card !== undefined && { card }) }
    if (outside === null) return
    const leave = this.#hub.attach(outside)
    this.#unplug = () => {
      leave()
      outside.close()
    }
  }

  /** The card of a machine that is made anew. */
  pcOptions(): Pick<PcOptions, 'virtio' | 'networkCards'> {
    this.#port?.close()
    const port = (this.#port = this.#hub.port())
    const macAddress = bytesOf(this.#options.macAddress)
    const network = this.#outside === null ? port : translateAddress(port, macAddress, bytesOf(this.#outside))
    return this.#options.card === 'e1000'
      ? { networkCards: [{ model: 'e1000', network, macAddress }] }
      : { virtio: [{ kind: 'net', network, macAddress }] }
  }
}

async function openNetwork(options: SentNetwork, listener: Warn): Promise<Network | null> {
  switch (options.kind) {
    case 'none':
      return null
    case 'tabs':
      return new ChannelNetwork(new BroadcastChannel(CHANNEL_PREFIX + options.name))
    case 'relay':
      return openRelay(options.url, listener)
    case 'fetch':
      return UserNetwork.open({ sockets: fetchSockets({ onRefused: refusals(listener) }) })
  }
}

/** Connects with a relay. The page hears when there is no connection, once until there is one again. */
function openRelay(url: string, listener: Warn): Network {
  let isTold = false
  let isClosed = false
  const tell = (what: string): void => {
    if (!isTold && !isClosed) listener.warning(`network: ${what} the relay at ${url}; it is tried again every 2 s`)
    isTold = true
  }
  const network = new WebSocketNetwork(() => {
    const socket = new WebSocket(url)
    let wasOpen = false
    socket.addEventListener('open', () => {
      wasOpen = true
      isTold = false
    })
    socket.addEventListener('close', () => tell(wasOpen ? 'the connection is lost to' : 'there is no connection to'))
    return socket
  })
  const leave = network.close.bind(network)
  network.close = () => {
    // The cable is plugged in elsewhere: this connection is not missed.
    isClosed = true
    leave()
  }
  return network
}

function refusals(listener: Warn): (refused: RefusedConnection) => void {
  const told = new Set<string>()
  return ({ host, port, reason }) => {
    const key = `${host}:${port}`
    if (told.has(key) || told.size === MOST_WARNINGS) return
    told.add(key)
    const why =
      reason === 'tls'
        ? 'what the guest encrypts by itself cannot pass through a page; use http://'
        : 'a page can pass requests of HTTP only'
    listener.warning(`network: the guest's connection to ${key} is refused: ${why}`)
  }
}

const bytesOf = (macAddress: string): Uint8Array =>
  Uint8Array.from(macAddress.split(':'), (byte) => Number.parseInt(byte, 16))

/** One of QEMU's and Xen's usual kind: locally administered, by three bytes that are made up. */
function randomAddress(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(3))
  return ['52:54:00', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))].join(':')
}
