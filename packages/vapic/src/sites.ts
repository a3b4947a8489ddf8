/** The instructions that have been patched. */
import type { VapicHost } from './host.ts'

/** An instruction that has been patched. */
export interface PatchedSite {
  /** Linear address. */
  readonly address: number
  readonly original: Uint8Array
  readonly patch: Uint8Array
}

const PAGE = 4096
/** Bytes of the call that each patch ends with. */
const CALL_BYTES = 5

/** Patched sites of a guest. To be changed only while all vCPUs are stopped. */
export class PatchedSites {
  readonly #host: VapicHost
  readonly #sites: Map<number, PatchedSite>

  constructor(host: VapicHost) {
    this.#host = host
    this.#sites = new Map()
  }

  /** By address. */
  get all(): readonly PatchedSite[] {
    return [...this.#sites.values()]
  }

  clear(): void {
    this.#sites.clear()
  }

  /** Patches an instruction, if its bytes are still those that were looked at. */
  patch(vcpu: number, site: PatchedSite): boolean {
    const replaced = this.replace(vcpu, site.address, site.original, site.patch)
    if (replaced) this.#sites.set(site.address, site)
    return replaced
  }

  /** @returns false, with nothing written, if other bytes are there, or none */
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
      const length = Math.min(address + bytes - at, PAGE - (at & (PAGE - 1)))
      const gpa = this.#host.translate(vcpu, at >>> 0)
      if (gpa !== undefined) this.#host.dropCode(gpa, length)
      at += length
    }
  }

  /**
   * Puts instructions back. One stays whose push has been executed and whose call has not: on a vCPU that stands there,
   * or on one that will return there from an interrupt.
   *
   * @returns how many are left
   */
  unpatch(vcpu: number): number {
    const host = this.#host
    const between = new Set<number>()
    for (const { address, patch } of this.#sites.values()) {
      if (patch.length > CALL_BYTES) between.add((address + patch.length - CALL_BYTES) >>> 0)
    }
    const held = new Set(between.size === 0 ? [] : host.findWords(between))
    for (let id = 0; id < host.vcpuCount; id++) held.add(host.registers(id).eip >>> 0)
    for (const { address, original, patch } of this.#sites.values()) {
      const middle = patch.length > CALL_BYTES && held.has((address + patch.length - CALL_BYTES) >>> 0)
      if (!middle && this.replace(vcpu, address, patch, original)) this.#sites.delete(address)
    }
    return this.#sites.size
  }
}
