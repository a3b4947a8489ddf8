/**
 * Decodes real code with our `decodeInto` and with iced-x86's fastest form, in one run: `npm run -s bench -- decoder`.
 *
 * iced-x86: `decodeOut` into a reused object, reading length, code and flow control, as a program that follows code would.
 * Ours: `decodeInto` into a reused object, reading the same. The two take turns; the best of the rounds counts.
 */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import process from 'node:process'
import { Decoder, DecoderOptions, Instruction as IcedInstruction } from 'iced-x86'
import { codes, decodeInto, Instruction } from '../src/index.ts'

const FILES = ['/usr/lib/x86_64-linux-gnu/libc.so.6', '/bin/bash']
const ROUNDS = 7

/** Bytes of the `.text` section of a 64-bit ELF file. */
function textSection(file: Buffer): Uint8Array {
  const sections = Number(file.readBigUInt64LE(0x28))
  const size = file.readUInt16LE(0x3a)
  const count = file.readUInt16LE(0x3c)
  const header = (i: number): number => sections + i * size
  const offset = (i: number): number => Number(file.readBigUInt64LE(header(i) + 0x18))
  const names = offset(file.readUInt16LE(0x3e))
  for (let i = 0; i < count; i++) {
    const name = names + file.readUInt32LE(header(i))
    if (file.toString('latin1', name, name + 6) === '.text\0') {
      return Uint8Array.from(file.subarray(offset(i), offset(i) + Number(file.readBigUInt64LE(header(i) + 0x20))))
    }
  }
  throw new Error('no .text section')
}

/** Per code: the number of its flow kind, as a program would keep it. */
const flowKinds = [...new Set(codes.map(({ flow }) => flow))]
const flows = Uint8Array.from(codes, ({ flow }) => flowKinds.indexOf(flow))

function ours(text: Uint8Array, insn: Instruction): [count: number, sum: number] {
  let count = 0
  let sum = 0
  for (let at = 0; at < text.length; count++) {
    const status = decodeInto(text, at, text.length, 64, insn)
    sum = (sum + insn.code + (flows[insn.code] as number)) | 0
    at += status === 0 ? insn.length : 1
  }
  return [count, sum]
}

function iced(text: Uint8Array, insn: IcedInstruction): [count: number, sum: number] {
  const decoder = new Decoder(64, text, DecoderOptions.None)
  let count = 0
  let sum = 0
  for (let at = 0; at < text.length; count++) {
    decoder.decodeOut(insn)
    sum = (sum + insn.code + insn.flowControl) | 0
    at += insn.length
  }
  decoder.free()
  return [count, sum]
}

function time(work: () => [number, number]): number {
  const start = performance.now()
  const [count] = work()
  return ((performance.now() - start) * 1e6) / count
}

export async function run(): Promise<void> {
  const ratios: number[] = []
  for (const file of FILES) {
    const text = textSection(readFileSync(file))
    const insn = new Instruction()
    const icedInsn = new IcedInstruction()
    let best = Infinity
    let bestIced = Infinity
    for (let round = 0; round < ROUNDS; round++) {
      best = Math.min(
        best,
        time(() => ours(text, insn)),
      )
      bestIced = Math.min(
        bestIced,
        time(() => iced(text, icedInsn)),
      )
    }
    icedInsn.free()
    ratios.push(bestIced / best)
    console.log(
      `  ${file}: ${best.toFixed(1)} ns an instruction, iced-x86 ${bestIced.toFixed(1)} ns (${text.length} bytes)`,
    )
  }
  const ratio = Math.min(...ratios)
  console.log(`decode: ${ratio.toFixed(2)} x iced (.text of ${FILES.join(', ')}; Node ${process.version})`)
}

if (process.argv[1] === import.meta.filename) await run()
