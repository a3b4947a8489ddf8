/** Our decoder against objdump, LLVM and iced-x86 on a program. */
import { Code as IcedCode, Decoder, DecoderOptions, Instruction as IcedInstruction } from 'iced-x86'
import { type CodeInfo, codes, decodeInto, Instruction, reasonTexts } from '../../src/index.ts'
import { DECODE_NO_APX } from '../../src/kinds.ts'
import { corpusDifferences, decodingDifferences, type Disagreement } from '../differences.ts'
import { hexOf } from './bytes.ts'
import type { Code, Section } from './corpora.ts'
import { icedOperands, ourOperands, sameMnemonic, sameOperands } from './iced.ts'
import { type Line, objdumpLines, splitText } from './listing.ts'
import type { Llvm } from './llvm-disassembler.ts'
import { llvmSpelling, objdumpSpelling } from './spelling.ts'

/** What came out for one program and one of the others. */
export interface Outcome {
  readonly tool: 'objdump' | 'llvm' | 'iced'
  instructions: number
  /** By what explains them. */
  readonly known: Map<string, number>
  /** Differences that nothing explains; at most a few texts, and how many there were. */
  readonly unknown: string[]
  unknownCount: number
}

const newOutcome = (tool: Outcome['tool']): Outcome => ({
  tool,
  instructions: 0,
  known: new Map(),
  unknown: [],
  unknownCount: 0,
})

/** objdump and iced-x86 have none. */
const WITHOUT_APX = DECODE_NO_APX
const SHOWN = 20
const insn = new Instruction()
const iced = new IcedInstruction()

function note(outcome: Outcome, text: string, found?: Disagreement): void {
  const row =
    found === undefined
      ? undefined
      : corpusDifferences.find(({ where, when }) => where.test(text) && when?.(found) !== false)
  if (row !== undefined) outcome.known.set(row.why, (outcome.known.get(row.why) ?? 0) + 1)
  else {
    outcome.unknownCount++
    if (outcome.unknown.length < SHOWN) outcome.unknown.push(text)
  }
}

const nameOf = (status: number): string =>
  status === 0
    ? (codes[insn.code] as CodeInfo).mnemonic
    : status === 1
      ? `invalid (${reasonTexts[insn.reason]!})`
      : 'truncated'

/** The section that an address is in, by the last one that was. */
class Sections {
  readonly #all: readonly Section[]
  #last: Section

  constructor(all: readonly Section[]) {
    this.#all = all
    this.#last = all[0] as Section
  }

