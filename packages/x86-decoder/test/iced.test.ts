/**
 * Agreement with iced-x86 over the opcode maps: every opcode with every ModRM byte after each of the prefixes, in three modes.
 *
 * What the two see differently stands in the tables below with what decides it, and the tests print how many encodings each
 * row covers. A row that covers none fails, so the tables do not rot.
 */
import { Code, Decoder, DecoderOptions, Instruction as IcedInstruction, InstructionInfoFactory } from 'iced-x86'
import { afterAll, describe, expect, test } from 'vitest'
import { type CodeInfo, codes, decodeInto, Instruction } from '../src/index.ts'
// iced-x86 knows no APX.
import { DECODE_NO_APX } from '../src/kinds.ts'
import { hexOf } from './support/bytes.ts'
import { decodingDifferences, infoDifferences } from './support/iced-differences.ts'
import { icedInfo, icedOperands, ourInfo, ourOperands, sameMnemonic } from './support/iced.ts'

const PREFIXES = ['', '66', 'f2', 'f3', '67', '64', '48', '4d', '66 48', 'f3 66', 'f3 41', 'f0']
const ESCAPES = ['', '0f', '0f 38', '0f 3a', 'c4']
const isPrefix = (byte: number, mode: number): boolean =>
  [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f].includes(byte) ||
  (mode === 64 && byte >= 0x40 && byte < 0x50)

const ADDRESS = 0x1000n
const SLOT = 16
const toBytes = (hex: string): number[] => (hex === '' ? [] : hex.split(' ').map((byte) => parseInt(byte, 16)))

/** Calls `each` with a buffer of 256 slots, one for each ModRM byte, for each prefix, escape and opcode. */
function enumerate(mode: number, prefix: string, each: (buffer: Uint8Array) => void): void {
  const buffer = new Uint8Array(256 * SLOT + SLOT)
  for (const escape of ESCAPES) {
    for (let opcode = 0; opcode < 256; opcode++) {
      if (escape === '' && isPrefix(opcode, mode)) continue
      if (escape === '0f' && (opcode === 0x38 || opcode === 0x3a)) continue
      if (escape === 'c4' && prefix !== '' && prefix !== '64') continue
      for (let modrm = 0; modrm < 256; modrm++) {
        // VEX: maps, W, vvvv and pp vary with ModRM; the opcode keeps its place.
        const head =
          escape === 'c4'
            ? [0xc4, 0xe0 | ((modrm % 3) + 1), ((modrm * 41) & 0xfb) | 0, opcode, modrm]
            : [...toBytes(escape), opcode, modrm]
        const at = modrm * SLOT
        // SIB, displacement and immediate take many values, with and without sign.
        for (let i = 0; i < SLOT; i++) buffer[at + i] = modrm * 7 + i * 0x51 + 0x8c
        buffer.set([...toBytes(prefix), ...head], at)
      }
      each(buffer)
    }
  }
}

/** ModRM bytes that stand for all: each mod with each reg, with and without a SIB byte. */
const MODRM_SAMPLES = Array.from({ length: 64 }, (_, i) => {
  const mod = i & 3
  const reg = (i >> 2) & 7
  return (mod << 6) | (reg << 3) | (i < 32 ? 4 : (reg * 3 + mod) & 7)
})

/** Calls `each` with slots for each ModRM sample, for each map, pp, W, L and opcode, and vvvv = 1111b or something else. */
function enumerateVex(each: (buffer: Uint8Array) => void): void {
  const slots = MODRM_SAMPLES.length
  const buffer = new Uint8Array(slots * SLOT + SLOT)
  for (let head = 0; head < 6 * 32; head++) {
    // VEX maps 1 to 3, XOP maps 8 to 10.
    const group = head >> 5
    const map = group < 3 ? group + 1 : group + 5
    // W, L and pp; vvvv is all ones or not.
    const fixed = ((head & 8) << 4) | (head & 7)
    for (let opcode = 0; opcode < 256; opcode++) {
      for (let i = 0; i < slots; i++) {
        const at = i * SLOT
        for (let j = 0; j < SLOT; j++) buffer[at + j] = i * 29 + j * 0x51 + 0x8c
        const vvvv = (head & 16) === 0 ? 15 : (i * 5 + opcode) & 15
        // In 64-bit mode R, X and B vary too; elsewhere R and X are ones, or it is LES.
        buffer.set(
          [
            group < 3 ? 0xc4 : 0x8f,
            0xc0 | ((i & 1) << 5) | map,
            fixed | (vvvv << 3),
            opcode,
            MODRM_SAMPLES[i] as number,
          ],
          at,
        )
      }
      each(buffer)
    }
  }
}

const coverage = new Map<string, number>()
const count = (why: string): void => void coverage.set(why, (coverage.get(why) ?? 0) + 1)

/** One line for a difference between the two decoders, or `''`; `where` is what a row of differences goes by. */
function differenceOf(insn: Instruction, iced: IcedInstruction, valid: boolean): { where: string; text: string } {
  const icedValid = iced.code !== Code.INVALID
  let difference = ''
  if (valid !== icedValid) difference = 'validity'
  else if (!valid) return { where: '', text: '' }
  else if (insn.length !== iced.length) difference = 'length'
  else if (!sameMnemonic(insn, iced)) difference = 'mnemonic'
  else if (icedOperands(iced) !== ourOperands(insn, ADDRESS)) difference = 'operands'
  if (difference === '') return { where: '', text: '' }
  const where = `${valid ? (codes[insn.code] as CodeInfo).form : 'invalid'} | ${Code[iced.code] as string}`
  const operands = valid && icedValid ? ` (${ourOperands(insn, ADDRESS)} | ${icedOperands(iced)})` : ''
  return { where, text: `${difference}: ${where}${operands}` }
}

