import type { CodeWriter, CopiedExits, CopiedUnit, Flow, MissAction, StateAssumption } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { ModuleBuilder } from '@retrap/wasm-emitter'
import type { FormSource } from '../../interpreter/form-context.ts'
import { R_DISP, R_IMM, R_LENGTH, R_OFFSET } from '../../interpreter/record.ts'
import { S_FLAGS_A, S_FLAGS_B, S_FLAGS_KIND, S_FLAGS_RESULT, S_GPR } from '../../state-layout.ts'
import { StateKnowledge } from '../known-state.ts'
import { usesFlags } from '../x86-unit.ts'
import { HOLE_DISPLACEMENT, HOLE_IMMEDIATE, HOLE_LENGTH, HOLE_OFFSET, HOLE_PAGE_BASE, MOST_NAMED } from './holes.ts'
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
  PATCH_MARK,
  PATCH_OFFSET,
  PATCH_REGISTER,
  PATCH_TEMPORARY,
  PATCH_TYPE,
  PATCH_WORDS,
} from './template.ts'
import type { Template } from './template.ts'
import type { TemplateState, Templates } from './templates.ts'

const REGISTERS = 16
/** More than a unit has. */
const MOST_INSTRUCTIONS = 256

// WebAssembly's instructions and types, by their first bytes (core specification 5.3 and 5.4).
const I32_CONST = 0x41
const I64_CONST = 0x42
const I32_WRAP_I64 = 0xa7
const I32_LOAD = 0x28
const I64_LOAD = 0x29
const I32_STORE = 0x36
const I64_STORE = 0x37
const I32_NE = 0x47
const I32_OR = 0x72
const I64_NE = 0x52
const LOADS: Readonly<Record<string, number>> = {
  'i32.load': I32_LOAD,
  'i64.load': I64_LOAD,
  'i32.load8_u': 0x2d,
  'i32.load16_u': 0x2f,
  'i64.load32_u': 0x35,
}
const TYPE_CODES: Readonly<Record<string, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b }
const I32_TYPE = LOCAL_TYPES.indexOf('i32')
const I64_TYPE = LOCAL_TYPES.indexOf('i64')

/** The flags' fields, in the order of their locals. */
const FLAG_FIELDS = [S_FLAGS_KIND, S_FLAGS_A, S_FLAGS_B, S_FLAGS_RESULT]
/** The unit's first parameter. */
const STATE = 0

/** x86's part of a unit of the first tier: the code of its instructions is copied from templates. */
export class TemplateUnit implements CopiedUnit<FormSource> {
  readonly #memory: MachineMemory
  readonly #templates: Templates
  #state!: TemplateState
  #module!: ModuleBuilder
  #mode = 0
  #processor = 0
  #known!: StateKnowledge
  /** By the numbers of instructions. */
  readonly #planned: (Template | undefined)[] = Array.from({ length: MOST_INSTRUCTIONS }, () => undefined)
  readonly #named = new Int32Array(MOST_INSTRUCTIONS * MOST_NAMED)
  /** Whether the function that executes it uses flags. */
  readonly #callsWithFlags = new Uint8Array(MOST_INSTRUCTIONS)
  /** General registers that are used, that are written. */
  #used = 0
  #written = 0
  #usesFlags = false
  #changesFlags = false
  /** The kind of the flags, where it is known. */
  #kind: number | undefined
  /** Indices of locals: of the flags' first, of the registers, and of the first temporary of each type. */
  #firstFlag = 0
  readonly #registers = new Uint16Array(REGISTERS)
  readonly #temporaries = new Uint16Array(LOCAL_TYPES.length)
  /** Count of temporaries of each type that an instruction has. */
  readonly #counts = new Uint16Array(LOCAL_TYPES.length)
  /** Indices of the types of the functions that templates call, plus one. */
  readonly #types: number[] = []

  constructor(memory: MachineMemory, templates: Templates) {
    this.#memory = memory
    this.#templates = templates
  }

  /** Begins a unit. */
  begin(module: ModuleBuilder, mode: number, state: number): this {
    this.#module = module
    this.#mode = mode
    this.#processor = state
    this.#state = this.#templates.for(mode, state)
    this.#known = new StateKnowledge(this.#memory, state, mode)
    this.#used = 0
    this.#written = 0
    this.#usesFlags = false
    this.#changesFlags = false
    this.#counts.fill(0)
    this.#types.length = 0
    return this
  }

  // ---------------------------------------------------------------- plan

