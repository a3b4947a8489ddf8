import { expect, test } from 'vitest'
import { ConsoleLog } from '../../src/commands/mcp/console-log.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('a guest that prints without end takes no more memory, and its end is there', async () => {
  const log = new ConsoleLog()
  const line = bytes(`${'x'.repeat(1023)}\n`)
  for (let i = 0; i < 65_536; i++) log.push(line)
  log.push(bytes('last'))
  expect(log.length).toBe(64 * 2 ** 20 + 4)
  expect(log.last(10)).toMatch(/characters before are left out\]\nxxxxx\nlast$/)
  expect(log.take(10)).toMatch(/xxxxx\nlast$/)
  expect(log.take(10)).toBe('')
  expect(log.last(2 ** 30).length).toBeLessThan(2 ** 21 + 100)
})

test('a text is found once it is whole, new or not read yet, wherever the output is cut', async () => {
  const log = new ConsoleLog()
  log.push(bytes('one\r\ntwo'))
  await log.until('one\ntwo', false)
  let found = false
  const waits = log.until('two three', false).then(() => (found = true))
  log.push(bytes(' thr'))
  await Promise.resolve()
  expect(found).toBe(false)
  log.push(bytes('ee'))
  await waits
  expect(log.take(100)).toBe('one\ntwo three')
  // What is there already is not new.
  log.push(bytes('again'))
  const isNew = log.until('again', true).then(() => (found = false))
  await Promise.resolve()
  expect(found).toBe(true)
  log.push(bytes(' again'))
  await isNew
  expect(log.take(100)).toBe('again again')
})

test('control characters of a guest are shown as text', () => {
  const log = new ConsoleLog()
  log.push(bytes('\x1b]0;title\x07\ttab'))
  expect(log.last(100)).toBe('\\x1b]0;title\\x07\ttab')
})
