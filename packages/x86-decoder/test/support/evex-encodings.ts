/** EVEX encodings for the processor to try, and what we take them for. */
import { codeInfo, decodeInto, formatIntel, Instruction } from '../../src/index.ts'
import { DECODE_NO_APX } from '../../src/kinds.ts'
import { hexOf } from './bytes.ts'
import type { EvexHost } from './host.ts'

const MASKS = [0x00, 0x03, 0x80, 0x85] as const
/** Short displacements, or none: the instructions are run. */
const MODRMS = [0x00, 0x44, 0xca, 0xd1, 0xe2, 0xf3] as const
const MAP_COUNT = 7
/** Bits of the third payload byte. */
const EVEX_Z = 0x80
const EVEX_B = 0x10
const EVEX_AAA = 0x07
const PER_OPCODE = 8 * 4 * 2 * MASKS.length * MODRMS.length * 3

/** How many encodings there are: maps 1 to 7, opcodes, pp, W, L'L, b, masks, ModRM, vvvv. */
export const EVEX_ENCODINGS: number = MAP_COUNT * 256 * PER_OPCODE

/** Encoding `number`, whose register bits are drawn from it. Its last byte is free. */
export function evexEncoding(number: number): Uint8Array {
  let rest = number
  const take = (count: number): number => {
    const value = rest % count
    rest = Math.floor(rest / count)
    return value
  }
  const vvvv = take(3)
  const modrm = MODRMS[take(MODRMS.length)] as number
  const mask = MASKS[take(MASKS.length)] as number
  const b = take(2)
  const l = take(4)
  const fixed = take(8)
  const opcode = take(256)
  const bits = Math.imul(number, 0x9e3779b1) >>> 28
  const bytes = new Uint8Array(16).fill(0x11)
  bytes.set([
    0x62,
    (0xf0 ^ (bits << 4)) | (1 + rest),
    (fixed & 3) | ((fixed & 4) << 5) | 4 | ((vvvv === 0 ? 15 : 10) << 3),
    (l << 5) | (b << 4) | mask | (vvvv === 2 ? 0 : 8),
    opcode,
    modrm,
    ...(modrm === 0x44 ? [0x91] : []),
  ])
  return bytes
}

/**
 * Whether an AMD processor takes the encoding for an instruction although the SDM makes it #UD, for one of two reasons.
 *
 * SDM vol. 2A, "#UD Equations for EVEX", lets EVEX.b with a register operand stand only where the instruction rounds or
 * suppresses exceptions, and EVEX.z only together with a mask. AMD's processors ignore EVEX.b with registers where memory
 * would be broadcast, and EVEX.z where the instruction takes no mask (seen on Zen 4).
 */
function isIgnoredByAmd(bytes: Uint8Array, host: EvexHost): boolean {
  const insn = new Instruction()
  const decoration = bytes[3] as number
  const b = (bytes[5] as number) >= 0xc0 ? decoration & EVEX_B : 0
  const z = (decoration & EVEX_AAA) === 0 ? decoration & EVEX_Z : 0
  return [b, z, b | z].some((ignored) => {
    if (ignored === 0) return false
    const plain = Uint8Array.from(bytes)
    plain[3] = decoration & ~ignored
    if (decodeInto(plain, 0, 15, 64 | DECODE_NO_APX, insn) !== 0) return false
    const { broadcast, feature, masking, rounding } = codeInfo(insn.code)
    if (!host.has(feature)) return false
    if ((ignored & EVEX_B) !== 0 && (broadcast === 0 || rounding !== 'none')) return false
    return (ignored & EVEX_Z) === 0 || masking === 'none'
  })
}

/** What the processor sees differently of these encodings; those of features that it lacks are left out. */
export function compareWithHost(
  host: EvexHost,
  encodings: Iterable<Uint8Array>,
): { compared: number; valid: number; different: string[] } {
  const insn = new Instruction()
  const items: Uint8Array[] = []
  const expected: number[] = []
  for (const bytes of encodings) {
    const length = decodeInto(bytes, 0, 15, 64 | DECODE_NO_APX, insn) === 0 ? insn.length : 0
    if (length !== 0 && !host.has(codeInfo(insn.code).feature)) continue
    // INT3 follows; of what is none of ours the processor may have as many bytes as it likes.
    if (length !== 0) bytes.fill(0xcc, length)
    bytes[15] = length === 0 ? 15 : length
    items.push(bytes)
    expected.push(length)
  }
  const outcomes = host.run(items)
  const different = items.flatMap((bytes, i) => {
    const length = expected[i] as number
    const outcome = outcomes[i] as number
    if (outcome === length || (length !== 0 && outcome === 255)) return []
    if (length === 0 && host.vendor === 'AuthenticAMD' && isIgnoredByAmd(bytes, host)) return []
    decodeInto(bytes, 0, 15, 64 | DECODE_NO_APX, insn)
    const ours = length === 0 ? 'none' : formatIntel(insn)
    return [`${hexOf(bytes.subarray(0, 15))}: ${ours}, the processor: ${outcome === 0 ? '#UD' : `${outcome} bytes`}`]
  })
  return { compared: items.length, valid: expected.filter((length) => length !== 0).length, different }
}
