import type { Callee } from '@retrap/wasm-emitter'

/** Type of the functions in the module's table: `(state, record, tlb) → status`. */
export const FORM_SIGNATURE: { readonly params: readonly ['i32', 'i32', 'i32']; readonly result: 'i32' } = {
  params: ['i32', 'i32', 'i32'],
  result: 'i32',
}

/** A function that returns an `i32`. */
export type I32Callee = Callee & { readonly signature: { readonly result: 'i32' } }

// Status of an instruction after its accesses; if an access fails, the status is the access's, `STATUS_*` of
// `@retrap/replay`. Generated code and the host's functions return these. Units have eight bits for a status.

/** The instruction has retired and has set the program counter; mode and privilege level may have changed too. */
export const STATUS_JUMP = 4
/** The instruction has retired, and the interpreter must return to its caller before another one. */
export const STATUS_EXIT = 5
/** A repeated instruction made progress and is not finished: the program counter stays on it. */
export const STATUS_CONTINUE = 6
/** The budget is used up, or attention was requested; the program counter is at the next instruction. */
export const STATUS_LEAVE = 7
/** The next instruction must be executed alone, with checks that generated code does not make. */
export const STATUS_STEP = 8
/** Generated code leaves the instruction to its host function; nothing has changed. */
export const STATUS_HANDLER = 9

/** A unit returns this if the interpreter continues at the record in `StateLayout.record`. */
export const UNIT_RESUME = 0
/** A unit returns this where the instruction of that record has retired, and control goes to `StateLayout.unitTarget`. */
export const UNIT_JUMP = 1
/** Like {@link UNIT_JUMP}, when a computed branch has left the unit often; the branch's record is at {@link LEFT_UNIT_AT}. */
export const UNIT_MISSED = 2
/** Like {@link UNIT_RESUME}, when a page was not in the TLB; the instruction's record is at {@link LEFT_UNIT_AT}. */
export const UNIT_SLOW = 3
/** A unit returns this plus the status where the instruction of that record has failed, or has ended with STATUS_EXIT. */
export const UNIT_FAILED = 16
