import { BROADCAST_IPV4, BROADCAST_MAC, type Ipv4Address, isWithin, macNumber, type Subnet } from '../addresses.ts'
import type { UserNetworkOptions } from './options.ts'
import { get16, get32, put16, put32 } from '../frames/bytes.ts'

export const DHCP_SERVER_PORT = 67
export const DHCP_CLIENT_PORT = 68
const MAGIC = 0x6382_5363
const FIXED_BYTES = 240
/** BOOTP's clients expect this much (RFC 951 §3). */
const LEAST_BYTES = 300
const LEASE_SECONDS = 86_400
const MOST_LEASES = 256

const DISCOVER = 1
const OFFER = 2
const REQUEST = 3
const DECLINE = 4
const ACK = 5
const NAK = 6
const RELEASE = 7
const INFORM = 8

const OPTION_SUBNET_MASK = 1
const OPTION_ROUTER = 3
const OPTION_DNS = 6
const OPTION_HOST_NAME = 12
const OPTION_DOMAIN_NAME = 15
const OPTION_REQUESTED_ADDRESS = 50
const OPTION_LEASE_TIME = 51
const OPTION_TYPE = 53
const OPTION_SERVER = 54
const OPTION_TFTP_SERVER = 66
const OPTION_BOOT_FILE = 67
const OPTION_END = 255

/** The addresses and names that the server gives. */
export interface DhcpOptions extends Pick<UserNetworkOptions, 'hostName' | 'domainName' | 'bootFile' | 'serverName'> {
  readonly subnet: Subnet
  readonly gateway: Ipv4Address
  /** Address of the DNS server; null: none announced. */
  readonly dns: Ipv4Address | null
  readonly firstAddress: Ipv4Address
  /** Whether guests get neither gateway nor name server. */
  readonly isolated: boolean
}

/** A response, and its destination. */
export interface DhcpAnswer {
  readonly message: Uint8Array
  readonly address: Ipv4Address
  readonly mac: number
}

/** Gives addresses to guests, the first one to the first. Source: RFC 2131 §3, §4.3; RFC 2132; RFC 951. */
export class DhcpServer {
  readonly #options: DhcpOptions
  /** IPv4 addresses by the client's hardware address. */
  readonly #leases = new Map<number, Ipv4Address>()

  constructor(options: DhcpOptions) {
    this.#options = options
  }

