import { FORM_SIGNATURE, OP_BITS, OP_CALL_CONTROL, OP_CALL_SPILLED } from '@retrap/engine'
import type {
  CompiledInstructionSet,
  DecodedInstruction,
  Flow,
  InstructionExits,
  InstructionFlow,
  RecordMemory,
  RegionInstruction,
  StateAssumption,
  StateLayout,
  UnitDescription,
  UnitEmitter,
  UnitSemantics,
} from '@retrap/engine'
import { codeInfo } from '@retrap/x86-decoder'
import type { MachineMemory } from '@retrap/memory'
import type { I32, ModuleBuilder } from '@retrap/wasm-emitter'
import type { FormSource } from '../semantics/form-context.ts'
import { R_IMM, R_OP, R_REG0 } from '../state/record.ts'
import { CS, DS, ES, MODE_64, MODE_64_APX, SEG_BASE, SEG_BYTES, SEG_LIMIT, S_SEGMENTS } from '../state/state-layout.ts'
import { formKey } from '../state/form.ts'
import type { SystemForm } from '../interpreter/handler-path.ts'
import { vectorBytesOf, type CpuModel } from '../model/cpu-model.ts'
import type { Library } from '../semantics/library.ts'
import { ASSUMED_BYTES, StateKnowledge } from './known-state.ts'
import { normalDemand, type NormalSet } from './normal-demand.ts'
import { type KnownPath, RegionBuilder } from './region-builder.ts'
import { RegionContext } from './region-context.ts'
import { RegionFlags } from './region-flags.ts'
import { importLibrary } from './unit-library.ts'
import { planVectors } from './vector-plan.ts'
import { VectorRegisters } from './vector-registers.ts'

/** Bytes of a form's function above which it is called instead of generated in place. */
const LONGEST_INLINE = 800
/** The same of instructions with EVEX: functions have their masks, broadcasts and roundings, of which few are left in place. */
const LONGEST_EVEX_INLINE = 8000

/** Instructions whose handlers units call, because the next instruction usually follows. */
const CALLED_HANDLERS =
  /^(MOV|PUSH|POP|CLTS|INVLPG|INVPCID|RDTSCP?|CPUID|(RD|WR)MSR|RDRAND|RDSEED|XGETBV|IN|OUT|VER[RW]|F?X(SAVE|RSTOR)[A-Z]*(64)?)$/

/** The processor that code is compiled for, and its machine. */
export interface EmittedFor {
  readonly model: CpuModel
  readonly layout: StateLayout
  /** Generates forms with EVEX; absent, there are none. */
  readonly evexContext?: typeof RegionContext | undefined
  /** The interpreter's functions that units call: see `InterpreterCode.sharedEntries`. */
  readonly sharedEntries: ReadonlyMap<string, number>
  /** Machine memory is shared between threads. */
  readonly shared: boolean
}

/** The data that another thread makes an {@link X86Emitter} from. */
export interface EmitterKind extends Pick<EmittedFor, 'model' | 'sharedEntries' | 'shared'> {
  readonly isPoisoned: boolean
}

/** x86's part of emission. */
export class X86Emitter implements UnitEmitter<FormSource> {
  readonly layout: StateLayout
  readonly assumedBytes: number = ASSUMED_BYTES
  readonly #vectorBytes: number
  readonly #for: EmittedFor

  constructor(emittedFor: EmittedFor) {
    this.layout = emittedFor.layout
    this.#vectorBytes = vectorBytesOf(emittedFor.model)
    this.#for = emittedFor
  }

  isWide(mode: number): boolean {
    return (mode & MODE_64) !== 0
  }

