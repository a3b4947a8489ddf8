// decode → assemble over a run of code: no longer than it was, and to an independent decoder (iced-x86) the same.
import { codeInfo, decodeInto, DECODED, Instruction } from '@retrap/x86-decoder'
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86'
import { AssemblerError } from '../../src/index.ts'
import { reassemble } from './operands-of.ts'
import type { CodeSection } from './programs.ts'

const formatter = new Formatter(FormatterSyntax.Intel)

function readByIced(bytes: Uint8Array, address: number, bits: number): string {
  const decoder = new Decoder(bits, bytes, DecoderOptions.None)
  decoder.ip = BigInt(address)
  const instruction = decoder.decode()
  const text = formatter.format(instruction)
  instruction.free()
  decoder.free()
  return text
}

/** What became of the instructions. */
export interface Outcome {
  taken: number
  identical: number
  readonly wrong: string[]
}

/**
 * Without prefixes that mean nothing and are not written again: BND, NOTRACK, segments that are used anyway, hints. An index
 * without a base is written as a base, or as base and index, which is shorter.
 */
function meaning(text: string): string {
  return text
    .replace(
      /^((bnd|notrack|xacquire|xrelease|rep|repne|hint-(not-)?taken) )+(?!(movs|stos|lods|cmps|scas|ins|outs)[bwdq]\b)/,
      '',
    )
    .replace(/\b[c-gs]s:/, '')
    .replace(/\[(\w+)\*1\b/, '[$1')
    .replace(/\[(\w+)\*2\b/, '[$1+$1')
}

/**
 * Takes every `stride`th instruction of a section, at most so many, and adds what became of them to `outcome`.
 */
export function survive(
  section: CodeSection,
  bits: 16 | 32 | 64,
  stride: number,
  atMost: number,
  outcome: Outcome,
): void {
  const { bytes } = section
  const insn = new Instruction()
  let counter = 0
  for (let offset = 0; offset < bytes.length && outcome.taken < atMost;) {
    if (decodeInto(bytes, offset, bytes.length, bits, insn) !== DECODED) {
      // Data among the code.
      offset++
      continue
    }
    const at = offset
    offset += insn.length
    if (counter++ % stride !== 0) continue
    outcome.taken++
    const address = (section.address + at) % (bits === 16 ? 0x1_0000 : 0x1_0000_0000)
    const original = bytes.subarray(at, offset)
    let again: Uint8Array
    try {
      again = reassemble(insn, address, bits)
    } catch (error) {
      if (!(error instanceof AssemblerError)) throw error
      // Without a useless prefix a branch may not reach where it went.
      if (error.message.startsWith('the distance to')) continue
      outcome.wrong.push(`${codeInfo(insn.code).form}: ${Buffer.from(original).toString('hex')}: ${error.message}`)
      continue
    }
    if (Buffer.compare(again, original) === 0) {
      outcome.identical++
      continue
    }
    const before = readByIced(original, address, bits)
    // Data that only one of the decoders takes for an instruction.
    if (before === '(bad)') continue
    const after = readByIced(again, address, bits)
    if (meaning(after) !== meaning(before) || again.length > original.length) {
      outcome.wrong.push(`${codeInfo(insn.code).form}: ${before} → ${after} (${Buffer.from(original).toString('hex')})`)
    }
  }
}
