import type { Form as Row } from '@retrap/arm-decoder'
import { extractLane, I32, type V128, I64 } from '@retrap/wasm-emitter'
import type { ArmContext } from '../context.ts'
import { fieldOf } from '../../state/form.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import { repeatedElement, signs, vectorResult } from '../float/vector.ts'
import type { Elements } from '../float/host.ts'
import { lookedUp, permuted } from '../vector/permute.ts'
import { FRAME_8, FRAME_STANDARD, FRAME_WHOLE } from './vfp-frame.ts'
import type { OwnForm, VectorPlan } from './vfp-record.ts'
import { add } from '@retrap/soft-float'
import { ARITHMETIC, finishStep, isInvalidProduct, minuendOfStep, unpackBoth } from '../float/arithmetic.ts'
import { elementFunction, type FloatOperation } from '../float/element.ts'
import { element, writeEach, xor } from '../vector/lanes.ts'

/**
 * Steps of Newton's method, whose product is rounded before it is subtracted: 2 − a · b, or (3 − a · b) / 2.
 *
 * Source: Arm ARM (DDI 0487), shared pseudocode "FPRecipStep" and "FPRSqrtStep".
 */
const step = (isRoot: boolean): FloatOperation => ({
  operands: 2,
  emit(e, a, b) {
    const { f } = e
    unpackBoth(e, a, b)
    const product = f.local('i64')
    // Zero times infinity counts as zero.
    f.set(product, I64.of(0))
    const isInvalid = f.let(isInvalidProduct(e))
    e.end()
    f.if(isInvalid.eqz(), () => {
      const multiply = elementFunction(e.library, 'MUL', e.bits, ARITHMETIC['MUL']!)
      f.set(product, f.call(multiply, e.state, a, b))
    })
    unpackBoth(e, minuendOfStep(e, isRoot), product.get)
    e.call(add(e.library), I32.of(1))
    return finishStep(e, isRoot)
  },
})

/** VRECPS, and VRSQRTS. */
function stepVector(c: ArmContext, elements: Elements, isRoot: boolean): void {
  const { bits } = elements
  const callee = elementFunction(c.library, isRoot ? 'VRSQRTS' : 'VRECPS', bits, step(isRoot))
  const [n, m] = [c.readVector(R_N), c.readVector(R_M)]
  const at = (vector: V128, i: number): I64 => element(vector, i, bits, false)
  writeEach(c, elements, (i) => c.f.call(callee, c.state, at(n, i), at(m, i)))
}

/** How the operands of Advanced SIMD are made up: from the texts of the decoder's table. */

/** On floating-point numbers, also where only the operands or the result are such. */
export const isFloat = ({ mnemonic }: Row): boolean => /\.(?:F|<fx?>|[SU](?:\d+|<z>)\.F)/.test(mnemonic)

/** By an immediate; also to and from fixed point. */
export const isShift = ({ operands }: Row): boolean => /^<[VQD]d>, <[VQD]m>, <#(?:\d+-)?i>$/.test(operands)

/** Returns S or U, by the field or the data type. */
export const signLetter = (row: Row, word: number): string =>
  row.fields.has('u') ? 'SU'.charAt(fieldOf(row, 'u', word)) : (/\.([SU])/.exec(row.mnemonic)?.[1] ?? 'S')

/** Bits of a shift's narrower elements, by the width of its immediate. */
const SHIFTED: Readonly<Record<number, number>> = { 3: 8, 4: 16, 5: 32, 6: 64 }

/** Returns bits of an element: of the narrower one, if there are two sizes; 8 if the size is irrelevant. */
export function elementBits(row: Row, word: number): number {
  const { mnemonic, fields } = row
  if (fields.has('z')) return 8 << fieldOf(row, 'z', word)
  if (isShift(row)) return SHIFTED[fields.get('i')!.width]!
  const [, half] = /<(fx?)>/.exec(mnemonic) ?? []
  if (half !== undefined) return fieldOf(row, 'x', word) === Number(half === 'f') ? 16 : 32
  const sizes = [...mnemonic.matchAll(/\.(?:[SUFIP]|<su>)?(\d+)/g)].map(([, bits]) => Number(bits))
  return sizes.length === 0 ? 8 : Math.min(...sizes)
}

/** Whether the destination has 128 bits. */
export const isQuad = (row: Row, word: number): boolean =>
  row.operands.startsWith('<Q') || (row.operands.startsWith('<V') && fieldOf(row, 'Q', word) === 1)

