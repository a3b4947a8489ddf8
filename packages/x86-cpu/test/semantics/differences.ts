import { PREFIX_REP, PREFIX_REPNE, REGISTER_RIP } from '@retrap/x86-decoder'
import { areOtherNaNs } from '../support/nan-choice.ts'
import type { Encoding } from './encode.ts'
import * as L from './layout.ts'
import {
  BP,
  C1,
  GP,
  IN_RSP,
  PF,
  SS,
  UD,
  flagsOf,
  quadOf,
  sameEnd,
  statusWord,
  vectorOf,
  type KnownDifference,
  type Observation,
} from './observation.ts'
import { storeDifferences } from './store-differences.ts'

/** ZF, PF and CF, and where a comparison leaves them in the x87 status word: C3, C2 and C0. */
const RELATION = 0x45
const CONDITIONS = 0x4500
/** ES of the x87 status word: an unmasked exception is pending. */
const ES = 0x80
/** UE of the x87 status word. */
const X87_UE = 0x10
/** The smallest normal number, in units in the last place. */
const SMALLEST = 1n << 63n
const X87_COMPARISON = /^(F(I|U)?COM(I|PP|P|IP)?|FTST)$/
const X87_TRANSCENDENTAL = /^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/

/** The count of SHLD and SHRD, masked. */
function doubleShiftCount({ encoding: { info, insn }, input }: Observation): number {
  return (info.form.endsWith('CL') ? (input[L.IN_GPR + 8] as number) : insn.immLo) & 31
}

/** Equal, or finite and within the error of both of two approximations. */
function isNear(expected: Uint8Array, actual: Uint8Array, at: number): boolean {
  const single = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset + at, 4).getFloat32(0, true)
  const bits = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true)
  if (bits(expected) === bits(actual)) return true
  // Of infinity any number would be within the error.
  if (!Number.isFinite(single(expected)) || !Number.isFinite(single(actual))) return false
  return Math.abs(single(expected) - single(actual)) <= 2 * 1.5 * 2 ** -12 * Math.abs(single(expected))
}

/** Whether a memory operand is not at a multiple of 16. Segment bases are, and other registers are of no count. */
function isMisaligned(insn: Encoding['insn'], input: Uint8Array): boolean {
  if (insn.isMemory === 0) return false
  const low = (number: number): number => (number < 0 ? 0 : (input[L.IN_GPR + 8 * number] as number))
  const base = insn.base === REGISTER_RIP ? (input[L.IN_RIP] as number) + insn.length : low(insn.base)
  return ((base + (low(insn.index) << insn.scale) + insn.dispLo) & 15) !== 0
}

/** ST(i) of a result as an integer that counts units in the last place. */
function placeOf(result: Uint8Array, i: number): bigint {
  const view = new DataView(result.buffer, result.byteOffset + L.OUT_FX + L.FX_ST + 16 * i, 16)
  const word = view.getUint16(8, true)
  const magnitude = (BigInt(word & 0x7fff) << 63n) + BigInt.asUintN(63, view.getBigUint64(0, true))
  return word < 0x8000 ? magnitude : -magnitude
}

/** Whether a register of one result is the smallest normal number, and that of the other the largest denormal one. */
function isAtSmallest(i: number, ...results: readonly [Uint8Array, Uint8Array]): boolean {
  const [a, b] = results.map((result) => placeOf(result, i)).map((place) => (place < 0n ? -place : place))
  return a! + b! === 2n * SMALLEST - 1n && (a === SMALLEST || b === SMALLEST)
}

/**
 * Where processors differ from one another, and which side we are on. Anything else is a mismatch. The reference may be
 * an Intel or an AMD processor; ours is Intel's in what CPUID says.
 */
