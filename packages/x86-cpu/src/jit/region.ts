import type { MachineMemory } from '@retrap/memory'
import { OP_CALL_CONTROL, flowGraph } from '@retrap/engine'
import type { CodePage, FlowGraph } from '@retrap/engine'
import type { FormSource } from '../form-context.ts'
import {
  OP_CONTINUE,
  OP_CROSS,
  OP_DEAD,
  OP_LEAVE,
  OP_SYSTEM,
  OP_UNIT,
  RECORD_BYTES,
  R_DISP,
  R_FUNCTION,
  R_IMM,
  R_LENGTH,
  R_OP,
} from '../record.ts'

/** Instructions of a region at most: V8 optimises larger functions late. */
const MOST_INSTRUCTIONS = 200
/** Code pages of a region at most. */
const MOST_PAGES = 8
const PAGE = 0x1000

/** How control leaves an instruction. */
export type Flow =
  /** To the next one. */
  | 'next'
  /** To `target`. */
  | 'jump'
  /** To `target` or to the next one. */
  | 'branch'
  /** To `target`; the next one is where it returns to. */
  | 'call'
  /** To an address that is computed. */
  | 'indirect'
  /** To where a call came from. */
  | 'return'
  /** The interpreter executes it. */
  | 'leave'

/** An instruction of a region. Positions are in bytes from the beginning of the page that the region is entered in. */
export interface RegionInstruction {
  readonly at: number
  readonly record: number
  readonly page: RegionPage
  readonly flow: Flow
  /** What executes it; undefined of those that the interpreter executes. */
  readonly source: FormSource | undefined
  /** Position of the next one. */
  readonly next: number
  /** Position that it jumps to. */
  readonly target: number | undefined
  /** It lies in two pages: the slot table of the second, or 0. */
  readonly crosses: number
}

/** The record that the interpreter begins an instruction with. */
export function firstRecord({ crosses, record }: RegionInstruction): number {
  return crosses === 0 ? record : record - RECORD_BYTES
}

/** A code page of a region. */
export interface RegionPage {
  /** Position of its first byte. */
  readonly delta: number
  readonly page: CodePage
}

/** A straight run of instructions that is entered at its first and left at its last. */
export interface RegionBlock {
  readonly instructions: readonly RegionInstruction[]
  /** The number of the block that follows where the last instruction does not jump, or undefined. */
  readonly next: number | undefined
  /** The number of the block that the last instruction jumps to, or undefined. */
  readonly target: number | undefined
  /** The numbers of blocks that a computed address is compared with. */
  readonly computed: readonly number[]
}

/** Code that is compiled as one function. */
export interface Region {
  readonly blocks: readonly RegionBlock[]
  readonly graph: FlowGraph
  readonly pages: readonly RegionPage[]
  readonly instructionCount: number
}

/** What a region is found with. */
export interface RegionSources {
  readonly memory: MachineMemory
  /** The form of a record that generated code executes. */
  sourceOf(op: number, fn: number): FormSource | undefined
  /** The code page that is executed at a distance from the entry's page, if it is known. */
  pageAt(delta: number): CodePage | undefined
  /** Whether so much code is compiled at a unit's record already that it is not made part of another unit. */
  isLargeUnit(record: number): boolean
  /** Whether the target of a relative branch beyond its page is known: the instruction pointer is the linear address, or differs by what is fixed. */
  isRelativeKnown(source: FormSource): boolean
  /** Where a computed branch has often led to: distances from the beginning of its own page. */
  targetsOf(record: number): readonly number[]
  /** What a branch's target is relative to: its page, or the next instruction. */
  readonly isRelativeToPage: boolean
}

const CONTROL = /^(J[A-Z]+|LOOP|LOOPE|LOOPNE|CALL|RET)$/
class Discovery {
  readonly #sources: RegionSources
  readonly #pages = new Map<number, RegionPage | undefined>()
  readonly instructions = new Map<number, RegionInstruction>()

  constructor(sources: RegionSources) {
    this.#sources = sources
  }

