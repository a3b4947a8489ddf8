import { type Ipv4Address, isWithin, parseIpv4, parseSubnet, readIpv4, type Subnet } from '../addresses.ts'
import type { NetworkClock } from '../clock.ts'
import { NetworkError } from '../errors.ts'
import type { Sockets, TcpSocket, TcpSocketClient } from '../sockets.ts'
import type { ReadBootFile } from './tftp.ts'

/** A port of the host's that leads to a guest. */
export interface HostForward {
  /** Default `tcp`. */
  readonly protocol?: 'tcp' | 'udp'
  /** Address of the host's to listen at; default `127.0.0.1`, so that other machines cannot connect. */
  readonly hostAddress?: string
  /** 0: the host chooses one; see `UserNetwork.hostPorts`. */
  readonly hostPort: number
  /** Default the first address that the network gives: 10.0.2.15. */
  readonly guestAddress?: string
  /** Port of the guest's. */
  readonly guestPort: number
}

/** An address of the guest's network behind which there is a service of yours. */
export interface GuestForward {
  /** An address of the network, such as 10.0.2.100. */
  readonly address: string
  /** Port of the destination. */
  readonly port: number
  /** Takes a connection, as `Sockets.connectTcp` does. */
  connect(client: TcpSocketClient): TcpSocket
}

/** Options of {@link UserNetwork}. Names and defaults are as in QEMU's `-netdev user`. */
export interface UserNetworkOptions {
  /** The host's network: `nodeSockets()` of `@retrap/network/node`, or one of yours. */
  readonly sockets: Sockets
  /** Default `10.0.2.0/24`. */
  readonly network?: string | undefined
  /** Address of the gateway, which stands for the host; default the network's second one. */
  readonly host?: string | undefined
  /** Address of the name server; default the network's third one. */
  readonly dns?: string | undefined
  /** First address that guests are given; default the network's fifteenth one. */
  readonly dhcpStart?: string | undefined
  /** A name for guests. */
  readonly hostName?: string | undefined
  /** The domain for guests. */
  readonly domainName?: string | undefined
  /** Whether guests can reach neither the host nor networks beyond; forwarded ports still work. Default false. */
  readonly restrict?: boolean | undefined
  /** Guests reach the host's own servers at 127.0.0.1, by the gateway's address. Default true. */
  readonly hostLoopback?: boolean | undefined
  /** Ports of the host's that lead to a guest; default none. */
  readonly hostForwards?: readonly HostForward[] | undefined
  /** Services at addresses of the guests' network; default none. */
  readonly guestForwards?: readonly GuestForward[] | undefined
  /** Files that guests load by TFTP from the gateway; default none. */
  readonly bootFiles?: ReadBootFile | undefined
  /** Name of the file that guests boot from. */
  readonly bootFile?: string | undefined
  /** Name of the boot server, for guests. */
  readonly serverName?: string | undefined
  /** Default the host's time. */
  readonly clock?: NetworkClock | undefined
  /** Source of sequence numbers, from 0 up to 1; default `Math.random`. */
  readonly random?: (() => number) | undefined
}

export interface UserAddresses {
  readonly subnet: Subnet
  readonly gateway: Ipv4Address
  readonly dns: Ipv4Address
  readonly firstGuest: Ipv4Address
}

const DEFAULT_NETWORK = '10.0.2.0/24'

/** @throws NetworkError `ERR_OPTION` for an address outside of the network, or one with two meanings */
export function userAddresses(options: UserNetworkOptions): UserAddresses {
  const { network = DEFAULT_NETWORK } = options
  const subnet = parseSubnet(network)
  const last = (subnet.network | ~subnet.mask) >>> 0
  const inside = (name: string, text: string | undefined, otherwise: number): Ipv4Address => {
    const address = text === undefined ? subnet.network + otherwise : parseIpv4(text)
    if (!isWithin(address, subnet) || address === subnet.network || address === last) {
      throw new NetworkError('ERR_OPTION', `${name} ${text ?? ''}: expected an address of ${network}`)
    }
    return address
  }
  const small = last - subnet.network < 16
  const gateway = inside('host', options.host, 2)
  const dns = inside('dns', options.dns, 3)
  const firstGuest = inside('dhcpStart', options.dhcpStart, small ? 4 : 15)
  if (gateway === dns) throw new NetworkError('ERR_OPTION', 'host and dns: expected two addresses')
  if (firstGuest === gateway || firstGuest === dns) {
    throw new NetworkError('ERR_OPTION', 'dhcpStart: expected an address that neither host nor dns has')
  }
  return { subnet, gateway, dns, firstGuest }
}

/** @throws NetworkError `ERR_OPTION` */
export function checkPort(name: string, port: number, least: number): void {
  if (Number.isInteger(port) && port >= least && port <= 0xffff) return
  throw new NetworkError('ERR_OPTION', `${name} ${port}: expected a port from ${least} to 65535`)
}

/** Whether an address of the host's is the host itself. */
export function isLoopback(address: string): boolean {
  const plain = address.replace(/^::ffff:/i, '')
  return plain === '::1' || (readIpv4(plain) ?? 0) >>> 24 === 127
}
