import { type StatePart, viewed } from '@retrap/device'
import type { InterruptTable } from './interrupt-table.ts'
import { LATCHED, SGI_SOURCES } from './layout.ts'

const SGIS = 16

/**
 * The senders of the pending SGIs of a GICv2: for each receiving vCPU and each SGI, a mask of the vCPUs that have sent it. An
 * SGI is latched while its mask is not empty.
 */
export class SgiSources {
  readonly #table: InterruptTable
  readonly #masks: Uint8Array

  constructor(table: InterruptTable) {
    this.#table = table
    this.#masks = new Uint8Array(table.words.buffer, table.words.byteOffset, table.words.byteLength)
  }

  #index(cpu: number, sgi: number): number {
    return 4 * (this.#table.block(cpu) + SGI_SOURCES) + sgi
  }

  /** The senders of an SGI that is pending at a vCPU. */
  get(cpu: number, sgi: number): number {
    return this.#masks[this.#index(cpu, sgi)]!
  }

  /** Sets the senders of an SGI, which is pending while it has any. */
  set(cpu: number, sgi: number, mask: number): void {
    const known = mask & ((1 << this.#table.cpus) - 1)
    this.#masks[this.#index(cpu, sgi)] = known
    this.#table.setBit(LATCHED, cpu, sgi, known !== 0)
  }

  /** The sender whose SGI is taken next: the vCPU with the lowest number. */
  first(cpu: number, sgi: number): number {
    const mask = this.get(cpu, sgi)
    return mask === 0 ? 0 : 31 - Math.clz32(mask & -mask)
  }

  /** Returns the part that saves the masks of a vCPU. */
  savedMasks(cpu: number): StatePart {
    return viewed(
      () => Array.from({ length: SGIS }, (_, sgi) => this.get(cpu, sgi)),
      (masks) => masks.forEach((mask, sgi) => this.set(cpu, sgi, mask)),
    )
  }
}
