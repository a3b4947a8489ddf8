import { PAGE_BYTES } from '@retrap/memory'
import { I32, type FunctionBuilder, type I64, type Label } from '@retrap/wasm-emitter'
import { type DispatchImports, type DispatchLabels, LoopBranches } from './loop-branches.ts'
import { type DispatchLocals, LoopState, poison, type StateLayout } from './loop-state.ts'
import * as R from './record.ts'
import * as U from './status.ts'
import { TLB_EXECUTE } from './tlb-layout.ts'

/** Things that the dispatch loop counts; absent ones are not counted. */
export interface DispatchCounters {
  /** Machine address of 64-bit counters of executions, one for each case, then one for each table entry. */
  readonly profileAt?: number | undefined
  /** How often branches reach records, for a compiler of hot code: in {@link HOT_COUNTERS} counters, see {@link StateLayout.counters}. */
  readonly hot?: boolean
}

/**
 * The dispatch loop: emits the body of a function `run(state, record) → status`, a Wasm `loop` over one `br_table`.
 *
 * With `record` zero, `run` begins at the state's program counter, else at that record. When it returns, the program
 * counter is at the current instruction where the status says that nothing has changed, else at the instruction after it;
 * budget and record are in the state.
 *
 * The budget counts instructions. Backward branches and branches to other pages check it, and the attention field with it;
 * a forward branch within the page does not, so that every way of executing a program can end a turn at the same place.
 */
