import { crc32 as zlibCrc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { ownCrc32 } from '../src/crc32.ts'
import { concatenate, crc32 } from '../src/index.ts'

test('checksums are as zlib has them, of any length and place', () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => Math.imul(i + 1, 0x9e37_79b1) >>> 24)
  for (let length = 0; length <= 80; length++) {
    for (const from of [0, 1, 7, 200]) {
      const some = bytes.subarray(from, from + length)
      expect([crc32(some), ownCrc32(some)]).toEqual([zlibCrc32(some), zlibCrc32(some)])
    }
  }
})

test('bytes are joined in order', () => {
  expect(concatenate([Uint8Array.of(1, 2), new Uint8Array(), [3]])).toEqual(Uint8Array.of(1, 2, 3))
  expect(concatenate([])).toEqual(new Uint8Array())
})
