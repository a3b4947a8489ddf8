/** The instructions that have been patched. */
import { PAGE_BYTES } from '@retrap/memory'
import type { VapicHost } from './host.ts'
import { CALL_BYTES } from './instructions.ts'

/** A patched instruction. */
export interface PatchedSite {
  /** Linear address. */
  readonly address: number
  /** Bytes of the guest's instruction. */
  readonly original: Uint8Array
  /** The replacement bytes. */
  readonly patch: Uint8Array
}

/** Patched sites of a guest. To be changed only while all vCPUs are stopped. */
export class PatchedSites {
  readonly #host: VapicHost
  readonly #sites: Map<number, PatchedSite>

  constructor(host: VapicHost) {
    this.#host = host
    this.#sites = new Map()
  }

  /** Sites by address. */
  get all(): readonly PatchedSite[] {
    return [...this.#sites.values()]
  }

  /** Patches an instruction if its bytes are unchanged. */
  patch(vcpu: number, site: PatchedSite): boolean {
    const replaced = this.replace(vcpu, site.address, site.original, site.patch)
    if (replaced) this.#sites.set(site.address, site)
    return replaced
  }

  /** @returns false, with nothing written, if the bytes differ or are unmapped */
  replace(vcpu: number, address: number, expected: Uint8Array, bytes: Uint8Array): boolean {
    const host = this.#host
    const now = new Uint8Array(expected.length)
    if (!host.readLinear(vcpu, address, now) || now.some((byte, index) => byte !== expected[index])) return false
    if (!host.writeLinear(vcpu, address, bytes)) return false
    this.#dropCode(vcpu, address, bytes.length)
    return true
  }

  /** Drops code on both pages where an instruction crosses. */
  #dropCode(vcpu: number, address: number, bytes: number): void {
    for (let at = address; at < address + bytes;) {
      const length = Math.min(address + bytes - at, PAGE_BYTES - (at % PAGE_BYTES))
      const gpa = this.#host.translate(vcpu, at >>> 0)
      if (gpa !== undefined) this.#host.dropCode(gpa, length)
      at += length
    }
  }

  /**
   * Restores instructions. One stays patched if its push was executed but its call was not: if the call is a vCPU's
   * next instruction, or the return address of an interrupt.
   *
   * @param continuations - linear addresses that vCPUs go on from, now or later
   * @returns number of instructions still patched
   */
  unpatch(vcpu: number, continuations: ReadonlySet<number>): number {
    for (const { address, original, patch } of this.#sites.values()) {
      const held = patch.length > CALL_BYTES && continuations.has(callOf(address, patch))
      if (!held && this.replace(vcpu, address, patch, original)) this.#sites.delete(address)
    }
    return this.#sites.size
  }

  /** Addresses of the calls that come behind a push. */
  get calls(): ReadonlySet<number> {
    return new Set(
      [...this.#sites.values()]
        .filter(({ patch }) => patch.length > CALL_BYTES)
        .map(({ address, patch }) => callOf(address, patch)),
    )
  }
}

const callOf = (address: number, patch: Uint8Array): number => (address + patch.length - CALL_BYTES) >>> 0
