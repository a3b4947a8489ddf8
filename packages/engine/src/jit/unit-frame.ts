import type { I32, I64, Local } from '@retrap/wasm-emitter'
import type { I32Callee } from '../status.ts'
import { RECORD_BYTES, R_WORDS } from '../record.ts'
import type { StateLayout } from '../loop-state.ts'
import type { CodeNotes } from './code-marks.ts'
import type { UnitDescription, UnitEmitter, UnitSemantics } from './instruction-set.ts'
import type { RegionFunction } from './position-switch.ts'
import type { Region, RegionInstruction, RegionPage } from './region.ts'

/**
 * Refers to a record of a unit by a constant, from which `followRef` finds its address: the offset of the word that holds
 * an instruction's record. The low bits say how many records after that one it lies, plus one.
 */
export type RecordRef = number & { readonly unit: 'record' }
/** Distance of the references of neighbouring words: the bytes of a word. */
export const REF_WORD = 4
/** Words of a page: the slot table, and the distance from the first page. */
export const PAGE_WORDS = 2

/** The parts that a unit is generated with. */
export interface UnitParts<Form> extends UnitDescription<Form> {
  readonly emitter: UnitEmitter<Form>
  /** Machine address of the engine's counters of hot code. */
  readonly countersAt: number
  /** Executes an instruction by a host function: `DispatchImports.system`. */
  readonly system: I32Callee
  /** Index of the type of a form's function. */
  readonly callType: number
  /** Index of the type of the function by which units are left, and its entry in the table. */
  readonly leaveType: number
  readonly leaveEntry: number
  /** Receives the start of each instruction's code; undefined: not wanted. */
  readonly notes: CodeNotes | undefined
}

/**
 * The locals that every unit has, and the account of its instructions.
 *
 * A unit's code contains no machine addresses of slot tables and records: it loads them from its *words*, to which its
 * record points. So one code serves every frame with the same bytes, each with its own words. The first words hold the slot
 * table and distance of each page; records of instructions follow.
 */
export class UnitFrame<Form> {
  readonly f: RegionFunction
  readonly parts: UnitParts<Form>
  readonly semantics: UnitSemantics<Form>
  /** Machine address of the state. */
  readonly state: I32
  /** Machine address of the TLB set. */
  readonly tlb: I32
  /** Machine address of the record by which the unit is entered. */
  readonly unitRecord: I32
  readonly #words: Local<'i32'>
  /** Numbers of the words with records, by the positions of the instructions. */
  readonly #recordWords = new Map<number, number>()
  readonly budget: Local<'i32'>
  /** Linear address of the page that the region is entered in. */
  readonly base: Local<'i64'>
  /** Instructions that have retired since the budget was charged. */
  pending = 0
  readonly #isWide: boolean

  /** @param semantics - just begun: its function has no code yet */
  constructor(semantics: UnitSemantics<Form>, parts: UnitParts<Form>) {
    const { f } = semantics
    this.f = f
    this.parts = parts
    this.semantics = semantics
    this.state = f.param(0, 'i32').get
    this.unitRecord = f.param(1, 'i32').get
    this.tlb = f.param(2, 'i32').get
    this.#words = f.local('i32')
    this.budget = f.local('i32')
    this.base = f.local('i64')
    this.#isWide = parts.emitter.isWide(parts.mode)
  }

  get layout(): StateLayout {
    return this.parts.emitter.layout
  }

  get region(): Region<Form> {
    return this.parts.region
  }

  /** Emits the prologue. */
  begin(): void {
    this.f.set(this.#words, this.f.loadExpression('i32.load', this.unitRecord, R_WORDS))
  }

  /** Positions of instructions whose records follow the pages in the unit's words. */
  get recordPositions(): readonly number[] {
    return [...this.#recordWords.keys()]
  }

  /** Returns the machine address of a page's slot table. */
  slotsOf(page: RegionPage): I32 {
    return this.#word(PAGE_WORDS * this.region.pages.indexOf(page))
  }

  /** Returns the machine address of the slot table of the page at a position. */
  slotsAt(delta: number): I32 {
    return this.#word(PAGE_WORDS * this.region.pages.findIndex((page) => page.delta === delta))
  }

  /** Returns the machine address of an instruction's record. */
  recordOf(insn: RegionInstruction<Form>): I32 {
    return this.#word(this.#recordWord(insn))
  }

  #recordWord({ at }: RegionInstruction<Form>): number {
    let word = this.#recordWords.get(at)
    if (word === undefined) {
      word = PAGE_WORDS * this.region.pages.length + this.#recordWords.size
      this.#recordWords.set(at, word)
    }
    return word
  }

  /** Returns a reference to an instruction's record. */
  recordRef(insn: RegionInstruction<Form>): RecordRef {
    return this.#ref(insn, 0)
  }

  /** Returns a reference to the record that the interpreter begins an instruction with. */
  firstRecordRef(insn: RegionInstruction<Form>): RecordRef {
    return this.#ref(insn, insn.crosses ? -1 : 0)
  }

  /** Returns a reference to the record after an instruction's. */
  nextRecordRef(insn: RegionInstruction<Form>): RecordRef {
    return this.#ref(insn, 1)
  }

  #ref(insn: RegionInstruction<Form>, distance: -1 | 0 | 1): RecordRef {
    return (REF_WORD * this.#recordWord(insn) + distance + 1) as RecordRef
  }

  /** Returns the machine address of the record that a {@link RecordRef} refers to. */
  followRef(ref: I32): I32 {
    const record = this.f.loadExpression('i32.load', this.#words.get.add(ref.and(-REF_WORD)))
    const distance = ref.and(REF_WORD - 1).sub(1)
    return record.add(distance.mul(RECORD_BYTES))
  }

  #word(number: number): I32 {
    return this.f.loadExpression('i32.load', this.#words.get, 4 * number)
  }

  /** Emits loads of the engine's locals from the state. */
  load(): void {
    const { f, layout } = this
    f.set(this.budget, f.loadExpression('i32.load', this.state, layout.budget))
    f.set(this.base, f.loadExpression('i64.load', this.state, layout.pageBase))
  }

  /** Returns the linear address of a position. */
  linear(at: number): I64 {
    const linear = this.base.get.add(at)
    return this.#isWide || at === 0 ? linear : linear.and(0xffff_ffffn)
  }

  /** Returns the linear address that the state's program counter stands for. */
  linearProgramCounter(): I64 {
    const { programCounter, programCounterBase } = this.layout
    const counter = this.f.loadExpression('i64.load', this.state, programCounter)
    return programCounterBase === undefined ? counter : counter.add(this.#double(programCounterBase))
  }

  /** Emits: the state's program counter is set to the instruction at a position. */
  storeProgramCounter(at: number): void {
    const { programCounter, programCounterBase, programCounterMask } = this.layout
    const linear = this.linear(at)
    const counter = programCounterBase === undefined ? linear : linear.sub(this.#double(programCounterBase))
    const masked = programCounterMask === undefined ? counter : counter.and(this.#double(programCounterMask))
    this.f.store('i64.store', this.state, masked, programCounter)
  }

  #double(offset: number): I64 {
    return this.f.loadExpression('i64.load', this.state, offset)
  }

  /** Emits: accesses use the TLB set of the state from here on. */
  reloadTlb(): void {
    this.f.set(this.f.param(2, 'i32'), this.f.loadExpression('i32.load', this.state, this.layout.tlb))
  }

  /** Emits a charge of the budget for retired instructions. */
  charge(): void {
    if (this.pending === 0) return
    this.f.set(this.budget, this.budget.get.sub(this.pending))
    this.pending = 0
  }
}