  at(address: number): Section | undefined {
    const holds = ({ address: start, bytes }: Section): boolean => address >= start && address < start + bytes.length
    if (holds(this.#last)) return this.#last
    const found = this.#all.find(holds)
    if (found !== undefined) this.#last = found
    return found
  }
}

/** How much of a program. */
export interface Extent {
  /** Bytes that each of `windows` parts of the largest section has; everything unless given. */
  readonly windowBytes?: number
  readonly windows?: number
}

/** Parts of the largest section, as addresses; undefined for all of the file. */
function windowsOf(
  { sections }: Code,
  { windowBytes, windows = 1 }: Extent,
): (readonly [number, number])[] | undefined {
  if (windowBytes === undefined) return undefined
  const { address, bytes } = sections.toSorted((a, b) => b.bytes.length - a.bytes.length)[0] as Section
  if (bytes.length <= windowBytes * windows) return [[address, address + bytes.length]]
  return Array.from({ length: windows }, (_, i) => {
    const start = address + Math.floor(((bytes.length - windowBytes) * i) / Math.max(1, windows - 1))
    return [start, start + windowBytes]
  })
}

/** Operands and all of one instruction against iced-x86; both start at `at`. */
function compareIced(outcome: Outcome, decoder: Decoder, bytes: Uint8Array, at: number, valid: boolean): void {
  decoder.position = at
  decoder.ip = 0x1000n
  decoder.decodeOut(iced)
  outcome.instructions++
  const icedValid = iced.code !== IcedCode.INVALID
  if (!valid && !icedValid) return
  if (
    valid === icedValid &&
    insn.length === iced.length &&
    sameMnemonic(insn, iced) &&
    sameOperands(insn, iced, 0x1000n)
  ) {
    return
  }
  const where = `${valid ? (codes[insn.code] as CodeInfo).form : 'invalid'} | ${IcedCode[iced.code] as string}`
  const row = decodingDifferences.find((difference) => difference.where.test(where))
  if (row !== undefined) outcome.known.set(row.why, (outcome.known.get(row.why) ?? 0) + 1)
  else {
    const operands = valid && icedValid ? ` (${ourOperands(insn, 0x1000n)} | ${icedOperands(iced)})` : ''
    note(outcome, `${hexOf(bytes.subarray(at, at + 15))}: ${where}${operands}`)
  }
}

/** Whether the mnemonics agree, by line text before the operands and our code; what is asked again is known. */
const agreed = new Map<string, Set<number>>()

function compareLine(
  outcome: Outcome,
  bytes: Uint8Array,
  at: number,
  length: number,
  line: Line,
  mode: number,
  symbol: number,
): number {
  // objdump takes FWAIT and what follows it for one instruction.
  let start = at
  let size = length
  if (bytes[at] === 0x9b && length > 1) {
    start++
    size--
  }
  const status = decodeInto(bytes, start, Math.min(bytes.length, start + 15), mode | WITHOUT_APX, insn)
  outcome.instructions++
  const [mnemonic, operands] = splitText(line.text)
  const isBad = mnemonic === '(bad)' || mnemonic === '' || mnemonic === '.byte' || operands.includes('(bad)')
  if (status === 0 && insn.length === size && !isBad) {
    const known = agreed.get(mnemonic)
    if (known?.has(insn.code) === true) return status
    const ours = (codes[insn.code] as CodeInfo).mnemonic
    if (objdumpSpelling(mnemonic, operands, size, insn).includes(ours)) {
      // The names of string instructions depend on their operands.
      if (!/^(?:movs|stos|lods|scas|cmps|ins|outs)$/.test(mnemonic)) {
        if (known === undefined) agreed.set(mnemonic, new Set([insn.code]))
        else known.add(insn.code)
      }
      return status
    }
  }
  if (status !== 0 && isBad) return status
  const hex = hexOf(bytes.subarray(at, at + Math.max(length, insn.length)))
  const text = `objdump: ${hex}: ${line.text}, ours ${nameOf(status)} of ${insn.length} bytes for ${size}`
  note(outcome, text, {
    bytes: bytes.subarray(start, start + 15),
    mode: mode as Disagreement['mode'],
    theirs: mnemonic,
    length: size,
    toSymbol: symbol - line.address - (start - at),
  })
  return status
}

/** Addresses are kept in 48 bits; a kernel's have the others set. */
const address = (low: number): string =>
  `0x${(low >= 2 ** 47 ? BigInt(low) | 0xffff_0000_0000_0000n : BigInt(low)).toString(16)}`

const isEnd = ({ sections }: Code, window: readonly [number, number] | undefined): boolean =>
  window === undefined || sections.some((section) => section.address + section.bytes.length === window[1])

/** objdump's listing, and at the places where it has instructions iced-x86's. */
export async function compareObjdump(code: Code, extent: Extent): Promise<Outcome[]> {
  const outcome = newOutcome('objdump')
  const icedOutcome = newOutcome('iced')
  const { corpus, path } = code
  const decoders = new Map<Section, Decoder>()
  const sections = new Sections(code.sections)
  const dump = corpus.kind === 'bios' ? ['-D', '-b', 'binary', '-m', 'i8086'] : ['-d']
  for (const window of windowsOf(code, extent) ?? [undefined]) {
    const range =
      window === undefined ? [] : [`--start-address=${address(window[0])}`, `--stop-address=${address(window[1])}`]
    // What the end of a window cuts is no instruction either.
    const stop = window === undefined ? Infinity : window[1] - 15
    let before: Line | undefined
    // A window that starts inside an instruction is out of step at first.
    let skip = window === undefined || code.sections.some(({ address }) => address === window[0]) ? 0 : 50
    const compare = (line: Line, end: number, symbol = Infinity): void => {
      if (skip-- > 0 || (line.address > stop && !isEnd(code, window))) return
      const section = sections.at(line.address)
      if (section === undefined) return
      const at = line.address - section.address
      // What lies after the section, or what its end cuts, is in no listing.
      const length = Math.min(end - line.address, section.bytes.length - at)
      if (length <= 0 || length > 15) return
      const status = compareLine(outcome, section.bytes, at, length, line, corpus.mode, symbol)
      let decoder = decoders.get(section)
      if (decoder === undefined) {
        decoder = new Decoder(corpus.mode, section.bytes, DecoderOptions.MPX)
        decoders.set(section, decoder)
      }
      const start = section.bytes[at] === 0x9b && length > 1 ? at + 1 : at
      compareIced(icedOutcome, decoder, section.bytes, start, status === 0)
    }
    // Bytes of what a symbol may have cut, until it is seen.
    const cut: { readonly line: Line; readonly end: number }[] = []
    /** Compares the line before an address, and what the symbol that begins there has cut. */
    const pass = (address: number, isNamed: boolean): void => {
      if (before?.text.startsWith('.byte') === true) cut.push({ line: before, end: address })
      else if (before !== undefined) compare(before, address)
      while (cut.length > 0 && (isNamed || address - cut[0]!.line.address >= 15)) {
        const { line, end } = cut.shift()!
        compare(line, end, isNamed ? address : Infinity)
      }
    }
    const endOf = ({ address, bytes }: Section): number => address + bytes.length
    for await (const lines of objdumpLines(path, [...dump, '-M', 'intel', ...range])) {
      for (const line of lines) {
        const section = before === undefined ? undefined : sections.at(before.address)
        if (section !== undefined && section !== sections.at(line.address)) pass(endOf(section), true)
        else if (section !== undefined) pass(line.address, line.isNamed)
        before = line
      }
    }
    const last = before === undefined ? undefined : sections.at(before.address)
    if (window === undefined && last !== undefined) pass(endOf(last), true)
  }
  for (const decoder of decoders.values()) decoder.free()
  return [outcome, icedOutcome]
}

/** LLVM's sweep through the same sections. */
export function compareLlvm(code: Code, llvm: Llvm, extent: Extent): Outcome {
  const outcome = newOutcome('llvm')
  const { mode } = code.corpus
  const windows = windowsOf(code, extent)
  const runs =
    windows === undefined
      ? code.sections.map(({ bytes }) => bytes)
      : windows.map(([start, stop]) => {
          const section = new Sections(code.sections).at(start) as Section
          return section.bytes.subarray(start - section.address, stop - section.address)
        })
  for (const bytes of runs) {
    const { count, lengths, mnemonics, words } = llvm.sweep(mode, bytes)
    let at = 0
    for (let i = 0; i < count; i++) {
      const length = lengths[i] as number
      const word = words[mnemonics[i] as number] as string
      const status = decodeInto(bytes, at, Math.min(bytes.length, at + 15), mode, insn)
      outcome.instructions++
      const agrees =
        status === 0 && length !== 0
          ? insn.length === length && llvmSpelling(word).includes((codes[insn.code] as CodeInfo).mnemonic)
          : status !== 0 && length === 0
      if (!agrees) {
        const hex = hexOf(bytes.subarray(at, at + Math.max(length, insn.length)))
        const text = `llvm: ${hex}: ${length === 0 ? '(bad)' : word}, ours ${nameOf(status)} of ${insn.length} bytes for ${length}`
        note(outcome, text, { bytes: bytes.subarray(at, at + 15), mode, theirs: word, length, toSymbol: Infinity })
      }
      at += length === 0 ? 1 : length
    }
  }
  return outcome
}

/** A line for a table. */
export function summary(name: string, { tool, instructions, known, unknownCount }: Outcome): string {
  const explained = [...known.values()].reduce((sum, count) => sum + count, 0)
  return `${name.padEnd(32)} ${tool.padEnd(8)} ${String(instructions).padStart(9)} instructions ${String(explained).padStart(7)} known differences ${String(unknownCount).padStart(5)} others`
}
