import { PAGE_BYTES } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import type { CodeCache } from '../code-cache.ts'
import type { CodePage } from '../code-page.ts'
import type { InterpreterCode } from '../interpreter.ts'
import * as R from '../record.ts'
import { type ComputedTargets, NONE } from './computed-targets.ts'
import type { CompiledInstructionSet, InstructionFlow } from './instruction-set.ts'
import { fallsThrough, type Flow, isStraight, type RegionPage } from './region.ts'
import type { CodeInstructions } from './unit-code.ts'

/** Instructions of a region at most: V8 optimises larger functions late. */
const MOST_INSTRUCTIONS = 200
/** {@link FoundCode.target} of an instruction without one: positions are far smaller. */
export const NO_TARGET = -0x8000_0000
/** Entries of the table of positions: a power of two, several times the number of instructions. */
const POSITIONS = 1024

/** Calls of a region that a return is assumed to come from, whether it has been seen to or not. */
const MOST_RETURNS = 6
/** Code pages of a region at most, below 16: exits of a unit have four bits for a page's number. */
const MOST_PAGES = 8
const LEAVES: InstructionFlow = { flow: 'leave' }
const HOSTS: InstructionFlow = { flow: 'host' }

/**
 * Instructions that belong to a place, by number, the place's own first: they are in lists that the next search writes anew.
 * Positions are in bytes from the beginning of the page that the place is in.
 */
export class FoundCode<Form> {
  count = 0
  /** Position of the first byte of each. */
  readonly at: Int32Array = new Int32Array(MOST_INSTRUCTIONS)
  /** Position of the next instruction. */
  readonly next: Int32Array = new Int32Array(MOST_INSTRUCTIONS)
  /** Position that it jumps to, if that is known; else {@link NO_TARGET}. */
  readonly target: Int32Array = new Int32Array(MOST_INSTRUCTIONS)
  /** Machine address of each instruction's record. */
  readonly record: Uint32Array = new Uint32Array(MOST_INSTRUCTIONS)
  /** Slot table of the second page of an instruction in two pages, or 0. */
  readonly crosses: Uint32Array = new Uint32Array(MOST_INSTRUCTIONS)
  /** Number of the page with the instruction's first byte. */
  readonly page: Uint8Array = new Uint8Array(MOST_INSTRUCTIONS)
  /** How each instruction passes control. */
  readonly flow: Flow[] = []
  /** The form that generated code executes; undefined where the interpreter or the host executes the instruction. */
  readonly form: (Form | undefined)[] = []
  /** Positions of computed branches' targets. */
  readonly computed: (readonly number[])[] = []
  /** The pages that were found, the place's own first. */
  readonly pages: RegionPage[] = []
  /** Hash table from positions to numbers of instructions, plus one; 0: empty. */
  readonly #numbers = new Uint16Array(POSITIONS)

  /** Forgets all instructions. */
  clear(): void {
    this.count = 0
    this.pages.length = 0
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

  /** Returns the instructions that a computed address is compared with. @param returnSites - see {@link FoundCode.returnSites} */
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

  /**
   * Copies the bytes of instructions that are to be compiled. Compiled code is described by the copy alone: other threads may write
   * the bytes in memory, and of that a notice comes later, if it comes before the code is kept.
   *
   * @returns undefined if the bytes have changed since they were decoded
   */
  copyInstructions({ u8 }: MachineMemory, cache: CodeCache): CodeInstructions | undefined {
    const { at, next, page, pages, count } = this
    let size = 0
    for (let i = 0; i < count; i++) size += next[i]! - at[i]!
    const instructions = { at: new Int32Array(count), from: new Uint32Array(count + 1), bytes: new Uint8Array(size) }
    const order = this.inOrder()
    let to = 0
    for (let n = 0; n < count; n++) {
      const i = order[n]!
      instructions.at[n] = at[i]!
      const own = pages[page[i]!]!
      for (let position = at[i]!; position < next[i]!; position++) {
        const offset = position & (PAGE_BYTES - 1)
        const { frame } = (
          position - offset === own.delta ? own : pages.find(({ delta }) => delta === position - offset)!
        ).page
        instructions.bytes[to++] = u8[frame * PAGE_BYTES + offset]!
      }
      instructions.from[n + 1] = to
      // Skip instructions that the interpreter executes.
      if (this.flow[i] === 'leave') continue
      const bytes = instructions.bytes.subarray(instructions.from[n], to)
      if (!cache.isDecodedFrom(this.record[i]!, bytes, own.page.mode, this.target[i] !== NO_TARGET)) return undefined
    }
    return instructions
  }
}

/** The place that a region is found from. */
export interface RegionSource {
  /** Mode of the code. */
  readonly mode: number
  /** Machine address of the state whose fields may be assumed. */
  readonly state: number
  /** Returns the code page that is executed at a distance from the entry's page, if it is known. */
  pageAt(delta: number): CodePage | undefined
  /** Returns whether the unit of a record is not made part of another unit. */
  isApart(record: number): boolean
}

/** Follows control flow through decoded instructions, from a place. */
export class RegionDiscovery<Form> {
  readonly #memory: MachineMemory
  readonly #code: InterpreterCode<Form>
  readonly #instructionSet: CompiledInstructionSet<Form>
  readonly #targets: ComputedTargets
  readonly #found = new FoundCode<Form>()
  /** Distances of looked-up pages, with the result for each. */
  readonly #deltas: number[] = []
  readonly #pages: (RegionPage | undefined)[] = []
  /** Positions that control goes to, whose instructions are to be found. */
  readonly #work: number[] = []

