import { I32 } from '@retrap/wasm-emitter'
import type { Callee, FunctionBuilder, I64, Label, Local } from '@retrap/wasm-emitter'
import {
  OP_CALL,
  OP_CALL_CONTROL,
  OP_CALL_SPILLED,
  OP_CONTINUE,
  OP_CROSS,
  OP_DEAD,
  OP_FIRST_FORM,
  OP_LEAVE,
  OP_SYSTEM,
  OP_UNIT,
  RECORD_BYTES,
  R_FUNCTION,
  R_LINK,
  R_OFFSET,
  R_OP,
} from './record.ts'
import { HOT_COUNTER_MASK, HOT_COUNTER_SHIFT } from './hot-counters.ts'
import type { StateLayout } from './state-layout.ts'
import { STATUS_EXIT, STATUS_HANDLER, STATUS_JUMP, STATUS_LEAVE } from './status.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from './tlb-layout.ts'
import { UNIT_FAILED, UNIT_JUMP, UNIT_RESUME } from './unit-outcome.ts'

/** Type of the functions in the module's table: `(state, record, tlb) → status`. */
export const FORM_SIGNATURE: { readonly params: readonly ['i32', 'i32', 'i32']; readonly result: 'i32' } = {
  params: ['i32', 'i32', 'i32'],
  result: 'i32',
}

/** A function that returns an `i32`. */
export type I32Callee = Callee & { readonly signature: { readonly result: 'i32' } }

/** The functions of the host that the dispatch loop calls. */
export interface DispatchImports {
  /** `(host function, record) → status`: executes one instruction. */
  readonly system: I32Callee
  /** `(linear address low, high) → record`, or 0 with the reason in {@link StateLayout.fetchStatus}. */
  readonly fetch: I32Callee
  /** `(record) → 1` if the page-crossing instruction after an `OP_CROSS` record may be executed, else 0. */
  readonly cross: I32Callee
  /** `(record) → record`: what to execute in place of a record that has been reached often. */
  readonly hot: I32Callee
}

/** Where the dispatch loop counts, as machine addresses; what is absent is not counted. */
export interface DispatchCounters {
  /** 64-bit counters of executions, one for each case, then one for each table entry. */
  readonly profileAt?: number | undefined
  /** {@link HOT_COUNTERS} counters of how often branches reach records, for a compiler of hot code. */
  readonly hotAt?: number | undefined
}

/** Locals of the dispatch loop that inlined forms use. */
export interface DispatchLocals {
  /** Machine address of the current record. */
  readonly record: Local<'i32'>
  /** Instructions that may still retire, the current one already subtracted. */
  readonly budget: Local<'i32'>
  /** Machine address of the current page's slot table. */
  readonly slots: Local<'i32'>
  /** Machine address of the TLB set in use. */
  readonly tlb: Local<'i32'>
  /** Status of an instruction that ends the loop. */
  readonly status: Local<'i32'>
  /** Four times the page offset of a branch's target. */
  readonly slot: Local<'i32'>
  /** Linear address of the current page. */
  readonly pageBase: Local<'i64'>
  /** Linear address of a branch's target. */
  readonly target: Local<'i64'>
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
  /** Leaves with `status`: the instruction has not retired and nothing has changed. */
  readonly fail: Label
}

/** State of the instruction set that the dispatch loop holds in locals, such as lazy flags. */
export interface HeldState {
  /** Stores the locals into the state. */
  spill(): void
  /** Loads the locals from the state. */
  reload(): void
}

/**
 * The dispatch loop: emits the body of a function `run(state, record) → status`, a Wasm `loop` over one `br_table`.
 *
 * With `record` zero, `run` begins at the state's program counter, else at that record. When it returns, the program
 * counter is at the current instruction where the status says that nothing has changed, else at the next one; held state,
 * budget and record are in the state.
 *
 * The budget counts instructions. Backward branches and branches to other pages check it, and the attention field with it;
 * a forward branch within the page does not, so that every way of executing a program can end a turn at the same place.
 */
