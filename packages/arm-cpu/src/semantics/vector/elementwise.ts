import { I64, numeric, select, type I32, type V128 } from '@retrap/wasm-emitter'
import type { Form as Row } from '@retrap/arm-decoder'
import type { ArmContext } from '../context.ts'
import type { ArmForm } from '../../state/form.ts'
import { R_D, R_M, R_N } from '../../state/record.ts'
import type { Semantics } from '../semantics.ts'
import { element, extendedFrom, Saturation, wholeVector, writeEach, writeFirst, zeros } from './lanes.ts'
import { shapeOf } from './shape.ts'
import { shiftByRegister } from './shifts.ts'

/** Vectors and scalars of integers, one element after another. */

/** One element's operands: of the two registers, and of the destination as it was. */
export interface Operands {
  readonly a: I64
  readonly b: I64
  readonly d: I64
  readonly bits: number
  readonly saturation: Saturation
}

/** The operation on one element. The low bits of the result count. */
interface ElementOperation {
  /** The operands are sign-extended, else zero-extended. */
  readonly signed: boolean
  readonly saturates?: boolean
  readonly apply: (operands: Operands, c: ArmContext) => I64
}

const mask = (condition: I32): I64 => I64.of(0).sub(condition.toI64U())

/** Makes signed and unsigned variants, under both names. */
function both(
  signedName: string,
  unsignedName: string,
  apply: (operands: Operands, isSigned: boolean, c: ArmContext) => I64,
  saturates = false,
): readonly (readonly [string, ElementOperation])[] {
  return [
    [signedName, { signed: true, saturates, apply: (operands, c) => apply(operands, true, c) }],
    [unsignedName, { signed: false, saturates, apply: (operands, c) => apply(operands, false, c) }],
  ]
}

const plain = (name: string, apply: ElementOperation['apply'], signed = false): readonly [string, ElementOperation] => [
  name,
  { signed, apply },
]

const lessThan = (a: I64, b: I64, isSigned: boolean): I32 => (isSigned ? a.ltS(b) : a.ltU(b))

function difference({ a, b }: Operands, isSigned: boolean): I64 {
  return select(lessThan(a, b, isSigned), b.sub(a), a.sub(b))
}

/** A product of two fractions, doubled, its upper half; `addend` has the weight of the upper half. */
function doubledHigh({ a, b, bits, saturation }: Operands, rounds: boolean, addend: I64, negative = false): I64 {
  const product = a.mul(b)
  const sum = addend.shl(bits - 1).add(negative ? I64.of(0).sub(product) : product)
  return saturation.clamp((rounds ? sum.add(1n << BigInt(bits - 2)) : sum).shrS(bits - 1), bits, true)
}

/** The polynomial product of two bytes. */
export function polynomialProduct(a: I64, b: I64): I64 {
  let product = I64.of(0)
  for (let bit = 0; bit < 8; bit++) product = product.xor(a.shl(bit).and(I64.of(0).sub(b.shrU(bit).and(1))))
  return product
}

