/** Comparing our record with iced-x86's, an independent decoder. */
import * as M from 'iced-x86'
import { codes, type CodeInfo, type Instruction, MODE_16, type Operand, operandsOf } from '../../src/index.ts'

/** Name of a register as iced has it in our spelling: R8L → r8b, ST0 → st. */
function registerName(register: M.Register): string {
  const name = (M.Register[register] as string).toLowerCase()
  const byte = /^(r\d+)l$/.exec(name)
  if (byte !== null) return `${byte[1] as string}b`
  const stack = /^st(\d)$/.exec(name)
  if (stack !== null) return stack[1] === '0' ? 'st' : `st(${stack[1] as string})`
  return name
}

const registerOrNone = (register: M.Register): string => (register === M.Register.None ? '-' : registerName(register))

const unsigned = (value: bigint): string => `0x${BigInt.asUintN(64, value).toString(16)}`

/** Memory for which our table has no size (0), and iced-x86 has one. A closed list. */
const UNSIZED: readonly { readonly mnemonic: RegExp; readonly why: string }[] = [
  { mnemonic: /^(Prefetch\w*|Cldemote)$/, why: 'a hint: nothing is read (SDM vol. 2B, PREFETCHh)' },
  { mnemonic: /^Reservednop$/, why: 'PREFETCHRST2, which iced-x86 1.21 does not know: a hint too' },
]

function icedMemorySize(insn: M.Instruction): number {
  const mnemonic = M.Mnemonic[insn.mnemonic] as string
  return UNSIZED.some((row) => row.mnemonic.test(mnemonic)) ? 0 : M.MemorySizeExt.size(insn.memorySize)
}

/** Iced's operands as text, one word each. */
export function icedOperands(insn: M.Instruction): string {
  const texts: string[] = []
  for (let i = 0; i < insn.opCount; i++) {
    const kind = insn.opKind(i)
    const name = M.OpKind[kind] as string
    if (kind === M.OpKind.Register) texts.push(registerName(insn.opRegister(i)))
    else if (name.startsWith('NearBranch')) texts.push(`branch:${unsigned(insn.nearBranchTarget)}`)
    else if (kind === M.OpKind.FarBranch16) texts.push(`far:${insn.farBranchSelector}:${insn.farBranch16}`)
    else if (kind === M.OpKind.FarBranch32) texts.push(`far:${insn.farBranchSelector}:${insn.farBranch32}`)
    else if (kind === M.OpKind.Memory) {
      const base = registerOrNone(insn.memoryBase)
      const index = registerOrNone(insn.memoryIndex)
      const displacement = insn.isIpRelMemoryOperand ? insn.ipRelMemoryAddress : insn.memoryDisplacement
      const segment = registerName(insn.memorySegment)
      texts.push(
        `mem:${segment}:${base}:${index}:${insn.memoryIndexScale}:${unsigned(displacement)}:${icedMemorySize(insn)}`,
      )
    } else if (name.startsWith('MemoryES')) {
      texts.push(`mem:es:${name.slice('MemoryES'.length).toLowerCase()}:-:1:0x0:${icedMemorySize(insn)}`)
    } else if (name.startsWith('MemorySeg')) {
      texts.push(
        `mem:${registerName(insn.memorySegment)}:${name.slice('MemorySeg'.length).toLowerCase()}:-:1:0x0:${icedMemorySize(insn)}`,
      )
    } else texts.push(unsigned(insn.immediate(i)))
  }
  return texts.join(', ')
}

/** Our operands as the same kind of text. */
export function ourOperands(insn: Instruction, address: bigint): string {
  return operandsOf(insn, address)
    .map((operand: Operand): string => {
      switch (operand.kind) {
        case 'register':
          return operand.name
        case 'branch':
          return `branch:${unsigned(operand.target)}`
        case 'far-pointer':
          return `far:${operand.selector}:${operand.offset}`
        case 'memory': {
          // iced gives RIP-relative operands as addresses and cuts displacements to the address size.
          const relative = operand.base === 'rip' || operand.base === 'eip'
          const displacement = relative
            ? (operand.address ?? 0n)
            : BigInt.asUintN(insn.addressSize, operand.displacement)
          const { segment, base = '-', index = '-', scale, size } = operand
          return `mem:${segment}:${base}:${index}:${scale}:${unsigned(displacement)}:${size}`
        }
        default:
          return unsigned(operand.value)
      }
    })
    .join(', ')
}

/**
 * Whether the two have the same operands. iced-x86 reports ES, CS, SS and DS prefixes in 64-bit mode as if they chose the
 * segment; there they are ignored (SDM vol. 2A, "Instruction Prefixes"; AMD APM vol. 3, "Segment-Override Prefixes").
 */
export function sameOperands(insn: Instruction, iced: M.Instruction, address: bigint): boolean {
  const ours = ourOperands(insn, address)
  const theirs = icedOperands(iced)
  if (ours === theirs) return true
  if (insn.mode !== 64 || insn.segmentOverride < 0 || insn.segmentOverride > 3) return false
  return ours.replaceAll(/mem:[ecsd]s:/g, 'mem:') === theirs.replaceAll(/mem:[ecsd]s:/g, 'mem:')
}

