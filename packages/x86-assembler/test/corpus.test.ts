// Code that compilers wrote: decode → assemble gives code that is no longer and that an independent decoder (iced-x86)
// reads as the same instruction.
import { codes, decodeInto, DECODED, Instruction } from '@retrap/x86-decoder'
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86'
import { describe, expect, test } from 'vitest'
import { AssemblerError } from '../src/index.ts'
import { textOf } from './support/elf.ts'
import { reassemble } from './support/operands-of.ts'

const LIBRARIES = '/usr/lib/x86_64-linux-gnu'
const FILES = [`${LIBRARIES}/libc.so.6`, `${LIBRARIES}/libm.so.6`, `${LIBRARIES}/libstdc++.so.6`, '/usr/bin/bash']
/** Every so many instructions one is taken, from a place that differs by file. */
const STRIDE = 23
const AT_MOST = 20_000

const formatter = new Formatter(FormatterSyntax.Intel)

/** What iced makes of the bytes, without the size prefixes that mean nothing to it. */
function readByIced(bytes: Uint8Array, address: number): string {
  const decoder = new Decoder(64, bytes, DecoderOptions.None)
  decoder.ip = BigInt(address)
  const instruction = decoder.decode()
  const text = formatter.format(instruction)
  instruction.free()
  decoder.free()
  return text
}

interface Outcome {
  taken: number
  identical: number
  readonly wrong: string[]
}

function check(bytes: Uint8Array, base: number): Outcome {
  const outcome: Outcome = { taken: 0, identical: 0, wrong: [] }
  const insn = new Instruction()
  let counter = 0
  for (let offset = 0; offset < bytes.length && outcome.taken < AT_MOST;) {
    if (decodeInto(bytes, offset, bytes.length, 64, insn) !== DECODED) {
      // AVX, and data among the code.
      offset++
      continue
    }
    const at = offset
    offset += insn.length
    if (counter++ % STRIDE !== 0) continue
    outcome.taken++
    const address = base + at
    const original = bytes.subarray(at, offset)
    const before = readByIced(original, address)
    let again: Uint8Array
    try {
      again = reassemble(insn, address, 64)
    } catch (error) {
      if (!(error instanceof AssemblerError)) throw error
      outcome.wrong.push(`${before}: ${error.message}`)
      continue
    }
    if (Buffer.compare(again, original) === 0) outcome.identical++
    const after = readByIced(again, address)
    // Prefixes without effect are not written again: BND, NOTRACK, and segments in padding.
    const meant = before.replace(/^(bnd|notrack) /, '').replace(/\b[cdes]s:/, '')
    if (after !== meant || again.length > original.length) {
      outcome.wrong.push(`${codes[insn.code]?.form}: ${before} → ${after} (${Buffer.from(original).toString('hex')})`)
    }
  }
  return outcome
}

describe('compiled code survives decoding and assembling', () => {
  test.for(FILES)('%s', { timeout: 60_000 }, (file, { skip }) => {
    const text = textOf(file)
    if (text === undefined) return skip(`there is no ${file} here`)
    const { taken, identical, wrong } = check(text.bytes, text.address)
    expect(wrong.slice(0, 20)).toEqual([])
    expect(taken).toBeGreaterThan(1000)
    // Compilers too choose the shortest forms, but for padding.
    expect(identical / taken).toBeGreaterThan(0.9)
  })
})
