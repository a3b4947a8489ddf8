import { I32, I64 } from '@retrap/wasm-emitter'
import type { FunctionBuilder, I32Like, Local } from '@retrap/wasm-emitter'
import type { FloatModule } from './float-module.ts'

/**
 * The scratch area for operands of the functions, as unpacked numbers, used by one operation at a time. Offsets are from
 * its beginning. Its first 16 bytes are left to `divideWide`.
 */

/** Address of the scratch area: see {@link FloatModule}. */
export type FloatArea = Pick<FloatModule, 'floatScratch'>

/** Bytes of the scratch area. */
export const SCRATCH_BYTES = 0x100

/** The exceptions that the operation has raised so far: `FE_*`. 32 bits. */
export const F_FLAGS = 0x10
/** Rounding and masks, in the layout `FC_*`. 32 bits. */
export const F_CONTROL = 0x14
/** Sign and exponent of a double-extended result, whose significand is the function's result. 32 bits. */
export const F_WORD = 0x18
/** Quotient bits of a partial remainder, and the like. 32 bits. */
export const F_EXTRA = 0x1c

/** Operands and result, unpacked: see `N_*`. */
export const SLOT_A = 0x20
/** The second operand. */
export const SLOT_B = 0x40
/** The result. */
export const SLOT_R = 0x60
/** Free for the caller: two vectors, or two numbers. */
export const F_TEMPORARY = 0x80
/** The addend of a fused multiply-add. */
export const SLOT_C = 0xc0

/** Significand, 64 bits, the integer bit at bit 63. A NaN's payload lies as in the double-extended format. */
export const N_SIGNIFICAND = 0
/** The 64 bits below, of which only "zero, less than, equal to or more than a half" and exactness count. */
export const N_LOW = 8
/** Unbiased exponent: the value is significand · 2^(exponent − 63). Signed 32 bits. */
export const N_EXPONENT = 16
/** 0 or 1. 32 bits. */
export const N_SIGN = 20
/** `CLASS_*`. 32 bits. */
export const N_CLASS = 24
/** 1 where the operand was denormal, else 0. 32 bits. */
export const N_DENORMAL = 28

/** A zero. */
export const CLASS_ZERO = 0
/** Any other finite number, with a normalised significand. */
export const CLASS_FINITE = 1
/** An infinity. */
export const CLASS_INFINITY = 2
/** A quiet NaN. */
export const CLASS_QNAN = 3
/** A signalling NaN. */
export const CLASS_SNAN = 4
/** A double-extended encoding that no processor since the 80387 produces: any use of it is invalid. */
export const CLASS_UNSUPPORTED = 5

// Exceptions.
/** Invalid operation. */
export const FE_INVALID = 0x01
/** Denormal operand: see `FloatRules.denormalOperand`. */
export const FE_DENORMAL = 0x02
/** Division of a finite number by zero. */
export const FE_ZERO_DIVIDE = 0x04
/** Overflow. */
export const FE_OVERFLOW = 0x08
/** Underflow. */
export const FE_UNDERFLOW = 0x10
/** Inexact result. */
export const FE_PRECISION = 0x20
/** Stack fault of an x87 unit. */
export const FE_STACK = 0x40
/** Rounded away from zero. */
export const FE_ROUNDED_UP = 0x200

/** F_CONTROL: masks of exceptions are bits 5:0, as `FE_*`; rounding control is bits 11:10. */
export const FC_ROUNDING_SHIFT = 10
/** Rounds to nearest, ties to even. */
export const ROUND_NEAREST = 0
/** Towards minus infinity. */
export const ROUND_DOWN = 1
/** Towards plus infinity. */
export const ROUND_UP = 2
/** Towards zero. */
export const ROUND_ZERO = 3
/** Rounds to nearest, ties away from zero: for {@link toIntegral} and the conversions to integers alone. */
export const ROUND_TIES_AWAY = 4
/** Denormal operands are zeros. */
export const FC_DAZ = 0x1000
/** Tiny results are zeros, where underflow is masked. */
export const FC_FTZ = 0x2000
/** x87 rules: a quiet NaN survives a signalling one, else the larger significand, else the positive one. */
export const FC_X87 = 0x4000
/** Replaces a surviving NaN by the default NaN. */
export const FC_DEFAULT_NAN = 0x8000