export const knownDifferences: readonly KnownDifference[] = [
  ...storeDifferences,
  {
    name: 'SHLD, SHRD of 16 bits by more than 16',
    reason: 'SDM vol. 2B, SHLD: "If the count is greater than the operand size, the result is undefined."',
    matches: (o) => {
      const { mnemonic, operandSize } = o.encoding.info
      return (
        (mnemonic === 'SHLD' || mnemonic === 'SHRD') && operandSize === 16 && doubleShiftCount(o) > 16 && sameEnd(o)
      )
    },
  },
  {
    name: 'PUSH of a segment register with a 32-bit operand size',
    reason:
      'SDM vol. 2B, PUSH: "either a zero-extended value is pushed on the stack or the segment selector is written on the stack using a 16-bit move". We do the latter, as current Intel processors; AMD’s do the former.',
    matches: (o) => {
      if (!/^PUSH (ES|CS|SS|DS|FS|GS)$/.test(o.encoding.info.form)) return false
      // The last two bytes of the slot may be beyond the limit.
      return sameEnd(o) ? o.what.startsWith('memory 1') : vectorOf(o.expected) === SS
    },
  },
  {
    name: 'misaligned vector operands beyond the limit of the stack segment',
    reason: 'Which of #GP for the alignment and #SS for the limit comes first is not said.',
    matches: ({ encoding: { info, insn }, expected, actual }) =>
      insn.isMemory !== 0 &&
      info.operands.some((o) => o.memorySize >= 16) &&
      vectorOf(expected) === GP &&
      vectorOf(actual) === SS,
  },
  {
    name: 'x87 images and BOUND’s pair that fault in two ways',
    reason:
      'Which of several faults comes first is not said; the segment limit is checked for the whole operand before paging.',
    matches: ({ encoding: { info }, expected, actual }) =>
      (info.operands.some((o) => o.memorySize > 8) || info.mnemonic === 'BOUND') &&
      info.map === 0 &&
      vectorOf(expected) === PF &&
      [GP, SS].includes(vectorOf(actual)),
  },
  {
    name: 'address of the fault of an x87 image across a page',
    reason:
      'Which byte of an operand of several parts is accessed first is not said; AMD’s processors try the last one of an image that FNSAVE will write.',
    matches: ({ encoding: { info }, what, expected, actual }) => {
      const page = (bytes: Uint8Array): number =>
        new DataView(bytes.buffer, bytes.byteOffset).getUint32(L.OUT_CR2, true) >>> 12
      return what === 'cr2' && /^(FNSTENV|FNSAVE)$/.test(info.mnemonic) && page(expected) === page(actual)
    },
  },
  {
    name: 'RCPPS, RCPSS, RSQRTPS, RSQRTSS',
    reason: 'SDM vol. 2B, RCPPS: "The relative error for this approximation is: |Relative Error| ≤ 1.5 ∗ 2^−12".',
    matches: ({ encoding: { info }, what, expected, actual }) => {
      const register = /^([xy])mm(\d+)$/.exec(what)
      if (!/^V?(RCP|RSQRT)[PS]S$/.test(info.mnemonic) || register === null) return false
      const at = (register[1] === 'x' ? L.OUT_FX + L.FX_XMM : L.OUT_YMM) + 16 * Number(register[2])
      return [0, 4, 8, 12].every((lane) => isNear(expected, actual, at + lane))
    },
  },
  {
    name: 'NaNs of DPPS and DPPD',
    reason: 'SDM vol. 2A, DPPS: which of several NaNs is taken is not said; some processors take another in each lane.',
    matches: ({ encoding: { info }, what, input, expected, actual }) => {
      const register = /^([xy])mm(\d+)$/.exec(what)
      if (!/^V?DPP[SD]$/.test(info.mnemonic) || register === null) return false
      const at = (register[1] === 'x' ? L.OUT_FX + L.FX_XMM : L.OUT_YMM) + 16 * Number(register[2])
      const of = (result: Uint8Array): Uint8Array => result.subarray(at, at + 16)
      return areOtherNaNs(info.mnemonic.endsWith('S') ? 4 : 8, of(expected), of(actual), [input])
    },
  },
  {
    name: 'upper halves of a gather of 128 bits that ends with a fault',
    reason:
      'SDM vol. 2C, VGATHERDPS: elements before the fault are done; when bits 255:128 are cleared is not said. Here they are with the last element.',
    matches: ({ encoding: { info }, what, input, expected, actual }) => {
      const register = /^ymm(\d+)$/.exec(what)
      if (!/^VP?GATHER[DQ][DQP][SD]?$/.test(info.mnemonic) || register === null) return false
      if (vectorOf(expected) === BP || vectorOf(expected) !== vectorOf(actual)) return false
      const offset = 16 * Number(register[1])
      for (let i = 0; i < 16; i++)
        if (expected[L.OUT_YMM + offset + i] !== 0 || actual[L.OUT_YMM + offset + i] !== input[L.IN_YMM + offset + i])
          return false
      return true
    },
  },
  {
    name: 'x87 comparisons with an unmasked exception',
    reason:
      'SDM vol. 2A, FCOM and FCOMI: "Flags not set if unmasked invalid-arithmetic-operand (#IA) exception is generated"; we do as much for a denormal operand, of which it says nothing. AMD’s processors set them.',
    matches: ({ encoding: { info }, input, expected, actual, what }) => {
      const status = statusWord(actual, L.OUT_FX)
      const theirs = statusWord(expected, L.OUT_FX)
      if (!X87_COMPARISON.test(info.mnemonic) || (status & theirs & ES) === 0) return false
      if (what === 'flags') {
        const flags = flagsOf(actual, L.OUT_RFLAGS)
        const changed = (flags ^ flagsOf(input, L.IN_RFLAGS)) & RELATION
        return changed === 0 && ((flags ^ flagsOf(expected, L.OUT_RFLAGS)) & 0x8d5 & ~RELATION) === 0
      }
      return (
        what === 'fsw' &&
        ((status ^ statusWord(input, L.IN_FX)) & CONDITIONS) === 0 &&
        ((status ^ theirs) & ~CONDITIONS) === 0
      )
    },
  },
  {
    name: 'C1 after FCOMI, FCOMIP, FUCOMI and FUCOMIP',
    reason: 'SDM vol. 2A, FCOMI, FPU Flags Affected: C1 is set to 0. AMD’s processors leave it as it was.',
    matches: ({ encoding: { info }, input, expected, actual, what }) =>
      /^FU?COMIP?$/.test(info.mnemonic) &&
      what === 'fsw' &&
      (statusWord(actual, L.OUT_FX) ^ statusWord(expected, L.OUT_FX)) === C1 &&
      (statusWord(input, L.IN_FX) & statusWord(expected, L.OUT_FX) & C1) !== 0,
  },
  {
    name: 'the last bit of x87 transcendental functions',
    reason:
      'SDM vol. 1, "Transcendental Instruction Accuracy": the error is less than one unit in the last place, not none; C1 says which way the result was rounded. Ours are within 0.51 units of exact ones (test/float).',
    matches: ({ encoding: { info }, expected, actual, what }) => {
      if (!X87_TRANSCENDENTAL.test(info.mnemonic)) return false
      if (what === 'fsw') {
        const other = statusWord(actual, L.OUT_FX) ^ statusWord(expected, L.OUT_FX)
        // A result that is rounded to the smallest normal number has not underflowed, the one below has.
        return (
          other === C1 ||
          ((other & ~C1) === X87_UE && isAtSmallest(info.mnemonic === 'FSINCOS' ? 1 : 0, expected, actual))
        )
      }
      const register = /^st([01])$/.exec(what)
      if (register === null) return false
      const distance = placeOf(expected, Number(register[1])) - placeOf(actual, Number(register[1]))
      return distance >= -1n && distance <= 1n
    },
  },
  {
    name: 'MXCSR.MM',
    reason:
      'SDM vol. 1, 10.2.3: bit 17 of MXCSR is reserved; AMD’s processors with CPUID Fn8000_0001_ECX[MisAlignSse] have it.',
    matches: ({ encoding: { info }, expected, actual }) =>
      /^V?LDMXCSR$/.test(info.mnemonic) &&
      vectorOf(actual) === GP &&
      (new DataView(expected.buffer, expected.byteOffset).getUint32(L.OUT_FX + L.FX_MXCSR, true) & 0x2_0000) !== 0,
  },
  {
    name: 'misaligned operands of SHA1RNDS4 and its like',
    reason:
      'SDM vol. 2B, SHA1RNDS4: exceptions of type 4, which have #GP(0) for them; AMD’s processors do not ask for alignment.',
    matches: ({ encoding: { info, insn }, input, expected, actual }) =>
      info.feature === 'SHA' && isMisaligned(insn, input) && vectorOf(actual) === GP && vectorOf(expected) !== GP,
  },
  {
    name: 'gathers that fault',
    reason:
      'SDM vol. 2C, VPGATHERDD: the elements of the mask are extended from their top bits, and what lies above is zeroed, before the first load; AMD’s processors leave what has not been loaded as it was.',
    matches: ({ encoding: { info, insn }, what, expected, actual }) => {
      if (!/GATHER/.test(info.mnemonic) || ![PF, GP, SS].includes(vectorOf(expected))) return false
      if (vectorOf(expected) !== vectorOf(actual)) return false
      const at = what.startsWith('x') ? L.OUT_FX + L.FX_XMM : what.startsWith('y') ? L.OUT_YMM : -1
      if (at < 0 || Number(what.slice(3)) !== insn.vvvv) return false
      const element = /(PD|Q)$/.test(info.mnemonic) ? 8 : 4
      const index = info.mnemonic.includes('GATHERQ') ? 8 : 4
      const used = element * Math.min((info.operands[0]?.size ?? 0) / element, (info.operands[1]?.size ?? 0) / index)
      // Which elements are left agrees.
      for (let i = element - 1; i < 16 && i + (what.startsWith('y') ? 16 : 0) < used; i += element) {
        const top = (bytes: Uint8Array): number => (bytes[at + 16 * insn.vvvv + i] as number) >>> 7
        if (top(expected) !== top(actual)) return false
      }
      return true
    },
  },
  {
    name: 'REP INS, REP OUTS of nothing without I/O permission',
    reason: 'SDM vol. 2B, REP: a count of zero executes nothing; AMD’s processors check the permission all the same.',
    matches: ({ encoding: { info, insn }, input, expected }) => {
      if (!/^(INS|OUTS)[BWD]$/.test(info.mnemonic) || vectorOf(expected) !== GP) return false
      for (let i = 0; i < insn.addressSize / 8; i++) if (input[L.IN_GPR + 8 + i] !== 0) return false
      return true
    },
  },
  {
    name: 'REP of nothing by 32-bit addresses in 64-bit mode',
    reason:
      'SDM vol. 2B, REP: whether ECX, ESI and EDI that are not changed are zero-extended is not said; some processors do it.',
    matches: ({ encoding: { insn, info }, input, expected, actual, what }) => {
      const number = { rcx: 1, rsi: 6, rdi: 7 }[what]
      if (number === undefined || info.repeat === 'none' || insn.addressSize !== 32) return false
      if ((insn.prefixes & (PREFIX_REP | PREFIX_REPNE)) === 0 || flagsOf(input, L.IN_GPR + 8) !== 0) return false
      const before = quadOf(input, L.IN_GPR + 8 * number)
      const [theirs, ours] = [expected, actual].map((result) => quadOf(result, L.OUT_GPR + 8 * number))
      return ours === before && theirs === BigInt.asUintN(32, before)
    },
  },
  {
    name: 'far pointers whose offset is not mapped, and whose selector is beyond the limit',
    reason: 'The order in which the parts of an operand are read is not said; AMD’s processors read the offset first.',
    matches: ({ encoding: { info, insn }, expected, actual }) =>
      /^(CALLF|JMPF|L[DEFGS]S)$/.test(info.mnemonic) &&
      insn.isMemory !== 0 &&
      vectorOf(expected) === PF &&
      [GP, SS].includes(vectorOf(actual)),
  },
  {
    name: 'far returns that fault: which word of the frame comes first',
    reason: 'The order in which a frame is read is not said.',
    matches: ({ encoding: { info }, what, expected, actual }) =>
      /^(RETF|IRET[DQ]?)$/.test(info.mnemonic) &&
      vectorOf(expected) === PF &&
      (vectorOf(actual) === SS || (vectorOf(actual) === PF && what === 'cr2')),
  },
  {
    name: 'POP of a segment register with a 32-bit operand size',
    reason:
      'As with PUSH, only the selector is accessed; AMD’s processors read all four bytes, of which one or two are beyond the limit.',
    matches: ({ encoding: { info, mode }, input, what, expected }) => {
      if (!/^POP .S$/.test(info.form) || info.operandSize !== 32 || mode !== 16) return false
      const sp = Number(quadOf(input, IN_RSP)) & 0xffff
      return (sp === 0xfffd || sp === 0xfffe) && what === 'vector' && vectorOf(expected) === SS
    },
  },
  {
    name: 'privileged instructions with an operand beyond the limit of the stack segment',
    reason: 'Which of #GP for the privilege and #SS for the operand comes first is not said.',
    matches: ({ encoding: { info, insn }, expected, actual }) =>
      info.privileged && insn.isMemory !== 0 && vectorOf(expected) === GP && vectorOf(actual) === SS,
  },
  {
    name: 'SYSRET outside 64-bit mode',
    reason: 'SDM vol. 2B, SYSRET: #UD; AMD APM vol. 3, SYSRET exists in legacy mode and is #GP(0) above level 0.',
    matches: ({ encoding: { info, long }, expected, actual }) =>
      info.mnemonic.startsWith('SYSRET') && !long && vectorOf(expected) === GP && vectorOf(actual) === UD,
  },
  {
    name: 'RETF imm16 to an inner level',
    reason:
      'SDM vol. 2B, RET: a selector whose RPL is less than the CPL is #GP at once; AMD’s processors read the outer stack before.',
    matches: ({ encoding: { info }, expected, actual }) =>
      info.form === 'RETF imm16' && vectorOf(expected) === PF && vectorOf(actual) === GP,
  },
  {
    name: 'RETF imm16 on a 16-bit stack',
    reason:
      'SDM vol. 2B, RET: "SP ← SP + SRC" with a 16-bit stack; AMD’s processors let the sum run into the upper half.',
    matches: ({ encoding: { info, mode }, what, expected, actual }) => {
      const low = (bytes: Uint8Array): number =>
        new DataView(bytes.buffer, bytes.byteOffset).getUint16(L.OUT_GPR + 32, true)
      return info.form === 'RETF imm16' && mode === 16 && what === 'rsp' && low(expected) === low(actual)
    },
  },
  {
    name: '0F 0D with a register operand',
    reason: 'SDM vol. 2D, Appendix A: a reserved NOP; AMD APM vol. 3, PREFETCH: #UD for ModRM.mod = 11b.',
    matches: ({ encoding: { info, insn }, expected }) =>
      info.map === 1 && info.opcode === 0x0d && insn.isMemory === 0 && vectorOf(expected) === UD,
  },
]

/** Whether a difference is one that is explained. */
export function toleratedDifference(o: Observation): KnownDifference | undefined {
  return knownDifferences.find((known) => known.matches(o))
}
