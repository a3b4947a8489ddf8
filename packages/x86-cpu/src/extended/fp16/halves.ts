import { I32, I64, V128, select } from '@retrap/wasm-emitter'
import {
  add,
  CLASS_QNAN,
  CLASS_ZERO,
  compare,
  divide,
  EQUAL,
  GREATER,
  LESS,
  multiply,
  multiplyAdd,
  squareRoot,
  UNORDERED,
} from '@retrap/soft-float'
import { type Context, direct, type Semantics, type SemanticsTable } from '../../semantics/context.ts'
import { OPERATIONS, ORDERS } from '../../semantics/vector/fma.ts'
import { PREDICATES, QUIET_PREDICATES } from '../../semantics/vector/sse-float-elements.ts'
import { FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF } from '../../state/state-layout.ts'
import { toBf16 } from '../vex/conversions.ts'
import {
  bitsOf,
  finished,
  packed,
  readElement,
  scalar,
  scalarFlags,
  slot,
  unpackTo,
  type Format,
  type Operation,
  type Row,
} from '../avx512/float-rows.ts'
import { inFormats, PACKED, SCALAR } from '../avx512/floats.ts'
import { replaced } from '../avx512/integers.ts'
import { halved } from '../avx512/moves.ts'

/**
 * All on numbers of half precision and of BF16: arithmetic, comparisons, products of complex numbers, dot products.
 *
 * Source: Intel SDM vol. 2C, the pages of each instruction; Intel "Advanced Vector Extensions 10.2 Architecture Specification".
 */

const FORMATS = 'PH BF16 SH'

function operands(o: Operation): void {
  unpackTo(o, 0, o.values[0]!)
  if (o.values.length > 1) unpackTo(o, 1, o.values[1]!)
}

function sum(isDifference: boolean) {
  return (o: Operation): I64 => {
    operands(o)
    o.f.call(add(o.c), o.state, I32.of(isDifference ? 1 : 0))
    return finished(o)
  }
}

function computed(operation: typeof multiply) {
  return (o: Operation): I64 => {
    operands(o)
    o.f.call(operation(o.c), o.state)
    return finished(o)
  }
}

/** The second number unless the first is smaller (larger): so for NaNs and zeros. */
function extreme(wanted: number) {
  return (o: Operation): I64 => {
    const [a, b] = [unpackTo(o, 0, o.values[0]!), unpackTo(o, 1, o.values[1]!)]
    const sign = 1n << BigInt(bitsOf(o.format) - 1)
    const [x, y] = [a, b].map((number, i) =>
      o.f.let(select(number.class.eq(CLASS_ZERO), o.values[i]!.and(sign), o.values[i]!)),
    ) as [I64, I64]
    return select(o.f.call(compare(o.c), o.state, I32.of(0)).eq(wanted), x, y)
  }
}

/** An approximation, which raises nothing: here the nearest number. */
function inverse(ofRoot: boolean) {
  return (o: Operation): I64 => {
    const a = unpackTo(o, 0, o.values[0]!)
    a.denormal = I32.of(0)
    if (ofRoot) {
      o.f.call(squareRoot(o.c), o.state)
      a.copy(slot(o, 'R'))
    }
    const b = slot(o, 1)
    b.copy(a)
    a.setFinite(I32.of(0), I32.of(0), I64.of(-(2n ** 63n)))
    a.denormal = I32.of(0)
    o.f.call(divide(o.c), o.state)
    return finished(o)
  }
}

// ---------------------------------------------------------------- multiply-add

/** ±(A · B) ± C of numbers; signs as `multiplyAdd` has them. */
function fused(o: Operation, values: readonly I64[], product: number, addend: number): I64 {
  for (const [i, value] of values.entries()) unpackTo(o, i as 0, value)
  o.f.call(multiplyAdd(o.c), o.state, I32.of(product), I32.of(addend))
  return o.f.let(finished(o))
}

/** VFMADD132PH and the others. */
function multiplyAdds(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const [name, operation] of Object.entries(OPERATIONS))
    for (const [suffix, order] of Object.entries(ORDERS))
      for (const ending of FORMATS.split(' ')) {
        const isMixed = operation.even !== operation.odd
        if (isMixed && ending !== 'PH') continue
        const format = (PACKED[ending] ?? SCALAR[ending])!
        const mnemonic = `${name}${suffix}${ending}`
        const row: Row = {
          name: mnemonic,
          format,
          sources: order.map((i) => [i, 16] as const),
          to: 16,
          isQuiet: format === 'brain',
          build: (o) => fused(o, o.values, operation.product ? 1 : 0, operation.even ? 1 : 0),
          odd: isMixed ? (o) => fused(o, o.values, operation.product ? 1 : 0, operation.odd ? 1 : 0) : undefined,
        }
        out[mnemonic] = ending === 'SH' ? scalar(row, 0) : packed(row)
      }
  return out
}

