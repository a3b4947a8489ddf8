import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import { FORM_SIGNATURE } from '../status.ts'
import { importMachineMemory, type InterpreterCode } from '../interpreter.ts'
import { OP_BITS, R_FUNCTION, R_OP, RECORD_BYTES } from '../record.ts'
import type { CompiledInstructionSet, UnitDescription } from './instruction-set.ts'
import type { MemorySites, MissAction } from './memory-sites.ts'
import { type FoundCode, NO_TARGET } from './region-discovery.ts'
import { RegionTranslator } from './region-translator.ts'
import { type RegionInstruction, fallsThrough, isStraight, type Region, type RegionBlock } from './region.ts'
import type { CodeNotes } from './code-marks.ts'
import type { ComputedTargets } from './computed-targets.ts'
import { type CodeBranch, type CodeInstructions, codeKey, type CodeSource } from './unit-code.ts'
import { UnitFrame } from './unit-frame.ts'
import { LEAVE_SIGNATURE, leaveModule } from './unit-leave.ts'
import { flowGraph } from '../flow-graph.ts'

/** Compiled code: a module in the binary format, and its description. */
interface EmittedUnit {
  readonly module: Uint8Array
  /** Position in the module where the code ends of which notes were taken, and bytes of that code. */
  readonly codeEnd: number
  readonly codeBytes: number
  readonly source: CodeSource
}

/** The parameters of {@link UnitCompiler.compile} beside the instructions. */
interface UnitRequest {
  /** Copy of the instructions' bytes, by which the code is described. */
  readonly instructions: CodeInstructions
  /** Machine address of the state whose fields may be assumed. */
  readonly state: number
  /** Entry of the function of {@link UnitCompiler.compileLeave}. */
  readonly leaveEntry: number
  /** Receives the start of each instruction's code; undefined: not wanted. */
  readonly notes: CodeNotes | undefined
}

/** Compiles code to modules of one function. */
export class UnitCompiler<Form> {
  readonly #memory: MachineMemory
  readonly #code: InterpreterCode<Form>
  /** The instruction set of the code. */
  readonly instructionSet: CompiledInstructionSet<Form>
  readonly #countersAt: number
  /** The facts about accesses to memory. */
  readonly sites: MemorySites
  readonly #targets: ComputedTargets

  /**
   * @param countersAt - machine address of the counters of hot code
   * @param sites - actions of units on accesses that miss the TLB
   * @param targets - frequent targets of computed branches
   */
  constructor(
    memory: MachineMemory,
    code: InterpreterCode<Form>,
    instructionSet: CompiledInstructionSet<Form>,
    countersAt: number,
    sites: MemorySites,
    targets: ComputedTargets,
  ) {
    this.#memory = memory
    this.#code = code
    this.instructionSet = instructionSet
    this.#countersAt = countersAt
    this.sites = sites
    this.#targets = targets
  }

