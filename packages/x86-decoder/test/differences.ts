/** What other decoders see differently, with what decides it. The tests print how much each row covers; one that covers nothing fails. */
import { type CodeInfo, codes, decodeInto, Instruction } from '../src/index.ts'
import type { TextDifference } from './support/llvm.ts'
import { llvmSpelling } from './support/spelling.ts'

/** One row of a table of differences. */
export interface Difference {
  /** Ours and theirs, as each table says. */
  readonly where: RegExp
  readonly why: string
  /** It comes up in other enumerations than those of `opcode-maps.test.ts`. */
  readonly elsewhere?: boolean
}

/** CPUID features that iced-x86 1.21 does not know. */
export const newerThanIced: RegExp = /AVX10|APX|MOVRS|AMX_AVX512|USER_MSR|MSR_IMM/

/** Where decoding differs. */
export const decodingDifferences: readonly Difference[] = [
  {
    where: /^(invalid \| (Xstore|Montmul|Xsha|Ccs_|Via_|Xcrypt)|XSTORE \| Xstore_alt)/,
    why: 'VIA PadLock: the whole ModRM byte is part of the opcode (VIA PadLock programming guide); iced-x86 ignores rm, and has what VIA never described',
  },
  {
    where: /^(MONTMUL|XSHA\d+|XCRYPT\w+|CCS_\w+|XSTORE) \| INVALID/,
    why: 'VIA PadLock: iced-x86 has MONTMUL without REX.W; its description names prefixes F3 and 67 alone',
  },
  {
    where:
      /^(MOVRS|URDMSR|UWRMSR|RDMSR|WRMSRNS|TILELOADDRS|TILELOADDRST1|TMMULTF32PS|TDPB?H?B?F8PS) .*\| INVALID|^PREFETCHRST2 .*\| Reservednop/,
    why: 'newer than iced-x86 1.21: MOVRS, USER_MSR, MSR_IMM, AMX-FP8, AMX-TF32, AMX-MOVRS (LLVM knows them)',
  },
  {
    where: /^invalid \| Bnd/,
    why: 'MPX is #UD where the address size is 16 bits, with register operands too (SDM vol. 2A, BNDMOV)',
  },
  {
    where: /^UD0 .*\| Ud0$/,
    why: "AMD's UD0 has no ModRM byte (AMD APM vol. 3, UD0), Intel's has (SDM vol. 2B, UD); we give both one: it is #UD before that matters",
  },
  { where: /^SH[LR].* \| Sal/, why: 'group 2 /6 is SHL: the two do the same (SDM vol. 2B, SAL)' },
  { where: /^NOP .* \| Reservednop/, why: 'reserved no-operations have the mnemonic of the no-operation' },
  { where: /^GETSEC /, why: 'REX.W makes no GETSECQ: SDM vol. 2D, GETSEC, has one opcode, NP 0F 37' },
  { where: /^XLATB /, why: "the index AL is XLATB's alone; the record has base rBX only" },
  { where: /^(FXCH|FUCOMP?) ST/, why: 'SDM vol. 2A writes FXCH ST(i), FUCOM ST(i): ST(0) is implied' },
  { where: /^V?MASKMOV(Q|DQU) /, why: 'the manual writes two operands; the store to DS:rDI is in base and segment' },
  { where: /, XMM0 \|/, why: 'the implied XMM0 is an operand, as the manual writes it' },
  {
    where: /^(ARPL|LLDT|LTR|VERR|VERW|LMSW|LKGS) .*\| .*_r(32|64)m16/,
    why: 'the manual has r/m16 only; what a wider register would hold above it is not read',
  },
  {
    where: /^XCHG r\w+, \w?AX \| Pause/,
    why: 'F3 41 90 exchanges with R8: NOP and PAUSE are 90 without REX.B (seen on processors)',
  },
  { where: /^(TPAUSE|UMWAIT) r32 \| .*_r64/, why: 'the operand is r32 whatever REX.W says (SDM vol. 2B, TPAUSE)' },
  {
    where: /^V?PCMPESTR[IM] /,
    why: 'with REX.W the lengths are in RAX and RDX; the mnemonic is the same (SDM vol. 2B, PCMPESTRM)',
  },
]

