import type { PcOptions } from '@retrap/machine'
import {
  ChannelNetwork,
  fetchSockets,
  Hub,
  type RefusedConnection,
  translateAddress,
  UserNetwork,
  WebSocketNetwork,
  WispSockets,
} from '@retrap/network'
import { WebError } from '../errors.ts'
import type { SentNetwork } from '../protocol.ts'
import { reasonOf, type SourceListener } from './sources.ts'

/** Channels of this origin have one space of names. */
const CHANNEL_PREFIX = 'retrap-network-'
/** A guest tries again and again: the page is warned of this many hosts, once each. */
const MOST_WARNINGS = 20

type Warn = Pick<SourceListener, 'warning'>
type Network = Parameters<Hub['attach']>[0] & { close(): void }

/** The network of a machine. Each start of the machine has a card of its own. */
export class MachineNetwork {
  readonly #listener: Warn
  readonly #hub = new Hub()
  /** The card's address on the outside network; null: the card's own. */
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
   * @param isCopy - whether the card comes from a snapshot, which other machines may have resumed with the same address
   * @throws WebError `ERR_OPTION`
   */
  static async open(options: SentNetwork, isCopy: boolean, listener: Warn): Promise<MachineNetwork> {
    const network = new MachineNetwork(options, isCopy, listener)
    await network.connect(options)
    return network
  }

  /** Options of the network, with the card's address. */
  get options(): SentNetwork {
    return this.#options
  }

  /** Connects the cable to another network. The card stays the same. @throws WebError `ERR_OPTION` */
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
    case 'wisp':
      return openWisp(options.url, listener)
    case 'fetch':
      return UserNetwork.open({ sockets: fetchSockets({ onRefused: refusals(listener) }) })
  }
}

/** Connects with a relay of frames. */
function openRelay(url: string, listener: Warn): Network {
  const missing = new MissingRelay(url, listener)
  const network = new WebSocketNetwork(() => {
    const socket = missing.socket()
    socket.addEventListener('open', () => missing.found())
    return socket
  })
  return closingAlso(network, () => missing.forget())
}

/** A network behind a Wisp relay. */
async function openWisp(url: string, listener: Warn): Promise<Network> {
  const missing = new MissingRelay(url, listener)
  const sockets = new WispSockets(() => missing.socket(), {
    onReady: () => missing.found(),
    onRefused: (why) => missing.tell(`the relay at ${url} is not used: ${why}`),
  })
  return closingAlso(await UserNetwork.open({ sockets }), () => {
    missing.forget()
    sockets.close()
  })
}

/** Wraps a network so that closing it also calls `before`. */
function closingAlso<T extends Network>(network: T, before: () => void): T {
  const leave = network.close.bind(network)
  network.close = () => {
    before()
    leave()
  }
  return network
}

/** Warns the page when no relay can be reached, once until a connection succeeds. */
class MissingRelay {
  readonly #url: string
  readonly #listener: Warn
  /** The page was warned of the missing relay. */
  #isTold = false
  /** The card is on another network now: failures are not reported. */
  #isForgotten = false

  constructor(url: string, listener: Warn) {
    this.#url = url
    this.#listener = listener
  }

  /** Tries to connect. */
  socket(): WebSocket {
    const socket = new WebSocket(this.#url)
    let what = 'there is no connection to'
    socket.addEventListener('open', () => (what = 'the connection is lost to'))
    socket.addEventListener('close', () => this.tell(`${what} the relay at ${this.#url}`))
    return socket
  }

  found(): void {
    this.#isTold = false
  }

  forget(): void {
    this.#isForgotten = true
  }

  tell(what: string): void {
    if (!this.#isTold && !this.#isForgotten) this.#listener.warning(`network: ${what}; it is tried again every 2 s`)
    this.#isTold = true
  }
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

/** Returns a locally administered address as QEMU and Xen use them, with three random bytes. */
function randomAddress(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(3))
  return ['52:54:00', ...Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0'))].join(':')
}
