import type { Callee, Label, Local } from '@retrap/wasm-emitter'

/** Type of the functions in the module's table: `(state, record, tlb) → status`. */
export const FORM_SIGNATURE: { readonly params: readonly ['i32', 'i32', 'i32']; readonly result: 'i32' } = {
  params: ['i32', 'i32', 'i32'],
  result: 'i32',
}

/** A function that returns an `i32`. */
export type I32Callee = Callee & { readonly signature: { readonly result: 'i32' } }

/** The functions of the host that the dispatch loop calls. */
export interface DispatchImports {
  /** `(host function, record) → status`: executes one instruction. The function may be {@link HOST_OF_FORM} plus a form's. */
  readonly system: I32Callee
  /** `(linear address low, high) → record`, or 0 with the reason in {@link StateLayout.fetchStatus}. */
  readonly fetch: I32Callee
  /** `(record) → 1` if the page-crossing instruction after an `OP_CROSS` record may be executed, else 0. */
  readonly cross: I32Callee
  /**
   * `(record) → record`: what to execute in place of a record that has been reached often. With {@link HOT_MISSED}
   * or {@link HOT_SLOW}, the result counts for nothing.
   */
  readonly hot: I32Callee
}

/** Where the dispatch loop counts, as machine addresses; what is absent is not counted. */
export interface DispatchCounters {
  /** 64-bit counters of executions, one for each case, then one for each table entry. */
  readonly profileAt?: number | undefined
  /** {@link HOT_COUNTER_BYTES}: {@link HOT_COUNTERS} counters of how often branches reach records, for a compiler of hot code. */
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
