/** The placeholders of VFP and Advanced SIMD rows, as text. */
import { expandVectorImmediate } from './aarch32-immediates.ts'
import { floatSystemName } from './banked-registers.ts'
import { operandA32, type OperandA32 } from './format-aarch32-operands.ts'
import { floatConstant, fieldOf, fieldsOf, type Form } from './row.ts'

/** Singles are numbered Vd:D, doubles D:Vd. */
const singleNumber = (bits: number): number => ((bits & 15) << 1) | (bits >> 4)

/** As C's `%e` writes numbers. */
function exponential(value: number): string {
  const [digits, sign, exponent = ''] = value.toExponential(6).split(/e([-+])/)
  return `${digits}e${sign}${exponent.padStart(2, '0')}`
}

/** Number of fraction bits: the immediate, whose lowest bit is stored apart, subtracted from the width. */
const fraction =
  (width: number): OperandA32 =>
  (form, word) =>
    `#${width - singleNumber(fieldOf(form, 'i', word))}`

/** Formats an Advanced SIMD constant: one of its elements. */
function modified(form: Form, word: number): string {
  const [low, high] = expandVectorImmediate((word >> 5) & 1, (word >> 8) & 15, fieldOf(form, 'i', word))
  const size = Number(/I(\d+)$/.exec(form.mnemonic)![1])
  if (size === 64) return `#0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`
  return `#0x${(size === 32 ? low : low & (2 ** size - 1)).toString(16)}`
}

const BY_NAME: Readonly<Record<string, OperandA32>> = {
  su: (form, word) => (fieldOf(form, 'u', word) === 0 ? 's' : 'u'),
  z: (form, word) => String(8 << fieldOf(form, 'z', word)),
  'z+': (form, word) => String(16 << fieldOf(form, 'z', word)),
  f: (form, word) => (fieldOf(form, 'x', word) === 0 ? 'f32' : 'f16'),
  fx: (form, word) => (fieldOf(form, 'x', word) === 0 ? 'f16' : 'f32'),
  float: (form, word) => `#${exponential(floatConstant(fieldOf(form, 'i', word)))}`,
  modified,
  fraction16: /*#__PURE__*/ fraction(16),
  fraction32: /*#__PURE__*/ fraction(32),
  apsr: () => 'APSR_nzcv',
  fpsystem: (form, word) => floatSystemName(form, word)!,
  table(form, word) {
    const first = fieldOf(form, 'n', word)
    return `{${Array.from({ length: fieldOf(form, 'l', word) + 1 }, (_, index) => `d${first + index}`).join(', ')}}`
  },
  // VFMAL: the lowest bit of the register's number stands apart.
  'half-lane'(form, word) {
    const bits = fieldOf(form, 'm', word)
    return `s${((bits & 7) << 1) | (bits >> 3)}[${fieldOf(form, 'l', word)}]`
  },
}

/** `Sd`, `Dn[l]`, `Qm`, `Vd`, `Sm1`. */
const REGISTER = /^([SDQV])([dnm])(1?)(?:\[(\w)\])?$/

function register(kind: string, letter: string, more: number, lane: string | undefined): OperandA32 {
  const index = lane === undefined ? () => '' : (form: Form, word: number) => `[${fieldsOf(form, lane, word)}]`
  switch (kind) {
    case 'S':
      return (form, word) => `s${(singleNumber(fieldOf(form, letter, word)) + more) & 31}${index(form, word)}`
    case 'D':
      return (form, word) => `d${fieldOf(form, letter, word)}${index(form, word)}`
    case 'Q':
      return (form, word) => `q${fieldOf(form, letter, word) >> 1}`
    default:
      return (form, word) => {
        const number = fieldOf(form, letter, word)
        return fieldOf(form, 'Q', word) === 1 ? `q${number >> 1}` : `d${number}`
      }
  }
}

/** Returns the operand that a placeholder of any row of A32 and Thumb stands for. `row.ts` has the language. */
export function vectorOperandA32(name: string): OperandA32 {
  const known = BY_NAME[name]
  if (known !== undefined) return known
  const match = REGISTER.exec(name)
  if (match === null) return operandA32(name)
  return register(match[1]!, match[2]!, match[3] === '' ? 0 : 1, match[4])
}
