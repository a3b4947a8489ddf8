import { DEAD_HANDLER } from './dead-handler.ts'
import { ClaimedRegion, sizesUpTo } from './region.ts'
import { XEN_DMOP_IO_RANGE_MEMORY, XEN_DMOP_IO_RANGE_PORT } from './layout.ts'
import type { IoreqServer } from './server.ts'
import type { RegionTable } from './region-table.ts'

/** A region as look-ups have it: with the server that answers. */
export type ServedRegion = ClaimedRegion & { server: IoreqServer | null }

const place = (kind: 'port' | 'mmio'): ServedRegion =>
  new ClaimedRegion(null, {
    device: '',
    kind,
    base: 0,
    length: 0,
    handler: DEAD_HANDLER,
    direct: false,
    window: null,
  }) as ServedRegion

/** Stands for "not directly": nobody there, another process' server, or a port with a meaning of its own. */
const NOT_DIRECT_PORT = place('port')
const NOT_DIRECT_MMIO = place('mmio')

/** Stands for what a server of another thread or process claims. */
function elsewhere(kind: 'port' | 'mmio', server: IoreqServer): ServedRegion {
  const region = place(kind)
  region.server = server
  return region
}

const CONFIG_ADDRESS = 0xcf8
const CONFIG_DATA = 0xcfc
const ECAM_BUS_BYTES = 1 << 20

/** The bits of a port's entry that are the index of its region. */
export const PORT_REGION = 0xffff

/**
 * Finds the region that answers for each port.
 *
 * Painted in ascending precedence, so that a port's region is that of the highest party that claims the port. If that
 * region holds the whole access, it answers: no higher party claims even the first byte. An entry has the index of the
 * region, and the sizes of accesses that this region takes at once, so that an access needs a single look.
 */
export class PortLookup {
  readonly map: Uint32Array = new Uint32Array(0x1_0000)
  readonly regions: ServedRegion[] = [NOT_DIRECT_PORT]

  rebuild(servers: readonly (IoreqServer | null)[], internal: RegionTable): void {
    this.map.fill(0)
    this.regions.length = 1
    for (const server of servers) {
      if (server === null || !server.enabled) continue
      if (server.local === null) {
        const set = server.ranges[XEN_DMOP_IO_RANGE_PORT]
        if (set.count === 0) continue
        this.regions.push(elsewhere('port', server))
        for (let i = 0; i < set.count; i++) this.map.fill(this.regions.length - 1, set.start(i), set.end(i) + 1)
      } else {
        for (const region of server.local.byPriority('port')) {
          region.server = server
          this.#paint(region as ServedRegion)
        }
      }
    }
    for (const region of internal.byPriority('port')) this.#paint(region as ServedRegion)
    // The latch and the PCI decoding of CONFIG_DATA come before any range.
    this.map[CONFIG_ADDRESS] = 0
    this.map.fill(0, CONFIG_DATA, CONFIG_DATA + 4)
  }

  #paint(region: ServedRegion): void {
    const { base, length, directSizes } = region
    const index = this.regions.push(region) - 1
    this.map.fill(index | directSizes, base, base + length)
    // The last places are too near to the end for the larger accesses.
    for (let left = 1; left < Math.min(4, length + 1); left++) {
      this.map[base + length - left] = index | (directSizes & sizesUpTo(left))
    }
  }
}

/** Addresses in one granule share a slot of the remembered segments. */
const GRANULE_BYTES = 0x1000
/** How many granules' segments are remembered. */
const REMEMBERED = 64

/** Which region answers for each guest-physical address: disjoint segments in ascending order. */
export class MmioLookup {
  starts: Float64Array = new Float64Array(1)
  regions: ServedRegion[] = [NOT_DIRECT_MMIO]
  /** The segment of the last look-up. */
  hitStart = 0
  hitEnd = 0
  hit: ServedRegion = NOT_DIRECT_MMIO
  /** Segments that were found before, by low bits of the granule: models whose registers a guest uses in turn. */
  readonly #knownStarts = new Float64Array(REMEMBERED)
  readonly #knownEnds = new Float64Array(REMEMBERED)
  readonly #knownRegions: ServedRegion[] = new Array<ServedRegion>(REMEMBERED).fill(NOT_DIRECT_MMIO)

  rebuild(
    servers: readonly (IoreqServer | null)[],
    internal: RegionTable,
    ecam: readonly { readonly base: number; readonly firstBus: number; readonly lastBus: number }[] = [],
  ): void {
    const painted: { start: number; end: number; region: ServedRegion }[] = []
    for (const server of servers) {
      if (server === null || !server.enabled) continue
      if (server.local === null) {
        const set = server.ranges[XEN_DMOP_IO_RANGE_MEMORY]
        const region = elsewhere('mmio', server)
        for (let i = 0; i < set.count; i++) painted.push({ start: set.start(i), end: set.end(i) + 1, region })
      } else {
        for (const r of server.local.byPriority('mmio')) {
          r.server = server
          painted.push({ start: r.base, end: r.base + r.length, region: r as ServedRegion })
        }
      }
    }
    for (const r of internal.byPriority('mmio'))
      painted.push({ start: r.base, end: r.base + r.length, region: r as ServedRegion })

    for (const { base, firstBus, lastBus } of ecam) {
      const start = base + firstBus * ECAM_BUS_BYTES
      painted.push({ start, end: base + (lastBus + 1) * ECAM_BUS_BYTES, region: NOT_DIRECT_MMIO })
    }

    const edges = new Set<number>([0])
    for (const { start, end } of painted) edges.add(start).add(end)
    const starts = [...edges].toSorted((a, b) => a - b)
    this.regions = starts.map(
      (start) => painted.findLast((p) => p.start <= start && start < p.end)?.region ?? NOT_DIRECT_MMIO,
    )
    this.starts = Float64Array.from(starts)
    this.hitStart = 0
    this.hitEnd = 0
    this.#knownEnds.fill(0)
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
    const { starts } = this
    let low = 0
    let high = starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= gpa) low = middle + 1
      else high = middle
    }
    this.hitStart = starts[low - 1]!
    this.hitEnd = low < starts.length ? starts[low]! : Infinity
    this.hit = this.regions[low - 1]!
    this.#knownStarts[known] = this.hitStart
    this.#knownEnds[known] = this.hitEnd
    this.#knownRegions[known] = this.hit
    return this.hit
  }
}
