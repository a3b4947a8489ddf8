import { REGISTER_RIP } from '@retrap/x86-decoder'
import * as L from './layout.ts'
import {
  BP,
  C1,
  GP,
  IN_RSP,
  OUT_RSP,
  PF,
  SS,
  XM,
  flagsOf,
  quadOf,
  sameEnd,
  statusWord,
  topOf,
  vectorOf,
  type KnownDifference,
} from './observation.ts'
import type { Encoding } from './encode.ts'

const SEGMENT_SS = 2
const RF = 0x1_0000
const X87_TOP = 0x3800
/** SF, UE, OE and IE of the x87 status word: nothing is stored where one of the latter is unmasked. */
const X87_UNSTORED = 0x59
/** B and ES: an unmasked exception is pending. */
const X87_ES = 0x8080
/** What a conversion to half precision may raise: PE, UE, OE, DE and IE of MXCSR. */
const MXCSR_RAISED = 0x3b
const MXCSR_PE = 0x20
/** UE and DE. */
const MXCSR_TINY = 0x12
const MXCSR_UM = 0x800
/** What differs where one side has one fault, and the other has another. */
const FAULT_FIELDS = /^(vector|error code|cr2)$/

/** What DS and ES held before the case. */
function dataSelectorOf(input: Uint8Array): number {
  return new DataView(input.buffer, input.byteOffset).getUint16(L.IN_CS + 2, true)
}

/** Offset of a memory operand outside 64-bit mode, cut to the address size. */
function effectiveAddress(insn: Encoding['insn'], input: Uint8Array): number {
  const view = new DataView(input.buffer, input.byteOffset)
  const register = (number: number): number => (number < 0 ? 0 : view.getUint32(L.IN_GPR + 8 * number, true))
  const sum = register(insn.base) + register(insn.index) * 2 ** insn.scale + insn.dispLo
  return insn.addressSize === 16 ? sum & 0xffff : sum >>> 0
}

/** Linear address of a memory operand in a flat segment. */
function linearAddress(insn: Encoding['insn'], at: number, input: Uint8Array): bigint {
  const register = (number: number): bigint =>
    number === REGISTER_RIP ? BigInt(at + insn.length) : number < 0 ? 0n : quadOf(input, L.IN_GPR + 8 * number)
  const sum = register(insn.base) + (register(insn.index) << BigInt(insn.scale)) + BigInt(insn.dispLo)
  return BigInt.asUintN(insn.addressSize, sum)
}

/** Whether the host has left a field of the x87 state as it was. */
function isLeft(field: number, bytes: number, input: Uint8Array, expected: Uint8Array): boolean {
  const before = input.subarray(L.IN_FX + field, L.IN_FX + field + bytes)
  return Buffer.compare(before, expected.subarray(L.OUT_FX + field, L.OUT_FX + field + bytes)) === 0
}

/** FCS, the opcode, FDP and FDS by their offsets in an image of FNSTENV, of a processor that deprecates them. */
function pointersOf(fx: Uint8Array, narrow: boolean): ReadonlyMap<number, number> {
  const [fop, fdp] = [fx.subarray(L.FX_FOP, L.FX_FOP + 2), fx.subarray(L.FX_FDP, L.FX_FDP + 4)]
  const bytes = narrow ? [0, 0, fdp[0]!, fdp[1]!, 0, 0] : [0, 0, ...fop, ...fdp, 0, 0]
  return new Map(bytes.map((byte, i) => [(narrow ? 8 : 16) + i, byte]))
}

/** Whether the x87 registers are the same ones, though TOP differs. */
function isRenumbered(expected: Uint8Array, actual: Uint8Array): boolean {
  for (let i = 0; i < 8; i++) {
    const register = L.OUT_FX + L.FX_ST + 16 * ((i - topOf(expected)) & 7)
    const same = L.OUT_FX + L.FX_ST + 16 * ((i - topOf(actual)) & 7)
    for (let byte = 0; byte < 10; byte++) if (expected[register + byte] !== actual[same + byte]) return false
  }
  return true
}

