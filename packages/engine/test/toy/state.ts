import { RECORD_BYTES, STATUS_FAULT, type StateLayout } from '../../src/index.ts'

export const S_REGISTERS = 0
export const S_PC = 64
export const S_BASE = 72
export const S_MASK = 80
export const S_PAGE_BASE = 88
export const S_SLOTS = 96
export const S_RECORD = 100
export const S_BUDGET = 104
export const S_ITERATIONS = 108
export const S_ATTENTION = 112
export const S_ALONE = 116
export const S_TLB = 120
export const S_FETCH_STATUS = 124
export const S_MODE = 128
/** `FAULT_*`, or 0. */
export const S_FAULT = 132
export const S_FAULT_ADDRESS = 136
/** Result of the last ALU operation; held in a local by the dispatch loop. */
export const S_RESULT = 144
export const S_DATA = 152
export const S_ENTRY = 160
export const S_PINNED = S_ENTRY + RECORD_BYTES
export const S_COUNTERS = 252
export const S_TLB_SETS = 256

const COMMON = {
  programCounter: S_PC,
  mode: S_MODE,
  pageBase: S_PAGE_BASE,
  slots: S_SLOTS,
  record: S_RECORD,
  entry: S_ENTRY,
  budget: S_BUDGET,
  iterations: S_ITERATIONS,
  attention: S_ATTENTION,
  alone: S_ALONE,
  tlb: S_TLB,
  counters: S_COUNTERS,
  unitTarget: S_DATA,
  fetchStatus: S_FETCH_STATUS,
}

/** The program counter is a linear address of 64 bits. */
export const WIDE: StateLayout = COMMON

/** The program counter has 32 bits and is relative to a base. */
export const RELOCATED: StateLayout = { ...COMMON, programCounterBase: S_BASE, programCounterMask: S_MASK }

export const FAULT_DATA = 1
export const FAULT_FETCH = 2
export const FAULT_TRAP = 3
export const FAULT_JUMP = 4
export const FAULT_UNDEFINED = 5

/** Raises an exception. @returns STATUS_FAULT */
export function raise(u32: Uint32Array, fault: number, lo: number, hi: number): number {
  u32[S_FAULT >>> 2] = fault
  u32[S_FAULT_ADDRESS >>> 2] = lo
  u32[(S_FAULT_ADDRESS >>> 2) + 1] = hi
  return STATUS_FAULT
}
