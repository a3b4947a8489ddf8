/** Characters that a terminal tells as numbers. Source: XTerm Control Sequences, "Alt and Meta Keys", modifyOtherKeys. */
import { describe, expect, test } from 'vitest'
import { readTerminalKey } from '../../src/input/terminal-keys.ts'

const ESCAPE = '\x1b'

describe.each([
  ['CSI u', (code: string, modifiers: number) => `${ESCAPE}[${code};${modifiers}u`],
  ['modifyOtherKeys', (code: string, modifiers: number) => `${ESCAPE}[27;${modifiers};${code}~`],
] as const)('%s', (_, write) => {
  test.each([0x20, 0x61, 0xe9, 0x7ff, 0x20ac, 0xd7ff, 0xe000, 0xfffd, 0xffff])('character %i', (code) => {
    const text = write(String(code), 1)
    expect(readTerminalKey(`${text}b`, true)).toEqual({
      pressed: { key: { character: String.fromCharCode(code) }, held: [] },
      length: text.length,
    })
  })

  test.each(['55296', '56320', '57343', '65536', '1114112', '99999999999999999999', ''])(
    'what is no character stands for nothing: %s',
    (code) => expect(readTerminalKey(write(code, 1), true)).toEqual({ length: write(code, 1).length }),
  )

  // The number is 1 and the sum of 1 for Shift, 2 for Alt, 4 for Control, 8 for Meta.
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('modifiers %i', (modifiers) => {
    const bits = modifiers - 1
    const held = [
      ...((bits & 1) === 0 ? [] : ['ShiftLeft']),
      ...((bits & 2) === 0 ? [] : ['AltLeft']),
      ...((bits & 4) === 0 ? [] : ['ControlLeft']),
    ]
    const { pressed } = readTerminalKey(write('97', modifiers), true)
    expect(pressed?.key).toEqual({ character: 'a' })
    expect([...(pressed?.held ?? [])].sort()).toEqual([...held].sort())
  })

  test('control characters are what makes them', () => {
    const press = (code: number) => readTerminalKey(write(String(code), 1), true).pressed
    for (let code = 1; code <= 26; code++) {
      const letter = String.fromCharCode(0x60 + code)
      const isKey = [8, 9, 10, 13].includes(code)
      expect(press(code)).toEqual(
        isKey
          ? { key: { character: String.fromCharCode(code) }, held: [] }
          : { key: { character: letter }, held: ['ControlLeft'] },
      )
    }
    expect(press(0)).toEqual({ key: { character: ' ' }, held: ['ControlLeft'] })
    for (const code of [27, 127]) expect(press(code)?.key).toEqual({ character: String.fromCharCode(code) })
  })
})

test.each([
  ['a', { pressed: { key: { character: 'a' }, held: [] }, length: 1 }],
  ['𝄞x', { pressed: { key: { character: '𝄞' }, held: [] }, length: 2 }],
  [`${ESCAPE}a`, { pressed: { key: { character: 'a' }, held: ['AltLeft'] }, length: 2 }],
  [`${ESCAPE}𝄞`, { pressed: { key: { character: '𝄞' }, held: ['AltLeft'] }, length: 3 }],
  ['\x1c', { pressed: { key: { character: '\\' }, held: ['ControlLeft'] }, length: 1 }],
])('%j', (text, expected) => expect(readTerminalKey(text, true)).toEqual(expected))

// rxvt, "Key Codes": ~, $, ^ and @ end the sequence of a key alone, with Shift, with Control, and with both.
test.each([
  ['~', []],
  ['$', ['ShiftLeft']],
  ['^', ['ControlLeft']],
  ['@', ['ShiftLeft', 'ControlLeft']],
] as const)('rxvt: a key that ends in %s', (end, held) => {
  for (const [number, name] of [
    [2, 'Insert'],
    [6, 'PageDown'],
    [24, 'F12'],
  ] as const) {
    const text = `${ESCAPE}[${number}${end}`
    expect(readTerminalKey(`${text}x`, true)).toEqual({ pressed: { key: { name }, held }, length: text.length })
    const { pressed } = readTerminalKey(ESCAPE + text, true)
    expect([...(pressed?.held ?? [])].sort()).toEqual(['AltLeft', ...held].sort())
  }
})