  /** Makes the module of the function by which units are left. */
  compileLeave(isWide: boolean): Uint8Array {
    const { layout } = this.instructionSet
    return leaveModule({ layout, countersAt: this.#countersAt, shared: this.#memory.shared, isWide })
  }

  /** Compiles code. */
  compile(found: FoundCode<Form>, { instructions, state, leaveEntry, notes }: UnitRequest): EmittedUnit {
    const { mode } = found.pages[0]!.page
    const unit: UnitDescription<Form> = { region: regionOf(found), mode, state }
    const module = new ModuleBuilder()
    importMachineMemory(module, this.#memory.shared)
    module.importTable('cpu', 'table')
    const system = module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
    const callType = module.typeIndex(FORM_SIGNATURE)
    const frame = new UnitFrame(this.instructionSet.beginUnit(module, unit), {
      ...unit,
      instructionSet: this.instructionSet,
      countersAt: this.#countersAt,
      callType,
      leaveType: module.typeIndex(LEAVE_SIGNATURE),
      leaveEntry,
      system,
      entryOf: (insn) => this.#entryOf(insn),
      sites: this.sites,
      isCalled: ({ form, record }) => this.#isCalled(form!, record),
      notes,
    })
    const codeBytes = new RegionTranslator(frame).build()
    const built = module.build()
    const needs = { recordPositions: frame.recordPositions, assumptions: frame.semantics.assumptions() }
    return {
      module: built,
      // The end of the function is no part of its builder's code.
      codeEnd: module.endOf(frame.f) - 1,
      codeBytes,
      source: sourceOf(found, instructions, needs, this.#targets, this.sites),
    }
  }

  #entryOf({ record }: RegionInstruction<Form>): number {
    return this.#memory.u16[(record + R_FUNCTION) >>> 1]!
  }

  #isCalled(form: Form, record: number): boolean {
    const { u16 } = this.#memory
    const bytes = this.#code.functionBytes(u16[(record + R_OP) >>> 1]! & OP_BITS, u16[(record + R_FUNCTION) >>> 1]!)
    return bytes > 0 && this.instructionSet.isCalled(form, bytes)
  }
}

/** Makes a region of the code that belongs to a place. */
function regionOf<Form>(found: FoundCode<Form>): Region<Form> {
  // Blocks by the numbers of the instructions that they begin with.
  const numbers = new Map<number, number>()
  found.eachStart((start) => {
    if (!numbers.has(start)) numbers.set(start, numbers.size)
  })
  const returnSites = found.returnSites()
  const blockAt = (at: number): number | undefined => numbers.get(found.numberAt(at))
  const blocks = Array.from(numbers.keys(), (start): RegionBlock<Form> => {
    const instructions: RegionInstruction<Form>[] = []
    let last = start
    for (let i = start; ;) {
      last = i
      instructions.push(instructionOf(found, i))
      i = found.numberAt(found.next[i]!)
      if (!isStraight(found.flow[last]!) || i < 0 || numbers.has(i)) break
    }
    const target = found.target[last]!
    return {
      instructions,
      next: fallsThrough(found.flow[last]!) ? blockAt(found.next[last]!) : undefined,
      target: target === NO_TARGET ? undefined : blockAt(target),
      computed: found.comparedTargets(last, returnSites).map((number) => numbers.get(number)!),
    }
  })
  const graph = flowGraph(
    blocks.map(({ next, target, computed }) => {
      const successors = [...computed]
      if (target !== undefined) successors.unshift(target)
      if (next !== undefined) successors.unshift(next)
      return successors
    }),
  )
  return { blocks, graph, pages: [...found.pages], instructionCount: found.count }
}

function instructionOf<Form>(found: FoundCode<Form>, i: number): RegionInstruction<Form> {
  const target = found.target[i]!
  return {
    at: found.at[i]!,
    record: found.record[i]!,
    page: found.pages[found.page[i]!]!,
    flow: found.flow[i]!,
    form: found.form[i],
    next: found.next[i]!,
    target: target === NO_TARGET ? undefined : target,
    crosses: found.crosses[i]!,
  }
}

/** Describes compiled code. @param instructions - copied before the compilation */
function sourceOf<Form>(
  found: FoundCode<Form>,
  instructions: CodeInstructions,
  { recordPositions, assumptions }: Pick<CodeSource, 'recordPositions' | 'assumptions'>,
  targets: ComputedTargets,
  sites: MemorySites,
): CodeSource {
  const { pages } = found
  const first = pages[0]!.page
  let actions: Map<number, MissAction> | undefined
  for (let i = 0; i < found.count; i++) {
    const action = sites.actionOf(found.record[i]! - (found.crosses[i] === 0 ? 0 : RECORD_BYTES))
    if (action !== 'count') (actions ??= new Map<number, MissAction>()).set(found.at[i]!, action)
  }
  // Code that control does not reach, and instructions that functions execute, have no exit that notes their targets.
  let branches: CodeBranch[] | undefined
  for (const at of recordPositions) {
    const i = found.numberAt(at)
    const flow = found.flow[i]!
    if (flow !== 'indirect' && flow !== 'return') continue
    const { delta } = pages[found.page[i]!]!
    branches ??= []
    branches.push({ at, delta, isReturn: flow === 'return', targets: targets.of(found.record[i]!) })
  }
  const offset = found.at[0]!
  const { from, bytes } = instructions
  const number = instructions.at.indexOf(offset)
  return {
    key: codeKey(first.mode, offset, bytes, from[number]!, from[number + 1]!),
    mode: first.mode,
    offset,
    assumptions,
    deltas: pages.map(({ delta }) => delta),
    instructions,
    recordPositions,
    branches: branches ?? NO_BRANCHES,
    actions: actions ?? NO_ACTIONS,
  }
}

const NO_BRANCHES: readonly CodeBranch[] = []
const NO_ACTIONS: ReadonlyMap<number, MissAction> = new Map()
