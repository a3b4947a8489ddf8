import { describe, expect, test } from 'vitest'
import { TextBuffer } from '../../src/commands/disasm/text-buffer.ts'

const textOf = (buffer: TextBuffer): string => new TextDecoder().decode(buffer.take())

describe('text on its way to a stream', () => {
  test('is UTF-8, whatever was reserved', () => {
    const buffer = new TextBuffer()
    const pieces = ['mov', 'für', '→ ', '𝄞', '', 'x'.repeat(1000)]
    for (const reserved of [0, 1, 5000]) {
      buffer.start(reserved)
      for (const piece of pieces) buffer.write(piece)
      buffer.endLine()
      expect(buffer.length).toBe(new TextEncoder().encode(pieces.join('')).length + 1)
      expect(textOf(buffer)).toBe(`${pieces.join('')}\n`)
      expect(buffer.length).toBe(0)
    }
  })

  test('has bytes in a column, which long instructions overrun', () => {
    const buffer = new TextBuffer()
    buffer.writeColumns(Uint8Array.of(0, 0x9f, 0xa0, 0xff), 1, 3, 8)
    buffer.write('|')
    buffer.writeColumns(new Uint8Array(15).fill(0x66), 0, 15, 22)
    buffer.write('|')
    expect(textOf(buffer)).toBe(`  9f a0   |  ${'66 '.repeat(15)}|`)
  })

  test('has numbers in hexadecimal, up to the largest that is exact', () => {
    const powers = Array.from({ length: 54 }, (_, bit) => 2 ** bit)
    const numbers = [0, ...powers.flatMap((power) => [power - 1, power, power + 1])].filter(Number.isSafeInteger)
    for (const value of [...numbers, 0x1234_5678_9abc, 0x10_0000_0f00]) {
      const buffer = new TextBuffer()
      buffer.writeNumber(value)
      expect(textOf(buffer)).toBe(value.toString(16))
    }
  })

  test('has the unsigned numbers of two words', () => {
    const values = [0n, 1n, 0xfn, 0x10n, 0xffff_ffffn, 1n << 32n, 0xf_8000_0001n, 1n << 63n, (1n << 64n) - 1n]
    for (const value of values) {
      const buffer = new TextBuffer()
      buffer.writeWords(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)))
      expect(textOf(buffer)).toBe(`0x${value.toString(16)}`)
    }
  })

  test('has offsets within a page with three digits', () => {
    const buffer = new TextBuffer()
    for (const offset of [0, 0xf, 0x10, 0xff, 0x100, 0xfff, 0xabc]) buffer.writeOffset(offset)
    expect(textOf(buffer)).toBe('00000f0100ff100fffabc')
  })

  test('that was taken does not change', () => {
    const buffer = new TextBuffer()
    buffer.write('one')
    const taken = buffer.take()
    buffer.write('two')
    expect(new TextDecoder().decode(taken)).toBe('one')
    expect(textOf(buffer)).toBe('two')
  })
})