export class DispatchLoop {
  /** The loop's locals. */
  readonly locals: DispatchLocals
  readonly #f: FunctionBuilder
  readonly #layout: StateLayout
  readonly #imports: DispatchImports
  readonly #callType: number
  readonly #profileAt: number | undefined
  readonly #hotAt: number | undefined
  readonly #state: I32
  #held: HeldState = { spill: () => {}, reload: () => {} }

  /**
   * @param f - a function with parameters `(i32, i32)` and result `i32`, still empty
   * @param callType - type index of the functions in the module's table: {@link FORM_SIGNATURE}
   * @param counters - where to count
   */
  constructor(
    f: FunctionBuilder,
    layout: StateLayout,
    imports: DispatchImports,
    callType: number,
    counters: DispatchCounters = {},
  ) {
    this.#f = f
    this.#layout = layout
    this.#imports = imports
    this.#callType = callType
    this.#profileAt = counters.profileAt
    this.#hotAt = counters.hotAt
    this.#state = f.param(0, 'i32').get
    this.locals = {
      record: f.local('i32'),
      budget: f.local('i32'),
      slots: f.local('i32'),
      tlb: f.local('i32'),
      status: f.local('i32'),
      slot: f.local('i32'),
      pageBase: f.local('i64'),
      target: f.local('i64'),
    }
  }

