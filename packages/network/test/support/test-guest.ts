import { macNumber, putMac } from '../../src/addresses.ts'
import { makeArp, readArp, putEthernet, readEthernet, TYPE_ARP, TYPE_IPV4 } from '../../src/frames/ethernet.ts'
import { fragmentIpv4, type Ipv4Packet, PROTOCOL_TCP, PROTOCOL_UDP, readIpv4Packet } from '../../src/frames/ipv4.ts'
import { Reassembly } from '../../src/frames/reassembly.ts'
import { readTcp } from '../../src/frames/tcp.ts'
import { makeUdp, readUdp } from '../../src/frames/datagrams.ts'
import { UserNetwork, type UserNetworkOptions } from '../../src/index.ts'
import type { SocketAddress, Sockets, TcpSocket, TcpSocketClient, UdpReceiver } from '../../src/sockets.ts'
import { BufferBudget } from '../../src/tcp/buffer-budget.ts'
import { TcpConnection } from '../../src/tcp/connection.ts'
import type { TcpEnd } from '../../src/tcp/receive-window.ts'
import { VirtualClock } from './virtual-clock.ts'

export const GUEST = 0x0a00020f
export const GATEWAY = 0x0a000202
export const GUEST_MAC = 0x525400123456

/** One connection of the host's, as a test sees it. */
export class HostSocket implements TcpSocket {
  readonly to: SocketAddress
  readonly client: TcpSocketClient
  readonly written: number[] = []
  /** Whether `write` asks to wait. */
  full = false
  paused = false
  ended = false
  aborted = false

  constructor(to: SocketAddress, client: TcpSocketClient) {
    this.to = to
    this.client = client
  }

  write(bytes: Uint8Array): boolean {
    for (const byte of bytes) this.written.push(byte)
    return !this.full
  }
  end(): void {
    this.ended = true
  }
  abort(): void {
    this.aborted = true
  }
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
}

/** The host's network of a test: nothing happens there that the test does not do. */
export class HostNetwork implements Sockets {
  readonly tcp: HostSocket[] = []
  readonly listeners: { readonly at: SocketAddress; accept: Parameters<Sockets['listenTcp']>[1] }[] = []
  readonly udp: { receive: UdpReceiver; readonly sent: { to: SocketAddress; bytes: Uint8Array }[]; open: boolean }[] =
    []

  connectTcp(to: SocketAddress, client: TcpSocketClient): TcpSocket {
    const socket = new HostSocket(to, client)
    this.tcp.push(socket)
    return socket
  }
  async listenTcp(at: SocketAddress, accept: Parameters<Sockets['listenTcp']>[1]) {
    this.listeners.push({ at, accept })
    return { port: at.port, close() {} }
  }
  openUdp(receive: UdpReceiver) {
    const socket = { receive, sent: [] as { to: SocketAddress; bytes: Uint8Array }[], open: true }
    this.udp.push(socket)
    return {
      send: (to: SocketAddress, bytes: Uint8Array) => void socket.sent.push({ to, bytes: bytes.slice() }),
      close: () => void (socket.open = false),
    }
  }
  async bindUdp(at: SocketAddress, receive: UdpReceiver) {
    return { ...this.openUdp(receive), port: at.port }
  }
  async lookup(name: string): Promise<readonly string[] | null> {
    if (name === 'broken.test') throw new Error('the host cannot tell')
    return name === 'guest.test' ? ['192.0.2.80', '192.0.2.81'] : null
  }
}

/** A card with a small system behind it: ARP, UDP, and TCP connections of ours. */
export class TestGuest {
  readonly clock = new VirtualClock()
  readonly host = new HostNetwork()
  network!: UserNetwork
  readonly packets: Ipv4Packet[] = []
  readonly frames: Uint8Array[] = []
  readonly #fragments = new Reassembly(this.clock)
  readonly #connections = new Map<string, TcpConnection>()
  /** Frames are refused. */
  full = false

  static async create(options: Partial<UserNetworkOptions> = {}): Promise<TestGuest> {
    const guest = new TestGuest()
    await guest.restart(options)
    return guest
  }

  /** Begins with a new network. */
  async restart(options: Partial<UserNetworkOptions> = {}): Promise<void> {
    let state = 1
    const random = (): number => ((state = (state * 1_103_515_245 + 12_345) >>> 0) >>> 8) / 2 ** 24
    this.network = await UserNetwork.open({ sockets: this.host, clock: this.clock, random, ...options })
    this.network.connect({
      receive: (frame) => {
        if (!this.full) this.#receive(frame)
        return !this.full
      },
      drained() {},
      linkChanged() {},
    })
  }

