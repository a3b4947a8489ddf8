import { FunctionBuilder, I32 } from '@retrap/wasm-emitter'
import type { Callee, I32Like, Label, Value } from '@retrap/wasm-emitter'

/** A function of the interpreter's module as units call it: through the table. */
export interface TableCallee extends Callee {
  /** Its entry in the table. */
  readonly entry: number
  /** Index of its type in the module that calls it. */
  readonly typeIndex: number
}

/**
 * Builds the function of a unit: `(state, record, tlb) → UNIT_*`. Subclasses may change how the code of instructions is
 * emitted; the structure of the unit around them is emitted by the methods here.
 */
export class RegionFunction extends FunctionBuilder {
  /** Emits a block of the unit's own structure. */
  structuredBlock(build: (label: Label) => void): void {
    super.block(build)
  }

  /** Emits a loop of the unit's own structure. */
  structuredLoop(build: (label: Label) => void): void {
    super.loop(build)
  }

  /** Emits a conditional arm of the unit's own structure. */
  structuredIf(condition: I32, then: () => void): void {
    super.if(condition, then)
  }

  /** Returns the machine address that a load or store is made at, where it is a constant; else -1. */
  protected constantAddress(address: I32Like, offset: number): number {
    const { known } = I32.of(address)
    // Machine memory has up to 4 GiB, and constants have a sign.
    return known === undefined ? -1 : (known >>> 0) + offset
  }

  /** Calls a function: of this module, or through the table. Its result, if any, is in a fresh local. */
  override call(callee: Callee, ...operands: Value[]): never {
    const { entry, typeIndex } = callee as Partial<TableCallee>
    const result =
      entry === undefined || typeIndex === undefined
        ? super.call(callee, ...operands)
        : this.callIndirect(callee.signature, typeIndex, entry, ...operands)
    return result as never
  }
}
