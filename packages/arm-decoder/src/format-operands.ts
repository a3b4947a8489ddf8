/** The placeholders of A64's rows, as text. */
import { bitmask, pstateName } from './conditions.ts'
import { extract, type Form } from './row.ts'
import { barrierName, hintName, systemInstruction, systemRegister } from './system-names.ts'

/** Where an instruction lies, and how the places that it names are written. */
export interface Place {
  readonly address: bigint
  /** Text of an address, of which only 64 bits count. */
  target(address: bigint): string
}

type Operand = (form: Form, word: number, place: Place) => string

const field = (form: Form, letter: string, word: number): number => extract(form.fields.get(letter), word)

function signedField(form: Form, letter: string, word: number): number {
  const { width } = form.fields.get(letter)!
  const value = field(form, letter, word)
  return value >= 2 ** (width - 1) ? value - 2 ** width : value
}

const CONDITIONS = 'eq ne hs lo mi pl vs vc hi ls ge lt gt le al nv'.split(' ')
const SHIFTS = ['lsl', 'lsr', 'asr', 'ror']
const EXTENSIONS = 'uxtb uxth uxtw uxtx sxtb sxth sxtw sxtx'.split(' ')

/** A general-purpose register; `stack`: 31 is the stack pointer. */
function general(wide: boolean, number: number, stack: boolean): string {
  const letter = wide ? 'x' : 'w'
  if (number === 31) return stack ? (wide ? 'sp' : 'wsp') : `${letter}zr`
  return `${letter}${number}`
}

const isWide = (form: Form, word: number): boolean => field(form, 'f', word) === 1

/** Floating-point constants of 8 bits: a sign, three bits of exponent, four of fraction, as `VFPExpandImm` says. */
function floatConstant(bits: number): string {
  const exponent = ((bits >> 4) & 7) ^ 4
  const value = ((16 + (bits & 15)) / 16) * 2 ** (exponent - 3)
  return `#${(bits & 0x80) === 0 ? '' : '-'}${value.toFixed(8)}`
}

/** What MOVZ and MOVN put into a register, as the register's signed value. */
function wideConstant(form: Form, word: number, inverted: boolean): string {
  const value = BigInt(field(form, 'i', word)) << BigInt(field(form, 'h', word) * 16)
  return `#${BigInt.asIntN(isWide(form, word) ? 64 : 32, inverted ? ~value : value)}`
}

function extended(form: Form, word: number): string {
  const option = field(form, 'e', word)
  const amount = field(form, 's', word)
  const wide = isWide(form, word)
  const register = general(wide && (option & 3) === 3, field(form, 'm', word), false)
  // With the stack pointer the extension of the whole width is written as a shift.
  const stack = field(form, 'n', word) === 31 || (form.operands.includes('RSd') && field(form, 'd', word) === 31)
  if (stack && option === (wide ? 3 : 2)) return amount === 0 ? register : `${register}, lsl #${amount}`
  return `${register}, ${EXTENSIONS[option]}${amount === 0 ? '' : ` #${amount}`}`
}

function maskValue(form: Form, word: number): bigint {
  const [low, high] = bitmask(
    field(form, 'p', word),
    field(form, 'r', word),
    field(form, 'j', word),
    isWide(form, word),
  )!
  return (BigInt(high) << 32n) | BigInt(low)
}

/** Arrangements by size and Q. */
const ARRANGEMENTS = ['8b', '16b', '4h', '8h', '2s', '4s', '1d', '2d']
const WIDER = ['8h', '4s', '2d', '1q']

const full = (form: Form, word: number): number => field(form, 'Q', word)

