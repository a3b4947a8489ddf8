import { FORM_SIGNATURE, OP_BITS, OP_CALL_CONTROL } from '@retrap/engine'
import type {
  CompiledInstructionSet,
  DecodedInstruction,
  Flow,
  InstructionFlow,
  InterpreterCode,
  UnitDescription,
  UnitSemantics,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ModuleBuilder } from '@retrap/wasm-emitter'
import type { FormSource } from '../semantics/form-context.ts'
import { R_IMM, R_OP, R_REG0 } from '../state/record.ts'
import { CS, DS, ES, MODE_64, SEG_BASE, SEG_BYTES, SEG_LIMIT, STATE_LAYOUT, S_SEGMENTS } from '../state/state-layout.ts'
import type { SystemForm } from '../interpreter/handler-path.ts'
import type { CpuModel } from '../model/cpu-model.ts'
import { RegionBuilder } from './region-builder.ts'
import { importLibrary } from './unit-library.ts'
import { X86Unit } from './x86-unit.ts'

/** Bytes of a form's function above which it is called instead of generated in place. */
const LONGEST_INLINE = 800

const CONTROL = /^(J[A-Z]+|LOOP|LOOPE|LOOPNE|CALL|RET)$/

/** Instructions whose handlers units call, because the next instruction usually follows. */
const CALLED_HANDLERS =
  /^(MOV|PUSH|POP|CLTS|INVLPG|INVPCID|RDTSCP?|CPUID|(RD|WR)MSR|RDRAND|RDSEED|XGETBV|IN|OUT|VER[RW]|F?X(SAVE|RSTOR)[A-Z]*(64)?)$/

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
    const { u16, i32 } = this.#memory
    const { form: source, record, next, mode } = insn
    const flow = formFlow(source, u16[(record + R_OP) >>> 1]! & OP_BITS)
    if (flow !== 'jump' && flow !== 'branch' && flow !== 'call') return { flow }
    const immediate = i32[(record + R_IMM) >>> 2]!
    const kind = source.form.operands[0]?.kind
    if (kind === 'relp' || kind === 'relf') return { flow, target: immediate >> 2 }
    // The target is relative to the page in 64-bit mode, else to the next instruction.
    const from = mode === MODE_64 ? 0 : next
    const isNear = i32[(record + R_IMM + 4) >>> 2] === immediate >> 31
    return isNear && isRelativeKnown(this.#memory, insn) ? { flow, target: from + immediate } : { flow }
  }

  isCalled({ semantics }: FormSource, bytes: number): boolean {
    // The interpreter calls the handler where the simple cases of a partial form do not suffice.
    return semantics.partial !== true && bytes > LONGEST_INLINE
  }

  isHostCalled(fn: number, record: number): boolean {
    const register = this.#memory.u16[(record + R_REG0) >>> 1]!
    // Units may assume the rights of these two.
    const isAssumed = [ES, DS].some((segment) => register === S_SEGMENTS + SEG_BYTES * segment)
    return !isAssumed && CALLED_HANDLERS.test(this.#handlers[fn]!.form.mnemonic)
  }

  beginUnit(module: ModuleBuilder, unit: UnitDescription<FormSource>): UnitSemantics<FormSource> {
    const library = importLibrary(module, this.#code)
    const f = module.function('unit', FORM_SIGNATURE, { export: true, builder: RegionBuilder })
    return new X86Unit(f as unknown as RegionBuilder, this.#memory, library, unit)
  }
}

/** Flows of forms that have been found, of records of other cases and of `OP_CALL_CONTROL`. */
const known: readonly WeakMap<FormSource, Flow>[] = [new WeakMap(), new WeakMap()]

function formFlow(source: FormSource, op: number): Flow {
  const flows = known[op === OP_CALL_CONTROL ? 1 : 0]!
  let flow = flows.get(source)
  if (flow === undefined) flows.set(source, (flow = findFlow(source, op)))
  return flow
}

function findFlow({ form, semantics }: FormSource, op: number): Flow {
  const { mnemonic, operands } = form
  const { partial, compiled, far } = semantics
  if (far === true) return 'far'
  // A function that the next instruction follows, unless it leaves this one to its handler.
  if (form.repeat !== 'none' || semantics.called === true) return 'repeat'
  if (partial === true) return compiled === true ? 'next' : 'leave'
  if (!CONTROL.test(mnemonic)) return op === OP_CALL_CONTROL ? 'leave' : 'next'
  if (mnemonic === 'RET') return 'return'
  const kind = operands[0]?.kind
  const relative = kind === 'rel' || kind === 'relp' || kind === 'relf'
  if (!relative) return 'indirect'
  return mnemonic === 'CALL' ? 'call' : mnemonic === 'JMP' ? 'jump' : 'branch'
}

/** Whether the instruction pointer is the linear address, and is not truncated by a branch. */
function isRelativeKnown({ u32, i32 }: MachineMemory, insn: DecodedInstruction<FormSource>): boolean {
  const { size } = insn.form.form
  if (insn.mode === MODE_64) return size === 8
  const code = insn.state + S_SEGMENTS + SEG_BYTES * CS
  return u32[(code + SEG_BASE) >>> 2] === 0 && i32[(code + SEG_LIMIT) >>> 2] === -1 && size === 4
}
