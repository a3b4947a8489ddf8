import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import { FORM_SIGNATURE } from '../status.ts'
import { importMachineMemory, type InterpreterCode } from '../interpreter.ts'
import { OP_BITS, R_FUNCTION, R_OP } from '../record.ts'
import type { CompiledInstructionSet, UnitDescription } from './instruction-set.ts'
import type { MemorySites } from './memory-sites.ts'
import type { EmittedUnit } from './code-source.ts'
import { type FoundCode, NO_TARGET } from './found-code.ts'
import { RegionTranslator } from './region-translator.ts'
import { type RegionInstruction, fallsThrough, isStraight, type Region, type RegionBlock } from './region.ts'
import type { CodeNotes } from './code-marks.ts'
import { UnitFrame } from './unit-frame.ts'
import { LEAVE_SIGNATURE, leaveModule } from './unit-leave.ts'
import { flowGraph } from '../flow-graph.ts'

/** Compiles code to modules of one function. */
export class UnitCompiler<Form> {
  readonly #memory: MachineMemory
  readonly #code: InterpreterCode<Form>
  /** The instruction set of the code. */
  readonly instructionSet: CompiledInstructionSet<Form>
  readonly #countersAt: number
  /** The facts about accesses to memory. */
  readonly sites: MemorySites

  /**
   * @param countersAt - machine address of the counters of hot code
   * @param sites - what units do about accesses that miss the TLB
   */
  constructor(
    memory: MachineMemory,
    code: InterpreterCode<Form>,
    instructionSet: CompiledInstructionSet<Form>,
    countersAt: number,
    sites: MemorySites,
  ) {
    this.#memory = memory
    this.#code = code
    this.instructionSet = instructionSet
    this.#countersAt = countersAt
    this.sites = sites
  }

  /** Makes the module of the function by which units are left. */
  compileLeave(isWide: boolean): Uint8Array {
    const { layout } = this.instructionSet
    return leaveModule({ layout, countersAt: this.#countersAt, shared: this.#memory.shared, isWide })
  }

  /**
   * Compiles code.
   *
   * @param state - machine address of the state whose fields may be assumed
   * @param leaveEntry - entry of the function of {@link UnitCompiler.compileLeave}
   * @param notes - takes where the code of each instruction begins; undefined: not wanted
   */
  compile(
    found: FoundCode<Form>,
    mode: number,
    state: number,
    leaveEntry: number,
    notes: CodeNotes | undefined,
  ): EmittedUnit {
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
    return {
      module: module.build(),
      // The end of the function is no part of its builder's code.
      codeEnd: module.endOf(frame.f) - 1,
      codeBytes,
      recordPositions: frame.recordPositions,
      assumptions: frame.semantics.assumptions(),
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
