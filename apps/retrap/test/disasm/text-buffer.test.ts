import { describe, expect, test } from 'vitest'
import { TextBuffer } from '../../src/disasm/text-buffer.ts'

const textOf = (buffer: TextBuffer): string => new TextDecoder().decode(buffer.take())

describe('text on its way to a stream', () => {
  test('is UTF-8, whatever was reserved', () => {
    const buffer = new TextBuffer()
    const pieces = ['mov', 'für', '→ ', '𝄞', '', 'x'.repeat(1000)]
    for (const reserved of [0, 1, 5000]) {
      buffer.reserve(reserved)
      for (const piece of pieces) buffer.write(piece)
      buffer.endLine()
      expect(buffer.length).toBe(new TextEncoder().encode(pieces.join('')).length + 1)
      expect(textOf(buffer)).toBe(`${pieces.join('')}\n`)
      expect(buffer.length).toBe(0)
    }
  })

  test('has bytes in a column, which long instructions overrun', () => {
    const buffer = new TextBuffer()
    buffer.writeHex(Uint8Array.of(0, 0x9f, 0xa0, 0xff), 1, 3, 8)
    buffer.write('|')
    buffer.writeHex(new Uint8Array(15).fill(0x66), 0, 15, 22)
    buffer.write('|')
    expect(textOf(buffer)).toBe(`9f a0   |${'66 '.repeat(15)}|`)
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
