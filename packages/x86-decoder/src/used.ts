/** The resources that an instruction uses: registers and memory, named by operands or not. */
import type { CodeInfo, OperandAccess, OperandSpec } from './code-info.ts'
import { codeInfo } from './codes.ts'
import { type MemoryOperand, operandsOf, type RegisterOperand } from './decode.ts'
import { DecoderError, shown } from './errors.ts'
import { Instruction } from './instruction.ts'
import { OperandKind, PREFIX_REP, PREFIX_REPNE, PREFIX_REX_W, REGISTER_KINDS } from './kinds.ts'
import { generalRegisterName, segmentRegisterName } from './registers.ts'
import { impliedRows } from './table/implied.ts'

/**
 * A register that is used, by its lower-case name. A written register is named whole: a write of EAX in 64-bit mode is one of
 * `rax`.
 */
export interface UsedRegister {
  /** Lower-case name of the whole register. */
  readonly name: string
  /** How the instruction accesses the register. */
  readonly access: OperandAccess
}

/**
 * A memory operand in use. The values of its registers are those before the instruction; a RIP-relative displacement counts from
 * the instruction's end.
 */
export interface UsedMemory extends Omit<MemoryOperand, 'kind' | 'address' | 'broadcast'> {}

/** The resources that an instruction uses. */
export interface UsedResources {
  /** Each once. */
  readonly registers: readonly UsedRegister[]
  /** Memory that the instruction reads or writes. */
  readonly memory: readonly UsedMemory[]
}

// Accesses as bits, which can be put together.
const READ = 1
const WRITE = 2
const MAY_READ = 4
const MAY_WRITE = 8

const ACCESS_BITS: Readonly<Record<OperandAccess, number>> = {
  n: 0,
  r: READ,
  w: WRITE,
  rw: READ | WRITE,
  cr: MAY_READ,
  cw: MAY_WRITE,
  crw: READ | MAY_WRITE,
}

function accessOfBits(bits: number): OperandAccess {
  if ((bits & WRITE) !== 0) return (bits & (READ | MAY_READ)) === 0 ? 'w' : 'rw'
  if ((bits & MAY_WRITE) !== 0) return (bits & (READ | MAY_READ)) === 0 ? 'cw' : 'crw'
  return (bits & READ) === 0 ? 'cr' : 'r'
}

/** A row's uses: registers with `ACCESS_BITS`, and how many slots are pushed (negative: popped). */
interface Implied {
  readonly registers: readonly (readonly [name: string, bits: number])[]
  readonly slots: number
}

let impliedUses: ReadonlyMap<string, Implied> | undefined

function readImplied(): ReadonlyMap<string, Implied> {
  const uses = new Map<string, Implied>()
  for (const line of impliedRows.split('\n')) {
    const [head, mnemonics] = line.split(/ {2,}/)
    if (head === undefined || mnemonics === undefined) continue
    const registers: (readonly [string, number])[] = []
    let slots = 0
    for (const part of head.split(' ')) {
      const [what, list] = part.split('=') as [string, string]
      if (what === 'push') slots = Number(list)
      else if (what === 'pop') slots = -Number(list)
      else for (const name of list.split(',')) registers.push([name, ACCESS_BITS[what as OperandAccess]])
    }
    for (const mnemonic of mnemonics.split(' ')) uses.set(mnemonic, { registers, slots })
  }
  return uses
}

function impliedOf({ mnemonic, operandSize, operands }: CodeInfo): Implied | undefined {
  impliedUses ??= readImplied()
  const name = operandSize === 8 ? `${mnemonic}.8` : mnemonic
  return impliedUses.get(`${name}/${operands.length}`) ?? impliedUses.get(name) ?? impliedUses.get(mnemonic)
}

const GENERAL = ['AX', 'CX', 'DX', 'BX', 'SP', 'BP', 'SI', 'DI']

/** Collects what is used; what is used twice is listed once, with both accesses. */
class Uses {
  readonly registers: Map<string, number> = new Map()
  readonly memory: UsedMemory[] = []
  readonly #insn: Instruction

