import type {
  InstructionExits,
  RegionFunction,
  RegionInstruction,
  UnitDescription,
  UnitSemantics,
} from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ByteWriter, I32, Local, ModuleBuilder } from '@retrap/wasm-emitter'
import type { FormSource } from '../../form-context.ts'
import { R_DISP, R_IMM, R_LENGTH, R_OFFSET } from '../../record.ts'
import { S_FLAGS_A, S_FLAGS_B, S_FLAGS_KIND, S_FLAGS_RESULT, S_GPR } from '../../state-layout.ts'
import { StateKnowledge } from '../known-state.ts'
import { usesFlags } from '../x86-unit.ts'
import { HOLE_DISPLACEMENT, HOLE_IMMEDIATE, HOLE_LENGTH, HOLE_OFFSET, HOLE_PAGE_BASE } from './holes.ts'
import {
  EXIT_TEMPORARY,
  FIRST_NAMED,
  LOCAL_TYPES,
  MARK_BRANCH,
  MARK_FAIL,
  MARK_GIVEN_UP,
  MARK_INTERPRET,
  MARK_JUMP,
  MARK_MISS,
  MARK_RETIRE,
  PATCH_32,
  PATCH_64,
  PATCH_ADDRESS,
  PATCH_FLAG,
  PATCH_OFFSET,
  PATCH_REGISTER,
  PATCH_TEMPORARY,
  PATCH_TYPE,
  PATCH_WORDS,
} from './template.ts'
import type { Template } from './template.ts'
import type { FormTemplates, Templates } from './templates.ts'

const REGISTERS = 16
const I32_CONST = 0x41
const I64_CONST = 0x42
const I32_TYPE = LOCAL_TYPES.indexOf('i32')
const I64_TYPE = LOCAL_TYPES.indexOf('i64')

/** x86's part of a unit of the first tier: the code of its instructions is copied from templates. */
export class TemplateUnit implements UnitSemantics<FormSource> {
  readonly f: RegionFunction
  readonly #memory: MachineMemory
  readonly #templates: Templates
  readonly #forms: Map<number, FormTemplates>
  readonly #module: ModuleBuilder
  readonly #mode: number
  readonly #processor: number
  readonly #state: I32
  readonly #known: StateKnowledge
  readonly #flags: readonly [Local<'i32'>, Local<'i64'>, Local<'i64'>, Local<'i64'>]
  /** All of them from the beginning: a local that is taken later may hold what is needed for a moment in code before. */
  readonly #registers: readonly Local<'i64'>[]
  /** By type and number. */
  readonly #temporaries = new Map<number, Local>()
  /** General registers that are used, that are written. */
  #used = 0
  #written = 0
  /** The kind of the flags, where it is known. */
  #kind: number | undefined
  /** Kinds that control has come with to a block where edges meet; null where they differ. */
  readonly #meeting: (number | null | undefined)[] = []

  /** @param f - the unit's function, still empty */
  constructor(
    f: RegionFunction,
    module: ModuleBuilder,
    memory: MachineMemory,
    templates: Templates,
    { mode, state }: UnitDescription<FormSource>,
  ) {
    this.f = f
    this.#module = module
    this.#memory = memory
    this.#templates = templates
    this.#mode = mode
    this.#processor = state
    this.#forms = templates.for(mode, state)
    this.#state = f.param(0, 'i32').get
    this.#known = new StateKnowledge(memory, state, mode)
    this.#registers = Array.from({ length: REGISTERS }, () => f.local('i64'))
    this.#flags = [f.local('i32'), f.local('i64'), f.local('i64'), f.local('i64')]
  }

  // ---------------------------------------------------------------- entry and exit

  checkAssumptions(leaveIf: (condition: I32) => void): void {
    this.#known.check(this.f, leaveIf)
  }

  assumptions(): (state: number) => boolean {
    return this.#known.test()
  }

  load(): void {
    this.#loadRegisters()
    this.#loadFlags()
  }