const OPERATIONS: ReadonlyMap<string, ElementOperation> = /*#__PURE__*/ new Map<string, ElementOperation>([
  ...both('SHADD', 'UHADD', ({ a, b }) => a.add(b).shrS(1)),
  ...both('SRHADD', 'URHADD', ({ a, b }) => a.add(b).add(1).shrS(1)),
  ...both('SHSUB', 'UHSUB', ({ a, b }) => a.sub(b).shrS(1)),
  ...both(
    'SQADD',
    'UQADD',
    ({ a, b, bits, saturation }, isSigned) =>
      bits === 64 ? saturation.add64(a, b, isSigned) : saturation.clamp(a.add(b), bits, isSigned),
    true,
  ),
  ...both(
    'SQSUB',
    'UQSUB',
    ({ a, b, bits, saturation }, isSigned) =>
      bits === 64 ? saturation.subtract64(a, b, isSigned) : saturation.clamp(a.sub(b), bits, isSigned),
    true,
  ),
  ...both('CMGT', 'CMHI', ({ a, b }, isSigned) => mask(lessThan(b, a, isSigned))),
  ...both('CMGE', 'CMHS', ({ a, b }, isSigned) => mask(lessThan(a, b, isSigned).eqz())),
  ...both('SMAX', 'UMAX', ({ a, b }, isSigned) => select(lessThan(a, b, isSigned), b, a)),
  ...both('SMIN', 'UMIN', ({ a, b }, isSigned) => select(lessThan(a, b, isSigned), a, b)),
  ...both('SABD', 'UABD', difference),
  ...both('SABA', 'UABA', (operands, isSigned) => operands.d.add(difference(operands, isSigned))),
  plain('ADD', ({ a, b }) => a.add(b)),
  plain('SUB', ({ a, b }) => a.sub(b)),
  plain('MUL', ({ a, b }) => a.mul(b)),
  plain('MLA', ({ a, b, d }) => d.add(a.mul(b))),
  plain('MLS', ({ a, b, d }) => d.sub(a.mul(b))),
  plain('PMUL', ({ a, b }) => polynomialProduct(a, b)),
  plain('CMTST', ({ a, b }) => mask(a.and(b).ne(0))),
  plain('CMEQ', ({ a, b }) => mask(a.eq(b))),
  plain('CMLE', ({ a, b }) => mask(a.leS(b)), true),
  plain('CMLT', ({ a, b }) => mask(a.ltS(b)), true),
  plain('ABS', ({ a }) => select(a.ltS(0), I64.of(0).sub(a), a), true),
  plain('NEG', ({ a }) => I64.of(0).sub(a)),
  plain('CNT', ({ a }) => a.popcnt()),
  plain('CLZ', ({ a, bits }) => a.clz().sub(64 - bits)),
  plain(
    'CLS',
    ({ a, bits }) =>
      a
        .xor(a.shrS(63))
        .clz()
        .sub(64 - bits + 1),
    true,
  ),
  plain('RBIT', ({ a }, c) => reversedBits(a, c)),
  ['SQDMULH', { signed: true, saturates: true, apply: (operands) => doubledHigh(operands, false, I64.of(0)) }],
  ['SQRDMULH', { signed: true, saturates: true, apply: (operands) => doubledHigh(operands, true, I64.of(0)) }],
  ['SQRDMLAH', { signed: true, saturates: true, apply: (operands) => doubledHigh(operands, true, operands.d) }],
  ['SQRDMLSH', { signed: true, saturates: true, apply: (operands) => doubledHigh(operands, true, operands.d, true) }],
  ['SQABS', { signed: true, saturates: true, apply: (operands) => negated(operands, operands.a.ltS(0)) }],
  ['SQNEG', { signed: true, saturates: true, apply: (operands) => negated(operands, undefined) }],
  ['SUQADD', { signed: true, saturates: true, apply: addUnsigned }],
  ['USQADD', { signed: false, saturates: true, apply: addSigned }],
])

/** Negates if a condition holds; the smallest number has no negative and saturates. */
function negated({ a, bits, saturation }: Operands, condition: I32 | undefined): I64 {
  const negative = I64.of(0).sub(a)
  const result = condition === undefined ? negative : select(condition, negative, a)
  if (bits < 64) return saturation.clamp(result, bits, true)
  return saturation.replaceIf(a.eq(-(1n << 63n)), I64.of((1n << 63n) - 1n), result)
}

/** SUQADD: an unsigned number added to a signed one. */
function addUnsigned({ a, d, bits, saturation }: Operands): I64 {
  if (bits < 64) return saturation.clamp(d.add(extendedFrom(a, bits, false)), bits, true)
  const sum = d.add(a)
  // From 2^63 on, the addend leads past the greatest number unless it makes a negative one positive.
  const overflow = select(a.ltS(0), d.geS(0).or(sum.ltS(0)), sum.ltS(d))
  return saturation.replaceIf(overflow, I64.of((1n << 63n) - 1n), sum)
}

/** USQADD: a signed number added to an unsigned one. */
function addSigned({ a, d, bits, saturation }: Operands): I64 {
  if (bits < 64) return saturation.clamp(d.add(extendedFrom(a, bits, true)), bits, false)
  const sum = d.add(a)
  const isNegative = a.ltS(0)
  const tooLarge = isNegative.eqz().and(sum.ltU(d))
  const tooSmall = isNegative.and(sum.gtU(d))
  return saturation.replaceIf(tooSmall, I64.of(0), saturation.replaceIf(tooLarge, I64.of(-1), sum))
}

/** A byte with its bits in the opposite order. */
function reversedBits(value: I64, c: ArmContext): I64 {
  let bits = value
  for (const [shift, low] of [
    [4, 0x0f],
    [2, 0x33],
    [1, 0x55],
  ] as const) {
    const before = c.let(bits)
    bits = before.and(low).shl(shift).or(before.shrU(shift).and(low))
  }
  return bits
}