export class DispatchLoop {
  readonly #f: FunctionBuilder
  readonly #state: LoopState
  readonly #branches: LoopBranches
  readonly #imports: DispatchImports
  readonly #callType: number
  readonly #profileAt: number | undefined

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
    this.#imports = imports
    this.#callType = callType
    this.#profileAt = counters.profileAt
    this.#state = new LoopState(f, layout)
    this.#branches = new LoopBranches(this.#state, imports, counters.hot === true)
  }

  /** The loop's locals. */
  get locals(): DispatchLocals {
    return this.#state.locals
  }

  /** Machine address of the TLB set in use; see {@link DispatchLoop.pageBase}. */
  get tlb(): I32 {
    return this.#state.tlb
  }

  /** Linear address of the current page: a load, which happens where the value is used. */
  get pageBase(): I64 {
    return this.#state.pageBase
  }

  /**
   * Emits the loop.
   *
   * @param inlined - emit one form each, case {@link OP_FIRST_FORM} first; control that falls out of a form's code goes on
   *   with the next record
   */
  build(inlined: readonly ((labels: DispatchLabels) => void)[]): void {
    const f = this.#f
    const state = this.#state
    const branches = this.#branches
    const { layout, locals: l } = state
    const start = f.param(1, 'i32')
    f.set(l.budget, state.word(layout.budget))
    f.set(l.record, start.get)
    f.if(start.get.eqz(), () => {
      // A record that continues at the program counter, so that the loop needs no test for its first round.
      f.set(l.target, state.linearProgramCounter())
      f.store('i64.store', state.base, l.target.get.and(BigInt(-PAGE_BYTES)), layout.pageBase)
      f.store('i32.store', state.base, I32.of(R.OP_CONTINUE), layout.entry + R.R_OP)
      f.store('i64.store16', state.base, l.target.get.and(0xfffn), layout.entry + R.R_OFFSET)
      f.set(l.record, state.base.add(layout.entry))
    })
    f.block((leaveAtTarget) => {
      f.block((leave) => {
        f.block((fail) => {
          f.loop((next) => {
            f.block((locate) => {
              f.block((pause) => {
                f.block((jump) => {
                  f.block((slot) => {
                    f.block((far) => {
                      f.block((back) => {
                        this.#cases({ next, locate, jump, slot, far, back, fail }, inlined)
                      })
                      branches.followReturn(next, jump)
                      f.br(jump)
                    })
                    branches.followLink(next, jump)
                    f.br(jump)
                  })
                  branches.followSlot(next, pause)
                })
                f.brIf(branches.mustPause().eqz(), locate)
              })
              branches.leaveWhereTurnsEnd(leaveAtTarget)
            })
            branches.followTarget(next, leave)
          })
        })
        // The instruction did not retire.
        f.set(l.budget, l.budget.get.add(1))
      })
      state.storeProgramCounter(state.currentLinear())
      state.return(l.status.get)
    })
    state.storeProgramCounter(l.target.get)
    state.return(I32.of(U.STATUS_LEAVE))
  }

  /**
   * Emits a taken branch within the page, for an inlined form: through the record's link if it has one. Control never falls
   * through.
   *
   * @param offsetTimes4 - four times the page offset of the target
   * @param forward - the target lies further on than the branch
   */
  branchInPage(labels: DispatchLabels, offsetTimes4: I32, forward: boolean): void {
    this.#branches.inPage(labels, offsetTimes4, forward)
  }

  /** Emits code that notes a call's return address, the following instruction. */
  noteReturn(): void {
    this.#branches.noteReturn()
  }

  #profile(index: I32, first: number): void {
    if (this.#profileAt === undefined) return
    const f = this.#f
    const at = f.let(index.add(first).shl(3).add(this.#profileAt))
    f.store('i64.store', at, f.loadExpression('i64.load', at).add(1))
  }

  #advance(next: Label): void {
    this.#f.set(this.#state.locals.record, this.#state.locals.record.get.add(R.RECORD_BYTES))
    this.#f.br(next)
  }

  /** Emits dispatch and the bodies of all cases. */
  #cases(labels: DispatchLabels, inlined: readonly ((labels: DispatchLabels) => void)[]): void {
    const f = this.#f
    const l = this.#state.locals
    const firstEntry = R.OP_FIRST_FORM + inlined.length
    const bodies: (() => void)[] = []
    bodies[R.OP_CONTINUE] = () => {
      f.set(l.budget, l.budget.get.add(1))
      const offset = f.let(f.loadExpression('i64.load16_u', l.record.get, R.R_OFFSET))
      f.set(l.target, this.#state.pageBase.add(offset))
      // Where decoding stopped within a page depends on earlier execution; the end of the page does not.
      f.brIf(offset.ltU(PAGE_BYTES), labels.locate)
      f.br(labels.jump)
    }
    bodies[R.OP_NEXT] = () => {
      f.set(l.budget, l.budget.get.add(1))
      const link = f.load('i32.load', l.record.get, R.R_LINK)
      // Control has come to code that was decoded before: a place that can be hot, as the target of a branch can.
      f.if(link, () => this.#branches.goTo(link, labels.next))
      const offset = f.let(f.loadExpression('i32.load16_u', l.record.get, R.R_OFFSET))
      f.set(l.target, this.#state.pageBase.add(offset.toI64U()))
      f.brIf(offset.geU(PAGE_BYTES), labels.jump)
      const found = f.load('i32.load', this.#state.slots.add(offset.shl(2)))
      f.brIf(found.eqz(), labels.locate)
      f.store('i32.store', l.record.get, found, R.R_LINK)
      this.#branches.goTo(found, labels.next)
    }
    bodies[R.OP_LEAVE] = () => {
      // `fail` gives back the instruction that dispatch has counted.
      f.set(l.status, I32.of(U.STATUS_LEAVE))
      f.br(labels.fail)
    }
    bodies[R.OP_CALL] = () => {
      this.#callEntry(firstEntry)
      this.#endCall(labels)
    }
    bodies[R.OP_CALL_SPILLED] = bodies[R.OP_CALL]
    bodies[R.OP_CALL_CONTROL] = () => this.#callControl(labels, firstEntry)
    bodies[R.OP_SYSTEM] = () => this.#system(labels, f.loadExpression('i32.load16_u', l.record.get, R.R_FUNCTION))
    bodies[R.OP_CROSS] = () => this.#checkCrossing(labels)
    bodies[R.OP_UNIT] = () => this.#unit(labels)
    for (const [i, emit] of inlined.entries()) {
      bodies[R.OP_FIRST_FORM + i] = () => {
        emit(labels)
        this.#advance(labels.next)
      }
    }
    // The records that the table does not have: a dead one, or one with OP_HEAD or OP_COLD.
    bodies.push(() => {
      const op = f.let(f.loadExpression('i32.load16_u', l.record.get, R.R_OP))
      f.brIf(op.geU(R.OP_DEAD), targets[R.OP_CONTINUE]!)
      f.set(l.budget, l.budget.get.add(1))
      f.if(op.and(R.OP_HEAD), () => {
        const offset = f.loadExpression('i32.load16_u', l.record.get, R.R_OFFSET)
        const unit = f.load('i32.load', this.#state.slots.add(offset.shl(2)))
        f.if(unit.ne(0).and(unit.ne(l.record.get)), () => {
          f.set(l.record, unit)
          f.br(labels.next)
        })
      })
      f.store('i32.store16', l.record.get, op.and(R.OP_BITS), R.R_OP)
      f.br(labels.next)
    })
    const targets: Label[] = []
    const open = (i: number): void => {
      f.block((label) => {
        targets[i] = label
        if (i + 1 < bodies.length) {
          open(i + 1)
          return
        }
        f.set(l.budget, l.budget.get.sub(1))
        this.#poison()
        this.#profile(f.loadExpression('i32.load16_u', l.record.get, R.R_OP).and(R.OP_BITS), 0)
        f.brTable(f.loadExpression('i32.load16_u', l.record.get, R.R_OP), targets.slice(0, -1), targets.at(-1)!)
      })
      f.scope(() => bodies[i]?.())
    }
    open(0)
  }

  #poison(): void {
    const { poisoned } = this.#state.layout
    if (poisoned === undefined) return
    const begun = poisoned.begun.map((field) => this.#state.word(field)).reduce((any, field) => any.or(field))
    this.#f.if(begun.eqz(), () => poison(this.#f, this.#state.base, poisoned))
  }

  #checkCrossing(labels: DispatchLabels): void {
    const f = this.#f
    const l = this.#state.locals
    f.set(l.budget, l.budget.get.add(1))
    // Where the second page's execute entry leads to the code page that the record was made from, nothing has changed.
    const next = f.let(this.#state.pageBase.add(PAGE_BYTES))
    const entry = this.#branches.executeEntry(next)
    const known = f.loadExpression('i64.load', entry, TLB_EXECUTE).eq(next)
    const expected = f.loadExpression('i32.load', l.record.get, R.R_LINK)
    const same = f.loadExpression('i32.load', entry, TLB_EXECUTE + 8).eq(expected)
    f.if(known.and(same), () => this.#advance(labels.next))
    // If the second page was replaced, this record and the next are dead.
    f.if(f.call(this.#imports.cross, l.record.get), () => this.#advance(labels.next))
    f.set(l.target, this.#state.currentLinear())
    f.br(labels.locate)
  }

  /** Calls the current record's function of the table; its result is in `status`. */
  #callEntry(firstEntry: number): void {
    const f = this.#f
    const { record, status } = this.#state.locals
    const entry = f.loadExpression('i32.load16_u', record.get, R.R_FUNCTION)
    this.#profile(entry, firstEntry)
    const result = f.callIndirect(
      U.FORM_SIGNATURE,
      this.#callType,
      entry,
      this.#state.base,
      record.get,
      this.#state.tlb,
    )
    f.set(status, result as I32)
  }

  #endCall(labels: DispatchLabels): void {
    this.#f.brIf(this.#state.locals.status.get, labels.fail)
    this.#advance(labels.next)
  }

  #callControl(labels: DispatchLabels, firstEntry: number): void {
    const f = this.#f
    const l = this.#state.locals
    // Repeated instructions charge their iterations to the budget, which is in the state meanwhile.
    this.#callEntry(firstEntry)
    f.if(l.status.get.eq(U.STATUS_HANDLER), () =>
      this.#system(labels, f.loadExpression('i32.load16_u', l.record.get, R.R_FUNCTION).add(R.HOST_OF_FORM)),
    )
    this.#jumpIfAsked(labels)
    this.#endCall(labels)
  }

  /** Enters a unit, which charges the budget by itself. */
  #unit(labels: DispatchLabels): void {
    const f = this.#f
    const l = this.#state.locals
    const { layout } = this.#state
    f.set(l.budget, l.budget.get.add(1))
    const before = f.let(l.budget.get)
    const iterations = f.let(this.#state.word(layout.iterations))
    const entry = f.loadExpression('i32.load16_u', l.record.get, R.R_FUNCTION)
    const outcome = f.callIndirect(
      U.FORM_SIGNATURE,
      this.#callType,
      entry,
      this.#state.base,
      l.record.get,
      this.#state.tlb,
    )
    f.set(l.status, outcome as I32)
    const repeated = this.#state.word(layout.iterations).sub(iterations)
    this.#branches.countCompiled(before.sub(l.budget.get).sub(repeated))
    f.if(l.status.get.eq(U.UNIT_RESUME).or(l.status.get.eq(U.UNIT_SLOW)), () => {
      f.if(l.status.get.eq(U.UNIT_SLOW), () => this.#branches.countMiss())
      // The interpreter executes the instruction at which the unit was left, even if another unit begins at it.
      const op = f.let(f.loadExpression('i32.load16_u', l.record.get, R.R_OP))
      f.if(op.and(R.OP_HEAD), () => f.store('i32.store16', l.record.get, op.and(~R.OP_HEAD), R.R_OP))
      f.br(labels.next)
    })
    f.if(l.status.get.eq(U.UNIT_MISSED), () => {
      this.#branches.noteMissedBranch()
      f.set(l.status, I32.of(U.UNIT_JUMP))
    })
    f.if(l.status.get.eq(U.UNIT_JUMP), () => {
      f.set(l.target, this.#state.double(layout.unitTarget))
      f.br(labels.jump)
    })
    f.set(l.status, l.status.get.sub(U.UNIT_FAILED))
    f.if(l.status.get.eq(U.STATUS_EXIT), () => f.return(U.STATUS_EXIT))
    // `fail` refunds the instruction that dispatch charges, so it is charged here.
    f.set(l.budget, l.budget.get.sub(1))
    f.br(labels.fail)
  }

  /** Calls a host function for the current record. */
  #system(labels: DispatchLabels, handler: I32): void {
    const f = this.#f
    const l = this.#state.locals
    this.#state.storeProgramCounter(this.#state.currentLinear())
    f.set(l.status, f.call(this.#imports.system, handler, l.record.get))
    f.if(l.status.get.eqz(), () => {
      this.#branches.countNext(labels.next)
      this.#advance(labels.next)
    })
    this.#jumpIfAsked(labels)
    // Retired, with the program counter set.
    f.if(l.status.get.eq(U.STATUS_EXIT), () => f.return(U.STATUS_EXIT))
    f.br(labels.fail)
  }

  /** Follows the program counter after a call that ended with STATUS_JUMP. */
  #jumpIfAsked(labels: DispatchLabels): void {
    const f = this.#f
    const { status, target } = this.#state.locals
    f.if(status.get.eq(U.STATUS_JUMP), () => {
      f.set(target, this.#state.linearProgramCounter())
      f.br(labels.jump)
    })
  }
}
