/** Blocks of the opcode maps against iced-x86 and LLVM: length, validity, mnemonic, and with iced operands. */
import { Code as IcedCode, Decoder, DecoderOptions, Instruction as IcedInstruction } from 'iced-x86'
import { type CodeInfo, codes, decodeInto, decoderOptions, Instruction, reasonTexts } from '../../src/index.ts'
import { decodingDifferences, llvmDifferences } from '../differences.ts'
import { hexOf } from './bytes.ts'
import { icedOperands, ourOperands, sameMnemonic, sameOperands } from './iced.ts'
import type { Llvm } from './llvm-disassembler.ts'
import { type Block, SLOT } from './opcode-maps.ts'
import { llvmSpelling } from './spelling.ts'

export type Mode = 16 | 32 | 64

/** What a comparison found. */
export class Tally {
  compared = 0
  /** Slots that hold an instruction. */
  valid = 0
  /** By `why` of the row that explains them. */
  readonly known: Map<string, number> = new Map()
  /** Differences that nothing explains: one text for each kind. */
  readonly unknown: Map<string, string> = new Map()

  explained(why: string): void {
    this.known.set(why, (this.known.get(why) ?? 0) + 1)
  }

  add(other: Tally): void {
    this.compared += other.compared
    this.valid += other.valid
    for (const [why, count] of other.known) this.known.set(why, (this.known.get(why) ?? 0) + count)
    for (const [kind, text] of other.unknown) this.unknown.set(kind, text)
  }
}

const ADDRESS = 0x1000n
const insn = new Instruction()
const iced = new IcedInstruction()

const formOf = (valid: boolean): string => (valid ? (codes[insn.code] as CodeInfo).form : 'invalid')

/** One line for a difference from iced-x86, or `''`; `where` is what a row of `decodingDifferences` goes by. */
function icedDifference(valid: boolean, operands: boolean): { where: string; text: string } {
  const icedValid = iced.code !== IcedCode.INVALID
  let difference = ''
  if (valid !== icedValid) difference = 'validity'
  else if (!valid) return { where: '', text: '' }
  else if (insn.length !== iced.length) difference = `length ${insn.length} and ${iced.length}`
  else if (!sameMnemonic(insn, iced)) difference = 'mnemonic'
  else if (operands && !sameOperands(insn, iced, ADDRESS)) difference = 'operands'
  if (difference === '') return { where: '', text: '' }
  const where = `${formOf(valid)} | ${IcedCode[iced.code] as string}`
  const texts = valid && icedValid ? ` (${ourOperands(insn, ADDRESS)} | ${icedOperands(iced)})` : ''
  return { where, text: `${difference}: ${where}${texts}` }
}

/** A block against iced-x86. */
export function compareIced(
  block: Block,
  mode: Mode,
  { vendor = 'intel', operands = true }: { readonly vendor?: 'intel' | 'amd'; readonly operands?: boolean } = {},
): Tally {
  const tally = new Tally()
  const { bytes, count, name } = block
  const options = mode | decoderOptions({ vendor })
  const decoder = new Decoder(mode, bytes, DecoderOptions.MPX | (vendor === 'amd' ? DecoderOptions.AMD : 0))
  const end = count * SLOT
  for (let at = 0; at < end; at += SLOT) {
    decoder.position = at
    decoder.ip = ADDRESS
    decoder.decodeOut(iced)
    const valid = decodeInto(bytes, at, at + 15, options, insn) === 0
    if (valid) tally.valid++
    const { where, text } = icedDifference(valid, operands)
    if (text === '') continue
    const row = decodingDifferences.find((difference) => difference.where.test(where))
    if (row !== undefined) tally.explained(row.why)
    else if (!tally.unknown.has(where)) {
      tally.unknown.set(where, `${mode}-bit, ${name}: ${hexOf(bytes.subarray(at, at + SLOT))}: ${text}`)
    }
  }
  tally.compared += count
  decoder.free()
  return tally
}

/** A block against LLVM. */
export function compareLlvm(llvm: Llvm, block: Block, mode: Mode): Tally {
  const tally = new Tally()
  const { bytes, count, name } = block
  const { lengths, mnemonics, words } = llvm.slots(mode, bytes)
  for (let i = 0; i < count; i++) {
    const at = i * SLOT
    const valid = decodeInto(bytes, at, at + 15, mode, insn) === 0
    if (valid) tally.valid++
    const length = lengths[i] as number
    const word = words[mnemonics[i] as number] as string
    if (valid ? length !== 0 : length === 0) {
      if (!valid) continue
      if (insn.length === length && llvmSpelling(word).includes((codes[insn.code] as CodeInfo).mnemonic)) continue
    }
    const ours = valid ? formOf(true) : `invalid (${reasonTexts[insn.reason] as string})`
    const differs = valid && length !== 0 && insn.length !== length ? ', length' : ''
    const where = `${mode}-bit ${name}: ${ours} | ${length === 0 ? 'invalid' : word}${differs}`
    const slot = bytes.subarray(at, at + SLOT)
    const row = llvmDifferences.find(
      (difference) => difference.where.test(where) && difference.when?.(slot, mode, word) !== false,
    )
    if (row !== undefined) tally.explained(row.why)
    else if (!tally.unknown.has(`${ours} | ${word}`)) {
      tally.unknown.set(`${ours} | ${word}`, `${where}: ${hexOf(slot)} (${insn.length} and ${length} bytes)`)
    }
  }
  tally.compared += count
  return tally
}
