import { FORM_SIGNATURE, R_OFFSET } from '@retrap/engine'
import type {
  CompiledInstructionSet,
  DecodedInstruction,
  I32Callee,
  InstructionExits,
  InstructionFlow,
  RecordMemory,
  RegionInstruction,
  StateLayout,
  UnitDescription,
  UnitEmitter,
  UnitSemantics,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { I32 } from '@retrap/wasm-emitter'
import type { ModuleBuilder } from '@retrap/wasm-emitter'
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
    return new ArmUnit(module, this.#entries, unit)
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

/** The instruction set's part of a unit: registers and flags in locals. */
class ArmUnit implements UnitSemantics<FormSource> {
  readonly f: RecordFunction
  readonly #access: I32Callee
  readonly #library: UnitLibrary
  readonly #probe: I32Callee
  readonly #memory: RecordMemory
  readonly #state: I32
  readonly #tlb: I32
  readonly #registers: UnitRegisters
  readonly #vectors: UnitVectors

  /**
   * @param module - module with imported memory and table
   * @param entries - shared functions' entries of the table
   */
  constructor(
    module: ModuleBuilder,
    entries: ReadonlyMap<string, number>,
    { region, memory }: UnitDescription<FormSource>,
  ) {
    const signature = { params: ['i32', 'i32', 'i32'], result: 'i32' } as const
    this.#access = module.importFunction('cpu', 'access', signature)
    this.#probe = module.importFunction('cpu', 'probe', signature)
    const f = module.function('unit', FORM_SIGNATURE, { export: true, builder: RecordFunction })
    this.f = f as unknown as RecordFunction
    this.#library = new UnitLibrary(module, entries)
    this.#memory = memory
    this.#state = f.param(0, 'i32').get
    this.#tlb = f.param(2, 'i32').get
    this.#registers = new UnitRegisters(this.f, memory, this.#state)
    const instructions = region.blocks.flatMap((block) => block.instructions)
    this.#vectors = new UnitVectors(this.f, memory, this.#state, instructions)
  }

  // ---------------------------------------------------------------- entry and exit: nothing is assumed

  checkAssumptions(): void {}

  assumptions(): readonly [] {
    return []
  }

  load(): void {
    this.#registers.load()
    this.#vectors.load()
  }

  store(): void {
    this.#registers.flags.meet()
    this.#registers.store()
    this.#vectors.store()
  }

  // ---------------------------------------------------------------- control flow: the locals are always settled

  settle(): void {}

  beginLoop(): void {
    this.#registers.flags.meet()
  }

  meet(): void {}

  merge(): void {
    this.#registers.flags.meet()
  }

  aside(build: () => void): void {
    this.#registers.flags.aside(build)
  }

  // ---------------------------------------------------------------- instructions

  emit({ form: source, record }: RegionInstruction<FormSource>, exits: InstructionExits): void {
    const { form, semantics } = source!
    this.f.setRecord(this.#memory, record)
    const parts = {
      f: this.f,
      form,
      state: this.#state,
      record: I32.of(record),
      tlb: this.#tlb,
      access: this.#access,
      library: this.#library,
    }
    const context = new UnitContext(parts, this.#registers, this.#vectors, this.#probe, record, exits)
    semantics.emit(context, form)
    if (context.usesFlags) this.#registers.noteFlags()
  }

  spill(insn: RegionInstruction<FormSource>): void {
    this.#registers.spill(this.#registersOf(insn))
    this.#vectors.spill(insn)
  }

  reload(insn: RegionInstruction<FormSource>): void {
    this.#registers.reload(this.#registersOf(insn))
    this.#vectors.reload(insn)
  }

  /** Returns the registers that an instruction's function uses; all registers if the host executes it. */
  #registersOf({ form, record }: RegionInstruction<FormSource>): number[] {
    if (form === undefined) return Array.from({ length: REGISTERS }, (_, i) => i)
    const fields = form.form.row.attributes.has('couple') ? [...FIELDS, ...MORE_FIELDS] : FIELDS
    const named = fields.map((field) => this.#registers.numberOf(record, field))
    return [...new Set(named)].filter((register) => register < REGISTERS)
  }
}
