import { describe, expect, test } from 'vitest'
import { checksumOf, foldSum, sumWords } from '../src/index.ts'

// RFC 1071, §3, "Numerical Examples"
const EXAMPLE = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7)

describe('the ones’ complement sum (RFC 1071)', () => {
  test('of the example is 0xDDF2, wherever it is', () => {
    const behind = Uint8Array.of(9, ...EXAMPLE, 9)
    expect([sumWords(EXAMPLE, 0, 8), sumWords(behind, 1, 9)]).toEqual([0x2_ddf0, 0x2_ddf0])
    expect([foldSum(0x2_ddf0), checksumOf(0x2_ddf0)]).toEqual([0xddf2, 0x220d])
  })

  test('of parts is the sum of the whole', () => {
    expect(sumWords(EXAMPLE, 4, 8, sumWords(EXAMPLE, 0, 4))).toBe(0x2_ddf0)
  })

  test('pads a last byte alone with 0', () => {
    expect([sumWords(EXAMPLE, 0, 5), sumWords(EXAMPLE, 4, 5), sumWords(EXAMPLE, 4, 4)]).toEqual([0x1_e604, 0xf400, 0])
  })

  test('over data with its checksum comes to 0', () => {
    expect(checksumOf(sumWords(Uint8Array.of(...EXAMPLE, 0x22, 0x0d), 0, 10))).toBe(0)
  })

  test('of a megabyte is exact, where it exceeds 32 bits', () => {
    const ones = new Uint8Array(1 << 20).fill(0xff)
    expect(sumWords(ones, 0, ones.length)).toBe(0xffff * (1 << 19))
    // Of 0xFFFF as often as one likes nothing comes but 0xFFFF.
    expect(foldSum(0xffff * (1 << 19))).toBe(0xffff)
    expect(foldSum(0x1_0000_0000)).toBe(1)
  })
})
