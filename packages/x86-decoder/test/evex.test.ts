/**
 * EVEX against iced-x86: every opcode of every map with every pp, W and L'L, with and without b, z and a mask, for
 * memory and registers.
 */
import * as I from 'iced-x86'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { codeInfo, codes, decodeInto, Instruction, operandsOf, ROUNDING_SAE } from '../src/index.ts'
// iced-x86 knows no APX.
import { DECODE_NO_APX } from '../src/kinds.ts'
import { hexOf } from './support/bytes.ts'
import { icedInfo, icedOperands, ourInfo, ourOperands, sameMnemonic } from './support/iced.ts'

const test = sliceTests(4)

const ADDRESS = 0x1000n
const SLOT = 16
const NEWER = /AVX10_2|AMX_AVX512|APX/

/** ModRM bytes: memory without and with displacement, with a SIB byte, RIP-relative or 16-bit, registers. */
const MODRMS = [0x01, 0x43, 0x44, 0x84, 0x05, 0xc1, 0xd7, 0xe4, 0xfa] as const
/** z and aaa. */
const MASKS = [0, 3, 0x80, 0x85] as const

/** Calls `each` with a buffer of slots for every opcode of a map. */
function enumerate(map: number, mode: number, each: (buffer: Uint8Array, slots: number) => void): void {
  const slots = 4 * 2 * 4 * 2 * MASKS.length * MODRMS.length
  const buffer = new Uint8Array(slots * SLOT + SLOT)
  for (let opcode = 0; opcode < 256; opcode++) {
    let at = 0
    let salt = opcode * 7
    let turn = opcode
    for (let fixed = 0; fixed < 8; fixed++) {
      // pp and W, with vvvv unused or not.
      const p1 = (fixed & 3) | ((fixed & 4) << 5) | 4
      for (let l = 0; l < 4; l++) {
        for (let b = 0; b < 2; b++) {
          for (const mask of MASKS) {
            for (const modrm of MODRMS) {
              salt = (salt * 5 + 3) & 0xffff
              // The other modes differ in the prefix alone: a third of them will do.
              if (mode !== 64 && turn++ % 3 !== 0) continue
              const vvvv = (salt & 0x300) === 0 ? (salt >> 4) & 15 : 15
              const extra = (salt & 0x800) === 0 ? 0 : 0x10
              // R, X, B and R'; outside 64-bit mode R and X are ones, or it is BOUND.
              const p0 = (mode === 64 ? (salt >> 5) & 0xf0 : 0xd0 | (salt & 0x20)) | map
              for (let i = 0; i < SLOT; i++) buffer[at + i] = salt * 3 + i * 0x51 + 0x8c
              buffer[at] = 0x62
              buffer[at + 1] = p0
              buffer[at + 2] = p1 | (vvvv << 3)
              buffer[at + 3] = (l << 5) | (b << 4) | mask | (mode === 64 && extra !== 0 && vvvv !== 15 ? 0 : 8)
              buffer[at + 4] = opcode
              buffer[at + 5] = modrm
              at += SLOT
            }
          }
        }
      }
    }
    each(buffer, at / SLOT)
  }
}

/** Mask, zeroing, broadcast and rounding, as text. */
function ourDecoration(insn: Instruction): string {
  const { maskRegister, zeroing, broadcast, rounding } = insn
  return `k${maskRegister}${zeroing ? ' z' : ''}${broadcast ? ' bcst' : ''} ${rounding}`
}

function icedDecoration(iced: I.Instruction): string {
  const mask = iced.opMask === I.Register.None ? 0 : iced.opMask - I.Register.K0
  let rounding: number = iced.roundingControl === I.RoundingControl.None ? 0 : iced.roundingControl
  if (rounding === 0 && iced.suppressAllExceptions) rounding = ROUNDING_SAE
  return `k${mask}${iced.zeroingMasking ? ' z' : ''}${iced.isBroadcast ? ' bcst' : ''} ${rounding}`
}

