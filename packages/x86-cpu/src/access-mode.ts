import type { Tlb } from '@retrap/engine'
import { deriveMode, implicitSet } from './execution-mode.ts'
import { S_ACCESS_SET, S_EXECUTE_MODES, S_LOGGED, S_MODE, S_TLB } from './state-layout.ts'
import { TLB_MISS, TLB_SUPERVISOR } from './tlb-sets.ts'

/**
 * The TLB set of the current access mode: which one accesses look into, and which one translations are kept in. Generated
 * code changes it too (`semantics/kernel-entry.ts`), so it lies in the state area.
 */
export class AccessMode {
  readonly #u8: Uint8Array
  readonly #u32: Uint32Array
  readonly #tlb: Tlb

  /**
   * @param u8 - the state area
   * @param u32 - the same
   */
  constructor(u8: Uint8Array, u32: Uint32Array, tlb: Tlb) {
    this.#u8 = u8
    this.#u32 = u32
    this.#tlb = tlb
    u32[S_ACCESS_SET >>> 2] = TLB_SUPERVISOR
  }

  /** The set of explicit accesses, whose execute table is in use; TLB_MISS where nothing may be kept. */
  get executeSet(): number {
    return this.#u32[S_ACCESS_SET >>> 2] as number
  }

  /** The set that translations of explicit accesses are kept in now, or -1. */
  get fillSet(): number {
    const set = this.#u32[S_ACCESS_SET >>> 2] as number
    return this.#u32[S_LOGGED >>> 2] === 1 || set === TLB_MISS ? -1 : set
  }

  /** The same for implicit supervisor accesses. */
  get implicitSet(): number {
    return this.#u32[S_LOGGED >>> 2] === 1 ? -1 : implicitSet(this.#u32)
  }

  /** Derives everything anew after a change of CS, SS, control registers or RFLAGS; see `Cpu.modeChanged`. */
  changed(): void {
    const u32 = this.#u32
    const set = deriveMode(u32)
    const mode = u32[S_MODE >>> 2] as number
    u32[S_ACCESS_SET >>> 2] = set
    if (set !== TLB_MISS && this.#u8[S_EXECUTE_MODES + set] !== mode) {
      this.#u8[S_EXECUTE_MODES + set] = mode
      this.#tlb.flushExecute()
    }
    if (u32[S_LOGGED >>> 2] === 1) this.missAll()
    else this.useSet()
  }

  /** Makes generated code look into the set of the current mode. */
  useSet(): void {
    this.#u32[S_TLB >>> 2] = this.#tlb.setAddress(this.executeSet)
  }

  /** Makes every access of generated code miss: in a logged pass. */
  missAll(): void {
    this.#u32[S_TLB >>> 2] = this.#tlb.setAddress(TLB_MISS)
  }
}
