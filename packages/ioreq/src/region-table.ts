import { DeviceError, type RegionOptions } from '@retrap/device'
import { hex } from '@retrap/device/host'
import { type Claim, ClaimedRegion, type RegionClaim, type RegionOwner } from './region.ts'

/** The entry that was found at an address, and the range in which it is the same: `first` … `end` − 1. */
class Found {
  first = 0
  end = 0
  region: ClaimedRegion | null = null
}

/** The regions of one party: the in-process models, or the hypervisor itself. */
export class RegionTable implements RegionOwner {
  /** All, enabled or not, in the order in which they were claimed. */
  readonly regions: ClaimedRegion[] = []
  readonly #onChange: (kind: 'port' | 'mmio') => void
  readonly #port = new Found()
  readonly #mmio = new Found()

  constructor(onChange: (kind: 'port' | 'mmio') => void) {
    this.#onChange = onChange
  }

  #changed(kind: 'port' | 'mmio'): void {
    const found = kind === 'port' ? this.#port : this.#mmio
    found.end = found.first
    this.#onChange(kind)
  }

  /**
   * Claims a region.
   *
   * @throws DeviceError `ERR_EXISTS` where it overlaps one of equal priority, `ERR_INVALID` for a bad range
   */
  map(claim: RegionClaim, options?: RegionOptions): ClaimedRegion {
    const region = new ClaimedRegion(this, claim, options)
    if (region.enabled) this.checkClaim(region, claim.base)
    this.regions.push(region)
    if (region.enabled) this.claimChanged(region)
    return region
  }

  /** @internal See `RegionOwner`. */
  checkClaim(region: ClaimedRegion, base: number): void {
    for (const other of this.regions) {
      if (other === region || !other.enabled || other.kind !== region.kind || other.priority !== region.priority)
        continue
      if (base < other.base + other.length && other.base < base + region.length) {
        throw new DeviceError(
          'ERR_EXISTS',
          `${region.device}: ${region.kind} range ${hex(base)}–${hex(base + region.length - 1)} overlaps ` +
            `${hex(other.base)}–${hex(other.base + other.length - 1)} of ${other.device}; give one a higher priority`,
        )
      }
    }
  }

  /** @internal See `RegionOwner`. */
  claimChanged(region: ClaimedRegion): void {
    region.window?.follow(region.enabled ? region.base : -1)
    this.#changed(region.kind)
  }

  /** @internal See `RegionOwner`. */
  claimDropped(region: ClaimedRegion): void {
    const at = this.regions.indexOf(region)
    if (at < 0) return
    this.regions.splice(at, 1)
    region.window?.follow(-1)
    this.#changed(region.kind)
  }

  /** The enabled region of highest priority that holds `address`, or null. */
  regionAt(kind: 'port' | 'mmio', address: number): ClaimedRegion | null {
    const last = kind === 'port' ? this.#port : this.#mmio
    if (address < last.first || address >= last.end) this.#find(last, kind, address)
    return last.region
  }

  /** An enabled region that has a part of `first` … `last`; undefined: there is none. */
  overlapping(kind: 'port' | 'mmio', first: number, last: number): ClaimedRegion | undefined {
    return this.regions.find(
      (one) => one.enabled && one.kind === kind && one.base <= last && first < one.base + one.length,
    )
  }

  #find(found: Found, kind: 'port' | 'mmio', address: number): void {
    found.region = null
    found.first = 0
    found.end = Infinity
    for (const region of this.regions) {
      if (!region.enabled || region.kind !== kind) continue
      const { base } = region
      const end = base + region.length
      if (address < base) found.end = Math.min(found.end, base)
      else if (address >= end) found.first = Math.max(found.first, end)
      else {
        found.first = Math.max(found.first, base)
        found.end = Math.min(found.end, end)
        if (found.region === null || region.priority > found.region.priority) found.region = region
      }
    }
  }

  /** Whether nobody in `first` … `last` takes its time. */
  allDirect(kind: 'port' | 'mmio', first: number, last: number): boolean {
    for (let at = first; at <= last;) {
      const region = this.regionAt(kind, at)
      if (region !== null && !region.direct) return false
      at = Math.max((kind === 'port' ? this.#port : this.#mmio).end, at + 1)
    }
    return true
  }

  /** Enabled regions of a kind, lowest priority first. */
  byPriority(kind: 'port' | 'mmio'): ClaimedRegion[] {
    return this.regions.filter((r) => r.enabled && r.kind === kind).toSorted((a, b) => a.priority - b.priority)
  }

  /** The same for look-ups, with the server that answers; null: the hypervisor. */
  claims(kind: 'port' | 'mmio', server: object | null): Claim[] {
    return this.byPriority(kind).map((region) => {
      region.server = server
      return { start: region.base, end: region.base + region.length, region }
    })
  }
}