  /**
   * Emits the loop.
   *
   * @param held - state of the instruction set in locals
   * @param inlined - emit one form each, case {@link OP_FIRST_FORM} first; control that falls out of a form's code goes on
   *   with the next record
   */
  build(held: HeldState, inlined: readonly ((labels: DispatchLabels) => void)[]): void {
    this.#held = held
    const f = this.#f
    const state = this.#state
    const l = this.locals
    const layout = this.#layout
    const start = f.param(1, 'i32')
    this.#reload()
    f.set(l.record, start.get)
    f.set(l.pageBase, f.loadExpression('i64.load', state, layout.pageBase))
    f.set(l.slots, f.loadExpression('i32.load', state, layout.slots))
    f.if(start.get.eqz(), () => {
      // A record that continues at the program counter, so that the loop needs no test for its first round.
      f.set(l.target, this.#linearProgramCounter())
      f.set(l.pageBase, l.target.get.and(-4096n))
      f.store('i32.store', state, I32.of(OP_CONTINUE), layout.entry + R_OP)
      f.store('i64.store16', state, l.target.get.and(0xfffn), layout.entry + R_OFFSET)
      f.set(l.record, state.add(layout.entry))
    })
    f.block((leaveAtTarget) => {
      f.block((leave) => {
        f.block((fail) => {
          f.loop((next) => {
            f.block((locate) => {
              f.block((pause) => {
                f.block((jump) => {
                  f.block((slot) => {
                    this.#cases({ next, locate, jump, slot, fail }, inlined)
                  })
                  this.#followSlot(next, pause)
                })
                f.brIf(this.#mustPause().eqz(), locate)
              })
              this.#leaveWhereTurnsEnd(leaveAtTarget)
            })
            this.#followTarget(next, leave)
          })
        })
        // The instruction did not retire.
        f.set(l.budget, l.budget.get.add(1))
      })
      this.#storeProgramCounter(this.#currentLinear())
      this.#spill()
      f.return(l.status.get)
    })
    this.#storeProgramCounter(l.target.get)
    this.#spill()
    f.return(STATUS_LEAVE)
  }

  // ---------------------------------------------------------------- the state

  #linearProgramCounter(): I64 {
    const { programCounter, programCounterBase } = this.#layout
    const counter = this.#f.loadExpression('i64.load', this.#state, programCounter)
    if (programCounterBase === undefined) return counter
    return counter.add(this.#f.loadExpression('i64.load', this.#state, programCounterBase))
  }

  /** Linear address of the current record's instruction. */
  #currentLinear(): I64 {
    const { pageBase, record } = this.locals
    return pageBase.get.add(this.#f.loadExpression('i64.load16_u', record.get, R_OFFSET))
  }

  #storeProgramCounter(linear: I64): void {
    const f = this.#f
    const { programCounter, programCounterBase, programCounterMask } = this.#layout
    const mask =
      programCounterMask === undefined ? undefined : f.loadExpression('i64.load', this.#state, programCounterMask)
    let counter = linear
    if (programCounterBase !== undefined) {
      counter = counter.sub(f.loadExpression('i64.load', this.#state, programCounterBase))
    }
    f.store('i64.store', this.#state, mask === undefined ? counter : counter.and(mask), programCounter)
  }

  #spill(): void {
    this.#held.spill()
    this.#f.store('i32.store', this.#state, this.locals.budget.get, this.#layout.budget)
    this.#f.store('i32.store', this.#state, this.locals.record.get, this.#layout.record)
  }

  #reload(): void {
    this.#held.reload()
    this.#f.set(this.locals.budget, this.#f.loadExpression('i32.load', this.#state, this.#layout.budget))
    this.#f.set(this.locals.tlb, this.#f.loadExpression('i32.load', this.#state, this.#layout.tlb))
  }

  #profile(index: I32, first: number): void {
    if (this.#profileAt === undefined) return
    const f = this.#f
    const at = f.let(index.add(first).shl(3).add(this.#profileAt))
    f.store('i64.store', at, f.loadExpression('i64.load', at).add(1))
  }

  // ---------------------------------------------------------------- dispatch

  #advance(next: Label): void {
    this.#f.set(this.locals.record, this.locals.record.get.add(RECORD_BYTES))
    this.#f.br(next)
  }

  /** Emits dispatch and the bodies of all cases. */
  #cases(labels: DispatchLabels, inlined: readonly ((labels: DispatchLabels) => void)[]): void {
    const f = this.#f
    const l = this.locals
    const firstEntry = OP_FIRST_FORM + inlined.length
    const bodies: (() => void)[] = []
    bodies[OP_CONTINUE] = () => {
      f.set(l.budget, l.budget.get.add(1))
      const offset = f.let(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET))
      f.set(l.target, l.pageBase.get.add(offset))
      // The place within a page where decoding stopped depends on what was executed before; the end of the page does not.
      f.brIf(offset.ltU(0x1000), labels.locate)
      f.br(labels.jump)
    }
    bodies[OP_LEAVE] = () => {
      // `fail` gives back the instruction that dispatch has counted.
      f.set(l.status, I32.of(STATUS_LEAVE))
      f.br(labels.fail)
    }
    bodies[OP_CALL] = () => {
      this.#callEntry(firstEntry)
      this.#endCall(labels)
    }
    bodies[OP_CALL_SPILLED] = () => {
      this.#held.spill()
      this.#callEntry(firstEntry)
      this.#held.reload()
      this.#endCall(labels)
    }
    bodies[OP_CALL_CONTROL] = () => this.#callControl(labels, firstEntry)
    bodies[OP_SYSTEM] = () => this.#system(labels, f.loadExpression('i32.load16_u', l.record.get, R_FUNCTION))
    bodies[OP_CROSS] = () => this.#checkCrossing(labels)
    bodies[OP_UNIT] = () => this.#unit(labels)
    for (const [i, emit] of inlined.entries()) {
      bodies[OP_FIRST_FORM + i] = () => {
        emit(labels)
        this.#advance(labels.next)
      }
    }
    const targets: Label[] = []
    const open = (i: number): void => {
      f.block((label) => {
        targets[i] = label
        if (i + 1 < bodies.length) {
          open(i + 1)
          return
        }
        f.set(l.budget, l.budget.get.sub(1))
        this.#profile(f.loadExpression('i32.load16_u', l.record.get, R_OP).and(OP_DEAD - 1), 0)
        // A dead record is past the end of the table.
        f.brTable(f.loadExpression('i32.load16_u', l.record.get, R_OP), targets, targets[OP_CONTINUE] as Label)
      })
      f.scope(() => bodies[i]?.())
    }
    open(0)
  }

  #checkCrossing(labels: DispatchLabels): void {
    const f = this.#f
    const l = this.locals
    f.set(l.budget, l.budget.get.add(1))
    // Where the second page's execute entry leads to the code page that the record was made from, nothing has changed.
    const next = f.let(l.pageBase.get.add(0x1000))
    const entry = f.let(l.tlb.get.add(next.shrU(8).toI32().and(TLB_INDEX_MASK)))
    const known = f.loadExpression('i64.load', entry, TLB_EXECUTE).eq(next)
    const expected = f.loadExpression('i32.load', l.record.get, R_LINK)
    const same = f.loadExpression('i32.load', entry, TLB_EXECUTE + 8).eq(expected)
    f.if(known.and(same), () => this.#advance(labels.next))
    // Where the second page is no longer the same, this record and the next are dead.
    f.if(f.call(this.#imports.cross, l.record.get), () => this.#advance(labels.next))
    f.set(l.target, this.#currentLinear())
    f.br(labels.locate)
  }

  /** Calls the current record's function of the table; its result is in `status`. */
  #callEntry(firstEntry: number): void {
    const f = this.#f
    const { record, status, tlb } = this.locals
    const entry = f.loadExpression('i32.load16_u', record.get, R_FUNCTION)
    this.#profile(entry, firstEntry)
    const result = f.callIndirect(FORM_SIGNATURE, this.#callType, entry, this.#state, record.get, tlb.get)
    f.set(status, result as I32)
  }

  #endCall(labels: DispatchLabels): void {
    this.#f.brIf(this.locals.status.get, labels.fail)
    this.#advance(labels.next)
  }

  #callControl(labels: DispatchLabels, firstEntry: number): void {
    const f = this.#f
    const l = this.locals
    const { budget } = this.#layout
    this.#held.spill()
    // Repeated instructions charge their iterations to the budget.
    f.store('i32.store', this.#state, l.budget.get, budget)
    this.#callEntry(firstEntry)
    this.#held.reload()
    f.set(l.budget, f.loadExpression('i32.load', this.#state, budget))
    f.if(l.status.get.eq(STATUS_HANDLER), () =>
      this.#system(labels, f.loadExpression('i32.load', l.record.get, R_LINK)),
    )
    this.#jumpIfAsked(labels)
    this.#endCall(labels)
  }

  /** Enters a unit, which charges the budget by itself. */
  #unit(labels: DispatchLabels): void {
    const f = this.#f
    const l = this.locals
    const layout = this.#layout
    this.#held.spill()
    f.store('i32.store', this.#state, l.budget.get.add(1), layout.budget)
    const entry = f.loadExpression('i32.load16_u', l.record.get, R_FUNCTION)
    const outcome = f.callIndirect(FORM_SIGNATURE, this.#callType, entry, this.#state, l.record.get, l.tlb.get)
    f.set(l.status, outcome as I32)
    this.#reload()
    f.set(l.record, f.loadExpression('i32.load', this.#state, layout.record))
    f.set(l.slots, f.loadExpression('i32.load', this.#state, layout.slots))
    f.set(l.pageBase, f.loadExpression('i64.load', this.#state, layout.pageBase))
    f.brIf(l.status.get.eq(UNIT_RESUME), labels.next)
    f.if(l.status.get.eq(UNIT_JUMP), () => {
      f.set(l.target, f.loadExpression('i64.load', this.#state, layout.unitTarget))
      f.br(labels.jump)
    })
    f.set(l.status, l.status.get.sub(UNIT_FAILED))
    // `fail` gives back the instruction that dispatch counts.
    f.set(l.budget, l.budget.get.sub(1))
    f.br(labels.fail)
  }

  /**
   * Emits a count of a branch that reaches a record. Nothing is emitted where nothing is counted.
   *
   * @param record - the target's
   * @param whenHot - emits what follows when the target has become hot; it has the record to go on with, and must branch
   */
  countBranch(record: I32, whenHot: (next: I32) => void): void {
    if (this.#hotAt === undefined) return
    const f = this.#f
    const counter = f.let(record.shrU(HOT_COUNTER_SHIFT).and(HOT_COUNTER_MASK).add(this.#hotAt))
    const count = f.let(f.loadExpression('i32.load', counter).sub(1))
    f.store('i32.store', counter, count)
    f.if(count.eqz(), () => whenHot(f.call(this.#imports.hot, record)))
  }

  /** Calls a host function for the current record. */
  #system(labels: DispatchLabels, handler: I32): void {
    const f = this.#f
    const l = this.locals
    this.#spill()
    this.#storeProgramCounter(this.#currentLinear())
    f.set(l.status, f.call(this.#imports.system, handler, l.record.get))
    this.#reload()
    f.if(l.status.get.eqz(), () => this.#advance(labels.next))
    this.#jumpIfAsked(labels)
    f.if(l.status.get.eq(STATUS_EXIT), () => {
      // Retired, with the program counter set.
      this.#spill()
      f.return(STATUS_EXIT)
    })
    f.br(labels.fail)
  }

  /** Follows the program counter after a call that ended with STATUS_JUMP. */
  #jumpIfAsked(labels: DispatchLabels): void {
    const f = this.#f
    const { status, target } = this.locals
    f.if(status.get.eq(STATUS_JUMP), () => {
      f.set(target, this.#linearProgramCounter())
      f.br(labels.jump)
    })
  }

  // ---------------------------------------------------------------- branches

  /** Follows a branch within the page and links it; falls out where nothing is decoded at the target. */
  #followSlot(next: Label, pause: Label): void {
    const f = this.#f
    const l = this.locals
    f.set(l.target, l.pageBase.get.add(l.slot.get.shrU(2).toI64U()))
    f.brIf(this.#mustPause(), pause)
    const record = f.load('i32.load', l.slots.get.add(l.slot.get))
    f.if(record, () => {
      f.store('i32.store', l.record.get, record, R_LINK)
      f.set(l.record, record)
      f.br(next)
    })
  }

  /** The budget is used up, or attention is requested. */
  #mustPause(): I32 {
    const attention = this.#f.loadExpression('i32.load', this.#state, this.#layout.attention)
    return this.locals.budget.get.leS(0).or(attention)
  }

  /**
   * Leaves at `target`, unless that lies further on in the same page. A linked forward branch makes no check, so no
   * forward branch may end a turn. An instruction that is executed alone always leaves.
   */
  #leaveWhereTurnsEnd(leaveAtTarget: Label): void {
    const f = this.#f
    const l = this.locals
    const offset = f.let(l.target.get.sub(l.pageBase.get))
    const forward = offset.ltU(0x1000).and(offset.gtU(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET)))
    f.brIf(f.loadExpression('i32.load', this.#state, this.#layout.alone).or(forward.eqz()), leaveAtTarget)
  }

  /** Continues at the linear address in `target`. */
  #followTarget(next: Label, leave: Label): void {
    const f = this.#f
    const l = this.locals
    const layout = this.#layout
    const entry = f.let(l.tlb.get.add(l.target.get.shrU(8).toI32().and(TLB_INDEX_MASK)))
    const page = f.let(l.target.get.and(-4096n))
    f.if(f.loadExpression('i64.load', entry, TLB_EXECUTE).eq(page), () => {
      f.set(l.slots, f.loadExpression('i32.load', entry, TLB_EXECUTE + 8))
      f.set(l.pageBase, page)
      f.store('i64.store', this.#state, page, layout.pageBase)
      const record = f.load('i32.load', l.slots.get.add(l.target.get.toI32().and(0xfff).shl(2)))
      f.if(record, () => {
        this.countBranch(record, (unit) => {
          f.set(l.record, unit)
          f.br(next)
        })
        f.set(l.record, record)
        f.br(next)
      })
    })
    f.set(l.record, f.call(this.#imports.fetch, l.target.get.toI32(), l.target.get.shrU(32).toI32()))
    f.set(l.pageBase, f.loadExpression('i64.load', this.#state, layout.pageBase))
    f.set(l.slots, f.loadExpression('i32.load', this.#state, layout.slots))
    f.brIf(l.record.get, next)
    // `fetch` left a page base and an entry record that together give the target back as the program counter.
    f.set(l.record, this.#state.add(layout.entry))
    f.set(l.status, f.loadExpression('i32.load', this.#state, layout.fetchStatus))
    f.br(leave)
  }
}
