/**
 * EVEX against LLVM, which knows AVX10.2 and APX: every opcode of every map with every pp, W and L'L; b, z, mask, ModRM and
 * vvvv take turns. Compared are validity, length and text in Intel syntax.
 */
import { afterAll, describe, expect, test } from 'vitest'
import { compareWithLlvm, hasLlvm, type LlvmDifference } from './support/llvm.ts'

/** Where LLVM differs, `ours | theirs` with '-' for invalid, and what decides it. Each row must cover something. */
const differences: readonly LlvmDifference[] = [
  {
    texts: /^- \| /,
    bytes: (bytes) => ((bytes[3] as number) & 0x60) === 0x60,
    why: 'EVEX.L\'L = 11b is #UD where it is not a rounding (SDM vol. 2A, "EVEX.L\'L"): LLVM takes it for 512',
  },
  {
    texts: /^vcvtu?si2s[dsh] .*[a-d]x\{\w\w-sae\} \| vcvtu?si2s[dsh] .*\{\w\w-sae\},/,
    why: 'the rounding stands beside the last operand, as the manual writes r/m32{er}; LLVM has it before',
  },
  {
    texts: /^(vcvtu?dq2pd|vcvtu?si2sd) .*\{\w\w-sae\} \| -/,
    why: 'the conversion is exact, and the rounding is ignored (as iced-x86 has it; SDM has no {er} there)',
  },
  {
    texts: /^(vps[rl]l|vpsra)w .* \| -|^vpalignr .* \| -|^vmovw .*\[.* \| -/,
    why: 'W is ignored (SDM vol. 2B, 2C: WIG)',
  },
  {
    texts:
      /^v(rndscale|fpclass|scalef|getexp|comx|ucomx|reduce|getmant|minmax|rcp|rsqrt)\w*s[hsd] .* \| -|^vfc?m(add|ul)csh .* \| -/,
    why: "L'L is ignored by scalar instructions (SDM vol. 2C: LLIG)",
  },
  {
    texts: /^(vpinsr[bw]|vpextr[bw]|vextractps) .*\br\w\w\b.* \| \1 .*\be\w\w\b/,
    why: 'with W = 1 the register is the 64-bit one, as the manual writes r64/m8',
  },
  {
    texts: /^vmov([dw]) (xmm\d+),(xmm\d+) \| vmov\1 \3,\2$/,
    why: '66 0F D6 and F3 MAP5 7E are stores: ModRM.rm is the destination (AVX10.2 specification, VMOVD, VMOVW)',
  },
  { texts: /^vp2intersect\w .*k\d/, why: 'the register of the pair that is encoded, not the even one' },
  {
    texts: /^- \| (\{nf\})?(andn|bl\w+|bzhi|bextr) /,
    why: 'NP only, and z and L\'L must be 0 (APX specification, "EVEX Extension of VEX Instructions")',
  },
  { texts: /^- \| vcvtqq2p[sh] .*\{1to2\}/, why: 'NP only: LLVM takes 66 too' },
  {
    texts: /^- \| vfc?m(add|ul)c[ps]h /,
    why: '#UD if the destination is a source too (SDM vol. 2C, VFMULCPH and its like)',
  },
]

const MODRMS = [0x01, 0x44, 0x85, 0xca] as const
const MASKS = [0, 3, 0x85] as const
/** One in so many combinations. */
const STRIDE = 7

function sample(map: number): Uint8Array[] {
  const items: Uint8Array[] = []
  let turn = map
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
    const { unknown, valid } = compareWithLlvm(sample(map), differences, coverage)
    expect(unknown).toEqual([])
    expect(valid).toBeGreaterThan(500)
  })
})

afterAll(() => {
  for (const { why } of differences) console.log(`${String(coverage.get(why) ?? 0).padStart(9)} encodings: ${why}`)
  if (coverage.size > 5) expect(differences.filter(({ why }) => !coverage.has(why))).toEqual([])
})
