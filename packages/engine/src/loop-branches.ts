import { PAGE_BYTES } from '@retrap/memory'
import type { I32, I64, Label } from '@retrap/wasm-emitter'
import * as H from './hot-counters.ts'
import { type LoopState, RETURN_BYTES, RETURN_MASK, RETURN_TOP } from './loop-state.ts'
import { OP_CALL, OP_DEAD, OP_NEXT, RECORD_BYTES, R_LINK, R_LINK_SLOTS, R_OFFSET, R_OP } from './record.ts'
import type { I32Callee } from './status.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from './tlb-layout.ts'

/** The functions of the host that the dispatch loop calls. */
export interface DispatchImports {
  /** `(host function, record) → status`: executes one instruction. The function may be {@link HOST_OF_FORM} plus a form's. */
  readonly system: I32Callee
  /** `(linear address low, high) → record`, or 0 with the reason in {@link StateLayout.fetchStatus}. */
  readonly fetch: I32Callee
  /** `(record) → 1` if the page-crossing instruction after an `OP_CROSS` record may be executed, else 0. */
  readonly cross: I32Callee
  /**
   * `(record) → record`: the record to execute in place of one that has been reached often. With {@link HOT_MISSED}
   * or {@link HOT_SLOW}, the result is ignored.
   */
  readonly hot: I32Callee
}

/** Places in the dispatch loop that inlined forms branch to. */
export interface DispatchLabels {
  /** Executes the record in `record`. */
  readonly next: Label
  /** Looks up the record at `target`, without a check of the budget: for an instruction that has not begun. */
  readonly locate: Label
  /** A taken branch to `target`, retired. */
  readonly jump: Label
  /** A taken branch within the page to `slot`, retired. */
  readonly slot: Label
  /** A taken direct branch to `target`, by the record's link, retired. */
  readonly far: Label
  /** A return to `target`, retired. */
  readonly back: Label
  /** Leaves with `status`: the instruction has not retired and nothing has changed. */
  readonly fail: Label
}

/**
 * The dispatch loop's branches: how the record at a target is found, where a turn may end, and the counts by which hot
 * code is found.
 */
export class LoopBranches {
  readonly #state: LoopState
  readonly #imports: DispatchImports
  readonly #isCounted: boolean

  constructor(state: LoopState, imports: DispatchImports, isCounted: boolean) {
    this.#state = state
    this.#imports = imports
    this.#isCounted = isCounted
  }

