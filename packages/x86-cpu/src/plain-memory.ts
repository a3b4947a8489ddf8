import type { MachineMemory } from '@retrap/memory'
import { S_DATA } from './state-layout.ts'

/** Copies between machine memory and S_DATA, where the data of an access lies. */
export class PlainMemory {
  readonly #memory: MachineMemory
  /** S_DATA as bytes. */
  readonly data: Uint8Array

  /** @param state - machine address of the state */
  constructor(memory: MachineMemory, state: number) {
    this.#memory = memory
    this.data = new Uint8Array(memory.buffer, state + S_DATA, 64)
  }

  /** Reads RAM into S_DATA, from byte `at` on. */
  load(ma: number, at: number, size: number): void {
    const { u8 } = this.#memory
    const { data } = this
    for (let i = 0; i < size; i++) data[at + i] = u8[ma + i]!
  }

  /** Writes bytes to RAM; what has been decoded of them dies. */
  store(ma: number, bytes: Uint8Array, at: number, size: number): void {
    const { u8, codeBits } = this.#memory
    for (let i = 0; i < size; i++) u8[ma + i] = bytes[at + i]!
    if (codeBits[ma >>> 12] !== 0) this.#memory.noteWrite(ma, size)
  }
}

/** The value that an access of 1, 2, 4 or 8 bytes has in the low word. */
export function lowWord(value: number, size: number): number {
  return size === 1 ? value & 0xff : size === 2 ? value & 0xffff : value >>> 0
}

/** The high word of a guest-physical address. */
export function highWord(gpa: number): number {
  return gpa < 0x1_0000_0000 ? 0 : Math.floor(gpa / 0x1_0000_0000)
}