/** The significand of the NaN that an invalid operation gives. */
export const DEFAULT_NAN = 0xc000_0000_0000_0000n
/** The integer bit of a significand. */
export const TOP_BIT = 0x8000_0000_0000_0000n
/** The bit of a NaN's significand that is set for a quiet NaN. */
export const QUIET_BIT = 0x4000_0000_0000_0000n

/** An unpacked number in the state. */
export class Slot {
  /** The function that uses the slot. */
  readonly f: FunctionBuilder
  /** A local: the address that the offset counts from. */
  readonly base: I32
  /** Offset of the number. */
  readonly offset: number

  /** `base` is a local: the state, or (offset 0) the slot itself. */
  constructor(f: FunctionBuilder, base: I32, offset: number) {
    this.f = f
    this.base = base
    this.offset = offset
  }

  /** Significand, the integer bit at bit 63. */
  get significand(): I64 {
    return this.f.load('i64.load', this.base, this.offset + N_SIGNIFICAND)
  }
  set significand(value: I64) {
    this.f.store('i64.store', this.base, value, this.offset + N_SIGNIFICAND)
  }
  /** The 64 bits below the significand. */
  get low(): I64 {
    return this.f.load('i64.load', this.base, this.offset + N_LOW)
  }
  set low(value: I64) {
    this.f.store('i64.store', this.base, value, this.offset + N_LOW)
  }
  /** Exponent: the value is significand · 2^(exponent − 63). */
  get exponent(): I32 {
    return this.f.load('i32.load', this.base, this.offset + N_EXPONENT)
  }
  set exponent(value: I32) {
    this.f.store('i32.store', this.base, value, this.offset + N_EXPONENT)
  }
  /** 0 or 1. */
  get sign(): I32 {
    return this.f.load('i32.load', this.base, this.offset + N_SIGN)
  }
  set sign(value: I32) {
    this.f.store('i32.store', this.base, value, this.offset + N_SIGN)
  }
  /** `CLASS_*`. */
  get class(): I32 {
    return this.f.load('i32.load', this.base, this.offset + N_CLASS)
  }
  set class(value: I32Like) {
    this.f.store('i32.store', this.base, I32.of(value), this.offset + N_CLASS)
  }
  /** 1 if the operand was a reported denormal. */
  get denormal(): I32 {
    return this.f.load('i32.load', this.base, this.offset + N_DENORMAL)
  }
  set denormal(value: I32) {
    this.f.store('i32.store', this.base, value, this.offset + N_DENORMAL)
  }

  /** Copies another slot. */
  copy(other: Slot): void {
    const lower = this.f.load('v128.load', other.base, other.offset)
    const upper = this.f.load('v128.load', other.base, other.offset + 16)
    this.f.store('v128.store', this.base, lower, this.offset)
    this.f.store('v128.store', this.base, upper, this.offset + 16)
  }

  /** Becomes a finite number, normalised, with the 64 bits below the significand given. */
  setFinite(sign: I32, exponent: I32, significand: I64, low: I64 = I64.of(0)): void {
    // All are evaluated before the first store: they may be expressions over this slot.
    const [s, e, h, l] = [this.f.let(sign), this.f.let(exponent), this.f.let(significand), this.f.let(low)]
    this.class = CLASS_FINITE
    this.sign = s
    this.exponent = e
    this.significand = h
    this.low = l
  }

  /** Becomes a zero. */
  setZero(sign: I32): void {
    this.sign = sign
    this.class = CLASS_ZERO
  }

  /** Becomes an infinity. */
  setInfinity(sign: I32): void {
    this.sign = sign
    this.class = CLASS_INFINITY
  }

  /** Becomes the NaN that an invalid operation gives. */
  setDefaultNan(sign: 0 | 1): void {
    this.sign = I32.of(sign)
    this.significand = I64.of(DEFAULT_NAN)
    this.class = CLASS_QNAN
  }
}

/** One of the numbers in the scratch area: `SLOT_*`. */
export function slotAt({ floatScratch }: FloatArea, f: FunctionBuilder, state: I32, slot: number): Slot {
  return new Slot(f, state, floatScratch + slot)
}