/** Products of complex numbers, the real part below: each is rounded once more where the other product is added to it. */
function complex(isConjugate: boolean, isAdded: boolean) {
  return (o: Operation): I64 => {
    const { c, f, state } = o
    const part = (value: I64, i: number): I64 => f.let(value.shrU(BigInt(16 * i)).and(0xffffn))
    const [old, a, b] = isAdded ? o.values : [I64.of(0), ...o.values]
    const [re, im] = [part(b!, 0), part(b!, 1)]
    const first = [0, 1].map((i) => {
      if (isAdded) return fused(o, [part(a!, i), re, part(old!, i)], 0, 0)
      unpackTo(o, 0, part(a!, i))
      unpackTo(o, 1, re)
      f.call(multiply(c), state)
      return f.let(finished(o))
    })
    const real = fused(o, [part(a!, 1), im, first[0]!], isConjugate ? 0 : 1, 0)
    const imaginary = fused(o, [part(a!, 0), im, first[1]!], isConjugate ? 1 : 0, 0)
    return real.or(imaginary.shl(16n))
  }
}

function complexProducts(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  for (const letter of ['', 'C'])
    for (const isAdded of [true, false])
      for (const ending of ['PH', 'SH']) {
        const name = `VF${letter}${isAdded ? 'MADD' : 'MUL'}C${ending}`
        const sources = (isAdded ? [0, 1, 2] : [1, 2]).map((i) => [i, 32] as const)
        const row: Row = { name, format: 'half', sources, to: 32, build: complex(letter === 'C', isAdded) }
        out[name] = ending === 'SH' ? scalar(row) : packed(row)
      }
  return out
}

/** Sums of products of two numbers each, added to a single; each product is added with one rounding, the upper one first. */
function dotProduct(name: string, format: Format): Semantics {
  const build = (o: Operation): I64 => {
    const [old, a, b] = o.values as [I64, I64, I64]
    const add = (total: I64, i: number): I64 => {
      for (const [at, value] of [a, b].entries()) unpackTo(o, at as 0, value.shrU(BigInt(16 * i)).and(0xffffn), format)
      unpackTo(o, 2, total, 'single')
      o.f.call(multiplyAdd(o.c), o.state, I32.of(0), I32.of(0))
      return o.f.let(finished(o, 'single'))
    }
    return add(add(old, 1), 0)
  }
  const sources = [0, 1, 2].map((i) => [i, 32] as const)
  return packed({ name, format: 'single', sources, to: 32, isQuiet: true, build })
}

// ---------------------------------------------------------------- comparisons

/** Whether a predicate of the immediate holds. */
function holds(o: Operation): I64 {
  const { c, f, state, control } = o
  operands(o)
  const isQuiet = I32.of(QUIET_PREDICATES).shrU(control.and(15)).xor(control.shrU(4)).and(1)
  const relation = f.call(compare(c), state, isQuiet)
  const found = select(
    relation.eq(LESS),
    I32.of(1),
    select(relation.eq(EQUAL), I32.of(2), select(relation.eq(UNORDERED), I32.of(8), I32.of(4))),
  )
  const predicate = control.and(15).shl(2).toI64U()
  return I64.of(PREDICATES).shrU(predicate).toI32().and(found).ne(0).toI64U()
}

/** ZF, PF and CF as COMISS has them; or those of signed comparisons, too. */
function relationFlags(isQuiet: boolean, isExtended: boolean) {
  return (o: Operation): I64 => {
    operands(o)
    const relation = o.f.call(compare(o.c), o.state, I32.of(isQuiet ? 1 : 0))
    if (!isExtended) return relation.toI64U()
    const flags = (when: number, value: number, otherwise: I32): I32 =>
      select(relation.eq(when), I32.of(value), otherwise)
    const unordered = FLAG_OF | FLAG_SF | FLAG_PF | FLAG_CF
    return flags(
      GREATER,
      0,
      flags(LESS, FLAG_OF | FLAG_CF, flags(EQUAL, FLAG_OF | FLAG_SF | FLAG_ZF, I32.of(unordered))),
    ).toI64U()
  }
}

function flagComparisons(): SemanticsTable {
  const out: Record<string, Semantics> = {}
  const add = (name: string, format: Format, isQuiet: boolean, isExtended: boolean): void => {
    const bits = bitsOf(format)
    const sources = [0, 1].map((i) => [i, bits] as const)
    const build = relationFlags(isQuiet, isExtended)
    out[name] = scalarFlags({ name, format, sources, to: 64, isQuiet: format === 'brain', build })
  }
  for (const [letter, isQuiet] of [
    ['', false],
    ['U', true],
  ] as const) {
    add(`V${letter}COMISH`, 'half', isQuiet, false)
    for (const [ending, format] of Object.entries(SCALAR)) add(`V${letter}COMX${ending}`, format, isQuiet, true)
  }
  add('VCOMISBF16', 'brain', true, false)
  return out
}

/**
 * VMINMAX: minimum and maximum of IEEE 754-2019, or of magnitudes, by the immediate's bits 1:0; bit 4: of a number and a NaN
 * the number; bits 3:2 are for the sign. A first operand that is a NaN gives no sign: the number keeps its own.
 *
 * Source: Intel "Advanced Vector Extensions 10.2 Architecture Specification", VMINMAXPS, "Operation".
 */
