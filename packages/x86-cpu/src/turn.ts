import { PAGE_BYTES, PAGE_SHIFT } from '@retrap/memory'
import {
  CS,
  MODE_64,
  SEG_BASE,
  SEG_BYTES,
  STATUS_CONTINUE,
  S_BUDGET,
  S_ITERATIONS,
  S_MODE,
  S_RIP,
  S_SEGMENTS,
} from './state-layout.ts'

const CS_BASE = S_SEGMENTS + SEG_BYTES * CS + SEG_BASE
/** The offset in a page. */
const OFFSET = PAGE_BYTES - 1

/** What the delivery of an event costs, in instructions, which take about as long. */
const EVENT_COST = 64

/**
 * What has been executed, and where the current turn ends: functions of architectural events alone, so that every way of
 * executing a program agrees; see {@link Vcpu.run}.
 */
export class Turn {
  readonly #u32: Uint32Array
  readonly #i32: Int32Array
  /** {@link cost} at which the turn is used up. */
  #end = 0
  /** What is not instructions in {@link cost}. */
  #extra = 0
  /** Linear address of an instruction that is executed alone; both words signed. */
  #fromLo = 0
  #fromHi = 0
  /** Instructions retired since the vCPU was made. */
  retired = 0
  /** A turn may end before the next instruction. */
  mayEnd = true

  /** @param u32 - the state area, and `i32` too */
  constructor(u32: Uint32Array, i32: Int32Array) {
    this.#u32 = u32
    this.#i32 = i32
  }

  /** What has been executed, in instructions; see {@link Vcpu.cost}. */
  get cost(): number {
    return this.retired + this.#extra
  }

  /** What is left of the turn; zero or less where it is used up. */
  get remaining(): number {
    return this.#end - this.cost
  }

  begin(budget: number): void {
    this.#end = this.cost + budget
  }

  /** An event is delivered. */
  addEvent(): void {
    this.#extra += EVENT_COST
  }

  /** Hands generated code a budget of instructions and iterations. */
  allow(budget: number): void {
    this.#u32[S_BUDGET >>> 2] = budget
    this.#u32[S_ITERATIONS >>> 2] = 0
  }

  /** Adds what generated code has executed of the budget that it had. */
  settle(budget: number): void {
    const iterations = this.#u32[S_ITERATIONS >>> 2] as number
    this.retired += budget - (this.#i32[S_BUDGET >>> 2] as number) - iterations
    this.#extra += iterations
  }

  /** An instruction is executed alone from here: {@link arrive} looks at where it leads. */
  depart(): void {
    this.#fromLo = this.#linearLo()
    this.#fromHi = this.#linearHi()
  }

  /** The same for the instruction at a linear address. */
  departFrom(lo: number, hi: number): void {
    this.#fromLo = lo | 0
    this.#fromHi = hi | 0
  }

  /**
   * An instruction has ended with a status. Further on in the same page no turn ends, as generated code has it for
   * branches that are linked.
   */
  arrive(status: number): void {
    const lo = this.#linearLo()
    const samePage = (lo ^ this.#fromLo) >>> PAGE_SHIFT === 0 && this.#linearHi() === this.#fromHi
    this.mayEnd = status === STATUS_CONTINUE || !samePage || (lo & OFFSET) <= (this.#fromLo & OFFSET)
  }

  /** Low word of RIP's linear address; signed, which V8 keeps without an object. */
  #linearLo(): number {
    const u32 = this.#u32
    return u32[S_MODE >>> 2] === MODE_64 ? u32[S_RIP >>> 2]! | 0 : (u32[S_RIP >>> 2]! + u32[CS_BASE >>> 2]!) | 0
  }

  #linearHi(): number {
    return this.#u32[S_MODE >>> 2] === MODE_64 ? this.#u32[(S_RIP >>> 2) + 1]! | 0 : 0
  }
}