describe.each([16, 32, 64])('%i-bit mode: length, validity, mnemonic and operands', (mode) => {
  test.each(PREFIXES.filter((prefix) => mode === 64 || !/4[18d]/.test(prefix)))('after prefix "%s"', (prefix) => {
    const insn = new Instruction()
    const iced = new IcedInstruction()
    const unknown: string[] = []
    let compared = 0
    enumerate(mode, prefix, (buffer) => {
      const decoder = new Decoder(mode, buffer, DecoderOptions.None)
      for (let at = 0; at < 256 * SLOT; at += SLOT) {
        decoder.position = at
        decoder.ip = ADDRESS
        decoder.decodeOut(iced)
        const valid = decodeInto(buffer, at, buffer.length, mode | DECODE_NO_APX, insn) === 0
        compared++
        const { where, text } = differenceOf(insn, iced, valid)
        if (text === '') continue
        const known = decodingDifferences.find((row) => row.where.test(where))
        if (known !== undefined) count(known.why)
        else if (unknown.length < 20) unknown.push(`${hexOf(buffer.subarray(at, at + SLOT))}: ${text}`)
      }
      decoder.free()
    })
    iced.free()
    expect(unknown).toEqual([])
    expect(compared).toBeGreaterThan(200_000)
  })

  test('every VEX and XOP opcode with every pp, W and L, with vvvv and without', () => {
    const insn = new Instruction()
    const iced = new IcedInstruction()
    const unknown: string[] = []
    let compared = 0
    let valid = 0
    enumerateVex((buffer) => {
      const decoder = new Decoder(mode, buffer, DecoderOptions.None)
      for (let at = 0; at + SLOT < buffer.length; at += SLOT) {
        decoder.position = at
        decoder.ip = ADDRESS
        decoder.decodeOut(iced)
        const isValid = decodeInto(buffer, at, buffer.length, mode | DECODE_NO_APX, insn) === 0
        compared++
        if (isValid) valid++
        const { where, text } = differenceOf(insn, iced, isValid)
        if (text === '') continue
        const known = decodingDifferences.find((row) => row.where.test(where))
        if (known !== undefined) count(known.why)
        else if (unknown.length < 20) unknown.push(`${hexOf(buffer.subarray(at, at + SLOT))}: ${text}`)
      }
      decoder.free()
    })
    iced.free()
    expect(unknown).toEqual([])
    expect(compared).toBeGreaterThan(500_000)
    expect(valid).toBeGreaterThan(20_000)
  })
})

/** Cases in which iced tells apart what the table by its nature does not: they are no witness for the form. */
function isSpecialCase(form: CodeInfo, insn: Instruction): boolean {
  // The same register twice: SUB and XOR then read nothing.
  if (insn.mod === 3 && insn.reg === insn.rm && form.operands.length > 1) return true
  // A rotation through carry by a multiple of 9 or 17 changes nothing.
  return (
    /^RC[LR]$/.test(form.mnemonic) &&
    ((insn.immLo & 31) % 9 === 0 || (insn.immLo & 31) % 17 === 0) &&
    insn.immSize !== 0
  )
}

test('flags, operand access, control flow and privilege of every code', () => {
  const insn = new Instruction()
  const iced = new IcedInstruction()
  const factory = new InstructionInfoFactory()
  const seen = new Set<string>()
  const unknown = new Set<string>()
  for (const mode of [16, 32, 64]) {
    for (const prefix of ['', '66', 'f2', 'f3', 'vex', ...(mode === 64 ? ['48'] : [])]) {
      const all = prefix === 'vex' ? enumerateVex : enumerate.bind(undefined, mode, prefix)
      all((buffer) => {
        for (let at = 0; at + SLOT < buffer.length; at += SLOT) {
          if (decodeInto(buffer, at, buffer.length, mode | DECODE_NO_APX, insn) !== 0) continue
          const form = codes[insn.code] as CodeInfo
          const key = `${insn.code} ${insn.mod === 3}`
          if (seen.has(key) || isSpecialCase(form, insn) || insn.maskRegister !== 0) continue
          seen.add(key)
          const decoder = new Decoder(mode, buffer.subarray(at, at + SLOT), DecoderOptions.None)
          decoder.decodeOut(iced)
          decoder.free()
          if (iced.code === Code.INVALID) continue
          const info = factory.info(iced)
          const theirs = icedInfo(iced, info)
          info.free()
          const ours = ourInfo(form)
          for (const what of ['read', 'written', 'undefined', 'flow', 'access', 'privileged']) {
            if (what === 'access' && iced.opCount !== form.operands.length) continue
            if (ours[what] === theirs[what]) continue
            const where = `${form.form} | ${Code[iced.code] as string}`
            const known = infoDifferences.find((row) => row.where.test(where) && row.what.test(what))
            if (known !== undefined) count(known.why)
            else unknown.add(`${what}: ${where}: ours ${ours[what] as string}, iced ${theirs[what] as string}`)
          }
        }
      })
    }
  }
  factory.free()
  iced.free()
  expect([...unknown]).toEqual([])
  expect(seen.size).toBeGreaterThan(codes.filter(({ encoding }) => encoding !== 'evex').length)
})

afterAll(() => {
  const rows = [...decodingDifferences, ...infoDifferences].map(({ why }) => ({ why, covers: coverage.get(why) ?? 0 }))
  for (const { why, covers } of rows) console.log(`${String(covers).padStart(9)} encodings: ${why}`)
  // Only when all tests ran, or a row may be idle by right.
  if (coverage.size > 5) expect(rows.filter(({ covers }) => covers === 0)).toEqual([])
})
