import { PAGE_BYTES } from '@retrap/memory'
import { I32, ModuleBuilder, select, type FunctionBuilder, type I64, type Local } from '@retrap/wasm-emitter'
import { FORM_SIGNATURE, UNIT_JUMP, UNIT_MISSED } from '../status.ts'
import * as H from '../hot-counters.ts'
import { importMachineMemory } from '../interpreter.ts'
import { OP_UNIT, RECORD_BYTES, R_FUNCTION, R_OP, R_WORDS } from '../record.ts'
import type { StateLayout } from '../loop-state.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from '../tlb-layout.ts'
import * as E from './exit-reasons.ts'
import { PAGE_WORDS, REF_WORD } from './unit-frame.ts'

/**
 * Type of the function by which all units are left: `(state, unit's record, TLB set, reference, detail, budget, linear address
 * of the first page, target) → UNIT_*`. The reference is a `RecordRef`, the detail as `exitDetail` gives it; the locals of
 * the unit have been stored.
 */
export const LEAVE_SIGNATURE = {
  params: ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i64', 'i64'],
  result: 'i32',
} as const

/** The parts that the function is made for. */
export interface LeaveParts {
  readonly layout: StateLayout
  /** Machine address of the counters of hot code. */
  readonly countersAt: number
  /** Whether machine memory is shared between threads. */
  readonly shared: boolean
  /** Whether linear addresses have 64 bits; else they wrap around at 32. */
  readonly isWide: boolean
}

/** Makes a module with the function through which units leave. It continues with another unit if possible. */
export function leaveModule(parts: LeaveParts): Uint8Array {
  const module = new ModuleBuilder()
  importMachineMemory(module, parts.shared)
  module.importTable('cpu', 'table')
  const callType = module.typeIndex(FORM_SIGNATURE)
  new LeaveFunction(module.function('unit', LEAVE_SIGNATURE, { export: true }), parts, callType).build()
  return module.build()
}

class LeaveFunction {
  readonly #f: FunctionBuilder
  readonly #parts: LeaveParts
  readonly #callType: number
  readonly #state: I32
  readonly #unitRecord: I32
  readonly #tlb: I32
  readonly #reference: I32
  readonly #detail: I32
  readonly #base: I64
  readonly #target: I64
  readonly #outcome: Local<'i32'>

  constructor(f: FunctionBuilder, parts: LeaveParts, callType: number) {
    this.#f = f
    this.#parts = parts
    this.#callType = callType
    this.#state = f.param(0, 'i32').get
    this.#unitRecord = f.param(1, 'i32').get
    this.#tlb = f.param(2, 'i32').get
    this.#reference = f.param(3, 'i32').get
    this.#detail = f.param(4, 'i32').get
    this.#base = f.param(6, 'i64').get
    this.#target = f.param(7, 'i64').get
    this.#outcome = f.local('i32')
  }

