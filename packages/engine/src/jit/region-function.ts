import { FunctionBuilder } from '@retrap/wasm-emitter'
import type { I32, Label } from '@retrap/wasm-emitter'

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
}
