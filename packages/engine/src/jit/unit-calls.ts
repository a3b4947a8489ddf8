import { I32, type I64 } from '@retrap/wasm-emitter'
import { FORM_SIGNATURE, STATUS_EXIT, STATUS_HANDLER, STATUS_JUMP } from '../status.ts'
import { R_FUNCTION } from '../record.ts'
import type { RegionInstruction } from './region.ts'
import type { UnitExits } from './unit-exits.ts'
import type { UnitFrame } from './unit-frame.ts'

/** Instructions of a unit executed by functions outside it: the interpreter's, and the host's. */
export class UnitCalls<Form> {
  readonly #frame: UnitFrame<Form>
  readonly #exits: UnitExits<Form>

  constructor(frame: UnitFrame<Form>, exits: UnitExits<Form>) {
    this.#frame = frame
    this.#exits = exits
  }

  /** Emits a call of the interpreter's function of a form. */
  form(insn: RegionInstruction<Form>): void {
    const { f, pending } = this.#frame
    const status = this.#call(insn)
    f.structuredIf(status, () => this.#exits.fail(status, insn, pending))
    // The instruction may have written this region's code.
    this.#exits.ifGivenUp(insn, this.#frame.nextRecordRef(insn), pending + 1)
  }

  /** Emits a call of the interpreter's function of a form that charges the budget for each of its iterations. */
  repeat(insn: RegionInstruction<Form>): void {
    const { f, state, layout, budget, pending } = this.#frame
    // As in the dispatch loop, the current instruction has been charged before its iterations.
    const charged = pending + 1
    f.store('i32.store', state, budget.get.sub(charged), layout.budget)
    const status = this.#call(insn)
    f.set(budget, f.loadExpression('i32.load', state, layout.budget).add(charged))
    f.structuredIf(status, () => {
      this.#resumeIfHandler(status, insn)
      this.#exits.fail(status, insn, pending)
    })
    this.#exits.ifGivenUp(insn, this.#frame.nextRecordRef(insn), charged)
  }

  /** Emits a call of the interpreter's function for a form that sets the program counter, and exits to the new address. */
  far(insn: RegionInstruction<Form>): void {
    const { f, pending } = this.#frame
    const status = this.#call(insn)
    this.#frame.reloadTlb()
    f.structuredIf(status.eq(STATUS_JUMP), () => this.#follow(insn))
    this.#resumeIfHandler(status, insn)
    this.#exits.fail(status, insn, pending)
  }

  /** Exits before an instruction that the interpreter is to execute by its handler. */
  #resumeIfHandler(status: I32, insn: RegionInstruction<Form>): void {
    const { f, pending } = this.#frame
    f.structuredIf(status.eq(STATUS_HANDLER), () =>
      this.#exits.resume('system', insn, this.#frame.firstRecordRef(insn), pending),
    )
  }

  /** Emits a call of the host function that executes an instruction. */
  host(insn: RegionInstruction<Form>): void {
    const { f, state, layout, parts, semantics, budget, pending } = this.#frame
    const { page } = insn
    const record = f.let(this.#frame.recordOf(insn))
    this.#frame.storeProgramCounter(insn.at)
    f.store('i64.store', state, this.#frame.linear(page.delta), layout.pageBase)
    f.store('i32.store', state, this.#frame.slotsOf(page), layout.slots)
    f.store('i32.store', state, record, layout.record)
    // As in the dispatch loop, the current instruction is charged for.
    const charged = pending + 1
    f.store('i32.store', state, budget.get.sub(charged), layout.budget)
    semantics.spill(insn)
    // Hosts number functions in order of first use: another run that shares this code has other numbers.
    const fn = f.loadExpression('i32.load16_u', record, R_FUNCTION)
    const status = f.let(f.call(parts.system, fn, record) as I32)
    semantics.reload(insn)
    this.#frame.reloadTlb()
    f.set(budget, f.loadExpression('i32.load', state, layout.budget).add(charged))
    f.structuredIf(status, () => {
      f.structuredIf(status.eq(STATUS_JUMP), () => this.#follow(insn))
      f.structuredIf(status.eq(STATUS_EXIT), () => this.#exits.fail(status, insn, charged))
      this.#exits.fail(status, insn, pending)
    })
    this.#exits.ifGivenUp(insn, this.#frame.nextRecordRef(insn), charged)
  }

  /** Calls the function of a form. @returns its status */
  #call(insn: RegionInstruction<Form>): I32 {
    const { f, state, layout, parts, semantics, tlb } = this.#frame
    f.store('i64.store', state, this.#frame.linear(insn.page.delta), layout.pageBase)
    semantics.spill(insn)
    const entry = I32.of(parts.memory.u16[(insn.record + R_FUNCTION) >>> 1]!)
    const record = this.#frame.recordOf(insn)
    const status = f.let(f.callIndirect(FORM_SIGNATURE, parts.callType, entry, state, record, tlb) as I32)
    semantics.reload(insn)
    return status
  }

  /** Exits for the program counter, which an instruction has set that has retired. */
  #follow(insn: RegionInstruction<Form>): void {
    const { f, pending } = this.#frame
    const target: I64 = f.let(this.#frame.linearProgramCounter())
    this.#exits.jump('target', insn, pending + 1, target)
  }
}
