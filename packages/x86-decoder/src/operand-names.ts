/** Names of operands as the manuals write them. A build for machines leaves them out: `build/plugins.ts`. */
import { OperandKind } from './kinds.ts'
import type { Form } from './rows.ts'

const VECTOR_LETTERS: Readonly<Record<number, string>> = { 16: 'x', 32: 'y', 64: 'z' }

/** Kinds with a fixed name. */
const NAMES: Readonly<Partial<Record<OperandKind, string>>> = {
  ...{ [OperandKind.ONE]: '1', [OperandKind.IMM4]: 'imm4', [OperandKind.DFV]: 'dfv', [OperandKind.ABS64]: 'target64' },
  ...{ [OperandKind.SEGMENT_REG]: 'Sreg', [OperandKind.CONTROL_REG]: 'CRn', [OperandKind.DEBUG_REG]: 'DRn' },
  ...{ [OperandKind.MMX_REG]: 'mm', [OperandKind.MMX_RM_REG]: 'mm', [OperandKind.XMM_FIXED]: 'XMM0' },
  ...{ [OperandKind.MASK_REG]: 'k', [OperandKind.MASK_RM_REG]: 'k', [OperandKind.MASK_VVVV]: 'k' },
  ...{ [OperandKind.TILE_REG]: 'tmm', [OperandKind.TILE_RM_REG]: 'tmm', [OperandKind.TILE_VVVV]: 'tmm' },
  ...{ [OperandKind.ST0]: 'ST(0)', [OperandKind.STI]: 'ST(i)', [OperandKind.BOUND_REG]: 'bnd' },
  ...{ [OperandKind.REL8]: 'rel8', [OperandKind.REL16]: 'rel16', [OperandKind.REL32]: 'rel32' },
}

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
    case OperandKind.FIXED_SEGMENT:
      return ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'][register]!
    case OperandKind.MMX_RM:
      return `mm/${memory}`
    case OperandKind.XMM_REG:
    case OperandKind.XMM_RM_REG:
    case OperandKind.XMM_VVVV:
    case OperandKind.XMM_IS4:
      return `${VECTOR_LETTERS[size]!}mm`
    case OperandKind.XMM_RM:
      return `${VECTOR_LETTERS[size]!}mm/${memory}`
    case OperandKind.MASK_RM:
      return `k/${memory}`
    case OperandKind.BOUND_RM:
      return `bnd/${memory}`
    case OperandKind.FAR_POINTER:
      return size === 4 ? 'ptr16:16' : 'ptr16:32'
    case OperandKind.MOFFS:
      return `moffs${bits}`
    default:
      return NAMES[kind] ?? `imm${bits}`
  }
}
