/**
 * Exact IEEE 754 arithmetic as generated WebAssembly. It knows no instruction set.
 *
 * @packageDocumentation
 */
export type { FloatModule, FloatRules, SharedFunction } from './float-module.ts'
export { FloatLibrary } from './float-module.ts'
export {
  CLASS_FINITE,
  CLASS_INFINITY,
  CLASS_QNAN,
  CLASS_ZERO,
  controlWord,
  DEFAULT_NAN,
  F_CONTROL,
  F_EXTRA,
  F_FLAGS,
  F_TEMPORARY,
  F_WORD,
  FC_DAZ,
  FC_DEFAULT_NAN,
  FC_FTZ,
  FC_ROUNDING_SHIFT,
  FC_X87,
  FE_DENORMAL,
  FE_INVALID,
  FE_OVERFLOW,
  FE_PRECISION,
  FE_ROUNDED_UP,
  FE_STACK,
  FE_UNDERFLOW,
  FE_ZERO_DIVIDE,
  lowerFlags,
  N_DENORMAL,
  normalise,
  raiseFlags,
  ROUND_DOWN,
  ROUND_NEAREST,
  ROUND_TIES_AWAY,
  ROUND_UP,
  ROUND_ZERO,
  roundingMode,
  SCRATCH_BYTES,
  SLOT_A,
  SLOT_B,
  SLOT_C,
  SLOT_R,
  Slot,
  slotAt,
  TOP_BIT,
} from './scratch.ts'
export { propagateNan, propagateNanUnary, unpack, unpack80, unpackAlternativeHalf, unpackInteger } from './unpack.ts'
export { add, divide, multiply, setNormalised, squareRoot } from './arithmetic.ts'
export { multiplyAdd } from './multiply-add.ts'
export { compare, convert, EQUAL, GREATER, LESS, toInteger, toIntegral, UNORDERED } from './convert.ts'
export { toNearestInteger, unpackUnsigned } from './nearest-integer.ts'
export { finish, finish80, finishAlternativeHalf } from './round.ts'
export { divideWide, multiplyHigh } from './wide.ts'
export {
  allSet,
  asFloat,
  bitsOf,
  float,
  floatTest,
  isOrdinary,
  isPlain,
  isZero,
  LARGEST,
  ofBits,
  ordinaryMask,
  plainMask,
  SMALLEST_NORMAL,
  splat,
  vector,
} from './host-numbers.ts'
export type { Bits, Float } from './host-numbers.ts'
export {
  exponentOf,
  isDenormal,
  isExactAnyway,
  isExactResult,
  isFiniteNormal,
  ORDINARY_64,
  ordinaryBits,
  SHAPES,
} from './host-exact.ts'
export type { Operation, Shape } from './host-exact.ts'
export { hasFusedMultiplyAdd, hostMultiplyAdd32, hostMultiplyAdd64 } from './host-multiply-add.ts'
