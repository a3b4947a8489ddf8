import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import { FORM_SIGNATURE } from '../dispatch-parts.ts'
import { importMachineMemory } from '../interpreter.ts'
import type { InterpreterCode } from '../interpreter.ts'
import { R_FUNCTION, R_OP } from '../record.ts'
import type { CompiledInstructionSet, UnitDescription } from './instruction-set.ts'
import type { MemorySites } from './memory-sites.ts'
import { RegionTranslator } from './region-translator.ts'
import type { RegionInstruction } from './region.ts'
import { UnitFrame } from './unit-frame.ts'

/** A unit's module in the binary format. */
export interface EmittedUnit {
  readonly module: Uint8Array
  /** Positions of the instructions whose records are the unit's words after its pages'. */
  readonly recordPositions: readonly number[]
  /** Returns whether the state at a machine address is as the unit assumes. */
  readonly isFor: (state: number) => boolean
}

/** Compiles regions to modules of one function. */
export class UnitCompiler<Form> {
  readonly #memory: MachineMemory
  readonly #code: InterpreterCode<Form>
  readonly #instructionSet: CompiledInstructionSet<Form>
  readonly #countersAt: number

  /** What is known of accesses to memory. */
  readonly sites: MemorySites

  /**
   * @param countersAt - machine address of the counters of hot code
   * @param sites - what units do about accesses that miss the TLB
   */
  constructor(
    memory: MachineMemory,
    code: InterpreterCode<Form>,
    instructionSet: CompiledInstructionSet<Form>,
    countersAt: number,
    sites: MemorySites,
  ) {
    this.#memory = memory
    this.#code = code
    this.#instructionSet = instructionSet
    this.#countersAt = countersAt
    this.sites = sites
  }

  /**
   * Compiles a region.
   *
   * @returns the bytes of a module, and the positions of the instructions whose records are among its words
   */
  compile(unit: UnitDescription<Form>): EmittedUnit {
    const module = new ModuleBuilder()
    importMachineMemory(module, this.#memory.shared)
    module.importTable('cpu', 'table')
    const system = module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
    const callType = module.typeIndex(FORM_SIGNATURE)
    const frame = new UnitFrame(this.#instructionSet.beginUnit(module, unit), {
      ...unit,
      instructionSet: this.#instructionSet,
      countersAt: this.#countersAt,
      callType,
      system,
      entryOf: (insn) => this.#entryOf(insn),
      onMiss: (record) => this.sites.actionOf(record),
      isCalled: (insn) => this.#isCalled(insn),
    })
    new RegionTranslator(frame).build()
    return { module: module.build(), recordPositions: frame.recordPositions, isFor: frame.semantics.assumptions() }
  }

  #entryOf({ record }: RegionInstruction<Form>): number {
    return this.#memory.u16[(record + R_FUNCTION) >>> 1]!
  }

  #isCalled(insn: RegionInstruction<Form>): boolean {
    const op = this.#memory.u16[(insn.record + R_OP) >>> 1]!
    const bytes = this.#code.functionBytes(op, this.#entryOf(insn))
    return bytes > 0 && this.#instructionSet.isCalled(insn.form!, bytes)
  }
}
