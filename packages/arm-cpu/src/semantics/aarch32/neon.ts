import { expandVectorImmediate, type Form as Row } from '@retrap/arm-decoder'
import { fieldOf } from '../../state/form.ts'
import { hasFeature } from '../../system/id-registers.ts'
import { hasUpper } from '../vector/shape.ts'
import type { A32Semantics } from './semantics.ts'
import { neonOwn, elementBits, isFloat, isQuad, isShift, signLetter } from './neon-own.ts'
import { planned, FRAME_8, FRAME_STANDARD, FRAME_WHOLE } from './vfp-frame.ts'
import { a64Plan, a64Rows, namesTable, type A64Plan, type A64Row } from './vfp-a64.ts'
import { ownKey, registersOf, type VectorPlan } from './vfp-record.ts'

/**
 * Advanced SIMD of AArch32 by the names that A64 has for the same: of integers and of floating-point numbers. `*` is S or U.
 * An instruction that is not here has semantics of its own.
 */

/** Whole numbers, bits, and permutations. */
const INTEGER_NAMES: ReadonlyMap<string, string> = /*#__PURE__*/ namesTable(`
VHADD *HADD, VQADD *QADD, VRHADD *RHADD, VHSUB *HSUB, VQSUB *QSUB, VSHL *SHL, VQSHL *QSHL, VRSHL *RSHL, VQRSHL *QRSHL
VMAX *MAX, VMIN *MIN, VABD *ABD, VABA *ABA, VADD ADD, VSUB SUB, VTST CMTST, VCEQ CMEQ, VMLA MLA, VMLS MLS, VMUL MUL
VPMAX *MAXP, VPMIN *MINP, VPADD ADDP, VQDMULH SQDMULH, VQRDMULH SQRDMULH, VQRDMLAH SQRDMLAH, VQRDMLSH SQRDMLSH
VAND AND, VBIC BIC, VORR ORR, VORN ORN, VEOR EOR, VBSL BSL, VBIT BIT, VBIF BIF, VMVN NOT
VADDL *ADDL, VSUBL *SUBL, VADDW *ADDW, VSUBW *SUBW, VADDHN ADDHN, VSUBHN SUBHN, VRADDHN RADDHN, VRSUBHN RSUBHN
VABAL *ABAL, VABDL *ABDL, VMLAL *MLAL, VMLSL *MLSL, VMULL *MULL, VQDMLAL SQDMLAL, VQDMLSL SQDMLSL, VQDMULL SQDMULL
VREV64 REV64, VREV32 REV32, VREV16 REV16, VPADDL *ADDLP, VPADAL *ADALP, VCLS CLS, VCLZ CLZ, VCNT CNT
VQABS SQABS, VQNEG SQNEG, VABS ABS, VNEG NEG, VCLE CMLE, VCLT CMLT
VMOVN XTN, VQMOVUN SQXTUN, VQMOVN *QXTN, VSRA *SRA, VSHR *SHR, VRSHR *RSHR, VRSRA *RSRA, VSRI SRI, VSLI SLI
VQSHLU SQSHLU, VSHRN SHRN, VRSHRN RSHRN, VQSHRUN SQSHRUN, VQRSHRUN SQRSHRUN, VQSHRN *QSHRN, VQRSHRN *QRSHRN
VMOVL *SHLL, VEXT EXT, VDUP DUP, VSDOT SDOT, VUDOT UDOT, VRECPE URECPE, VRSQRTE URSQRTE
AESE AESE, AESD AESD, AESMC AESMC, AESIMC AESIMC, SHA1C SHA1C, SHA1P SHA1P, SHA1M SHA1M, SHA1SU0 SHA1SU0
SHA1H SHA1H, SHA1SU1 SHA1SU1, SHA256H SHA256H, SHA256H2 SHA256H2, SHA256SU1 SHA256SU1, SHA256SU0 SHA256SU0
`)

/** Floating-point numbers. */
const FLOAT_NAMES: ReadonlyMap<string, string> = /*#__PURE__*/ namesTable(`
VADD FADD, VSUB FSUB, VPADD FADDP, VABD FABD, VMUL FMUL, VFMA FMLA, VFMS FMLS, VCEQ FCMEQ, VCGE FCMGE, VCGT FCMGT
VCLE FCMLE, VCLT FCMLT, VACGE FACGE, VACGT FACGT, VMAX FMAX, VMIN FMIN, VPMAX FMAXP, VPMIN FMINP
VMAXNM FMAXNM, VMINNM FMINNM, VRECPE FRECPE, VRSQRTE FRSQRTE, VABS FABS, VNEG FNEG, VCADD FCADD, VCMLA FCMLA
VRINTN FRINTN, VRINTX FRINTX, VRINTA FRINTA, VRINTZ FRINTZ, VRINTM FRINTM, VRINTP FRINTP, VFMAL FMLAL, VFMSL FMLSL
`)

/** Advanced SIMD of AArch32 without memory accesses: most instructions equal one of A64 with another name. */

function conversionName({ mnemonic, name }: Row, sign: string): string {
  if (mnemonic === 'VCVT<c>.F16.F32') return 'FCVTN'
  if (mnemonic === 'VCVT<c>.F32.F16') return 'FCVTL'
  if (mnemonic.startsWith('VCVT<c>.F')) return `${sign}CVTF`
  return `FCVT${name.slice('VCVT'.length) || 'Z'}${sign}`
}

