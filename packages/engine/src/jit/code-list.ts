import { NONE } from './computed-targets.ts'
import { type Flow, isStraight } from './region.ts'

/** Instructions of a region at most: V8 optimises larger functions late. */
export const MOST_INSTRUCTIONS = 200
/** {@link CodeList.target} of an instruction without one: positions are far smaller. */
export const NO_TARGET = -0x8000_0000
/** Entries of the table of positions: a power of two, several times the number of instructions. */
const POSITIONS = 1024
/** Calls of a region that a return is assumed to come from, whether it has been seen to or not. */
const MOST_RETURNS = 6

/** The lists of a {@link CodeList}, as long as it has instructions. */
export interface CodeLists<Form> {
  readonly at: Int32Array
  readonly next: Int32Array
  readonly target: Int32Array
  readonly page: Uint8Array
  readonly flow: readonly Flow[]
  readonly form: readonly (Form | undefined)[]
  readonly computed: readonly (readonly number[])[]
}

/**
 * Instructions that belong to a place, by number, the place's own first. Positions are in bytes from the beginning of the page
 * that the place is in.
 */
export class CodeList<Form> {
  count = 0
  /** Position of the first byte of each. */
  readonly at: Int32Array = new Int32Array(MOST_INSTRUCTIONS)
  /** Position of the next instruction. */
  readonly next: Int32Array = new Int32Array(MOST_INSTRUCTIONS)
  /** Position that it jumps to, if that is known; else {@link NO_TARGET}. */
  readonly target: Int32Array = new Int32Array(MOST_INSTRUCTIONS)
  /** Number of the page with the instruction's first byte. */
  readonly page: Uint8Array = new Uint8Array(MOST_INSTRUCTIONS)
  /** How each instruction passes control. */
  readonly flow: Flow[] = []
  /** The form that generated code executes; undefined where the interpreter or the host executes the instruction. */
  readonly form: (Form | undefined)[] = []
  /** Positions of computed branches' targets. */
  readonly computed: (readonly number[])[] = []
  /** Hash table from positions to numbers of instructions, plus one; 0: empty. */
  readonly #numbers = new Uint16Array(POSITIONS)

  /** Forgets all instructions. */
  clear(): void {
    this.count = 0
    this.#numbers.fill(0)
  }

  #entry(at: number): number {
    const numbers = this.#numbers
    let i = (Math.imul(at, 0x9e37_79b1) >>> 22) & (POSITIONS - 1)
    while (numbers[i] !== 0 && this.at[numbers[i]! - 1] !== at) i = (i + 1) & (POSITIONS - 1)
    return i
  }

  /** Returns the number of the instruction at a position; -1: none. */
  numberAt(at: number): number {
    return this.#numbers[this.#entry(at)]! - 1
  }

  /** The instruction of the next number is at a position. */
  enter(at: number): void {
    this.#numbers[this.#entry(at)] = this.count + 1
    this.at[this.count++] = at
  }

  /** Has the instructions of other lists. */
  copy({ at, next, target, page, flow, form, computed }: CodeLists<Form>): void {
    this.clear()
    for (const position of at) this.enter(position)
    this.next.set(next)
    this.target.set(target)
    this.page.set(page)
    Object.assign(this.flow, flow)
    Object.assign(this.form, form)
    Object.assign(this.computed, computed)
  }

  /** Returns the numbers of instructions in the order of their positions. */
  inOrder(): Uint8Array {
    const { at, count } = this
    // Positions have 26 bits: a double has room for the number beside one.
    const keys = new Float64Array(count)
    for (let i = 0; i < count; i++) keys[i] = at[i]! * 256 + i
    keys.sort()
    const order = new Uint8Array(count)
    for (let n = 0; n < count; n++) order[n] = keys[n]! & 255
    return order
  }

  /** Calls a function with the numbers of instructions that blocks begin with, the place's own first; some come several times. */
  eachStart(start: (number: number) => void): void {
    start(0)
    const known = (at: number): void => {
      const number = at === NO_TARGET ? -1 : this.numberAt(at)
      if (number >= 0) start(number)
    }
    for (let i = 0; i < this.count; i++) {
      const flow = this.flow[i]!
      if (isStraight(flow)) continue
      for (const at of this.computed[i]!) known(at)
      known(this.target[i]!)
      if (flow === 'branch' || flow === 'call') known(this.next[i]!)
    }
  }

  /** Returns return addresses of calls with targets in the region, as far as they are in the region, too; limited in number. */
  returnSites(): number[] {
    const sites: number[] = []
    for (let i = 0; i < this.count && sites.length < MOST_RETURNS; i++) {
      if (this.flow[i] !== 'call' || this.target[i] === NO_TARGET) continue
      const next = this.numberAt(this.next[i]!)
      if (next >= 0 && this.numberAt(this.target[i]!) >= 0) sites.push(next)
    }
    return sites
  }

  /** Returns the instructions that a computed address is compared with. @param returnSites - see {@link CodeList.returnSites} */
  comparedTargets(i: number, returnSites: readonly number[]): readonly number[] {
    const flow = this.flow[i]!
    if (flow !== 'return' && flow !== 'indirect') return NONE
    const all = new Set<number>()
    for (const at of this.computed[i]!) {
      const number = this.numberAt(at)
      if (number >= 0) all.add(number)
    }
    if (flow === 'return') for (const number of returnSites) all.add(number)
    return all.size === 0 ? NONE : [...all]
  }
}