function minMax(o: Operation): I64 {
  const { c, f, state, control, format } = o
  const bits = bitsOf(format)
  const sign = 1n << BigInt(bits - 1)
  const fraction = { half: 10, brain: 7, single: 23, double: 52 }[format]
  const nan = 1n << BigInt(fraction - 1)
  const [a, b] = [unpackTo(o, 0, o.values[0]!), unpackTo(o, 1, o.values[1]!)]
  const [kindA, kindB] = [a.class, b.class]
  const [isNanA, isNanB] = [kindA.geU(CLASS_QNAN), kindB.geU(CLASS_QNAN)]
  const flushed = (kind: I32, value: I64): I64 => f.let(select(kind.eq(CLASS_ZERO), value.and(sign), value))
  const [x, y] = [flushed(kindA, o.values[0]!), flushed(kindB, o.values[1]!)]
  // For its exceptions alone.
  const relation = f.call(compare(c), state, I32.of(1))
  const [p, q] = [f.let(x.and(sign - 1n)), f.let(y.and(sign - 1n))]
  const ordered = (value: I64, size: I64): I64 => f.let(select(value.and(sign).ne(0n), I64.of(-1).sub(size), size))
  const isSmaller = select(control.shrU(1).and(p.ne(q)), p.ltU(q), ordered(x, p).leS(ordered(y, q)))
  const number = select(isSmaller.xor(control.and(1)), x, y)
  const isNumber = control.shrU(4).and(1)
  const signalA = kindA.gtU(CLASS_QNAN)
  const signalB = kindB.gtU(CLASS_QNAN)
  const firstNan = isNanA.and(signalA.or(signalB.eqz()))
  const ofNans = select(firstNan.or(isNanB.eqz()), x.or(nan), y.or(nan))
  const isOne = isNanA.xor(isNanB).and(isNumber)
  const chosen = f.let(select(relation.eq(UNORDERED), select(isOne, select(isNanA, y, x), ofNans), number))
  const way = f.let(control.shrU(2).and(3))
  const signed = chosen.and(sign - 1n).or(select(way.eqz(), x.and(sign), select(way.eq(3), I64.of(sign), I64.of(0))))
  const isKept = way.eq(1).or(relation.eq(UNORDERED).and(isOne.eqz())).or(way.eqz().and(isNanA))
  return select(isKept, chosen, signed)
}

// ---------------------------------------------------------------- moves

/** VMOVSH, VMOVW, and VMOVD between vectors: an element with zeros above, or with what is above the first source's. */
function moveElement(bits: 16 | 32): Semantics {
  return direct((c) => {
    const { operands: all } = c.form
    const value = c.let(readElement(c, all.length - 1, bits))
    if (all[0]!.kind === 'xmm') c.writeV(0, replaced(all.length === 3 ? c.readV(1) : V128.of([]), bits, 0, value))
    else c.write(0, value)
  })
}

/** Singles as BF16: of two vectors the second source's below. */
const narrowed: Semantics = direct((c) => {
  const count = c.form.operands.length
  const lanes = [...c.readLanes(count - 1), ...(count === 3 ? c.readLanes(1) : [])]
  c.writeLanes(
    0,
    halved(
      c,
      lanes.map((v) => c.let(toBf16(c, v))),
      32,
    ),
  )
})

const whole: Semantics = { direct: true, emit: (c: Context) => c.writeLanes(0, c.readLanes(1)) }

export const wideHalves: SemanticsTable = {
  ...inFormats('VADD', 2, sum(false), { formats: FORMATS }),
  ...inFormats('VSUB', 2, sum(true), { formats: FORMATS }),
  ...inFormats('VMUL', 2, computed(multiply), { formats: FORMATS }),
  ...inFormats('VDIV', 2, computed(divide), { formats: FORMATS }),
  ...inFormats('VMIN', 2, extreme(LESS), { formats: FORMATS }),
  ...inFormats('VMAX', 2, extreme(GREATER), { formats: FORMATS }),
  ...inFormats('VSQRT', 1, computed(squareRoot), { formats: FORMATS }),
  ...inFormats('VRCP', 1, inverse(false), { formats: FORMATS, isSilent: true }),
  ...inFormats('VRSQRT', 1, inverse(true), { formats: FORMATS, isSilent: true }),
  ...inFormats('VCMP', 2, holds, { formats: FORMATS, to: 1 }),
  ...inFormats('VMINMAX', 2, minMax),
  ...multiplyAdds(),
  ...complexProducts(),
  ...flagComparisons(),
  VDPBF16PS: dotProduct('VDPBF16PS', 'brain'),
  VDPPHPS: dotProduct('VDPPHPS', 'half'),
  VCVTNEPS2BF16: narrowed,
  VCVTNE2PS2BF16: narrowed,
  VMOVSH: moveElement(16),
  VMOVW: moveElement(16),
  VMOVD: moveElement(32),
  VMOVRSB: whole,
  VMOVRSW: whole,
  VMOVRSD: whole,
  VMOVRSQ: whole,
}
