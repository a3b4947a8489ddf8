import { I32, select } from '@retrap/wasm-emitter'
import type { I64 } from '@retrap/wasm-emitter'
import { PAGE_BYTES } from '@retrap/memory'
import { OP_UNIT, R_OP } from '../record.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from '../tlb-layout.ts'
import { exitNumber } from './exit-reasons.ts'
import type { RegionInstruction, RegionPage } from './region.ts'
import type { UnitExits } from './unit-exits.ts'
import type { RecordRef, UnitFrame } from './unit-frame.ts'

/** Checks within a unit that the interpreter makes between instructions, each with its exit. */
export class UnitChecks<Form> {
  readonly #frame: UnitFrame<Form>
  readonly #exits: UnitExits<Form>

  constructor(frame: UnitFrame<Form>, exits: UnitExits<Form>) {
    this.#frame = frame
    this.#exits = exits
  }

  /** Emits an exit where a turn may end, if it ends. @param target - a position, or a linear address */
  turn(insn: RegionInstruction<Form>, target: number | I64): void {
    const { f, state, layout, budget, pending } = this.#frame
    const left = budget.get.sub(pending)
    f.structuredIf(left.leS(f.loadExpression('i32.load', state, layout.attention)), () => {
      const linear = typeof target === 'number' ? this.#frame.linear(target) : target
      const over = left.leS(0)
      const why = select(over, I32.of(exitNumber('budget')), I32.of(exitNumber('event')))
      this.#exits.jump(why, insn, pending, linear)
    })
  }

  /** Emits an exit for `target` unless a page of the region is still mapped where it was. */
  page(insn: RegionInstruction<Form>, page: RegionPage, target: number): void {
    const { f, pending } = this.#frame
    f.structuredIf(this.#isElsewhere(page.delta), () =>
      this.#exits.jump('mapping', insn, pending, this.#frame.linear(target)),
    )
  }

  /** Emits an exit before an instruction in two pages unless its second page is the one that it was decoded from. */
  crossing(insn: RegionInstruction<Form>): void {
    const { f, pending } = this.#frame
    f.structuredIf(this.#isElsewhere(insn.page.delta + PAGE_BYTES), () =>
      this.#exits.resume('mapping', insn, this.#frame.firstRecordRef(insn), pending),
    )
  }

  /** Emits an exit to a record where a write has ended the unit. */
  givenUp(insn: RegionInstruction<Form>, record: RecordRef, retired: number): void {
    const { f, unitRecord } = this.#frame
    const op = f.loadExpression('i32.load16_u', unitRecord, R_OP)
    f.structuredIf(op.ne(OP_UNIT), () => this.#exits.resume('written', insn, record, retired))
  }

  #isElsewhere(delta: number): I32 {
    const { f, tlb } = this.#frame
    const page = f.let(this.#frame.linear(delta))
    const entry = f.let(tlb.add(page.toI32().shrU(8).and(TLB_INDEX_MASK)))
    const tag = f.loadExpression('i64.load', entry, TLB_EXECUTE)
    return tag.ne(page).or(f.loadExpression('i32.load', entry, TLB_EXECUTE + 8).ne(this.#frame.slotsAt(delta)))
  }
}
