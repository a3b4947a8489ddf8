/** Names of registers, in lower case as assemblers spell them. */
import { OperandKind, REGISTER_HIGH_BYTE, REGISTER_RIP } from './kinds.ts'

const LOW = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di']
const LOW8 = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil']
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
  if (size === 1) {
    if ((register & REGISTER_HIGH_BYTE) !== 0) return HIGH8[register & 3] as string
    return register < 8 ? (LOW8[register] as string) : `r${register}b`
  }
  if (register < 8) {
    const name = LOW[register] as string
    return size === 2 ? name : size === 4 ? `e${name}` : `r${name}`
  }
  return size === 2 ? `r${register}w` : size === 4 ? `r${register}d` : `r${register}`
}

/** Name of a segment register, ES CS SS DS FS GS = 0 to 5. */
export function segmentRegisterName(segment: number): string {
  return SEGMENTS[segment] as string
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
