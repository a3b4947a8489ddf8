import type { Dma } from '@retrap/ioreq'
import type { MachineMemory } from '@retrap/memory'
import type { P2m } from '@retrap/p2m'
import type { DirtyLogs } from './dirty-logs.ts'

const FRAME = 0x1000

/**
 * A domain's RAM by guest-physical address: for DMA, loaders and tools. Every write is noted, so that decoded code of it
 * dies.
 */
export class GuestMemory implements Dma {
  readonly #memory: MachineMemory
  readonly #p2m: P2m
  readonly #logs: DirtyLogs | null

  /** @param logs - told of RAM that is written; default nobody logs any */
  constructor(memory: MachineMemory, p2m: P2m, logs: DirtyLogs | null = null) {
    this.#memory = memory
    this.#p2m = p2m
    this.#logs = logs
  }

  /** @returns false if some byte is not RAM; what comes before it has been read */
  read(gpa: number, into: Uint8Array): boolean {
    for (let done = 0; done < into.length;) {
      const piece = Math.min(into.length - done, FRAME - ((gpa + done) % FRAME))
      const ma = this.#p2m.translate(gpa + done)
      if (ma < 0) return false
      into.set(this.#memory.u8.subarray(ma, ma + piece), done)
      done += piece
    }
    return true
  }

  /** @returns false if some byte is not RAM; what comes before it has been written. ROM swallows its part */
  write(gpa: number, from: Uint8Array): boolean {
    for (let done = 0; done < from.length;) {
      const piece = Math.min(from.length - done, FRAME - ((gpa + done) % FRAME))
      if (this.#p2m.translate(gpa + done) < 0) return false
      const ma = (this.#logs ?? this.#p2m).translateWrite(gpa + done)
      if (ma >= 0) this.#memory.write(ma, from.subarray(done, done + piece))
      done += piece
    }
    return true
  }

  /** Writes RAM and ROM alike: what a loader does before the guest runs. */
  load(gpa: number, from: Uint8Array): boolean {
    for (let done = 0; done < from.length;) {
      const piece = Math.min(from.length - done, FRAME - ((gpa + done) % FRAME))
      const ma = this.#p2m.translate(gpa + done)
      if (ma < 0) return false
      this.#logs?.translateWrite(gpa + done)
      this.#memory.write(ma, from.subarray(done, done + piece))
      done += piece
    }
    return true
  }
}