  beginUnit(module: ModuleBuilder, unit: UnitDescription<FormSource>): UnitSemantics<FormSource> {
    const { sharedEntries, shared, evexContext = RegionContext } = this.#for
    const library = importLibrary(module, sharedEntries, { vectorBytes: this.#vectorBytes, isPrivate: !shared })
    const f = module.function('unit', FORM_SIGNATURE, { export: true, builder: RegionBuilder })
    return new X86Unit(f as unknown as RegionBuilder, { library, evexContext }, unit)
  }
}

/** x86, as the engine compiles hot code of it. */
export class X86Compiled extends X86Emitter implements CompiledInstructionSet<FormSource> {
  readonly name = 'x86'
  readonly configuration: string
  readonly emitterKind: EmitterKind
  readonly nameOf = ({ form, code }: FormSource): string => `${code} ${formKey(form)}`
  readonly #memory: MachineMemory
  readonly #handlers: readonly SystemForm[]

  /** @param handlers - what the interpreter's host functions execute, by number */
  constructor(memory: MachineMemory, handlers: readonly SystemForm[], emittedFor: EmittedFor) {
    super(emittedFor)
    const { name: _name, brand: _brand, features, ...others } = emittedFor.model
    const { model, layout, sharedEntries, shared } = emittedFor
    this.emitterKind = { model, sharedEntries, shared, isPoisoned: layout.poisoned !== undefined }
    this.configuration = JSON.stringify({ ...others, features: [...features].toSorted() })
    this.#memory = memory
    this.#handlers = handlers
  }

  flowOf(insn: DecodedInstruction<FormSource>): InstructionFlow {
    const { u16, i32 } = this.#memory
    const { form: source, record, next, mode } = insn
    const flow = formFlow(source, u16[(record + R_OP) >>> 1]! & OP_BITS)
    if (flow !== 'jump' && flow !== 'branch' && flow !== 'call') return { flow }
    const immediate = i32[(record + R_IMM) >>> 2]!
    const kind = source.form.operands[0]?.kind
    if (kind === 'relp' || kind === 'relf') return { flow, target: immediate >> 2 }
    // The target is relative to the page in 64-bit mode, else to the next instruction.
    const from = (mode & MODE_64) !== 0 ? 0 : next
    const isNear = i32[(record + R_IMM + 4) >>> 2] === immediate >> 31
    return isNear && isRelativeKnown(this.#memory, insn) ? { flow, target: from + immediate } : { flow }
  }

  isCalled({ semantics, form }: FormSource, bytes: number): boolean {
    // The interpreter calls the handler where the simple cases of a partial form do not suffice.
    return semantics.partial !== true && bytes > (form.evex === undefined ? LONGEST_INLINE : LONGEST_EVEX_INLINE)
  }

  isHostCalled(fn: number, record: number): boolean {
    const register = this.#memory.u16[(record + R_REG0) >>> 1]!
    // Units may assume the rights of these two.
    const isAssumed = [ES, DS].some((segment) => register === S_SEGMENTS + SEG_BYTES * segment)
    return !isAssumed && CALLED_HANDLERS.test(this.#handlers[fn]!.form.mnemonic)
  }
}

/** Flows of forms that have been found, of records of other cases and of `OP_CALL_CONTROL`. */
const known: readonly WeakMap<FormSource, Flow>[] = [new WeakMap(), new WeakMap()]

function formFlow(source: FormSource, op: number): Flow {
  const flows = known[op === OP_CALL_CONTROL ? 1 : 0]!
  let flow = flows.get(source)
  if (flow === undefined) flows.set(source, (flow = findFlow(source, op)))
  return flow
}

function findFlow({ form, semantics, code }: FormSource, op: number): Flow {
  const { partial, compiled, far } = semantics
  if (far === true) return 'far'
  // A function that the next instruction follows, unless it leaves this one to its handler.
  if (form.repeat !== 'none' || semantics.called === true) return 'repeat'
  if (partial === true) return compiled === true ? 'next' : 'leave'
  const { flow } = codeInfo(code!)
  switch (flow) {
    case 'return':
      return flow
    case 'indirect-jump':
    case 'indirect-call':
      return 'indirect'
    case 'jump':
    case 'branch':
    case 'call':
      return form.operands[0]!.kind.startsWith('rel') ? flow : 'indirect'
    default:
      return op === OP_CALL_CONTROL ? 'leave' : 'next'
  }
}

/** Whether the instruction pointer is the linear address, and is not truncated by a branch. */
function isRelativeKnown({ u32, i32 }: MachineMemory, insn: DecodedInstruction<FormSource>): boolean {
  const { size } = insn.form.form
  if ((insn.mode & MODE_64) !== 0) return size === 8
  const code = insn.state + S_SEGMENTS + SEG_BYTES * CS
  return u32[(code + SEG_BASE) >>> 2] === 0 && i32[(code + SEG_LIMIT) >>> 2] === -1 && size === 4
}

/** The parts by which a unit's instructions are generated. */
interface UnitParts {
  readonly library: Library
  readonly evexContext: typeof RegionContext
}

/** x86's part of a unit: registers and flags in locals, and what is known of the state. */
class X86Unit implements UnitSemantics<FormSource> {
  readonly f: RegionBuilder
  readonly #memory: RecordMemory
  readonly #library: Library
  readonly #evexContext: typeof RegionContext
  readonly #state: I32
  readonly #flags: RegionFlags
  readonly #known: StateKnowledge
  /** Kinds of flags that control has come with to a block where edges meet; null where they differ. */
  readonly #meeting: (number | null | undefined)[] = []

  /** The knowledge of memory and registers on all edges to a block where edges meet. */
  readonly #paths: (KnownPath | undefined)[] = []
  /** Elements of vector registers that are not denormal on any edge to a block where edges meet. */
  readonly #normal: (readonly NormalSet[] | undefined)[] = []
  /** Elements that code from a block on takes not to be denormal, if it is the head of a loop. */
  readonly #demand: readonly (readonly NormalSet[])[]
  /** The heads of loops whose code has begun: further edges to them lead back. */
  readonly #openLoops = new Set<number>()

  /** @param f - the unit's function, still empty */
  constructor(f: RegionBuilder, { library, evexContext }: UnitParts, unit: UnitDescription<FormSource>) {
    const { region, mode, state, memory } = unit
    this.f = f
    this.#memory = memory
    this.#library = library
    this.#evexContext = evexContext
    // The plain parameter: by it, registers are in memory.
    this.#state = f.param(0, 'i32').get
    this.#known = new StateKnowledge(memory, state, mode)
    this.#flags = new RegionFlags(f, library.flags)
    const plan = planVectors(
      memory,
      region.blocks.flatMap(({ instructions }) => instructions),
      library.vectorBytes,
    )
    if (mode === MODE_64_APX) f.addRegisters()
    if (plan !== undefined) f.vectors = new VectorRegisters(f, plan)
    this.#demand = plan === undefined ? [] : normalDemand(memory, region, plan.registers.length)
    f.harmless.add(library.flags).add(library.checkSegment)
    f.beforeArm = () => this.#flags.beginArm()
    f.afterArm = () => this.#flags.endArm()
  }

  // ---------------------------------------------------------------- entry and exit

  checkAssumptions(leaveIf: (condition: I32) => void): void {
    this.#known.check(this.f, leaveIf)
  }

  assumptions(): readonly StateAssumption[] {
    return this.#known.fields
  }

  load(): void {
    this.f.loadRegisters()
    this.f.loadVectors()
    this.#flags.load(this.#state)
  }

  store(): void {
    this.f.storeRegisters()
    this.f.vectors?.store(this.#state)
    this.#flags.store(this.#state)
  }

  // ---------------------------------------------------------------- control flow

  settle(): void {
    this.#flags.materialise()
  }

  beginLoop(block: number, leave: () => void): void {
    this.f.forgetPath()
    this.#flags.settle()
    this.#flags.forget()
    this.#openLoops.add(block)
    this.#demandNormal(block, leave)
    if (this.f.vectors !== undefined) this.f.vectors.knowledge = this.#demand[block]!
  }

  /** Emits an exit for the case that the head of a loop is reached with denormal numbers that its code takes not to be. */
  #demandNormal(block: number, leave: () => void): void {
    const isDenormal = this.f.vectors?.isAnyDenormal(this.f, this.#demand[block]!)
    if (isDenormal !== undefined) this.f.structuredIf(isDenormal, leave)
  }

  meet(block: number, leave: () => void): void {
    this.#flags.materialise()
    const { vectors } = this.f
    if (this.#openLoops.has(block)) this.#demandNormal(block, leave)
    else if (vectors !== undefined) {
      const before = this.#normal[block]
      this.#normal[block] = vectors.knowledge.map((set, i) => set & (before?.[i] ?? -1))
    }
    this.#paths[block] = this.f.meetPath(this.#paths[block])
    const known = this.#meeting[block]
    const kind = this.#flags.knownKind
    this.#meeting[block] = known === undefined || known === kind ? kind : null
  }

  merge(block: number): void {
    const path = this.#paths[block]
    if (path === undefined) this.f.forgetPath()
    else this.f.mergePaths(path)
    this.#flags.meet(this.#meeting[block] ?? undefined)
    if (this.f.vectors !== undefined) this.f.vectors.knowledge = this.#normal[block] ?? []
  }

  aside(build: () => void): void {
    const mark = this.#flags.enter()
    const { vectors } = this.f
    const knowledge = vectors?.knowledge
    this.f.onPath(build)
    this.#flags.leave(mark)
    if (vectors !== undefined && knowledge !== undefined) vectors.knowledge = knowledge
  }

  // ---------------------------------------------------------------- instructions

  emit(insn: RegionInstruction<FormSource>, exits: InstructionExits): void {
    const { f } = this
    const source = insn.form!
    const { semantics, form } = source
    this.#known.pageBase = () => exits.pageBase()
    f.know(this.#known, insn.record)
    const Made = form.evex === undefined ? RegionContext : this.#evexContext
    const context = new Made(f, source, this.#library, insn.record, this.#flags, exits)
    if (semantics.conditionalFlags === true) this.#flags.settle()
    if (form.vex) context.requireVex()
    semantics.emit(context)
  }

  spill(insn: RegionInstruction<FormSource>): void {
    const { f } = this
    // Which registers are in locals is not known yet.
    f.later(() => f.storeRegisters())
    if (usesFlags(this.#memory, insn.record, insn.flow, insn.form)) {
      this.#flags.settle()
      this.#flags.store(this.#state)
    }
    if (usesVectors(insn)) f.vectors?.spill(this.#state)
  }

  reload(insn: RegionInstruction<FormSource>): void {
    const { f } = this
    f.forgetPath()
    if (usesVectors(insn)) f.vectors?.reload(this.#state)
    f.refreshMxcsr()
    f.later(() => f.loadRegisters())
    if (usesFlags(this.#memory, insn.record, insn.flow, insn.form)) {
      this.#flags.load(this.#state)
      this.#flags.forget()
    }
  }
}

/** Whether the function that executes an instruction may read or write flags. */
function usesFlags({ u16 }: RecordMemory, record: number, flow: Flow, form: FormSource | undefined): boolean {
  if (flow === 'host' || flow === 'far') return true
  if (flow === 'repeat') return form!.semantics.conditionalFlags === true
  return (u16[(record + R_OP) >>> 1]! & OP_BITS) === OP_CALL_SPILLED
}

/** Whether the function that executes an instruction may read or write vector registers. */
function usesVectors({ form }: RegionInstruction<FormSource>): boolean {
  if (form === undefined) return true
  const { operands, vex } = form.form
  // Functions that are called save or restore them.
  return (
    vex ||
    (form.semantics.called === true && operands.length > 0) ||
    operands.some(({ kind }) => /^(xmm|vsib|mask)$/.test(kind))
  )
}
