/** The placeholders of the integer rows of A32 and Thumb, as text. */
import { expandImmediateA32, expandImmediateT32 } from './aarch32-immediates.ts'
import { bankedName } from './banked-registers.ts'
import { immediate, signedField, fieldOf, type Form } from './row.ts'
import { barrierName } from './system-names.ts'

/** Names of registers, conditions and shifts in AArch32, in lower case, by number. */

/** General-purpose registers. */
export const REGISTERS_A32: readonly string[] = 'r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 sp lr pc'.split(' ')

/** Conditions; 14 (always) and 15 (no condition) are not written. */
export const CONDITIONS_A32: readonly string[] = [...'eq ne hs lo mi pl vs vc hi ls ge lt gt le'.split(' '), '', '']

/** Kinds of shift. */
export const SHIFTS_A32: readonly string[] = ['lsl', 'lsr', 'asr', 'ror', 'rrx']

/** Address of an instruction, and the state from preceding instructions. */
export interface PlaceA32 {
  readonly address: bigint
  /** Thumb: the condition of the IT block; 14 = always. */
  readonly condition: number
  /** The instruction is in an IT block, in which T16 sets no flags. */
  readonly isInBlock: boolean
  readonly isThumb: boolean
  /** Returns the text of an address, using its low 32 bits. */
  target(address: bigint): string
}

/** Text of a placeholder in an encoding. */
export type OperandA32 = (form: Form, word: number, place: PlaceA32) => string

const has = (form: Form, letter: string): boolean => form.fields.has(letter)

/** The amount of a shift: 32 has the encoding 0 where 0 is invalid. */
const amountOf = (kind: number, bits: number): number => (bits === 0 && kind !== 0 ? 32 : bits)

function shiftText(kind: number, bits: number): string {
  if (bits === 0 && kind === 0) return ''
  if (bits === 0 && kind === 3) return ', rrx'
  return `, ${SHIFTS_A32[kind]} #${amountOf(kind, bits)}`
}

/** A constant with another encoding of smaller rotation is shown in its parts. */
function constantA32(form: Form, word: number): string {
  const bits = fieldOf(form, 'i', word)
  const value = expandImmediateA32(bits)
  for (let rotation = 0; rotation < bits >>> 8; rotation++) {
    const rotated = ((value << (rotation * 2)) | (rotation === 0 ? 0 : value >>> (32 - rotation * 2))) >>> 0
    if (rotated < 256) return `#${bits & 0xff}, #${(bits >>> 8) * 2}`
  }
  const toPc = has(form, 'd') && fieldOf(form, 'd', word) === 15 && form.name === 'MOV'
  return `#${toPc || form.operands.startsWith('<psr') ? value : value | 0}`
}

const HINTS: Readonly<Record<number, string>> = { 0: 'nop', 1: 'yield', 2: 'wfe', 3: 'wfi', 4: 'sev', 5: 'sevl' }

const branchOffset = (form: Form, word: number): number => {
  if (form.mnemonic === 'BLX' && has(form, 'h') && !has(form, 'x'))
    return signedField(form, 'i', word) * 4 + fieldOf(form, 'h', word) * 2
  if (!has(form, 'x')) return signedField(form, 'i', word) * (form.mask >>> 16 === 0 ? 2 : 4)
  return wideBranchOffset(form, word)
}

/** B, BL and BLX of two halfwords. */
function wideBranchOffset(form: Form, word: number): number {
  const sign = fieldOf(form, 'x', word)
  const j = fieldOf(form, 'j', word)
  const k = fieldOf(form, 'k', word)
  const low = fieldOf(form, 'i', word)
  const high = fieldOf(form, 'h', word)
  const lowBits = form.fields.get('i')!.width === 10 ? low << 2 : low << 1
  if (has(form, 'c')) return (-sign << 20) | (k << 19) | (j << 18) | (high << 12) | lowBits
  return (-sign << 24) | ((j ^ sign ^ 1) << 23) | ((k ^ sign ^ 1) << 22) | (high << 12) | lowBits
}

/** Distance from an instruction to the PC that it reads. */
function label(form: Form, word: number, place: PlaceA32): string {
  const ahead = place.isThumb ? 4n : 8n
  let from = place.address + ahead
  // To A32: its instructions are at multiples of 4.
  if (place.isThumb && form.name === 'BLX') from &= ~3n
  return place.target(from + BigInt(branchOffset(form, word)))
}

/** `t` and `e` of the instructions after the first of an IT block. */
function block(form: Form, word: number): string {
  const condition = fieldOf(form, 'c', word)
  // The condition "always" has no opposite, so 1111 stands for it.
  const first = condition === 15 ? 0 : condition & 1
  const mask = fieldOf(form, 'i', word)
  let text = ''
  for (let bit = 3; (mask & ((1 << bit) - 1)) !== 0; bit--) text += ((mask >> bit) & 1) === first ? 't' : 'e'
  return text
}