/** Whether RIP, or the flags, are those of before, and RF is set as a fault has it. */
function isFaulting(what: string, input: Uint8Array, result: Uint8Array): boolean {
  if (what === 'rip') return quadOf(result, L.OUT_RIP) === BigInt(flagsOf(input, L.IN_RIP))
  return what === 'flags' && (flagsOf(result, L.OUT_RFLAGS) ^ flagsOf(input, L.IN_RFLAGS)) === RF
}

/** Whether RIP is behind the INT3 that follows the instruction, or the flags are those of before. */
function isCompleted(what: string, insn: Encoding['insn'], input: Uint8Array, result: Uint8Array): boolean {
  if (what === 'rip') return quadOf(result, L.OUT_RIP) === BigInt(flagsOf(input, L.IN_RIP) + insn.length + 1)
  return what === 'flags' && flagsOf(result, L.OUT_RFLAGS) === flagsOf(input, L.IN_RFLAGS)
}

/** Where processors differ in what an instruction has done, and which fault it has, when its stores fault. */
export const storeDifferences: readonly KnownDifference[] = [
  {
    name: 'ENTER, PUSHA and far CALL that fault',
    reason:
      'What they have pushed when a later push or the last check faults is not said; we push nothing (the instruction contract).',
    matches: ({ encoding, what, expected, actual }) =>
      /^(ENTER|PUSHAD?|CALLF)$/.test(encoding.info.mnemonic) &&
      what.startsWith('memory') &&
      [PF, SS].includes(vectorOf(expected)) &&
      [PF, SS].includes(vectorOf(actual)),
  },
  {
    name: 'PUSHA and far CALL that fault in two ways',
    reason: 'Which of several faults comes first is not said; segment limits are checked for all stores before paging.',
    matches: ({ encoding, expected, actual }) =>
      /^(PUSHAD?|CALLF)$/.test(encoding.info.mnemonic) && vectorOf(expected) === PF && vectorOf(actual) === SS,
  },
  {
    name: 'far CALL from 64-bit to 32-bit code with a stack above 4 GiB',
    reason:
      'SDM vol. 2A, CALL pushes before CS is loaded, with a 64-bit stack pointer; AMD’s processors, and Intel’s (seen on model CFH), cut it to 32 bits by then.',
    matches: ({ encoding: { info, long }, input, what, expected, actual }) => {
      const rsp = quadOf(input, IN_RSP)
      if (info.mnemonic !== 'CALLF' || !long || ![PF, SS].includes(vectorOf(actual))) return false
      const bytes = BigInt(info.operandSize >> 2)
      // Above, or at its end, from where the pushes wrap.
      if (rsp >= bytes && rsp < 1n << 32n) return false
      // Ours could not push. Theirs could, and is in other code, or could not either, below 4 GiB.
      if (expected[L.OUT_CS] !== L.CS_64) return quadOf(expected, OUT_RSP) === BigInt.asUintN(32, rsp - bytes)
      const below = BigInt.asUintN(32, rsp - 1n - quadOf(expected, L.OUT_CR2))
      return (
        FAULT_FIELDS.test(what) && vectorOf(expected) === PF && quadOf(expected, L.OUT_CR2) < 1n << 32n && below < bytes
      )
    },
  },
  {
    name: 'near CALL to an address that is not canonical, with a stack that cannot be written',
    reason: 'SDM vol. 2A, CALL checks the target before it pushes; AMD APM vol. 3, CALL (Near) pushes first.',
    matches: ({ encoding, expected, actual }) =>
      encoding.info.mnemonic === 'CALL' &&
      vectorOf(actual) === GP &&
      (vectorOf(expected) === PF || vectorOf(expected) === SS),
  },
  {
    name: 'near CALL to an address beyond the limit: the return address',
    reason:
      'SDM vol. 2A, CALL checks the target before it pushes; some of Intel’s processors (seen on model CFH) have stored the return address when #GP comes, and RSP is as it was.',
    matches: (o) => {
      const { encoding, input, what, expected, actual } = o
      if (encoding.info.mnemonic !== 'CALL' || vectorOf(expected) !== GP || !sameEnd(o)) return false
      const bytes = encoding.info.operandSize >> 3
      const pointer =
        encoding.mode === 16 ? (flagsOf(input, IN_RSP) & 0xffff) + L.WINDOW : Number(quadOf(input, IN_RSP))
      const slot = pointer - bytes
      if (what === 'memory outside the band') {
        const isInWindow = slot >= L.WINDOW && pointer <= L.WINDOW + L.WINDOW_BYTES
        return isInWindow && (slot < L.BAND || pointer > L.BAND + L.BAND_BYTES) && flagsOf(actual, L.OUT_OUTSIDE) === 0
      }
      const place = /^memory ([0-9a-f]+)$/.exec(what)?.[1]
      if (place === undefined) return false
      const next = BigInt(flagsOf(input, L.IN_RIP) + encoding.insn.length)
      for (let i = 0, at = parseInt(place, 16); i < 4; i++, at++) {
        const [theirs, ours] = [expected[L.OUT_BAND + at - L.BAND], actual[L.OUT_BAND + at - L.BAND]]
        const isPushed = at >= slot && at < pointer
        const pushed = isPushed ? Number((next >> BigInt(8 * (at - slot))) & 0xffn) : ours
        if (theirs !== pushed || ours !== input[L.IN_BAND + at - L.BAND]) return false
      }
      return true
    },
  },
  {
    name: 'an operand across 4 GiB in a segment without limit',
    reason:
      'SDM vol. 3A, "Limit Checking": with an effective limit of FFFFFFFFh "these accesses may or may not cause the indicated exceptions". Here those of frames on the stack do, and no others.',
    matches: ({ encoding: { long, mode }, what, expected, actual }) => {
      const near = (result: Uint8Array): boolean => (flagsOf(result, L.OUT_CR2) + 0x200) >>> 0 < 0x400
      const [theirs, ours] = [vectorOf(expected), vectorOf(actual)]
      if (!long && [GP, SS].includes(theirs) && ours === PF) return flagsOf(actual, L.OUT_CR2) >= 0xffff_fe00
      return mode === 32 && theirs === PF && [GP, SS].includes(ours) && FAULT_FIELDS.test(what) && near(expected)
    },
  },
  {
    name: 'elements of VMASKMOV beyond what the address size reaches',
    reason:
      'SDM vol. 3A, "Limit Checking": each element has an offset of its own, and one beyond the limit is #GP or #SS. AMD’s processors (seen on Zen 4) cut the offsets of elements to the address size; Intel’s (seen on model CFH) check them before any is accessed.',
    matches: ({ encoding, input, what, expected, actual }) => {
      const { info, insn, long } = encoding
      if (long || !/^VP?MASKMOV(PS|PD|D|Q)$/.test(info.mnemonic)) return false
      const end = insn.addressSize === 16 ? 0x1_0000 : 0x1_0000_0000
      const offset = effectiveAddress(insn, input)
      if (offset >= end || offset + (16 << insn.vectorLength) <= end) return false
      const beyond = insn.segment === SEGMENT_SS ? SS : GP
      return vectorOf(actual) === beyond
        ? [BP, PF].includes(vectorOf(expected))
        : vectorOf(actual) === PF && vectorOf(expected) === beyond && FAULT_FIELDS.test(what)
    },
  },
  {
    name: 'address of the fault of MASKMOVDQU',
    reason:
      'SDM vol. 3A, #PF: CR2 has the address that caused it, a byte that is stored; AMD’s processors give the operand’s, and Intel’s (seen on model CFH) that of its upper half, which they store first.',
    matches: ({ encoding: { info }, input, what, expected, actual }) => {
      if (!/^V?MASKMOV/.test(info.mnemonic) || what !== 'cr2') return false
      const [theirs, ours] = [quadOf(expected, L.OUT_CR2), quadOf(actual, L.OUT_CR2)]
      if (BigInt.asUintN(64, ours - theirs) < 16n) return true
      // The low bits of the operand’s address are those of RDI: segment bases are multiples of 16.
      const upper = quadOf(input, L.IN_GPR + 56) + 8n
      return BigInt.asUintN(4, theirs - upper) === 0n && BigInt.asUintN(64, theirs - ours) <= 8n
    },
  },
  {
    name: 'MASKMOVQ and MASKMOVDQU of no byte',
    reason:
      'SDM vol. 2B, MASKMOVQ, of a mask of all 0s: "exceptions associated with addressing memory and page faults may still be signaled (implementation dependent)". Here they are not.',
    matches: ({ encoding: { info, insn }, input, what, expected, actual }) => {
      const mmx = info.mnemonic === 'MASKMOVQ'
      if (!mmx && !/^V?MASKMOVDQU$/.test(info.mnemonic)) return false
      if (![PF, GP, SS].includes(vectorOf(expected)) || vectorOf(actual) !== BP) return false
      const st = (insn.rm - (statusWord(input, L.IN_FX) >>> 11)) & 7
      const mask = L.IN_FX + (mmx ? L.FX_ST + 16 * st : L.FX_XMM + 16 * insn.rm)
      for (let i = 0; i < (mmx ? 8 : 16); i++) if ((input[mask + i] as number) >= 0x80) return false
      return FAULT_FIELDS.test(what) || (isFaulting(what, input, expected) && isCompleted(what, insn, input, actual))
    },
  },
  {
    name: 'x87 state after MASKMOVQ to a read-only segment',
    reason:
      'SDM vol. 3A, "Exception Classifications": a fault leaves the state as it was before the instruction. AMD’s processors (seen on Zen 4) have gone over to MMX state already: TOP 0, all registers valid, their contents as they were.',
    matches: ({ encoding: { info }, input, what, expected, actual }) => {
      if (info.mnemonic !== 'MASKMOVQ' || !/^(fsw|ftw|st\d)$/.test(what)) return false
      if (dataSelectorOf(input) !== L.READ_ONLY_16 || vectorOf(expected) !== GP || vectorOf(actual) !== GP) return false
      if (topOf(expected) !== 0 || expected[L.OUT_FX + 4] !== 0xff) return false
      return isRenumbered(expected, actual)
    },
  },
  {
    name: 'TOP after a store from an MMX register that faults',
    reason:
      'SDM vol. 3A, "Exception Classifications": a fault leaves the state as it was. Some of Intel’s processors (seen on model CFH) have set TOP to 0, as the instruction does in the end; registers and tags are as they were.',
    matches: ({ encoding: { info, insn }, input, what, expected, actual }) => {
      if (!/^(MOV[DQ] (r|mm)\/m\d+|MOVNTQ m64), mm$/.test(info.form) || insn.isMemory === 0) return false
      if (![PF, GP, SS].includes(vectorOf(expected)) || vectorOf(expected) !== vectorOf(actual)) return false
      const before = statusWord(input, L.IN_FX)
      if (statusWord(actual, L.OUT_FX) !== before || statusWord(expected, L.OUT_FX) !== (before & ~X87_TOP))
        return false
      return /^(fsw|st\d)$/.test(what) && isRenumbered(expected, actual)
    },
  },
  {
    name: 'x87 stores with an unmasked exception that keeps them from storing',
    reason:
      'SDM vol. 3A, "Priority Among Concurrent Events": which fault of an instruction comes first is the implementation’s. Ours is that of the operand; some of Intel’s processors (seen on model CFH) note an invalid operation, overflow or underflow, do not ask for the operand and go on.',
    matches: ({ encoding: { info, insn }, input, what, expected, actual }) => {
      if (!/^F(STP?|ISTT?P?|BSTP)$/.test(info.mnemonic) || insn.isMemory === 0) return false
      if (vectorOf(expected) !== BP || ![PF, GP, SS].includes(vectorOf(actual))) return false
      const before = statusWord(input, L.IN_FX)
      const theirs = statusWord(expected, L.OUT_FX)
      const unmasked = theirs & ~(input[L.IN_FX] as number) & X87_UNSTORED
      if (statusWord(actual, L.OUT_FX) !== before || unmasked === 0 || (theirs & X87_ES) === 0) return false
      if (((theirs ^ before) & ~(X87_UNSTORED | X87_ES | C1)) !== 0 || (before & ~theirs & ~C1) !== 0) return false
      if (/^(vector|f(sw|op|ip|dp))$/.test(what)) return true
      return isFaulting(what, input, actual) && isCompleted(what, insn, input, expected)
    },
  },
  {
    name: 'pointers to the last x87 instruction',
    reason:
      'SDM vol. 1, "x87 FPU Instruction and Data (Operand) Pointers": where CPUID.(EAX=07H,ECX=0):EBX[6] is set an instruction without an unmasked exception leaves FDP; where EBX[13] is set FCS and FDS are saved as 0. "Fopcode Compatibility Sub-mode": so is the opcode left. Such a processor may forget FDP at a switch of tasks, before an instruction without operand in memory raises an exception. Ours are those of the last instruction, and the selectors are there.',
    matches: ({ encoding: { info, insn, at }, input, what, expected, actual }) => {
      const unmasks = info.mnemonic === 'FLDCW'
      if (what === 'fop') return unmasks && isLeft(L.FX_FOP, 2, input, expected)
      if (what === 'fdp')
        return (
          quadOf(expected, L.OUT_FX + L.FX_FDP) === 0n ||
          ((unmasks || insn.isMemory === 0) && isLeft(L.FX_FDP, 8, input, expected))
        )
      const place = /^memory ([0-9a-f]+)$/.exec(what)?.[1]
      if (!/^FN(STENV|SAVE)$/.test(info.mnemonic) || place === undefined) return false
      const image = pointersOf(input.subarray(L.IN_FX), info.operandSize === 16)
      const from = Number(linearAddress(insn, at, input))
      for (let i = 0; i < 4; i++) {
        const byte = parseInt(place, 16) + i
        const theirs = expected[L.OUT_BAND + byte - L.BAND]
        if (theirs !== actual[L.OUT_BAND + byte - L.BAND] && theirs !== image.get(byte - from)) return false
      }
      return true
    },
  },
  {
    name: 'VCVTPS2PH of a denormal number with underflow unmasked',
    reason:
      'SDM vol. 1, "Inexact-Result (Precision) Exception": whether the result that an unmasked underflow has not stored is exact is not said. Ours is rounded as if the exponent had no limit; some of Intel’s processors (seen on model CFH) have PE beside UE where the source is denormal.',
    matches: ({ encoding: { info }, input, what, expected, actual }) => {
      if (info.mnemonic !== 'VCVTPS2PH' || what !== 'mxcsr') return false
      if (vectorOf(expected) !== XM || vectorOf(actual) !== XM) return false
      const ours = flagsOf(actual, L.OUT_FX + L.FX_MXCSR)
      const isUnmasked = (flagsOf(input, L.IN_FX + L.FX_MXCSR) & MXCSR_UM) === 0
      return (
        isUnmasked &&
        (ours & MXCSR_TINY) === MXCSR_TINY &&
        flagsOf(expected, L.OUT_FX + L.FX_MXCSR) === (ours | MXCSR_PE)
      )
    },
  },
  {
    name: 'VCVTPS2PH to memory that faults',
    reason:
      'SDM vol. 3A, "Priority Among Concurrent Events": which fault of an instruction comes first is the implementation’s. Some of Intel’s processors (seen on model CFH) have converted by then, and noted in MXCSR what that raised; an unmasked exception comes before the operand’s.',
    matches: ({ encoding: { info, insn }, input, what, expected, actual }) => {
      if (info.mnemonic !== 'VCVTPS2PH' || insn.isMemory === 0 || ![PF, GP, SS].includes(vectorOf(actual))) return false
      const before = flagsOf(input, L.IN_FX + L.FX_MXCSR)
      const theirs = flagsOf(expected, L.OUT_FX + L.FX_MXCSR)
      if (flagsOf(actual, L.OUT_FX + L.FX_MXCSR) !== before || (before & ~theirs) !== 0) return false
      if (((theirs ^ before) & ~MXCSR_RAISED) !== 0) return false
      if (vectorOf(expected) === vectorOf(actual)) return what === 'mxcsr'
      return (
        vectorOf(expected) === XM && (theirs & ~(theirs >>> 7) & MXCSR_RAISED) !== 0 && /^(vector|mxcsr)$/.test(what)
      )
    },
  },
]
