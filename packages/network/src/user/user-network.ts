import { formatIpv4, type Ipv4Address, isWithin, parseIpv4, readIpv4 } from '../addresses.ts'
import { NetworkError } from '../errors.ts'
import { QueuedNetwork } from '../frame-queue.ts'
import { MAXIMUM_FRAME, readEthernet, TYPE_ARP, TYPE_IPV4 } from '../frames/ethernet.ts'
import {
  echoReply,
  isIcmpError,
  makeUnreachable,
  UNREACHABLE_PORT,
  UNREACHABLE_PROHIBITED,
  makeUdp,
  readUdp,
  type UdpDatagram,
} from '../frames/datagrams.ts'
import { type Ipv4Packet, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP, readIpv4Packet } from '../frames/ipv4.ts'
import { Reassembly } from '../frames/reassembly.ts'
import type { OpenSocket, Sockets, TcpSocketClient, UdpSocket } from '../sockets.ts'
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from './dhcp.ts'
import { DNS_PORT, DnsForwarder, DnsStream } from './dns.ts'
import { Link } from './link.ts'
import {
  checkPort,
  type GuestForward,
  type HostForward,
  isLoopback,
  type UserAddresses,
  userAddresses,
  type UserNetworkOptions,
} from './options.ts'
import { TcpGateway, type TcpRoute } from './tcp-gateway.ts'
import { TFTP_PORT, TftpServer } from './tftp.ts'
import { type UdpEnd, UdpGateway } from './udp-gateway.ts'

const MULTICAST = 0xe000_0000

/**
 * A network of its own for guests, with a gateway that reaches the host's network as any program does, without
 * privileges: DHCP, DNS, outgoing TCP and UDP, forwarded ports. The host itself is at the gateway's address.
 */
export class UserNetwork extends QueuedNetwork {
  /** Always plugged in. */
  readonly linkUp: boolean = true
  /** A header and 1500 bytes. */
  readonly maximumBytes: number = MAXIMUM_FRAME
  readonly #addresses: UserAddresses
  readonly #restrict: boolean
  readonly #hostLoopback: boolean
  readonly #sockets: Sockets
  readonly #services: ReadonlyMap<string, GuestForward>
  readonly #link: Link
  readonly #fragments: Reassembly
  readonly #dhcp: DhcpServer
  readonly #dns: DnsForwarder
  readonly #tftp: TftpServer
  readonly #tcp: TcpGateway
  readonly #udp: UdpGateway
  readonly #listeners: OpenSocket[] = []
  #closed = false