  /** Sends an IPv4 packet. */
  send(protocol: number, payload: Uint8Array, destination = GATEWAY, source = GUEST): void {
    for (const frame of fragmentIpv4({ source, destination, protocol }, payload, 7)) this.sendFrame(frame)
  }

  sendFrame(frame: Uint8Array): void {
    putEthernet(frame, 0x52550a000202, GUEST_MAC, TYPE_IPV4)
    this.network.send(frame)
  }

  sendUdp(
    sourcePort: number,
    destinationPort: number,
    payload: Uint8Array,
    destination = GATEWAY,
    source = GUEST,
  ): void {
    this.send(PROTOCOL_UDP, makeUdp(source, destination, { sourcePort, destinationPort, payload }), destination, source)
  }

  get datagrams() {
    return this.packets.flatMap((packet) => {
      const datagram = packet.protocol === PROTOCOL_UDP ? readUdp(packet) : null
      return datagram === null ? [] : [{ ...datagram, source: packet.source }]
    })
  }

  /** The flags of the segments that have come. */
  get segments() {
    return this.packets.flatMap((packet) => {
      const segment = packet.protocol === PROTOCOL_TCP ? readTcp(packet) : null
      return segment === null ? [] : [segment]
    })
  }

  /** Opens a connection, or waits for one. */
  tcp(localPort: number, remotePort: number, remoteAddress = GATEWAY): GuestConnection {
    const end = new GuestConnection()
    const make = (): TcpConnection =>
      new TcpConnection({
        ...{ localAddress: GUEST, localPort, remoteAddress, remotePort, clock: this.clock },
        budget: new BufferBudget(1 << 20),
        initialSequence: 77,
        client: end.client,
        transmit: (frame) => this.sendFrame(frame),
      })
    end.connection = make()
    this.#connections.set(`${localPort} ${remoteAddress}:${remotePort}`, end.connection)
    return end
  }

  /** Waits for a connection to a port. */
  listen(localPort: number): GuestConnection {
    const end = new GuestConnection()
    this.#listening.set(localPort, end)
    return end
  }
  readonly #listening = new Map<number, GuestConnection>()

  #receive(frame: Uint8Array): void {
    this.frames.push(frame)
    const { type } = readEthernet(frame)!
    if (type === TYPE_ARP) {
      const arp = readArp(frame)!
      if (arp.operation === 'request' && arp.target === GUEST) {
        this.network.send(makeArp({ operation: 'reply', senderMac: GUEST_MAC, sender: GUEST, target: arp.sender }, 1))
      }
      return
    }
    const packet = readIpv4Packet(frame)
    if (packet === null) throw new Error('the network has sent a packet that does not parse')
    const whole = this.#fragments.add(packet)
    if (whole === null) return
    this.packets.push(whole)
    const segment = whole.protocol === PROTOCOL_TCP ? readTcp(whole) : null
    if (segment === null) return
    const key = `${segment.destinationPort} ${whole.source}:${segment.sourcePort}`
    const connection = this.#connections.get(key)
    const listening = this.#listening.get(segment.destinationPort)
    if (connection !== undefined) connection.receive(segment)
    else if (listening !== undefined && (segment.flags & 2) !== 0) {
      listening.connection = new TcpConnection(
        {
          ...{ localAddress: GUEST, localPort: segment.destinationPort, clock: this.clock },
          ...{ remoteAddress: whole.source, remotePort: segment.sourcePort },
          budget: new BufferBudget(1 << 20),
          initialSequence: 99,
          client: listening.client,
          transmit: (bytes) => this.sendFrame(bytes),
        },
        segment,
      )
      this.#connections.set(key, listening.connection)
    }
  }
}

export class GuestConnection {
  connection!: TcpConnection
  connected = false
  reads = true
  ended: TcpEnd | null = null
  readonly received: number[] = []
  readonly client = {
    connected: () => void (this.connected = true),
    readable: () => this.drain(),
    writable: () => {},
    closed: (end: TcpEnd) => void (this.ended = end),
  }

  drain(): void {
    while (this.reads) {
      const bytes = this.connection.read(4096)
      if (bytes === null) break
      for (const byte of bytes) this.received.push(byte)
    }
  }
}

/** A DHCP message as a client sends it. */
export function dhcpMessage(mac: number, options: readonly number[]): Uint8Array {
  const message = new Uint8Array(240 + options.length + 1)
  message.set([1, 1, 6, 0, 1, 2, 3, 4])
  putMac(message, 28, mac)
  message.set([0x63, 0x82, 0x53, 0x63, ...options, 255], 236)
  if (macNumber(message, 28) !== mac) throw new Error('not a hardware address')
  return message
}
