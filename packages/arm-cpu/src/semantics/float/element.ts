import {
  controlWord,
  F_CONTROL,
  F_FLAGS,
  FC_DAZ,
  FC_DEFAULT_NAN,
  FC_FTZ,
  FC_ROUNDING_SHIFT,
  FE_DENORMAL,
  FE_INVALID,
  FE_OVERFLOW,
  FE_PRECISION,
  FE_UNDERFLOW,
  FE_ZERO_DIVIDE,
  finish,
  lowerFlags,
  raiseFlags,
  ROUND_ZERO,
  slotAt,
  unpack,
} from '@retrap/soft-float'
import type { SharedFunction, Slot } from '@retrap/soft-float'
import { I32, I64, type FunctionBuilder, type Value } from '@retrap/wasm-emitter'
import { FPCR_DN, FPCR_FZ16_SHIFT, FPCR_FZ_SHIFT, FPCR_RMODE_SHIFT } from '../../state/float-rules.ts'
import type { ArmLibrary } from '../library.ts'
import { S_FLOAT, S_FPCR, S_FPSR } from '../../state/state-layout.ts'

/** Bits of a floating-point number. */
export type Precision = 16 | 32 | 64

/** All exceptions are masked: the architecture's traps are absent. */
const MASKS: number = FE_INVALID | FE_DENORMAL | FE_ZERO_DIVIDE | FE_OVERFLOW | FE_UNDERFLOW | FE_PRECISION

/** Which denormal numbers become zero: operands, results, both, or neither. */
export type Flushed = 'both' | 'operands' | 'results' | 'none'

const FLUSHED: Readonly<Record<Flushed, number>> = { both: FC_DAZ | FC_FTZ, operands: FC_DAZ, results: FC_FTZ, none: 0 }

/** FPCR.RMode as `ROUND_*`: up and down are the other way round. */
export function roundingOf(f: FunctionBuilder, state: I32): I32 {
  const mode = f.let(f.loadExpression('i32.load', state, S_FPCR).shrU(FPCR_RMODE_SHIFT))
  return f.let(mode.and(1).shl(1).or(mode.shrU(1).and(1)))
}

/** (state, number of the bit of FPCR that flushes, `FC_DAZ` and `FC_FTZ` or one of these): nothing is raised yet. */
const begin = (library: ArmLibrary): SharedFunction =>
  library.shared('element.begin', ['i32', 'i32', 'i32'], undefined, (f) => {
    const [state, bit, flushed] = [f.param(0, 'i32').get, f.param(1, 'i32').get, f.param(2, 'i32').get]
    const fpcr = f.load('i32.load', state, S_FPCR)
    const control = I32.of(MASKS)
      .or(roundingOf(f, state).shl(FC_ROUNDING_SHIFT))
      .or(fpcr.and(FPCR_DN).shrU(Math.log2(FPCR_DN / FC_DEFAULT_NAN)))
      .or(fpcr.shrU(bit).and(1).mul(flushed))
    f.store('i32.store', state, control, S_FLOAT + F_CONTROL)
    f.store('i32.store', state, I32.of(0), S_FLOAT + F_FLAGS)
  })

/** (state): adds the raised flags to FPSR. */
const end = (library: ArmLibrary): SharedFunction =>
  library.shared('element.end', ['i32'], undefined, (f) => {
    const state = f.param(0, 'i32').get
    const raised = f.load('i32.load', state, S_FLOAT + F_FLAGS)
    // IOC; DZC, OFC, UFC and IXC; IDC.
    const flags = raised.and(FE_INVALID).or(raised.shrU(1).and(0x1e)).or(raised.and(FE_DENORMAL).shl(6))
    f.store('i32.store', state, f.loadExpression('i32.load', state, S_FPSR).or(flags), S_FPSR)
  })

/** Computes one element in software: from encodings to an encoding, FPSR included. */
export class FloatElement {
  readonly library: ArmLibrary
  readonly f: FunctionBuilder
  readonly state: I32
  /** Of operands and result. */
  readonly bits: Precision

  constructor(library: ArmLibrary, f: FunctionBuilder, state: I32, bits: Precision) {
    this.library = library
    this.f = f
    this.state = state
    this.bits = bits
  }

  /** Emits the beginning. FPCR.FZ16 flushes half precision, FPCR.FZ the others. */
  begin(flushed: Flushed = 'both', bits: Precision = this.bits): void {
    const bit = bits === 16 ? FPCR_FZ16_SHIFT : FPCR_FZ_SHIFT
    this.f.call(begin(this.library), this.state, I32.of(bit), I32.of(FLUSHED[flushed]))
  }

  /** Unpacks an encoding into a slot. */
  unpack(slot: number, value: I64, bits: Precision = this.bits): void {
    this.f.call(unpack(this.library, bits), this.state, this.state.add(S_FLOAT + slot), value)
  }

  slot(slot: number): Slot {
    return slotAt(this.library, this.f, this.state, slot)
  }

  /** Calls a function whose first argument is the state. */
  call(callee: SharedFunction, ...operands: Value[]): void {
    this.f.call(callee, this.state, ...operands)
  }

  raise(flags: number): void {
    raiseFlags(this.library, this.f, this.state, flags)
  }

  /** Clears exception flags raised so far. */
  lower(flags: number): void {
    lowerFlags(this.library, this.f, this.state, flags)
  }

  /** Rounds towards zero, regardless of FPCR. */
  roundTowardsZero(): void {
    const control = controlWord(this.library, this.f, this.state).or(ROUND_ZERO << FC_ROUNDING_SHIFT)
    this.f.store('i32.store', this.state, control, S_FLOAT + F_CONTROL)
  }

  /** Emits the end of an operation whose result is not a number. */
  end(): void {
    this.f.call(end(this.library), this.state)
  }

  /** The result that is in the slot R, rounded. */
  finish(bits: Precision = this.bits): I64 {
    const result = this.f.call(finish(this.library, bits), this.state)
    this.end()
    return result
  }

  /** The sign bit of an encoding. */
  get signBit(): bigint {
    return BigInt.asIntN(64, 1n << BigInt(this.bits - 1))
  }

  /** A constant of the format: sign, unbiased exponent, and no fraction. */
  power(exponent: number, sign = 0): I64 {
    const { bits } = this
    const [fraction, bias] = { 16: [10, 15], 32: [23, 127], 64: [52, 1023] }[bits] as [number, number]
    const value = (BigInt(sign) << BigInt(bits - 1)) | (BigInt(exponent + bias) << BigInt(fraction))
    return I64.of(BigInt.asIntN(64, value))
  }
}

/** An operation on elements: its number of operands, and its result. */
export interface FloatOperation {
  readonly operands: 1 | 2 | 3
  readonly emit: (e: FloatElement, a: I64, b: I64, c: I64) => I64
}

/** (state, operands as encodings) → the result's. */
export function elementFunction(
  library: ArmLibrary,
  name: string,
  bits: Precision,
  { operands, emit }: FloatOperation,
): SharedFunction<'i64'> {
  const types = Array.from({ length: operands }, () => 'i64' as const)
  return library.shared(`element.${name}.${bits}`, ['i32', ...types], 'i64', (f) => {
    const [a, b, c] = [1, 2, 3].map((i) => (i <= operands ? f.param(i, 'i64').get : I64.of(0)))
    f.return(emit(new FloatElement(library, f, f.param(0, 'i32').get, bits), a!, b!, c!))
  })
}