/** Returns the operation of an instruction on one element; undefined for other instructions. */
export const elementOperation = (name: string): ElementOperation | undefined =>
  OPERATIONS.get(name) ?? shiftByRegister(name)

/** Operations that WebAssembly has for whole vectors, with element sizes. */
const WHOLE: Readonly<Record<string, readonly [operation: string, sizes: readonly number[]]>> = {
  ADD: ['add', [8, 16, 32, 64]],
  SUB: ['sub', [8, 16, 32, 64]],
  MUL: ['mul', [16, 32, 64]],
  SMAX: ['max_s', [8, 16, 32]],
  UMAX: ['max_u', [8, 16, 32]],
  SMIN: ['min_s', [8, 16, 32]],
  UMIN: ['min_u', [8, 16, 32]],
  CMEQ: ['eq', [8, 16, 32, 64]],
  CMGT: ['gt_s', [8, 16, 32, 64]],
  CMGE: ['ge_s', [8, 16, 32, 64]],
  CMLE: ['le_s', [8, 16, 32, 64]],
  CMLT: ['lt_s', [8, 16, 32, 64]],
  CMHI: ['gt_u', [8, 16, 32]],
  CMHS: ['ge_u', [8, 16, 32]],
  URHADD: ['avgr_u', [8, 16]],
  ABS: ['abs', [8, 16, 32, 64]],
  NEG: ['neg', [8, 16, 32, 64]],
  CNT: ['popcnt', [8]],
}

/** Operations of one register in {@link WHOLE}. */
const UNARY: ReadonlySet<string> = new Set(['ABS', 'NEG', 'CNT'])

/** Returns the second operand: a register, or zero for comparisons with zero. */
const secondOf = (c: ArmContext, row: Row): V128 => (row.fields.has('m') ? c.readVector(R_M) : zeros())

function emitElements(c: ArmContext, form: ArmForm): void {
  const name = form.row.name
  const shape = shapeOf(form, 'd')
  const { bits, scalar } = shape
  const [whole, sizes = []] = WHOLE[name] ?? []
  if (whole !== undefined && sizes.includes(bits) && !scalar) {
    const operands = UNARY.has(name) ? [] : [secondOf(c, form.row)]
    writeFirst(c, shape, wholeVector(whole, bits, c.readVector(R_N), ...operands))
    return
  }
  const operation = elementOperation(name)!
  const saturation = new Saturation(c)
  const [n, m, d] = [c.readVector(R_N), c.let(secondOf(c, form.row)), c.readVector(R_D)]
  const compute = (i: number): I64 => {
    const at = (vector: V128): I64 => c.let(element(vector, i, bits, operation.signed))
    return operation.apply({ a: at(n), b: at(m), d: at(d), bits, saturation }, c)
  }
  writeEach(c, shape, compute, operation.saturates === true ? saturation : undefined)
}

const elementwise: Semantics = { selectors: 'zQ', emit: emitElements }

const LOGIC: Readonly<Record<string, (n: V128, m: V128, d: V128) => V128>> = {
  AND: (n, m) => numeric('v128.and', n, m),
  BIC: (n, m) => numeric('v128.andnot', n, m),
  ORR: (n, m) => numeric('v128.or', n, m),
  ORN: (n, m) => numeric('v128.or', n, numeric('v128.not', m)),
  EOR: (n, m) => numeric('v128.xor', n, m),
  BSL: (n, m, d) => numeric('v128.bitselect', n, m, d),
  BIT: (n, m, d) => numeric('v128.bitselect', n, d, m),
  BIF: (n, m, d) => numeric('v128.bitselect', d, n, m),
  NOT: (n) => numeric('v128.not', n),
}

const logical: Semantics = {
  selectors: 'Q',
  emit(c, form) {
    const m = form.row.fields.has('m') ? c.readVector(R_M) : c.readVector(R_N)
    writeFirst(c, shapeOf(form, 'd'), LOGIC[form.row.mnemonic]!(c.readVector(R_N), m, c.readVector(R_D)))
  },
}

/** The family's semantics of a row. */
export function vectorElements(row: Row): Semantics | undefined {
  if (row.operation === 'vector-logical' || (row.operation === 'vector' && row.mnemonic === 'NOT')) return logical
  if (row.operation !== 'vector' && row.operation !== 'scalar') return undefined
  // Excludes instructions with two sizes, on one element, or with an immediate.
  if (/\.[WP]>|\+|\[|<#/.test(row.operands)) return undefined
  return elementOperation(row.mnemonic) !== undefined ? elementwise : undefined
}
