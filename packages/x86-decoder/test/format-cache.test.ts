import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test, vi } from 'vitest'
import * as decoder from '../src/index.ts'
import { LineWriter } from '../src/line-writer.ts'
import { bytesOf } from './support/bytes.ts'
import { randomInstructions } from './support/reassemble.ts'

// Text comes from lines that are kept with gaps, tokens are written anew each time.
const syntaxes = [
  ['intel', decoder.formatIntel, decoder.tokensIntel],
  ['att', decoder.formatAtt, decoder.tokensAtt],
  ['nasm', decoder.formatNasm, decoder.tokensNasm],
] as const

test('a key has room for every code', () => {
  expect(decoder.codes.length).toBeLessThan(1 << 13)
})

test.each(syntaxes)('%s: lines in many styles, in turn, are what the tokens are', (_, format, tokens) => {
  const symbols = (address: bigint): string | undefined => (address % 2n === 0n ? `s${address % 100n}` : undefined)
  const styles: decoder.FormatOptions[] = [
    {},
    { upperCase: true, hex: 'suffix' },
    { spacing: 'tight', mnemonicWidth: 8 },
    { spacing: 'loose', address: 0xffff_ffff_8100_0000n },
    { mnemonicWidth: 12, symbols },
    { hex: 'suffix' },
    ...[2, 4, 6].map((mnemonicWidth) => ({ mnemonicWidth })),
  ]
  const wrong: string[] = []
  for (const mode of [16, 32, 64] as const) {
    for (const decoded of randomInstructions(mode, slicedSeed(7), slicedCount(3000, 4))) {
      for (const style of styles) {
        const text = format(decoded, style)
        const expected = decoder.joinTokens(tokens(decoded, style))
        if (text !== expected) wrong.push(`${text} for ${expected}`)
      }
    }
  }
  expect(wrong, SLICE_REPEAT).toEqual([])
})

test('a line is written once, in as many styles and among as many lines as there are places for', () => {
  const lines = randomInstructions(64, 5, 2000)
  const style: decoder.FormatOptions = { mnemonicWidth: 11 }
  const spy = vi.spyOn(LineWriter.prototype, 'template')
  const written = (): number => {
    spy.mockClear()
    for (const line of lines) decoder.formatIntel(line, style)
    return spy.mock.calls.length
  }
  const first = written()
  expect(first).toBeLessThanOrEqual(lines.length)
  // Some lines of one place push each other out.
  expect(written()).toBeLessThan(first / 4)
  spy.mockRestore()
})

/** The number that an operand shows, as its object has it. */
function shown(operand: decoder.Operand, { instruction }: decoder.DecodedInstruction): string | undefined {
  const hex = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`)
  if (operand.kind === 'immediate') return hex(operand.value)
  if (operand.kind === 'branch') return hex(operand.target)
  if (operand.kind !== 'memory' || instruction.dispSize === 0) return undefined
  if (operand.base === undefined && operand.address !== undefined) return hex(operand.address)
  return hex(operand.displacement)
}

describe('numbers of the text are those of the operands', () => {
  const addresses = [0n, 0x1000n, 0xffff_fff0n, 1n << 52n, (1n << 53n) - 3n, 1n << 63n, 0xffff_ffff_8100_0000n, -5n]
  test.each([16, 32, 64] as const)('in %i-bit mode', (mode) => {
    let count = 0
    const wrong: string[] = []
    for (const { bytes } of randomInstructions(mode, slicedSeed(11), slicedCount(20_000, 4))) {
      const address = BigInt.asUintN(64, addresses[count++ % addresses.length] as bigint)
      const decoded = decoder.decode(bytes.slice(), { mode, address })
      const text = decoder.formatIntel(decoded)
      if (decoded.info.condition >= 0) continue
      for (const operand of decoded.operands) {
        const number = shown(operand, decoded)
        if (number !== undefined && !text.replaceAll(/\+(?=0x)/g, ' ').includes(number))
          wrong.push(`${text}: ${number}`)
      }
    }
    expect(wrong, SLICE_REPEAT).toEqual([])
  })

  test.each([
    ['48 8b 80 ff ff ff ff', {}, 'mov rax, qword ptr [rax-0x1]'],
    ['48 8b 80 00 00 00 80', {}, 'mov rax, qword ptr [rax-0x80000000]'],
    ['48 b8 ff 0f 00 00 00 00 20 00', {}, 'movabs rax, 0x20000000000fff'],
    ['48 b8 01 00 00 01 ab 0f 00 80', {}, 'movabs rax, 0x80000fab01000001'],
    ['48 b8 00 00 00 00 00 00 00 80', {}, 'movabs rax, 0x8000000000000000'],
    ['eb f0', {}, 'jmp 0xfffffffffffffff2'],
    ['eb 00', { address: 0xffff_ffff_ffff_fffen }, 'jmp 0x0'],
    ['d5 00 a1 08 07 06 05 04 03 02 81', {}, 'jmpabs 0x8102030405060708'],
    ['48 a1 08 07 06 05 04 03 02 81', {}, 'movabs rax, qword ptr ds:[0x8102030405060708]'],
  ])('%s with %o', (hex, options, text) => {
    expect(decoder.formatIntel(decoder.decode(bytesOf(hex), options))).toBe(text)
  })
})
