import { ModuleBuilder } from '@retrap/wasm-emitter'
import { FORM_SIGNATURE } from '../status.ts'
import { HOT_COUNTER_BYTES } from '../hot-counters.ts'
import { importMachineMemory } from '../interpreter.ts'
import { RECORD_BYTES } from '../record.ts'
import { CodeList, MOST_INSTRUCTIONS, NO_TARGET } from './code-list.ts'
import { type CodeMark, CodeNotes } from './code-marks.ts'
import type { CompileJob } from './compile-job.ts'
import type { RecordMemory, UnitDescription, UnitEmitter } from './instruction-set.ts'
import type { MissAction } from './memory-sites.ts'
import { RegionTranslator } from './region-translator.ts'
import {
  type RegionInstruction,
  fallsThrough,
  isStraight,
  type Region,
  type RegionBlock,
  type RegionPage,
} from './region.ts'
import { type CodeBranch, codeKey, type CodeSource } from './unit-code.ts'
import { UnitFrame } from './unit-frame.ts'
import { LEAVE_SIGNATURE, leaveModule } from './unit-leave.ts'
import { flowGraph } from '../flow-graph.ts'

/** The machine that code is compiled for. */
export interface CompilerTarget {
  /** Machine address of the counters of hot code. */
  readonly countersAt: number
  /** Machine memory is shared between threads. */
  readonly shared: boolean
}

/** Compiled code: a module in the binary format, and its description. */
export interface EmittedUnit {
  readonly module: Uint8Array
  /** Offsets of each instruction's code, if the job asks for them. */
  readonly marks: readonly CodeMark[]
  readonly source: CodeSource
}

/** Address of a job's state in the compiler's own memory, if above the counters': no constant address is then a record's. */
const AREA_AT = 1 << 20
/** Alignment of the state and of records. */
const ALIGN = 64
const aligned = (at: number): number => (at + ALIGN - 1) & -ALIGN

/** Compiles code to modules of one function. */
export class UnitCompiler<Form> {
  readonly #emitter: UnitEmitter<Form>
  readonly #target: CompilerTarget
  readonly #list = new CodeList<Form>()
  readonly #memory: RecordMemory
  readonly #stateAt: number
  readonly #recordsAt: number

  /** @param emitter - emitter of the code's instruction set */
  constructor(emitter: UnitEmitter<Form>, target: CompilerTarget) {
    this.#emitter = emitter
    this.#target = target
    this.#stateAt = target.countersAt < AREA_AT ? aligned(AREA_AT + HOT_COUNTER_BYTES) : ALIGN
    this.#recordsAt = aligned(this.#stateAt + emitter.assumedBytes)
    const buffer = new ArrayBuffer(this.#recordsAt + MOST_INSTRUCTIONS * RECORD_BYTES)
    this.#memory = {
      u8: new Uint8Array(buffer),
      u16: new Uint16Array(buffer),
      u32: new Uint32Array(buffer),
      u64: new BigUint64Array(buffer),
    }
  }

  /** Makes the module of the function by which units are left. */
  compileLeave(isWide: boolean): WebAssembly.Module {
    const module = leaveModule({ layout: this.#emitter.layout, ...this.#target, isWide })
    return new WebAssembly.Module(module as Uint8Array<ArrayBuffer>)
  }

  /** Compiles code. */
  compile(job: CompileJob<Form>): EmittedUnit {
    const list = this.#list
    const { shared, countersAt } = this.#target
    const { mode, leaveEntry, instructions } = job
    list.copy(job)
    this.#memory.u8.set(job.state, this.#stateAt)
    this.#memory.u8.set(job.records, this.#recordsAt)
    const region = regionOf(list, job, this.#recordsAt)
    const unit: UnitDescription<Form> = { region, mode, state: this.#stateAt, memory: this.#memory }
    const notes = job.isNoted ? new CodeNotes() : undefined
    const module = new ModuleBuilder()
    importMachineMemory(module, shared)
    module.importTable('cpu', 'table')
    const system = module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
    const callType = module.typeIndex(FORM_SIGNATURE)
    const frame = new UnitFrame(this.#emitter.beginUnit(module, unit), {
      ...unit,
      emitter: this.#emitter,
      countersAt,
      callType,
      leaveType: module.typeIndex(LEAVE_SIGNATURE),
      leaveEntry,
      system,
      notes,
    })
    const codeBytes = new RegionTranslator(frame).build()
    const built = module.build()
    const needs = { recordPositions: frame.recordPositions, assumptions: frame.semantics.assumptions() }
    return {
      module: built,
      // The end of the function is no part of its builder's code.
      marks: notes?.marks(module.endOf(frame.f) - 1, codeBytes, instructions.at) ?? [],
      source: sourceOf(list, job, needs),
    }
  }
}

/** Makes a region of the code that belongs to a place. */
function regionOf<Form>(found: CodeList<Form>, job: CompileJob<Form>, recordsAt: number): Region<Form> {
  const pages = job.deltas.map((delta): RegionPage => ({ delta }))
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
      instructions.push(instructionOf(found, job, i, pages, recordsAt))
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
  return { blocks, graph, pages, instructionCount: found.count }
}

function instructionOf<Form>(
  { at, next, target, page, flow, form }: CodeList<Form>,
  { crosses, called, actions }: CompileJob<Form>,
  i: number,
  pages: readonly RegionPage[],
  recordsAt: number,
): RegionInstruction<Form> {
  return {
    at: at[i]!,
    record: recordsAt + i * RECORD_BYTES,
    page: pages[page[i]!]!,
    flow: flow[i]!,
    form: form[i],
    next: next[i]!,
    target: target[i] === NO_TARGET ? undefined : target[i]!,
    crosses: crosses[i] !== 0,
    isCalled: called[i] !== 0,
    onMiss: actions[i]!,
  }
}

/** Describes compiled code. */
function sourceOf<Form>(
  found: CodeList<Form>,
  { mode, deltas, instructions, actions: all }: CompileJob<Form>,
  { recordPositions, assumptions }: Pick<CodeSource, 'recordPositions' | 'assumptions'>,
): CodeSource {
  let actions: Map<number, MissAction> | undefined
  for (const [i, action] of all.entries())
    if (action !== 'count') (actions ??= new Map<number, MissAction>()).set(found.at[i]!, action)
  // Code that control does not reach, and instructions that functions execute, have no exit that notes their targets.
  let branches: CodeBranch[] | undefined
  for (const at of recordPositions) {
    const i = found.numberAt(at)
    const flow = found.flow[i]!
    if (flow !== 'indirect' && flow !== 'return') continue
    const delta = deltas[found.page[i]!]!
    branches ??= []
    const targets = found.computed[i]!.map((position) => position - delta)
    branches.push({ at, delta, isReturn: flow === 'return', targets })
  }
  const offset = found.at[0]!
  const { from, bytes } = instructions
  const number = instructions.at.indexOf(offset)
  return {
    key: codeKey(mode, offset, bytes, from[number]!, from[number + 1]!),
    mode,
    offset,
    assumptions,
    deltas,
    instructions,
    recordPositions,
    branches: branches ?? NO_BRANCHES,
    actions: actions ?? NO_ACTIONS,
  }
}

const NO_BRANCHES: readonly CodeBranch[] = []
const NO_ACTIONS: ReadonlyMap<number, MissAction> = new Map()