/** Whether the two have the same mnemonic. */
export function sameMnemonic(insn: Instruction, iced: M.Instruction): boolean {
  const ours = (codes[insn.code] as CodeInfo).mnemonic
  const theirs = (M.Mnemonic[iced.mnemonic] as string).toUpperCase()
  return ours === theirs || MNEMONICS[ours] === theirs
}

/** Our mnemonic → iced's, where the two name one instruction differently. A closed list. */
const MNEMONICS: Readonly<Record<string, string>> = { CALLF: 'CALL', JMPF: 'JMP', FWAIT: 'WAIT', XLATB: 'XLATB' }

const FLAGS = [
  ['O', M.RflagsBits.OF, 0x800],
  ['S', M.RflagsBits.SF, 0x80],
  ['Z', M.RflagsBits.ZF, 0x40],
  ['A', M.RflagsBits.AF, 0x10],
  ['P', M.RflagsBits.PF, 4],
  ['C', M.RflagsBits.CF, 1],
  ['D', M.RflagsBits.DF, 0x400],
  ['I', M.RflagsBits.IF, 0x200],
] as const

const FLOWS: Readonly<Record<string, string>> = {
  Next: 'next',
  UnconditionalBranch: 'jump',
  IndirectBranch: 'indirect-jump',
  ConditionalBranch: 'branch',
  Return: 'return',
  Call: 'call',
  IndirectCall: 'indirect-call',
  Interrupt: 'interrupt',
  XbeginXabortXend: 'transaction',
  Exception: 'exception',
}

const ACCESSES: Readonly<Record<string, string>> = {
  None: 'n',
  NoMemAccess: 'n',
  Read: 'r',
  CondRead: 'cr',
  Write: 'w',
  CondWrite: 'cw',
  ReadWrite: 'rw',
  ReadCondWrite: 'crw',
}

/** Processors that had the instruction before there was CPUID, or that say it with the mode. */
const BASE = /^(INTEL(8086|186|286|386|486)(_ONLY)?|X64|SMM|AMD_ONLY|INTEL\d+_ONLY|MULTIBYTENOP|RDPMC|CPUID)$/
/** iced's names, where they are not ours. */
const FEATURES: Readonly<Record<string, string>> = {
  FPU287: 'FPU',
  FPU387: 'FPU',
  FPU287XL_ONLY: 'FPU',
  FPU387SL_ONLY: 'FPU',
  OSS: 'SGX',
  SGX1: 'SGX',
  HLE_or_RTM: 'RTM',
  SKINIT_or_SVM: 'SVM',
  D3NOW: '3DNOW',
  D3NOWEXT: '3DNOWEXT',
  PREFETCHITI: 'PREFETCHI',
  CMPXCHG16B: 'CX16',
}

/** iced's features in our spelling, in the order of the alphabet. */
function icedFeatures(insn: M.Instruction): string {
  const names = Array.from(insn.cpuidFeatures(), (feature) => M.CpuidFeature[feature] as string)
  return names
    .filter((name) => !BASE.test(name))
    .map((name) => FEATURES[name] ?? name)
    .toSorted((a, b) => a.localeCompare(b))
    .join('+')
}

function icedElision({ opCode }: M.Instruction): string {
  if (!opCode.canUseXreleasePrefix) return 'none'
  if (!opCode.canUseXacquirePrefix) return 'release'
  return opCode.mnemonic === M.Mnemonic.Xchg ? 'always' : 'locked'
}

/** What iced knows about an instruction, as texts that `ourInfo` can be compared with. */
export function icedInfo(insn: M.Instruction, info: M.InstructionInfo): Record<string, string> {
  const flags = (bits: number): string => FLAGS.map(([letter, bit]) => ((bits & bit) === 0 ? '' : letter)).join('')
  return {
    read: flags(insn.rflagsRead),
    written: flags(insn.rflagsWritten | insn.rflagsCleared | insn.rflagsSet),
    undefined: flags(insn.rflagsUndefined),
    flow: FLOWS[M.FlowControl[insn.flowControl] as string] as string,
    access: Array.from(
      { length: insn.opCount },
      (_, i) => ACCESSES[M.OpAccess[info.opAccess(i)] as string] as string,
    ).join(),
    privileged: String(insn.isPrivileged),
    features: icedFeatures(insn),
    real: String(insn.opCode.realMode),
    elision: icedElision(insn),
  }
}

export function ourInfo(code: CodeInfo): Record<string, string> {
  const flags = (bits: number): string => FLAGS.map(([letter, , bit]) => ((bits & bit) === 0 ? '' : letter)).join('')
  return {
    read: flags(code.flagsRead),
    written: flags(code.flagsWritten),
    undefined: flags(code.flagsUndefined),
    flow: code.flow,
    access: code.operands.map(({ access }) => access).join(),
    privileged: String(code.privileged || code.iopl),
    features: code.feature
      .split('+')
      .toSorted((a, b) => a.localeCompare(b))
      .join('+'),
    real: String(!code.protectedOnly && (code.modes & MODE_16) !== 0),
    elision: code.elision,
  }
}
