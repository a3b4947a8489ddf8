/** The placeholders of A64's rows, as text. */
import { bitmaskOf } from './conditions.ts'
import { floatConstant, immediate, signedField, fieldOf, fieldsOf, type Form } from './row.ts'
import {
  barrierName,
  hintName,
  pairInvalidation,
  pstateName,
  systemInstruction,
  systemRegister,
} from './system-names.ts'

/** Names of registers and modifiers, in lower case, for A64's texts. */

/** Kinds of shift, by number. */
const SHIFTS = ['lsl', 'lsr', 'asr', 'ror'] as const

/** Arrangements of a vector: by the size of an element (as a power of two), each of 64 bits and of 128. */
export const ARRANGEMENTS = ['8b', '16b', '4h', '8h', '2s', '4s', '1d', '2d'] as const

/**
 * The name of a register.
 *
 * @param kind - `w` and `x` general-purpose, `v` vectors, `b` `h` `s` `d` `q` scalars of SIMD&FP
 * @param stack - register 31 is the stack pointer, not the zero register
 */
export function registerName(kind: string, number: number, stack = false): string {
  if (number !== 31 || (kind !== 'w' && kind !== 'x')) return `${kind}${number}`
  if (!stack) return `${kind}zr`
  return kind === 'x' ? 'sp' : 'wsp'
}

/** Consecutive vectors: `{v0.4s, v1.4s}`; register 0 follows register 31. */
export function vectorList(first: number, count: number, arrangement: string): string {
  const names = Array.from({ length: count }, (_, index) => `v${(first + index) & 31}.${arrangement}`)
  return `{${names.join(', ')}}`
}

/** Address of an instruction, and a function that formats targets. */
export interface Place {
  readonly address: bigint
  /** Returns the text of an address, using its low 64 bits. */
  target(address: bigint): string
}

/** Text of a placeholder in an encoding. */
export type Operand = (form: Form, word: number, place: Place) => string

const CONDITIONS = 'eq ne hs lo mi pl vs vc hi ls ge lt gt le al nv'.split(' ')
const EXTENSIONS = 'uxtb uxth uxtw uxtx sxtb sxth sxtw sxtx'.split(' ')

const isWide = (form: Form, word: number): boolean => fieldOf(form, 'f', word) === 1

/** Returns the value that MOVZ or MOVN puts into a register, signed. */
function wideConstant(form: Form, word: number, inverted: boolean): string {
  const value = BigInt(fieldOf(form, 'i', word)) << BigInt(fieldOf(form, 'h', word) * 16)
  return `#${BigInt.asIntN(isWide(form, word) ? 64 : 32, inverted ? ~value : value)}`
}

function extended(form: Form, word: number): string {
  const option = fieldOf(form, 'e', word)
  const amount = fieldOf(form, 's', word)
  const wide = isWide(form, word)
  const register = registerName(wide && (option & 3) === 3 ? 'x' : 'w', fieldOf(form, 'm', word))
  // With the stack pointer the extension of the whole width is written as a shift.
  const stack = fieldOf(form, 'n', word) === 31 || (form.operands.includes('RSd') && fieldOf(form, 'd', word) === 31)
  if (stack && option === (wide ? 3 : 2)) return amount === 0 ? register : `${register}, lsl #${amount}`
  return `${register}, ${EXTENSIONS[option]}${amount === 0 ? '' : ` #${amount}`}`
}

function maskValue(form: Form, word: number): bigint {
  const [low, high] = bitmaskOf(form, word)!
  return (BigInt(high) << 32n) | BigInt(low)
}

/** Whole vectors of elements twice as wide, by the size of the narrow ones. */
const WIDER = ['8h', '4s', '2d', '1q']

/** Returns 1 for a whole vector register, 0 for half of one. */
const whole = (form: Form, word: number): number => fieldOf(form, 'Q', word)