  build(): void {
    const f = this.#f
    const { layout, countersAt } = this.#parts
    const detail = this.#detail
    const left = f.let(f.param(5, 'i32').get.sub(detail.and(E.EXIT_RETIRED)))
    f.store('i32.store', this.#state, left, layout.budget)
    f.set(this.#outcome, detail.shrU(E.EXIT_OUTCOME_SHIFT).and(E.EXIT_OUTCOME))
    f.if(detail.and(E.EXIT_COMPUTED), () => this.#noteMiss(left))
    this.#chain(left)
    // Only the interpreter needs the following fields.
    f.store('i32.store', this.#state, this.#record(), layout.record)
    f.store('i64.store', this.#state, this.#target, layout.unitTarget)
    // The unit may differ from the one that the dispatch loop has called.
    f.store('i32.store', I32.of(countersAt + H.LEFT_UNIT_AT), this.#unitRecord)
    this.#count()
    const page = f.let(this.#pageWords())
    f.store('i32.store', this.#state, f.loadExpression('i32.load', page), layout.slots)
    f.store('i64.store', this.#state, this.#linear(page), layout.pageBase)
    f.return(this.#outcome.get)
  }

  #words(): I32 {
    return this.#f.loadExpression('i32.load', this.#unitRecord, R_WORDS)
  }

  /** Machine address of the words of the page that the exit is in. */
  #pageWords(): I32 {
    const page = this.#detail.shrU(E.EXIT_PAGE_SHIFT).and(E.EXIT_PAGE)
    return this.#words().add(page.mul(REF_WORD * PAGE_WORDS))
  }

  /** The linear address of a page. @param words - machine address of its words */
  #linear(words: I32): I64 {
    const linear = this.#base.add(this.#f.loadExpression('i64.load32_s', words, REF_WORD))
    return this.#parts.isWide ? linear : linear.and(0xffff_ffffn)
  }

  /** The machine address of the record that the reference stands for. */
  #record(): I32 {
    const reference = this.#reference
    const record = this.#f.loadExpression('i32.load', this.#words().add(reference.and(-REF_WORD)))
    return record.add(
      reference
        .and(REF_WORD - 1)
        .sub(1)
        .mul(RECORD_BYTES),
    )
  }

  /** Notes the target of a computed branch. */
  #noteMiss(left: I32): void {
    const f = this.#f
    f.block((far) => {
      // A return's target becomes part of a unit only on the return's own page: most returns lead farther, and stay cheap.
      f.if(this.#detail.and(E.EXIT_RETURN), () => {
        const page = f.let(this.#pageWords())
        f.brIf(this.#target.sub(this.#linear(page)).geU(PAGE_BYTES), far)
      })
      const { countersAt } = this.#parts
      const record = f.let(this.#record())
      const index = left.and(H.MISSED_BRANCHES - 1).mul(H.MISSED_BRANCH_BYTES)
      const missed = f.let(index.add(countersAt + H.MISSED_BRANCHES_AT))
      f.store('i64.store', missed, this.#target)
      f.store('i32.store', missed, record, 8)
      f.store('i32.store', missed, this.#unitRecord, 12)
      const counter = f.let(record.shrU(H.HOT_COUNTER_SHIFT).and(H.HOT_COUNTER_MASK).add(countersAt))
      const count = f.let(f.loadExpression('i32.load', counter).sub(1))
      f.store('i32.store', counter, count)
      f.set(this.#outcome, select(count.eqz(), I32.of(UNIT_MISSED), I32.of(UNIT_JUMP)))
    })
  }

  /** Counts an exit to the interpreter. Exits to other units are not counted. */
  #count(): void {
    const f = this.#f
    const reason = this.#detail.shrU(E.EXIT_REASON_SHIFT).and(E.EXIT_REASON)
    const counter = f.let(reason.mul(H.UNIT_EXIT_BYTES).add(this.#parts.countersAt + H.UNIT_EXITS_AT))
    f.store('i64.store', counter, f.loadExpression('i64.load', counter).add(1))
  }

  /** Continues with the unit at a jump's target, if it exists and the turn continues, like the dispatch loop. */
  #chain(left: I32): void {
    const f = this.#f
    const { layout } = this.#parts
    const pauses = left.leS(f.loadExpression('i32.load', this.#state, layout.attention))
    f.block((none) => {
      f.brIf(this.#outcome.get.ne(UNIT_JUMP).or(pauses), none)
      const target = this.#target
      const page = f.let(target.and(BigInt(-PAGE_BYTES)))
      const entry = f.let(this.#tlb.add(target.toI32().shrU(8).and(TLB_INDEX_MASK)))
      f.brIf(f.loadExpression('i64.load', entry, TLB_EXECUTE).ne(page), none)
      const slots = f.let(f.loadExpression('i32.load', entry, TLB_EXECUTE + 8))
      const offset = target
        .toI32()
        .and(PAGE_BYTES - 1)
        .shl(2)
      const record = f.let(f.loadExpression('i32.load', slots.add(offset)))
      // Where nothing is decoded, this is the field of address 0, which belongs to no record.
      f.brIf(f.loadExpression('i32.load16_u', record, R_OP).ne(OP_UNIT).or(record.eqz()), none)
      f.store('i32.store', this.#state, slots, layout.slots)
      f.store('i64.store', this.#state, page, layout.pageBase)
      const unit = f.loadExpression('i32.load16_u', record, R_FUNCTION)
      f.returnCallIndirect(FORM_SIGNATURE, this.#callType, unit, this.#state, record, this.#tlb)
    })
  }
}
