import { FRAME_OWNER } from './layout.ts'

/** Changes `MachineMemory.codeBits`, which several threads may do at a time: each changes its own bits, atomically. */
export class FrameBits {
  readonly #bits: Uint8Array
  readonly #shared: boolean

  /** @param bits - bits of each frame */
  constructor(bits: Uint8Array, shared: boolean) {
    this.#bits = bits
    this.#shared = shared
  }

  /** Sets `FRAME_MONITORED` or `FRAME_WATCHED`. */
  set(frame: number, bits: number): void {
    if (this.#shared) Atomics.or(this.#bits, frame, bits)
    else this.#bits[frame]! |= bits
  }

  /** Clears `FRAME_MONITORED` or `FRAME_WATCHED`. */
  clear(frame: number, bits: number): void {
    if (this.#shared) Atomics.and(this.#bits, frame, ~bits)
    else this.#bits[frame]! &= ~bits
  }

  /** A code cache holds the frame from now on. 31 may do so at a time. */
  addOwner(frame: number): void {
    if (this.#shared) Atomics.add(this.#bits, frame, FRAME_OWNER)
    else this.#bits[frame]! += FRAME_OWNER
  }

  /** Removes a code cache from the frame's owners. */
  removeOwner(frame: number): void {
    if (this.#shared) Atomics.sub(this.#bits, frame, FRAME_OWNER)
    else this.#bits[frame]! -= FRAME_OWNER
  }

  /**
   * Whether a frame has bits, for a processor that has just stored to it. Other threads see the store before this look: the look
   * is an atomic change that changes nothing.
   */
  isHeld(frame: number): boolean {
    return (this.#shared ? Atomics.or(this.#bits, frame, 0) : this.#bits[frame]) !== 0
  }
}