const BY_NAME: Readonly<Record<string, Operand>> = {
  adr: (form, word, place) =>
    place.target(place.address + BigInt(signedField(form, 'i', word) * 4 + fieldOf(form, 'h', word))),
  adrp: (form, word, place) =>
    place.target(
      (place.address & ~0xfffn) + BigInt((signedField(form, 'i', word) * 4 + fieldOf(form, 'h', word)) * 4096),
    ),
  label: (form, word, place) => place.target(place.address + BigInt(signedField(form, 'i', word) * 4)),
  back: (form, word, place) => place.target(place.address - BigInt(fieldOf(form, 'i', word) * 4)),
  '0x i': (form, word) => `#0x${fieldOf(form, 'i', word).toString(16)}`,
  bit: (form, word) => `#${(fieldOf(form, 'f', word) << 5) | fieldOf(form, 'h', word)}`,
  imm12: (form, word) => `#${fieldOf(form, 'i', word)}${fieldOf(form, 'h', word) === 0 ? '' : ', lsl #12'}`,
  imm16(form, word) {
    const shift = fieldOf(form, 'h', word) * 16
    return `#${fieldOf(form, 'i', word)}${shift === 0 ? '' : `, lsl #${shift}`}`
  },
  shifted16: (form, word) => wideConstant(form, word, false),
  inverted16: (form, word) => wideConstant(form, word, true),
  bitmask: (form, word) => `#0x${maskValue(form, word).toString(16)}`,
  // MOV shows the register's signed value.
  mask(form, word) {
    const value = maskValue(form, word)
    return `#${BigInt.asIntN(isWide(form, word) ? 64 : 32, value)}`
  },
  lsb: (form, word) => `#${((isWide(form, word) ? 64 : 32) - fieldOf(form, 'r', word)) & 63}`,
  width: (form, word) => `#${fieldOf(form, 'j', word) - fieldOf(form, 'r', word) + 1}`,
  shift(form, word) {
    const kind = fieldOf(form, 'k', word)
    const amount = fieldOf(form, 's', word)
    return kind === 0 && amount === 0 ? '' : `, ${SHIFTS[kind]} #${amount}`
  },
  lsl: (form, word) => (fieldOf(form, 's', word) === 0 ? '' : `, lsl #${fieldOf(form, 's', word)}`),
  extended,
  cond: (form, word) => CONDITIONS[fieldOf(form, 'c', word)]!,
  uncond: (form, word) => CONDITIONS[fieldOf(form, 'c', word) ^ 1]!,
  // System instructions
  hint: (form, word) => hintName(fieldOf(form, 'y', word), fieldOf(form, 'w', word)),
  // CLREX and ISB: omitted for 15.
  crm: (form, word) => (fieldOf(form, 'y', word) === 15 ? '' : `#${fieldOf(form, 'y', word)}`),
  barrier: (form, word) => barrierName(fieldOf(form, 'y', word)) ?? `#${fieldOf(form, 'y', word)}`,
  nxs: (form, word) => `${['osh', 'nsh', 'ish', 'sy'][fieldOf(form, 'i', word)]}nxs`,
  pstate(form, word) {
    const crm = fieldOf(form, 'y', word)
    const name = pstateName(fieldOf(form, 'o', word), fieldOf(form, 'w', word), crm)!
    return `${name}, #${/^(?:allint|pm|svcr)/.test(name) ? crm & 1 : crm}`
  },
  sys: (form, word) =>
    systemInstruction(
      fieldOf(form, 'o', word),
      fieldOf(form, 'q', word),
      fieldOf(form, 'y', word),
      fieldOf(form, 'w', word),
      fieldOf(form, 't', word),
    ),
  tlbip: (form, word) =>
    pairInvalidation(fieldOf(form, 'o', word), fieldOf(form, 'y', word), fieldOf(form, 'w', word))!,
  msr: (form, word) => systemRegister((word >>> 5) & 0x7fff, true),
  mrs: (form, word) => systemRegister((word >>> 5) & 0x7fff, false),
  pair: (form, word) => [0, 1].map((next) => registerName('x', fieldOf(form, 't', word) * 2 + next)).join(', '),
  // SIMD
  '2': (form, word) => (whole(form, word) === 1 ? '2' : ''),
  lsl8: (form, word) => (fieldOf(form, 's', word) === 0 ? '' : `, lsl #${fieldOf(form, 's', word) * 8}`),
  msl: (form, word) => `msl #${8 << fieldOf(form, 's', word)}`,
  float: (form, word) => `#${floatConstant(fieldOf(form, 'i', word)).toFixed(8)}`,
  bytes(form, word) {
    let digits = ''
    for (let bit = 7; bit >= 0; bit--) digits += ((fieldOf(form, 'i', word) >> bit) & 1) === 0 ? '00' : 'ff'
    return `#0x${digits}`
  },
}

