import type { MachineMemory } from '@retrap/memory'

/** A page of the hypervisor's own that a guest can see: reads and writes words and rings in it. */
export class GuestPage {
  readonly #memory: MachineMemory
  /** MA. */
  readonly #ma: number

  constructor(memory: MachineMemory, ma: number) {
    this.#memory = memory
    this.#ma = ma
  }

  read32(offset: number): number {
    return Atomics.load(this.#memory.i32, (this.#ma + offset) >>> 2) >>> 0
  }

  write32(offset: number, value: number): void {
    Atomics.store(this.#memory.i32, (this.#ma + offset) >>> 2, value)
    this.#memory.noteWrite(this.#ma + offset, 4)
  }

  /** Copies bytes out of a ring at `ring`, from a free-running index on. */
  readRing(ring: number, ringBytes: number, index: number, into: Uint8Array): void {
    const { u8 } = this.#memory
    for (let i = 0; i < into.length; i++) into[i] = u8[this.#ma + ring + (((index + i) >>> 0) % ringBytes)]!
  }

  /** Copies bytes into a ring. */
  writeRing(ring: number, ringBytes: number, index: number, from: Uint8Array): void {
    const { u8 } = this.#memory
    for (let i = 0; i < from.length; i++) u8[this.#ma + ring + (((index + i) >>> 0) % ringBytes)] = from[i]!
    this.#memory.noteWrite(this.#ma + ring, ringBytes)
  }
}
