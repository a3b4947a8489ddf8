import { PAGE_BYTES } from '@retrap/memory'

/** A linear page of a toy machine. */
export interface ToyPage {
  /** Frame that it maps: an index of {@link ToyMachine.frames}. Two pages may map one frame. */
  readonly frame: number
  readonly writable: boolean
  /** Its bytes are reached through the host only, one at a time for fetches. */
  readonly device: boolean
}

/** What a toy processor starts with, and its reference with it. */
export interface ToyMachine {
  /** The program counter is relative to a base, and has 32 bits. */
  readonly relocated: boolean
  /** Linear pages from {@link originOf} on; undefined: not mapped. */
  readonly pages: readonly (ToyPage | undefined)[]
  /** First bytes of the frames, {@link PAGE_BYTES} each. */
  readonly frames: readonly Uint8Array[]
  readonly registers: readonly bigint[]
  /** Where it starts, relative to the first page. */
  readonly start: number
  /** Where exceptions lead, relative to the first page. */
  readonly handler: number
}

/** Linear address of the first page. Where the program counter is wide, the second page begins at 4 GiB. */
export function originOf(relocated: boolean): bigint {
  return relocated ? 0x40_0000n : 0x1_0000_0000n - BigInt(PAGE_BYTES)
}

/** Base of the program counter. */
export function baseOf(relocated: boolean): bigint {
  return relocated ? 0x30_0000n : 0n
}

/** What can be seen of a toy processor from outside, for comparison. */
export interface Seen {
  readonly registers: readonly bigint[]
  readonly pc: bigint
  readonly result: bigint
  readonly mode: number
  readonly halted: boolean
  readonly retired: number
  readonly cost: number
  /** Exceptions and the notice of attention, each with the count of instructions retired by then. */
  readonly log: readonly string[]
  readonly memory: readonly Uint8Array[]
}
