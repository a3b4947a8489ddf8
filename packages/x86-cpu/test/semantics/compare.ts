import { REGISTER_NAMES } from '../../src/system/initial-state.ts'
import { formatIntel } from '@retrap/x86-decoder'
import { usesVectors } from './cases.ts'
import type { Encoding } from './encode.ts'
import { toleratedDifference } from './differences.ts'
import * as L from './layout.ts'

/** CF PF AF ZF SF DF OF, and RF, which faults push. */
const COMPARED_FLAGS = 0x1_0cd5
const PAGE_FAULT = 14
const BREAKPOINT = 3
/**
 * ES of the x87 status word, above the control word. Without it FXSAVE on AMD's processors need not save the pointers to the
 * last x87 instruction (APM vol. 2, "FXSAVE and FXRSTOR Instructions"), and Zen 5 was seen to note none.
 */
const PENDING = 0x80_0000
/** Error-code bits of #PF that are compared: the host's kernel does not say P for addresses of its own. */
const PAGE_FAULT_BITS = ~1

const SEGMENTS = ['ss', 'ds', 'es', 'fs', 'gs']

/** One thing in which the two results differ. */
export interface Difference {
  readonly what: string
  readonly expected: string
  readonly actual: string
}

/** A case of which something differs. */
export interface Mismatch {
  readonly encoding: Encoding
  readonly differences: readonly Difference[]
  readonly input: Uint8Array
}

function word(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  )
}

function hexNumber(value: number | bigint): string {
  return value.toString(16)
}

function long(bytes: Uint8Array, at: number): bigint {
  return (BigInt(word(bytes, at + 4)) << 32n) | BigInt(word(bytes, at))
}

/** Everything in which our result departs from the reference, tolerated differences aside. */
export function compare(
  encoding: Encoding,
  input: Uint8Array,
  expected: Uint8Array,
  actual: Uint8Array,
  tolerate: (name: string) => void = () => undefined,
): Difference[] {
  const out: Difference[] = []
  const differ = (what: string, a: number | bigint, b: number | bigint): void => {
    if (a === b) return
    const tolerated = toleratedDifference({ encoding, input, expected, actual, what })
    if (tolerated === undefined) out.push({ what, expected: hexNumber(a), actual: hexNumber(b) })
    else tolerate(tolerated.name)
  }
  const both = (what: string, at: number): void => differ(what, word(expected, at), word(actual, at))
  both('vector', L.OUT_VECTOR)
  differ('rip', long(expected, L.OUT_RIP), long(actual, L.OUT_RIP))
  both('cs', L.OUT_CS)
  const vector = word(expected, L.OUT_VECTOR)
  if (vector === PAGE_FAULT) {
    differ('error code', word(expected, L.OUT_ERROR) & PAGE_FAULT_BITS, word(actual, L.OUT_ERROR) & PAGE_FAULT_BITS)
    differ('cr2', long(expected, L.OUT_CR2), long(actual, L.OUT_CR2))
  }
  if (vector >= 10 && vector <= 13 && vector === word(actual, L.OUT_VECTOR)) both('error code', L.OUT_ERROR)
  for (const [i, name] of SEGMENTS.entries()) {
    differ(name, word(expected, L.OUT_SEGMENTS + 2 * i) & 0xffff, word(actual, L.OUT_SEGMENTS + 2 * i) & 0xffff)
  }
  for (let i = 0; i < (encoding.long ? 16 : 8); i++) {
    const at = L.OUT_GPR + 8 * i
    if (encoding.long) differ(REGISTER_NAMES[i] as string, long(expected, at), long(actual, at))
    else both(REGISTER_NAMES[i] as string, at)
  }
  const ended = vector === BREAKPOINT ? encoding.undefinedAfter : encoding.undefinedOnTheWay
  const compared = COMPARED_FLAGS & ~(ended ?? undefinedFlags(encoding, input))
  differ('flags', word(expected, L.OUT_RFLAGS) & compared, word(actual, L.OUT_RFLAGS) & compared)
  if (encoding.long) {
    differ('fs base', long(expected, L.OUT_FS_BASE), long(actual, L.OUT_FS_BASE))
    differ('gs base', long(expected, L.OUT_GS_BASE), long(actual, L.OUT_GS_BASE))
  }
  const band = (result: Uint8Array): Uint8Array => result.subarray(L.OUT_BAND, L.OUT_BAND + L.BAND_BYTES)
  if (Buffer.compare(band(expected), band(actual)) !== 0) {
    for (let i = 0; i < L.BAND_BYTES; i += 4) both(`memory ${hexNumber(L.BAND + i)}`, L.OUT_BAND + i)
  }
  both('memory outside the band', L.OUT_OUTSIDE)
  compareVectors(expected.subarray(L.OUT_FX), actual.subarray(L.OUT_FX), differ)
  compareRegisters('ymm', expected.subarray(L.OUT_YMM), actual.subarray(L.OUT_YMM), differ)
  return out
}

