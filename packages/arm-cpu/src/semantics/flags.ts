import { I32, I64, type FunctionBuilder } from '@retrap/wasm-emitter'
import { S_FLAG_C, S_FLAG_N, S_FLAG_V, S_FLAG_Z } from '../state/state-layout.ts'

/** PSTATE's condition flags as generated code holds them. */
export interface Flags {
  /** N is its sign. */
  readonly n: I64
  /** Z is set if this is zero. */
  readonly z: I64
  /** C, 0 or 1. */
  readonly c: I32
  /** V, 0 or 1. */
  readonly v: I32
  /** The operation that determines C and V, if known: its result is `n` and `z`. */
  readonly operation?: FlagOperation | undefined
}

/** An addition or subtraction. Of 32 bits, the operands are zero-extended. */
export interface FlagOperation {
  readonly subtracts: boolean
  readonly wide: boolean
  readonly a: I64
  readonly b: I64
}

/** Storage of the condition flags for a form. */
export interface FlagStore extends Flags {
  /** The values may be expressions over the flags as they were. */
  set(flags: Flags): void
}

/** Flags in the state, loaded where they are used. */
export function flagsInState(f: FunctionBuilder, state: I32): FlagStore {
  return {
    get n() {
      return f.loadExpression('i64.load', state, S_FLAG_N)
    },
    get z() {
      return f.loadExpression('i64.load', state, S_FLAG_Z)
    },
    get c() {
      return f.loadExpression('i32.load', state, S_FLAG_C)
    },
    get v() {
      return f.loadExpression('i32.load', state, S_FLAG_V)
    },
    set(flags) {
      const [n, z, c, v] = [f.let(flags.n), f.let(flags.z), f.let(flags.c), f.let(flags.v)]
      f.store('i64.store', state, n, S_FLAG_N)
      f.store('i64.store', state, z, S_FLAG_Z)
      f.store('i32.store', state, c, S_FLAG_C)
      f.store('i32.store', state, v, S_FLAG_V)
    },
  }
}

/**
 * Whether a condition holds.
 *
 * @param condition - 0 to 15, as encoded; 14 and 15 always hold
 *
 * Source: Arm ARM (DDI 0487) C1.2.4.
 */
export function conditionHolds(flags: Flags, condition: number): I32 {
  const { operation } = flags
  const compare = operation?.subtracts === true ? COMPARISONS[condition >> 1] : undefined
  const holds = compare === undefined ? CONDITIONS[condition >> 1]!(flags) : compared(compare, operation!)
  return (condition & 1) === 0 || condition === 15 ? holds : holds.eqz()
}

const isNegative = ({ n }: Flags): I32 => n.ltS(0)
const isSignedAtLeast = (flags: Flags): I32 => isNegative(flags).eq(flags.v)
const isNotZero = ({ z }: Flags): I32 => z.ne(0)

const CONDITIONS: readonly ((flags: Flags) => I32)[] = [
  ({ z }) => z.eqz(),
  ({ c }) => c,
  isNegative,
  ({ v }) => v,
  (flags) => flags.c.and(isNotZero(flags)),
  isSignedAtLeast,
  (flags) => isSignedAtLeast(flags).and(isNotZero(flags)),
  () => I32.of(1),
]

const compared = (compare: (a: I64, b: I64) => I32, { a, b, wide }: FlagOperation): I32 =>
  wide ? compare(a, b) : compare(a.extend32S(), b.extend32S())

/** The conditions of the order of two numbers, after their comparison; the others are as cheap by the flags. */
const COMPARISONS: readonly (((a: I64, b: I64) => I32) | undefined)[] = [
  undefined,
  undefined,
  undefined,
  undefined,
  (a, b) => a.gtU(b),
  (a, b) => a.geS(b),
  (a, b) => a.gtS(b),
  undefined,
]

/** The flags of `a + b + carry`, whose low bits are `result`. */
export function flagsOfSum(a: I64, b: I64, result: I64, wide: boolean): Flags {
  // The carry out is the majority of both top bits and the result's, inverted.
  const carry = a.and(b).or(a.or(b).and(result.xor(-1)))
  const overflow = a.xor(result).and(b.xor(result))
  const n = wide ? result : result.extend32S()
  return { n, z: n, c: topBit(carry, wide), v: topBit(overflow, wide), operation: { subtracts: false, wide, a, b } }
}

/** The flags of `a − b`, which is `result`. */
export function flagsOfDifference(a: I64, b: I64, result: I64, wide: boolean): Flags {
  const overflow = a.xor(b).and(a.xor(result))
  const n = wide ? result : result.extend32S()
  return { n, z: n, c: a.geU(b), v: topBit(overflow, wide), operation: { subtracts: true, wide, a, b } }
}

const topBit = (value: I64, wide: boolean): I32 =>
  value
    .shrU(wide ? 63 : 31)
    .toI32()
    .and(1)

/** The flags of four bits, N the uppermost. */
export function flagsOfBits(bits: I32): Flags {
  return {
    n: bits.toI64U().shl(60),
    z: bits.and(4).xor(4).toI64U(),
    c: bits.shrU(1).and(1),
    v: bits.and(1),
  }
}

/** The flags of a result without a carry: C and V are clear, as if it were added to zero. */
export function flagsOfResult(result: I64): Flags {
  const operation = { subtracts: false, wide: true, a: I64.of(0), b: result }
  return { n: result, z: result, c: I32.of(0), v: I32.of(0), operation }
}

/** Returns the flags in PSTATE's bits 31 to 28. */
export function bitsOfFlags({ n, z, c, v }: Flags): I32 {
  const sign = n
    .shrU(32)
    .toI32()
    .and(0x8000_0000 | 0)
  return sign.or(z.eqz().shl(30)).or(c.shl(29)).or(v.shl(28))
}
