import { OP_UNIT, R_ENTRY, R_LINK, R_OP, R_WORDS } from '../../record.ts'
import type { StateLayout } from '../../loop-state.ts'
import { STATUS_FAULT, UNIT_FAILED, UNIT_JUMP, UNIT_RESUME, UNIT_SLOW } from '../../status.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from '../../tlb-layout.ts'
import {
  EXIT_COMPUTED,
  EXIT_OUTCOME_SHIFT,
  EXIT_PAGE_SHIFT,
  EXIT_RETURN,
  exitDetail,
  exitReason,
  type ExitReason,
} from '../exit-reasons.ts'
import type { CodeNotes } from '../code-marks.ts'
import type { FoundCode } from '../found-code.ts'
import { PAGE_WORDS, REF_WORD } from '../unit-frame.ts'
import { UNIT_ENTERED } from '../unit.ts'
import * as wasm from './code-writer.ts'
import { CodeWriter } from './code-writer.ts'
import type { CopiedUnit } from './copied-unit.ts'
import * as local from './unit-locals.ts'

const I32 = 0x7f
const I64 = 0x7e
/** Bits by which a page's number is shifted to give the offset of its words. */
const PAGE_SHIFT = Math.log2(REF_WORD * PAGE_WORDS)

/** The parts of its module that the code of a unit refers to. */
export interface UnitModule {
  readonly layout: StateLayout
  /** Whether linear addresses have 64 bits; else they wrap around at 32. */
  readonly isWide: boolean
  /** Indices of the types of a form's function, and of the function by which units are left. */
  readonly callType: number
  readonly leaveType: number
  /** Entry of the latter. */
  readonly leaveEntry: number
  /** Machine address of the count of entries where the state is not as the unit assumes. */
  readonly guardCounter: number
  /** Index of the host's function that executes an instruction. */
  readonly system: number
}

/** Writes the body of a unit's function: its entry and end, its exits, and the checks that have one. */
export class UnitWriter<Form> {
  readonly code: CodeWriter = new CodeWriter()
  /** Instructions that have retired since the budget was charged. */
  pending = 0
  /** Blocks of the unit that the code is in, and blocks of the instruction's own code. */
  depth = 0
  inner = 0
  /** The instruction whose code is written. */
  instruction = 0
  /** Positions of the instructions whose records are words of the unit, after those of its pages. */
  recordPositions: number[] = []
  #module!: UnitModule
  #found!: FoundCode<Form>
  /** The numbers of these words plus one, by the instructions' numbers. */
  readonly #words = new Uint16Array(256)
  readonly #groups = new CodeWriter()
  #notes: CodeNotes | undefined

  /** Begins a unit. @param notes - takes where the code of each instruction begins; undefined: not wanted */
  reset(module: UnitModule, found: FoundCode<Form>, notes: CodeNotes | undefined): void {
    this.#module = module
    this.#notes = notes
    this.#found = found
    this.code.clear()
    this.pending = 0
    this.depth = 0
    this.inner = 0
    this.recordPositions = []
    this.#words.fill(0)
  }

  /** The code of an instruction begins. */
  begin(i: number): void {
    this.instruction = i
    this.#notes?.note(this.#found.at[i]!, this.code.length, false)
  }

  get module(): UnitModule {
    return this.#module
  }

  // ---------------------------------------------------------------- entry and end

  /** Writes the locals and the entry, once all instructions are planned. */
  beginBody(unit: CopiedUnit<Form>): void {
    const { code } = this
    this.#declare(unit)
    code.get(local.UNIT_RECORD)
    code.access(wasm.I32_LOAD, R_WORDS)
    code.set(local.WORDS)
    // All exits leave this block.
    code.begin(wasm.BLOCK)
    this.#assume(unit)
    code.get(local.UNIT_RECORD)
    code.i32(1)
    code.access(wasm.I32_STORE8, UNIT_ENTERED)
    this.#load()
    unit.load(code)
  }

