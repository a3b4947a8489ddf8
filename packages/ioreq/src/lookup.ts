import { type Claim, type ClaimedRegion, placeholder, sizesUpTo } from './region.ts'
import type { RegionTable } from './region-table.ts'
import { XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import type { IoreqServer } from './server.ts'

/** A region as look-ups have it: with the server that answers. */
export type ServedRegion = ClaimedRegion & { server: IoreqServer | null }

/** Stands for "not directly": nobody there, another process' server, or a port with a meaning of its own. */
const NOT_DIRECT_PORT = placeholder('port') as ServedRegion
const NOT_DIRECT_MMIO = placeholder('mmio') as ServedRegion

const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
const ECAM_BUS_BYTES = 1 << 20

/** Returns the claims that a look-up is made of, in ascending precedence. */
type ClaimSource = () => Claim[]

/** All claims of a kind in ascending precedence: those of the servers by id, then the hypervisor's own. */
export function claimsInOrder(
  kind: 'port' | 'mmio',
  servers: readonly (IoreqServer | null)[],
  internal: RegionTable,
): Claim[] {
  const enabled = servers.filter((server) => server !== null && server.enabled)
  return [...enabled.flatMap((server) => server!.channel.claims(kind)), ...internal.claims(kind, null)]
}

/** The map of a look-up that has not been made: nothing answers directly. */
const NO_PORTS = new Uint32Array(0x1_0000)

/** The bits of a port's entry that are the index of its region. */
export const PORT_REGION = 0xffff

/**
 * Finds the region that answers for each port.
 *
 * It is made when somebody looks for a port for the first time after a change of claims: until then nothing answers directly.
 * Painted in ascending precedence, so that a port's region is that of the highest party that claims the port. If that
 * region holds the whole access, it answers: no higher party claims even the first byte. An entry has the index of the
 * region, and the sizes of accesses that this region takes at once, so that an access needs a single look.
 */
export class PortLookup {
  /** Another one once the look-up has been made for the first time. */
  map: Uint32Array = NO_PORTS
  readonly regions: ServedRegion[] = [NOT_DIRECT_PORT]
  readonly #claims: ClaimSource
  #isStale = true

  constructor(claims: ClaimSource) {
    this.#claims = claims
  }

  /** The claims have changed. */
  changed(): void {
    if (this.#isStale) return
    this.#isStale = true
    this.map.fill(0)
    this.regions.length = 1
  }

  /** Makes the look-up, for a port without a direct answer. @returns false where it has been made already */
  make(): boolean {
    if (!this.#isStale) return false
    this.#isStale = false
    if (this.map === NO_PORTS) this.map = new Uint32Array(NO_PORTS.length)
    for (const claim of this.#claims()) this.#paint(claim)
    // The latch and the PCI decoding of CONFIG_DATA come before any range.
    this.map[CONFIG_ADDRESS] = 0
    this.map.fill(0, CONFIG_DATA, CONFIG_DATA + 4)
    return true
  }

  #paint({ start, end, region }: Claim): void {
    if (this.regions.at(-1) !== region) this.regions.push(region as ServedRegion)
    const index = this.regions.length - 1
    const { directSizes } = region
    this.map.fill(index | directSizes, start, end)
    // The last places are too near to the end for the larger accesses.
    for (let left = 1; left < Math.min(4, end - start + 1); left++) {
      this.map[end - left] = index | (directSizes & sizesUpTo(left))
    }
  }
}

/** Addresses in one granule share a slot of the remembered segments. */
const GRANULE_BYTES = 0x1000
/** How many granules' segments are remembered. */
const REMEMBERED = 64

/** Windows of memory-mapped configuration space. */
type EcamWindows = readonly { readonly base: number; readonly firstBus: number; readonly lastBus: number }[]

/**
 * Which region answers for each guest-physical address: disjoint segments in ascending order. They are found when somebody looks
 * for an address for the first time after a change of claims.
 */
export class MmioLookup {
  #starts = new Float64Array(1)
  #regions: ServedRegion[] = [NOT_DIRECT_MMIO]
  #isStale = true
  readonly #claims: ClaimSource
  readonly #windows: () => EcamWindows
  /** The segment of the last look-up. */
  hitStart = 0
  hitEnd = 0
  hit: ServedRegion = NOT_DIRECT_MMIO
  /** Segments that were found before, by low bits of the granule: models whose registers a guest uses in turn. */
  readonly #knownStarts = new Float64Array(REMEMBERED)
  readonly #knownEnds = new Float64Array(REMEMBERED)
  readonly #knownRegions: ServedRegion[] = new Array<ServedRegion>(REMEMBERED).fill(NOT_DIRECT_MMIO)

  constructor(claims: ClaimSource, windows: () => EcamWindows = () => []) {
    this.#claims = claims
    this.#windows = windows
  }

  /** The claims, or the windows, have changed. */
  changed(): void {
    if (this.#isStale) return
    this.#isStale = true
    this.hitStart = 0
    this.hitEnd = 0
    this.#knownEnds.fill(0)
  }

  #make(): void {
    this.#isStale = false
    const painted = this.#claims()
    for (const { base, firstBus, lastBus } of this.#windows()) {
      const start = base + firstBus * ECAM_BUS_BYTES
      painted.push({ start, end: base + (lastBus + 1) * ECAM_BUS_BYTES, region: NOT_DIRECT_MMIO })
    }

    const edges = new Set<number>([0])
    for (const { start, end } of painted) edges.add(start).add(end)
    const starts = [...edges].toSorted((a, b) => a - b)
    this.#regions = starts.map((start) => {
      const claim = painted.findLast((p) => p.start <= start && start < p.end)
      return (claim?.region ?? NOT_DIRECT_MMIO) as ServedRegion
    })
    this.#starts = Float64Array.from(starts)
  }

  /** The region at `gpa`; remembers its segment. */
  find(gpa: number): ServedRegion {
    // Small, so that V8 has it in line where it is called.
    return gpa >= this.hitStart && gpa < this.hitEnd ? this.hit : this.#findKnown(gpa)
  }

  #findKnown(gpa: number): ServedRegion {
    const known = (gpa / GRANULE_BYTES) & (REMEMBERED - 1)
    const end = this.#knownEnds[known]!
    const start = this.#knownStarts[known]!
    if (gpa < start || gpa >= end) return this.#search(gpa, known)
    this.hitStart = start
    this.hitEnd = end
    this.hit = this.#knownRegions[known]!
    return this.hit
  }

  #search(gpa: number, known: number): ServedRegion {
    if (this.#isStale) this.#make()
    const starts = this.#starts
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= gpa) low = middle + 1
      else high = middle
    }
    this.hitStart = starts[low - 1]!
    this.hitEnd = low < starts.length ? starts[low]! : Infinity
    this.hit = this.#regions[low - 1]!
    this.#knownStarts[known] = this.hitStart
    this.#knownEnds[known] = this.hitEnd
    this.#knownRegions[known] = this.hit
    return this.hit
  }
}

/** Whether a server claims all ports of an access. */
export function claimsPorts(server: IoreqServer, address: number, size: number): boolean {
  // No server of higher precedence claims even the first port, so this server answers if it claims all of them.
  return server.ranges[XEN_DMOP_IO_RANGE_PORT].contains(address, address + size - 1)
}

/** Whether an access of `size` bytes is in a set of sizes, {@link ClaimedRegion.directSizes}. */
export function isDirectCall(sizes: number, size: number): boolean {
  return ((sizes >>> (16 + size)) & 1) !== 0
}
