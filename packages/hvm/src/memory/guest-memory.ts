import type { Dma } from '@retrap/device'
import { type MachineMemory, PAGE_BYTES } from '@retrap/memory'
import type { P2m } from '@retrap/p2m'
import type { SecondLevelFaults } from './second-level.ts'

/**
 * A domain's RAM by guest-physical address: for DMA, loaders and tools. Every write is noted, so that decoded code of it
 * is dropped.
 */
export class GuestMemory implements Dma {
  readonly #memory: MachineMemory
  readonly #map: Pick<P2m, 'translate' | 'translateWrite'>

  /** @param faults - called for addresses without memory; default none */
  constructor(memory: MachineMemory, p2m: P2m, faults: SecondLevelFaults | null = null) {
    this.#memory = memory
    this.#map = faults ?? p2m
  }

  /** Reads RAM and ROM. @returns false if some byte is not RAM; the bytes before it have been read */
  read(gpa: number, into: Uint8Array): boolean {
    for (let done = 0; done < into.length;) {
      const piece = Math.min(into.length - done, PAGE_BYTES - ((gpa + done) % PAGE_BYTES))
      const ma = this.#map.translate(gpa + done)
      if (ma < 0) return false
      into.set(this.#memory.u8.subarray(ma, ma + piece), done)
      done += piece
    }
    return true
  }

  /** Writes RAM; ROM ignores its part. @returns false if some byte is not RAM; the bytes before it have been written */
  write(gpa: number, from: Uint8Array): boolean {
    return this.#put(gpa, from, false)
  }

  /** Writes RAM and ROM, for a loader before the guest runs. */
  load(gpa: number, from: Uint8Array): boolean {
    return this.#put(gpa, from, true)
  }

  #put(gpa: number, from: Uint8Array, isLoader: boolean): boolean {
    for (let done = 0; done < from.length;) {
      const piece = Math.min(from.length - done, PAGE_BYTES - ((gpa + done) % PAGE_BYTES))
      const ma = this.#map.translate(gpa + done)
      if (ma < 0) return false
      // A write to a shared frame goes to a new copy.
      const writable = this.#map.translateWrite(gpa + done)
      if (writable >= 0 || isLoader) this.#memory.write(writable < 0 ? ma : writable, from.subarray(done, done + piece))
      done += piece
    }
    return true
  }
}
