/** Comparing our record with iced-x86's, an independent decoder. */
import { Code, type Instruction as IcedInstruction, Mnemonic, OpKind, Register } from 'iced-x86'
import { codes, type Instruction, type Operand, operandsOf } from '../../src/index.ts'

/** Our mnemonic → iced's, where the two name one instruction differently. A closed list. */
export const mnemonicAliases: Readonly<Record<string, string>> = {
  CALLF: 'Call',
  JMPF: 'Jmp',
  FWAIT: 'Wait',
  FNENI: 'Fneni',
}

/** Name of a register as iced has it in our spelling: R8L → r8b, ST0 → st. */
function registerName(register: Register): string {
  const name = (Register[register] as string).toLowerCase()
  const byte = /^(r\d+)l$/.exec(name)
  if (byte !== null) return `${byte[1] as string}b`
  const stack = /^st(\d)$/.exec(name)
  if (stack !== null) return stack[1] === '0' ? 'st' : `st(${stack[1] as string})`
  return name
}

const registerOrNone = (register: Register): string => (register === Register.None ? '-' : registerName(register))

const unsigned = (value: bigint): string => `0x${BigInt.asUintN(64, value).toString(16)}`

/** Iced's operands as text, one word each. */
export function icedOperands(insn: IcedInstruction): string[] {
  const texts: string[] = []
  for (let i = 0; i < insn.opCount; i++) {
    const kind = insn.opKind(i)
    switch (kind) {
      case OpKind.Register:
        texts.push(registerName(insn.opRegister(i)))
        break
      case OpKind.NearBranch16:
      case OpKind.NearBranch32:
      case OpKind.NearBranch64:
        texts.push(`branch:${unsigned(insn.nearBranchTarget)}`)
        break
      case OpKind.FarBranch16:
        texts.push(`far:${insn.farBranchSelector}:${insn.farBranch16}`)
        break
      case OpKind.FarBranch32:
        texts.push(`far:${insn.farBranchSelector}:${insn.farBranch32}`)
        break
      case OpKind.Memory: {
        const relative = insn.isIPRelMemoryOperand
        const base = registerOrNone(insn.memoryBase)
        const index = registerOrNone(insn.memoryIndex)
        const displacement = relative ? insn.ipRelMemoryAddress : insn.memoryDisplacement
        texts.push(
          `mem:${registerName(insn.memorySegment)}:${base}:${index}:${insn.memoryIndexScale}:${unsigned(displacement)}`,
        )
        break
      }
      case OpKind.MemoryESDI:
      case OpKind.MemoryESEDI:
      case OpKind.MemoryESRDI:
        texts.push(`mem:es:${{ [OpKind.MemoryESDI]: 'di', [OpKind.MemoryESEDI]: 'edi', [OpKind.MemoryESRDI]: 'rdi' }[kind]}:-:1:0x0`)
        break
      case OpKind.MemorySegSI:
      case OpKind.MemorySegESI:
      case OpKind.MemorySegRSI:
      case OpKind.MemorySegDI:
      case OpKind.MemorySegEDI:
      case OpKind.MemorySegRDI:
        texts.push(`mem:${registerName(insn.memorySegment)}:${(OpKind[kind] as string).slice('MemorySeg'.length).toLowerCase()}:-:1:0x0`)
        break
      default:
        texts.push(unsigned(insn.immediate(i)))
    }
  }
  return texts
}

/** Our operands as the same kind of text. */
export function ourOperands(insn: Instruction, address: bigint): string[] {
  const info = codes[insn.code]
  return operandsOf(insn, address).map((operand: Operand, i): string => {
    switch (operand.kind) {
      case 'register':
        return operand.name
      case 'branch':
        return `branch:${unsigned(operand.target)}`
      case 'far-pointer':
        return `far:${operand.selector}:${operand.offset}`
      case 'memory': {
        // iced cuts displacements to the address size.
        const relative = operand.base === 'rip' || operand.base === 'eip'
        const displacement = relative
          ? (operand.address ?? 0n)
          : BigInt.asUintN(insn.addressSize, operand.displacement)
        return `mem:${operand.segment}:${operand.base ?? '-'}:${operand.index ?? '-'}:${operand.scale}:${unsigned(displacement)}`
      }
      default: {
        // iced shows a sign-extended immediate extended to the operand size only.
        const size = info?.operands[i]?.kind === undefined ? 64 : insn.operandSize === 0 || operand.value >= 0n ? 64 : insn.operandSize
        return unsigned(BigInt.asUintN(64, BigInt.asIntN(size, operand.value)))
      }
    }
  })
}

/** Whether the two name the same instruction. */
export function sameMnemonic(insn: Instruction, iced: IcedInstruction): boolean {
  const ours = codes[insn.code]?.mnemonic ?? ''
  const theirs = Mnemonic[iced.mnemonic] as string
  return ours === theirs.toUpperCase() || mnemonicAliases[ours] === theirs
}

export { Code, Mnemonic }
