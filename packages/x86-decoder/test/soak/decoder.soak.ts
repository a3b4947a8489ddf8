/**
 * Random bytes in every mode, for long: `npm run -s soak -- decoder`. A step is one string of bytes in three modes: it is
 * decoded without an exception, within its bytes and with progress, and as iced-x86 decodes it, save for the closed list of
 * `differences.ts`.
 */
import type { Rng, Soak } from '@retrap/tooling/soak'
import { Code, Decoder, DecoderOptions, Instruction as IcedInstruction } from 'iced-x86'
import { type CodeInfo, codes, decodeInto, formatIntel, Instruction } from '../../src/index.ts'
// iced-x86 knows no APX.
import { DECODE_NO_APX } from '../../src/kinds.ts'
import { hexOf } from '../support/bytes.ts'
import { icedOperands, ourOperands, sameMnemonic } from '../support/iced.ts'
import { decodingDifferences } from '../differences.ts'

const insn = new Instruction()
const iced = new IcedInstruction()

/** Bytes that begin like code: prefixes and escapes are more frequent than chance has them. */
function randomCode(rng: Rng): Uint8Array {
  const bytes = rng.bytes(20)
  const head = rng.below(6)
  for (let i = 0; i < head; i++) {
    bytes[i] = rng.pick([
      0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x67, 0x2e, 0x65, 0xf0, 0x41, 0x4f, 0x38, 0x3a, 0xc4, 0xc5, 0x8f, 0x62,
    ])
  }
  return bytes
}

/**
 * iced-x86 reports ES, CS, SS and DS prefixes in 64-bit mode as if they chose the segment; there they are ignored
 * (SDM vol. 2A, "Instruction Prefixes"; AMD APM vol. 3, "Segment-Override Prefixes").
 */
function segmentsAside(operands: string): string {
  return insn.mode === 64 && insn.segmentOverride >= 0 ? operands.replaceAll(/mem:[ecsd]s:/g, 'mem:') : operands
}

function compare(bytes: Uint8Array, mode: 16 | 32 | 64): string | undefined {
  const status = decodeInto(bytes, 0, bytes.length, mode | DECODE_NO_APX, insn)
  if (insn.length < 1 || insn.length > 15) return `length ${insn.length}`
  if (status === 0) formatIntel(insn)
  const decoder = new Decoder(mode, bytes, DecoderOptions.None)
  decoder.decodeOut(iced)
  decoder.free()
  const valid = status === 0
  const icedValid = iced.code !== Code.INVALID
  if (!valid && !icedValid) return undefined
  const same =
    valid === icedValid &&
    insn.length === iced.length &&
    sameMnemonic(insn, iced) &&
    segmentsAside(icedOperands(iced)) === segmentsAside(ourOperands(insn, 0n))
  if (same) return undefined
  const where = `${valid ? (codes[insn.code] as CodeInfo).form : 'invalid'} | ${Code[iced.code] as string}`
  if (decodingDifferences.some((row) => row.where.test(where))) return undefined
  return `${mode}-bit mode: ${where}, lengths ${insn.length} and ${iced.length}, operands ${valid ? ourOperands(insn, 0n) : '-'} and ${icedOperands(iced)}`
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'decoder',
  count: 300_000,
  step(rng) {
    const bytes = randomCode(rng)
    rng.note('bytes', () => hexOf(bytes))
    for (const mode of [16, 32, 64] as const) {
      const difference = compare(bytes, mode)
      if (difference !== undefined) return difference
    }
  },
}