function compareVectors(
  expected: Uint8Array,
  actual: Uint8Array,
  differ: (what: string, a: number | bigint, b: number | bigint) => void,
): void {
  differ('fcw', word(expected, 0) & 0xffff, word(actual, 0) & 0xffff)
  differ('fsw', word(expected, 0) >>> 16, word(actual, 0) >>> 16)
  differ('ftw', expected[4] as number, actual[4] as number)
  if ((word(expected, 0) & PENDING) !== 0) {
    differ('fop', word(expected, L.FX_FOP) & 0xffff, word(actual, L.FX_FOP) & 0xffff)
    differ('fip', long(expected, L.FX_FIP), long(actual, L.FX_FIP))
    differ('fdp', long(expected, L.FX_FDP), long(actual, L.FX_FDP))
  }
  differ('mxcsr', word(expected, L.FX_MXCSR), word(actual, L.FX_MXCSR))
  for (let i = 0; i < 8; i++) {
    const at = L.FX_ST + 16 * i
    const number = (bytes: Uint8Array): bigint => ((long(bytes, at + 8) & 0xffffn) << 64n) | long(bytes, at)
    if (
      word(expected, at) !== word(actual, at) ||
      long(expected, at) !== long(actual, at) ||
      number(expected) !== number(actual)
    ) {
      differ(`st${i}`, number(expected), number(actual))
    }
  }
  compareRegisters('xmm', expected.subarray(L.FX_XMM), actual.subarray(L.FX_XMM), differ)
}

/** Sixteen registers of 16 bytes. */
function compareRegisters(
  name: string,
  expected: Uint8Array,
  actual: Uint8Array,
  differ: (what: string, a: number | bigint, b: number | bigint) => void,
): void {
  for (let i = 0; i < 16; i++) {
    const at = 16 * i
    let same = true
    for (let j = 0; j < 16; j++) if (expected[at + j] !== actual[at + j]) same = false
    if (!same) {
      const number = (bytes: Uint8Array): bigint => (long(bytes, at + 8) << 64n) | long(bytes, at)
      differ(`${name}${i}`, number(expected), number(actual))
    }
  }
}

const SHIFTS: ReadonlySet<string> = new Set(['SHL', 'SHR', 'SAR', 'ROL', 'ROR', 'RCL', 'RCR', 'SHLD', 'SHRD'])
const FLAG_OF = 0x800
const FLAG_CF = 1
const ARITHMETIC = 0x8d5

/** Flags that the manual leaves undefined for this very case. */
export function undefinedFlags({ info, insn }: Encoding, input: Uint8Array): number {
  if (!SHIFTS.has(info.mnemonic)) return info.flagsUndefined
  const last = info.operands.at(-1)
  const given =
    last?.register === 1 ? (input[L.IN_GPR + 8] as number) : info.operands.at(-1)?.size === 0 ? 1 : insn.immLo & 0xff
  const bits = info.operandSize
  const count = given & (bits === 64 ? 63 : 31)
  // A count of zero changes no flag (SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).
  if (count === 0) return 0
  if (info.mnemonic.length === 4)
    return count > bits ? ARITHMETIC : count === 1 ? info.flagsUndefined & ~FLAG_OF : info.flagsUndefined | FLAG_OF
  let undefinedBits = count === 1 ? info.flagsUndefined & ~FLAG_OF : info.flagsUndefined | FLAG_OF
  // CF is undefined for SHL and SHR by the operand size or more.
  if ((info.mnemonic === 'SHL' || info.mnemonic === 'SHR') && count >= bits) undefinedBits |= FLAG_CF
  return undefinedBits
}

/** A mismatch for people: the instruction, what it was given, and what differs. */
export function describeMismatch({ encoding, differences, input }: Mismatch): string {
  const { long: is64, mode, bytes, at } = encoding
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ')
  const registers = REGISTER_NAMES.slice(0, is64 ? 16 : 8).map(
    (name, i) => `${name}=${hexNumber(long(input, L.IN_GPR + 8 * i))}`,
  )
  const text = (encoding.instructions ?? [encoding])
    .map((one) => formatIntel(one.insn, { address: BigInt(one.at) }))
    .join('; ')
  const lines = [
    `${text}  [${hex}] ${mode}-bit mode at ${hexNumber(at)}`,
    `  ${registers.join(' ')} rflags=${hexNumber(word(input, L.IN_RFLAGS))}`,
  ]
  if (usesVectors(encoding)) lines.push(`  ${describeVectors(encoding, input.subarray(L.IN_FX))}`)
  for (const { what, expected, actual } of differences) {
    const address = /^memory ([0-9a-f]+)$/.exec(what)?.[1]
    const before =
      address === undefined ? '' : `, was ${hexNumber(word(input, L.IN_BAND + parseInt(address, 16) - L.BAND))}`
    lines.push(`  ${what}: expected ${expected}, got ${actual}${before}`)
  }
  return lines.join('\n')
}

function describeVectors({ insn, info }: Encoding, fx: Uint8Array): string {
  const parts = [
    `fcw=${hexNumber(word(fx, 0) & 0xffff)} fsw=${hexNumber(word(fx, 0) >>> 16)} ftw=${hexNumber(fx[4] as number)} mxcsr=${hexNumber(word(fx, L.FX_MXCSR))}`,
  ]
  if (!/^(MMX$|FPU)/.test(info.feature)) {
    for (const i of new Set([insn.reg, insn.vvvv, insn.rm, 0].map((number) => number & 15))) {
      const at = L.FX_XMM + 16 * i
      parts.push(`xmm${i}=${hexNumber((long(fx, at + 8) << 64n) | long(fx, at))}`)
      const above = L.IN_YMM - L.IN_FX + 16 * i
      parts.push(`ymm${i}=${hexNumber((long(fx, above + 8) << 64n) | long(fx, above))}`)
    }
  }
  if (/MMX|FPU|SSE/.test(info.feature)) {
    for (const i of new Set([0, 1, insn.reg & 7, insn.rm & 7])) {
      const at = L.FX_ST + 16 * i
      parts.push(`st${i}=${hexNumber(long(fx, at + 8) & 0xffffn)}:${hexNumber(long(fx, at))}`)
    }
  }
  return parts.join(' ')
}
