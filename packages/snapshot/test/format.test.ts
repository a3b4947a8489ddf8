/** The bounds that heads of sections are held to. */
import { expect, test } from 'vitest'
import { crc32 } from '../src/equal-pages.ts'
import { decodeHead, encodeHead, isSizeOf, type SectionName } from '../src/format.ts'

const MIB = 2 ** 20

/** Most bytes of each section, by the README: pages have numbers of 8 bytes, and 256 of them are a section. */
const MOST: readonly (readonly [SectionName, number])[] = [
  ['DESC', MIB],
  ['STAT', 256 * MIB],
  ['BYTE', 1024 * MIB],
  ['PMAP', 8 * MIB],
  ['PAGE', MIB],
  ['INDX', 32 * 1024],
  ['END ', 0],
]

test.each(MOST)('%s has up to %d bytes, compressed or not', (name, most) => {
  expect(isSizeOf(name, { stored: most, bytes: 0 })).toBe(true)
  expect(isSizeOf(name, { stored: most + 1, bytes: 0 })).toBe(false)
  if (most > 0) expect(isSizeOf(name, { stored: 1, bytes: most })).toBe(true)
  expect(isSizeOf(name, { stored: 1, bytes: most + 1 })).toBe(false)
})

test.each([
  [1, 66, true],
  [1, 67, false],
  [1000, 2064, true],
  [1000, 2065, false],
])('data of %d bytes are %d when compressed: possible %s', (bytes, stored, possible) => {
  expect(isSizeOf('STAT', { stored, bytes })).toBe(possible)
})

test.each([
  [2 ** 30, 0, true],
  [2 ** 30 + 1, 0, false],
  [1, 2 ** 30, true],
  [1, 2 ** 30 + 1, false],
  [2 ** 32 - 1, 0, false],
])('a head that says %d bytes, which become %d, is taken: %s', (stored, bytes, taken) => {
  const head = encodeHead('BYTE', new Uint8Array(), bytes)
  const view = new DataView(head.buffer)
  view.setUint32(8, stored, true)
  view.setUint32(28, crc32(head.subarray(0, 28)), true)
  expect(decodeHead(head)).toEqual(taken ? expect.objectContaining({ name: 'BYTE', stored, bytes }) : undefined)
})