  store(): void {
    this.#storeRegisters()
    this.#storeFlags()
  }

  #loadFlags(): void {
    const { f } = this
    const [kind, a, b, result] = this.#flags
    f.set(kind, f.loadExpression('i32.load', this.#state, S_FLAGS_KIND))
    f.set(a, f.loadExpression('i64.load', this.#state, S_FLAGS_A))
    f.set(b, f.loadExpression('i64.load', this.#state, S_FLAGS_B))
    f.set(result, f.loadExpression('i64.load', this.#state, S_FLAGS_RESULT))
  }

  #storeFlags(): void {
    const { f } = this
    const [kind, a, b, result] = this.#flags
    f.store('i32.store', this.#state, kind.get, S_FLAGS_KIND)
    f.store('i64.store', this.#state, a.get, S_FLAGS_A)
    f.store('i64.store', this.#state, b.get, S_FLAGS_B)
    f.store('i64.store', this.#state, result.get, S_FLAGS_RESULT)
  }

  #loadRegisters(): void {
    for (let i = 0; i < REGISTERS; i++) {
      if (((this.#used >>> i) & 1) === 0) continue
      this.f.set(this.#registers[i]!, this.f.loadExpression('i64.load', this.#state, S_GPR + 8 * i))
    }
  }

  #storeRegisters(): void {
    for (let i = 0; i < REGISTERS; i++) {
      if (((this.#written >>> i) & 1) !== 0)
        this.f.store('i64.store', this.#state, this.#registers[i]!.get, S_GPR + 8 * i)
    }
  }

  // ---------------------------------------------------------------- control flow

  settle(): void {
    // The locals always hold the flags.
  }

  beginLoop(): void {
    this.#kind = undefined
  }

  meet(block: number): void {
    const known = this.#meeting[block]
    const kind = this.#kind ?? null
    this.#meeting[block] = known === undefined || known === kind ? kind : null
  }

  merge(block: number): void {
    this.#kind = this.#meeting[block] ?? undefined
  }

  aside(build: () => void): void {
    const kind = this.#kind
    build()
    this.#kind = kind
  }

  // ---------------------------------------------------------------- instructions

  emit({ form, record }: RegionInstruction<FormSource>, exits: InstructionExits): void {
    const templates = this.#templates
    const template = templates.find(this.#forms, form!, record, exits.onMiss, this.#kind, this.#mode, this.#processor)
    // Other instructions are looked up before this one's code is complete.
    const named = [...templates.record.named]
    this.#use(template, named)
    if (template.assumptions.length > 0) this.#known.assume(template.assumptions)
    this.#copy(template, record, named, exits)
    if (template.kind !== undefined) this.#kind = template.kind ?? undefined
  }

  #use({ used, written }: Template, named: readonly number[]): void {
    this.#used |= used & 0xffff
    this.#written |= written & 0xffff
    for (let i = 0; i < named.length; i++) {
      const bit = 1 << (FIRST_NAMED + i)
      if ((used & bit) !== 0) this.#used |= 1 << named[i]!
      if ((written & bit) !== 0) this.#written |= 1 << named[i]!
    }
  }

  #copy({ bytes, patches }: Template, record: number, named: readonly number[], exits: InstructionExits): void {
    const out = this.f.code
    let at = 0
    for (let i = 0; i < patches.length; i += PATCH_WORDS) {
      const from = patches[i]!
      out.range(bytes, at, from)
      at = patches[i + 1]!
      this.#patch(out, patches[i + 2]!, patches[i + 3]!, record, named, exits)
    }
    out.range(bytes, at, bytes.length)
  }

  #patch(
    out: ByteWriter,
    patch: number,
    what: number,
    record: number,
    named: readonly number[],
    exits: InstructionExits,
  ): void {
    switch (patch) {
      case PATCH_REGISTER:
        out.leb(this.#registers[what < FIRST_NAMED ? what : named[what - FIRST_NAMED]!]!.index)
        break
      case PATCH_FLAG:
        out.leb(this.#flags[what]!.index)
        break
      case PATCH_TEMPORARY:
        out.leb(this.#temporary(what).index)
        break
      case PATCH_64:
        this.#constant(out, what, record, exits)
        break
      case PATCH_32:
        this.#lowConstant(out, what, record, exits)
        break
      case PATCH_OFFSET:
        out.leb(named[what >>> 12]! + (what & 4095))
        break
      case PATCH_ADDRESS:
        out.u8(I32_CONST)
        out.leb32(named[what >>> 12]! + (what & 4095))
        break
      case PATCH_TYPE:
        out.leb(this.#module.typeIndex(this.#templates.signatures[what]!))
        break
      default:
        this.#patchMark(what, exits)
    }
  }

  /** Apart from the others, which then need no closure. */
  #patchMark(what: number, exits: InstructionExits): void {
    this.f.within(what >>> 8, () => this.#mark(what & 0xff, exits))
  }

  #temporary(what: number): Local {
    let local = this.#temporaries.get(what)
    if (local === undefined) this.#temporaries.set(what, (local = this.f.reserve(LOCAL_TYPES[what >>> 8]!)))
    return local
  }

  #lowConstant(out: ByteWriter, hole: number, record: number, exits: InstructionExits): void {
    if (hole === HOLE_PAGE_BASE) {
      exits.pageBase().toI32().emit(out)
      return
    }
    out.u8(I32_CONST)
    out.leb32(this.#low(hole, record))
  }

  #low(hole: number, record: number): number {
    const { u8, u16, i32 } = this.#memory
    switch (hole) {
      case HOLE_IMMEDIATE:
        return i32[(record + R_IMM) >>> 2]!
      case HOLE_DISPLACEMENT:
        return i32[(record + R_DISP) >>> 2]!
      case HOLE_OFFSET:
        return u16[(record + R_OFFSET) >>> 1]!
      case HOLE_LENGTH:
        return u8[record + R_LENGTH]!
      default:
        throw new TypeError('a constant of 64 bits')
    }
  }

  #constant(out: ByteWriter, hole: number, record: number, exits: InstructionExits): void {
    if (hole === HOLE_PAGE_BASE) {
      exits.pageBase().emit(out)
      return
    }
    const low = this.#low(hole, record)
    const high = hole === HOLE_IMMEDIATE ? this.#memory.i32[(record + R_IMM + 4) >>> 2]! : low >> 31
    out.u8(I64_CONST)
    // The encoding of a number does not depend on its width.
    if (high === low >> 31) out.leb32(low)
    else out.leb64((BigInt(high) << 32n) | BigInt(low >>> 0))
  }

  #mark(mark: number, exits: InstructionExits): void {
    switch (mark) {
      case MARK_INTERPRET:
        exits.interpret()
        break
      case MARK_MISS:
        exits.miss()
        break
      case MARK_FAIL:
        exits.fail((this.#temporary(256 * I32_TYPE + EXIT_TEMPORARY) as Local<'i32'>).get)
        break
      case MARK_RETIRE:
        exits.retire()
        break
      case MARK_BRANCH:
        exits.branch()
        break
      case MARK_JUMP:
        exits.jump((this.#temporary(256 * I64_TYPE + EXIT_TEMPORARY) as Local<'i64'>).get)
        break
      case MARK_GIVEN_UP:
        exits.leaveIfGivenUp()
        break
      default:
        // Which registers are written is not known yet.
        this.f.later(() => this.#storeRegisters())
    }
  }

  // ---------------------------------------------------------------- calls

  spill(insn: RegionInstruction<FormSource>): void {
    // Which registers are in locals is not known yet.
    this.f.later(() => this.#storeRegisters())
    if (usesFlags(this.#memory, insn)) this.#storeFlags()
  }

  reload(insn: RegionInstruction<FormSource>): void {
    this.f.later(() => this.#loadRegisters())
    if (!usesFlags(this.#memory, insn)) return
    this.#loadFlags()
    this.#kind = undefined
  }
}
