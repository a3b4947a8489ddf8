import {
  F32,
  F64,
  extractLane,
  numeric,
  replaceLane,
  type FunctionBuilder,
  I32,
  type I64,
  type LoadOp,
  type Local,
  type StoreOp,
  type V128,
  type Value,
} from '@retrap/wasm-emitter'
import { isDenormal } from '@retrap/soft-float'
import { S_NO_MASK, S_OPMASK, S_XMM } from '../state/state-layout.ts'
import { denormalBits, type Constants } from '../semantics/vector/sse-float-packed.ts'
import {
  NORMAL_LOW,
  NORMAL_LOWER,
  NORMAL_SINGLE_SHIFT,
  NORMAL_TOP,
  NORMAL_UPPER,
  type NormalSet,
} from './normal-demand.ts'
import { VECTOR_REGISTERS, type VectorPlan } from './vector-plan.ts'

/** Bytes of a vector register in the state. */
const REGISTER_BYTES = 64
const XMM_END = S_XMM + REGISTER_BYTES * VECTOR_REGISTERS

/** The locals of a vector register. */
interface VectorRegister {
  /** Its 128-bit lanes, as many as the region's instructions use; the lowest element is stale where `low` holds it. */
  readonly lanes: readonly Local<'v128'>[]
  /** The lowest element, of a register that is mostly used as a scalar. */
  readonly low: Local<'f64'> | Local<'f32'> | undefined
  /** Bit i: lane i is used; is written. {@link LOW} is the bit of `low`. */
  used: number
  written: number
  /** Elements that are known not to be denormal where control is. */
  normal: NormalSet
}

const LOW = 16
/** The locals of a mask register. */
interface MaskRegister {
  readonly bits: Local<'i64'>
  isUsed: boolean
  isWritten: boolean
}

/** Sets of elements by the number of lanes; and of each lane beyond those that a shift of a set has in common. */
const NORMAL_ALL: number = NORMAL_LOW | NORMAL_LOWER | NORMAL_UPPER | NORMAL_TOP
const LANES = [NORMAL_LOWER, NORMAL_UPPER, NORMAL_TOP, NORMAL_TOP] as const
/** The elements that a lane has, of both types. */
const elementsOf = (lane: number): NormalSet => {
  const set = lane === 0 ? NORMAL_LOW | NORMAL_LOWER : LANES[lane]!
  return set | (set << NORMAL_SINGLE_SHIFT)
}
/** The elements of the lowest lanes; of none, the lowest element. */
const elementsBelow = (lanes: number): NormalSet =>
  lanes === 0 ? NORMAL_LOW : LANES.slice(0, lanes).reduce<number>((all, lane) => all | lane, 0)

/**
 * Vector registers of a region, in locals, and masks. Registers that the region's instructions do not name stay in the state.
 *
 * A register that scalar instructions use has its lowest element in a local of its own, so that chains of scalar
 * arithmetic need no vector instructions.
 */
export class VectorRegisters {
  readonly #f: FunctionBuilder
  readonly #registers: readonly (VectorRegister | undefined)[]
  readonly #masks: readonly MaskRegister[]