/** Advanced SIMD of AArch32 that A64 has nothing like. */

/** Which of product and addend are negated: of VMLA neither. */
export interface Signs {
  readonly product: boolean
  readonly addend: boolean
}

/** A product, rounded, and then added. @param m - a local */
export function accumulate(c: ArmContext, elements: Elements, { product, addend }: Signs, m: V128): void {
  const negative = signs(elements.bits)
  const rounded = c.let(vectorResult(c, elements, 'MUL', [c.readVector(R_N), m]))
  const d = c.readVector(R_D)
  const operands = [addend ? c.let(xor(d, negative)) : d, product ? c.let(xor(rounded, negative)) : rounded]
  c.writeVector(R_D, vectorResult(c, elements, 'ADD', operands))
}

/** Both registers are written: the first of `count` elements. */
const exchange =
  (first: string, second: string, bits: number, count: number): OwnForm =>
  (c) => {
    const [d, m] = [c.readVector(R_D), c.readVector(R_N)]
    const results = [first, second].map((name) => c.let(name === '' ? d : permuted(name, d, m, bits, count)))
    const values = first === '' ? [m, d] : results
    for (const [i, field] of [R_D, R_N].entries()) {
      if (bits * count === 128) c.writeVector(field, values[i]!)
      else c.writeElement(field, I32.of(0), 8, extractLane('i64x2.extract_lane', values[i]!, 0))
    }
  }

/** By mnemonic: new contents of the first and the second register; absent if unchanged. */
const EXCHANGES: ReadonlyMap<string, readonly [first: string, second: string]> = new Map([
  ['VSWP', ['', '']],
  ['VTRN', ['TRN1', 'TRN2']],
  ['VUZP', ['UZP1', 'UZP2']],
  ['VZIP', ['ZIP1', 'ZIP2']],
])

const FLOAT_ELEMENTS: readonly Elements[] = [
  { bits: 16, count: 4 },
  { bits: 16, count: 8 },
  { bits: 32, count: 2 },
  { bits: 32, count: 4 },
]

/** Returns all forms by key. */
export function* neonForms(): Iterable<readonly [key: string, emit: OwnForm]> {
  for (const elements of FLOAT_ELEMENTS) {
    const { bits, count } = elements
    for (const product of [false, true]) {
      const name = `${product ? 'VMLS' : 'VMLA'}.${bits}.${count}`
      const sign = { product, addend: false }
      yield [name, (c) => accumulate(c, elements, sign, c.readVector(R_M))]
      yield [`${name}.lane`, (c) => accumulate(c, elements, sign, repeatedElement(c, bits))]
    }
    for (const name of ['VRECPS', 'VRSQRTS']) {
      yield [`${name}.${bits}.${count}`, (c) => stepVector(c, elements, name === 'VRSQRTS')]
    }
  }
  for (const [name, [first, second]] of EXCHANGES) {
    for (const bits of [8, 16, 32]) {
      for (const bytes of [8, 16]) {
        const count = (8 * bytes) / bits
        yield [`${name}.${bits}.${count}`, exchange(first, second, bits, count)]
      }
    }
  }
  for (const bytes of [8, 16, 24, 32]) {
    for (const name of ['VTBL', 'VTBX']) {
      yield [`${name}.${bytes}`, (c) => c.writeVector(R_D, lookedUp(c, bytes, name === 'VTBX'))]
    }
  }
}

/** Returns additional record fields of such an instruction; undefined for all others. */
export function neonOwn(row: Row, word: number): (Partial<VectorPlan> & Pick<VectorPlan, 'key' | 'frame'>) | undefined {
  const { name } = row
  const bits = elementBits(row, word)
  const quad = isQuad(row, word)
  const frame = quad ? FRAME_WHOLE : FRAME_8
  const key = `${name}.${bits}.${(quad ? 128 : 64) / bits}`
  if (name === 'VTBL' || name === 'VTBX') return { key: `${name}.${8 * (fieldOf(row, 'l', word) + 1)}`, frame }
  if (EXCHANGES.has(name)) return { key, frame: FRAME_WHOLE }
  if (name === 'VRECPS' || name === 'VRSQRTS') return { key, frame: frame + FRAME_STANDARD }
  if (!isFloat(row) || (name !== 'VMLA' && name !== 'VMLS')) return undefined
  const isLane = row.fields.has('l')
  return { key: isLane ? `${key}.lane` : key, frame: frame + FRAME_STANDARD, small: fieldOf(row, 'l', word) }
}
