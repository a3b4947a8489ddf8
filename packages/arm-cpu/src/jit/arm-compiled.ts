import { FORM_SIGNATURE, R_OFFSET } from '@retrap/engine'
import type {
  CompiledInstructionSet,
  DecodedInstruction,
  InstructionFlow,
  RegionInstruction,
  StateLayout,
  UnitDescription,
  UnitEmitter,
  UnitSemantics,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { I32, type ModuleBuilder } from '@retrap/wasm-emitter'
import { UnitLibrary } from '../semantics/library.ts'
import { HOST_EXECUTED, R_A, R_D, R_IMMEDIATE, R_M, R_MORE, R_N } from '../state/record.ts'
import type { FormSource } from '../semantics/semantics.ts'
import { S_X } from '../state/state-layout.ts'
import { branchKind } from '../system/branch-types.ts'
import { RecordFunction } from './record-function.ts'
import { UnitContext } from './unit-context.ts'
import { REGISTERS, UnitRegisters } from './unit-registers.ts'
import { UnitVectors } from './unit-vectors.ts'

/** Bytes of a form's function from which units call it: mostly operations on many elements. */
const LARGE = 400

/** The data that another thread makes an {@link ArmEmitter} from. */
export interface EmitterKind {
  readonly entries: ReadonlyMap<string, number>
  readonly isPoisoned: boolean
}

/** A64's part of emission. Units assume nothing of the state. */
export class ArmEmitter implements UnitEmitter<FormSource> {
  readonly layout: StateLayout
  readonly assumedBytes = 0
  readonly #entries: ReadonlyMap<string, number>

  /**
   * @param entries - functions that instructions share: their entries of the interpreter's table
   * @param layout - of the processor's state
   */
  constructor(entries: ReadonlyMap<string, number>, layout: StateLayout) {
    this.layout = layout
    this.#entries = entries
  }

  isWide(): boolean {
    return true
  }

  beginUnit(module: ModuleBuilder, unit: UnitDescription<FormSource>): UnitSemantics<FormSource> {
    return armUnit(module, this.#entries, unit)
  }
}

/** A64 for the engine's compiler of hot code. */
export class ArmCompiled extends ArmEmitter implements CompiledInstructionSet<FormSource> {
  readonly name = 'arm64'
  /** All processors have one configuration. */
  readonly configuration = ''
  readonly emitterKind: EmitterKind
  readonly nameOf = ({ form }: FormSource): string => form.key
  readonly #memory: MachineMemory

  /** The other parameters are those of {@link ArmEmitter}. */
  constructor(memory: MachineMemory, entries: ReadonlyMap<string, number>, layout: StateLayout) {
    super(entries, layout)
    this.emitterKind = { entries, isPoisoned: layout.poisoned !== undefined }
    this.#memory = memory
  }

  flowOf({ form: { form, semantics }, record }: DecodedInstruction<FormSource>): InstructionFlow {
    const { target, row } = form
    if (semantics.far === true) return { flow: 'far' }
    if (semantics.interpreted === true) return { flow: 'leave' }
    if (target === undefined) {
      if (row.operation !== 'branch-register') return { flow: semantics.ends === true ? 'leave' : 'next' }
      // Returns are by X30: those with a pointer that is authenticated name no register.
      const isReturn =
        branchKind(row) === 'return' &&
        (!row.fields.has('n') || this.#memory.u16[(record + R_N) >>> 1] === S_X + 8 * 30)
      return { flow: isReturn ? 'return' : 'indirect' }
    }
    const immediate = Number(BigInt.asIntN(64, this.#memory.u64[(record + R_IMMEDIATE) >>> 3]!))
    const flow = row.operation !== 'branch' ? 'branch' : row.name === 'BL' ? 'call' : 'jump'
    return { flow, target: target === 'far' ? immediate : immediate >> 2 }
  }

  isCalled({ semantics }: FormSource, bytes: number): boolean {
    return bytes > LARGE && semantics.folds !== true && semantics.ends !== true
  }

  isHostCalled(fn: number, record: number): boolean {
    // Thumb's offsets are byte offsets plus 1.
    return fn === HOST_EXECUTED && (this.#memory.u16[(record + R_OFFSET) >>> 1]! & 1) === 0
  }
}

const FIELDS: readonly number[] = [R_D, R_N, R_M, R_A]
/** The second registers of CASP's pairs. */
const MORE_FIELDS: readonly number[] = [R_MORE, R_MORE + 2, R_MORE + 4]

/**
 * The instruction set's part of a unit: registers and flags in locals. Nothing is assumed of the state, and the locals are always
 * settled.
 *
 * @param module - module with imported memory and table
 * @param entries - shared functions' entries of the table
 */
function armUnit(
  module: ModuleBuilder,
  entries: ReadonlyMap<string, number>,
  { region, memory }: UnitDescription<FormSource>,
): UnitSemantics<FormSource> {
  const signature = { params: ['i32', 'i32', 'i32'], result: 'i32' } as const
  const access = module.importFunction('cpu', 'access', signature)
  const probe = module.importFunction('cpu', 'probe', signature)
  const f = module.function('unit', FORM_SIGNATURE, {
    export: true,
    builder: RecordFunction,
  }) as unknown as RecordFunction
  const library = new UnitLibrary(module, entries)
  const state = f.param(0, 'i32').get
  const tlb = f.param(2, 'i32').get
  const registers = new UnitRegisters(f, memory, state)
  const instructions = region.blocks.flatMap((block) => block.instructions)
  const vectors = new UnitVectors(f, memory, state, instructions)

  /** Returns the registers that an instruction's function uses; all registers if the host executes it. */
  const registersOf = ({ form, record }: RegionInstruction<FormSource>): number[] => {
    if (form === undefined) return Array.from({ length: REGISTERS }, (_, i) => i)
    const fields = form.form.row.attributes.has('couple') ? [...FIELDS, ...MORE_FIELDS] : FIELDS
    const named = fields.map((field) => registers.numberOf(record, field))
    return [...new Set(named)].filter((register) => register < REGISTERS)
  }
  return {
    f,
    checkAssumptions: () => {},
    assumptions: () => [],
    load: () => {
      registers.load()
      vectors.load()
    },
    store: () => {
      registers.flags.meet()
      registers.store()
      vectors.store()
    },
    settle: () => {},
    beginLoop: () => registers.flags.meet(),
    meet: () => {},
    merge: () => registers.flags.meet(),
    aside: (build) => registers.flags.aside(build),
    emit: ({ form: source, record }, exits) => {
      const { form, semantics } = source!
      f.setRecord(memory, record)
      const parts = { f, form, state, record: I32.of(record), tlb, access, library }
      const context = new UnitContext(parts, registers, vectors, probe, record, exits)
      semantics.emit(context, form)
      if (context.usesFlags) registers.noteFlags()
    },
    spill: (insn) => {
      registers.spill(registersOf(insn))
      vectors.spill(insn)
    },
    reload: (insn) => {
      registers.load(registersOf(insn))
      vectors.reload(insn)
    },
  }
}
