import { formatIpv4, type Ipv4Address, readIpv4 } from './addresses.ts'

/** Whether a name may be one of a host: labels of letters, digits and hyphens, at least two. Source: RFC 1123 §2.1. */
export const isHostName = (name: string): boolean =>
  name.length <= 253 && /^([a-z\d_]([a-z\d_-]{0,61}[a-z\d])?\.)+[a-z][a-z\d-]{0,61}[a-z\d]\.?$/i.test(name)

/** 198.18.0.0/15: reserved for tests of networks. Source: RFC 6890 §2.2.2, table 12. */
const FIRST: Ipv4Address = 0xc612_0001
const MOST_NAMES = 65_536

/** Addresses for names that only the other side, a browser or a relay, can look up. */
export class SyntheticNames {
  readonly #addresses = new Map<string, Ipv4Address>()
  readonly #names = new Map<Ipv4Address, string>()
  #next = 0

  /** Returns the address of a name: stable until 65,536 others have been used. */
  addressOf(name: string): string {
    const known = this.#addresses.get(name)
    if (known !== undefined) return formatIpv4(known)
    const address = FIRST + this.#next
    this.#next = (this.#next + 1) % MOST_NAMES
    const old = this.#names.get(address)
    if (old !== undefined) this.#addresses.delete(old)
    this.#names.set(address, name)
    this.#addresses.set(name, address)
    return formatIpv4(address)
  }

  /** The address of a name as `Sockets.lookup` gives it; null: no host has such a name. */
  lookup(name: string): readonly string[] | null {
    return isHostName(name) ? [this.addressOf(name.toLowerCase().replace(/\.$/, ''))] : null
  }

  /** Returns the name that an address stands for; undefined for a real address. */
  nameOf(address: string): string | undefined {
    const number = readIpv4(address)
    return number === null ? undefined : this.#names.get(number)
  }

  /** Whether an address may only stand for a name. */
  isSynthetic(address: string): boolean {
    const number = readIpv4(address)
    return number !== null && number >= FIRST && number < FIRST + MOST_NAMES
  }
}