  constructor(insn: Instruction) {
    this.#insn = insn
  }

  add(name: string, bits: number): void {
    if (bits !== 0) this.registers.set(name, (this.registers.get(name) ?? 0) | bits)
  }

  /** A general register. A write of its low 32 bits clears the high ones in 64-bit mode. */
  general(register: number, size: number, bits: number): void {
    const reads = bits & (READ | MAY_READ)
    this.add(generalRegisterName(register, size), reads)
    const isWide = size === 4 && this.#insn.mode === 64
    this.add(generalRegisterName(register, isWide ? 8 : size), bits & ~reads)
  }

  /** A register of `impliedRows`. */
  named(name: string, bits: number): void {
    const { mode, operandSize, addressSize } = this.#insn
    const prefix = name[0]!
    const number = GENERAL.indexOf(name.slice(1))
    if (number >= 0 && 'raER'.includes(prefix)) {
      const sizes: Readonly<Record<string, number>> = {
        ...{ r: operandSize >> 3, a: addressSize >> 3 },
        ...{ E: 4, R: mode === 64 ? 8 : 4 },
      }
      this.general(number, sizes[prefix]!, bits)
    } else if (name.startsWith('ST')) {
      this.add(name === 'ST0' ? 'st' : `st(${name.slice(2)})`, bits)
    } else if (mode === 64 || !/^R\d/.test(name)) this.add(name.toLowerCase(), bits)
  }

