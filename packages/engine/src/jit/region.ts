import type { FlowGraph } from '../flow-graph.ts'
import type { MissAction } from './memory-sites.ts'

/** The way in which an instruction passes control. */
export type Flow =
  /** Control goes to the next instruction. */
  | 'next'
  /** Control goes to `target`. */
  | 'jump'
  /** Control goes to `target` or to the next instruction. */
  | 'branch'
  /** Control goes to `target`; the callee returns to the next instruction. */
  | 'call'
  /** Control goes to a computed address. */
  | 'indirect'
  /** Control goes to the instruction after a call. */
  | 'return'
  /** Control goes to the next instruction, unless the host function that executes it says otherwise. */
  | 'host'
  /** To the next instruction. The interpreter's function of its form repeats it, and charges the budget. */
  | 'repeat'
  /** The form's function sets the program counter, perhaps with another access mode. */
  | 'far'
  /** The interpreter executes the instruction. */
  | 'leave'

/** An instruction of a region. Positions are in bytes from the beginning of the page that the region is entered in. */
export interface RegionInstruction<Form> {
  /** Position of the instruction's first byte. */
  readonly at: number
  /** Offset of its record in `UnitDescription.memory`. */
  readonly record: number
  /** The page of its first byte. */
  readonly page: RegionPage
  /** How control leaves the instruction. */
  readonly flow: Flow
  /** The form that generated code executes; undefined where the interpreter or the host executes the instruction. */
  readonly form: Form | undefined
  /** Position of the next instruction. */
  readonly next: number
  /** Position of its target, if known. */
  readonly target: number | undefined
  /** Whether the instruction lies in two pages. */
  readonly crosses: boolean
  /** Whether its form is called rather than generated in place. */
  readonly isCalled: boolean
  /** The action where its page is not in the TLB. */
  readonly onMiss: MissAction
}

/** Returns whether control may fall through to the next instruction. */
export function fallsThrough(flow: Flow): boolean {
  return isStraight(flow) || flow === 'branch'
}

/** Returns whether no instruction but the next one may follow within a unit. */
export function isStraight(flow: Flow): boolean {
  return flow === 'next' || flow === 'host' || flow === 'repeat'
}

/** A page of a region's code. */
export interface RegionPage {
  /** Position of the page's first byte. */
  readonly delta: number
}

/** A straight run of instructions: entered at the first, left after the last. */
export interface RegionBlock<Form> {
  /** One or more. */
  readonly instructions: readonly RegionInstruction<Form>[]
  /** The number of the block that follows where the last instruction does not jump, or undefined. */
  readonly next: number | undefined
  /** The number of the block that the last instruction jumps to, or undefined. */
  readonly target: number | undefined
  /** The numbers of blocks that a computed address is compared with. */
  readonly computed: readonly number[]
}

/** Code compiled as one function. */
export interface Region<Form> {
  /** The entry is block 0. */
  readonly blocks: readonly RegionBlock<Form>[]
  /** Control flow between the blocks. */
  readonly graph: FlowGraph
  /** Pages that its instructions lie in, or that it was looked for in. */
  readonly pages: readonly RegionPage[]
  /** Count of different instructions. */
  readonly instructionCount: number
}
