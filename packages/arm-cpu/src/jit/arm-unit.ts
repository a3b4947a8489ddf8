import { FORM_SIGNATURE } from '@retrap/engine'
import type { I32Callee, InstructionExits, RegionInstruction, UnitDescription, UnitSemantics } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import { I32 } from '@retrap/wasm-emitter'
import type { ModuleBuilder } from '@retrap/wasm-emitter'
import { UnitLibrary } from '../semantics/library.ts'
import { R_A, R_D, R_M, R_MORE, R_N } from '../state/record.ts'
import type { FormSource } from '../semantics/semantics.ts'
import { RecordFunction } from './record-function.ts'
import { UnitContext } from './unit-context.ts'
import { REGISTERS, UnitRegisters } from './unit-registers.ts'
import { UnitVectors } from './unit-vectors.ts'

const FIELDS: readonly number[] = [R_D, R_N, R_M, R_A]
/** The second registers of CASP's pairs. */
const MORE_FIELDS: readonly number[] = [R_MORE, R_MORE + 2, R_MORE + 4]

/** The instruction set's part of a unit: registers and flags in locals. */
export class ArmUnit implements UnitSemantics<FormSource> {
  readonly f: RecordFunction
  readonly #access: I32Callee
  readonly #library: UnitLibrary
  readonly #probe: I32Callee
  readonly #memory: MachineMemory
  readonly #state: I32
  readonly #tlb: I32
  readonly #registers: UnitRegisters
  readonly #vectors: UnitVectors

  /**
   * @param module - with its memory and its table
   * @param entries - shared functions' entries of the table
   */
  constructor(
    module: ModuleBuilder,
    memory: MachineMemory,
    entries: ReadonlyMap<string, number>,
    { region }: UnitDescription<FormSource>,
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

  /** The registers that the function of an instruction's form uses; all of what the host executes. */
  #registersOf({ form, record }: RegionInstruction<FormSource>): number[] {
    if (form === undefined) return Array.from({ length: REGISTERS }, (_, i) => i)
    const fields = form.form.row.attributes.has('couple') ? [...FIELDS, ...MORE_FIELDS] : FIELDS
    const named = fields.map((field) => this.#registers.numberOf(record, field))
    return [...new Set(named)].filter((register) => register < REGISTERS)
  }
}
