import { PAGE_BYTES } from '@retrap/memory'
import type { MachineMemory } from '@retrap/memory'
import type { CodePage } from '../code-page.ts'
import {
  OP_COLD,
  OP_CONTINUE,
  OP_CROSS,
  OP_DEAD,
  OP_LEAVE,
  OP_SYSTEM,
  OP_UNIT,
  RECORD_BYTES,
  R_FUNCTION,
  R_LENGTH,
  R_LINK,
  R_OP,
} from '../record.ts'
import type { InstructionFlow } from './instruction-set.ts'
import { fallsThrough } from './region.ts'
import type { RegionInstruction, RegionPage } from './region.ts'

/** Instructions of a region at most: V8 optimises larger functions late. */
const MOST_INSTRUCTIONS = 200
/** Targets of most instructions: none that is computed. */
const NONE: readonly number[] = []
/** Code pages of a region at most, below 16: exits of a unit have four bits for a page's number. */
const MOST_PAGES = 8

/** The code that a region is found in. */
export interface RegionSources<Form> {
  readonly memory: MachineMemory
  /** Returns the form that executes records of a case and a table entry. */
  formOf(op: number, fn: number): Form | undefined
  /**
   * Returns how control leaves an instruction.
   *
   * @param next - offset of the next instruction from the beginning of this one's page
   */
  flowOf(form: Form, record: number, next: number): InstructionFlow
  /** Returns whether units call the host function of a record. */
  isHostCalled(fn: number, record: number): boolean
  /** Returns the code page that is executed at a distance from the entry's page, if it is known. */
  pageAt(delta: number): CodePage | undefined
  /** Returns whether the unit of a record is not made part of another unit. */
  isApart(record: number): boolean
  /** Returns where a computed branch has often led to: distances from the beginning of its own page. */
  targetsOf(record: number): readonly number[]
}

/** Follows control flow through decoded instructions, from an entry. */
export class RegionDiscovery<Form> {
  readonly #sources: RegionSources<Form>
  readonly #pages = new Map<number, RegionPage | undefined>()
  /** The instructions that were found, by position. */
  readonly instructions: Map<number, RegionInstruction<Form>> = new Map<number, RegionInstruction<Form>>()

  constructor(sources: RegionSources<Form>) {
    this.#sources = sources
  }

  /** The pages that were found. */
  get pages(): RegionPage[] {
    return [...this.#pages.values()].filter((page) => page !== undefined)
  }

  #page(at: number): RegionPage | undefined {
    const delta = at - (at & (PAGE_BYTES - 1))
    if (this.#pages.has(delta)) return this.#pages.get(delta)
    if (this.#pages.size >= MOST_PAGES) return undefined
    const page = this.#sources.pageAt(delta)
    const known = page === undefined ? undefined : { delta, page }
    this.#pages.set(delta, known)
    return known
  }

  /** Follows control from the entry, nearest first. */
  run(entry: number): void {
    const work = [entry]
    for (let i = 0; i < work.length; i++) {
      for (let next: number | undefined = work[i]; next !== undefined;) {
        if (this.instructions.has(next) || this.instructions.size >= MOST_INSTRUCTIONS) break
        const insn = this.#instruction(next)
        if (insn === undefined) break
        this.instructions.set(next, insn)
        if (insn.target !== undefined) work.push(insn.target)
        for (const target of this.computedTargets(insn)) work.push(target)
        next = fallsThrough(insn.flow) ? insn.next : undefined
        if (insn.flow === 'call') work.push(insn.next)
      }
    }
  }

  /** Returns positions that a branch to a computed address has often led to. */
  computedTargets({ record, page, flow }: RegionInstruction<Form>): readonly number[] {
    if (flow !== 'return' && flow !== 'indirect') return NONE
    const offsets = this.#sources.targetsOf(record)
    return offsets.length === 0 ? NONE : offsets.map((offset) => page.delta + offset)
  }

  #instruction(at: number): RegionInstruction<Form> | undefined {
    const sources = this.#sources
    const { u8, u16, u32 } = sources.memory
    const page = this.#page(at)
    if (page === undefined) return undefined
    let record = u32[(page.page.slots >>> 2) + (at & (PAGE_BYTES - 1))]!
    if (record === 0) return undefined
    if (u16[(record + R_OP) >>> 1] === OP_UNIT) {
      if (this.instructions.size > 0 && sources.isApart(record)) return undefined
      record = u32[(record + R_LINK) >>> 2]!
    }
    let crosses = 0
    if (u16[(record + R_OP) >>> 1] === OP_CROSS) {
      crosses = u32[(record + R_LINK) >>> 2]!
      // The page has to be among the region's, so that its changes end the region.
      if (this.#page(page.delta + PAGE_BYTES)?.page.slots !== crosses) return undefined
      record += RECORD_BYTES
    }
    const op = u16[(record + R_OP) >>> 1]!
    if ((op & (OP_DEAD | OP_COLD)) !== 0 || op === OP_CONTINUE || op === OP_LEAVE) return undefined
    const next = at + u8[record + R_LENGTH]!
    const fn = u16[(record + R_FUNCTION) >>> 1]!
    const form = op === OP_SYSTEM ? undefined : sources.formOf(op, fn)
    const isHosts = op === OP_SYSTEM && sources.isHostCalled(fn, record)
    const { flow, target: offset }: InstructionFlow =
      form === undefined ? { flow: isHosts ? 'host' : 'leave' } : sources.flowOf(form, record, next - page.delta)
    const target = offset === undefined ? undefined : page.delta + offset
    return {
      at,
      record,
      page,
      flow,
      form: flow === 'leave' ? undefined : form,
      next,
      // Farther targets are not in reach of positions.
      target: target !== undefined && target === (target | 0) ? target : undefined,
      crosses,
    }
  }
}
