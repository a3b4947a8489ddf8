import { expect, test } from 'vitest'
import { copyGuest, gather, lengthOf, scatter } from '../src/index.ts'
import { codeOf, createGuest } from './support/guest.ts'

const guest = createGuest()
const cache = guest.cache()
guest.ram(0x10)
guest.ram(0x12)
guest.ram(0x11)
const list = [
  { gpa: 0x1_0ffe, length: 4 },
  { gpa: 0x1_2000, length: 0 },
  { gpa: 0x1_0000, length: 3 },
  { gpa: 0x1_2100, length: 5 },
]

test('pieces are written and read in order, across pages that are not consecutive', () => {
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => i + 1)
  expect([lengthOf(list), scatter(cache, list, bytes)]).toEqual([12, 12])
  expect([...cache.map(0x1_0000, 3).bytes]).toEqual([5, 6, 7])
  expect([...cache.map(0x1_1000, 2).bytes]).toEqual([3, 4])
  const back = new Uint8Array(12)
  expect(gather(cache, list, back)).toBe(12)
  expect(back).toEqual(bytes)
})

test('any part of a list is what the whole has there', () => {
  const whole = new Uint8Array(12)
  gather(cache, list, whole)
  for (let skip = 0; skip <= 13; skip++) {
    for (let length = 0; length <= 12; length++) {
      const part = new Uint8Array(length)
      const expected = whole.slice(skip, skip + length)
      expect(gather(cache, list, part, skip)).toBe(expected.length)
      expect(part.slice(0, expected.length)).toEqual(expected)
    }
  }
  expect(codeOf(() => gather(cache, list, whole, -1))).toBe('ERR_RANGE')
})

test('the first byte that is no RAM ends it', () => {
  const torn = [
    { gpa: 0x1_2ffc, length: 8 },
    { gpa: 0x1_0000, length: 4 },
  ]
  expect(scatter(cache, torn, new Uint8Array(12).fill(9))).toBe(4)
  expect(gather(cache, torn, new Uint8Array(12), 2)).toBe(2)
  expect(cache.read(0x1_2ffc, new Uint8Array(8))).toBe(false)
  expect(cache.fillSome(0x1_2ff0, 0x20, 1)).toBe(0x10)
})

test('copies within the guest stop where either side does', () => {
  cache.fillSome(0x1_0000, 0x1000, 0x11)
  cache.fillSome(0x1_1000, 0x1000, 0x22)
  expect(copyGuest(cache, 0x1_2000, 0x1_0800, 0x1000)).toBe(0x1000)
  expect([...cache.map(0x1_27ff, 2).bytes]).toEqual([0x11, 0x22])
  expect(copyGuest(cache, 0x1_2800, 0x1_0000, 0x1000)).toBe(0x800)
  expect(copyGuest(cache, 0x1_0000, 0x1_2c00, 0x1000)).toBe(0x400)
  expect(copyGuest(cache, 0x1_0000, 0x1_2c00, 0)).toBe(0)
})

test('copies within the guest of more than one piece', () => {
  const large = createGuest()
  const all = large.cache()
  large.ram(0x100, 0x30)
  large.ram(0x200, 0x24)
  const bytes = Uint8Array.from({ length: 0x2_8000 }, (_, i) => (i * 7 + (i >>> 12)) & 0xff)
  all.writeSome(0x10_0000, bytes)
  expect(copyGuest(all, 0x20_0010, 0x10_0000, 0x1_8001)).toBe(0x1_8001)
  const back = new Uint8Array(0x1_8001)
  all.readSome(0x20_0010, back)
  expect(Buffer.compare(back, bytes.subarray(0, 0x1_8001))).toBe(0)
  // Until the destination ends.
  expect(copyGuest(all, 0x20_0000, 0x10_0000, 0x2_8000)).toBe(0x2_4000)
})
