/**
 * Decodes and prints real code with ours, iced-x86 and Capstone.js, in one run: `npm run -s bench -- decoder`.
 *
 * `decode`: iced-x86's fastest form, `decodeOut` into a reused object, reading length, code and flow control, as a program
 * that follows code would; ours is `decodeInto` into a reused object, reading the same. Those that are compared take turns,
 * piece by piece, and the best time of each piece counts: other work on the machine hits all of them or none.
 * @programs: objdump
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import MCapstone from '@alexaltea/capstone-js'
import { debianMembers } from '@retrap/tooling/debian'
import { Decoder, DecoderOptions, Formatter, FormatterSyntax, Instruction as IcedInstruction } from 'iced-x86'
import { codes, decodeInto, formatIntel, Instruction } from '@retrap/x86-decoder'
import { type Corpus, corpora, readCode } from '../test/support/corpora.ts'
import { coldStart, compareFirstPass } from './cold-start.ts'

const PIECE = 1 << 17

interface Text {
  readonly name: string
  readonly mode: number
  readonly bytes: Uint8Array
}

/** Decodes a piece; returns how many instructions it has. */
type Work = (piece: Uint8Array) => number

/** The `.text` sections of Debian's C library, of 64 and of 32 bits, and kernel, fetched once. */
async function texts(): Promise<Text[]> {
  const chosen = ['libc.so.6', 'vmlinux', 'libc.so.6 (i386)'].map(
    (name) => corpora.find((corpus) => corpus.name === name) as Corpus,
  )
  const folders = await debianMembers(chosen)
  if (folders === undefined)
    throw new Error('this needs the C libraries and the kernel of Debian 12, and there is no apt')
  const scratch = mkdtempSync(join(tmpdir(), 'retrap-bench-'))
  try {
    return chosen.map((corpus, i) => {
      const { sections } = readCode(corpus, folders[i] as string, scratch)
      const text = sections.find(({ name }) => name === '.text')
      if (text === undefined) throw new Error(`${corpus.name} has no .text section`)
      return { name: corpus.name, mode: corpus.mode, bytes: Uint8Array.from(text.bytes) }
    })
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Nanoseconds an instruction of each. */
function compare(bytes: Uint8Array, rounds: number, works: readonly Work[]): number[] {
  const pieces = Array.from({ length: Math.ceil(bytes.length / PIECE) }, (_, i) =>
    bytes.slice(i * PIECE, (i + 1) * PIECE),
  )
  const counts = works.map(() => 0)
  const best = works.map(() => pieces.map(() => Infinity))
  for (let round = 0; round < rounds; round++) {
    pieces.forEach((piece, p) => {
      works.forEach((work, w) => {
        const start = performance.now()
        const count = work(piece)
        const time = performance.now() - start
        const times = best[w] as number[]
        times[p] = Math.min(times[p] as number, time)
        if (round === 0) counts[w] = (counts[w] as number) + count
      })
    })
  }
  return best.map((times, w) => (times.reduce((a, b) => a + b, 0) * 1e6) / (counts[w] as number))
}

/** Per code: the number of its flow kind, as a program would keep it. */
const flowKinds = [...new Set(codes.map(({ flow }) => flow))]
const flows = Uint8Array.from(codes, ({ flow }) => flowKinds.indexOf(flow))
let sum = 0
/** Of the code at hand. */
let mode = 64

/** A character, so that the text is made, and is not left in the pieces that it was put together from. */
const endOf = (text: string): number => text.charCodeAt(text.length - 1)

const insn = new Instruction()
function decodeWithin(bytes: Uint8Array, from: number, to: number): number {
  let count = 0
  for (let at = from; at < to && at < bytes.length; count++) {
    const status = decodeInto(bytes, at, bytes.length, mode, insn)
    sum = (sum + insn.code + (flows[insn.code] as number)) | 0
    at += status === 0 ? insn.length : 1
  }
  return count
}

const ours: Work = (piece) => decodeWithin(piece, 0, piece.length)

const oursWithText: Work = (piece) => {
  let count = 0
  for (let at = 0; at < piece.length; count++) {
    const status = decodeInto(piece, at, piece.length, 64, insn)
    sum = (sum + endOf(formatIntel(insn))) | 0
    at += status === 0 ? insn.length : 1
  }
  return count
}

const icedInsn = new IcedInstruction()
const iced: Work = (piece) => {
  const decoder = new Decoder(mode, piece, DecoderOptions.None)
  let count = 0
  for (let at = 0; at < piece.length; count++) {
    decoder.decodeOut(icedInsn)
    sum = (sum + icedInsn.code + icedInsn.flowControl) | 0
    at += icedInsn.length
  }
  decoder.free()
  return count
}

const icedFormatter = new Formatter(FormatterSyntax.Intel)
const icedWithText: Work = (piece) => {
  const decoder = new Decoder(64, piece, DecoderOptions.None)
  let count = 0
  for (let at = 0; at < piece.length; count++) {
    decoder.decodeOut(icedInsn)
    sum = (sum + endOf(icedFormatter.format(icedInsn))) | 0
    at += icedInsn.length
  }
  decoder.free()
  return count
}

function compareDecoding(code: readonly Text[]): void {
  const ratios = code.map((text) => {
    const { name, bytes } = text
    mode = text.mode
    const [us, them] = compare(bytes, 7, [ours, iced]) as [number, number]
    console.log(`  ${name}: ${us.toFixed(1)} ns an instruction, iced-x86 ${them.toFixed(1)} ns (${bytes.length} bytes)`)
    return them / us
  })
  mode = 64
  const names = code.map(({ name }) => name).join(', ')
  console.log(
    `decode: ${Math.min(...ratios).toFixed(2)} x iced (.text of ${names}, length, code and flow control read; ` +
      `Node ${process.version})`,
  )
}

function compareFormatting({ name, bytes }: Text): void {
  const [us, them] = compare(bytes.slice(0, 4 * PIECE), 7, [oursWithText, icedWithText]) as [number, number]
  console.log(
    `format: ${(them / us).toFixed(2)} x iced (Intel syntax, decoding included, ${name}: ` +
      `${us.toFixed(0)} ns an instruction, iced-x86 ${them.toFixed(0)} ns)`,
  )
}

/** Capstone has no form without text; it is given a page at a time. */
async function compareCapstone({ name, bytes }: Text): Promise<void> {
  const capstone = await MCapstone()
  const disassembler = new capstone.Capstone(capstone.ARCH_X86, capstone.MODE_64)
  disassembler.option(capstone.OPT_SKIPDATA, capstone.OPT_ON)
  const work: Work = (piece) => {
    let count = 0
    for (let at = 0; at < piece.length; at += 4096) {
      count += disassembler.disasm(piece.subarray(at, at + 4096), at).length
    }
    return count
  }
  const [plain, text, them] = compare(bytes.slice(0, 4 * PIECE), 5, [ours, oursWithText, work]) as [
    number,
    number,
    number,
  ]
  disassembler.close()
  console.log(
    `decode-capstone: ${(them / plain).toFixed(0)} x capstone (its fastest form, which has text, against ours without; ` +
      `${(them / text).toFixed(1)} x with Intel text; ${name}: ${plain.toFixed(1)}, ${text.toFixed(0)} and ` +
      `${them.toFixed(0)} ns an instruction)`,
  )
}

/**
 * The cost of an instruction by the length of the array that it is in. As above it is timed piece by piece: a piece is a part
 * of a long array, or several short arrays.
 */
function compareSizes({ bytes }: Text): void {
  const long = new Uint8Array(100 << 20)
  for (let at = 0; at < long.length; at += bytes.length) long.set(bytes.subarray(0, long.length - at), at)
  const results = [1 << 10, 1 << 20, 100 << 20].map((length) => {
    const total = Math.max(length, 8 * PIECE)
    const rounds = total > 8 * PIECE ? 3 : 30
    const arrays = Array.from({ length: total / length }, (_, i) => long.slice(i * length, (i + 1) * length))
    let count = 0
    let time = 0
    for (let from = 0; from < total; from += PIECE) {
      let best = Infinity
      let decoded = 0
      for (let round = 0; round < rounds; round++) {
        decoded = 0
        const start = performance.now()
        for (let at = from; at < from + PIECE; at += length) {
          const inArray = at % length
          decoded += decodeWithin(arrays[Math.floor(at / length)] as Uint8Array, inArray, inArray + PIECE)
        }
        best = Math.min(best, performance.now() - start)
      }
      count += decoded
      time += best
    }
    return (time * 1e6) / count
  })
  const [short, , whole] = results as [number, number, number]
  console.log(
    `decode-size: ${(short / whole).toFixed(2)} x short input (an instruction in an array of 100 MiB against one in 1 KiB; ` +
      `in 1 KiB, 1 MiB and 100 MiB: ${results.map((ns) => ns.toFixed(1)).join(', ')} ns)`,
  )
}

export async function run(): Promise<void> {
  const code = await texts()
  const libc = code[0] as Text
  compareDecoding(code)
  await compareCapstone(libc)
  compareFormatting(libc)
  const scratch = mkdtempSync(join(tmpdir(), 'retrap-bench-'))
  try {
    writeFileSync(join(scratch, 'code'), libc.bytes.subarray(0, 4 * PIECE))
    compareFirstPass(join(scratch, 'code'))
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  compareSizes(libc)
  coldStart()
}

if (process.argv[1] === import.meta.filename) await run()
