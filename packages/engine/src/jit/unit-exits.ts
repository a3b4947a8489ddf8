import { PAGE_BYTES } from '@retrap/memory'
import { I32, select } from '@retrap/wasm-emitter'
import type { I64, Label, Local } from '@retrap/wasm-emitter'
import { FORM_SIGNATURE } from '../dispatch-parts.ts'
import {
  HOT_COUNTER_MASK,
  HOT_COUNTER_SHIFT,
  LEFT_UNIT_AT,
  MISSED_BRANCHES,
  MISSED_BRANCHES_AT,
  MISSED_BRANCH_BYTES,
  UNIT_EXITS_AT,
  UNIT_EXIT_BYTES,
} from '../hot-counters.ts'
import { OP_UNIT, R_FUNCTION, R_OP } from '../record.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from '../tlb-layout.ts'
import { STATUS_FAULT } from '../status.ts'
import { UNIT_FAILED, UNIT_JUMP, UNIT_MISSED, UNIT_RESUME } from '../unit-outcome.ts'
import { exitCounter, exitNumber } from './exit-reasons.ts'
import type { ExitReason } from './exit-reasons.ts'
import type { RegionInstruction } from './region.ts'
import type { RecordRef, UnitFrame } from './unit-frame.ts'

/** Bits of an exit's detail: instructions to charge; above them the page's number, the reason, and the outcome. */
const EXIT_RETIRED = 0xffff
const EXIT_PAGE_SHIFT = 16
const EXIT_PAGE = 0xf
const EXIT_REASON_SHIFT = 20
const EXIT_REASON = 0xf
const EXIT_OUTCOME_SHIFT = 24

/** An exit of a unit. */
export interface UnitExit<Form> {
  /** The reason, or its number where the unit finds it. */
  readonly why: ExitReason | I32
  /** A `UNIT_*`. */
  readonly outcome: I32 | number
  /** The instruction in whose code it is. */
  readonly insn: RegionInstruction<Form>
  /** The record that the interpreter goes on with, or that has ended. */
  readonly record: RecordRef
  /** Instructions since the budget was charged. */
  readonly retired: number
  /** Linear address that control goes to. */
  readonly target?: I64
}

