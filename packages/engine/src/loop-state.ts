import type { FunctionBuilder, I32, I64, Local } from '@retrap/wasm-emitter'
import { R_OFFSET } from './record.ts'

/**
 * The value of {@link StateLayout.attention} where attention is asked for: more than any budget, so that one comparison finds
 * either.
 */
export const ATTENTION_ASKED = 0x7fff_ffff

/**
 * Where the fields lie that the engine needs of a processor's state: byte offsets from the state's machine address.
 *
 * 64-bit fields are 8-byte aligned, the others 4-byte aligned and 32 bits wide unless they say more.
 */
export interface StateLayout {
  /** Program counter, 64 bits: of the next instruction, valid whenever the interpreter has returned. */
  readonly programCounter: number
  /** 64-bit field that is added to the program counter to give a linear address; absent where both are the same. */
  readonly programCounterBase?: number
  /** 64-bit field with a mask of the program counter in the current mode; absent: all 64 bits. */
  readonly programCounterMask?: number
  /** Mode of the code: below {@link RecordDecoder.modes}. */
  readonly mode: number
  /** Linear address of the code page that is being executed, 64 bits. */
  readonly pageBase: number
  /** Machine address of the slot table of that code page. */
  readonly slots: number
  /** Machine address of the current instruction's record, while the host runs. */
  readonly record: number
  /** A record that the interpreter writes for itself on entry: {@link RECORD_BYTES} bytes, zero at first. */
  readonly entry: number
  /** Instructions that may still retire before the interpreter returns. */
  readonly budget: number
  /** Iterations of repeated instructions, which have been charged to the budget too. */
  readonly iterations: number
  /** 0, or {@link ATTENTION_ASKED}: execution ends at the next backward branch, or branch to another page. */
  readonly attention: number
  /** Non-zero: one instruction is executed alone, so every branch leaves the interpreter. */
  readonly alone: number
  /** Machine address of the TLB set of the current access mode. */
  readonly tlb: number
  /** Machine address of the processor's counters of hot code, {@link HOT_COUNTER_BYTES}, where they are counted. */
  readonly counters: number
  /** Linear address that a unit is left for, 64 bits. */
  readonly unitTarget: number
  /** Why `fetch` found no record: a `STATUS_*`. */
  readonly fetchStatus: number
  /** The ring of return addresses: {@link RETURNS_BYTES}; absent where calls note none. */
  readonly returns?: number
  /** Areas overwritten before each instruction, so that tests detect reads of another instruction's leftovers. */
  readonly poisoned?: ScratchAreas
}

/** Areas of a state that hold nothing from one instruction to the next. */
export interface ScratchAreas {
  /** Offset and size of each area. */
  readonly areas: readonly (readonly [offset: number, bytes: number])[]
  /** 32-bit fields: if one is nonzero, the next instruction is in progress, and its data may be in an area. */
  readonly begun: readonly number[]
}

/** The byte that overwrites scratch areas: all bits are set, as each could have a meaning. */
const POISON = 0xff

/** Emits: scratch areas are overwritten. */
export function poison(f: FunctionBuilder, state: I32, { areas }: ScratchAreas): void {
  for (const [offset, bytes] of areas) f.memoryFill(state.add(offset), POISON, bytes)
}

/** Number of remembered return addresses. */
const RETURNS = 32
/** Bytes of one: machine addresses of its record, and of the slot table of the call's page. */
export const RETURN_BYTES = 8
/** Offset of the newest entry's offset in the ring. */
export const RETURN_TOP: number = RETURNS * RETURN_BYTES
/** Offsets of return addresses have these bits. */
export const RETURN_MASK: number = RETURN_TOP - RETURN_BYTES
/** Bytes of the ring. */
export const RETURNS_BYTES: number = RETURN_TOP + 8

/** Locals of the dispatch loop that inlined forms use. */
export interface DispatchLocals {
  /** Machine address of the current record. */
  readonly record: Local<'i32'>
  /** Remaining budget of instructions, with the current one already subtracted. */
  readonly budget: Local<'i32'>
  /** Status of an instruction that ends the loop. */
  readonly status: Local<'i32'>
  /** Four times the page offset of a branch's target. */
  readonly slot: Local<'i32'>
  /** Linear address of a branch's target. */
  readonly target: Local<'i64'>
}

/**
 * Values of the dispatch loop: its locals, and fields of the processor's state.
 *
 * Two locals live from one instruction to the next, record and budget, and neither across a call. V8 would store all other
 * such locals in its frame at each of their definitions, to have them after calls that are rare, and would have too few
 * registers for an instruction's own values: they are fields that are loaded where they are used. Measured, with the lazy
 * flags in fields too: 4 to 5 % of the time of a boot, of gcc and of dpkg, and 2 % of perl's.
 */
export class LoopState {
  /** The function that the loop is emitted into. */
  readonly f: FunctionBuilder
  /** The fields of the state. */
  readonly layout: StateLayout
  /** Machine address of the state. */
  readonly base: I32
  /** The loop's locals. */
  readonly locals: DispatchLocals

  /** @param f - a function whose first parameter is the state, still empty */
  constructor(f: FunctionBuilder, layout: StateLayout) {
    this.f = f
    this.layout = layout
    this.base = f.param(0, 'i32').get
    this.locals = {
      record: f.local('i32'),
      budget: f.local('i32'),
      status: f.local('i32'),
      slot: f.local('i32'),
      target: f.local('i64'),
    }
    f.storeAroundCalls(this.locals.record, this.base, layout.record)
    f.storeAroundCalls(this.locals.budget, this.base, layout.budget)
  }

  /** A 32-bit field. */
  word(offset: number): I32 {
    return this.f.loadExpression('i32.load', this.base, offset)
  }

  /** A 64-bit field. */
  double(offset: number): I64 {
    return this.f.loadExpression('i64.load', this.base, offset)
  }

  /** Linear address of the current page. */
  get pageBase(): I64 {
    return this.double(this.layout.pageBase)
  }

  /** Machine address of the current page's slot table. */
  get slots(): I32 {
    return this.word(this.layout.slots)
  }

  /** Machine address of the TLB set in use. */
  get tlb(): I32 {
    return this.word(this.layout.tlb)
  }

  /** Linear address of the instruction at the state's program counter. */
  linearProgramCounter(): I64 {
    const { programCounter, programCounterBase } = this.layout
    const counter = this.double(programCounter)
    if (programCounterBase === undefined) return counter
    return counter.add(this.double(programCounterBase))
  }

  /** Linear address of the current record's instruction. */
  currentLinear(): I64 {
    return this.pageBase.add(this.f.loadExpression('i64.load16_u', this.locals.record.get, R_OFFSET))
  }

  /** Emits: the state's program counter is set to the instruction at a linear address. */
  storeProgramCounter(linear: I64): void {
    const { programCounter, programCounterBase, programCounterMask } = this.layout
    const mask = programCounterMask === undefined ? undefined : this.double(programCounterMask)
    const counter = programCounterBase === undefined ? linear : linear.sub(this.double(programCounterBase))
    this.f.store('i64.store', this.base, mask === undefined ? counter : counter.and(mask), programCounter)
  }

  /** Emits: returns a status, with record and budget in the state. */
  return(status: I32): void {
    this.f.store('i32.store', this.base, this.locals.budget.get, this.layout.budget)
    this.f.store('i32.store', this.base, this.locals.record.get, this.layout.record)
    this.f.return(status)
  }
}