  #declare(unit: CopiedUnit<Form>): void {
    const { code } = this
    const groups = this.#groups
    groups.clear()
    code.leb(2 + unit.declare(groups, local.FIRST_OF_SET))
    code.leb(local.COUNT_32)
    code.u8(I32)
    code.leb(local.COUNT_64)
    code.u8(I64)
    code.append(groups)
  }

  /** Leaves where the state is not as the unit assumes: with the record by which it is entered. */
  #assume(unit: CopiedUnit<Form>): void {
    const { code } = this
    const { layout, guardCounter } = this.#module
    if (!unit.differs(code)) return
    code.begin(wasm.IF)
    code.get(local.STATE)
    code.get(local.UNIT_RECORD)
    code.access(wasm.I32_LOAD, R_LINK)
    code.access(wasm.I32_STORE, layout.record)
    code.get(local.STATE)
    this.#entryPage()
    code.access(wasm.I32_LOAD, 0)
    code.access(wasm.I32_STORE, layout.slots)
    code.i32(guardCounter)
    code.i32(guardCounter)
    code.access(wasm.I64_LOAD, 0)
    code.i64(1)
    code.u8(wasm.I64_ADD)
    code.access(wasm.I64_STORE, 0)
    code.i32(UNIT_RESUME)
    code.u8(wasm.RETURN)
    code.u8(wasm.END)
  }

  /** Machine address of the words of the page where the unit is entered. */
  #entryPage(): void {
    const { code } = this
    code.get(local.WORDS)
    if (this.#found.pages.length === 1) return
    code.get(local.UNIT_RECORD)
    code.access(wasm.I32_LOAD16_U, R_ENTRY + 2)
    code.i32(PAGE_SHIFT)
    code.u8(wasm.I32_SHL)
    code.u8(wasm.I32_ADD)
  }

  /** Loads the engine's locals. */
  #load(): void {
    const { code } = this
    const { layout, isWide } = this.#module
    code.get(local.STATE)
    code.access(wasm.I32_LOAD, layout.budget)
    code.set(local.BUDGET)
    code.get(local.UNIT_RECORD)
    code.access(wasm.I32_LOAD16_U, R_ENTRY)
    code.set(local.NEXT)
    code.get(local.STATE)
    code.access(wasm.I64_LOAD, layout.pageBase)
    if (this.#found.pages.length > 1) {
      this.#entryPage()
      code.access(wasm.I64_LOAD32_S, REF_WORD)
      code.u8(wasm.I64_SUB)
      if (!isWide) this.#truncate()
    }
    code.set(local.BASE)
  }

  /** Writes the end, to which all exits lead. */
  endBody(unit: CopiedUnit<Form>): void {
    const { code } = this
    this.#notes?.note(undefined, code.length, false)
    code.u8(wasm.END)
    unit.store(code)
    this.#leave()
    code.u8(wasm.END)
  }

  #leave(): void {
    const { code } = this
    const { leaveEntry, leaveType } = this.#module
    for (const each of [local.STATE, local.UNIT_RECORD, local.TLB, local.REFERENCE, local.DETAIL]) code.get(each)
    for (const each of [local.BUDGET, local.BASE, local.TARGET]) code.get(each)
    code.i32(leaveEntry)
    code.returnCallIndirect(leaveType)
  }

  // ---------------------------------------------------------------- words

  #wordOf(i: number): number {
    let word = this.#words[i]!
    if (word === 0) {
      word = this.recordPositions.push(this.#found.at[i]!)
      this.#words[i] = word
    }
    return PAGE_WORDS * this.#found.pages.length + word - 1
  }

  /** Writes the machine address of an instruction's record. */
  recordOf(i: number): void {
    this.code.get(local.WORDS)
    this.code.access(wasm.I32_LOAD, REF_WORD * this.#wordOf(i))
  }

  /** Writes the machine address of a page's slot table. @param page - its number */
  slotsOf(page: number): void {
    this.code.get(local.WORDS)
    this.code.access(wasm.I32_LOAD, REF_WORD * PAGE_WORDS * page)
  }

  // References: see `RecordRef`.

  /** Returns a reference to the record that the interpreter begins an instruction with. */
  firstReference(i: number): number {
    return REF_WORD * this.#wordOf(i) + (this.#found.crosses[i] === 0 ? 1 : 0)
  }

  /** Returns a reference to an instruction's record. */
  reference(i: number): number {
    return REF_WORD * this.#wordOf(i) + 1
  }

  /** Returns a reference to the record after an instruction's. */
  nextReference(i: number): number {
    return REF_WORD * this.#wordOf(i) + 2
  }

  /** Writes the linear address of a position. */
  linear(at: number): void {
    const { code } = this
    code.get(local.BASE)
    if (at === 0) return
    code.i64(at)
    code.u8(wasm.I64_ADD)
    if (!this.#module.isWide) this.#truncate()
  }

  #truncate(): void {
    const { code } = this
    code.u8(wasm.I64_CONST)
    code.leb64(0xffff_ffffn)
    code.u8(wasm.I64_AND)
  }

  // ---------------------------------------------------------------- exits

  /** Writes a charge of the budget for what has retired. */
  charge(): void {
    if (this.pending === 0) return
    const { code } = this
    code.get(local.BUDGET)
    code.i32(this.pending)
    code.u8(wasm.I32_SUB)
    code.set(local.BUDGET)
    this.pending = 0
  }

  #exit(reference: number, detail: number): void {
    const { code } = this
    code.i32(reference)
    code.set(local.REFERENCE)
    code.i32(detail)
    code.set(local.DETAIL)
  }

  #exitNow(reference: number, detail: number): void {
    this.#exit(reference, detail)
    this.code.br(this.inner + this.depth)
  }

  get #page(): number {
    return this.#found.page[this.instruction]!
  }

  /** Writes an exit to a record, from which the interpreter goes on. */
  resume(why: ExitReason, reference: number, retired: number): void {
    this.#exitNow(reference, exitDetail(why, UNIT_RESUME, this.#page, retired))
  }

  /** Writes an exit before the instruction, after a page was not found in the TLB. */
  slow(): void {
    this.#exitNow(this.firstReference(this.instruction), exitDetail('miss', UNIT_SLOW, this.#page, this.pending))
  }

  /** Writes an exit for the linear address in `TARGET`, after the instruction, which has retired. */
  jump(why: ExitReason, retired: number): void {
    this.#exitNow(this.reference(this.instruction), exitDetail(why, UNIT_JUMP, this.#page, retired))
  }

  /** The same for a position. */
  jumpTo(why: ExitReason, at: number): void {
    this.linear(at)
    this.code.set(local.TARGET)
    this.jump(why, this.pending)
  }

  /** Writes an exit for the address in `TARGET`, which the instruction has computed. */
  leaveComputed(isReturn: boolean): void {
    const how = isReturn ? EXIT_COMPUTED | EXIT_RETURN : EXIT_COMPUTED
    const detail = exitDetail('computed', UNIT_JUMP, this.#page, this.pending) | how
    this.#exitNow(this.reference(this.instruction), detail)
  }

  /** Writes an exit for an instruction that a call has ended with a status other than done. @param status - number of its local */
  fail(status: number, retired: number): void {
    const { code } = this
    code.i32(this.reference(this.instruction))
    code.set(local.REFERENCE)
    code.i32(exitReason('fault'))
    code.i32(exitReason('handler'))
    code.get(status)
    code.i32(STATUS_FAULT)
    code.u8(wasm.I32_EQ)
    code.u8(wasm.SELECT)
    code.get(status)
    code.i32(UNIT_FAILED)
    code.u8(wasm.I32_ADD)
    code.i32(EXIT_OUTCOME_SHIFT)
    code.u8(wasm.I32_SHL)
    code.u8(wasm.I32_OR)
    code.i32(retired | (this.#page << EXIT_PAGE_SHIFT))
    code.u8(wasm.I32_OR)
    code.set(local.DETAIL)
    code.br(this.inner + this.depth)
  }

  // ---------------------------------------------------------------- checks

  #arm(write: () => void): void {
    this.code.begin(wasm.IF)
    this.inner++
    write()
    this.inner--
    this.code.u8(wasm.END)
  }

  /** Writes an exit where a turn may end, if it ends. @param target - a position; undefined for the address in `TARGET` */
  checkTurn(target: number | undefined): void {
    const { code } = this
    code.get(local.BUDGET)
    if (this.pending !== 0) {
      code.i32(this.pending)
      code.u8(wasm.I32_SUB)
    }
    code.tee(local.ENTRY)
    code.get(local.STATE)
    code.access(wasm.I32_LOAD, this.#module.layout.attention)
    code.u8(wasm.I32_LE_S)
    code.begin(wasm.IF)
    if (target !== undefined) {
      this.linear(target)
      code.set(local.TARGET)
    }
    code.i32(this.reference(this.instruction))
    code.set(local.REFERENCE)
    code.i32(exitDetail('budget', UNIT_JUMP, this.#page, this.pending))
    code.i32(exitDetail('event', UNIT_JUMP, this.#page, this.pending))
    code.get(local.ENTRY)
    code.i32(0)
    code.u8(wasm.I32_LE_S)
    code.u8(wasm.SELECT)
    code.set(local.DETAIL)
    code.br(this.inner + 1 + this.depth)
    code.u8(wasm.END)
  }

  /** Writes an exit for a position unless a page of the unit is still mapped where it was. @param page - its number */
  checkPage(page: number, target: number): void {
    this.#isElsewhere(this.#found.pages[page]!.delta, page)
    this.#arm(() => this.jumpTo('mapping', target))
  }

  /** Writes an exit before an instruction in two pages unless the second page is the one that it was decoded from. */
  checkCrossing(delta: number): void {
    this.#isElsewhere(
      delta,
      this.#found.pages.findIndex((page) => page.delta === delta),
    )
    this.#arm(() => this.resume('mapping', this.firstReference(this.instruction), this.pending))
  }

  #isElsewhere(delta: number, page: number): void {
    const { code } = this
    this.linear(delta)
    code.tee(local.PAGE)
    code.u8(wasm.I32_WRAP_I64)
    code.i32(8)
    code.u8(wasm.I32_SHR_U)
    code.i32(TLB_INDEX_MASK)
    code.u8(wasm.I32_AND)
    code.get(local.TLB)
    code.u8(wasm.I32_ADD)
    code.tee(local.ENTRY)
    code.access(wasm.I64_LOAD, TLB_EXECUTE)
    code.get(local.PAGE)
    code.u8(wasm.I64_NE)
    code.get(local.ENTRY)
    code.access(wasm.I32_LOAD, TLB_EXECUTE + 8)
    this.slotsOf(page)
    code.u8(wasm.I32_NE)
    code.u8(wasm.I32_OR)
  }

  /** Writes an exit to a record where a write has ended the unit. */
  leaveIfGivenUp(reference: number, retired: number): void {
    const { code } = this
    code.get(local.UNIT_RECORD)
    code.access(wasm.I32_LOAD16_U, R_OP)
    code.i32(OP_UNIT)
    code.u8(wasm.I32_NE)
    this.#arm(() => this.resume('written', reference, retired))
  }

  /** The page of the instruction's first byte: its number, and its distance. */
  get page(): { readonly number: number; readonly delta: number } {
    const number = this.#page
    return { number, delta: this.#found.pages[number]!.delta }
  }
}
