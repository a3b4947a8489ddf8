import { PAGE_BYTES } from '@retrap/memory'
import { STATUS_FAULT } from '@retrap/replay'
import { I32, select, type I64, type Label, type Local } from '@retrap/wasm-emitter'
import { OP_UNIT, R_OP } from '../record.ts'
import { UNIT_FAILED, UNIT_JUMP, UNIT_RESUME } from '../status.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from '../tlb-layout.ts'
import {
  EXIT_COMPUTED,
  EXIT_OUTCOME_SHIFT,
  EXIT_PAGE_SHIFT,
  EXIT_REASON_SHIFT,
  EXIT_RETURN,
  exitDetail,
  exitCounter,
  exitNumber,
  type ExitReason,
} from './exit-reasons.ts'
import type { RegionInstruction, RegionPage } from './region.ts'
import { LEAVE_SIGNATURE } from './unit-leave.ts'
import type { RecordRef, UnitFrame } from './unit-frame.ts'

export interface UnitExit<Form> {
  /** The reason, or its number if the unit computes it. */
  readonly why: ExitReason | I32
  /** A `UNIT_*`. */
  readonly outcome: I32 | number
  /** The instruction that contains the exit. */
  readonly insn: RegionInstruction<Form>
  /** The record at which the interpreter continues, or that has ended. */
  readonly record: RecordRef
  /** Instructions since the budget was charged. */
  readonly retired: number
  /** Linear address that control goes to. */
  readonly target?: I64
}

/** The exits of a unit: all lead to one epilogue, which stores the state and continues with another unit if possible. */
export class UnitExits<Form> {
  readonly #frame: UnitFrame<Form>
  /** A {@link RecordRef}. */
  readonly #record: Local<'i32'>
  /** Instructions to charge, number of the page, and outcome: see {@link EXIT_PAGE_SHIFT}. */
  readonly #detail: Local<'i32'>
  readonly #target: Local<'i64'>
  #epilogue: Label = { depth: 0 }

  constructor(frame: UnitFrame<Form>) {
    const { f } = frame
    this.#frame = frame
    this.#record = f.local('i32')
    this.#detail = f.local('i32')
    this.#target = f.local('i64')
  }

