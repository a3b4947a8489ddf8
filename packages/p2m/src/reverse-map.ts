import type { MachineMemory } from '@retrap/memory'

/** Bytes a frame. */
export const REVERSE_MAP_BYTES = 5

/**
 * Machine frames to guest frames: for each the guest frame that it was mapped at last, of whichever guest. A hint, that
 * who asks holds against the guest's map: a frame may be mapped twice, and threads read it while others write.
 */
export class ReverseMap {
  /** Guest frame + 1, low and high part; 0 for none. */
  readonly #low: Uint32Array
  readonly #high: Uint8Array

  /** @param ma - of as many bytes as `REVERSE_MAP_BYTES` says, for each frame, zero at first */
  constructor(memory: MachineMemory, ma: number) {
    this.#low = new Uint32Array(memory.buffer, ma, memory.frameCount)
    this.#high = new Uint8Array(memory.buffer, ma + memory.frameCount * 4, memory.frameCount)
  }

  set(mfn: number, gfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      this.#low[mfn + i] = gfn + 1 + i
      this.#high[mfn + i] = (gfn + 1 + i) / 2 ** 32
    }
  }

  /** Forgets frames that are still noted there. */
  clear(mfn: number, gfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.get(mfn + i) !== gfn + i) continue
      this.#low[mfn + i] = 0
      this.#high[mfn + i] = 0
    }
  }

  /** −1 if none is known. */
  get(mfn: number): number {
    return (this.#low[mfn] ?? 0) + (this.#high[mfn] ?? 0) * 2 ** 32 - 1
  }
}