  get pages(): RegionPage[] {
    return [...this.#pages.values()].filter((page) => page !== undefined)
  }

  page(at: number): RegionPage | undefined {
    const delta = at - (at & (PAGE - 1))
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
    for (let at = work.shift(); at !== undefined; at = work.shift()) {
      for (let next: number | undefined = at; next !== undefined;) {
        if (this.instructions.has(next) || this.instructions.size >= MOST_INSTRUCTIONS) break
        const insn = this.#instruction(next)
        if (insn === undefined) break
        this.instructions.set(next, insn)
        if (insn.target !== undefined) work.push(insn.target)
        work.push(...this.computedTargets(insn))
        next = insn.flow === 'next' || insn.flow === 'branch' ? insn.next : undefined
        if (insn.flow === 'call') work.push(insn.next)
      }
    }
  }

  /** Positions that a branch to a computed address has often led to. */
  computedTargets({ record, page, flow }: RegionInstruction): readonly number[] {
    if (flow !== 'return' && flow !== 'indirect') return []
    return this.#sources.targetsOf(record).map((offset) => page.delta + offset)
  }

  #instruction(at: number): RegionInstruction | undefined {
    const { memory } = this.#sources
    const { u8, u16, u32, i32 } = memory
    const page = this.page(at)
    if (page === undefined) return undefined
    let record = u32[(page.page.slots >>> 2) + (at & (PAGE - 1))] as number
    if (record === 0) return undefined
    if (u16[(record + R_OP) >>> 1] === OP_UNIT && this.instructions.size > 0 && this.#sources.isLargeUnit(record)) {
      return undefined
    }
    if (u16[(record + R_OP) >>> 1] === OP_UNIT) record = u32[(record + R_DISP) >>> 2] as number
    let crosses = 0
    if (u16[(record + R_OP) >>> 1] === OP_CROSS) {
      crosses = u32[(record + R_DISP) >>> 2] as number
      // The page has to be among the region's, so that its changes end the region.
      if (this.page(page.delta + PAGE)?.page.slots !== crosses) return undefined
      record += RECORD_BYTES
    }
    const op = u16[(record + R_OP) >>> 1] as number
    if ((op & OP_DEAD) !== 0 || op === OP_CONTINUE || op === OP_LEAVE) return undefined
    const next = at + (u8[record + R_LENGTH] as number)
    const source = op === OP_SYSTEM ? undefined : this.#sources.sourceOf(op, u16[(record + R_FUNCTION) >>> 1] as number)
    const flow = flowOf(source, op)
    const relative = source !== undefined && (flow === 'jump' || flow === 'branch' || flow === 'call')
    let target: number | undefined
    if (relative) {
      const immediate = i32[(record + R_IMM) >>> 2] as number
      const kind = source.form.operands[0]?.kind
      if (kind === 'relp' || kind === 'relf') target = page.delta + (immediate >> 2)
      else if (this.#sources.isRelativeKnown(source)) {
        target = immediate + (this.#sources.isRelativeToPage ? page.delta : next)
        // Farther targets are not in reach of positions.
        if (i32[(record + R_IMM + 4) >>> 2] !== immediate >> 31 || target !== (target | 0)) target = undefined
      }
    }
    return { at, record, page, flow, source: flow === 'leave' ? undefined : source, next, target, crosses }
  }
}

function flowOf(source: FormSource | undefined, op: number): Flow {
  if (source === undefined) return 'leave'
  const { mnemonic, operands } = source.form
  const { partial, compiled } = source.semantics
  if (partial === true) return compiled === true ? 'next' : 'leave'
  if (!CONTROL.test(mnemonic)) return op === OP_CALL_CONTROL ? 'leave' : 'next'
  if (mnemonic === 'RET') return 'return'
  const kind = operands[0]?.kind
  const relative = kind === 'rel' || kind === 'relp' || kind === 'relf'
  if (!relative) return 'indirect'
  return mnemonic === 'CALL' ? 'call' : mnemonic === 'JMP' ? 'jump' : 'branch'
}

/**
 * Finds the code that belongs to an entry.
 *
 * @param entry - its offset in its page
 * @returns undefined where the first instruction is one for the interpreter
 */
export function findRegion(entry: number, sources: RegionSources): Region | undefined {
  const discovery = new Discovery(sources)
  discovery.run(entry)
  const { instructions } = discovery
  const first = instructions.get(entry)
  if (first === undefined || first.flow === 'leave') return undefined
  const starts = new Set([entry])
  const returnSites: number[] = []
  const isInside = (at: number): boolean => instructions.has(at)
  for (const insn of instructions.values()) {
    const { target, flow, next } = insn
    for (const at of discovery.computedTargets(insn)) if (isInside(at)) starts.add(at)
    if (target !== undefined && instructions.has(target)) starts.add(target)
    if (flow === 'branch' && instructions.has(next)) starts.add(next)
    if (flow === 'call' && instructions.has(next)) {
      starts.add(next)
      if (target !== undefined && instructions.has(target)) returnSites.push(next)
    }
  }
  const computedOf = (insn: RegionInstruction): readonly number[] => {
    const seen = discovery.computedTargets(insn).filter(isInside)
    const likely = insn.flow === 'return' ? returnSites.slice(0, MOST_RETURNS) : []
    return [...new Set([...seen, ...likely])].map((at) => numbers.get(at)!)
  }
  const numbers = new Map([...starts].map((at, i) => [at, i]))
  const blocks = [...starts].map((start): RegionBlock => {
    const list: RegionInstruction[] = []
    for (let at = start; ;) {
      const insn = instructions.get(at)!
      list.push(insn)
      at = insn.next
      if (insn.flow !== 'next' || numbers.has(at) || !instructions.has(at)) break
    }
    const last = list.at(-1)!
    const falls = last.flow === 'next' || last.flow === 'branch'
    return {
      instructions: list,
      next: falls ? numbers.get(last.next) : undefined,
      target: last.target === undefined ? undefined : numbers.get(last.target),
      computed: computedOf(last),
    }
  })
  const graph = flowGraph(
    blocks.map(({ next, target, computed }) => [next, target, ...computed].filter((block) => block !== undefined)),
  )
  return { blocks, graph, pages: discovery.pages, instructionCount: instructions.size }
}

/** Calls of a region that a return is taken to come from, whether it has been seen to or not. */
const MOST_RETURNS = 6
