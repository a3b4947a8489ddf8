/**
 * APX against LLVM: EVEX map 4, what EVEX promotes in maps 1, 2, 3 and 7, and REX2 before every opcode of two maps. Prefix bits,
 * ModRM and vvvv take turns.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { apxLlvmDifferences } from './differences.ts'
import { compareWithLlvm, hasLlvm } from './support/llvm.ts'

const MAP4_BITS = [0x08, 0x18, 0x0c, 0x1c, 0x00, 0x13, 0x48, 0x0a] as const
/** Payloads of REX2 but for M0: without and with W and the register bits. */
const PAYLOADS = [0x00, 0x08, 0x11, 0x44, 0x22, 0x5d, 0x77, 0x7f] as const

function evexItems(map: number, opcodes: readonly number[], bits: readonly number[], stride: number): Uint8Array[] {
  const items: Uint8Array[] = []
  let turn = 0
  for (const opcode of opcodes) {
    for (let fixed = 0; fixed < 8; fixed++) {
      for (const p2 of bits) {
        for (const vvvv of [15, 10]) {
          for (let reg = 0; reg < 8; reg++) {
            for (const mod of [0x44, 0xc1]) {
              if (turn++ % stride !== 0) continue
              const bytes = new Uint8Array(15).fill(0x10)
              const p0 = [0xf0, 0x98, 0xe8, 0x78][(turn + reg) & 3] as number
              bytes.set([
                0x62,
                p0 | map,
                (fixed & 3) | ((fixed & 4) << 5) | 4 | (vvvv << 3),
                p2,
                opcode,
                mod | (reg << 3),
              ])
              items.push(bytes)
            }
          }
        }
      }
    }
  }
  return items
}

/** Prefixes in front have no effect on LLVM after REX2 where they should, so there are none. */
function rex2Items(): Uint8Array[] {
  const items: Uint8Array[] = []
  for (let opcode = 0; opcode < 256; opcode++) {
    for (const payload of PAYLOADS) {
      for (const modrm of [0x44, 0x4a, 0xd1, 0xf8]) {
        const bytes = new Uint8Array(15).fill(0x10)
        bytes.set([0xd5, payload, opcode, modrm])
        items.push(bytes)
      }
    }
  }
  return items
}

/** The names of R16 to R31 in a text: all that REX2 adds. */
const upperRegisters = (text: string): string =>
  [...text.matchAll(/\br(1[6-9]|2\d|3[01])[bwd]?\b/g)].map(([name]) => name).join()

const all = Array.from({ length: 256 }, (_, opcode) => opcode)
const coverage = new Map<string, number>()

describe.skipIf(!hasLlvm)('LLVM agrees', () => {
  test.each([
    { map: 1, opcodes: [0x90, 0x91, 0x92, 0x93], bits: [0x08, 0x00, 0x18, 0x0c], stride: 1 },
    { map: 2, opcodes: [0x49, 0x4a, 0x4b, ...all.slice(0xe0, 0xf8)], bits: [0x08, 0x00, 0x18, 0x0c], stride: 1 },
    { map: 3, opcodes: [0xf0], bits: [0x08, 0x00, 0x18, 0x0c], stride: 1 },
    { map: 4, opcodes: all, bits: MAP4_BITS, stride: 11 },
    { map: 7, opcodes: all, bits: [0x08, 0x0c], stride: 3 },
  ])('on APX in EVEX map $map', { timeout: 60_000 }, ({ map, opcodes, bits, stride }) => {
    const { unknown, valid } = compareWithLlvm(evexItems(map, opcodes, bits, stride), apxLlvmDifferences, coverage)
    expect(unknown).toEqual([])
    expect(valid).toBeGreaterThan(0)
  })

  test('on REX2', { timeout: 60_000 }, () => {
    const { unknown, valid } = compareWithLlvm(rex2Items(), apxLlvmDifferences, coverage, upperRegisters)
    expect(unknown).toEqual([])
    expect(valid).toBeGreaterThan(0)
  })
})

afterAll(() => {
  for (const { why } of apxLlvmDifferences)
    console.log(`${String(coverage.get(why) ?? 0).padStart(9)} encodings: ${why}`)
  if (coverage.size > 5) expect(apxLlvmDifferences.filter(({ why }) => !coverage.has(why))).toEqual([])
})