  /** Emits code with exits, and the epilogue after it. */
  build(code: () => void): void {
    this.#frame.f.structuredBlock((label) => {
      this.#epilogue = label
      code()
    })
    this.#emitEpilogue()
  }

  /** Emits an exit. */
  leave({ why, outcome, insn, record, retired, target }: UnitExit<Form>): void {
    const { f } = this.#frame
    const page = this.#pageOf(insn)
    if (typeof why === 'string' && typeof outcome === 'number')
      this.#leave(record, I32.of(exitDetail(why, outcome, page, retired)), target)
    else {
      const reason = typeof why === 'string' ? I32.of(exitNumber(why)) : why
      const known = retired | (page << EXIT_PAGE_SHIFT)
      const detail = I32.of(outcome).shl(EXIT_OUTCOME_SHIFT).or(reason.shl(EXIT_REASON_SHIFT)).or(known)
      this.#leave(record, f.let(detail), target)
    }
  }

  #pageOf({ page }: RegionInstruction<Form>): number {
    return this.#frame.region.pages.indexOf(page)
  }

  #leave(record: RecordRef, detail: I32, target: I64 | undefined): void {
    const { f, semantics } = this.#frame
    semantics.settle()
    f.setConstant(this.#record, record)
    if (detail.known === undefined) f.set(this.#detail, detail)
    else f.setConstant(this.#detail, detail.known)
    if (target !== undefined) f.set(this.#target, target)
    f.br(this.#epilogue)
  }

  /** Emits an exit for the address that a branch has computed, which has retired. */
  computed(insn: RegionInstruction<Form>, retired: number, target: I64): void {
    const how = insn.flow === 'return' ? EXIT_COMPUTED | EXIT_RETURN : EXIT_COMPUTED
    const detail = exitDetail('computed', UNIT_JUMP, this.#pageOf(insn), retired) | how
    this.#leave(this.#frame.recordRef(insn), I32.of(detail), target)
  }

  /** Emits an exit to a record, at which the interpreter continues. */
  resume(why: ExitReason, insn: RegionInstruction<Form>, record: RecordRef, retired: number): void {
    this.leave({ why, outcome: UNIT_RESUME, insn, record, retired })
  }

  /** Emits an exit for a linear address, after an instruction that has retired. */
  jump(why: ExitReason | I32, insn: RegionInstruction<Form>, retired: number, target: I64): void {
    this.leave({ why, outcome: UNIT_JUMP, insn, record: this.#frame.recordRef(insn), retired, target })
  }

  /** Emits an exit for an instruction that a call has ended with a status other than done; nothing has changed. */
  fail(status: I32, insn: RegionInstruction<Form>, retired: number): void {
    const why = select(status.eq(STATUS_FAULT), I32.of(exitNumber('fault')), I32.of(exitNumber('handler')))
    this.leave({ why, outcome: status.add(UNIT_FAILED), insn, record: this.#frame.recordRef(insn), retired })
  }

  // ---------------------------------------------------------------- checks that the interpreter makes between instructions

  /** Emits an exit where a turn may end, if it ends. @param target - a position, or a linear address */
  ifTurnEnds(insn: RegionInstruction<Form>, target: number | I64): void {
    const { f, state, layout, budget, pending } = this.#frame
    const left = budget.get.sub(pending)
    f.structuredIf(left.leS(f.loadExpression('i32.load', state, layout.attention)), () => {
      const linear = typeof target === 'number' ? this.#frame.linear(target) : target
      const over = left.leS(0)
      const why = select(over, I32.of(exitNumber('budget')), I32.of(exitNumber('event')))
      this.jump(why, insn, pending, linear)
    })
  }

  /** Emits an exit to `target` unless a page of the region is still mapped at the same place. */
  ifPageIsElsewhere(insn: RegionInstruction<Form>, page: RegionPage, target: number): void {
    const { f, pending } = this.#frame
    f.structuredIf(this.#isElsewhere(page.delta), () => this.jump('mapping', insn, pending, this.#frame.linear(target)))
  }

  /** Emits an exit before an instruction in two pages, for the case that its second page was replaced since it was decoded. */
  ifSecondPageIsElsewhere(insn: RegionInstruction<Form>): void {
    const { f, pending } = this.#frame
    f.structuredIf(this.#isElsewhere(insn.page.delta + PAGE_BYTES), () =>
      this.resume('mapping', insn, this.#frame.firstRecordRef(insn), pending),
    )
  }

  /** Emits an exit to a record where a write has ended the unit. */
  ifGivenUp(insn: RegionInstruction<Form>, record: RecordRef, retired: number): void {
    const { f, unitRecord } = this.#frame
    const op = f.loadExpression('i32.load16_u', unitRecord, R_OP)
    f.structuredIf(op.ne(OP_UNIT), () => this.resume('written', insn, record, retired))
  }

  #isElsewhere(delta: number): I32 {
    const { f, tlb } = this.#frame
    const page = f.let(this.#frame.linear(delta))
    const entry = f.let(tlb.add(page.toI32().shrU(8).and(TLB_INDEX_MASK)))
    const tag = f.loadExpression('i64.load', entry, TLB_EXECUTE)
    return tag.ne(page).or(f.loadExpression('i32.load', entry, TLB_EXECUTE + 8).ne(this.#frame.slotsAt(delta)))
  }

  // ---------------------------------------------------------------- entry and end

  /** Emits a count of an entry where the state is not as the unit assumes. */
  countEntry(): void {
    const { f, parts } = this.#frame
    const counter = I32.of(parts.countersAt + exitCounter('guard'))
    f.store('i64.store', counter, f.loadExpression('i64.load', counter).add(1))
  }

  /** Stores the state; then a function shared by all units continues. */
  #emitEpilogue(): void {
    const { f, state, budget, base, tlb, unitRecord, semantics, parts } = this.#frame
    semantics.store()
    const exit = [this.#record.get, this.#detail.get, budget.get, base.get, this.#target.get]
    f.returnCallIndirect(LEAVE_SIGNATURE, parts.leaveType, parts.leaveEntry, state, unitRecord, tlb, ...exit)
  }
}
