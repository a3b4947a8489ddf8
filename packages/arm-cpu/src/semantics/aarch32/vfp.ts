import type { Form as Row } from '@retrap/arm-decoder'
import { fieldOf } from '../../state/form.ts'
import { hasFeature } from '../../system/id-registers.ts'
import type { A32Semantics } from './semantics.ts'
import { a64Plan, a64Rows, namesTable, type A64Plan } from './vfp-a64.ts'
import { FRAME_2, FRAME_4, FRAME_8, FRAME_FLAGS, FRAME_WHOLE, planned } from './vfp-frame.ts'
import { FIXED_UNSIGNED, FIXED_WIDE, ownKey, registersOf, singleNumber, type VectorPlan } from './vfp-record.ts'
import { transferPlan } from './vfp-transfer.ts'

/** VFP: scalar floating point of AArch32. Nearly every instruction equals one of A64 with another name. */

/** A64 names by mnemonic, for instructions whose operands have one precision. */
const NAMES: ReadonlyMap<string, string> = /*#__PURE__*/ namesTable(`
VADD FADD, VSUB FSUB, VMUL FMUL, VNMUL FNMUL, VDIV FDIV, VMAXNM FMAXNM, VMINNM FMINNM, VFMA FMADD, VFMS FMSUB
VFNMA FNMADD, VFNMS FNMSUB, VABS FABS, VNEG FNEG, VSQRT FSQRT, VMOV FMOV, VCMP FCMP, VCMPE FCMPE
VRINTR FRINTI, VRINTX FRINTX, VRINTZ FRINTZ, VRINTA FRINTA, VRINTN FRINTN, VRINTP FRINTP, VRINTM FRINTM
`)

/** The conditions of VSEL. */
const SELECTED: Readonly<Record<string, number>> = { VSELEQ: 0, VSELVS: 6, VSELGE: 10, VSELGT: 12 }

const PRECISIONS: Readonly<Record<string, number>> = { F32: 0, F64: 1, F16: 3 }

/** The form of a row of A64 with some operands. */
function planOf(name: string, operands: string, values: Readonly<Record<string, number>>): A64Plan {
  const rows = a64Rows(name)
  const found =
    rows.find(({ row }) => row.operands === operands) ?? rows.find(({ row }) => row.operands.startsWith(operands))
  return a64Plan(found!, values)
}

const own = (name: string, small = 0): A64Plan => ({ key: ownKey(name), small, immediate: 0n })

function fixedPlan(row: Row, word: number, types: readonly string[]): A64Plan {
  const toFixed = !types[0]!.startsWith('F')
  const [fixed, float] = toFixed ? types : types.toReversed()
  const width = Number(fixed!.slice(1))
  // A fraction of fewer bits than none is unpredictable.
  const fraction = Math.max(width - singleNumber(fieldOf(row, 'i', word)), 0)
  const flags = (width === 32 ? FIXED_WIDE : 0) | (fixed!.startsWith('U') ? FIXED_UNSIGNED : 0)
  return own(`VCVT.${toFixed ? 'to' : 'from'}.${float!.slice(1)}`, fraction | flags)
}

/** Conversions: to and from integers and fixed-point numbers, and to another precision. */
function conversionPlan(row: Row, word: number, name: string, types: readonly [to: string, from: string]): A64Plan {
  const [to, from] = types
  if (row.operands.includes('<fraction')) return fixedPlan(row, word, types)
  if (name === 'VJCVT') return planOf('FJCVTZS', '<Wd>', {})
  if (name === 'VCVTR') return own(`VCVTR.${to}.${from}`)
  if (!to.startsWith('F')) {
    const mode = name.charAt(4) || 'Z'
    return planOf(`FCVT${mode}${to.charAt(0)}`, '<Rd>, <Fn>', { y: PRECISIONS[from]!, f: 0 })
  }
  if (!from.startsWith('F')) return planOf(`${from.charAt(0)}CVTF`, '<Fd>, <Rn>', { y: PRECISIONS[to]!, f: 0 })
  const letters: Readonly<Record<string, string>> = { F16: 'H', F32: 'S', F64: 'D' }
  return planOf('FCVT', `<${letters[to]!}d>, <${letters[from]!}n>`, {})
}

/** Two bytes further on, of the half that an instruction means. */
function halves(name: string, to: string, registers: VectorPlan): VectorPlan {
  if (name !== 'VCVTT') return registers
  return to === 'F16' ? { ...registers, d: registers.d + 2 } : { ...registers, n: registers.n + 2 }
}

function arithmeticPlan(row: Row, word: number, name: string, type: string): A64Plan {
  const y = PRECISIONS[type]!
  const condition = SELECTED[name]
  if (condition !== undefined) return planOf('FCSEL', '', { y, c: condition })
  if (/^VN?ML/.test(name)) return own(`${name}.${type.slice(1)}`)
  if (row.operands.includes('<float>')) return planOf('FMOV', '<Fd>, <float>', { y, i: fieldOf(row, 'i', word) })
  const operands = row.operands.endsWith('#0') ? '<Fn>, #0.0' : name.startsWith('VCMP') ? '<Fn>, <Fm>' : '<Fd>, <Fn>'
  return planOf(NAMES.get(name)!, operands, { y })
}

function floatPlan(row: Row, word: number): VectorPlan {
  const { name } = row
  const types = row.mnemonic.match(/[FSU](?:16|32|64)/g) as [string, string]
  const registers = registersOf(row, word)
  const frame = row.operands.startsWith('<D') ? FRAME_8 : FRAME_4
  // Both halves of a single are registers of half precision.
  if (name === 'VINS')
    return { ...planOf('INS', '<Vd.h[i]>, <Vn', {}), ...registers, d: registers.d + 2, frame: FRAME_WHOLE }
  if (name === 'VMOVX') return { ...planOf('DUP', '<Hd>', {}), ...registers, n: registers.n + 2, frame }
  if (name.includes('CVT')) {
    const toHalf = /^VCVT[BT]/.test(name) && types[0] === 'F16'
    const plan = { ...conversionPlan(row, word, name, types), ...registers }
    return halves(name, types[0], { ...plan, frame: toHalf ? FRAME_2 : name === 'VJCVT' ? FRAME_FLAGS : frame })
  }
  const plan = { ...arithmeticPlan(row, word, name, types[0]), ...registers }
  if (!name.startsWith('VCMP')) return { ...plan, frame }
  const { d, n } = registers
  return { ...plan, n: d, m: n, frame: FRAME_FLAGS }
}

/** The family's semantics of a row. */
export function vfp(row: Row): A32Semantics | undefined {
  if (!hasFeature(row)) return undefined
  switch (row.operation) {
    case 'float':
      return planned((word) => floatPlan(row, word))
    case 'transfer':
    case 'system':
      return row.name.startsWith('V') && row.name !== 'VDUP' ? planned((word) => transferPlan(row, word)) : undefined
    default:
      return undefined
  }
}