  /** The segment counts where it has a base: always but in 64-bit mode, and FS and GS. */
  segment(name: string, bits: number = READ): void {
    if (this.#insn.mode !== 64 || name === 'fs' || name === 'gs') this.add(name, bits)
  }

  /** Memory at a register. */
  at(segment: string, base: string, displacement: number, size: number, access: OperandAccess): void {
    this.segment(segment)
    this.memory.push({
      ...{ segment, base, index: undefined, scale: 1 },
      ...{ displacement: BigInt(displacement), size, access },
    })
  }

  /** Memory below or above a register of the stack. */
  stack(register: 4 | 5, displacement: number, size: number, access: OperandAccess): void {
    this.at('ss', generalRegisterName(register, this.#insn.mode >> 3), displacement, size, access)
  }

  /** Pushes or pops slots of the operand size. POPA takes no notice of SP's. */
  slots(count: number): void {
    const size = this.#insn.operandSize >> 3
    this.add(generalRegisterName(4, this.#insn.mode >> 3), READ | WRITE)
    for (let i = 0; i < Math.abs(count); i++) {
      if (count > 0) this.stack(4, -size * (i + 1), size, 'w')
      else if (count !== -8 || i !== 3) this.stack(4, size * i, size, 'r')
    }
  }
}

/** Adds the uses that a row cannot say. */
function addSpecial(uses: Uses, insn: Instruction, { mnemonic, operands }: CodeInfo): void {
  const width = insn.mode >> 3
  const size = insn.operandSize >> 3
  const addressWidth = insn.addressSize >> 3
  switch (mnemonic) {
    case 'LEAVE':
      uses.add(generalRegisterName(4, width), WRITE)
      uses.add(generalRegisterName(5, width), READ | WRITE)
      uses.stack(5, 0, size, 'r')
      break
    case 'ENTER': {
      const level = insn.imm2 & 31
      uses.add(generalRegisterName(5, width), READ | WRITE)
      uses.slots(level === 0 ? 1 : level + 1)
      for (let i = 1; i < level; i++) uses.stack(5, -size * i, size, 'r')
      break
    }
    case 'IRET':
    case 'IRETD':
    case 'IRETQ':
      // In 64-bit mode the stack always comes back.
      uses.slots(insn.mode === 64 ? -5 : -3)
      if (insn.mode === 64) uses.add('ss', WRITE)
      break
    case 'PCMPESTRI':
    case 'PCMPESTRM':
    case 'VPCMPESTRI':
    case 'VPCMPESTRM': {
      // The explicit lengths, which are 64 bits wide with W.
      const lengthSize = insn.mode === 64 && (insn.prefixes & PREFIX_REX_W) !== 0 ? 8 : 4
      uses.general(0, lengthSize, READ)
      uses.general(2, lengthSize, READ)
      break
    }
    case 'MONITOR':
    case 'MONITORX':
    case 'CLZERO':
      uses.segment(segmentRegisterName(insn.segment))
      break
    case 'RDMSRLIST':
    case 'WRMSRLIST':
      // The numbers of the MSRs, and their values.
      uses.at('ds', 'rsi', 0, 512, 'cr')
      uses.at('es', 'rdi', 0, 512, mnemonic === 'RDMSRLIST' ? 'cw' : 'cr')
      break
    case 'PBNDKB':
      uses.at('ds', 'rbx', 0, 256, 'r')
      uses.at('ds', 'rcx', 0, 256, 'w')
      break
    case 'RMPUPDATE':
      uses.at('ds', 'rcx', 0, 16, 'r')
      break
    case 'VP2INTERSECTD':
    case 'VP2INTERSECTQ':
      // A pair of masks, whichever of them is named.
      uses.add(`k${insn.reg & 6}`, WRITE)
      uses.add(`k${insn.reg | 1}`, WRITE)
      break
    case 'V4FMADDPS':
    case 'V4FNMADDPS':
    case 'V4FMADDSS':
    case 'V4FNMADDSS':
    case 'VP4DPWSSD':
    case 'VP4DPWSSDS':
      // Four registers, whichever of them is named.
      for (let i = 0; i < 4; i++) uses.add(`${operands[0]!.size === 16 ? 'x' : 'z'}mm${(insn.vvvv & 28) + i}`, READ)
      break
    case 'VZEROALL':
    case 'VZEROUPPER':
      for (let i = 0; i < (insn.mode === 64 ? 16 : 8); i++) {
        if (mnemonic === 'VZEROUPPER') uses.add(`xmm${i}`, READ)
        uses.add(`zmm${i}`, WRITE)
      }
      break
    case 'MASKMOVQ':
    case 'MASKMOVDQU':
    case 'VMASKMOVDQU': {
      const base = generalRegisterName(7, addressWidth)
      uses.add(base, READ)
      uses.at(segmentRegisterName(insn.segment), base, 0, operands[0]?.size ?? 0, 'w')
      break
    }
    case 'MOVDIR64B':
    case 'ENQCMD':
    case 'ENQCMDS':
      uses.at('es', generalRegisterName(insn.reg, addressWidth), 0, 64, 'w')
      break
    case 'UMONITOR':
      uses.at(segmentRegisterName(insn.segment), generalRegisterName(insn.rm, addressWidth), 0, 1, 'r')
      break
    default:
  }
}

/**
 * The registers and the memory that an instruction uses, those that no operand names too.
 *
 * A stack is taken to be as wide as the code segment. Flags are in `codeInfo`. Interrupts and far transfers through gates use
 * what the machine's state says, and nothing of that is listed; nor is what moves with whole sets of state (XSAVE's
 * components, VMX and SVM transitions).
 *
 * @param insn - a decoded instruction
 */
export function usedResources(insn: Instruction): UsedResources {
  if (!(insn instanceof Instruction)) throw new DecoderError('ERR_TARGET', `${shown(insn)} is no Instruction`)
  const info = codeInfo(insn.code)
  const uses = new Uses(insn)
  const repeats = info.repeat !== 'none' && (insn.prefixes & (PREFIX_REP | PREFIX_REPNE)) !== 0
  operandsOf(insn, 0n).forEach((operand, position) => {
    const spec = info.operands[position]!
    const access = repeats ? repeated(operand.access) : operand.access
    if (operand.kind === 'register') addRegister(uses, insn, info, spec, operand, ACCESS_BITS[access])
    else if (operand.kind === 'memory') addMemory(uses, insn, info, spec, { ...operand, access }, repeats)
  })
  if (repeats) uses.general(1, insn.addressSize >> 3, READ | MAY_WRITE)
  if (insn.maskRegister !== 0) {
    // Elements that have been gathered or scattered leave the mask.
    const isVsib = info.operands.some(({ kind }) => kind === OperandKind.VSIB)
    uses.add(`k${insn.maskRegister}`, isVsib ? READ | WRITE : READ)
  }
  const implied = impliedOf(info)
  if (implied !== undefined) {
    for (const [name, bits] of implied.registers) uses.named(name, bits)
    if (implied.slots !== 0) uses.slots(implied.slots)
  }
  addSpecial(uses, insn, info)
  return {
    registers: Array.from(uses.registers, ([name, bits]) => ({ name, access: accessOfBits(bits) })),
    memory: uses.memory,
  }
}

/** CFCMOV, which has the operation of CMOV and no faults. */
const isConditionalMove = ({ evexNd, mnemonic, operation }: CodeInfo): boolean => evexNd === 0 && mnemonic !== operation

function addRegister(
  uses: Uses,
  insn: Instruction,
  info: CodeInfo,
  { kind, size, memorySize }: OperandSpec,
  { name, register }: RegisterOperand,
  bits: number,
): void {
  const reads = bits & (READ | MAY_READ)
  switch (REGISTER_KINDS[kind]?.[0]) {
    case 'general':
      // With a new data destination, or zeroed upper bits, APX writes the whole register.
      if ((bits & WRITE) !== 0 && reads === 0 && (info.evexNd === 1 || isConditionalMove(info))) {
        uses.general(register, 8, bits)
      } else if (size === 4 && bits === MAY_WRITE && insn.mode === 64 && info.feature === 'CMOV') {
        // The high half is cleared, whether the condition holds or not.
        uses.general(register, 4, READ | WRITE)
      } else {
        // A read from memory of this size would be all that is read of a register.
        const isPart = bits === READ && kind === OperandKind.RM && memorySize !== 0 && memorySize < size
        uses.general(register, isPart ? memorySize : size, bits)
      }
      break
    case 'vector':
      uses.add(name, reads)
      // Other encodings clear the bits above the vector.
      uses.add(info.encoding === 'legacy' ? name : `z${name.slice(1)}`, bits & ~reads)
      break
    default:
      uses.add(name, bits)
  }
}

/** Instructions that compute an address and do not go there. */
const ADDRESS_ALONE: ReadonlySet<string> = /*#__PURE__*/ new Set(['LEA', 'BNDMK', 'BNDCL', 'BNDCU', 'BNDCN'])

function addMemory(
  uses: Uses,
  insn: Instruction,
  info: CodeInfo,
  { kind }: OperandSpec,
  operand: MemoryOperand,
  repeats: boolean,
): void {
  const { segment, base, scale, displacement, access } = operand
  // Of a no-operation's address nothing is computed.
  if (access === 'n' && info.mnemonic === 'NOP') return
  let { index } = operand
  if (base !== undefined && base !== 'rip' && base !== 'eip') {
    // String operands also update their address registers.
    const isString = kind === OperandKind.STRING_SOURCE || kind === OperandKind.STRING_DESTINATION
    const moves = repeats ? MAY_READ | MAY_WRITE : READ | WRITE
    if (isString) uses.general(kind === OperandKind.STRING_SOURCE ? 6 : 7, insn.addressSize >> 3, moves)
    else uses.add(base, READ)
  }
  if (kind === OperandKind.XLAT) index = 'al'
  if (index !== undefined) uses.add(index, READ)
  if (ADDRESS_ALONE.has(info.mnemonic)) return
  uses.segment(segment, repeats ? MAY_READ : READ)
  if (access === 'n') return
  uses.memory.push({ segment, base, index, scale, displacement, size: repeats ? 0 : operand.size, access })
}

/** A repetition may be of nothing. */
function repeated(access: OperandAccess): OperandAccess {
  return access === 'r' ? 'cr' : access === 'w' ? 'cw' : access === 'rw' ? 'crw' : access
}