/** Returns the arrangement after the point of a vector register's name. */
function arrangement(name: string): Operand {
  switch (name) {
    case 'T':
      return (form, word) => ARRANGEMENTS[(fieldOf(form, 'z', word) << 1) | whole(form, word)]!
    case 'P':
      return (form, word) => ARRANGEMENTS[((fieldOf(form, 'z', word) + 1) << 1) | whole(form, word)]!
    case 'W':
      return (form, word) => WIDER[fieldOf(form, 'z', word)]!
    case 'F':
      return (form, word) => ARRANGEMENTS[4 | (fieldOf(form, 'x', word) << 1) | whole(form, word)]!
    default:
  }
  // `2d`, or `8b/16b` by Q.
  const [half = '', full] = name.split('/')
  return full === undefined ? () => half : (form, word) => (whole(form, word) === 1 ? full : half)
}

/** `Vd`, `Vd.T`, `Vm.h[hl]`, `Vd.b[i]`. */
const VECTOR = /^V([dnma])(?:\.([^[]*))?(?:\[(\w+)\])?$/

function vector([, letter = '', after, index]: RegExpExecArray): Operand {
  const shape = after === undefined ? undefined : arrangement(after)
  return (form, word, place) => {
    const name = `v${fieldOf(form, letter, word)}`
    const elements = shape === undefined ? '' : `.${shape(form, word, place)}`
    return `${name}${elements}${index === undefined ? '' : `[${fieldsOf(form, index, word)}]`}`
  }
}

/** `Wd`, `XSn`, `Rm`, `Fd`, `Y+d`. */
const REGISTER = /^([WXRBHSDQFY])(S?)(\+?)([dnmat])$/

/** By the type of a floating-point instruction. */
const PRECISIONS = ['s', 'd', '', 'h']
const SIZES = ['b', 'h', 's', 'd']

function register([, letter = '', stack = '', wider = '', role = '']: RegExpExecArray): Operand {
  const kind = letter.toLowerCase()
  const isStack = stack !== ''
  switch (letter) {
    case 'R':
      return (form, word) => registerName(isWide(form, word) ? 'x' : 'w', fieldOf(form, role, word), isStack)
    case 'F':
      return (form, word) => `${PRECISIONS[fieldOf(form, 'y', word)]}${fieldOf(form, role, word)}`
    case 'Y':
      return (form, word) => `${SIZES[fieldOf(form, 'z', word) + wider.length]}${fieldOf(form, role, word)}`
    default:
      return (form, word) => registerName(kind, fieldOf(form, role, word), isStack)
  }
}

/** Returns the operand that a placeholder of a row stands for. `row.ts` has the language. */
export function a64Operand(name: string): Operand {
  const known = BY_NAME[name]
  if (known !== undefined) return known
  if (name.startsWith('#')) return immediate(name)
  if (name.startsWith('list')) {
    const count = Number(name.slice('list'.length))
    return (form, word) => vectorList(fieldOf(form, 'n', word), count, '16b')
  }
  const vectorMatch = VECTOR.exec(name)
  if (vectorMatch !== null) return vector(vectorMatch)
  const registerMatch = REGISTER.exec(name)
  if (registerMatch !== null) return register(registerMatch)
  // A field, as a number alone: `c<q>`.
  return (form, word) => String(fieldOf(form, name, word))
}