  constructor(f: FunctionBuilder, { registers, hasMasks }: VectorPlan) {
    this.#f = f
    this.#registers = registers.map((planned): VectorRegister | undefined => {
      if (planned === undefined) return undefined
      const { format, lanes } = planned
      return {
        lanes: Array.from({ length: lanes }, () => f.local('v128')),
        low: format === 'whole' ? undefined : format === 'f64' ? f.local('f64') : f.local('f32'),
        used: 0,
        written: 0,
        normal: 0,
      }
    })
    this.#masks = Array.from({ length: hasMasks ? 8 : 0 }, () => ({
      bits: f.local('i64'),
      isUsed: false,
      isWritten: false,
    }))
  }

  /** Whether a field of the state is in locals. */
  holds(at: number): boolean {
    if (at >= S_OPMASK && at < S_NO_MASK) return this.#masks.length > 0
    if (at < S_XMM || at >= XMM_END) return false
    const register = this.#registers[Math.floor((at - S_XMM) / REGISTER_BYTES)]
    return register !== undefined && (at - S_XMM) % REGISTER_BYTES < 16 * register.lanes.length
  }

  #at(at: number): { readonly register: VectorRegister; readonly offset: number } {
    const register = this.#registers[Math.floor((at - S_XMM) / REGISTER_BYTES)]
    if (register === undefined) throw new RangeError(`state field ${at} is in no local`)
    return { register, offset: (at - S_XMM) % REGISTER_BYTES }
  }

  /** The mask register of a field. */
  #mask(at: number): MaskRegister | undefined {
    return at >= S_OPMASK ? this.#masks[(at - S_OPMASK) >> 3] : undefined
  }

  // ---------------------------------------------------------------- reads

  /** Returns the value of a load of a field. */
  read(op: LoadOp, at: number): Value {
    const mask = this.#mask(at)
    if (mask !== undefined) {
      mask.isUsed = true
      return readPart(op, mask.bits.get, at & 7)
    }
    const { register, offset } = this.#at(at)
    if (offset >= 16) return readLanes(op, this.#lane(register, offset >> 4), offset & 15)
    const { low } = register
    if (low !== undefined && offset === 0 && op === `${low.type}.load`) {
      register.used |= LOW
      return low.get as Value
    }
    if (low?.type === 'f64' && offset < 8 && op !== 'v128.load') {
      register.used |= LOW
      return op === 'f32.load' ? f32Of(low.get.asI64(), offset) : readPart(op, low.get.asI64(), offset)
    }
    // Beyond the lowest element nothing is stale.
    return readLanes(op, offset < 8 || op === 'v128.load' ? this.#whole(register) : this.#lane(register, 0), offset)
  }

  #lane(register: VectorRegister, lane: number): V128 {
    register.used |= 1 << lane
    return register.lanes[lane]!.get
  }

  #whole(register: VectorRegister): V128 {
    const { low } = register
    const lower = this.#lane(register, 0)
    if (low === undefined) return lower
    register.used |= LOW
    return low.type === 'f64'
      ? replaceLane('f64x2.replace_lane', lower, 0, low.get)
      : replaceLane('f32x4.replace_lane', lower, 0, low.get)
  }

  // ---------------------------------------------------------------- writes

  /** Stores to a field. */
  write(op: StoreOp, at: number, value: Value): void {
    const f = this.#f
    const mask = this.#mask(at)
    if (mask !== undefined) {
      mask.isUsed = mask.isWritten = true
      f.set(mask.bits, writePart(op, mask.bits.get, value, at & 7))
      return
    }
    const { register, offset } = this.#at(at)
    const { low } = register
    const lane = offset >> 4
    register.normal &= ~elementsOf(lane)
    if (lane > 0) {
      this.#change(register, lane)
      const local = register.lanes[lane]!
      f.set(local, writeLanes(f, op, local.get, value, offset & 15))
    } else if (low !== undefined && offset === 0 && op === `${low.type}.store`) {
      this.#writeLow(register, value)
    } else if (low?.type === 'f64' && offset < 8 && op !== 'v128.store') {
      const bits = value instanceof F32 ? value.asI32() : value
      const name = value instanceof F32 ? 'i32.store' : op
      this.#writeLow(register, F64.ofBits(writePart(name, low.get.asI64(), bits, offset)))
    } else {
      const old = offset < 8 ? this.#whole(register) : this.#lane(register, 0)
      const changed = f.let(writeLanes(f, op, old, value, offset))
      this.#change(register, 0)
      f.set(register.lanes[0]!, changed)
      if (low !== undefined && (offset < 8 || op === 'v128.store')) this.#writeLow(register, lowest(low, changed))
    }
  }

  /** Notes that a lane is used and written. */
  #change(register: VectorRegister, lane: number): void {
    register.used |= 1 << lane
    register.written |= 1 << lane
  }

  #writeLow(register: VectorRegister, value: Value): void {
    register.used |= LOW
    register.written |= LOW
    this.#f.set(register.low as Local<'f64'>, value as F64)
  }

  /** Copies the lower 128 bits of a register. */
  copy(toAt: number, fromAt: number): void {
    const [to, from] = [this.#at(toAt).register, this.#at(fromAt).register]
    if (to === from) return
    if (to.low?.type !== from.low?.type) this.write('v128.store', toAt, this.#f.let(this.#whole(from)))
    else {
      this.#change(to, 0)
      this.#f.set(to.lanes[0]!, this.#lane(from, 0))
      if (from.low !== undefined) {
        from.used |= LOW
        this.#writeLow(to, from.low.get as Value)
      }
    }
    to.normal = (to.normal & ~elementsOf(0)) | (from.normal & elementsOf(0))
  }

  // ---------------------------------------------------------------- what is known

  /** Whether a register's elements of a type are no denormal numbers: the lowest one, or those of this many lanes. */
  isNormal(at: number, bits: 32 | 64, lanes: number): boolean {
    const known = this.#at(at).register.normal >>> (bits === 64 ? 0 : NORMAL_SINGLE_SHIFT)
    const needed = elementsBelow(lanes)
    return (known & needed) === needed
  }

  /** Says so from here on. */
  setNormal(at: number, bits: 32 | 64, lanes: number): void {
    const known = NORMAL_LOW | elementsBelow(lanes)
    this.#at(at).register.normal |= known << (bits === 64 ? 0 : NORMAL_SINGLE_SHIFT)
  }

  /**
   * Emits tests of the elements that are in a demand and of which nothing is known.
   *
   * @param demand - by register; of those that are in locals
   * @returns 1 if some of them are denormal; undefined if all are known not to be
   */
  isAnyDenormal(constants: Constants, demand: readonly NormalSet[]): I32 | undefined {
    const tests: I32[] = []
    for (const [at, register, i] of this.#entries()) {
      for (const bits of [64, 32] as const) {
        const set = (demand[i]! >>> (bits === 64 ? 0 : NORMAL_SINGLE_SHIFT)) & NORMAL_ALL
        const whole = bits === 64 ? 'f64' : 'f32'
        if ((set & NORMAL_LOW) !== 0 && (set & NORMAL_LOWER) === 0 && !this.isNormal(at, bits, 0)) {
          tests.push(isDenormal(bits, this.read(`${whole}.load`, at) as F64))
        }
        const known = register.normal >>> (bits === 64 ? 0 : NORMAL_SINGLE_SHIFT)
        for (const lane of register.lanes.keys()) {
          if ((set & ~known & LANES[lane]!) === 0) continue
          const value = this.read('v128.load', at + 16 * lane) as V128
          tests.push(numeric('v128.any_true', denormalBits(constants, bits, value)))
        }
      }
    }
    return tests.length === 0 ? undefined : tests.reduce((any, test) => any.or(test))
  }

  /** The known facts, to be given back where control comes from the same place. */
  get knowledge(): readonly NormalSet[] {
    return this.#registers.map((register) => register?.normal ?? 0)
  }

  set knowledge(known: readonly NormalSet[]) {
    for (const [i, register] of this.#registers.entries()) if (register !== undefined) register.normal = known[i] ?? 0
  }

  // ---------------------------------------------------------------- the state

  /** Loads what the region uses, as far as is known by now. */
  load(state: I32): void {
    const f = this.#f
    for (const [at, { lanes, low, used }] of this.#entries()) {
      for (const [i, lane] of lanes.entries())
        if (((used >>> i) & 1) !== 0) f.set(lane, f.loadExpression('v128.load', state, at + 16 * i))
      if (low !== undefined && (used & LOW) !== 0) {
        f.set(low as Local<'f64'>, f.loadExpression(`${low.type}.load` as 'f64.load', state, at))
      }
    }
    for (const [i, { bits, isUsed }] of this.#masks.entries())
      if (isUsed) f.set(bits, f.loadExpression('i64.load', state, S_OPMASK + 8 * i))
  }

  /** Stores what the region writes, as far as is known by now. */
  store(state: I32): void {
    const f = this.#f
    for (const [at, { lanes, low, written }] of this.#entries()) {
      for (const [i, lane] of lanes.entries())
        if (((written >>> i) & 1) !== 0) f.store('v128.store', state, lane.get, at + 16 * i)
      if (low !== undefined && (written & LOW) !== 0) {
        f.store(`${low.type}.store` as 'f64.store', state, low.get as F64, at)
      }
    }
    for (const [i, { bits, isWritten }] of this.#masks.entries())
      if (isWritten) f.store('i64.store', state, bits.get, S_OPMASK + 8 * i)
  }

  /** Emits stores of all registers, before a call that may read or write them. */
  spill(state: I32): void {
    for (const [, register] of this.#entries())
      register.used = register.written = LOW | ((1 << register.lanes.length) - 1)
    for (const mask of this.#masks) mask.isUsed = mask.isWritten = true
    this.store(state)
  }

  /** Emits loads of all registers, after such a call. */
  reload(state: I32): void {
    this.knowledge = []
    this.load(state)
  }

  *#entries(): Generator<readonly [at: number, register: VectorRegister, number: number]> {
    for (const [i, register] of this.#registers.entries()) {
      if (register !== undefined) yield [S_XMM + REGISTER_BYTES * i, register, i]
    }
  }
}

function lowest(low: Local<'f64'> | Local<'f32'>, vector: V128): Value {
  return low.type === 'f64'
    ? extractLane('f64x2.extract_lane', vector, 0)
    : extractLane('f32x4.extract_lane', vector, 0)
}

function f32Of(half: I64, offset: number): F32 {
  return F32.ofBits(half.shrU(8 * offset).toI32())
}

/** Returns the value of a load at a byte of a vector. */
function readLanes(op: LoadOp, vector: V128, offset: number): Value {
  switch (op) {
    case 'v128.load':
      return vector
    case 'f64.load':
      return extractLane('f64x2.extract_lane', vector, offset >>> 3)
    case 'f32.load':
      return extractLane('f32x4.extract_lane', vector, offset >>> 2)
    case 'i32.load':
      return extractLane('i32x4.extract_lane', vector, offset >>> 2)
    case 'i64.load32_u':
      return extractLane('i32x4.extract_lane', vector, offset >>> 2).toI64U()
    case 'i64.load32_s':
      return extractLane('i32x4.extract_lane', vector, offset >>> 2).toI64S()
    default:
      return readPart(op, extractLane('i64x2.extract_lane', vector, offset >>> 3), offset & 7)
  }
}

/** A vector after a store at one of its bytes. */
function writeLanes(f: FunctionBuilder, op: StoreOp, vector: V128, value: Value, offset: number): V128 {
  switch (op) {
    case 'v128.store':
      return value as V128
    case 'f64.store':
      return replaceLane('f64x2.replace_lane', vector, offset >>> 3, value as F64)
    case 'f32.store':
      return replaceLane('f32x4.replace_lane', vector, offset >>> 2, value as F32)
    case 'i32.store':
      return replaceLane('i32x4.replace_lane', vector, offset >>> 2, value as I32)
    case 'i64.store32':
      return replaceLane('i32x4.replace_lane', vector, offset >>> 2, (value as I64).toI32())
    case 'i64.store':
      return replaceLane('i64x2.replace_lane', vector, offset >>> 3, value as I64)
    default: {
      const old = f.let(vector)
      const half = extractLane('i64x2.extract_lane', old, offset >>> 3)
      return replaceLane('i64x2.replace_lane', old, offset >>> 3, writePart(op, half, value, offset & 7))
    }
  }
}

/** Parts of a register whose 64 bits are in a local, as loads and stores of its field in the state name them. */

const PARTS: { readonly [Op in LoadOp]?: (register: I64) => Value } = {
  'i64.load': (register) => register,
  'i64.load8_s': (register) => register.extend8S(),
  'i64.load8_u': (register) => register.and(0xff),
  'i64.load16_s': (register) => register.extend16S(),
  'i64.load16_u': (register) => register.and(0xffff),
  'i64.load32_s': (register) => register.extend32S(),
  'i64.load32_u': (register) => register.and(0xffff_ffffn),
  'i32.load': (register) => register.toI32(),
  'i32.load8_u': (register) => register.toI32().and(0xff),
  'i32.load16_u': (register) => register.toI32().and(0xffff),
}

/** Returns the value of a load of integers at byte `at` of a 64-bit register. */
export function readPart(op: LoadOp, register: I64, at: number): Value {
  const part = PARTS[op]
  if (part === undefined) throw new TypeError(`a register is not read by ${op}`)
  return part(at === 0 ? register : register.shrU(8 * at))
}

/** A store of an integer: its type's bits, and those that it writes if these are fewer. */
const INTEGER_STORE = /^i(\d+)\.store(\d*)/

/** A 64-bit register after a store of integers at its byte `at`. */
export function writePart(op: StoreOp, register: I64, given: Value, at: number): I64 {
  const value = given instanceof I32 ? given.toI64U() : (given as I64)
  const [, width, narrow] = INTEGER_STORE.exec(op) ?? []
  if (width === undefined) throw new TypeError(`a register is not written by ${op}`)
  const bits = Number(narrow || width)
  if (bits === 64) return value
  const shift = 8 * at
  const mask = (1n << BigInt(bits)) - 1n
  const kept = register.and(BigInt.asIntN(64, ~(mask << BigInt(shift))))
  return kept.or(value.and(mask).shl(shift))
}