/** Raises exception flags. */
export function raiseFlags({ floatScratch }: FloatArea, f: FunctionBuilder, state: I32, flags: I32Like): void {
  const before = f.loadExpression('i32.load', state, floatScratch + F_FLAGS)
  f.store('i32.store', state, before.or(flags), floatScratch + F_FLAGS)
}

/** Ends a function that has put its result into R by `set`, if a condition holds. */
export function returnIf(f: FunctionBuilder, condition: I32, set: () => void): void {
  f.if(condition, () => {
    set()
    f.return()
  })
}

/** Ends a function with the NaN that an invalid operation gives. */
export function returnInvalid(c: FloatModule, f: FunctionBuilder, state: I32, r: Slot): void {
  raiseFlags(c, f, state, FE_INVALID)
  r.setDefaultNan(c.floatRules.defaultNanSign)
  f.return()
}

/** Rounding and masks: `FC_*`. */
export function controlWord({ floatScratch }: FloatArea, f: FunctionBuilder, state: I32): I32 {
  return f.loadExpression('i32.load', state, floatScratch + F_CONTROL)
}

/** Clears exception flags. */
export function lowerFlags({ floatScratch }: FloatArea, f: FunctionBuilder, state: I32, flags: number): void {
  const before = f.loadExpression('i32.load', state, floatScratch + F_FLAGS)
  f.store('i32.store', state, before.and(~flags), floatScratch + F_FLAGS)
}

/** Rounding control: `ROUND_NEAREST`, `ROUND_DOWN`, `ROUND_UP` or `ROUND_ZERO`. */
export function roundingMode(area: FloatArea, f: FunctionBuilder, state: I32): I32 {
  return f.let(controlWord(area, f, state).shrU(FC_ROUNDING_SHIFT).and(3))
}

/** `high:low` shifted right by `count` (0 or more), with every bit lost collected in the lowest bit. */
export function shiftRightSticky(
  f: FunctionBuilder,
  high: I64,
  low: I64,
  count: I32,
): { readonly high: I64; readonly low: I64 } {
  const h = f.local('i64')
  const l = f.local('i64')
  const n = f.let(count)
  const wide = f.let(n.toI64U())
  f.set(h, high)
  f.set(l, low)
  f.if(n, () => {
    f.if(
      n.ltU(64),
      () => {
        const back = f.let(I64.of(64).sub(wide))
        const lost = f.let(l.get.shl(back).ne(0).toI64U())
        f.set(l, h.get.shl(back).or(l.get.shrU(wide)).or(lost))
        f.set(h, h.get.shrU(wide))
      },
      () => {
        f.if(
          n.ltU(128),
          () => {
            // Shift counts are taken modulo 64: a count of 64 moves the word as it is, and loses the low one.
            const lost = f.let(
              h.get
                .shl(I64.of(63).sub(wide.and(63)))
                .shl(1)
                .or(l.get)
                .ne(0)
                .toI64U(),
            )
            f.set(l, h.get.shrU(wide).or(lost))
          },
          () => f.set(l, h.get.or(l.get).ne(0).toI64U()),
        )
        f.set(h, I64.of(0))
      },
    )
  })
  return { high: h.get, low: l.get }
}

/** Locals with high:low · 2^exponent. */
export interface WideLocals {
  readonly exponent: Local<'i32'>
  /** The upper 64 bits. */
  readonly high: Local<'i64'>
  /** The lower 64 bits. */
  readonly low: Local<'i64'>
}

/**
 * Emits: shifts high:low left until the highest bit is set, with the exponent to match.
 *
 * @param whenNarrow - emits the first step for `high` zero, when `low` is not zero
 */
export function normalise(
  f: FunctionBuilder,
  { exponent, high, low }: WideLocals,
  whenNarrow: () => void = () => undefined,
): void {
  f.if(high.get.eqz(), () => {
    whenNarrow()
    f.set(high, low.get)
    f.set(low, I64.of(0))
    f.set(exponent, exponent.get.sub(64))
  })
  const zeros = f.let(high.get.clz())
  f.if(zeros.ne(0), () => {
    f.set(high, high.get.shl(zeros).or(low.get.shrU(I64.of(64).sub(zeros))))
    f.set(low, low.get.shl(zeros))
    f.set(exponent, exponent.get.sub(zeros.toI32()))
  })
}
