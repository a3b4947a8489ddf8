import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { MissAction } from './memory-sites.ts'
import type { RegionPage } from './region.ts'

/**
 * The instructions that compiled code executes, in the order of their positions, which are in bytes from the beginning of the
 * code's first page. There are many: their bytes are in one list.
 */
export interface CodeInstructions {
  /** Position of the first byte of each. */
  readonly at: Int32Array
  /** Offset of each instruction's bytes, followed by the end of the last one's. */
  readonly from: Uint32Array
  readonly bytes: Uint8Array
}

/** A branch to a computed address. */
export interface ComputedBranch {
  /** Position of the branch. */
  readonly at: number
  /** Distance of its page from the unit's first page. */
  readonly delta: number
  readonly isReturn: boolean
}

/** A computed branch of compiled code, with the targets known at compilation. */
export interface CodeBranch extends ComputedBranch {
  readonly targets: readonly number[]
}

/** The instructions from which code was compiled: it can execute every place with the same instructions. */
export interface CodeSource {
  /** Hash that is equal for all places that can share the code: {@link codeKey}. */
  readonly key: number
  readonly mode: number
  /** Offset of the first instruction in its page. */
  readonly offset: number
  /** The code's assumptions about the state; if one fails, the code leaves at once. */
  readonly assumptions: readonly StateAssumption[]
  /** Distances of the code's pages from the first page, in order. */
  readonly deltas: readonly RegionPage['delta'][]
  readonly instructions: CodeInstructions
  /** Positions of the instructions whose records are words of the unit, after the slot tables of its pages. */
  readonly recordPositions: readonly number[]
  readonly branches: readonly CodeBranch[]
  /** Actions on TLB misses, by position; for absent positions misses are counted. */
  readonly actions: ReadonlyMap<number, MissAction>
}

/** Compiled code, and the entry of the function table that it is. */
export interface UnitCode extends CodeSource {
  /** Entry in the function table of each processor. */
  readonly entry: number
  /** The `WebAssembly.Module`. */
  readonly module: object
  /** Bytes of the module. */
  readonly bytes: number
  /** Identity of the code in the store, if stored. */
  readonly stored: number | undefined
  /** Number of units that execute the code. */
  users: number
  /** Code that has replaced this code, compiled with more knowledge. */
  better: UnitCode | undefined
}

/** Returns a number for some bytes that other bytes hardly ever have. @param seed - another seed gives another number */
export function hashOf(bytes: Uint8Array, from: number, to: number, seed: number): number {
  let hash = Math.imul(seed, 0x9e37_79b1)
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x0100_0193)
  return hash >>> 0
}

/**
 * Returns {@link CodeSource.key} of a place.
 *
 * @param offset - offset of the first instruction in its page
 * @param bytes - have that instruction, which ends before `to`
 */
export function codeKey(mode: number, offset: number, bytes: Uint8Array, from: number, to: number): number {
  return hashOf(bytes, from, to, mode * PAGE_BYTES + offset)
}

/** A field of a processor's state that compiled code takes for granted. */
export interface StateAssumption {
  /** Offset in the state. */
  readonly offset: number
  /** Bytes: 1, 2, 4 or 8. */
  readonly bytes: number
  /** Value, without a sign. */
  readonly value: bigint
}

/** Returns whether the fields of the state at a machine address are as assumed. */
export function isAsAssumed({ u8 }: MachineMemory, assumptions: readonly StateAssumption[], state: number): boolean {
  return assumptions.every(({ offset, bytes, value }) => {
    let found = 0n
    for (let i = bytes; i-- > 0;) found = (found << 8n) | BigInt(u8[state + offset + i]!)
    return found === value
  })
}
