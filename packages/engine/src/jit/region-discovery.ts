import { PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import type { CodeCache } from '../code-cache.ts'
import type { CodePage } from '../code-page.ts'
import type { InterpreterCode } from '../interpreter.ts'
import * as R from '../record.ts'
import { CodeList, MOST_INSTRUCTIONS, NO_TARGET } from './code-list.ts'
import { type ComputedTargets, NONE } from './computed-targets.ts'
import type { CompiledInstructionSet, InstructionFlow } from './instruction-set.ts'
import { fallsThrough, type RegionPage } from './region.ts'
import type { CodeInstructions } from './unit-code.ts'

/** Code pages of a region at most, below 16: exits of a unit have four bits for a page's number. */
const MOST_PAGES = 8
const LEAVES: InstructionFlow = { flow: 'leave' }
const HOSTS: InstructionFlow = { flow: 'host' }

/** A page that instructions were found in. */
export interface FoundPage extends RegionPage {
  readonly page: CodePage
}

/** The instructions that were found at a place, the place's own first: they are in lists that the next search writes anew. */
export class FoundCode<Form> extends CodeList<Form> {
  /** Machine address of each instruction's record. */
  readonly record: Uint32Array = new Uint32Array(MOST_INSTRUCTIONS)
  /** Slot table of the second page of an instruction in two pages, or 0. */
  readonly crosses: Uint32Array = new Uint32Array(MOST_INSTRUCTIONS)
  /** The pages that were found, the place's own first. */
  readonly pages: FoundPage[] = []

  /** Forgets all instructions. */
  override clear(): void {
    super.clear()
    this.pages.length = 0
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
  readonly #pages: (FoundPage | undefined)[] = []
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

  #page(at: number, source: RegionSource): FoundPage | undefined {
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
    // A position is an i32: farther targets are unknown.
    const to = target === undefined ? NO_TARGET : page.delta + target
    found.target[i] = to === (to | 0) ? to : NO_TARGET
    found.computed[i] = this.#computedTargets(i, record, page)
    return true
  }

  /** Returns positions that a branch to a computed address has often led to. */
  #computedTargets(i: number, record: number, { delta }: FoundPage): readonly number[] {
    const flow = this.#found.flow[i]!
    if (flow !== 'return' && flow !== 'indirect') return NONE
    const offsets = this.#targets.of(record)
    return offsets.length === 0 ? NONE : offsets.map((offset) => delta + offset)
  }
}
