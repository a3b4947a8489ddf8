import { choices, numbers } from '@retrap/tooling/random'
import { expect, test } from 'vitest'
import { plainLine, printable } from '../src/index.ts'

/** What terminals act on, what looks like a line of ours, what turns text round, and what is no character. */
const HOSTILE = ['\u001b[2J', '\r\nretrap: fine', '\u009b31m', '\u202e', '\u2066', '\u2028', '\ud800', '\0']

test('a text from outside is a part of one line, without orders for a terminal, of a bounded length', () => {
  const below = numbers(0x7e87)
  const draw = choices(0x7e87)
  for (let i = 0; i < 2000; i++) {
    const part = (): string => (draw.chance(1, 2) ? draw.pick(HOSTILE) : String.fromCodePoint(below(0x11_0000)))
    const given = Array.from({ length: below(20) }, part).join('')
    const most = 2 + below(40)
    expect(printable(given)).not.toMatch(/[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\u2028\u2029]/u)
    const line = plainLine(given, most)
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
    // `\ud800` is the longest escape.
    expect(line.length).toBeLessThanOrEqual(6 * (most + 1))
    expect(JSON.parse(printable(JSON.stringify(given)))).toBe(given)
  }
  expect(plainLine('x'.repeat(1 << 20))).toHaveLength(2001)
  expect(plainLine(`${'x'.repeat(1 << 20)}: the reason`, 40)).toBe(`${'x'.repeat(20)}…xxxxxxxx: the reason`)
  expect(plainLine('a\r\nb\tc\u001b[0m\u202e')).toBe('a b c\\x1b[0m\\u202e')
})
