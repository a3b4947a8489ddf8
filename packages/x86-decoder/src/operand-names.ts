/** Names of operands as the manuals write them. A build for machines leaves them out: `build/plugins.ts`. */
import { type OperandClass, OperandKind, REGISTER_KINDS } from './kinds.ts'
import type { Form } from './rows.ts'

const VECTOR_LETTERS: Readonly<Record<number, string>> = { 16: 'x', 32: 'y', 64: 'z' }

const CLASS_NAMES: { readonly [Class in OperandClass]?: string } = {
  segment: 'Sreg',
  control: 'CRn',
  debug: 'DRn',
  mmx: 'mm',
  mask: 'k',
  tile: 'tmm',
  bound: 'bnd',
}

/** Kinds with a fixed name. */
const NAMES: { readonly [Kind in OperandKind]?: string } = {
  ...{ [OperandKind.ONE]: '1', [OperandKind.IMM4]: 'imm4', [OperandKind.DFV]: 'dfv', [OperandKind.ABS64]: 'target64' },
  ...{ [OperandKind.ST0]: 'ST(0)', [OperandKind.STI]: 'ST(i)', [OperandKind.XMM_FIXED]: 'XMM0' },
  ...{ [OperandKind.REL8]: 'rel8', [OperandKind.REL16]: 'rel16', [OperandKind.REL32]: 'rel32' },
}

/** Operand names of the manual: `r/m32`, `xmm1/m64`, `rel8`… */
export function operandName(form: Form, position: number): string {
  const { kind, size, memorySize, register } = form.operands[position]!
  const bits = size * 8
  const memory = memorySize === 0 ? 'm' : `m${memorySize * 8}`
  switch (kind) {
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
    case OperandKind.FAR_POINTER:
      return size === 4 ? 'ptr16:16' : 'ptr16:32'
    case OperandKind.MOFFS:
      return `moffs${bits}`
    default: {
      const [registerClass, place] = REGISTER_KINDS[kind] ?? []
      if (registerClass === undefined || NAMES[kind] !== undefined) return NAMES[kind] ?? `imm${bits}`
      const vector = `${VECTOR_LETTERS[size]!}mm`
      const name = registerClass === 'vector' ? vector : (CLASS_NAMES[registerClass] ?? `r${bits}`)
      if (place !== 'rm') return name
      return registerClass === 'general' && size === memorySize ? `r/m${bits}` : `${name}/${memory}`
    }
  }
}