/** A64's name of an instruction. */
function a64Name(row: Row, word: number): string {
  const { mnemonic, name } = row
  const sign = signLetter(row, word)
  if (name.startsWith('VCVT')) return conversionName(row, sign)
  if (isFloat(row)) return FLOAT_NAMES.get(name)!
  if (mnemonic.includes('.P')) return name === 'VMUL' ? 'PMUL' : 'PMULL'
  if (name === 'VSHL' && isShift(row)) return 'SHL'
  if (name === 'VSHLL') return isShift(row) ? `${sign}SHLL` : 'SHLL'
  if (name === 'VCGT') return sign === 'S' ? 'CMGT' : 'CMHI'
  if (name === 'VCGE') return sign === 'S' ? 'CMGE' : 'CMHS'
  return INTEGER_NAMES.get(name)!.replace('*', sign)
}

/** Bits of the narrower element of a row of A64; undefined where fields say it. */
function namedBits({ operands }: Row): number | undefined {
  if (/\.[TF]>|<Y/.test(operands)) return undefined
  const letters = operands.matchAll(/([bhsd])(?:>|\[)|<([BHSD])[dn]>/g)
  return Math.min(
    ...[...letters].map(([, vector, scalar]) => ({ b: 8, h: 16, s: 32, d: 64 })[vector ?? scalar!.toLowerCase()]!),
  )
}

/** The kinds of rows of A64 that Advanced SIMD of AArch32 may be like. */
const KINDS: ReadonlySet<string> = new Set([
  'vector',
  'vector-logical',
  'scalar',
  'element',
  'permute',
  'copy',
  'aes',
  'sha',
])

/** Returns the equivalent A64 row. A 64-bit doubleword is a scalar in A64. */
function a64RowOf(row: Row, word: number): A64Row {
  const name = a64Name(row, word)
  const [bits, quad] = [elementBits(row, word), isQuad(row, word)]
  const isLong = row.name === 'VMOVL'
  const wanted = [
    bits === 64 && !quad,
    // A doubleword holds one single-precision complex number, and so cannot be a vector of them.
    row.fields.has('l') || (quad && row.operands.includes('[0]')),
    row.operands.endsWith('#0'),
    isShift(row) || isLong,
    row.operands.includes('<Rt>'),
  ].join()
  const rows = a64Rows(name).filter((each) => KINDS.has(each.row.operation))
  if (rows.length === 1) return rows[0]!
  return rows.find(({ row: target }) => {
    const { operands, operation } = target
    const traits = [
      !operands.startsWith('<V'),
      operands.includes('['),
      operands.includes('#0'),
      /<#(?:\d+-)?i>$/.test(operands) && operation !== 'permute',
      operands.includes('<Wn>'),
    ]
    if (traits.join() !== wanted) return false
    if (name === 'EXT') return operands.includes('16b') === quad
    const named = namedBits(target)
    return named === undefined ? !(bits === 16 && operands.includes('.F>')) : named === bits
  })!
}

/** The values of the fields of A64. */
function valuesOf(target: Row, row: Row, word: number): Record<string, number> {
  const { operands } = row
  const bits = elementBits(row, word)
  const lane = fieldOf(row, 'l', word)
  const low = target.fields.get('l')?.width ?? 0
  return {
    z: Math.log2(bits / 8),
    x: bits === 64 ? 1 : 0,
    // Instructions with an optional upper half use the lower half here.
    Q: isQuad(row, word) && !hasUpper(target) ? 1 : 0,
    i: row.name === 'VDUP' ? lane : fieldOf(row, 'i', word),
    h: lane >> low,
    l: lane & ((1 << low) - 1),
    r: row.name === 'VCADD' ? Number(operands.endsWith('270')) : fieldOf(row, 'r', word),
  }
}

/** Constants: moved, or bits that are set or cleared. */
function constantPlan(row: Row, word: number): A64Plan {
  const [low, high] = expandVectorImmediate((word >>> 5) & 1, (word >>> 8) & 15, fieldOf(row, 'i', word))
  const bits = BigInt(low) | (BigInt(high) << 32n)
  const name = row.name === 'VORR' ? 'ORR' : row.name === 'VBIC' ? 'BIC' : 'MOVI'
  const found = a64Rows(name).find(({ row: { operation } }) => operation === 'immediate')!
  const inverts = row.name === 'VMVN' || name === 'BIC'
  const immediate = BigInt.asIntN(64, inverts ? ~bits : bits)
  return { ...a64Plan(found, { Q: isQuad(row, word) ? 1 : 0 }), immediate }
}

function planOf(row: Row, word: number): VectorPlan {
  const registers = registersOf(row, word)
  const own = neonOwn(row, word)
  if (own !== undefined) return { small: 0, immediate: 0n, ...registers, ...own, key: ownKey(own.key) }
  const frame = isQuad(row, word) ? FRAME_WHOLE : FRAME_8
  if (row.operation === 'constant') return { ...constantPlan(row, word), ...registers, frame }
  const found = a64RowOf(row, word)
  const plan = a64Plan(found, valuesOf(found.row, row, word))
  return { ...plan, ...registers, frame: isFloat(row) ? frame + FRAME_STANDARD : frame }
}

/** The family's semantics of a row. */
export function neon(row: Row): A32Semantics | undefined {
  if (!hasFeature(row)) return undefined
  const isNeon = ['vector', 'constant', 'aes', 'sha', 'table'].includes(row.operation)
  return isNeon || row.name === 'VDUP' ? planned((word) => planOf(row, word)) : undefined
}
