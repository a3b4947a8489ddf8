/**
 * What the table says about each code, against iced-x86's InstructionInfo: operand access, flags, control flow, privilege, CPUID
 * features, and whether it exists in real mode.
 */
import { Code, Decoder, DecoderOptions, Instruction as IcedInstruction, InstructionInfoFactory } from 'iced-x86'
import { TEST_LONG } from '@retrap/tooling/long'
import { expect, test } from 'vitest'
import { type CodeInfo, codes, decodeInto, decoderOptions, Instruction, MODE_16 } from '../src/index.ts'
import { infoDifferences } from './differences.ts'
import { icedInfo, ourInfo } from './support/iced.ts'
import { amd3dNow, legacyMaps, SLOT, vexMaps } from './support/opcode-maps.ts'

/** iced-x86 has no APX. */
const OPTIONS = decoderOptions({
  features: new Set(codes.map(({ feature }) => feature).filter((feature) => !feature.startsWith('APX'))),
})

/** Cases in which iced tells apart what the table by its nature does not: they are no witness for the form. */
function isSpecialCase(form: CodeInfo, insn: Instruction): boolean {
  // The same register twice: SUB and XOR then read nothing.
  if (insn.mod === 3 && insn.reg === insn.rm && form.operands.length > 1) return true
  // A rotation through carry by a multiple of 9 or 17 changes nothing; one by a place more defines OF.
  const places = insn.immLo & 31
  return /^RC[LR]$/.test(form.mnemonic) && insn.immSize !== 0 && (places % 9 < 2 || places % 17 < 2)
}

test(
  'flags, operand access, control flow, privilege and features of every code are those that iced-x86 knows',
  { timeout: 120_000 },
  () => {
    const insn = new Instruction()
    const iced = new IcedInstruction()
    const factory = new InstructionInfoFactory()
    const seen = new Set<string>()
    const unknown = new Set<string>()
    const covered = new Map<string, number>()
    for (const mode of [16, 32, 64] as const) {
      const prefixes = ['', '66', 'f2', 'f3', '48']
      for (const blocks of [
        legacyMaps(mode, { prefixes, modrm: TEST_LONG ? 'all' : 'classes' }),
        amd3dNow(),
        vexMaps(mode, TEST_LONG ? 'classes' : 'few'),
      ]) {
        for (const { bytes, count } of blocks) {
          for (let at = 0; at < count * SLOT; at += SLOT) {
            if (decodeInto(bytes, at, bytes.length, mode | OPTIONS, insn) !== 0) continue
            const form = codes[insn.code] as CodeInfo
            const key = `${insn.code} ${insn.mod === 3}`
            if (seen.has(key) || isSpecialCase(form, insn)) continue
            seen.add(key)
            const decoder = new Decoder(mode, bytes.subarray(at, at + SLOT), DecoderOptions.MPX)
            decoder.decodeOut(iced)
            decoder.free()
            if (iced.code === Code.INVALID) continue
            const info = factory.info(iced)
            const theirs = icedInfo(iced, info)
            info.free()
            const ours = ourInfo(form)
            for (const what of Object.keys(ours)) {
              if (what === 'access' && iced.opCount !== form.operands.length) continue
              if (ours[what] === theirs[what] || (what === 'real' && (form.modes & MODE_16) === 0)) continue
              const where = `${form.form} | ${Code[iced.code] as string}`
              const known = infoDifferences.find((row) => row.where.test(where) && row.what.test(what))
              if (known !== undefined) covered.set(known.why, (covered.get(known.why) ?? 0) + 1)
              else unknown.add(`${what}: ${where}: ours ${ours[what] as string}, iced ${theirs[what] as string}`)
            }
          }
        }
      }
    }
    factory.free()
    iced.free()
    for (const { why } of infoDifferences) console.log(`${String(covered.get(why) ?? 0).padStart(5)}  ${why}`)
    expect([...unknown]).toEqual([])
    expect(seen.size).toBeGreaterThan(codes.filter(({ encoding }) => encoding !== 'evex').length)
    expect(infoDifferences.filter(({ why }) => !covered.has(why))).toEqual([])
  },
)
