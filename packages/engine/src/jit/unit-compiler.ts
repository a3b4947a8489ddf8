import { ModuleBuilder } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import { FORM_SIGNATURE, type I32Callee } from '../status.ts'
import { importMachineMemory, type InterpreterCode } from '../interpreter.ts'
import { R_FUNCTION, R_OP } from '../record.ts'
import type { CompiledInstructionSet, UnitDescription } from './instruction-set.ts'
import type { MemorySites } from './memory-sites.ts'
import { exitCounter } from './exit-reasons.ts'
import type { EmittedUnit } from './code-source.ts'
import { UnitCopier } from './first-tier/unit-copier.ts'
import { UnitWriter } from './first-tier/unit-writer.ts'
import { type FoundCode, NO_TARGET } from './found-code.ts'
import type { JitTier } from './unit-code.ts'
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
  readonly #writer = new UnitWriter<Form>()
  readonly #copier: UnitCopier<Form>
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
    this.#copier = new UnitCopier(memory, sites, (form, record) => this.#isCalled(form, record))
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
    tier: JitTier,
    leaveEntry: number,
    notes: CodeNotes | undefined,
  ): EmittedUnit {
    if (tier === 1 && this.instructionSet.beginCopied !== undefined)
      return this.#copy(found, mode, state, leaveEntry, notes)
    const unit: UnitDescription<Form> = { region: regionOf(found), mode, state }
    const module = new ModuleBuilder()
    const system = this.#importAll(module)
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
      entries: [],
      assumptions: frame.semantics.assumptions(),
    }
  }

  /** Makes a unit of the first tier. */
  #copy(
    found: FoundCode<Form>,
    mode: number,
    state: number,
    leaveEntry: number,
    notes: CodeNotes | undefined,
  ): EmittedUnit {
    const module = new ModuleBuilder()
    const system = this.#importAll(module)
    const unit = this.instructionSet.beginCopied!(module, mode, state)
    const writer = this.#writer
    const { layout } = this.instructionSet
    const callType = module.typeIndex(FORM_SIGNATURE)
    const leaveType = module.typeIndex(LEAVE_SIGNATURE)
    writer.reset(
      {
        layout,
        isWide: this.instructionSet.isWide(mode),
        callType,
        leaveType,
        leaveEntry,
        guardCounter: this.#countersAt + exitCounter('guard'),
        system: system.index,
      },
      found,
      notes,
    )
    this.#copier.copy(found, unit, writer)
    const f = module.functionOf('unit', FORM_SIGNATURE, writer.code, { export: true })
    return {
      module: module.build(),
      codeEnd: module.endOf(f),
      codeBytes: writer.code.length,
      recordPositions: writer.recordPositions,
      entries: this.#copier.entries,
      assumptions: unit.assumptions(),
    }
  }

  #importAll(module: ModuleBuilder): I32Callee {
    importMachineMemory(module, this.#memory.shared)
    module.importTable('cpu', 'table')
    return module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
  }

  #entryOf({ record }: RegionInstruction<Form>): number {
    return this.#memory.u16[(record + R_FUNCTION) >>> 1]!
  }

  #isCalled(form: Form, record: number): boolean {
    const { u16 } = this.#memory
    const bytes = this.#code.functionBytes(u16[(record + R_OP) >>> 1]!, u16[(record + R_FUNCTION) >>> 1]!)
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
