import { I32, I64, V128, numeric, select, type FunctionBuilder } from '@retrap/wasm-emitter'
import { FLAG_CF, FLAG_OF, FLAG_SF, FLAG_ZF, S_GPR, S_XMM } from '../../state/state-layout.ts'
import { choose, flagBit } from '../integer.ts'
import { type Context, direct, type Semantics, type SemanticsTable } from '../context.ts'
import { IOTA, begin, immediateByte, words, zeroVector } from './sse-integer-operands.ts'

/**
 * PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM and PTEST: comparisons that set flags.
 *
 * Source: Intel SDM vol. 2, "Imm8 Control Byte Operation for PCMPESTRI / PCMPESTRM / PCMPISTRI / PCMPISTRM"; names of
 * the control's fields and of the intermediate results are from there.
 */

const RAX = 0
const RCX = 1
const RDX = 2

// Fields of the control byte.
const WORDS = 1
const SIGNED = 2
/** Aggregation in bits 3:2. */
const EQUAL_ANY = 0
const RANGES = 1
const EQUAL_EACH = 2
const NEGATIVE = 0x10
/** Negative polarity only for the valid elements of the second string. */
const MASKED = 0x20
/** Last instead of first index; element mask instead of bit mask. */
const LAST_OR_MASK = 0x40

type SharedFunction = FunctionBuilder & { readonly signature: { readonly result: 'i32' } }

/** The values that depend on the size of an element. */
interface Elements {
  readonly count: number
  readonly equal: (a: V128, b: V128) => V128
  readonly lessEqual: { readonly signed: (a: V128, b: V128) => V128; readonly unsigned: (a: V128, b: V128) => V128 }
  /** One bit an element. */
  readonly bits: (v: V128) => I32
  /** Element `i` everywhere. */
  readonly spread: (v: V128, i: I32) => V128
}

const BYTE_ELEMENTS: Elements = {
  count: 16,
  equal: (a, b) => numeric('i8x16.eq', a, b),
  lessEqual: { signed: (a, b) => numeric('i8x16.le_s', a, b), unsigned: (a, b) => numeric('i8x16.le_u', a, b) },
  bits: (v) => numeric('i8x16.bitmask', v),
  spread: (v, i) => numeric('i8x16.swizzle', v, numeric('i8x16.splat', i)),
}

const WORD_ELEMENTS: Elements = {
  count: 8,
  equal: (a, b) => numeric('i16x8.eq', a, b),
  lessEqual: { signed: (a, b) => numeric('i16x8.le_s', a, b), unsigned: (a, b) => numeric('i16x8.le_u', a, b) },
  bits: (v) => numeric('i16x8.bitmask', v),
  spread: (v, i) => numeric('i8x16.swizzle', v, numeric('i16x8.splat', i.mul(0x0202).add(0x0100))),
}

/** (1 << length) - 1: the elements that belong to a string. */
function valid(length: I32): I32 {
  return I32.of(1).shl(length).sub(1)
}

/** Runs `body` for i = 0, step, 2·step, … while i < limit. */
function forEach(f: FunctionBuilder, limit: I32, step: number, body: (i: I32) => void): void {
  const i = f.local('i32')
  f.set(i, I32.of(0))
  f.block((done) => {
    f.loop((again) => {
      f.brIf(i.get.geU(limit), done)
      body(i.get)
      f.set(i, i.get.add(step))
      f.br(again)
    })
  })
}

/** (first, second, control, length of first, length of second) → IntRes2, a bit for each element of the second string. */
function comparison(c: Context, elements: Elements): SharedFunction {
  const { count, equal, lessEqual, bits, spread } = elements
  const all = (1 << count) - 1
  return c.shared(`compareStrings${count}`, ['v128', 'v128', 'i32', 'i32', 'i32'], 'i32', (f) => {
    const a = f.param(0, 'v128').get
    const b = f.param(1, 'v128').get
    const control = f.param(2, 'i32').get
    const lengthA = f.param(3, 'i32').get
    const lengthB = f.param(4, 'i32').get
    const validB = f.let(valid(lengthB))
    const aggregation = f.let(control.shrU(2).and(3))
    const result = f.local('i32')
    const found = f.local('v128')
    f.set(result, I32.of(0))

    const equalAny = (): void => {
      f.set(found, zeroVector())
      forEach(f, lengthA, 1, (i) => f.set(found, numeric('v128.or', found.get, equal(spread(a, i), b))))
      f.set(result, bits(found.get).and(validB))
    }
    const ranges = (compare: (x: V128, y: V128) => V128): void => {
      f.set(found, zeroVector())
      // A last bound without its partner does not count.
      forEach(f, lengthA.and(-2), 2, (i) => {
        const inside = numeric('v128.and', compare(spread(a, i), b), compare(b, spread(a, i.add(1))))
        f.set(found, numeric('v128.or', found.get, inside))
      })
      f.set(result, bits(found.get).and(validB))
    }
    const equalEach = (): void => {
      const validA = f.let(valid(lengthA))
      const both = bits(equal(a, b)).and(validA).and(validB)
      f.set(result, both.or(validA.or(validB).xor(all)))
    }
    const equalOrdered = (): void => {
      f.set(result, I32.of(all))
      // Beyond the last element nothing is compared: ones come in from above.
      forEach(f, lengthA, 1, (i) => {
        const matches = bits(equal(spread(a, i), b))
          .and(validB)
          .or(~all)
        f.set(result, result.get.and(matches.shrS(i)))
      })
    }
    f.if(aggregation.eq(EQUAL_ANY), equalAny, () => {
      f.if(
        aggregation.eq(RANGES),
        () =>
          f.if(
            control.and(SIGNED),
            () => ranges(lessEqual.signed),
            () => ranges(lessEqual.unsigned),
          ),
        () => f.if(aggregation.eq(EQUAL_EACH), equalEach, equalOrdered),
      )
    })
    f.if(control.and(NEGATIVE), () => {
      f.set(result, result.get.xor(select(control.and(MASKED), validB, I32.of(all))))
    })
    f.return(result.get)
  })
}

