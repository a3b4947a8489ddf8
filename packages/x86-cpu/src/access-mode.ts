import type { Tlb } from '@retrap/engine'
import { deriveMode, implicitSet } from './execution-mode.ts'
import { MODE_16, S_LOGGED, S_MODE, S_TLB } from './state-layout.ts'
import { TLB_MISS, TLB_SUPERVISOR } from './tlb-sets.ts'

/** The TLB set of the current access mode: which one accesses look into, and which one translations are kept in. */
export class AccessMode {
  readonly #u32: Uint32Array
  readonly #tlb: Tlb
  /** The set of explicit accesses; TLB_MISS keeps none. */
  #set = TLB_SUPERVISOR
  /** S_MODE for which each set's execute table was filled. */
  readonly #executeModes = [MODE_16, MODE_16, MODE_16]

  /** @param u32 - the state area */
  constructor(u32: Uint32Array, tlb: Tlb) {
    this.#u32 = u32
    this.#tlb = tlb
  }

  /** The set whose execute table is in use; TLB_MISS where nothing may be kept. */
  get executeSet(): number {
    return this.#set
  }

  /** The set that translations of explicit accesses are kept in now, or -1. */
  get fillSet(): number {
    return this.#u32[S_LOGGED >>> 2] === 1 || this.#set === TLB_MISS ? -1 : this.#set
  }

  /** The same for implicit supervisor accesses. */
  get implicitSet(): number {
    return this.#u32[S_LOGGED >>> 2] === 1 ? -1 : implicitSet(this.#u32)
  }

  /** Derives everything anew after a change of CS, SS, control registers or RFLAGS; see `Cpu.modeChanged`. */
  changed(): void {
    const set = deriveMode(this.#u32)
    const mode = this.#u32[S_MODE >>> 2] as number
    this.#set = set
    if (set !== TLB_MISS && this.#executeModes[set] !== mode) {
      this.#executeModes[set] = mode
      this.#tlb.flushExecute()
    }
    if (this.#u32[S_LOGGED >>> 2] === 1) this.missAll()
    else this.useSet()
  }

  /** Makes generated code look into the set of the current mode. */
  useSet(): void {
    this.#u32[S_TLB >>> 2] = this.#tlb.setAddress(this.#set)
  }

  /** Makes every access of generated code miss: in a logged pass. */
  missAll(): void {
    this.#u32[S_TLB >>> 2] = this.#tlb.setAddress(TLB_MISS)
  }
}
