/** Which images a kept disk may lie over. */
import { expect, test } from 'vitest'
import { isSameSource, type KeptSource, placeOf } from '../src/kept-disk-files.ts'

const source = (name: string, tag: string | null = '"one"', bytes = 512): KeptSource => ({ name, tag, bytes })
const own = source('https://a.test/x.img')

test.each([
  ['the same', own, own, true],
  ['another query, such as a signature, and the same tag', own, source('https://a.test/x.img?signed=1'), true],
  ['another tag', own, source('https://a.test/x.img', '"two"'), false],
  ['another size', own, source('https://a.test/x.img', '"one"', 1024), false],
  // A stranger's server can send any tag: its guest would read what the user's has written.
  ['another server that sends the same tag', own, source('https://evil.test/x.img'), false],
  ['another file of the server', own, source('https://a.test/y.img'), false],
  ['a file instead of an address', own, source('x.img'), false],
  ['no tag', source(own.name, null), source(own.name, null), true],
  ['no tag, and another query', source(own.name, null), source(`${own.name}?2`, null), false],
  ['a file that has another name now', source('x.img', 'changed 2026'), source('y.img', 'changed 2026'), true],
])('%s', (_, a, b, expected) => {
  expect([isSameSource(a, b), isSameSource(b, a)]).toEqual([expected, expected])
})

test('the place of a source has no query', () => {
  expect(['https://a.test/x?secret#y', 'disk?1.img'].map(placeOf)).toEqual(['https://a.test/x', 'disk?1.img'])
})
