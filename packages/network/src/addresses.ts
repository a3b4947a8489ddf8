import { NetworkError } from './errors.ts'

/** An IPv4 address as an unsigned 32-bit number: 10.0.2.2 is 0x0a000202. */
export type Ipv4Address = number

/** Reads `a.b.c.d`. @returns null for any other text */
export function readIpv4(text: string): Ipv4Address | null {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number)
  if (parts === undefined || parts.some((part) => part > 255)) return null
  return parts.reduce((value, part) => value * 256 + part, 0)
}

/** Reads an address that an option gives. @throws NetworkError `ERR_OPTION` */
export function parseIpv4(text: string): Ipv4Address {
  const address = readIpv4(text)
  if (address === null) throw new NetworkError('ERR_OPTION', `'${text}': expected an IPv4 address such as 10.0.2.2`)
  return address
}

/** Writes an address as `a.b.c.d`. */
export function formatIpv4(address: Ipv4Address): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.')
}

/** A network's number, and which bits of an address it is. */
export interface Subnet {
  readonly network: Ipv4Address
  readonly mask: number
}

/** Reads `10.0.2.0/24`, or a network and a mask: `10.0.2.0/255.255.255.0`. @throws NetworkError `ERR_OPTION` */
export function parseSubnet(text: string): Subnet {
  const [, address = '', size = ''] = /^([\d.]+)\/([\d.]+)$/.exec(text) ?? []
  const number = readIpv4(address)
  const mask = /^\d+$/.test(size) && Number(size) <= 32 ? maskOf(Number(size)) : readIpv4(size)
  // A mask is ones, then zeros. The gateway, the name server and a guest have to fit.
  const isMask = mask !== null && ((~mask + 1) & ~mask) === 0 && ~mask >>> 0 >= 7 && mask !== 0
  if (number === null || !isMask) {
    throw new NetworkError('ERR_OPTION', `'${text}': expected a network of /1 to /29, such as 10.0.2.0/24`)
  }
  return { network: (number & mask) >>> 0, mask }
}

const maskOf = (bits: number): number => (bits === 0 ? 0 : (-1 << (32 - bits)) >>> 0)

/** Whether an address lies in a subnet. */
export const isWithin = (address: Ipv4Address, { network, mask }: Subnet): boolean => (address & mask) >>> 0 === network

/** An Ethernet address as a number of 48 bits, for keys of maps. */
export function macNumber(bytes: Uint8Array, at = 0): number {
  let value = 0
  for (let i = 0; i < 6; i++) value = value * 256 + bytes[at + i]!
  return value
}

/** Writes an Ethernet address that {@link macNumber} has made. */
export function putMac(into: Uint8Array, at: number, mac: number): void {
  let rest = mac
  for (let i = 5; i >= 0; i--) {
    into[at + i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

export const BROADCAST_MAC = 0xffff_ffff_ffff
export const BROADCAST_IPV4: Ipv4Address = 0xffff_ffff
