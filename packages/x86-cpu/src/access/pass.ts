import { AccessKind, type AccessLog, accessTag } from '@retrap/replay'
import { FLAG_RF, S_ANSWERED, S_EFLAGS, S_LOGGED, S_SHADOW } from '../state/state-layout.ts'
import { S_PENDING_DEBUG } from '../state/system-state.ts'

/** Nothing is in the middle: the processor is between two instructions, or runs them freely. */
export const PASS_NONE = 0
/** An instruction that has met a device is executed in logged passes, from its pinned record. */
export const PASS_INSTRUCTION = 1
/** An event's delivery is executed in logged passes. */
export const PASS_EVENT = 2
/** The same as PASS_INSTRUCTION for an instruction whose bytes a device holds: each pass fetches it. */
export const PASS_FETCHED = 3
/** An instruction waits in place at its only device access. */
export const PASS_IN_PLACE = 4

/** Tag of the only access of an instruction. */
const ONLY_ACCESS = accessTag(0)

/** S_LOGGED outside a logged pass; in one; and while one instruction is executed alone. */
const FREE = 0
const LOGGED = 1
const ALONE = 2

/**
 * Where the current instruction or event delivery stands: which pass is made next, the access that it waits for, and what
 * the processor was like before it began.
 */
export class Pass {
  readonly log: AccessLog
  readonly #u32: Uint32Array
  /** One of the `PASS_*`: only the pass changes it. */
  state: number = PASS_NONE
  /** The access that an instruction waits for in place is a read: only the pass changes it. */
  waitsForData = false
  #debugBefore = 0
  #resumeBefore = 0
  #shadowBefore = 0
  /** Instructions that had retired when S_SHADOW was last taken away. */
  #retiredBefore = 0
  readonly #counts: { loggedPasses: number }

  /**
   * @param u32 - the state area
   * @param counts - `loggedPasses` counts the instructions that have waited or needed logged passes
   */
  constructor(u32: Uint32Array, log: AccessLog, counts: { loggedPasses: number }) {
    this.#u32 = u32
    this.log = log
    this.#counts = counts
  }

  // ---------------------------------------------------------------- before an instruction

  /** Remembers what an instruction or a delivery that is cancelled leaves as it was: pending debug conditions, and RF. */
  begin(): void {
    this.#debugBefore = this.#u32[S_PENDING_DEBUG >>> 2]!
    this.#resumeBefore = this.#u32[S_EFLAGS >>> 2]! & FLAG_RF
  }

  /** Ends the shadow of STI or MOV SS: the instruction that it protects is next. */
  leaveShadow(retired: number): void {
    this.#shadowBefore = this.#u32[S_SHADOW >>> 2]!
    this.#retiredBefore = retired
    this.#u32[S_SHADOW >>> 2] = 0
  }

  /** Puts back the debug conditions that were pending before the current instruction. */
  restoreDebug(): void {
    this.#u32[S_PENDING_DEBUG >>> 2] = this.#debugBefore
  }

  /** Puts the shadow and RF back if nothing has retired since they were taken away. */
  restoreShadow(retired: number): void {
    if (retired !== this.#retiredBefore) return
    this.#u32[S_SHADOW >>> 2] = this.#shadowBefore
    this.#u32[S_EFLAGS >>> 2]! |= this.#resumeBefore
  }

  // ---------------------------------------------------------------- plain passes that wait in place

  /**
   * The only device access of an instruction has been sent, and is all of the first pass: it goes into the log.
   *
   * @param kind - `AccessKind.PORT_READ` … `MMIO_WRITE`
   * @param at - the port, or the low word of the guest-physical address
   * @param atHi - its high word
   * @param lo - and `hi`: data of a write
   */
  sent(kind: number, at: number, atHi: number, size: number, lo: number, hi: number): void {
    this.waitsForData = kind === AccessKind.PORT_READ || kind === AccessKind.MMIO_READ
    this.log.beginWaiting(kind, at >>> 0, atHi, size, ONLY_ACCESS, lo, hi)
  }

  /**
   * Makes the plain pass that has asked a device wait in place: the access is in the log, and its instruction can be completed
   * from the answer alone.
   *
   * @returns false if no device has been asked: the pass waits for memory, and nothing of the instruction has begun
   */
  waitInPlace(): boolean {
    if (this.log.pending < 0) return false
    this.state = PASS_IN_PLACE
    this.restoreDebug()
    this.#counts.loggedPasses++
    return true
  }

  /** The answer is in S_DATA: the next access by generated code finds it. */
  answered(): void {
    // Nothing of the instruction can fail any more.
    this.log.end()
    this.#u32[S_ANSWERED >>> 2] = 1
  }

  // ---------------------------------------------------------------- logged passes

  /** Starts logging an instruction or a delivery: one of the `PASS_*`. */
  startLogging(state: number): void {
    this.state = state
    this.log.begin()
    if (state === PASS_EVENT) this.begin()
    else this.#counts.loggedPasses++
  }

  /** Begins a logged pass; every access from here is recorded or replayed. */
  beginLogged(): void {
    if (this.log.pass > 1 || this.log.pending >= 0) this.log.restart()
    this.restoreDebug()
    this.#u32[S_LOGGED >>> 2] = LOGGED
  }

  /** Ends a logged pass that cannot go on: it is made again. */
  suspend(): void {
    // Without a pending access the pass waits for memory: the next pass is known by its number alone.
    if (this.log.pending < 0) this.log.restart()
    this.#u32[S_LOGGED >>> 2] = FREE
  }

  /** Begins the execution of one instruction alone: in place, after its answer, or single-stepped. */
  beginAlone(logged: boolean): void {
    this.#u32[S_LOGGED >>> 2] = logged ? LOGGED : ALONE
  }

  /** Leaves the execution of one instruction; what is in the middle stays as it is. */
  endAlone(): void {
    this.#u32[S_LOGGED >>> 2] = FREE
  }

  /** The instruction or delivery has ended. */
  finish(): void {
    this.state = PASS_NONE
    this.#u32[S_LOGGED >>> 2] = FREE
  }

  /** Forgets what is in the middle: an answer that arrives later is dropped. */
  cancel(retired: number): void {
    this.log.cancel()
    if (this.state !== PASS_NONE) this.restoreDebug()
    // An instruction that has not begun is still in the shadow.
    if (this.state !== PASS_NONE && this.state !== PASS_EVENT) this.restoreShadow(retired)
    this.#u32[S_ANSWERED >>> 2] = 0
    this.finish()
  }
}