/** The exits of a unit: all lead to one epilogue, which stores the state and goes on with another unit where there is one. */
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

  /** Emits code that may leave, and the epilogue after it. */
  build(code: () => void): void {
    this.#frame.f.structuredBlock((label) => {
      this.#epilogue = label
      code()
    })
    this.#emitEpilogue()
  }

  /** Emits an exit. */
  leave({ why, outcome: code, insn, record, retired, target }: UnitExit<Form>): void {
    const { f, region, semantics } = this.#frame
    semantics.settle()
    f.setConstant(this.#record, record)
    const known = retired | (region.pages.indexOf(insn.page) << EXIT_PAGE_SHIFT)
    if (typeof why === 'string' && typeof code === 'number') {
      f.setConstant(this.#detail, known | (exitNumber(why) << EXIT_REASON_SHIFT) | (code << EXIT_OUTCOME_SHIFT))
    } else {
      const reason = typeof why === 'string' ? I32.of(exitNumber(why)) : why
      f.set(this.#detail, I32.of(code).shl(EXIT_OUTCOME_SHIFT).or(reason.shl(EXIT_REASON_SHIFT)).or(known))
    }
    if (target !== undefined) f.set(this.#target, target)
    f.br(this.#epilogue)
  }

  /** Emits an exit to a record, from which the interpreter goes on. */
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

  /** Emits a count of an entry where the state is not as the unit assumes. */
  countEntry(): void {
    const { f, parts } = this.#frame
    const counter = I32.of(parts.countersAt + exitCounter('guard'))
    f.store('i64.store', counter, f.loadExpression('i64.load', counter).add(1))
  }

  /** Emits a note of where a computed branch leads out of the unit to. @returns the outcome */
  noteMiss(insn: RegionInstruction<Form>, linear: I64): I32 {
    if (insn.flow !== 'return') return this.#noteTarget(insn, linear)
    // A return's target becomes part of a unit only on the return's own page: most returns lead farther, and stay cheap.
    const { f } = this.#frame
    const outcome = f.local('i32')
    f.set(outcome, I32.of(UNIT_JUMP))
    f.structuredIf(linear.sub(this.#frame.linear(insn.page.delta)).ltU(PAGE_BYTES), () =>
      f.set(outcome, this.#noteTarget(insn, linear)),
    )
    return outcome.get
  }

  #noteTarget(insn: RegionInstruction<Form>, linear: I64): I32 {
    const { f, budget, parts, unitRecord } = this.#frame
    const { countersAt } = parts
    const record = f.let(this.#frame.recordOf(insn))
    const index = budget.get.and(MISSED_BRANCHES - 1).mul(MISSED_BRANCH_BYTES)
    const missed = f.let(index.add(countersAt + MISSED_BRANCHES_AT))
    f.store('i64.store', missed, linear)
    f.store('i32.store', missed, record, 8)
    f.store('i32.store', missed, unitRecord, 12)
    const counter = f.let(record.shrU(HOT_COUNTER_SHIFT).and(HOT_COUNTER_MASK).add(countersAt))
    const count = f.let(f.loadExpression('i32.load', counter).sub(1))
    f.store('i32.store', counter, count)
    return select(count.eqz(), I32.of(UNIT_MISSED), I32.of(UNIT_JUMP))
  }

  #emitEpilogue(): void {
    const { f, state, layout, budget, region, semantics, parts } = this.#frame
    semantics.store()
    const detail = this.#detail.get
    const left = f.let(budget.get.sub(detail.and(EXIT_RETIRED)))
    f.store('i32.store', state, left, layout.budget)
    const outcome = f.let(detail.shrU(EXIT_OUTCOME_SHIFT))
    this.#chain(outcome, left)
    // Only the interpreter needs what follows.
    f.store('i32.store', state, this.#frame.followRef(this.#record.get), layout.record)
    f.store('i64.store', state, this.#target.get, layout.unitTarget)
    // It may not be the one that the dispatch loop has called.
    f.store('i32.store', I32.of(parts.countersAt + LEFT_UNIT_AT), this.#frame.unitRecord)
    this.#countExit(detail)
    const page = f.let(detail.shrU(EXIT_PAGE_SHIFT).and(EXIT_PAGE))
    for (const [i, regionPage] of region.pages.entries()) {
      f.structuredIf(page.eq(i), () => {
        f.store('i32.store', state, this.#frame.slotsOf(regionPage), layout.slots)
        f.store('i64.store', state, this.#frame.linear(regionPage.delta), layout.pageBase)
      })
    }
    f.return(outcome)
  }

  /** Counts an exit to the interpreter. Exits to other units are not counted. */
  #countExit(detail: I32): void {
    const { f, parts } = this.#frame
    const reason = detail.shrU(EXIT_REASON_SHIFT).and(EXIT_REASON)
    const counter = f.let(reason.mul(UNIT_EXIT_BYTES).add(parts.countersAt + UNIT_EXITS_AT))
    f.store('i64.store', counter, f.loadExpression('i64.load', counter).add(1))
  }

  /** Goes on with the unit at the target of a jump, where there is one and the turn goes on, as the dispatch loop would. */
  #chain(outcome: I32, left: I32): void {
    const { f, state, layout, tlb, parts } = this.#frame
    const pauses = left.leS(f.loadExpression('i32.load', state, layout.attention))
    f.structuredBlock((none) => {
      f.brIf(outcome.ne(UNIT_JUMP).or(pauses), none)
      const target = this.#target.get
      const page = f.let(target.and(BigInt(-PAGE_BYTES)))
      const entry = f.let(tlb.add(target.toI32().shrU(8).and(TLB_INDEX_MASK)))
      f.brIf(f.loadExpression('i64.load', entry, TLB_EXECUTE).ne(page), none)
      const slots = f.let(f.loadExpression('i32.load', entry, TLB_EXECUTE + 8))
      const record = f.let(
        f.loadExpression(
          'i32.load',
          slots.add(
            target
              .toI32()
              .and(PAGE_BYTES - 1)
              .shl(2),
          ),
        ),
      )
      // Where nothing is decoded, this is the field of address 0, which belongs to no record.
      f.brIf(f.loadExpression('i32.load16_u', record, R_OP).ne(OP_UNIT).or(record.eqz()), none)
      f.store('i32.store', state, slots, layout.slots)
      f.store('i64.store', state, page, layout.pageBase)
      const unit = f.loadExpression('i32.load16_u', record, R_FUNCTION)
      f.returnCallIndirect(FORM_SIGNATURE, parts.callType, unit, state, record, tlb)
    })
  }
}