  /** Handles a message. @returns the response; null if none is due */
  receive(message: Uint8Array): DhcpAnswer | null {
    const isRequest = message.length >= FIXED_BYTES && message[0] === 1 && message[1] === 1 && message[2] === 6
    if (!isRequest || get32(message, 236) !== MAGIC) return null
    const mac = macNumber(message, 28)
    const options = readOptions(message)
    const server = addressOf(options.get(OPTION_SERVER))
    if (server !== null && server !== this.#options.gateway) return null
    // BOOTP has no types: any party that asks is answered.
    switch (options.get(OPTION_TYPE)?.[0]) {
      case undefined: {
        const address = this.#lease(mac, null)
        return address === null ? null : this.#answer(message, null, address)
      }
      case DISCOVER: {
        const address = this.#lease(mac, addressOf(options.get(OPTION_REQUESTED_ADDRESS)))
        return address === null ? null : this.#answer(message, OFFER, address)
      }
      case REQUEST: {
        const wanted = addressOf(options.get(OPTION_REQUESTED_ADDRESS)) ?? get32(message, 12)
        // A guest started by another machine keeps its address if possible.
        const address = this.#lease(mac, wanted)
        return address !== null && address === wanted
          ? this.#answer(message, ACK, address)
          : this.#answer(message, NAK, 0)
      }
      case INFORM:
        return this.#answer(message, ACK, 0)
      case RELEASE:
      case DECLINE:
        this.#leases.delete(mac)
        return null
      default:
        return null
    }
  }

  /** Returns a client's address: its present one, else the wanted one, else the first free one. */
  #lease(mac: number, wanted: Ipv4Address | null): Ipv4Address | null {
    const present = this.#leases.get(mac)
    if (present !== undefined) return present
    if (this.#leases.size === MOST_LEASES) {
      const [oldest] = this.#leases.keys()
      this.#leases.delete(oldest!)
    }
    const taken = new Set(this.#leases.values())
    const { firstAddress, subnet } = this.#options
    const last = (subnet.network | ~subnet.mask) >>> 0
    let address = firstAddress
    while (address < last && (taken.has(address) || this.#isOurs(address))) address++
    const canHave =
      wanted !== null && isWithin(wanted, subnet) && wanted >= firstAddress && wanted < last && !taken.has(wanted)
    if (canHave && !this.#isOurs(wanted)) address = wanted
    if (address >= last) return null
    this.#leases.set(mac, address)
    return address
  }

  #isOurs(address: Ipv4Address): boolean {
    return address === this.#options.gateway || address === this.#options.dns
  }

  #answer(request: Uint8Array, type: number | null, address: Ipv4Address): DhcpAnswer {
    const { gateway } = this.#options
    const fields = [...(type === null ? [] : [OPTION_TYPE, 1, type]), ...this.#fields(type, address)]
    const message = new Uint8Array(Math.max(LEAST_BYTES, FIXED_BYTES + fields.length + 1))
    message[0] = 2
    message[1] = 1
    message[2] = 6
    // Transaction, flags.
    message.set(request.subarray(4, 8), 4)
    put16(message, 10, get16(request, 10) & 0x8000)
    const client = type === NAK ? 0 : get32(request, 12)
    put32(message, 12, client)
    put32(message, 16, address)
    put32(message, 20, gateway)
    message.set(request.subarray(28, 44), 28)
    const file = this.#options.bootFile ?? ''
    message.set(ascii(file).slice(0, 127), 108)
    put32(message, 236, MAGIC)
    message.set(fields, FIXED_BYTES)
    message[FIXED_BYTES + fields.length] = OPTION_END
    // RFC 2131 §4.1: a client without an address is reached by its hardware address, unless it asks for a broadcast.
    const broadcasts = type === NAK || ((get16(request, 10) & 0x8000) !== 0 && client === 0)
    const to = client || address
    return broadcasts || to === 0
      ? { message, address: BROADCAST_IPV4, mac: BROADCAST_MAC }
      : { message, address: to, mac: macNumber(request, 28) }
  }

  /** The options. Source: RFC 2131 §4.3.5: the answer to INFORM, which gives no address, has no lease time. */
  #fields(type: number | null, address: Ipv4Address): number[] {
    const { subnet, gateway, dns, hostName, domainName, bootFile, serverName, isolated } = this.#options
    const server = option(OPTION_SERVER, bytesOf(gateway))
    if (type === NAK) return server
    const text = (code: number, value: string | undefined): number[] =>
      value === undefined ? [] : option(code, ascii(value).slice(0, 255))
    return [
      ...server,
      ...(type === null || address === 0 ? [] : option(OPTION_LEASE_TIME, bytesOf(LEASE_SECONDS))),
      ...option(OPTION_SUBNET_MASK, bytesOf(subnet.mask)),
      ...(isolated ? [] : option(OPTION_ROUTER, bytesOf(gateway))),
      ...(isolated || dns === null ? [] : option(OPTION_DNS, bytesOf(dns))),
      ...text(OPTION_HOST_NAME, hostName),
      ...text(OPTION_DOMAIN_NAME, domainName),
      ...text(OPTION_TFTP_SERVER, serverName),
      ...text(OPTION_BOOT_FILE, bootFile),
    ]
  }
}

/** @returns the first of each code */
function readOptions(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>()
  for (let at = FIXED_BYTES; at < message.length;) {
    const code = message[at]!
    if (code === OPTION_END) break
    if (code === 0) {
      at++
      continue
    }
    const length = message[at + 1] ?? 0
    if (at + 2 + length > message.length) break
    if (!options.has(code)) options.set(code, message.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  return options
}

const addressOf = (bytes: Uint8Array | undefined): Ipv4Address | null => (bytes?.length === 4 ? get32(bytes, 0) : null)
const bytesOf = (value: number): number[] => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255)
const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0) & 127)
const option = (code: number, bytes: readonly number[]): number[] => [code, bytes.length, ...bytes]
