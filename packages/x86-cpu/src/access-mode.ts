import type { Tlb } from '@retrap/engine'
import { deriveMode, implicitSet } from './execution-mode.ts'
import {
  CS,
  MODE_64,
  SEG_BASE,
  SEG_BYTES,
  SEG_LIMIT,
  S_ACCESS_SET,
  S_EXECUTE_MODES,
  S_LOGGED,
  S_MODE,
  S_SEGMENTS,
  S_TLB,
} from './state-layout.ts'
import { TLB_MISS, TLB_SUPERVISOR } from './tlb-sets.ts'

/** Indices of the fields of CS. */
const CODE_BASE = (S_SEGMENTS + SEG_BYTES * CS + SEG_BASE) >>> 2
const CODE_LIMIT = (S_SEGMENTS + SEG_BYTES * CS + SEG_LIMIT) >>> 2

/**
 * The TLB set of the current access mode: which one accesses look into, and which one translations are kept in. Generated
 * code changes it too (`semantics/kernel-entry.ts`), so it lies in the state area.
 */
export class AccessMode {
  readonly #u8: Uint8Array
  readonly #u32: Uint32Array
  readonly #tlb: Tlb
  /** Base and limit of CS for which execute entries were made: their pages lie within it as a whole. */
  #codeBase = 0
  #codeLimit = -1

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
    if (mode !== MODE_64) this.#heedCodeSegment()
    if (u32[S_LOGGED >>> 2] === 1) this.missAll()
    else this.useSet()
  }

  /** Drops execute entries of pages that CS may not reach any more; 64-bit mode has no limit. */
  #heedCodeSegment(): void {
    const u32 = this.#u32
    const base = u32[CODE_BASE] as number
    const limit = u32[CODE_LIMIT]! | 0
    if (base === this.#codeBase && limit === this.#codeLimit) return
    this.#codeBase = base
    this.#codeLimit = limit
    this.#tlb.flushExecute()
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