const psr = (form: Form, word: number): string => (fieldOf(form, 'r', word) === 1 ? 'spsr' : 'apsr')

/** APSR_nzcvq and its like, or fields of a PSR. */
function psrFields(form: Form, word: number): string {
  const mask = fieldOf(form, 'o', word)
  if (fieldOf(form, 'r', word) === 0 && (mask & 3) === 0 && mask !== 0)
    return `APSR_${(mask & 8) === 0 ? '' : 'nzcvq'}${(mask & 4) === 0 ? '' : 'g'}`
  const name = fieldOf(form, 'r', word) === 1 ? 'SPSR' : 'CPSR'
  const letters = [...'fsxc'].filter((_letter, index) => ((mask >> (3 - index)) & 1) !== 0)
  return letters.length === 0 ? name : `${name}_${letters.join('')}`
}

const half =
  (letter: string): OperandA32 =>
  (form, word) =>
    fieldOf(form, letter, word) === 0 ? 'b' : 't'

const BY_NAME: Readonly<Record<string, OperandA32>> = {
  c: (form, word, place) => CONDITIONS_A32[has(form, 'c') ? fieldOf(form, 'c', word) : place.condition]!,
  s: (form, word, place) => ((has(form, 's') ? fieldOf(form, 's', word) === 1 : !place.isInBlock) ? 's' : ''),
  x: /*#__PURE__*/ half('x'),
  y: /*#__PURE__*/ half('y'),
  kind: (form, word) => SHIFTS_A32[fieldOf(form, 'k', word)]!,
  shift: (form, word) => shiftText(fieldOf(form, 'k', word), fieldOf(form, 'i', word)),
  lsl: (form, word) => shiftText(0, fieldOf(form, 'i', word)),
  amount: (form, word) => `#${amountOf(has(form, 'k') ? fieldOf(form, 'k', word) : 1, fieldOf(form, 'i', word))}`,
  saturated(form, word) {
    const right = fieldOf(form, 'k', word) === 1
    return shiftText(right ? 2 : 0, fieldOf(form, 'i', word))
  },
  rotated: (form, word) => (fieldOf(form, 'r', word) === 0 ? '' : `, ror #${fieldOf(form, 'r', word) * 8}`),
  constant: (form, word, place) =>
    place.isThumb ? `#${expandImmediateT32(fieldOf(form, 'i', word))}` : constantA32(form, word),
  '#hi': (form, word) => `#${(fieldOf(form, 'h', word) << 12) | fieldOf(form, 'i', word)}`,
  minus: (form, word) => `#-${fieldOf(form, 'i', word)}`,
  // BFC and BFI: from the least significant bit to the most.
  width: (form, word) => `#${fieldOf(form, 'w', word) - fieldOf(form, 'i', word) + 1}`,
  label,
  compare: (form, word, place) => place.target(place.address + 4n + BigInt(fieldOf(form, 'i', word) * 2)),
  block,
  first: (form, word) => CONDITIONS_A32[fieldOf(form, 'c', word)] || 'al',
  aif: (form, word) =>
    [...'aif'].filter((_flag, index) => ((fieldOf(form, 'i', word) >> (2 - index)) & 1) !== 0).join('') || 'none',
  option: (form, word) => barrierName(fieldOf(form, 'o', word)) ?? `#0x${fieldOf(form, 'o', word).toString(16)}`,
  'instruction-option': (form, word) =>
    fieldOf(form, 'o', word) === 15 ? 'sy' : `#0x${fieldOf(form, 'o', word).toString(16)}`,
  endian: (form, word) => (fieldOf(form, 'i', word) === 0 ? 'le' : 'be'),
  hint: (form, word) => HINTS[fieldOf(form, 'o', word)] ?? 'hint',
  'hint-operand': (form, word) => (HINTS[fieldOf(form, 'o', word)] === undefined ? `#${fieldOf(form, 'o', word)}` : ''),
  psr,
  'psr-fields': psrFields,
  banked: (form, word) => bankedName(form, word) ?? '',
}

/** Returns the operand that a placeholder of an integer row stands for. `row.ts` has the language. */
export function operandA32(name: string): OperandA32 {
  const known = BY_NAME[name]
  if (known !== undefined) return known
  if (name.startsWith('#')) return immediate(name)
  const register = /^R([dnmatu])$/.exec(name)
  if (register !== null) return (form, word) => REGISTERS_A32[fieldOf(form, register[1]!, word)]!
  // A field, as a number alone: `c<n>`.
  return (form, word) => String(fieldOf(form, name, word))
}
