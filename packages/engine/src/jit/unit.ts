import type { CodePage } from '../code-page.ts'
import type { ComputedBranch, UnitCode } from './unit-code.ts'

/** Field of a unit's record, 8 bits: not zero once it has been entered. */
export const UNIT_ENTERED = 8

/** The linear address of a page. */
export interface LinearPage {
  readonly lo: number
  readonly hi: number
}

/** A place in guest code. */
export interface Place extends LinearPage {
  readonly page: CodePage
  /** Offset in the page. */
  readonly offset: number
}

/** A unit: a place that compiled code executes. */
export interface LiveUnit {
  /** Machine address of the record by which it is entered. */
  readonly record: number
  /** The page where it is entered. */
  readonly page: CodePage
  /** Offset in that page of the instruction that it is entered by. */
  readonly offset: number
  /** The pages of its code. */
  pages: readonly CodePage[]
  /** The code that executes it. */
  code: UnitCode
  /** All units that were made with it, which have the same code: first the one that begins where the code does. */
  family: readonly LiveUnit[]
  /** How many intervals have passed since it was entered. */
  idle: number
  /** Its branches to computed addresses, by record. */
  branches: ReadonlyMap<number, ComputedBranch>
  /** Distances of its pages from the first one, by slot table. */
  deltas: ReadonlyMap<number, number>
  /** The records by which the interpreter begins its instructions, as far as it may be left at them. */
  records: readonly number[]
}

/** A processor, as the units that it runs need it. */
export interface UnitRunner {
  /** Machine address of its state. */
  readonly state: number
  /** Finds the slot table that a linear page is executed by; -1 where none is known. */
  executeSlots(lo: number, hi: number): number
  /** Makes a unit ready to be called as an entry of the table. @param module - a `WebAssembly.Module` */
  install(module: object, entry: number): void
  /** Gives a unit of the table up. */
  uninstall(entry: number): void
}