  get #counters(): I32 {
    return this.#state.word(this.#state.layout.counters)
  }

  /**
   * Emits a count of a branch that reaches a record, or nothing in a loop without counters.
   *
   * @param record - the branch target's record
   * @param whenHot - emits the code for a target that has become hot; gets the record to execute, and must branch
   */
  #count(record: I32, whenHot: (next: I32) => void): void {
    if (!this.#isCounted) return
    const { f } = this.#state
    const counter = f.let(record.shrU(H.HOT_COUNTER_SHIFT).and(H.HOT_COUNTER_MASK).add(this.#counters))
    const count = f.let(f.loadExpression('i32.load', counter).sub(1))
    f.store('i32.store', counter, count)
    f.if(count.eqz(), () => whenHot(f.call(this.#imports.hot, record)))
  }

  /**
   * Emits a branch to a record, and counts the branch.
   *
   * @param whenHot - emits further code for a record that has become hot; gets the record to execute in its place
   */
  goTo(target: I32, next: Label, whenHot?: (unit: I32) => void): void {
    const { f } = this.#state
    const { record } = this.#state.locals
    this.#count(target, (unit) => {
      whenHot?.(unit)
      f.set(record, unit)
      f.br(next)
    })
    f.set(record, target)
    f.br(next)
  }

  /** Emits a count of the exits of units on misses of the TLB, one in many of which is looked at. */
  countMiss(): void {
    if (!this.#isCounted) return
    const { f } = this.#state
    const counters = f.let(this.#counters)
    const count = f.let(f.loadExpression('i32.load', counters, H.MISSES_AT).sub(1))
    f.store('i32.store', counters, count, H.MISSES_AT)
    f.if(count.leS(0), () => {
      f.store('i32.store', counters, f.loadExpression('i32.load', counters, H.MISSES_PER_COUNT_AT), H.MISSES_AT)
      f.call(this.#imports.hot, f.loadExpression('i32.load', counters, H.LEFT_UNIT_AT).or(H.HOT_SLOW))
    })
  }

  /** Emits a count of instructions that compiled code has executed. */
  countCompiled(instructions: I32): void {
    if (!this.#isCounted) return
    const { f } = this.#state
    const counters = f.let(this.#counters)
    const compiled = f.loadExpression('i64.load', counters, H.UNIT_INSTRUCTIONS_AT)
    f.store('i64.store', counters, compiled.add(instructions.toI64U()), H.UNIT_INSTRUCTIONS_AT)
  }

  /** Emits the report that a computed branch has often led out of the unit that was left last. */
  noteMissedBranch(): void {
    if (!this.#isCounted) return
    const { f } = this.#state
    f.call(this.#imports.hot, f.loadExpression('i32.load', this.#counters, H.LEFT_UNIT_AT).or(H.HOT_MISSED))
  }

  /** Emits a taken branch within the page, through the record's link if it has one. */
  inPage(labels: DispatchLabels, offsetTimes4: I32, forward: boolean): void {
    const { f } = this.#state
    const { record, budget, slot } = this.#state.locals
    const link = f.load('i32.load', record.get, R_LINK)
    const attention = this.#state.word(this.#state.layout.attention)
    // A loop checks its budget and attention; a forward branch leaves that to the loop's end.
    const ready = forward ? link : link.ne(0).and(budget.get.gtS(attention))
    f.if(ready, () => {
      if (!forward) {
        this.#count(link, (unit) => {
          f.store('i32.store', record.get, unit, R_LINK)
          f.set(record, unit)
          f.br(labels.next)
        })
      }
      f.set(record, link)
      f.br(labels.next)
    })
    f.set(slot, offsetTimes4)
    f.br(labels.slot)
  }

  /**
   * Emits: continues with the next record and counts it, after an instruction that units leave to the interpreter: a
   * new unit may begin at this record. Falls through if that record is not an instruction, as after a single step.
   */
  countNext(next: Label): void {
    if (!this.#isCounted) return
    const { f } = this.#state
    const l = this.#state.locals
    const op = f.loadExpression('i32.load16_u', l.record.get, R_OP + RECORD_BYTES)
    f.if(op.sub(OP_CALL).ltU(OP_DEAD - OP_CALL), () => {
      const offset = f.loadExpression('i32.load16_u', l.record.get, R_OFFSET + RECORD_BYTES)
      const record = f.load('i32.load', this.#state.slots.add(offset.shl(2)))
      f.if(record, () => this.goTo(record, next))
    })
  }

  /** The budget is used up, or attention is requested. */
  mustPause(): I32 {
    return this.#state.locals.budget.get.leS(this.#state.word(this.#state.layout.attention))
  }

  /** Emits: follows a branch within the page to `slot` and links it; falls through if nothing is decoded at the target. */
  followSlot(next: Label, pause: Label): void {
    const { f } = this.#state
    const l = this.#state.locals
    f.set(l.target, this.#state.pageBase.add(l.slot.get.shrU(2).toI64U()))
    f.brIf(this.mustPause(), pause)
    const record = f.load('i32.load', this.#state.slots.add(l.slot.get))
    f.if(record, () => {
      f.store('i32.store', l.record.get, record, R_LINK)
      f.set(l.record, record)
      f.br(next)
    })
  }

  /**
   * Emits: leaves at `target`, unless that lies further on in the same page. A linked forward branch makes no check, so no
   * forward branch may end a turn. An instruction that is executed alone always leaves.
   */
  leaveWhereTurnsEnd(leaveAtTarget: Label): void {
    const { f } = this.#state
    const l = this.#state.locals
    const offset = f.let(l.target.get.sub(this.#state.pageBase))
    const forward = offset.ltU(PAGE_BYTES).and(offset.gtU(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET)))
    f.brIf(this.#state.word(this.#state.layout.alone).or(forward.eqz()), leaveAtTarget)
  }

  /**
   * Emits: follows a direct branch to `target` in another page, through the record's link if that is still valid, and links
   * it otherwise. Falls through if nothing is decoded at the target.
   */
  followLink(next: Label, jump: Label): void {
    const { f } = this.#state
    const l = this.#state.locals
    f.brIf(this.mustPause(), jump)
    this.#ifExecutable(l.target.get, (slots, page) => {
      const found = f.local('i32')
      f.set(found, f.loadExpression('i32.load', l.record.get, R_LINK))
      const isLinked = f.loadExpression('i32.load', l.record.get, R_LINK_SLOTS).eq(slots).and(found.get.ne(0))
      f.if(isLinked.and(this.#isDead(found.get).eqz()).eqz(), () => {
        f.set(found, this.#recordIn(slots, l.target.get))
        f.store('i32.store', l.record.get, found.get, R_LINK)
        f.store('i32.store', l.record.get, slots, R_LINK_SLOTS)
      })
      f.if(found.get, () => {
        this.#enter(page, slots)
        this.goTo(found.get, next, (unit) => f.store('i32.store', l.record.get, unit, R_LINK))
      })
    })
  }

  /** Emits code that notes a call's return address, the following record. */
  noteReturn(): void {
    const { f, base, layout } = this.#state
    if (layout.returns === undefined) return
    const { record } = this.#state.locals
    const top = f.let(
      f
        .loadExpression('i32.load', base, layout.returns + RETURN_TOP)
        .add(RETURN_BYTES)
        .and(RETURN_MASK),
    )
    f.store('i32.store', base, top, layout.returns + RETURN_TOP)
    const at = f.let(base.add(top))
    f.store('i32.store', at, record.get.add(RECORD_BYTES), layout.returns)
    f.store('i32.store', at, this.#state.slots, layout.returns + 4)
  }

  /** Emits: follows a return to `target` by the newest call; falls through if that call returns to another address. */
  followReturn(next: Label, jump: Label): void {
    const { f, base, layout } = this.#state
    if (layout.returns === undefined) return
    const returns = layout.returns
    const l = this.#state.locals
    f.brIf(this.mustPause(), jump)
    const top = f.load('i32.load', base, returns + RETURN_TOP)
    const at = f.let(base.add(top))
    f.store('i32.store', base, top.sub(RETURN_BYTES).and(RETURN_MASK), returns + RETURN_TOP)
    this.#ifExecutable(l.target.get, (slots, page) => {
      f.if(f.loadExpression('i32.load', at, returns + 4).eq(slots), () => {
        const found = f.local('i32')
        f.set(found, f.loadExpression('i32.load', at, returns))
        // The record after a call's is in the same page or the one after it; its offset tells which one it is.
        const offset = f.loadExpression('i32.load16_u', found.get, R_OFFSET)
        const isTarget = offset.eq(l.target.get.toI32().and(PAGE_BYTES - 1))
        f.if(isTarget.and(this.#isDead(found.get).eqz()), () => {
          this.#enter(page, slots)
          // If a run of records ends at the call, the instruction's own record is counted.
          f.if(f.loadExpression('i32.load16_u', found.get, R_OP).eq(OP_NEXT), () => {
            const link = f.load('i32.load', found.get, R_LINK)
            f.if(link, () => f.set(found, link))
          })
          this.goTo(found.get, next)
        })
      })
    })
  }

  #isDead(record: I32): I32 {
    return this.#state.f.loadExpression('i32.load16_u', record, R_OP).geU(OP_DEAD)
  }

  /** Emits code for an address whose page is in the execute TLB. @param then - gets its slot table and its address */
  #ifExecutable(linear: I64, then: (slots: I32, page: I64) => void): void {
    const { f } = this.#state
    const entry = this.executeEntry(linear)
    const page = f.let(linear.and(BigInt(-PAGE_BYTES)))
    f.if(f.loadExpression('i64.load', entry, TLB_EXECUTE).eq(page), () =>
      then(f.load('i32.load', entry, TLB_EXECUTE + 8), page),
    )
  }

  /** The record of a linear address in a slot table, or 0. */
  #recordIn(slots: I32, linear: I64): I32 {
    const offset = linear.toI32().and(PAGE_BYTES - 1)
    return this.#state.f.load('i32.load', slots.add(offset.shl(2)))
  }

  /** Emits stores that make a page the current code page: its slot table and its linear address. */
  #enter(page: I64, slots: I32): void {
    const { f, base, layout } = this.#state
    f.store('i32.store', base, slots, layout.slots)
    f.store('i64.store', base, page, layout.pageBase)
  }

  /** Emits a branch to the linear address in `target`. */
  followTarget(next: Label, leave: Label): void {
    const { f, layout } = this.#state
    const l = this.#state.locals
    this.#ifExecutable(l.target.get, (slots, page) => {
      this.#enter(page, slots)
      const record = this.#recordIn(slots, l.target.get)
      f.if(record, () => this.goTo(record, next))
    })
    f.set(l.record, f.call(this.#imports.fetch, l.target.get.toI32(), l.target.get.shrU(32).toI32()))
    f.brIf(l.record.get, next)
    // `fetch` left a page base and an entry record that together give the target back as the program counter.
    f.set(l.record, this.#state.base.add(layout.entry))
    f.set(l.status, this.#state.word(layout.fetchStatus))
    f.br(leave)
  }

  /** Returns the machine address of the TLB's entries for a linear address. */
  executeEntry(linear: I64): I32 {
    return this.#state.f.let(this.#state.tlb.add(linear.toI32().shrU(8).and(TLB_INDEX_MASK)))
  }
}
