import { I32 } from '@retrap/wasm-emitter'
import type { Callee, FunctionBuilder, I64, Label } from '@retrap/wasm-emitter'
import {
  OP_CALL,
  OP_CALL_CONTROL,
  OP_CALL_FLAGS,
  OP_CONTINUE,
  OP_DEAD,
  OP_CROSS,
  OP_FIRST_FORM,
  OP_LEAVE,
  OP_SYSTEM,
  RECORD_BYTES,
  R_DISP,
  R_FUNCTION,
  R_OFFSET,
  R_OP,
} from './record.ts'
import { TLB_EXECUTE, TLB_INDEX_MASK } from '@retrap/engine'
import type { Library } from './semantics/library.ts'
import {
  STATUS_EXIT,
  STATUS_HANDLER,
  STATUS_JUMP,
  STATUS_LEAVE,
  S_ATTENTION,
  S_BUDGET,
  S_ENTRY,
  S_FETCH_STATUS,
  S_FLAGS_A,
  S_FLAGS_B,
  S_FLAGS_KIND,
  S_FLAGS_RESULT,
  S_LOGGED,
  S_PAGE_BASE,
  S_RECORD,
  S_RIP,
  S_RIP_MASK,
  S_SLOTS,
  S_TLB,
} from './state-layout.ts'

import { CS_BASE, InlineContext } from './form-context.ts'
import type { FormSource, MainLabels, MainLocals } from './form-context.ts'

export interface MainImports {
  readonly system: Callee & { readonly signature: { readonly result: 'i32' } }
  readonly fetch: Callee & { readonly signature: { readonly result: 'i32' } }
  readonly cross: Callee & { readonly signature: { readonly result: 'i32' } }
  readonly callType: number
}

/**
 * The dispatch loop: `run(state, record)`. With `record` zero it starts at S_RIP, else at that record.
 *
 * It returns a status. S_RIP is then the current instruction where the status says that nothing has changed, else the
 * next one; flags, budget and record are in the state.
 */
export class MainLoop {
  readonly #f: FunctionBuilder
  readonly #library: Library
  readonly #imports: MainImports
  readonly #inline: readonly FormSource[]
  readonly #state: I32
  readonly #l: MainLocals
  readonly #profileAt: number | undefined

