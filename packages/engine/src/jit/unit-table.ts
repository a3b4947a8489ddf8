import type { UnitRunner } from './unit.ts'

/** The part of a `WebAssembly.Table` that is used here; its type exists only where lib.dom does. */
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
  /** Machine address of the processor's state. */
  readonly state: number
  /** The function table of its interpreter: units come after the forms. */
  readonly table: FunctionTable
  /**
   * The imports of units as `cpu`, but for the table: the memory, `system` as the interpreter has it, and the imports of
   * `CompiledInstructionSet.beginUnit`.
   */
  readonly imports: Readonly<Record<string, unknown>>
  /** Finds the slot table that a linear page is executed by; -1 where none is known. */
  executeSlots(lo: number, hi: number): number
}

/** The units that a processor may enter: entries of its interpreter's table, after the forms. */
export class UnitTable implements UnitRunner {
  /** Machine address of the processor's state. */
  readonly state: number
  readonly #parts: UnitTableParts

  /** Makes a table without units. */
  constructor(parts: UnitTableParts) {
    this.state = parts.state
    this.#parts = parts
  }

  /** Finds the slot table that a linear page is executed by; -1 where none is known. */
  executeSlots(lo: number, hi: number): number {
    return this.#parts.executeSlots(lo, hi)
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

  /** Gives a unit of the table up. */
  uninstall(entry: number): void {
    this.#parts.table.set(entry, null)
  }
}