const BY_NAME: Readonly<Record<string, Operand>> = {
  adr: (form, word, place) =>
    place.target(place.address + BigInt(signedField(form, 'i', word) * 4 + field(form, 'h', word))),
  adrp: (form, word, place) =>
    place.target(
      (place.address & ~0xfffn) + BigInt((signedField(form, 'i', word) * 4 + field(form, 'h', word)) * 4096),
    ),
  label: (form, word, place) => place.target(place.address + BigInt(signedField(form, 'i', word) * 4)),
  back: (form, word, place) => place.target(place.address - BigInt(field(form, 'i', word) * 4)),
  '0x i': (form, word) => `#0x${field(form, 'i', word).toString(16)}`,
  bit: (form, word) => `#${(field(form, 'f', word) << 5) | field(form, 'h', word)}`,
  imm12: (form, word) => `#${field(form, 'i', word)}${field(form, 'h', word) === 0 ? '' : ', lsl #12'}`,
  imm16(form, word) {
    const shift = field(form, 'h', word) * 16
    return `#${field(form, 'i', word)}${shift === 0 ? '' : `, lsl #${shift}`}`
  },
  shifted16: (form, word) => wideConstant(form, word, false),
  inverted16: (form, word) => wideConstant(form, word, true),
  bitmask: (form, word) => `#0x${maskValue(form, word).toString(16)}`,
  // As MOV has it: the register's signed value.
  mask(form, word) {
    const value = maskValue(form, word)
    return `#${BigInt.asIntN(isWide(form, word) ? 64 : 32, value)}`
  },
  lsb: (form, word) => `#${((isWide(form, word) ? 64 : 32) - field(form, 'r', word)) & 63}`,
  width: (form, word) => `#${field(form, 'j', word) - field(form, 'r', word) + 1}`,
  shift(form, word) {
    const kind = field(form, 'k', word)
    const amount = field(form, 's', word)
    return kind === 0 && amount === 0 ? '' : `, ${SHIFTS[kind]} #${amount}`
  },
  lsl: (form, word) => (field(form, 's', word) === 0 ? '' : `, lsl #${field(form, 's', word)}`),
  extended,
  cond: (form, word) => CONDITIONS[field(form, 'c', word)]!,
  uncond: (form, word) => CONDITIONS[field(form, 'c', word) ^ 1]!,
  // System instructions
  hint: (form, word) => hintName(field(form, 'y', word), field(form, 'w', word)),
  clrex: (form, word) => (field(form, 'y', word) === 15 ? '' : `#${field(form, 'y', word)}`),
  isb: (form, word) => (field(form, 'y', word) === 15 ? '' : `#${field(form, 'y', word)}`),
  barrier: (form, word) => barrierName(field(form, 'y', word)) ?? `#${field(form, 'y', word)}`,
  nxs: (form, word) => `${['osh', 'nsh', 'ish', 'sy'][field(form, 'i', word)]}nxs`,
  pstate(form, word) {
    const crm = field(form, 'y', word)
    const name = pstateName(field(form, 'o', word), field(form, 'w', word), crm)!
    return `${name}, #${/^(?:allint|pm|svcr)/.test(name) ? crm & 1 : crm}`
  },
  sys: (form, word) =>
    systemInstruction(
      field(form, 'o', word),
      field(form, 'q', word),
      field(form, 'y', word),
      field(form, 'w', word),
      field(form, 't', word),
    ),
  msr: (form, word) => systemRegister((word >>> 5) & 0x7fff, true),
  mrs: (form, word) => systemRegister((word >>> 5) & 0x7fff, false),
  pair: (form, word) => [0, 1].map((next) => general(true, field(form, 't', word) * 2 + next, false)).join(', '),
  // SIMD
  '2': (form, word) => (full(form, word) === 1 ? '2' : ''),
  lsl8: (form, word) => (field(form, 's', word) === 0 ? '' : `, lsl #${field(form, 's', word) * 8}`),
  msl: (form, word) => `msl #${8 << field(form, 's', word)}`,
  float: (form, word) => floatConstant(field(form, 'i', word)),
  bytes(form, word) {
    let digits = ''
    for (let bit = 7; bit >= 0; bit--) digits += ((field(form, 'i', word) >> bit) & 1) === 0 ? '00' : 'ff'
    return `#0x${digits}`
  },
}