  private constructor(options: UserNetworkOptions, addresses: UserAddresses) {
    super(options)
    const { clock } = this
    const { sockets } = options
    const { subnet, gateway, dns, firstGuest } = addresses
    this.#addresses = addresses
    this.#sockets = sockets
    this.#restrict = options.restrict ?? false
    this.#hostLoopback = options.hostLoopback ?? true
    const services = (options.guestForwards ?? []).map((service) => {
      const address = parseIpv4(service.address)
      checkPort('guestForwards: port', service.port, 1)
      return { key: `${address}:${service.port}`, address, service }
    })
    this.#services = new Map(services.map(({ key, service }) => [key, service]))
    const ours = services.map(({ address }) => address).filter((address) => isWithin(address, subnet))
    this.#link = new Link(clock, this.queue, subnet, [gateway, dns, ...ours])
    this.#fragments = new Reassembly(clock)
    const { hostName, domainName, bootFile, serverName } = options
    const texts = { hostName, domainName, bootFile, serverName }
    this.#dhcp = new DhcpServer({ subnet, gateway, dns, firstAddress: firstGuest, isolated: this.#restrict, ...texts })
    this.#dns = new DnsForwarder(sockets)
    this.#tftp = new TftpServer(options.bootFiles, clock)
    this.#tcp = new TcpGateway({
      clock,
      random: options.random ?? Math.random,
      link: this.#link,
      sockets,
      route: (address, port) => this.#route(address, port),
    })
    this.#udp = new UdpGateway({ clock, link: this.#link, sockets, seenAs: (address) => this.#seenAs(address) })
  }

  /** Makes a network, and opens its forwarded ports. @throws NetworkError `ERR_OPTION`, `ERR_LISTEN` */
  static async open(options: UserNetworkOptions): Promise<UserNetwork> {
    const network = new UserNetwork(options, userAddresses(options))
    try {
      for (const forward of options.hostForwards ?? []) {
        network.#listeners.push(await network.#forward(forward))
      }
    } catch (error) {
      network.close()
      throw error
    }
    return network
  }

  /** The host's ports that are forwarded, in the order of the option. */
  get hostPorts(): readonly number[] {
    return this.#listeners.map(({ port }) => port)
  }

  /** Connections and sockets of the host's that guests have open. */
  get openConnections(): { readonly tcp: number; readonly udp: number } {
    return { tcp: this.#tcp.count, udp: this.#udp.count }
  }

  /** Takes a frame from the card; never full. */
  send(frame: Uint8Array): boolean {
    // Copied, because the guest may change its memory between check and use.
    if (!this.#closed && frame.length <= MAXIMUM_FRAME) this.#receive(new Uint8Array(frame))
    return true
  }

  /** Breaks all connections off, and closes the host's sockets. */
  close(): void {
    this.#closed = true
    this.#tcp.close()
    this.#udp.close()
    this.#tftp.close()
    for (const listener of this.#listeners) listener.close()
    this.queue.clear()
  }

  #receive(frame: Uint8Array): void {
    const header = readEthernet(frame)
    if (header === null) return
    if (header.type === TYPE_ARP) {
      this.#link.receiveArp(frame)
      return
    }
    const isGroup = (frame[0]! & 1) !== 0
    if (header.type !== TYPE_IPV4 || (header.destination !== this.#link.mac && !isGroup)) return
    const packet = readIpv4Packet(frame)
    if (packet === null) return
    // A guest without an address requests one; any other has an address of this network.
    if (packet.source === 0) {
      if (packet.protocol === PROTOCOL_UDP) this.#receiveUdp(packet)
      return
    }
    if (!isWithin(packet.source, this.#addresses.subnet)) return
    this.#link.learn(packet.source, header.source)
    const whole = this.#fragments.add(packet)
    if (whole === null) return
    if (whole.protocol === PROTOCOL_UDP) this.#receiveUdp(whole)
    else if (this.#isGroup(whole.destination)) return
    else if (whole.protocol === PROTOCOL_TCP) this.#tcp.receive(whole)
    else if (whole.protocol === PROTOCOL_ICMP) this.#receiveIcmp(whole)
  }

  #receiveIcmp(packet: Ipv4Packet): void {
    const { gateway, dns } = this.#addresses
    const isOurs = packet.destination === gateway || packet.destination === dns
    const reply = isOurs ? echoReply(packet) : null
    if (reply !== null) this.#answer(packet, reply)
    // Sending echo requests takes privileges that we do not have; the guest gets an ICMP error.
    else if (!isOurs && !isIcmpError(packet)) this.#answer(packet, makeUnreachable(packet, UNREACHABLE_PROHIBITED))
  }

  #receiveUdp(packet: Ipv4Packet): void {
    const datagram = readUdp(packet)
    if (datagram === null) return
    const { gateway, dns } = this.#addresses
    const { source, destination } = packet
    const { destinationPort: port, payload } = datagram
    const guest = { address: source, port: datagram.sourcePort }
    if (port === DHCP_SERVER_PORT && (this.#isGroup(destination) || destination === gateway)) {
      this.#receiveDhcp(datagram)
      return
    }
    if (source === 0 || this.#isGroup(destination)) return
    const seen = { address: destination, port }
    if (destination === gateway && port === TFTP_PORT) {
      this.#tftp.receive(guest, payload, (message) => this.#udp.deliver(seen, guest, message))
      return
    }
    if (destination === dns && port === DNS_PORT && !this.#restrict) {
      this.#dns.receive(payload, (answer) => this.#udp.deliver(seen, guest, answer))
      return
    }
    const route = this.#route(destination, port)
    const to = route.kind === 'host' ? route.to : null
    if (this.#udp.send(guest, seen, to, payload)) return
    const code = route.kind === 'prohibited' ? UNREACHABLE_PROHIBITED : UNREACHABLE_PORT
    this.#answer(packet, makeUnreachable(packet, code))
  }

  #receiveDhcp({ payload }: UdpDatagram): void {
    const answer = this.#dhcp.receive(payload)
    if (answer === null) return
    const { gateway } = this.#addresses
    const ports = { sourcePort: DHCP_SERVER_PORT, destinationPort: DHCP_CLIENT_PORT }
    const fields = { source: gateway, destination: answer.address, protocol: PROTOCOL_UDP }
    this.#link.send(fields, makeUdp(gateway, answer.address, { ...ports, payload: answer.message }), answer.mac)
  }

  #answer({ source, destination }: Ipv4Packet, message: Uint8Array): void {
    this.#link.send({ source: destination, destination: source, protocol: PROTOCOL_ICMP }, message)
  }

  #isGroup(address: Ipv4Address): boolean {
    const { subnet } = this.#addresses
    return address >= MULTICAST || address === (subnet.network | ~subnet.mask) >>> 0
  }

  /** Returns the route of a guest's packets to an address. */
  #route(address: Ipv4Address, port: number): TcpRoute {
    const service = this.#services.get(`${address}:${port}`)
    if (service !== undefined) return { kind: 'service', connect: (client) => service.connect(client) }
    if (this.#restrict) return { kind: 'prohibited' }
    const { subnet, gateway, dns } = this.#addresses
    if (address === dns && port === DNS_PORT) {
      const soon = (callback: () => void): void => this.clock.soon(callback)
      return { kind: 'service', connect: (client) => new DnsStream(this.#dns, client, soon) }
    }
    if (address === gateway && this.#hostLoopback) return { kind: 'host', to: { address: '127.0.0.1', port } }
    // This network, the loopback network 127.0.0.0/8, and 0.0.0.0/8, which name no host of the outside.
    const isNowhere = isWithin(address, subnet) || address >>> 24 === 127 || address >>> 24 === 0
    return isNowhere || port === 0 ? { kind: 'refused' } : { kind: 'host', to: { address: formatIpv4(address), port } }
  }

  /** The host itself is the gateway. @returns null for an address that guests cannot know */
  #seenAs(text: string): Ipv4Address | null {
    if (isLoopback(text)) return this.#addresses.gateway
    const address = readIpv4(text.replace(/^::ffff:/i, ''))
    return address === null || isWithin(address, this.#addresses.subnet) ? null : address
  }

  async #forward(forward: HostForward): Promise<OpenSocket> {
    checkPort('hostForwards: hostPort', forward.hostPort, 0)
    checkPort('hostForwards: guestPort', forward.guestPort, 1)
    const { firstGuest, gateway, subnet } = this.#addresses
    const address = forward.guestAddress === undefined ? firstGuest : parseIpv4(forward.guestAddress)
    const guest: UdpEnd = { address, port: forward.guestPort }
    const at = { address: forward.hostAddress ?? '127.0.0.1', port: forward.hostPort }
    if (!isWithin(address, subnet)) {
      const text = forward.guestAddress
      throw new NetworkError('ERR_OPTION', `hostForwards: guestAddress ${text}: expected an address of the network`)
    }
    if (forward.protocol === 'udp') {
      const bound: { socket?: UdpSocket } = {}
      const socket = await this.#sockets.bindUdp(at, (from, bytes) => {
        if (bound.socket !== undefined) this.#udp.forward(bound.socket, from, bytes, guest)
      })
      bound.socket = socket
      return socket
    }
    return this.#sockets.listenTcp(at, (from, socket) => {
      const client = this.#closed ? null : this.#tcp.accept(this.#seenAs(from.address) ?? gateway, from, socket, guest)
      if (client === null) socket.abort()
      return client ?? NOBODY
    })
  }
}

/** Is notified of a connection that was broken off at once. */
const NOBODY: TcpSocketClient = { connected() {}, data() {}, ended() {}, drained() {}, closed() {} }
