import { TWO_32 } from '@retrap/basics'
import type { MachineMemory } from '@retrap/memory'

// The words of a mailbox. One call at a time is under way: the vCPU's thread writes the call's words, then CALL; the domain's
// thread writes the answer, then CALL.
const CALL = 0
const OPERATION = 1
const ARGUMENTS = 2
const STATUS = 16
const RESULTS = 17
const KICKS = 24
/** Changes with every answer and every kick: a waiting thread sleeps on this word. */
const RING = 27
/** Words of the vCPU's state by which its processor is interrupted, as numbers of words, and their new values. */
const EVENTS_AT = 28
const STOP = 29
const ATTENTION_AT = 30
const ASKED = 31
/** Instructions retired: a double. */
const RETIRED = 32
/** The processor's SMI, in the word of EVENTS_AT. */
const SMI = 34
const WORDS = 48

/** How a processor is interrupted: machine addresses of two words of its state, and their new values. */
export interface StopWords {
  /** Takes `stop` beside what it has. */
  readonly events: number
  readonly stop: number
  /** Becomes `asked` afterwards. */
  readonly attention: number
  readonly asked: number
  /** Bit of `events`: an SMI is pending. */
  readonly smi: number
}

/** Bytes of a {@link Mailbox} in machine memory. */
export const MAILBOX_BYTES: number = 4 * WORDS

/** States of a call. */
const NONE = 0
const MADE = 1
const ANSWERED = 2

/** Reasons to kick the thread of a vCPU: the local APIC has an event, or the vCPU is to park, between two instructions. */
export const KICK_EVENT = 1
export const KICK_PARK = 2

/** Rounds of a look at an answer before its thread sleeps: about a microsecond. */
const SPINS = 100

/** Host time that a thread sleeps at most, in milliseconds: a lost wake-up costs no more. */
const LONGEST_SLEEP_MS = 1000

/**
 * Connects the thread of a vCPU with its domain's: calls of the one, and kicks by the other. The words are in machine memory, and
 * each side has a view.
 */
export class Mailbox {
  readonly #i32: Int32Array
  readonly #f64: Float64Array
  /** Words of the answer to a call. */
  readonly results: Uint32Array
  /** All of machine memory. */
  readonly #memory: Int32Array
  /** Word that all mailboxes of a domain ring the domain's thread by. */
  readonly #bell: number
  /** Told where an instruction waits for an answer: others need not wait for the thread meanwhile. */
  onWait: { leave(): void; enter(): void } | null = null

  /**
   * @param ma - machine address of {@link MAILBOX_BYTES}, a multiple of 8
   * @param bell - machine address of the domain's bell: a word
   */
  constructor(memory: MachineMemory, ma: number, bell: number) {
    this.#memory = memory.i32
    this.#i32 = memory.i32.subarray(ma >>> 2, (ma >>> 2) + WORDS)
    this.#f64 = new Float64Array(memory.buffer, ma + 4 * RETIRED, 1)
    this.#bell = bell >>> 2
    this.results = new Uint32Array(memory.buffer, ma + 4 * RESULTS, 4)
  }

  /** Instructions retired, as far as the vCPU's thread has told. */
  get retired(): number {
    return this.#f64[0]!
  }
  set retired(instructions: number) {
    this.#f64[0] = instructions
  }

  // ---------------------------------------------------------------- the vCPU's thread

  /** The thread runs the vCPU from now on. @param words - how its processor is interrupted */
  resume({ events, stop, attention, asked, smi }: StopWords): void {
    const i32 = this.#i32
    i32[SMI] = smi
    i32[STOP] = stop
    i32[ATTENTION_AT] = attention >>> 2
    i32[ASKED] = asked
    Atomics.store(i32, EVENTS_AT, events >>> 2)
  }