/** Immediates: `#i`, `#±i`, `#i*16`, `#j+1`, `#64-s`, `#8<<z`, `#r*180+90`. */
function immediate(name: string): Operand {
  const match = /^#(?:(\d+)(-|<<))?(±?)([a-z])(?:\*(\d+))?(?:\+(\d+))?$/.exec(name)!
  const [, base = '0', operator = '', sign = '', letter = '', factor = '1', more = '0'] = match
  return (form, word) => {
    const value = sign === '' ? field(form, letter, word) : signedField(form, letter, word)
    if (operator === '-') return `#${Number(base) - value}`
    if (operator === '<<') return `#${Number(base) << value}`
    return `#${value * Number(factor) + Number(more)}`
  }
}

/** What stands after the point of a vector register. */
function arrangement(name: string): Operand {
  switch (name) {
    case 'T':
      return (form, word) => ARRANGEMENTS[(field(form, 'z', word) << 1) | full(form, word)]!
    case 'P':
      return (form, word) => ARRANGEMENTS[((field(form, 'z', word) + 1) << 1) | full(form, word)]!
    case 'W':
      return (form, word) => WIDER[field(form, 'z', word)]!
    case 'F':
      return (form, word) => ARRANGEMENTS[4 | (field(form, 'x', word) << 1) | full(form, word)]!
    default:
  }
  const [half = '', whole] = name.split('/')
  return whole === undefined ? () => half : (form, word) => (full(form, word) === 1 ? whole : half)
}

/** A lane whose number is one field, or several one after another. */
function lane(letters: string): Operand {
  return (form, word) => {
    let number = 0
    for (const letter of letters) number = (number << form.fields.get(letter)!.width) | field(form, letter, word)
    return `[${number}]`
  }
}

const SCALARS = ['s', 'd', '', 'h']
const SIZES = ['b', 'h', 's', 'd']

/** A placeholder's text by fields, made once. */
function compile(name: string): Operand {
  const known = BY_NAME[name]
  if (known !== undefined) return known
  if (name.startsWith('#')) return immediate(name)
  if (name.startsWith('list')) {
    const count = Number(name.slice(4))
    return (form, word) => {
      const first = field(form, 'n', word)
      return `{${Array.from({ length: count }, (_, index) => `v${(first + index) & 31}.16b`).join(', ')}}`
    }
  }
  const vector = /^V([dnma])(?:\.([^[]*))?(?:\[(\w+)\])?$/.exec(name)
  if (vector !== null) {
    const [, letter = '', after, index] = vector
    const shape = after === undefined ? undefined : arrangement(after)
    const number = index === undefined ? undefined : lane(index)
    return (form, word, place) =>
      `v${field(form, letter, word)}${shape === undefined ? '' : `.${shape(form, word, place)}`}${number?.(form, word, place) ?? ''}`
  }
  const register = /^([WXRBHSDQFY])(S?)(\+?)([dnmat])$/.exec(name)
  if (register !== null) {
    const [, kind = '', stack = '', wider = '', letter = ''] = register
    switch (kind) {
      case 'W':
      case 'X':
        return (form, word) => general(kind === 'X', field(form, letter, word), stack !== '')
      case 'R':
        return (form, word) => general(isWide(form, word), field(form, letter, word), stack !== '')
      case 'F':
        return (form, word) => `${SCALARS[field(form, 'y', word)]}${field(form, letter, word)}`
      case 'Y':
        return (form, word) => `${SIZES[field(form, 'z', word) + (wider === '' ? 0 : 1)]}${field(form, letter, word)}`
      default:
        return (form, word) => `${kind.toLowerCase()}${field(form, letter, word)}`
    }
  }
  // c<q>: a number alone.
  return (form, word) => String(field(form, name, word))
}

const compiled = new Map<string, Operand>()

/** The text of one placeholder. */
export function a64Operand(form: Form, name: string, word: number, place: Place): string {
  let operand = compiled.get(name)
  if (operand === undefined) {
    operand = compile(name)
    compiled.set(name, operand)
  }
  return operand(form, word, place)
}
