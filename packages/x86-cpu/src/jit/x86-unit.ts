import { OP_BITS, OP_CALL_SPILLED } from '@retrap/engine'
import type {
  Flow,
  InstructionExits,
  RegionInstruction,
  StateAssumption,
  UnitDescription,
  UnitSemantics,
} from '@retrap/engine'
import type { I32 } from '@retrap/wasm-emitter'
import type { MachineMemory } from '@retrap/memory'
import type { FormSource } from '../semantics/form-context.ts'
import { R_OP } from '../state/record.ts'
import type { Library } from '../semantics/library.ts'
import { StateKnowledge } from './known-state.ts'
import type { KnownPath, RegionBuilder } from './region-builder.ts'
import { RegionContext } from './region-context.ts'
import { RegionFlags } from './region-flags.ts'
import { normalDemand } from './normal-demand.ts'
import type { NormalSet } from './normal-demand.ts'
import { planVectors } from './vector-plan.ts'
import { VectorRegisters } from './vector-registers.ts'

/** x86's part of a unit: registers and flags in locals, and what is known of the state. */
export class X86Unit implements UnitSemantics<FormSource> {
  readonly f: RegionBuilder
  readonly #memory: MachineMemory
  readonly #library: Library
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
  constructor(f: RegionBuilder, memory: MachineMemory, library: Library, unit: UnitDescription<FormSource>) {
    const { region, mode, state } = unit
    this.f = f
    this.#memory = memory
    this.#library = library
    // The plain parameter: by it, registers are in memory.
    this.#state = f.param(0, 'i32').get
    this.#known = new StateKnowledge(memory, state, mode)
    this.#flags = new RegionFlags(f, library.flags)
    const plan = planVectors(
      memory,
      region.blocks.flatMap(({ instructions }) => instructions),
    )
    if (plan !== undefined) f.vectors = new VectorRegisters(f, plan)
    this.#demand = plan === undefined ? [] : normalDemand(memory, region)
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
    const context = new RegionContext(f, source, this.#library, insn.record, this.#flags, exits)
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
function usesFlags({ u16 }: MachineMemory, record: number, flow: Flow, form: FormSource | undefined): boolean {
  if (flow === 'host' || flow === 'far') return true
  if (flow === 'repeat') return form!.semantics.conditionalFlags === true
  return (u16[(record + R_OP) >>> 1]! & OP_BITS) === OP_CALL_SPILLED
}

/** Whether the function that executes an instruction may read or write vector registers. */
function usesVectors({ form }: RegionInstruction<FormSource>): boolean {
  if (form === undefined) return true
  const { operands, mnemonic } = form.form
  return /^V|X(SAVE|RSTOR)/.test(mnemonic) || operands.some(({ kind }) => kind === 'xmm' || kind === 'vsib')
}
