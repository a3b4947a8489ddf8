/** What a page without a terminal shows of a serial port. Source: ECMA-48, 8.3.41, "EL"; 8.3.105, "RIS"; 5.4. */
import { describe, expect, test } from 'vitest'
import { PrintedText } from '../src/plain-terminal.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('text of a serial port', () => {
  test.each([
    ['lines', 'one\r\ntwo\r\n', 'one\ntwo\n'],
    ['a carriage return: what follows overwrites', 'abcdef\rXY', 'XYcdef'],
    ['a line feed alone begins a line at its first column', 'ab\ncd', 'ab\ncd'],
    ['a backspace moves back, and erases nothing', 'abc\b\bX', 'aXc'],
    ['a backspace at the first column stays there', 'a\b\b\bX', 'X'],
    ['a backspace, a space and a backspace erase', 'ab\b \bX', 'aX'],
    ['tabs stay', 'a\tb', 'a\tb'],
    ['other control characters are left out', 'a\u0007\u0000\u000e\u001fb', 'ab'],
    ['colours are left out', '\u001b[1;31mred\u001b[0m', 'red'],
    ['a control sequence ends with @ at the earliest', 'a\u001b[0 @b', 'ab'],
    ['a control sequence ends with ~ at the latest', 'a\u001b[3~b', 'ab'],
    ['a sequence of two characters', 'a\u001b7b\u001b8c', 'abc'],
    ['a sequence with an intermediate byte', 'a\u001b(Bb', 'ab'],
    ['EL erases to the end of the line', 'abcdef\r12\u001b[K', '12'],
    ['EL behind the text adds nothing', 'ab\u001b[Kc', 'abc'],
    ['EL leaves the lines above', 'above\nabc\r\u001b[K', 'above\n'],
    ['ESC K is no EL', 'abc\r\u001bK', 'abc'],
    ['RIS erases everything', 'one\ntwo\u001bcnew', 'new'],
    ['RIS begins at the first column', 'abcdef\u001bcX', 'X'],
    ['CSI c is no RIS', 'one\ntwo\u001b[c', 'one\ntwo'],
    ['a sequence that never ends is one of 64 characters', `a\u001b[${'1'.repeat(62)}b`, 'ab'],
    ['a character of several bytes is one', 'ä€𝄞\rX', 'X€𝄞'],
  ])('%s', (_, printed, shown) => {
    expect(new PrintedText().print(bytes(printed))).toBe(shown)
    // In pieces of a byte each, the same.
    const inPieces = new PrintedText()
    let text = ''
    for (const byte of bytes(printed)) text = inPieces.print(Uint8Array.of(byte))
    expect(text).toBe(shown)
  })

  test('the last 100,000 characters are kept', () => {
    const text = new PrintedText()
    const lines = Array.from({ length: 9000 }, (_, i) => `line ${String(i).padStart(6, '0')}\n`).join('')
    text.print(bytes(lines))
    expect(text.print(bytes(''))).toBe(lines.slice(-100_000))
    expect(text.print(bytes('x'))).toBe(`${lines}x`.slice(-100_000))
  })
})
