/** Names of registers, in lower case as assemblers spell them. */
import { type OperandClass, type OperandKind, REGISTER_HIGH_BYTE, REGISTER_KINDS, REGISTER_RIP } from './kinds.ts'

const LOW = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']

/** The names of all registers of a size: the first eight have names of their own, the others numbers and a letter. */
const namesOf = (first: readonly string[], letter: string): readonly string[] =>
  Array.from({ length: 32 }, (_, register) => first[register] ?? `r${register}${letter}`)

const NAMES8: readonly string[] = /*#__PURE__*/ namesOf(['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'], 'b')
const NAMES16: readonly string[] = /*#__PURE__*/ namesOf(LOW, 'w')
const NAMES32: readonly string[] = /*#__PURE__*/ namesOf(
  /*#__PURE__*/ LOW.map((name) => `e${name}`),
  'd',
)
const NAMES64: readonly string[] = /*#__PURE__*/ namesOf(
  /*#__PURE__*/ LOW.map((name) => `r${name}`),
  '',
)
const HIGH8 = ['ah', 'ch', 'dh', 'bh']
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs']

/**
 * Name of a general register, such as `r8d` or `ah`.
 *
 * @param register - 0 to 31, `REGISTER_AH` to `REGISTER_BH` with size 1, or `REGISTER_RIP`
 * @param size - bytes: 1, 2, 4 or 8
 */
export function generalRegisterName(register: number, size: number): string {
  if (register === REGISTER_RIP) return size === 8 ? 'rip' : 'eip'
  if (size === 8) return NAMES64[register]!
  if (size === 4) return NAMES32[register]!
  if (size === 2) return NAMES16[register]!
  return (register & REGISTER_HIGH_BYTE) !== 0 ? HIGH8[register & 3]! : NAMES8[register]!
}

/** Name of a segment register, ES CS SS DS FS GS = 0 to 5. */
export function segmentRegisterName(segment: number): string {
  return SEGMENTS[segment]!
}

/** Letters before the number in the names of classes that have no names of another form. */
const PREFIXES: { readonly [Class in OperandClass]?: string } = {
  control: 'cr',
  debug: 'dr',
  mmx: 'mm',
  mask: 'k',
  bound: 'bnd',
  tile: 'tmm',
}

/** Name of the register that an operand of `kind` and `size` (bytes) is. */
export function registerName(kind: OperandKind, size: number, register: number): string {
  const registerClass = REGISTER_KINDS[kind]?.[0] ?? 'general'
  switch (registerClass) {
    case 'general':
      return generalRegisterName(register, size)
    case 'segment':
      return segmentRegisterName(register)
    case 'vector':
      return `${size === 64 ? 'z' : size === 32 ? 'y' : 'x'}mm${register}`
    case 'x87':
      return register === 0 ? 'st' : `st(${register})`
    default:
      return `${PREFIXES[registerClass]!}${register}`
  }
}
