import { expect, test } from 'vitest'
import { SharedLines } from '../src/host/index.ts'

test('the levels of several holders are ORed, and a pulse comes where nobody has the wire up', () => {
  const seen: string[] = []
  const lines = new SharedLines((input, level) => seen.push(`${input} ${level}`))
  const [one, other, third] = [lines.line(5), lines.line(5), lines.line(6)]
  one.set(true)
  other.set(true)
  one.set(true)
  expect(seen).toEqual(['5 true'])
  one.pulse()
  other.pulse()
  one.set(false)
  expect([seen, lines.isAsserted(5), lines.isAsserted(6)]).toEqual([['5 true'], true, false])
  other.set(false)
  third.pulse()
  other.pulse()
  expect(seen).toEqual(['5 true', '5 false', '6 true', '6 false', '5 true', '5 false'])
  expect([lines.isAsserted(5), lines.isAsserted(6)]).toEqual([false, false])
})

test('a pulse may be something else than two levels', () => {
  const seen: string[] = []
  const lines = new SharedLines(
    () => seen.push('level'),
    (input) => seen.push(`pulse of ${input}`),
  )
  lines.line(3).pulse()
  expect(seen).toEqual(['pulse of 3'])
})
