/** Names of registers, in lower case as assemblers spell them. */
import { OperandKind, REGISTER_HIGH_BYTE, REGISTER_RIP } from './kinds.ts'

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

/** Name of the register that an operand of `kind` and `size` (bytes) is. */
export function registerName(kind: OperandKind, size: number, register: number): string {
  switch (kind) {
    case OperandKind.SEGMENT_REG:
    case OperandKind.FIXED_SEGMENT:
      return segmentRegisterName(register)
    case OperandKind.CONTROL_REG:
      return `cr${register}`
    case OperandKind.DEBUG_REG:
      return `dr${register}`
    case OperandKind.MMX_REG:
    case OperandKind.MMX_RM:
    case OperandKind.MMX_RM_REG:
      return `mm${register}`
    case OperandKind.XMM_REG:
    case OperandKind.XMM_RM:
    case OperandKind.XMM_RM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_IS4:
    case OperandKind.XMM_FIXED:
    case OperandKind.VSIB:
      return `${size === 64 ? 'z' : size === 32 ? 'y' : 'x'}mm${register}`
    case OperandKind.MASK_REG:
    case OperandKind.MASK_RM:
    case OperandKind.MASK_RM_REG:
    case OperandKind.MASK_VVVV:
      return `k${register}`
    case OperandKind.BOUND_REG:
    case OperandKind.BOUND_RM:
      return `bnd${register}`
    case OperandKind.TILE_REG:
    case OperandKind.TILE_RM_REG:
    case OperandKind.TILE_VVVV:
      return `tmm${register}`
    case OperandKind.ST0:
      return 'st'
    case OperandKind.STI:
      return register === 0 ? 'st' : `st(${register})`
    default:
      return generalRegisterName(register, size)
  }
}
