/** What other decoders see differently, with what decides it. The tests print how much each row covers; one that covers nothing fails. */
import { type CodeInfo, codes, decodeInto, Instruction } from '../src/index.ts'
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
    where: /^BND(LDX|STX) /,
    why: '67 in 64-bit mode is shown as it is encoded; processors with MPX have 64-bit addresses all the same (SDM vol. 1, Appendix E)',
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
  {
    where: /^BNDC[LUN] /,
    what: /access/,
    why: 'a register is compared, of memory the address: one code for both',
  },
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

/**
 * In programs: `objdump: bytes: text, ours NAME of N bytes for N`, or `llvm: …`. All of it is data that lies between functions, save
 * where it says otherwise.
 */
export const corpusDifferences: readonly Difference[] = [
  {
    where: /^objdump: .*: \.byte 0x/,
    why: 'objdump stops at each symbol, and lists byte by byte what the symbol cuts: data, and symbols inside of instructions',
  },
  {
    where:
      /^objdump: .*: (?:rex(?:\.\w+)?|data16|data32|addr32|addr16|[cdefgs]s|lock|repz?|repnz|bnd|notrack)(?: (?:[cdefgs]s|data16|data32|addr32|addr16|rex(?:\.\w+)?|lock|repz|repnz))*, ours/,
    why: 'a prefix that means nothing is listed as an instruction of its own',
  },
  {
    where: /: (?:\w\w )*f0 .*ours invalid/,
    why: 'LOCK is #UD save with the listed instructions and a memory destination (SDM vol. 2A, LOCK)',
  },
  {
    where:
      /: (?:[\w.]+ )*\(bad\), ours (?:SALC|INT1|UD0|UD1|FN?(?:DISI|SETPM|ENI)|FCOMP?|FSTP|FSTPNCE|FXCH|FFREEP|SHL|TEST|NOP|PREFETCHW?|PREFETCHIT[01]|MOV) of/,
    why: 'opcodes that repeat another, and what manuals mention in passing, are executed (AMD APM vol. 3, appendix A; SDM vol. 2D, Appendix A)',
  },
  {
    where: /: (?:[\w.]+ )*mov +(?:[^,]*,\?|\?,|cs,|(?:\w+,)?[ct]r\d|(?:\w+,)?db\d).*ours invalid|: mov, ours invalid/,
    why: 'MOV to CS, and to or from registers that do not exist, is #UD (SDM vol. 2B, MOV)',
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
    where: /: (?:\w\w )*4\w c[45] .*ours invalid/,
    why: 'REX before VEX is #UD (SDM vol. 2A, "VEX Prefix and Legacy Prefixes")',
  },
  {
    where: /^objdump: (?:\w\w )*0f 18 .*: nop .*, ours PREFETCHIT[01] of/,
    why: 'a hint that does nothing outside 64-bit mode has its name all the same, as iced-x86 has it',
  },
  {
    where: /^llvm: (?:66|f[23]) .*: \w+, ours invalid of/,
    why: 'where the opcode says NP, 66, F2 and F3 are not ignored (SDM vol. 2A, "Instruction Column in the Opcode Summary Table"): #UD',
  },
  {
    where: /^llvm: 62 .*: v\w+, ours invalid of [56] bytes/,
    why: 'EVEX with L\'L = 11b, or with APX\'s bits outside 64-bit mode, is #UD (SDM vol. 2A, "#UD Equations for EVEX"; iced-x86 agrees)',
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
  { where: /^llvm: (?:\w\w )*d5 .*, ours invalid/, why: 'REX2 of APX has no rows yet' },
]
