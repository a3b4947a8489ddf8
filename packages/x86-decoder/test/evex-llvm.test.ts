/**
 * EVEX against LLVM, which knows AVX10.2 and APX: every opcode of every map with every pp, W and L'L; b, z, mask, ModRM and
 * vvvv take turns. Compared are validity, length and text in Intel syntax.
 */
import { TEST_LONG } from '@retrap/tooling/long'
import { SLICE } from '@retrap/tooling/slice'
import { afterAll, describe, expect, test } from 'vitest'
import { evexLlvmDifferences } from './differences.ts'
import { compareWithLlvm, hasLlvm } from './support/llvm.ts'

const MODRMS = [0x01, 0x44, 0x85, 0xca] as const
const MASKS = [0, 3, 0x85] as const
/** One in so many combinations. */
const STRIDE = TEST_LONG ? 7 : 41

function sample(map: number): Uint8Array[] {
  const items: Uint8Array[] = []
  let turn = TEST_LONG ? map : SLICE + map
  for (let opcode = 0; opcode < 256; opcode++) {
    for (let fixed = 0; fixed < 32; fixed++) {
      for (const mask of MASKS) {
        for (const modrm of MODRMS) {
          for (const extra of [0, 0x10, 0x80]) {
            if (turn++ % STRIDE !== 0) continue
            // pp, W, L'L of `fixed`; b and vvvv of `extra`.
            const vvvv = extra === 0x80 ? 10 : 15
            const p1 = (fixed & 3) | ((fixed & 4) << 5) | 4 | (vvvv << 3)
            const p2 = ((fixed >> 3) << 5) | (extra & 0x10) | mask | (extra === 0x80 ? 0 : 8)
            const bytes = new Uint8Array(15).fill(0x90)
            bytes.set([0x62, 0xb0 | map, p1, p2, opcode, modrm])
            items.push(bytes)
          }
        }
      }
    }
  }
  // VMOVD and VMOVW between registers are too few to be met by chance.
  if (map === 1) items.push(Uint8Array.of(0x62, 0xf1, 0x7d, 0x08, 0xd6, 0xca))
  return items
}

const coverage = new Map<string, number>()

describe.skipIf(!hasLlvm)('LLVM agrees', () => {
  test.each([1, 2, 3, 5, 6])('on EVEX map %i', { timeout: 60_000 }, (map) => {
    const { unknown, valid } = compareWithLlvm(sample(map), evexLlvmDifferences, coverage)
    expect(unknown).toEqual([])
    expect(valid).toBeGreaterThan(TEST_LONG ? 500 : 50)
  })
})

afterAll(() => {
  for (const { why } of evexLlvmDifferences)
    console.log(`${String(coverage.get(why) ?? 0).padStart(9)} encodings: ${why}`)
  if (TEST_LONG && coverage.size > 5) expect(evexLlvmDifferences.filter(({ why }) => !coverage.has(why))).toEqual([])
})
