/** What iced-x86 and we see differently, with what decides it. */

/** One row of a table of differences. */
export interface Difference {
  /** Ours and iced's code, `form | Code`. */
  readonly where: RegExp
  readonly why: string
}

/** Where decoding differs. */
export const decodingDifferences: readonly Difference[] = [
  {
    where: /\| (Xstore|Montmul|Xsha|Ccs_|Via_|Xcrypt)/,
    why: 'VIA PadLock: in neither the Intel SDM nor the AMD APM, whose opcode maps have 0F A6 and 0F A7 empty',
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
    where: /^(MONITOR|MWAIT|RSM) /,
    what: /privileged/,
    why: 'SDM vol. 2B: MONITOR and MWAIT #UD above CPL 0; RSM #UD outside SMM',
  },
]