function differenceOf(insn: Instruction, iced: I.Instruction, valid: boolean): { where: string; text: string } {
  const icedValid = iced.code !== I.Code.INVALID
  let difference = ''
  // It knows nothing of AVX10.2; LLVM does.
  if (valid && !icedValid && NEWER.test(codeInfo(insn.code).feature)) return { where: '', text: '' }
  if (valid !== icedValid) difference = 'validity'
  else if (!valid) return { where: '', text: '' }
  else if (insn.length !== iced.length) difference = 'length'
  else if (!sameMnemonic(insn, iced)) difference = 'mnemonic'
  else if (icedOperands(iced) !== ourOperands(insn, ADDRESS)) difference = 'operands'
  else if (icedDecoration(iced) !== ourDecoration(insn)) difference = 'decoration'
  if (difference === '') return { where: '', text: '' }
  const where = `${valid ? codeInfo(insn.code).form : 'invalid'} | ${I.Code[iced.code] as string}`
  const texts =
    valid && icedValid
      ? ` (${ourOperands(insn, ADDRESS)} ${ourDecoration(insn)} | ${icedOperands(iced)} ${icedDecoration(iced)})`
      : ''
  return { where, text: `${difference}: ${where}${texts}` }
}

describe.each([16, 32, 64])('%i-bit mode: length, validity, mnemonic, operands, mask, broadcast, rounding', (mode) => {
  test.each([0, 1, 2, 3, 5, 6])('EVEX map %i', (map) => {
    const insn = new Instruction()
    const iced = new I.Instruction()
    const unknown = new Map<string, string>()
    let compared = 0
    let valid = 0
    enumerate(map, mode, (buffer, slots) => {
      const decoder = new I.Decoder(mode, buffer, I.DecoderOptions.None)
      for (let at = 0; at < slots * SLOT; at += SLOT) {
        decoder.position = at
        decoder.ip = ADDRESS
        decoder.decodeOut(iced)
        const isValid = decodeInto(buffer, at, buffer.length, mode | DECODE_NO_APX, insn) === 0
        compared++
        if (isValid) valid++
        const { where, text } = differenceOf(insn, iced, isValid)
        if (text === '') continue
        if (unknown.size < 40 && !unknown.has(where))
          unknown.set(where, `${hexOf(buffer.subarray(at, at + SLOT))}: ${text}`)
      }
      decoder.free()
    })
    iced.free()
    expect([...unknown.values()]).toEqual([])
    expect(compared).toBeGreaterThan(150_000)
    expect(valid).toBeGreaterThan(map === 0 ? -1 : 1_000)
  })
})

function sortedFeatures(text: string): string {
  const features = text.split('+')
  // Whoever has VL has F.
  return features
    .filter((name) => name !== 'AVX512F' || !features.includes('AVX512VL'))
    .toSorted()
    .join('+')
}

test('access, flags, control flow and CPUID features of every EVEX code', () => {
  const insn = new Instruction()
  const iced = new I.Instruction()
  const factory = new I.InstructionInfoFactory()
  const seen = new Set<string>()
  const unknown = new Set<string>()
  for (const map of [1, 2, 3, 5, 6]) {
    enumerate(map, 64, (buffer, slots) => {
      for (let at = 0; at < slots * SLOT; at += SLOT) {
        if (decodeInto(buffer, at, buffer.length, 64 | DECODE_NO_APX, insn) !== 0) continue
        if (NEWER.test(codeInfo(insn.code).feature)) continue
        const key = `${insn.code} ${insn.isMemory} ${insn.maskRegister !== 0} ${insn.zeroing}`
        // The same register twice is a special case to iced: XOR then reads nothing.
        if (seen.has(key) || (insn.isMemory === 0 && (insn.vvvv === insn.rm || insn.reg === insn.rm))) continue
        seen.add(key)
        const decoder = new I.Decoder(64, buffer.subarray(at, at + SLOT), I.DecoderOptions.None)
        decoder.decodeOut(iced)
        decoder.free()
        const info = factory.info(iced)
        const theirs = icedInfo(iced, info)
        info.free()
        const form = codeInfo(insn.code)
        const ours = {
          ...ourInfo(form),
          access: operandsOf(insn, 0n)
            .map(({ access }) => access)
            .join(),
          features: sortedFeatures(form.feature),
        } as Record<string, string>
        theirs['features'] = sortedFeatures(theirs['features'] as string)
        for (const what of ['read', 'written', 'undefined', 'flow', 'access', 'privileged', 'features']) {
          if (ours[what] === theirs[what]) continue
          const mask = `${insn.maskRegister === 0 ? '' : '{k}'}${insn.zeroing ? '{z}' : ''}`
          unknown.add(
            `${what}: ${form.form} ${mask} ${insn.isMemory}: ours ${ours[what] as string}, iced ${theirs[what] as string}`,
          )
        }
      }
    })
  }
  factory.free()
  iced.free()
  expect([...unknown]).toEqual([])
  expect(seen.size).toBeGreaterThan(
    3 * codes.filter(({ encoding, feature }) => encoding === 'evex' && !NEWER.test(feature)).length,
  )
})