/** Where what is known about an instruction differs. */
export const infoDifferences: readonly (Difference & { readonly what: RegExp })[] = [
  {
    where: /^(INT|INT1|INT3|INTO) /,
    what: /written/,
    why: 'IF is cleared through an interrupt gate (SDM vol. 2A, INT n)',
  },
  { where: /^UIRET /, what: /written/, why: 'RFLAGS is popped; which bits stay is for the CPU' },
  {
    where: /^(HLT|VM\w+|SKINIT|SYSCALL|SYSENTER|TDCALL|SEAM\w+|XABORT|XEND) /,
    what: /flow/,
    why: 'a kind of its own: control goes to or comes from another context',
  },
  {
    where: /^FCMOV/,
    what: /access/,
    why: 'the source is read always: an empty register is a stack fault (SDM vol. 2A, FCMOVcc)',
  },
  { where: /^P(DEP|EXT) /, what: /access/, why: 'an empty mask makes the source irrelevant, but it is read' },
  { where: /^(CLFLUSH|CLFLUSHOPT|CLWB) /, what: /access/, why: 'flushes a line; the data goes nowhere' },
  {
    where: /^CMPXCHG/,
    what: /access/,
    why: '"the destination operand receives a write cycle without regard to the result" (SDM vol. 2A, CMPXCHG)',
  },
  {
    where: /^MOVS[SD] xmm/,
    what: /access/,
    why: 'a register destination keeps its upper part, memory does not: one code for both',
  },
  {
    where: /^INSERTQ /,
    what: /access/,
    why: 'the destination keeps the bits around the field (AMD APM vol. 4, INSERTQ)',
  },
  { where: /^RDSSP/, what: /access/, why: 'no-operation while shadow stacks are off (SDM vol. 2B, RDSSP)' },
  {
    where: /^HRESET /,
    what: /access|privileged/,
    why: '#GP(0) if CPL > 0; an immediate is read (SDM vol. 2A, HRESET)',
  },
  {
    where: /^FWAIT /,
    what: /features/,
    why: 'FWAIT is of the processor with x87: CR0.EM and MP decide about it (SDM vol. 2A, WAIT/FWAIT)',
  },
  { where: /^BNDC[LUN] /, what: /access/, why: 'a register is compared, of memory the address: one code for both' },
  { where: /^PADDQ mm/, what: /features/, why: 'PADDQ with MMX registers came with SSE2 (SDM vol. 2B, PADDQ)' },
  {
    where: /^INVE?V?PI?[TD] /,
    what: /features/,
    why: 'a capability of VMX, which no bit of CPUID reports (SDM vol. 3, "Capability Reporting")',
  },
  { where: /^PREFETCHRST2 /, what: /features/, why: 'newer than iced-x86 1.21' },
  {
    where: /^(MONITOR|MWAIT|RSM) /,
    what: /privileged/,
    why: 'SDM vol. 2B: MONITOR and MWAIT #UD above CPL 0; RSM #UD outside SMM',
  },
]

/** An instruction of a program that we and another decoder see differently. */
export interface Disagreement {
  /** From the instruction on, 15 if there are so many. */
  readonly bytes: Uint8Array
  readonly mode: 16 | 32 | 64
  /** The other's mnemonic. */
  readonly theirs: string
  /** Bytes that the other one has it have. */
  readonly length: number
  /** Bytes up to the next symbol of the program; infinite where none is near, or none is known. */
  readonly toSymbol: number
}

/** A row that also looks at the bytes: the text says what differs, this says that it is for the reason given. */
interface CorpusDifference extends Difference {
  readonly when?: (found: Disagreement) => boolean
}

/** Without some prefixes it is an instruction for us too, shorter by just these. */
const isShorterWithout =
  (...drop: readonly number[]) =>
  ({ bytes, mode, length }: Disagreement): boolean =>
    decodeInto(without(bytes, mode, drop), 0, 15, mode, insn) === 0 && insn.length < length && insn.length >= length - 4