  /**
   * @param code - the interpreter that executes the records
   * @param targets - frequent targets of computed branches
   */
  constructor(
    memory: MachineMemory,
    code: InterpreterCode<Form>,
    instructionSet: CompiledInstructionSet<Form>,
    targets: ComputedTargets,
  ) {
    this.#memory = memory
    this.#code = code
    this.#instructionSet = instructionSet
    this.#targets = targets
  }

  #page(at: number, source: RegionSource): RegionPage | undefined {
    const delta = at - (at & (PAGE_BYTES - 1))
    const known = this.#deltas.indexOf(delta)
    if (known >= 0) return this.#pages[known]
    if (this.#deltas.length >= MOST_PAGES) return undefined
    const page = source.pageAt(delta)
    const found = page === undefined ? undefined : { delta, page }
    this.#deltas.push(delta)
    this.#pages.push(found)
    if (found !== undefined) this.#found.pages.push(found)
    return found
  }

  /**
   * Follows control from an instruction, nearest first.
   *
   * @param entry - offset of the entry in its page
   * @returns the instructions, until the next search; undefined where the interpreter executes the first
   */
  run(entry: number, source: RegionSource): FoundCode<Form> | undefined {
    const found = this.#found
    const work = this.#work
    found.clear()
    this.#deltas.length = 0
    this.#pages.length = 0
    work.length = 0
    work.push(entry)
    for (let i = 0; i < work.length; i++) {
      for (let at = work[i]!; ;) {
        if (found.count >= MOST_INSTRUCTIONS || found.numberAt(at) >= 0 || !this.#add(at, source)) break
        const number = found.count - 1
        const flow = found.flow[number]!
        if (found.target[number] !== NO_TARGET) work.push(found.target[number]!)
        for (const target of found.computed[number]!) work.push(target)
        if (flow === 'call') work.push(found.next[number]!)
        if (!fallsThrough(flow)) break
        at = found.next[number]!
      }
    }
    return found.count === 0 || found.flow[0] === 'leave' ? undefined : found
  }

  /** Adds the instruction at a position. @returns false if it cannot be added */
  #add(at: number, source: RegionSource): boolean {
    const found = this.#found
    const { u8, u16, u32 } = this.#memory
    const page = this.#page(at, source)
    if (page === undefined) return false
    let record = u32[(page.page.slots >>> 2) + (at & (PAGE_BYTES - 1))]!
    if (record === 0) return false
    if (u16[(record + R.R_OP) >>> 1] === R.OP_UNIT) {
      if (found.count > 0 && source.isApart(record)) return false
      record = u32[(record + R.R_LINK) >>> 2]!
    }
    let crosses = 0
    if (u16[(record + R.R_OP) >>> 1] === R.OP_CROSS) {
      crosses = u32[(record + R.R_LINK) >>> 2]!
      // The page has to be among the region's, so that its changes end the region.
      if (this.#page(page.delta + PAGE_BYTES, source)?.page.slots !== crosses) return false
      record += R.RECORD_BYTES
    }
    const op = u16[(record + R.R_OP) >>> 1]! & ~R.OP_HEAD
    if ((op & (R.OP_DEAD | R.OP_COLD)) !== 0 || op === R.OP_CONTINUE || op === R.OP_NEXT || op === R.OP_LEAVE)
      return false
    const fn = u16[(record + R.R_FUNCTION) >>> 1]!
    const form = op === R.OP_SYSTEM ? undefined : this.#code.formOf(op, fn)
    const next = at + u8[record + R.R_LENGTH]!
    const isHosts = op === R.OP_SYSTEM && this.#instructionSet.isHostCalled(fn, record)
    const { mode, state } = source
    const { flow, target }: InstructionFlow =
      form === undefined
        ? isHosts
          ? HOSTS
          : LEAVES
        : this.#instructionSet.flowOf({ form, record, next: next - page.delta, mode, state })
    const i = found.count
    found.enter(at)
    found.next[i] = next
    found.record[i] = record
    found.crosses[i] = crosses
    found.page[i] = found.pages.indexOf(page)
    found.flow[i] = flow
    found.form[i] = flow === 'leave' ? undefined : form
    // Farther targets are not in reach of positions.
    const to = target === undefined ? NO_TARGET : page.delta + target
    found.target[i] = to === (to | 0) ? to : NO_TARGET
    found.computed[i] = this.#computedTargets(i, record, page)
    return true
  }

  /** Returns positions that a branch to a computed address has often led to. */
  #computedTargets(i: number, record: number, { delta }: RegionPage): readonly number[] {
    const flow = this.#found.flow[i]!
    if (flow !== 'return' && flow !== 'indirect') return NONE
    const offsets = this.#targets.of(record)
    return offsets.length === 0 ? NONE : offsets.map((offset) => delta + offset)
  }
}
