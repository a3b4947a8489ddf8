// The networks of a cluster: subnets, and the addresses of machines in them.
import type { PlacedMachine, PlacedNetwork } from './description.ts'
import { bad } from './errors.ts'
import { ipv6Text } from './frame-text.ts'

/** A network as a description has it. */
export interface NetworkWish extends Readonly<Partial<Record<'subnet4' | 'subnet6', string | undefined>>> {
  readonly ipv6?: boolean | undefined
}

type AddressWish = Pick<PlacedNetwork, 'aliases'> & Readonly<Partial<Record<'ipv4' | 'ipv6', string | undefined>>>
/** A machine's place in networks as a description has it, by their names. */
export interface PlaceWish extends Pick<PlacedMachine, 'name'> {
  readonly network?: 'none' | undefined
  readonly networks?: Readonly<Record<string, AddressWish>> | undefined
}

/** The network of machines that name none. */
const DEFAULT: Readonly<Record<string, AddressWish>> = { default: { aliases: [] } }

/** The number that an address of IPv4 or IPv6 is. */
export function addressNumber(text: string): bigint {
  const bytesOf = (part: string): number[] => {
    if (part.includes('.')) return part.split('.').map(Number)
    return part === '' ? [] : [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 255]
  }
  const [first = [], last = []] = text.split('::').map((half) => half.split(':').flatMap(bytesOf))
  const zeros = new Array<number>(text.includes(':') ? 16 - first.length - last.length : 0).fill(0)
  return [...first, ...zeros, ...last].reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
}

class Subnet {
  readonly text: string
  readonly #bits: 32 | 128
  readonly #prefix: number
  readonly #first: bigint
  readonly #size: bigint
  /** The machines that have addresses, by their places in the subnet. */
  readonly #owners = new Map<bigint, string>()

  /** @throws ClusterError `ERR_CLUSTER` for a subnet without room, or that is too large */
  constructor(path: string, text: string) {
    const [address = '', prefix] = text.split('/')
    this.#bits = text.includes(':') ? 128 : 32
    this.#prefix = Number(prefix)
    if (this.#prefix < 8 || this.#prefix > this.#bits - 2) throw bad(path, `${text}: expected /8 to /${this.#bits - 2}`)
    this.#size = 1n << BigInt(this.#bits - this.#prefix)
    this.#first = addressNumber(address) & -this.#size
    this.text = this.#textOf(0n)
  }

  /** Whether the two have addresses in common. */
  meets(other: Subnet): boolean {
    return this.#first < other.#first + other.#size && other.#first < this.#first + this.#size
  }

  /**
   * Gives a machine an address: the one that it names, or from its number on the next free one. The first address is the subnet's own, and
   * the last one stands for all machines.
   *
   * @throws ClusterError `ERR_CLUSTER` for an address outside of the subnet, or of another machine, and where all are taken
   */
  take(path: string, name: string, number: number, text: string | undefined): string {
    const [owners, usable] = [this.#owners, this.#size - 2n]
    let at = text === undefined ? 1n + (BigInt(number) % usable) : addressNumber(text) - this.#first
    while (text === undefined && owners.has(at) && BigInt(owners.size) < usable) at = 1n + (at % usable)
    if (at < 1n || at > usable) throw bad(path, `${name}: expected an address in ${this.text}, and not '${text}'`)
    const taken =
      text === undefined ? `${this.text} has no address left for` : `${text} is the address of ${owners.get(at)} and`
    if (owners.has(at)) throw bad(path, `${taken} ${name}`)
    owners.set(at, name)
    return this.#textOf(at)
  }

  #textOf(place: bigint): string {
    const [value, bits] = [this.#first + place, this.#bits]
    const bytes = Uint8Array.from({ length: bits / 8 }, (_, i) => Number((value >> BigInt(bits - 8 - 8 * i)) & 0xffn))
    return `${bits === 32 ? bytes.join('.') : ipv6Text(bytes)}/${this.#prefix}`
  }
}

type Subnets = Readonly<Record<'ipv4' | 'ipv6', Subnet>>

/**
 * Gives machines their places in networks.
 *
 * @throws ClusterError `ERR_CLUSTER` for subnets that meet, and for addresses outside of their subnet or of two machines
 */
export function placeMachines(
  given: Readonly<Record<string, NetworkWish>>,
  wishes: readonly PlaceWish[],
): readonly (readonly PlacedNetwork[])[] {
  const isUsual = ({ network, networks }: PlaceWish): boolean => (network ?? networks) === undefined
  const all = readNetworks({ ...(wishes.some(isUsual) && { default: {} }), ...given })
  const placed = wishes.map((wish) =>
    Object.entries(isUsual(wish) ? DEFAULT : (wish.networks ?? {})).map(([name, place]) => ({ ...place, name })),
  )
  // Addresses that machines name are taken first.
  for (const isNamed of [true, false])
    for (const [number, { name, network }] of wishes.entries())
      for (const place of placed[number]!) {
        const subnets = all.get(place.name)
        const why = network === 'none' ? '`network` is none' : `expected one of ${[...all.keys()].join(', ')}`
        if (subnets === undefined || network === 'none')
          throw bad(`machine ${name}: networks`, `it has no network ${place.name}: ${why}`)
        if (given[place.name]?.ipv6 === true) Object.assign(place, { isDual: true })
        for (const key of ['ipv4', 'ipv6'] as const)
          if ((place[key] !== undefined) === isNamed)
            place[key] = subnets[key].take(`networks.${place.name}`, name, number, place[key])
      }
  return placed as PlacedNetwork[][]
}

/** @throws ClusterError `ERR_CLUSTER` for a subnet that cannot be read, or meets another one */
function readNetworks(given: Readonly<Record<string, NetworkWish>>): ReadonlyMap<string, Subnets> {
  const known: Subnet[] = []
  const make = (path: string, text: string): Subnet => {
    const subnet = new Subnet(path, text)
    const other = known.find((one) => one.meets(subnet))
    if (other !== undefined) throw bad(path, `${subnet.text} meets ${other.text} of another network`)
    known.push(subnet)
    return subnet
  }
  const named = Object.entries(given).map(([name, { subnet4, subnet6 }]) => ({
    name,
    ipv4: subnet4 === undefined ? undefined : make(`networks.${name}`, subnet4),
    ipv6: subnet6 === undefined ? undefined : make(`networks.${name}`, subnet6),
  }))
  /** The first of the usual subnets that meets no other. */
  const free = (textOf: (i: number) => string, i = 0): Subnet => {
    const subnet = new Subnet('networks', textOf(i))
    return known.some((one) => one.meets(subnet)) ? free(textOf, i + 1) : make('networks', textOf(i))
  }
  const ipv4Of = (i: number): string => `10.${83 + i}.0.0/16`
  const ipv6Of = (i: number): string => `fd${(0x83 + i).toString(16)}::/64`
  return new Map(named.map(({ name, ipv4 = free(ipv4Of), ipv6 = free(ipv6Of) }) => [name, { ipv4, ipv6 }]))
}

/** Whether frames go from one machine to the other: they have a network in common. */
export const shareNetwork = ({ networks }: PlacedMachine, { networks: others }: PlacedMachine): boolean =>
  networks.some(({ name }) => others.some((other) => other.name === name))