/**
 * In programs: `objdump: bytes: text, ours NAME of N bytes for N`, or `llvm: …`; a reason stands behind `invalid`. All of
 * it is data that lies between functions, save where it says otherwise.
 */
export const corpusDifferences: readonly CorpusDifference[] = [
  {
    where: /^objdump: .*: \.byte 0x/,
    why: 'objdump stops at each symbol, and lists byte by byte what the symbol cuts: data, and symbols inside of instructions',
    when: ({ bytes, mode, toSymbol }) => decodeInto(bytes, 0, bytes.length, mode, insn) === 0 && insn.length > toSymbol,
  },
  {
    where:
      /^objdump: .*: (?:rex(?:\.\w+)?|data16|data32|addr32|addr16|[cdefgs]s|lock|repz?|repnz|bnd|notrack)(?: (?:[cdefgs]s|data16|data32|addr32|addr16|rex(?:\.\w+)?|lock|repz|repnz))*, ours/,
    why: 'a prefix that means nothing is listed as an instruction of its own',
  },
  {
    where: /ours invalid \(LOCK is not allowed here\)/,
    why: 'LOCK is #UD save with the listed instructions and a memory destination (SDM vol. 2A, LOCK)',
    when: isShorterWithout(0xf0),
  },
  {
    where:
      /: (?:[\w.]+ )*\(bad\), ours (?:SALC|INT1|UD0|UD1|FN?(?:DISI|SETPM|ENI)|FCOMP?|FSTP|FSTPNCE|FXCH|FFREEP|SHL|TEST|NOP|PREFETCHW?|PREFETCHIT[01]|MOV) of/,
    why: 'opcodes that repeat another, and what manuals mention in passing, are executed (AMD APM vol. 3, appendix A; SDM vol. 2D, Appendix A)',
  },
  {
    where:
      /: (?:[\w.]+ )*mov +(?:[^,]*,\?|\?,|cs,|(?:\w+,)?[ct]r\d|(?:\w+,)?d[br]\d).*ours invalid \(no such register\)|: mov, ours invalid \(no such register\)/,
    why: 'MOV to CS, and to or from registers that do not exist, is #UD (SDM vol. 2B, MOV)',
  },
  {
    where: /: 0f 2[46] \w\w: mov +(?:\w+,tr\d|tr\d,\w+), ours invalid \(no such instruction/,
    why: 'the test registers were those of the 80386 and 80486 alone (SDM vol. 2D, Appendix A: 0F 24 and 0F 26 are empty)',
  },
  {
    where: /: 66 e[89] .*: (?:jmpw|callw|jmp|call) ?.*, ours (?:JMP|CALL) of 6 bytes for 4/,
    why: 'on Intel processors 66 does not shorten the displacement of a near branch in 64-bit mode (SDM vol. 2A, JMP)',
  },
  {
    where: /db e5: (?:\w+ )*frstpm/,
    why: 'FRSTPM is of the 80287XL alone; later it is no instruction (SDM vol. 2D, Appendix A, DB)',
  },
  {
    where: /: (?:(?:26|2e|36|3e|6[4-7]|f[023]|4\w) )+(?:c[45]|62|d5) .*ours invalid \(a prefix before VEX/,
    why: 'REX, 66, F2, F3 and LOCK before VEX are #UD (SDM vol. 2A, "VEX Prefix and Legacy Prefixes")',
    when: ({ bytes, mode, length }) => {
      const at = bytes.findIndex((byte) => [0xc4, 0xc5, 0x62, 0xd5].includes(byte))
      return at > 0 && decodeInto(bytes, at, bytes.length, mode, insn) === 0 && at + insn.length === length
    },
  },
  {
    where: /^objdump: (?:\w\w )*0f 18 .*: nop .*, ours PREFETCHIT[01] of/,
    why: 'a hint that does nothing outside 64-bit mode has its name all the same, as iced-x86 has it',
  },
  {
    where: /^llvm: d5 (?:\w\w )*\w\w: \w+, ours \w+ of (?:8 bytes for 4|9 bytes for 5|10 bytes for 6|11 bytes for 7)$/,
    why: 'with mod = 0 a SIB base of 101b is a displacement of 32 bits whatever B3 and B4 are: LLVM writes R21 with a displacement, and reads it without',
  },
  {
    where: /^llvm: (?:(?:26|2e|36|3e|6[457]|4\w|f0) )*(?:66|f[23]) .*: \w+, ours invalid \(no such instruction/,
    why: 'where the opcode says NP, 66, F2 and F3 are not ignored (SDM vol. 2A, "Instruction Column in the Opcode Summary Table"): #UD',
    when: ({ bytes, mode, theirs }) => isWithout(0x66, 0xf2, 0xf3)(bytes, mode, theirs),
  },
  {
    where: /^llvm: 62 .*: \w+, ours invalid \(no such/,
    when: ({ bytes: [, p0 = 0, p1 = 0, p2 = 0], mode }) =>
      (p2 & 0x60) === 0x60 || (mode !== 64 && ((p0 & 8) !== 0 || (p1 & 4) === 0 || (p2 & 8) === 0)),
    why: 'EVEX with L\'L = 11b, or with APX\'s bits outside 64-bit mode, is #UD (SDM vol. 2A, "#UD Equations for EVEX"; iced-x86 agrees)',
  },
  {
    where: /^llvm: 62 .*: v\w+, ours invalid \(no such mask/,
    when: ({ bytes, mode, theirs, length }) => {
      const [, , p1 = 0, , , modrm = 0] = bytes
      if (mode !== 64 || (p1 & 4) !== 0 || modrm < 0xc0) return false
      const set = Uint8Array.from(bytes, (byte, i) => (i === 2 ? byte | 4 : byte))
      return decodeInto(set, 0, set.length, mode, insn) === 0 && insn.length === length && isNamed(theirs)
    },
    why: 'EVEX with payload bit 10 clear and a register in ModRM.rm is #UD (SDM vol. 2A, "#UD Equations for EVEX"): LLVM looks at the bit only where the instruction has rounding',
  },
  {
    where: /^llvm: .*: (?:cwde|cdq), ours (?:CBW|CWD) of/,
    why: '98 and 99 in 16-bit code are CBW and CWD (SDM vol. 2A, CBW, CWD): LLVM names the 32-bit ones',
  },
  {
    where: /^llvm: .*: vmmcall, ours VMGEXIT of/,
    why: 'the kernel has VMGEXIT, F3 0F 01 D9 (AMD APM vol. 3, VMGEXIT), which LLVM takes for VMMCALL',
  },
  { where: /^llvm: .*: \(bad\), ours BND/, why: 'LLVM dropped MPX' },
  {
    where: /^llvm: (?:\w\w )*d5 .*, ours invalid/,
    why: 'after REX2 opcodes 4x, 7x, Ax and Ex of map 0 and 3x and 8x of map 1 are #UD, as are prefixes, and REX before it (Intel APX specification, "REX2 Prefix")',
  },
]

/** A row that also looks at the bytes. */
interface LlvmDifference extends Difference {
  /** @param theirs - LLVM's mnemonic */
  readonly when?: (slot: Uint8Array, mode: 16 | 32 | 64, theirs: string) => boolean
}

/** The bytes without the legacy prefixes that `drop` names, and without a REX that does not count. */
function without(slot: Uint8Array, mode: 16 | 32 | 64, drop: readonly number[]): Uint8Array {
  const isRex = (byte: number | undefined): boolean => mode === 64 && byte !== undefined && (byte & 0xf0) === 0x40
  let end = 0
  while (PREFIXES.has(slot[end] as number) || isRex(slot[end])) end++
  const kept = [
    ...slot.subarray(0, end).filter((byte, i) => !drop.includes(byte) && (!isRex(byte) || i === end - 1)),
    ...slot.subarray(end),
  ]
  return Uint8Array.from({ length: 16 }, (_, i) => kept[i] ?? 0)
}

const PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3])
const insn = new Instruction()

/** Whether what has just been decoded is what LLVM calls by this name. */
const isNamed = (theirs: string): boolean => llvmSpelling(theirs).includes((codes[insn.code] as CodeInfo).mnemonic)

/** Whether our decoder takes the bytes for LLVM's mnemonic once they lack some prefixes. */
const isWithout =
  (...drop: readonly number[]) =>
  (slot: Uint8Array, mode: 16 | 32 | 64, theirs: string): boolean =>
    decodeInto(without(slot, mode, drop), 0, 15, mode, insn) === 0 && isNamed(theirs)

/**
 * In the opcode maps, from LLVM: `64-bit 66 f2, map 0F: FORM | mnemonic`, or `invalid (reason)`.
 *
 * LLVM's disassembler is made to read what its assembler writes; it is lenient with prefixes, and lacks what has no
 * assembler syntax.
 */
export const llvmDifferences: readonly LlvmDifference[] = [
  {
    where: /: invalid \(LOCK/,
    why: 'LOCK is #UD save with the listed instructions and a memory destination (SDM vol. 2A, LOCK)',
  },
  {
    where: /(?:66|f2|f3).*: invalid \(no such instruction/,
    why: 'where the opcode says NP, 66, F2 and F3 are not ignored (SDM vol. 2A, "Instruction Column in the Opcode Summary Table"): #UD',
    when: isWithout(0x66, 0xf2, 0xf3, 0xf0),
  },
  {
    where: /^16-bit .*66/,
    why: 'in 16-bit code LLVM takes 66 for the operand size alone, not for part of the opcode',
    when: isWithout(0x66),
  },
  {
    where: /66.*f[23]|f[23].*66/,
    why: 'a 66 beside F2 or F3 is the operand size alone, and the F2 or F3 selects (SDM vol. 2A, "Instruction Prefixes")',
    when: isWithout(0x66),
  },
  {
    where: /^16-bit .*66.*\| invalid/,
    why: 'in 16-bit code LLVM takes 66 for the operand size alone, and has no such instruction then',
    when: hasPrefix('66'),
  },
  {
    where:
      /: (?:INT1|UD0 .*|SALC|FN(?:DISI|SETPM|ENI)|F(?:COMP?|STP|STPNCE|XCH) (?:ST\(0\), )?ST\(i\)|SHL r.*|TEST r.*) \| invalid/,
    why: 'opcodes that repeat another (group 2 /6, group 3 /1, x87 aliases) and INT1, UD0, SALC are executed (AMD APM vol. 3, appendix A; SDM vol. 2D, Appendix A): LLVM leaves them out',
  },
  {
    where: /^16-bit .*: (?:CBW|CWD) \| (?:cwde|cdq)$/,
    why: '98 and 99 in 16-bit code are CBW and CWD (SDM vol. 2A, CBW, CWD): LLVM names the 32-bit ones',
  },
  {
    where: /: (?:J\w+|XBEGIN) rel(?:16|32) \| (?:invalid|\w+, length)/,
    why: 'the displacement of a near branch has the operand size, which F2 and F3 do not touch, and which is 64 bits in 64-bit mode on Intel processors whatever 66 says (SDM vol. 2A, Jcc, JMP, CALL)',
  },
  {
    where: /: MOV (?:[CD]Rn, r\d+|r\d+, [CD]Rn) \| invalid/,
    why: 'the mod bits of MOV to and from control and debug registers are ignored (SDM vol. 2B, MOV—Move to/from Control Registers)',
  },
  {
    where: /: invalid \(no such register\) \| mov$/,
    why: 'CR1, CR5 to CR7, CR9 to CR15, DR8 to DR15, segment registers 6 and 7 and MOV to CS are #UD (SDM vol. 2B, MOV)',
  },
  {
    where: /: NOP r\/m.* \| (?:invalid|cldemote|prefetchrst2)$/,
    why: '0F 0D with a register and 0F 18 to 0F 1F are reserved no-operations whatever prefixes there are (AMD APM vol. 3, NOP; SDM vol. 2D, Appendix A): LLVM has few of them',
  },
  {
    where: /: PREFETCH(?:W|IT[01])? m.* \| invalid/,
    why: 'the rest of 0F 0D and 0F 18 are hints too (AMD APM vol. 3, PREFETCHlevel): LLVM has those with a name, and PREFETCHIT with RIP alone',
  },
  {
    where: /: PAUSE \| (?:invalid|xchg)$/,
    why: 'F3 90 is PAUSE with 66 or REX.W as well; only REX.B makes it XCHG (SDM vol. 2B, PAUSE)',
  },
  {
    where:
      /f[23].*: (?:CLRSSBSY|INCSSP|PTWRITE|UMWAIT|UMONITOR|ENQCMDS?|(?:RD|WR)[FG]SBASE|U(?:RD|WR)MSR)[^|]* \| invalid/,
    why: 'of F2 and F3 the last one selects, and 66 beside them nothing (SDM vol. 2A, "Instruction Prefixes"); LLVM has them alone, and not in every mode',
  },
  {
    where: /: (?:CLRSSBSY|CLWB|MCOMMIT|VMGEXIT|RMPQUERY)[^|]* \| (?:xsaveopt64|monitorx|vmmcall|rdpru)$/,
    why: 'LLVM forgets the mandatory prefix of 0F AE /6 (with REX.W) and of 0F 01 FA',
  },
  {
    where:
      /67 (?:48|66).*: (?:CLFLUSH m8 \| clflushopt|JECXZ rel8 \| jrcxz|MFENCE \| tpause|invalid \(no such instruction in this mode\) \| movdir64b)/,
    why: '67 with REX.W makes LLVM see a 66, or no 67',
    elsewhere: true,
  },
  {
    where: /: WBINVD \| invalid/,
    why: '66 and F2 before 0F 09 are ignored (SDM vol. 2D, WBINVD has no NP): LLVM has it alone, for the sake of WBNOINVD',
  },
  {
    where: /: (?:BND\w+|CCS_\w+)(?: [^|]*)? \| invalid/,
    why: 'LLVM dropped MPX, and never had the VIA instructions for hashing and encryption by SM3 and SM4',
  },
  {
    where: /: invalid \(no such instruction in this mode\) \| (?:montmul|xsha1|xsha256|xcrypt\w+|xstorerng)$/,
    why: 'VIA PadLock: F3 is part of the opcode, and the whole ModRM byte; LLVM writes the one and looks at its reg alone',
  },
  {
    where: /: invalid \(no such instruction in this mode\) \| extrq/,
    why: '66 0F 78 is group 17, of which /0 alone is EXTRQ (AMD APM vol. 3, "ModRM.reg Extensions")',
  },
  {
    where: /: (?:invalid \(no such instruction in this mode\) \| (?:u(?:rd|wr)msr|swapgs)$|ENQCMDS? r.* \| invalid)/,
    why: 'USER_MSR and SWAPGS are of 64-bit mode (Intel ISE reference, URDMSR; SDM vol. 2B, SWAPGS), ENQCMD of all',
  },
  {
    where: /: K\w+ .* \| invalid$/,
    why: 'there are eight masks: VEX.B is ignored where ModRM.rm names one (SDM vol. 2A, "Opmask Register Encoding"; iced-x86 agrees)',
  },
  {
    where: /^(?:16|32)-bit VEX.*: (?:KMOVD|VPEXTRD|VPINSRD) .* \| (?:kmovq|vpextrq|vpinsrq)$/,
    why: 'VEX.W is ignored for general registers outside 64-bit mode (SDM vol. 2A, "VEX Prefix")',
  },
  {
    where: /^16-bit XOP.*: (?:BEXTR|LWPINS|LWPVAL) .*, length$/,
    why: 'the immediate has 32 bits whatever the mode (AMD APM vol. 3, BEXTR (immediate), LWPINS)',
  },
  {
    where:
      /^(?:16|32)-bit (?:VEX|SIB).*: invalid \(no such instruction in this mode\) \| (?:cmp\w+xadd|t\w+|sttilecfg|ldtilecfg|rdmsr|wrmsrns|u(?:rd|wr)msr)$/,
    why: 'AMX, CMPccXADD, and MSRs by immediate are of 64-bit mode (SDM vol. 2, their pages: "N.E." in the others)',
  },
  {
    where: /VEX.*: invalid \(no such instruction in this mode\) \| tcmm\w+$/,
    why: 'W must be 0 (SDM vol. 2B, TCMMRLFP16PS: VEX.128.NP.0F38.W0)',
  },
  {
    where: /: invalid \(a prefix before VEX/,
    why: '66, F2, F3, LOCK and REX before VEX are #UD (SDM vol. 2A, "VEX Prefix and Legacy Prefixes")',
  },
  {
    where: /: invalid \(registers that must differ/,
    why: 'gathers and tile products are #UD if two of their registers are the same (SDM vol. 2C, VGATHERDPS; vol. 2B, TDPBF16PS)',
  },
]

/** Whether the form that we take the bytes for has a mandatory prefix. */
function hasPrefix(prefix: '66' | 'F2' | 'F3') {
  return (slot: Uint8Array, mode: 16 | 32 | 64): boolean =>
    decodeInto(slot, 0, 15, mode, insn) === 0 && (codes[insn.code] as CodeInfo).prefix === prefix
}

/** EVEX: `ours | theirs` as texts in Intel syntax without blanks, '-' for invalid. `evex-llvm.test.ts` has the enumeration. */
export const evexLlvmDifferences: readonly TextDifference[] = [
  {
    texts: /^- \| /,
    bytes: (bytes) => ((bytes[3] as number) & 0x60) === 0x60,
    why: 'EVEX.L\'L = 11b is #UD where it is not a rounding (SDM vol. 2A, "EVEX.L\'L"): LLVM takes it for 512',
  },
  {
    texts: /^vcvtu?si2s[dsh] .*[a-d]x\{\w\w-sae\} \| vcvtu?si2s[dsh] .*\{\w\w-sae\},/,
    why: 'the rounding stands beside the last operand, as the manual writes r/m32{er}; LLVM has it before',
  },
  {
    texts: /^(vcvtu?dq2pd|vcvtu?si2sd) .*\{\w\w-sae\} \| -/,
    why: 'the conversion is exact, and the rounding is ignored (as iced-x86 has it; SDM has no {er} there)',
  },
  {
    texts: /^(vps[rl]l|vpsra)w .* \| -|^vpalignr .* \| -|^vmovw .*\[.* \| -/,
    why: 'W is ignored (SDM vol. 2B, 2C: WIG)',
  },
  {
    texts:
      /^v(rndscale|fpclass|scalef|getexp|comx|ucomx|reduce|getmant|minmax|rcp|rsqrt)\w*s[hsd] .* \| -|^vfc?m(add|ul)csh .* \| -/,
    why: "L'L is ignored by scalar instructions (SDM vol. 2C: LLIG)",
  },
  {
    texts: /^(vpinsr[bw]|vpextr[bw]|vextractps) .*\br\w\w\b.* \| \1 .*\be\w\w\b/,
    why: 'with W = 1 the register is the 64-bit one, as the manual writes r64/m8',
  },
  {
    texts: /^vmov([dw]) (xmm\d+),(xmm\d+) \| vmov\1 \3,\2$/,
    why: '66 0F D6 and F3 MAP5 7E are stores: ModRM.rm is the destination (AVX10.2 specification, VMOVD, VMOVW)',
  },
  { texts: /^vp2intersect\w .*k\d/, why: 'the register of the pair that is encoded, not the even one' },
  {
    texts: /^- \| (\{nf\})?(andn|bl\w+|bzhi|bextr) /,
    why: 'NP only, and z and L\'L must be 0 (APX specification, "EVEX Extension of VEX Instructions")',
  },
  {
    texts: /^- \| vcvtqq2p[sh] /,
    bytes: (bytes) => ((bytes[2] as number) & 3) === 1,
    why: 'NP only: LLVM takes 66 too',
  },
  {
    texts: /^- \| vfc?m(add|ul)c[ps]h /,
    why: '#UD if the destination is a source too (SDM vol. 2C, VFMULCPH and its like)',
  },
]

const isMap4 = (bytes: Uint8Array): boolean => bytes[0] === 0x62 && ((bytes[1] as number) & 7) === 4
const prefixOf = (bytes: Uint8Array): number => (bytes[2] as number) & 3

/** The opcode after REX2, 100h and more in the second map, or -1. */
function rex2Opcode(bytes: Uint8Array): number {
  const at = bytes.indexOf(0xd5)
  return at < 0 || at > 1 ? -1 : (((bytes[at + 1] as number) & 0x80) << 1) | (bytes[at + 2] as number)
}
const ESCAPES = [0x0f, 0x26, 0x2e, 0x36, 0x3e, 0x62, 0x64, 0x65, 0x66, 0x67, 0xc4, 0xc5, 0xd5, 0xf0, 0xf2, 0xf3]

/** APX, in the same way: `apx-llvm.test.ts`. */
export const apxLlvmDifferences: readonly TextDifference[] = [
  {
    texts: /^- \| (?!ccmp|ctest)/,
    bytes: (bytes) => isMap4(bytes) && ((bytes[3] as number) & 3) !== 0,
    why: 'the lowest two bits of the third byte must be 0 where it has no condition (APX specification, "Extended EVEX Prefix")',
  },
  {
    texts: /^- \| /,
    bytes: (bytes) => isMap4(bytes) && prefixOf(bytes) === 1,
    why: 'byte instructions have NP alone: LLVM takes 66 with W = 1',
  },
  {
    texts: /^- \| /,
    bytes: (bytes) => isMap4(bytes) && prefixOf(bytes) > 1,
    why: 'these have NP or 66 alone: LLVM takes F3 and F2 too where NF is 1',
  },
  {
    texts: /^(set\w+) \[.*\] \| \1 \[/,
    why: 'displacements are not scaled in map 4 (APX specification, "Compressed Displacement"): LLVM scales that of SETcc',
  },
  {
    texts: /^(- \| |.* \| -$)/,
    bytes: (bytes) => ESCAPES.includes(rex2Opcode(bytes)),
    why: 'after REX2 prefixes and escapes are no opcodes (APX specification, "REX2 Prefix")',
  },
  {
    texts: /^- \| /,
    bytes: (bytes) => [0x4, 0x7, 0xa, 0xe, 0x13, 0x18].includes(rex2Opcode(bytes) >> 4),
    why: 'REX2 does not go with these rows of the opcode maps (APX specification, "REX2 Prefix")',
  },
  {
    texts: /^(xchg|test|fcomp?|fstp|fxch|f\w+|int1|mov cs|- \| mov cs)\b/,
    bytes: (bytes) => rex2Opcode(bytes) >= 0x84,
    why: 'as without REX2: XCHG has no order, the aliases of TEST and the x87 exist, CS is not loaded by MOV',
  },
  {
    texts: /^- \| (\{nf\})?(andn|bl\w+|bzhi|bextr) /,
    bytes: (bytes) => prefixOf(bytes) === 1,
    why: 'NP only: LLVM takes 66 too',
  },
  {
    texts: /^kmov\w (k\d|e\w\w|r\w\w|r\d+d?),k\d \| -|^- \| (kmov|tile)/,
    why: 'there are eight masks and eight tiles: more of them are #UD in ModRM.reg, and bits ignored in ModRM.rm',
  },
  { texts: /^(set\w+|movrs) .* \| -/, bytes: (bytes) => ((bytes[2] as number) & 0x80) !== 0, why: 'W is ignored' },
  { texts: /^\{nf\}imulzu .* \| -/, why: 'NF and ZU go together (APX specification, IMUL)' },
  { texts: /^((?:\{nf\})?(ro|rc|sh|sa)[lr] .*),1 \| \1$/, why: 'the count of the one-bit shifts is an operand' },
]