/** Length from a register: its magnitude, at most `count`. */
function explicitLength(c: Context, register: number, count: I32): I32 {
  const value = c.gprS(register, c.form.size)
  const magnitude = c.let(choose(value.ltS(0), I64.of(0).sub(value), value))
  return c.let(select(magnitude.ltU(count.toI64U()), magnitude.toI32(), count))
}

/** Length up to the first zero element; `count` where there is none. */
function implicitLength(c: Context, isWords: I32, v: V128, count: I32): I32 {
  const zeros = c.f.ifElse(
    'i32',
    isWords,
    () => WORD_ELEMENTS.bits(WORD_ELEMENTS.equal(v, zeroVector())),
    () => BYTE_ELEMENTS.bits(BYTE_ELEMENTS.equal(v, zeroVector())),
  )
  return c.let(zeros.or(I32.of(1).shl(count)).ctz())
}

function setIndex(c: Context, control: I32, result: I32, count: I32): void {
  const found = select(control.and(LAST_OR_MASK), I32.of(31).sub(result.clz()), result.ctz())
  c.f.store('i64.store', c.state, select(result, found, count).toI64U(), S_GPR + 8 * RCX)
}

/** XMM0 = the result as bits, or as elements of all ones. */
function setMask(c: Context, control: I32, isWords: I32, result: I32): void {
  const f = c.f
  const store = (v: V128): void => f.store('v128.store', c.state, v, S_XMM)
  f.if(
    control.and(LAST_OR_MASK),
    () => {
      f.if(
        isWords,
        () => {
          const bit = c.let(words([1, 2, 4, 8, 16, 32, 64, 128]))
          store(numeric('i16x8.eq', numeric('v128.and', numeric('i16x8.splat', result), bit), bit))
        },
        () => {
          const bit = c.let(V128.of(IOTA.map((i) => 1 << (i & 7))))
          // The low byte to the first eight elements, the high byte to the others.
          const spread = numeric('i8x16.swizzle', numeric('i16x8.splat', result), V128.of(IOTA.map((i) => i >> 3)))
          store(numeric('i8x16.eq', numeric('v128.and', spread, bit), bit))
        },
      )
    },
    () => {
      f.store('i64.store', c.state, result.toI64U(), S_XMM)
      f.store('i64.store', c.state, I64.of(0), S_XMM + 8)
    },
  )
  c.zeroAbove(c.state, 1, S_XMM)
}

function compareStrings(lengths: 'explicit' | 'implicit', output: 'index' | 'mask'): Semantics {
  const explicit = lengths === 'explicit'
  return direct((c) => {
    begin(c)
    // The one family of legacy SSE whose 16-byte operand need not be aligned.
    const b = c.readV(1, 'never')
    const a = c.readV(0)
    const control = immediateByte(c)
    const isWords = c.let(control.and(WORDS))
    const count = c.let(I32.of(16).shrU(isWords))
    const lengthA = explicit ? explicitLength(c, RAX, count) : implicitLength(c, isWords, a, count)
    const lengthB = explicit ? explicitLength(c, RDX, count) : implicitLength(c, isWords, b, count)
    const compare = (elements: Elements) => (): I32 =>
      c.f.call(comparison(c, elements), a, b, control, lengthA, lengthB)
    const result = c.f.ifElse('i32', isWords, compare(WORD_ELEMENTS), compare(BYTE_ELEMENTS))
    const flags = flagBit(result.ne(0), FLAG_CF)
      .or(flagBit(lengthB.ltU(count), FLAG_ZF))
      .or(flagBit(lengthA.ltU(count), FLAG_SF))
      .or(flagBit(result.and(1), FLAG_OF))
    c.flagsExplicit(flags)
    if (output === 'index') setIndex(c, control, result, count)
    else setMask(c, control, isWords, result)
  })
}

/** PTEST: ZF if source and destination have no bit of the mask in common, CF if the source has none outside the destination. */
export function testBits(c: Context, mask?: V128): void {
  begin(c)
  const b = c.readLanes(1)
  const a = c.readLanes(0)
  const none = (op: 'v128.and' | 'v128.andnot'): I32 => {
    const found = a.map((x, lane) => numeric(op, b[lane]!, x)).reduce((x, y) => numeric('v128.or', x, y))
    return numeric('v128.any_true', mask === undefined ? found : numeric('v128.and', found, mask)).eqz()
  }
  c.flagsExplicit(flagBit(none('v128.and'), FLAG_ZF).or(flagBit(none('v128.andnot'), FLAG_CF)))
}

export const integerStrings: SemanticsTable = {
  PCMPESTRI: compareStrings('explicit', 'index'),
  PCMPESTRM: compareStrings('explicit', 'mask'),
  PCMPISTRI: compareStrings('implicit', 'index'),
  PCMPISTRM: compareStrings('implicit', 'mask'),
  PTEST: { direct: true, emit: (c) => testBits(c) },
}
