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
  /** The page of the unit's entry. */
  readonly page: CodePage
  /** Offset in that page of the instruction that it begins with. */
  readonly offset: number
  /** The pages of the unit's code. */
  pages: readonly CodePage[]
  /** The code that executes the unit. */
  code: UnitCode
  /** Number of intervals since the unit was last entered. */
  idle: number
  /** Branches to computed addresses, by record. */
  branches: ReadonlyMap<number, ComputedBranch>
  /** Distances of the unit's pages from the first page, by slot table. */
  deltas: ReadonlyMap<number, number>
  /** Records of instructions at which the unit may leave to the interpreter. */
  records: readonly number[]
}

/** A processor's interface for its units. */
export interface UnitRunner {
  /** Machine address of the processor's state. */
  readonly state: number
  /** Returns the slot table for executing a linear page; -1 if unknown. */
  executeSlots(lo: number, hi: number): number
}

/** A function table that all units are entries of. */
export interface UnitEntries {
  /** Makes a unit ready to be called as an entry of the table. @param module - a `WebAssembly.Module` */
  install(module: object, entry: number): void
  /** Removes a unit from the table. */
  uninstall(entry: number): void
}

/** The part of a `WebAssembly.Table` that is used here; the full type needs lib.dom. */
export interface FunctionTable {
  /** Count of entries. */
  readonly length: number
  /** Adds entries. @returns the count before */
  grow(entries: number): number
  /** Sets an entry to a function, or to null. */
  set(entry: number, value: unknown): void
}

/** The parts of a {@link UnitTable}. */
export interface UnitTableParts {
  /** The function table of an interpreter: units come after the forms. */
  readonly table: FunctionTable
  /**
   * The imports of units as `cpu`, but for the table: the memory, `system` as the interpreter has it, and the imports of
   * `CompiledInstructionSet.beginUnit`.
   */
  readonly imports: Readonly<Record<string, unknown>>
}

/** The units that an interpreter may enter: entries of its table, after the forms. */
export class UnitTable implements UnitEntries {
  readonly #parts: UnitTableParts

  /** Makes a table without units. */
  constructor(parts: UnitTableParts) {
    this.#parts = parts
  }

  /** Makes a unit ready to be called as an entry of the table. @param module - a `WebAssembly.Module` */
  install(module: object, entry: number): void {
    const { table, imports } = this.#parts
    const instance = new WebAssembly.Instance(module as WebAssembly.Module, {
      cpu: { ...imports, table } as never,
    })
    if (table.length <= entry) table.grow(Math.max(64, table.length >> 2, entry + 1 - table.length))
    table.set(entry, instance.exports['unit'])
  }

  /** Removes a unit from the table. */
  uninstall(entry: number): void {
    this.#parts.table.set(entry, null)
  }
}
