import { PAGE_BYTES, PAGE_SHIFT } from '@retrap/memory'
import type { StateLayout } from './loop-state.ts'
import { STATUS_CONTINUE } from './status.ts'

const OFFSET = PAGE_BYTES - 1

/** Cost of the delivery of an event, in instructions, which take about as long. */
const EVENT_COST = 64

/** Instructions that the interpreter executes in one call. The first calls are short, so that V8 gets to replace baseline code. */
const FIRST_SLICE = 20_000
const SLICE = 100_000
const SHORT_SLICES = 200

/**
 * The work of a processor so far, and the end of its current turn.
 *
 * Both are functions of architectural events alone, so that every way of executing a program agrees: freely, in slices of
 * any length, and one instruction at a time. A turn ends once its cost is used up, after the next backward branch, branch
 * to another page, or event; not after a forward branch within a page, which generated code follows without a check.
 */
export class Turn {
  readonly #i32: Int32Array
  /** Indices of the state's fields. */
  readonly #counter: number
  readonly #base: number
  readonly #mask: number
  readonly #budget: number
  readonly #iterations: number
  /** {@link Turn.cost} at which the turn is used up. */
  #end = 0
  /** The part of {@link Turn.cost} that is not instructions. */
  #extra = 0
  #slices = 0
  /** The budget of the present slice; 0: none. */
  #slice = 0
  /** Linear address of an instruction that is executed alone; both words signed. */
  #fromLo = 0
  #fromHi = 0
  /** Instructions retired since the processor was made. */
  retired = 0
  /** The turn may end before the next instruction. */
  mayEnd = true
  /** The part of the turn that is behind the budget of the present run. */
  later = 0

  /**
   * Makes one processor's account.
   *
   * @param i32 - the state area
   */
  constructor(i32: Int32Array, layout: StateLayout) {
    this.#i32 = i32
    this.#counter = layout.programCounter >>> 2
    this.#base = (layout.programCounterBase ?? -4) >> 2
    this.#mask = (layout.programCounterMask ?? -4) >> 2
    this.#budget = layout.budget >>> 2
    this.#iterations = layout.iterations >>> 2
  }

  /** Cost of all execution so far, in instructions: an iteration of a repeated one costs 1 or its processor's own figure, an event 64. */
  get cost(): number {
    return this.retired + this.#extra
  }

  /** Whether the interpreter executes a slice, or a host call within it is served. */
  get isInSlice(): boolean {
    return this.#slice > 0
  }

  /** Like {@link Turn.retired}, during a call out of the interpreter, without the calling instruction. */
  get retiredSoFar(): number {
    if (this.#slice === 0) return this.retired
    const i32 = this.#i32
    // The instruction that calls has been taken off the budget.
    return this.retired + this.#slice - (i32[this.#budget]! + 1) - i32[this.#iterations]!
  }

  /** The rest of the turn; zero or less after its end. */
  get remaining(): number {
    return this.#end - this.cost
  }

  /** Begins a turn. */
  begin(budget: number): void {
    this.#end = this.cost + budget
  }

  /** Charges the delivery of an event. */
  addEvent(): void {
    this.#extra += EVENT_COST
  }

  /** Gives the interpreter a budget of instructions and iterations. */
  allow(budget: number): void {
    const i32 = this.#i32
    i32[this.#budget] = budget
    i32[this.#iterations] = 0
    this.#slice = 0
  }

  /**
   * Gives the interpreter the next slice of the turn.
   *
   * @param most - the slice is no longer than this; default as the turn is
   * @returns the slice's budget, for {@link Turn.settle}
   */
  allowSlice(most: number = SLICE): number {
    const slice = Math.min(this.remaining, most, this.#slices < SHORT_SLICES ? FIRST_SLICE : SLICE)
    this.#slices++
    this.allow(slice)
    this.#slice = slice
    return slice
  }

  /** Accounts for the interpreter's execution of a budget. */
  settle(budget: number): void {
    const i32 = this.#i32
    const iterations = i32[this.#iterations]!
    this.retired += budget - i32[this.#budget]! - iterations
    this.#extra += iterations
    this.#slice = 0
  }

  /** Notes the address of an instruction that is executed alone, for {@link Turn.arrive}. */
  depart(): void {
    this.#fromLo = this.#linearLo()
    this.#fromHi = this.#linearHi()
  }

  /** Notes the linear address of an instruction, for {@link Turn.arrive}. */
  departFrom(lo: number, hi: number): void {
    this.#fromLo = lo | 0
    this.#fromHi = hi | 0
  }

  /**
   * Decides whether the turn may end after an instruction that ended with a status. It may not where the instruction leads
   * further on in the same page: generated code makes no check at such a branch.
   */
  arrive(status: number): void {
    const lo = this.#linearLo()
    const samePage = (lo ^ this.#fromLo) >>> PAGE_SHIFT === 0 && this.#linearHi() === this.#fromHi
    this.mayEnd = status === STATUS_CONTINUE || !samePage || (lo & OFFSET) <= (this.#fromLo & OFFSET)
  }

  /** Low word of the program counter's linear address; signed, which V8 keeps without an object. */
  #linearLo(): number {
    const counter = this.#i32[this.#counter]!
    return this.#base < 0 ? counter : (counter + this.#i32[this.#base]!) | 0
  }

  /** High word. Where the program counter has a base it has either 32 bits, or 64 and a base of zero. */
  #linearHi(): number {
    const counter = this.#i32[this.#counter + 1]!
    return this.#mask < 0 ? counter : counter & this.#i32[this.#mask + 1]!
  }
}

/**
 * Instructions before a sample that are executed one by one. Generated code stops at backward branches and page changes
 * alone: without these steps, straight code between two of them would never be seen. The end of longer
 * straight code is sampled less often than it is executed.
 */
const SAMPLE_APPROACH = 128

/** Takes samples: calls back when a turn has cost this much, with the processor between two instructions. */
export class Sampling {
  readonly #turn: Turn
  /** Null: no sample is asked for. */
  #sample: (() => void) | null = null
  /** The {@link Turn.cost} at which the callback is due. */
  #at = 0

  constructor(turn: Turn) {
    this.#turn = turn
  }

  /** Whether a sample is asked for. */
  get asked(): boolean {
    return this.#sample !== null
  }

  /** Calls `sample` once when the cost has grown; by profilers. */
  after(cost: number, sample: () => void): void {
    this.#at = this.#turn.cost + cost
    this.#sample = sample
  }

  /** Takes a due sample. @returns whether instructions are executed one by one on the way to the sample */
  nears(): boolean {
    const left = this.#at - this.#turn.cost
    if (left > 0) return left <= SAMPLE_APPROACH
    const sample = this.#sample
    this.#sample = null
    sample?.()
    return false
  }

  /** Number of instructions to execute freely before single steps begin. */
  get slice(): number {
    return Math.max(1, this.#at - this.#turn.cost - SAMPLE_APPROACH)
  }
}
