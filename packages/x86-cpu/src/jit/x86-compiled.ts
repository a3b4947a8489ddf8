import { FORM_SIGNATURE } from '@retrap/engine'
import type {
  CompiledInstructionSet,
  DecodedInstruction,
  InstructionFlow,
  InterpreterCode,
  UnitDescription,
  UnitSemantics,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ModuleBuilder } from '@retrap/wasm-emitter'
import type { FormSource } from '../semantics/form-context.ts'
import { MODE_64, STATE_LAYOUT } from '../state/state-layout.ts'
import type { SystemForm } from '../interpreter/handler-path.ts'
import type { CpuModel } from '../model/cpu-model.ts'
import { controlFlow, isHandlerCalled } from './control-flow.ts'
import { RegionBuilder } from './region-builder.ts'
import { importLibrary } from './unit-library.ts'
import { X86Unit } from './x86-unit.ts'

/** Bytes of a form's function above which it is called instead of generated in place. */
const LONGEST_INLINE = 800

/** x86, as the engine compiles hot code of it. */
export class X86Compiled implements CompiledInstructionSet<FormSource> {
  readonly name = 'x86'
  readonly configuration: string
  readonly layout: typeof STATE_LAYOUT = STATE_LAYOUT
  readonly #memory: MachineMemory
  readonly #code: InterpreterCode<FormSource>
  readonly #handlers: readonly SystemForm[]

  /**
   * @param code - the interpreter, whose functions units call
   * @param handlers - what its host functions execute, by number
   * @param model - of the processor
   */
  constructor(
    memory: MachineMemory,
    code: InterpreterCode<FormSource>,
    handlers: readonly SystemForm[],
    model: CpuModel,
  ) {
    const { name: _name, brand: _brand, features, ...others } = model
    this.configuration = JSON.stringify({ ...others, features: [...features].toSorted() })
    this.#memory = memory
    this.#code = code
    this.#handlers = handlers
  }

  isWide(mode: number): boolean {
    return mode === MODE_64
  }

  flowOf(insn: DecodedInstruction<FormSource>): InstructionFlow {
    return controlFlow(this.#memory, insn)
  }

  isCalled({ semantics }: FormSource, bytes: number): boolean {
    // The interpreter calls the handler where the simple cases of a partial form do not suffice.
    return semantics.partial !== true && bytes > LONGEST_INLINE
  }

  isHostCalled(fn: number, record: number): boolean {
    return isHandlerCalled(this.#memory, this.#handlers[fn]!.form.mnemonic, record)
  }

  beginUnit(module: ModuleBuilder, unit: UnitDescription<FormSource>): UnitSemantics<FormSource> {
    const library = importLibrary(module, this.#code)
    const f = module.function('unit', FORM_SIGNATURE, { export: true, builder: RegionBuilder })
    return new X86Unit(f as unknown as RegionBuilder, this.#memory, library, unit)
  }
}