  forget(): void {
    this.#kind = undefined
  }

  plan(i: number, form: FormSource, record: number, onMiss: MissAction): void {
    const templates = this.#templates
    const template = templates.find(this.#state, form, record, onMiss, this.#kind, this.#mode, this.#processor)
    this.#planned[i] = template
    this.#use(i, template, templates.record.named)
    if (template.assumptions.length > 0) this.#known.assume(template.assumptions)
    if (template.kind === undefined) return
    this.#kind = template.kind ?? undefined
    this.#changesFlags = true
  }

  #use(i: number, { used, written, readsFlags, temporaries }: Template, named: readonly number[]): void {
    this.#used |= used & 0xffff
    this.#written |= written & 0xffff
    for (let n = 0; n < named.length; n++) {
      const register = named[n]!
      this.#named[i * MOST_NAMED + n] = register
      const bit = 1 << (FIRST_NAMED + n)
      if ((used & bit) !== 0) this.#used |= 1 << register
      if ((written & bit) !== 0) this.#written |= 1 << register
    }
    if (readsFlags) this.#usesFlags = true
    const counts = this.#counts
    for (let type = 0; type < counts.length; type++) {
      if (temporaries[type]! > counts[type]!) counts[type] = temporaries[type]!
    }
  }

  planCall(i: number, form: FormSource | undefined, record: number, flow: Flow): void {
    const uses = usesFlags(this.#memory, record, flow, form)
    this.#callsWithFlags[i] = uses ? 1 : 0
    if (!uses) return
    this.#kind = undefined
    this.#usesFlags = true
    this.#changesFlags = true
  }

  // ---------------------------------------------------------------- entry and exit

  declare(out: CodeWriter, first: number): number {
    let next = first
    let groups = 0
    const declare = (count: number, type: string): number => {
      const from = next
      if (count > 0) {
        out.leb(count)
        out.u8(TYPE_CODES[type]!)
        groups++
        next += count
      }
      return from
    }
    this.#firstFlag = declare(1, 'i32')
    declare(FLAG_FIELDS.length - 1, 'i64')
    let register = next
    for (let i = 0; i < REGISTERS; i++) if (((this.#used >>> i) & 1) !== 0) this.#registers[i] = register++
    declare(register - next, 'i64')
    for (const [type, name] of LOCAL_TYPES.entries()) {
      // One more for what exits need.
      const isForExits = type === I32_TYPE || type === I64_TYPE
      this.#temporaries[type] = declare(this.#counts[type]! + (isForExits ? 1 : 0), name)
    }
    return groups
  }

  differs(out: CodeWriter): boolean {
    const { assumptions } = this.#known
    for (const [i, { op, offset, value }] of assumptions.entries()) {
      const isWide = op.startsWith('i64')
      out.get(STATE)
      out.access(LOADS[op]!, offset)
      out.u8(isWide ? I64_CONST : I32_CONST)
      out.leb64(BigInt.asIntN(isWide ? 64 : 32, value))
      out.u8(isWide ? I64_NE : I32_NE)
      if (i > 0) out.u8(I32_OR)
    }
    return assumptions.length > 0
  }

  assumptions(): readonly StateAssumption[] {
    return this.#known.fields
  }

  load(out: CodeWriter): void {
    this.#loadRegisters(out)
    if (this.#usesFlags || this.#changesFlags) this.#loadFlags(out)
  }

  store(out: CodeWriter): void {
    this.#storeRegisters(out)
    if (this.#changesFlags) this.#storeFlags(out)
  }

  #loadFlags(out: CodeWriter): void {
    for (let i = 0; i < FLAG_FIELDS.length; i++) {
      out.get(STATE)
      out.access(i === 0 ? I32_LOAD : I64_LOAD, FLAG_FIELDS[i]!)
      out.set(this.#firstFlag + i)
    }
  }

  #storeFlags(out: CodeWriter): void {
    for (let i = 0; i < FLAG_FIELDS.length; i++) {
      out.get(STATE)
      out.get(this.#firstFlag + i)
      out.access(i === 0 ? I32_STORE : I64_STORE, FLAG_FIELDS[i]!)
    }
  }

  #loadRegisters(out: CodeWriter): void {
    for (let i = 0; i < REGISTERS; i++) {
      if (((this.#used >>> i) & 1) === 0) continue
      out.get(STATE)
      out.access(I64_LOAD, S_GPR + 8 * i)
      out.set(this.#registers[i]!)
    }
  }

  #storeRegisters(out: CodeWriter): void {
    for (let i = 0; i < REGISTERS; i++) {
      if (((this.#written >>> i) & 1) === 0) continue
      out.get(STATE)
      out.get(this.#registers[i]!)
      out.access(I64_STORE, S_GPR + 8 * i)
    }
  }

  // ---------------------------------------------------------------- instructions

  copy(out: CodeWriter, i: number, record: number, exits: CopiedExits): void {
    const { bytes, patches } = this.#planned[i]!
    const named = i * MOST_NAMED
    let at = 0
    for (let p = 0; p < patches.length; p += PATCH_WORDS) {
      const from = patches[p]!
      out.range(bytes, at, from)
      at = patches[p + 1]!
      this.#patch(out, patches[p + 2]!, patches[p + 3]!, record, named, exits)
    }
    out.range(bytes, at, bytes.length)
  }

  /** @param named - where the registers that the instruction names are */
  #patch(out: CodeWriter, patch: number, what: number, record: number, named: number, exits: CopiedExits): void {
    switch (patch) {
      case PATCH_REGISTER:
        out.leb(this.#registers[what < FIRST_NAMED ? what : this.#named[named + what - FIRST_NAMED]!]!)
        break
      case PATCH_FLAG:
        out.leb(this.#firstFlag + what)
        break
      case PATCH_TEMPORARY:
        out.leb(this.#temporary(what))
        break
      case PATCH_64:
        this.#constant(out, what, record, exits)
        break
      case PATCH_32:
        this.#lowConstant(out, what, record, exits)
        break
      case PATCH_OFFSET:
        out.leb(this.#named[named + (what >>> 12)]! + (what & 4095))
        break
      case PATCH_ADDRESS:
        out.i32(this.#named[named + (what >>> 12)]! + (what & 4095))
        break
      case PATCH_TYPE:
        out.leb(this.#typeIndex(what))
        break
      case PATCH_MARK:
        this.#mark(out, what & 0xff, what >>> 8, exits)
        break
      default:
        throw new TypeError('no such patch')
    }
  }

  #typeIndex(signature: number): number {
    return (this.#types[signature] ??= this.#module.typeIndex(this.#templates.signatures[signature]!))
  }

  #temporary(what: number): number {
    const type = what >>> 8
    const number = what & 0xff
    return this.#temporaries[type]! + (number === EXIT_TEMPORARY ? this.#counts[type]! : number)
  }

  #lowConstant(out: CodeWriter, hole: number, record: number, exits: CopiedExits): void {
    if (hole === HOLE_PAGE_BASE) {
      exits.pageBase()
      out.u8(I32_WRAP_I64)
    } else out.i32(this.#low(hole, record))
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

  #constant(out: CodeWriter, hole: number, record: number, exits: CopiedExits): void {
    if (hole === HOLE_PAGE_BASE) {
      exits.pageBase()
      return
    }
    const low = this.#low(hole, record)
    const high = hole === HOLE_IMMEDIATE ? this.#memory.i32[(record + R_IMM + 4) >>> 2]! : low >> 31
    if (high === low >> 31) {
      out.i64(low)
      return
    }
    out.u8(I64_CONST)
    out.leb64((BigInt(high) << 32n) | BigInt(low >>> 0))
  }

  #mark(out: CodeWriter, mark: number, depth: number, exits: CopiedExits): void {
    switch (mark) {
      case MARK_INTERPRET:
        exits.interpret(depth)
        break
      case MARK_MISS:
        exits.miss(depth)
        break
      case MARK_FAIL:
        exits.fail(depth, this.#temporary(256 * I32_TYPE + EXIT_TEMPORARY))
        break
      case MARK_RETIRE:
        exits.retire(depth)
        break
      case MARK_BRANCH:
        exits.branch(depth)
        break
      case MARK_JUMP:
        exits.jump(depth, this.#temporary(256 * I64_TYPE + EXIT_TEMPORARY))
        break
      case MARK_GIVEN_UP:
        exits.leaveIfGivenUp(depth)
        break
      default:
        this.#storeRegisters(out)
    }
  }

  // ---------------------------------------------------------------- calls

  spill(out: CodeWriter, i: number): void {
    this.#storeRegisters(out)
    if (this.#callsWithFlags[i] !== 0) this.#storeFlags(out)
  }

  reload(out: CodeWriter, i: number): void {
    this.#loadRegisters(out)
    if (this.#callsWithFlags[i] !== 0) this.#loadFlags(out)
  }
}
