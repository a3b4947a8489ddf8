/** What keys are at a serial port, as xterm sends them. */
import { expect, test } from 'vitest'
import { terminalKey, terminalText } from '../src/keys/serial-keys.ts'

const none = { control: false, alt: false, shift: false }

test.each([
  ['Escape', {}, '\x1b'],
  ['Tab', { shift: true }, '\x1b[Z'],
  ['Enter', { alt: true }, '\x1b\r'],
  ['ArrowUp', {}, '\x1b[A'],
  ['ArrowLeft', { control: true }, '\x1b[1;5D'],
  ['F1', {}, '\x1bOP'],
  ['F5', {}, '\x1b[15~'],
  ['F12', { shift: true, alt: true }, '\x1b[24;4~'],
  ['Delete', {}, '\x1b[3~'],
  ['Home', {}, '\x1b[H'],
  ['MetaLeft', {}, undefined],
])('%s with %j', (code, held, expected) => {
  expect(terminalKey(code, { ...none, ...held })).toBe(expected)
})

test.each([
  ['c', { control: true }, '\x03'],
  ['[', { control: true }, '\x1b'],
  ['1', { control: true }, '1'],
  ['ab', { alt: true }, '\x1ba\x1bb'],
  ['ls\nü', {}, 'ls\rü'],
])('the text %j with %j', (text, held, expected) => {
  expect(terminalText(text, { ...none, ...held })).toBe(expected)
})