  constructor(
    f: FunctionBuilder,
    library: Library,
    imports: MainImports,
    inline: readonly FormSource[],
    profileAt?: number,
  ) {
    this.#profileAt = profileAt
    this.#f = f
    this.#library = library
    this.#imports = imports
    this.#inline = inline
    this.#state = f.param(0, 'i32').get
    this.#l = {
      record: f.local('i32'),
      budget: f.local('i32'),
      slots: f.local('i32'),
      tlb: f.local('i32'),
      status: f.local('i32'),
      slot: f.local('i32'),
      pageBase: f.local('i64'),
      target: f.local('i64'),
      kind: f.local('i32'),
      a: f.local('i64'),
      b: f.local('i64'),
      result: f.local('i64'),
    }
  }

  build(): void {
    const f = this.#f
    const state = this.#state
    const l = this.#l
    const start = f.param(1, 'i32')
    this.#reload()
    f.set(l.record, start.get)
    f.set(l.pageBase, f.loadExpression('i64.load', state, S_PAGE_BASE))
    f.set(l.slots, f.loadExpression('i32.load', state, S_SLOTS))
    f.if(start.get.eqz(), () => {
      // A record that says "go on at S_RIP", so that the loop needs no test for its first round.
      f.set(l.target, f.loadExpression('i64.load', state, S_RIP).add(f.loadExpression('i64.load', state, CS_BASE)))
      f.set(l.pageBase, l.target.get.and(-4096n))
      f.store('i32.store', state, I32.of(OP_CONTINUE), S_ENTRY + R_OP)
      f.store('i64.store16', state, l.target.get.and(0xfffn), S_ENTRY + R_OFFSET)
      f.set(l.record, state.add(S_ENTRY))
    })
    f.block((leaveAtTarget) => {
      f.block((leave) => {
        f.block((fail) => {
          f.loop((next) => {
            f.block((locate) => {
              f.block((pause) => {
                f.block((jump) => {
                  f.block((slot) => {
                    this.#cases({ next, locate, jump, slot, fail })
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
      this.#storeRip(l.pageBase.get.add(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET)))
      this.#spill()
      f.return(l.status.get)
    })
    this.#storeRip(l.target.get)
    this.#spill()
    f.return(STATUS_LEAVE)
  }

  #storeRip(linear: I64): void {
    const f = this.#f
    const mask = f.loadExpression('i64.load', this.#state, S_RIP_MASK)
    f.store('i64.store', this.#state, linear.sub(f.loadExpression('i64.load', this.#state, CS_BASE)).and(mask), S_RIP)
  }

  #spillFlags(): void {
    const f = this.#f
    f.store('i32.store', this.#state, this.#l.kind.get, S_FLAGS_KIND)
    f.store('i64.store', this.#state, this.#l.a.get, S_FLAGS_A)
    f.store('i64.store', this.#state, this.#l.b.get, S_FLAGS_B)
    f.store('i64.store', this.#state, this.#l.result.get, S_FLAGS_RESULT)
  }

  #reloadFlags(): void {
    const f = this.#f
    f.set(this.#l.kind, f.loadExpression('i32.load', this.#state, S_FLAGS_KIND))
    f.set(this.#l.a, f.loadExpression('i64.load', this.#state, S_FLAGS_A))
    f.set(this.#l.b, f.loadExpression('i64.load', this.#state, S_FLAGS_B))
    f.set(this.#l.result, f.loadExpression('i64.load', this.#state, S_FLAGS_RESULT))
  }

  #spill(): void {
    this.#spillFlags()
    this.#f.store('i32.store', this.#state, this.#l.budget.get, S_BUDGET)
    this.#f.store('i32.store', this.#state, this.#l.record.get, S_RECORD)
  }

  #reload(): void {
    this.#reloadFlags()
    this.#f.set(this.#l.budget, this.#f.loadExpression('i32.load', this.#state, S_BUDGET))
    this.#f.set(this.#l.tlb, this.#f.loadExpression('i32.load', this.#state, S_TLB))
  }

  #profile(index: I32, first: number): void {
    if (this.#profileAt === undefined) return
    const f = this.#f
    const at = f.let(index.add(first).shl(3).add(this.#profileAt))
    f.store('i64.store', at, f.loadExpression('i64.load', at).add(1))
  }

  #advance(next: Label): void {
    this.#f.set(this.#l.record, this.#l.record.get.add(RECORD_BYTES))
    this.#f.br(next)
  }

  /** Dispatch and the bodies of all cases. */
  #cases(labels: MainLabels): void {
    const f = this.#f
    const l = this.#l
    const bodies: (() => void)[] = []
    bodies[OP_CONTINUE] = () => {
      f.set(l.budget, l.budget.get.add(1))
      const offset = f.let(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET))
      f.set(l.target, l.pageBase.get.add(offset))
      // Where decoding has left off within a page depends on what was executed before; the end of the page does not.
      f.brIf(offset.ltU(0x1000), labels.locate)
      f.br(labels.jump)
    }
    bodies[OP_LEAVE] = () => {
      // `fail` gives back the one that dispatch took.
      f.set(l.status, I32.of(STATUS_LEAVE))
      f.br(labels.fail)
    }
    bodies[OP_CALL] = () => this.#call(labels, 'plain')
    bodies[OP_CALL_FLAGS] = () => this.#call(labels, 'flags')
    bodies[OP_CALL_CONTROL] = () => this.#call(labels, 'control')
    bodies[OP_SYSTEM] = () => this.#system(labels)
    bodies[OP_CROSS] = () => {
      f.set(l.budget, l.budget.get.add(1))
      // The second page's execute entry leads to the code page that the record was made from: nothing has changed.
      const next = f.let(l.pageBase.get.add(0x1000))
      const entry = f.let(l.tlb.get.add(next.shrU(8).toI32().and(TLB_INDEX_MASK)))
      const known = f.loadExpression('i64.load', entry, TLB_EXECUTE).eq(next)
      const expected = f.loadExpression('i32.load', l.record.get, R_DISP)
      const same = f.loadExpression('i32.load', entry, TLB_EXECUTE + 8).eq(expected)
      f.if(known.and(same), () => this.#advance(labels.next))
      // Where the second page is no longer what it was, this record and the next are dead.
      f.if(f.call(this.#imports.cross, l.record.get), () => this.#advance(labels.next))
      f.set(l.target, l.pageBase.get.add(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET)))
      f.br(labels.locate)
    }
    for (const [i, source] of this.#inline.entries()) {
      bodies[OP_FIRST_FORM + i] = () => {
        const context = new InlineContext(f, source, this.#library, l, labels)
        source.semantics.emit(context)
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

  #call(labels: MainLabels, kind: 'plain' | 'flags' | 'control'): void {
    const f = this.#f
    const l = this.#l
    if (kind !== 'plain') this.#spillFlags()
    // Iterations of string instructions are charged to the budget.
    if (kind === 'control') f.store('i32.store', this.#state, l.budget.get, S_BUDGET)
    const target = f.loadExpression('i32.load16_u', l.record.get, R_FUNCTION)
    this.#profile(target, OP_FIRST_FORM + this.#inline.length)
    const signature = { params: ['i32', 'i32', 'i32'], result: 'i32' } as const
    f.set(
      l.status,
      f.callIndirect(signature, this.#imports.callType, target, this.#state, l.record.get, l.tlb.get) as I32,
    )
    if (kind !== 'plain') this.#reloadFlags()
    if (kind === 'control') {
      f.set(l.budget, f.loadExpression('i32.load', this.#state, S_BUDGET))
      f.if(l.status.get.eq(STATUS_HANDLER), () =>
        this.#system(labels, f.loadExpression('i32.load', l.record.get, R_DISP)),
      )
      f.if(l.status.get.eq(STATUS_JUMP), () => {
        f.set(
          l.target,
          f.loadExpression('i64.load', this.#state, S_RIP).add(f.loadExpression('i64.load', this.#state, CS_BASE)),
        )
        f.br(labels.jump)
      })
    }
    f.brIf(l.status.get, labels.fail)
    this.#advance(labels.next)
  }

  #system(
    labels: MainLabels,
    handler: I32 = this.#f.loadExpression('i32.load16_u', this.#l.record.get, R_FUNCTION),
  ): void {
    const f = this.#f
    const l = this.#l
    this.#spill()
    this.#storeRip(l.pageBase.get.add(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET)))
    f.set(l.status, f.call(this.#imports.system, handler, l.record.get))
    this.#reload()
    f.if(l.status.get.eqz(), () => this.#advance(labels.next))
    f.if(l.status.get.eq(STATUS_JUMP), () => {
      f.set(
        l.target,
        f.loadExpression('i64.load', this.#state, S_RIP).add(f.loadExpression('i64.load', this.#state, CS_BASE)),
      )
      f.br(labels.jump)
    })
    f.if(l.status.get.eq(STATUS_EXIT), () => {
      // Retired, with RIP set.
      this.#spill()
      f.return(STATUS_EXIT)
    })
    f.br(labels.fail)
  }

  /** A taken branch within the page: `slot` is four times the offset. Falls out to the full look-up where nothing is decoded there. */
  #followSlot(next: Label, pause: Label): void {
    const f = this.#f
    const l = this.#l
    f.set(l.target, l.pageBase.get.add(l.slot.get.shrU(2).toI64U()))
    f.brIf(this.#mustPause(), pause)
    const record = f.load('i32.load', l.slots.get.add(l.slot.get))
    f.if(record, () => {
      f.store('i32.store', l.record.get, record, R_DISP)
      f.set(l.record, record)
      f.br(next)
    })
  }

  /** The budget is used up, or attention is asked for. */
  #mustPause(): I32 {
    return this.#l.budget.get.leS(0).or(this.#f.loadExpression('i32.load', this.#state, S_ATTENTION))
  }

  /**
   * Leaves at `target`, unless it lies further on in the same page: so every way of executing a program ends a turn at
   * the same place, for a branch that is linked does not come here at all. An instruction that is executed alone is
   * always left.
   */
  #leaveWhereTurnsEnd(leaveAtTarget: Label): void {
    const f = this.#f
    const l = this.#l
    const offset = f.let(l.target.get.sub(l.pageBase.get))
    const forward = offset.ltU(0x1000).and(offset.gtU(f.loadExpression('i64.load16_u', l.record.get, R_OFFSET)))
    f.brIf(f.loadExpression('i32.load', this.#state, S_LOGGED).or(forward.eqz()), leaveAtTarget)
  }

  /** Goes on at any linear address. */
  #followTarget(next: Label, leave: Label): void {
    const f = this.#f
    const l = this.#l
    const entry = f.let(l.tlb.get.add(l.target.get.shrU(8).toI32().and(TLB_INDEX_MASK)))
    const page = f.let(l.target.get.and(-4096n))
    f.if(f.loadExpression('i64.load', entry, TLB_EXECUTE).eq(page), () => {
      f.set(l.slots, f.loadExpression('i32.load', entry, TLB_EXECUTE + 8))
      f.set(l.pageBase, page)
      f.store('i64.store', this.#state, page, S_PAGE_BASE)
      const record = f.load('i32.load', l.slots.get.add(l.target.get.toI32().and(0xfff).shl(2)))
      f.if(record, () => {
        f.set(l.record, record)
        f.br(next)
      })
    })
    f.set(l.record, f.call(this.#imports.fetch, l.target.get.toI32(), l.target.get.shrU(32).toI32()))
    f.set(l.pageBase, f.loadExpression('i64.load', this.#state, S_PAGE_BASE))
    f.set(l.slots, f.loadExpression('i32.load', this.#state, S_SLOTS))
    f.brIf(l.record.get, next)
    // `fetch` left a page base, and an entry record, that give the target back as RIP.
    f.set(l.record, this.#state.add(S_ENTRY))
    f.set(l.status, f.loadExpression('i32.load', this.#state, S_FETCH_STATUS))
    f.br(leave)
  }
}
