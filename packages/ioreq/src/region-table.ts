import type { RangeHandler, RegionOptions } from './device.ts'
import { hex, IoreqError } from './errors.ts'
import { ClaimedRegion, type RegionOwner } from './region.ts'

/** The regions of one party: the in-process models, or the hypervisor itself. */
export class RegionTable implements RegionOwner {
  readonly regions: ClaimedRegion[] = []
  readonly #onChange: (kind: 'port' | 'mmio') => void

  constructor(onChange: (kind: 'port' | 'mmio') => void) {
    this.#onChange = onChange
  }

  /**
   * Claims a region.
   *
   * @throws IoreqError `ERR_EXISTS` where it overlaps one of equal priority, `ERR_INVALID` for a bad range
   */
  map(
    device: string,
    kind: 'port' | 'mmio',
    base: number,
    length: number,
    handler: RangeHandler,
    direct: boolean,
    options?: RegionOptions,
  ): ClaimedRegion {
    const region = new ClaimedRegion(this, device, kind, base, length, handler, direct, options)
    if (region.enabled) this.checkClaim(region, base)
    this.regions.push(region)
    if (region.enabled) this.#onChange(kind)
    return region
  }

  checkClaim(region: ClaimedRegion, base: number): void {
    for (const other of this.regions) {
      if (other === region || !other.enabled || other.kind !== region.kind || other.priority !== region.priority)
        continue
      if (base < other.base + other.length && other.base < base + region.length) {
        throw new IoreqError(
          'ERR_EXISTS',
          `${region.device}: ${region.kind} range ${hex(base)}–${hex(base + region.length - 1)} overlaps ` +
            `${hex(other.base)}–${hex(other.base + other.length - 1)} of ${other.device}; give one a higher priority`,
        )
      }
    }
  }

  claimChanged(region: ClaimedRegion): void {
    this.#onChange(region.kind)
  }

  claimDropped(region: ClaimedRegion): void {
    const at = this.regions.indexOf(region)
    if (at < 0) return
    this.regions.splice(at, 1)
    this.#onChange(region.kind)
  }

  /** The enabled region of highest priority that holds `address`, or null. */
  regionAt(kind: 'port' | 'mmio', address: number): ClaimedRegion | null {
    let found: ClaimedRegion | null = null
    for (const region of this.regions) {
      if (
        region.enabled &&
        region.kind === kind &&
        address >= region.base &&
        address < region.base + region.length &&
        (found === null || region.priority > found.priority)
      ) {
        found = region
      }
    }
    return found
  }

  /** Enabled regions of a kind, lowest priority first. */
  byPriority(kind: 'port' | 'mmio'): ClaimedRegion[] {
    return this.regions.filter((r) => r.enabled && r.kind === kind).toSorted((a, b) => a.priority - b.priority)
  }
}
