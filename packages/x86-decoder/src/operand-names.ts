/** Names of operands as the manuals write them. A build for machines leaves them out: `build/plugins.ts`. */
import { OperandKind } from './kinds.ts'
import type { Form } from './rows.ts'

const VECTOR_LETTERS: Readonly<Record<number, string>> = { 16: 'x', 32: 'y', 64: 'z' }

/** Operand names of the manual: `r/m32`, `xmm1/m64`, `rel8`… */
export function operandName(form: Form, position: number): string {
  const { kind, size, memorySize, register } = form.operands[position]!
  const bits = size * 8
  const memory = memorySize === 0 ? 'm' : `m${memorySize * 8}`
  switch (kind) {
    case OperandKind.REG:
    case OperandKind.OPCODE_REG:
    case OperandKind.VVVV_REG:
    case OperandKind.RM_REG:
      return `r${bits}`
    case OperandKind.RM:
      return size === memorySize ? `r/m${bits}` : `r${bits}/${memory}`
    case OperandKind.VSIB:
      return `vm${memorySize * 8}${VECTOR_LETTERS[size]!}`
    case OperandKind.MEM:
    case OperandKind.STRING_SOURCE:
    case OperandKind.STRING_DESTINATION:
    case OperandKind.XLAT:
      return memory
    case OperandKind.FIXED_REG: {
      const name = ['AX', 'CX', 'DX', 'BX'][register]!
      return size === 1 ? `${name[0]!}L` : size === 2 ? name : size === 4 ? `E${name}` : `R${name}`
    }
    case OperandKind.ONE:
      return '1'
    case OperandKind.SEGMENT_REG:
      return 'Sreg'
    case OperandKind.FIXED_SEGMENT:
      return ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'][register]!
    case OperandKind.CONTROL_REG:
      return 'CRn'
    case OperandKind.DEBUG_REG:
      return 'DRn'
    case OperandKind.MMX_REG:
    case OperandKind.MMX_RM_REG:
      return 'mm'
    case OperandKind.MMX_RM:
      return `mm/${memory}`
    case OperandKind.XMM_REG:
    case OperandKind.XMM_RM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_IS4:
      return `${VECTOR_LETTERS[size]!}mm`
    case OperandKind.XMM_RM:
      return `${VECTOR_LETTERS[size]!}mm/${memory}`
    case OperandKind.MASK_REG:
    case OperandKind.MASK_RM_REG:
    case OperandKind.MASK_VVVV:
      return 'k'
    case OperandKind.MASK_RM:
      return `k/${memory}`
    case OperandKind.BOUND_REG:
      return 'bnd'
    case OperandKind.BOUND_RM:
      return `bnd/${memory}`
    case OperandKind.TILE_REG:
    case OperandKind.TILE_RM_REG:
    case OperandKind.TILE_VVVV:
      return 'tmm'
    case OperandKind.XMM_FIXED:
      return 'XMM0'
    case OperandKind.ST0:
      return 'ST(0)'
    case OperandKind.STI:
      return 'ST(i)'
    case OperandKind.REL8:
      return 'rel8'
    case OperandKind.REL16:
      return 'rel16'
    case OperandKind.REL32:
      return 'rel32'
    case OperandKind.IMM4:
      return 'imm4'
    case OperandKind.DFV:
      return 'dfv'
    case OperandKind.ABS64:
      return 'target64'
    case OperandKind.FAR_POINTER:
      return size === 4 ? 'ptr16:16' : 'ptr16:32'
    case OperandKind.MOFFS:
      return `moffs${bits}`
    default:
      return `imm${bits}`
  }
}