  /** The thread parks: a kick rings the bell of the domain's thread. */
  park(): void {
    Atomics.store(this.#i32, EVENTS_AT, 0)
  }

  /**
   * Makes a call, and waits for the answer.
   *
   * @param operation - of `operations.ts`
   * @param address - the first argument: up to 2^53, of which the second word is argument 1; the others follow as arguments 2 to 6
   * @returns the status of the answer
   */
  call(operation: number, address = 0, a = 0, b = 0, c = 0, d = 0, e = 0): number {
    const i32 = this.#i32
    i32[OPERATION] = operation
    i32[ARGUMENTS] = address
    i32[ARGUMENTS + 1] = Math.floor(address / TWO_32)
    i32[ARGUMENTS + 2] = a
    i32[ARGUMENTS + 3] = b
    i32[ARGUMENTS + 4] = c
    i32[ARGUMENTS + 5] = d
    i32[ARGUMENTS + 6] = e
    Atomics.store(i32, CALL, MADE)
    this.wait(this.#isAnswered, Infinity)
    this.endCall()
    return i32[STATUS]!
  }

  readonly #isAnswered = (): boolean => Atomics.load(this.#i32, CALL) === ANSWERED

  /**
   * Rings the bell of the domain's thread, and waits for what that thread is to do.
   *
   * @param most - milliseconds of host time
   * @returns whether it is done
   */
  wait(isDone: () => boolean, most: number): boolean {
    this.#ringBell()
    for (let i = 0; i < SPINS; i++) if (isDone()) return true
    this.onWait?.leave()
    const until = performance.now() + most
    for (;;) {
      const seen = this.ring
      const left = until - performance.now()
      const isOver = isDone()
      if (isOver || left <= 0) {
        this.onWait?.enter()
        return isOver
      }
      this.sleep(seen, left)
    }
  }

  #ringBell(): void {
    Atomics.add(this.#memory, this.#bell, 1)
    Atomics.notify(this.#memory, this.#bell)
  }

  /** The call is over: its answer has been taken. */
  endCall(): void {
    Atomics.store(this.#i32, CALL, NONE)
  }

  /** Argument for {@link Mailbox.sleep}, to be read before the condition that the thread waits for. */
  get ring(): number {
    return Atomics.load(this.#i32, RING)
  }

  /** Sleeps until there is a kick or an answer. @param seen - {@link Mailbox.ring} */
  sleep(seen: number, ms: number = LONGEST_SLEEP_MS): void {
    Atomics.wait(this.#i32, RING, seen, Math.min(ms, LONGEST_SLEEP_MS))
  }

  /** Takes the pending kicks: a set of `KICK_*`. */
  takeKicks(): number {
    return Atomics.exchange(this.#i32, KICKS, 0)
  }

  // ---------------------------------------------------------------- the domain's thread

  /** The operation that is called for; −1: none. */
  get operation(): number {
    return Atomics.load(this.#i32, CALL) === MADE ? this.#i32[OPERATION]! : -1
  }

  /** An argument of the call, unsigned. */
  argument(index: number): number {
    return this.#i32[ARGUMENTS + index]! >>> 0
  }

  /** The first argument, of up to 2^53. */
  get address(): number {
    return this.argument(0) + this.argument(1) * TWO_32
  }

  /** Answers the call. */
  answer(status: number): void {
    this.#i32[STATUS] = status
    Atomics.store(this.#i32, CALL, ANSWERED)
    this.wake()
  }

  // ---------------------------------------------------------------- any thread

  /** Interrupts the vCPU. @param reasons - a set of `KICK_*` */
  kick(reasons: number): void {
    Atomics.or(this.#i32, KICKS, reasons)
    this.#interrupt(this.#i32[STOP]!)
  }

  /** Raises SMI of the processor, if it is in its thread: an SMI by an instruction comes right after that instruction. */
  raiseSmi(): void {
    this.#interrupt(this.#i32[SMI]!)
  }

  #interrupt(by: number): void {
    // First the event, then the attention, by which the vCPU looks for events.
    const i32 = this.#i32
    const events = Atomics.load(i32, EVENTS_AT)
    if (events !== 0) {
      Atomics.or(this.#memory, events, by)
      Atomics.store(this.#memory, i32[ATTENTION_AT]!, i32[ASKED]!)
    }
    // The vCPU is on the domain's thread.
    else this.#ringBell()
    this.wake()
  }

  /** Wakes the thread of the vCPU, which has an answer or a kick. */
  wake(): void {
    Atomics.add(this.#i32, RING, 1)
    Atomics.notify(this.#i32, RING)
  }
}
