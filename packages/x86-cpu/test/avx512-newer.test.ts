/**
 * Instructions of AVX-512 and AVX10.2 that few processors have, in both ways, beside references in exact arithmetic: VBMI,
 * VBMI2, BITALG, VPOPCNTDQ, VP2INTERSECT, FP16, BF16, FP8, conversions that saturate, IEEE 754-2019's minima.
 */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { codes, OperandKind } from '@retrap/x86-decoder'
import fc from 'fast-check'
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, expect, test } from 'vitest'
import { runBothWays, type Drawn } from './support/both-ways.ts'
import * as exact from './support/exact-numbers.ts'

const MODEL =
  'max,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512_vbmi,+avx512_vbmi2,+avx512_bitalg,+avx512_vpopcntdq,' +
  '+avx512_ifma,+avx512_vnni,+avx512_bf16,+avx512_fp16,+avx512_vp2intersect,+avx10_1,+avx10_2'
const IN = 0x6_0000
const OUT = 0x10_0000
const { BRAIN, HALF, SINGLE } = exact

beforeAll(() => loadInstructions(MODEL))

const join = (elements: readonly bigint[], bits: number): bigint =>
  elements.reduceRight((sum, value) => (sum << BigInt(bits)) | BigInt.asUintN(bits, value), 0n)

/** The vectors before: the destination, the sources; what rounds. */
interface Given {
  readonly old: Uint8Array
  readonly a: Uint8Array
  readonly b: Uint8Array
  readonly imm: number
  readonly mode: exact.Rounding
}
/** The destination, as one number; that of a mask is 64 bits. */
type Reference = (given: Given) => bigint

const MODES: readonly exact.Rounding[] = ['nearest', 'down', 'up', 'zero']

/** Each element by those of the other vectors in its place. */
const each =
  (from: number, to: number, compute: (a: bigint, b: bigint, old: bigint, given: Given) => bigint): Reference =>
  (given) => {
    const [a, b, old] = [given.a, given.b, given.old].map((bytes) => exact.split(bytes, from)) as [
      bigint[],
      bigint[],
      bigint[],
    ]
    return join(
      b.slice(0, 512 / Math.max(from, to)).map((one, i) => compute(a[i]!, one, old[i]!, given)),
      to,
    )
  }

const population = (value: bigint): bigint => BigInt([...value.toString(2)].filter((bit) => bit === '1').length)
const integers: Record<string, Reference> = {
  VPERMB: ({ a, b }) =>
    join(
      exact.split(a, 8).map((i) => BigInt(b[Number(i & 63n)]!)),
      8,
    ),
  VPERMI2B: ({ old, a, b }) =>
    join(
      [...old].map((i) => BigInt((i & 64 ? b : a)[i & 63]!)),
      8,
    ),
  VPERMT2B: ({ old, a, b }) =>
    join(
      [...a].map((i) => BigInt((i & 64 ? b : old)[i & 63]!)),
      8,
    ),
  VPMULTISHIFTQB: ({ a, b }) =>
    join(
      [...a].map((by, i) => {
        const data = exact.split(b, 64)[i >> 3]!
        return ((data << 64n) | data) >> BigInt(by & 63)
      }),
      8,
    ),
  VPSHUFBITQMB: ({ a, b }) =>
    join(
      [...b].map((at, i) => exact.split(a, 64)[i >> 3]! >> BigInt(at & 63)),
      1,
    ),
}
for (const [letter, bits] of Object.entries({ B: 8, W: 16, D: 32, Q: 64 })) {
  integers[`VPOPCNT${letter}`] = each(bits, bits, (_, b) => population(b))
  if (bits === 8) continue
  const by = (count: bigint): bigint => count % BigInt(bits)
  const pair = (high: bigint, low: bigint): bigint => (high << BigInt(bits)) | low
  integers[`VPSHLD${letter}`] = each(bits, bits, (a, b, _, { imm }) => (pair(a, b) << by(BigInt(imm))) >> BigInt(bits))
  integers[`VPSHRD${letter}`] = each(bits, bits, (a, b, _, { imm }) => pair(b, a) >> by(BigInt(imm)))
  integers[`VPSHLDV${letter}`] = each(bits, bits, (a, b, old) => (pair(old, a) << by(b)) >> BigInt(bits))
  integers[`VPSHRDV${letter}`] = each(bits, bits, (a, b, old) => pair(a, old) >> by(b))
}

const numbers: Record<string, Reference> = {}
const ONES = { 5: 0x3c00n, 8: 0x3f80n } as const
for (const [ending, format] of [
  ['PH', HALF],
  ['BF16', BRAIN],
] as const) {
  const isFlushed = format === BRAIN
  const one = ONES[format.exponent as 5]
  const options = ({ mode }: Given, signs = [0n, 0n]) => ({
    mode: isFlushed ? ('nearest' as const) : mode,
    isFlushed,
    signs,
  })
  const add = (name: string, compute: (a: bigint, b: bigint, old: bigint, given: Given) => bigint): void => {
    numbers[name + ending] = each(16, 16, compute)
  }
  add('VADD', (a, b, _, given) => exact.multiplyAdd(format, [a, one, b], options(given)))
  add('VSUB', (a, b, _, given) => exact.multiplyAdd(format, [a, one, b], options(given, [0n, 1n])))
  add('VMUL', (a, b, _, given) => {
    const sign = ((a ^ b) >> 15n) << 15n
    return exact.multiplyAdd(format, [a, b, sign], options(given))
  })
  add('VFMADD231', (a, b, old, given) => exact.multiplyAdd(format, [a, b, old], options(given)))
  add('VFMSUB132', (a, b, old, given) => exact.multiplyAdd(format, [old, b, a], options(given, [0n, 1n])))
  add('VFNMADD213', (a, b, old, given) => exact.multiplyAdd(format, [a, old, b], options(given, [1n, 0n])))
  add('VDIV', (a, b, _, given) => {
    const [x, y] = [exact.decode(format, a, isFlushed), exact.decode(format, b, isFlushed)]
    const [first] = [x, y].flatMap(({ kind }, i) => (kind === 'nan' ? [[a, b][i]!] : []))
    if (first !== undefined) return exact.quiet(format, first)
    const sign = x.sign ^ y.sign
    const isZero = (of: exact.Exact): boolean => of.kind === 'number' && of.magnitude === 0n
    if ((x.kind === 'infinity' && y.kind === 'infinity') || (isZero(x) && isZero(y))) return exact.indefinite(format)
    if (x.kind === 'infinity' || isZero(y)) return exact.infinityOf(format, sign)
    const quotient = { sign, top: x.magnitude, bottom: y.magnitude, exponent: x.exponent - y.exponent }
    const { mode } = options(given)
    return y.kind === 'infinity' ? sign << 15n : exact.encode(format, quotient, mode, isFlushed)
  })
}

/** Complex numbers, the real part below: products, then with the other product added. */
function complex(isConjugate: boolean, isAdded: boolean): Reference {
  return each(32, 32, (a, b, old, { mode }) => {
    const [a0, a1, b0, b1] = [a & 0xffffn, a >> 16n, b & 0xffffn, b >> 16n]
    const first = (x: bigint, addend: bigint): bigint => {
      const zero = ((x ^ b0) >> 15n) << 15n
      return exact.multiplyAdd(HALF, [x, b0, isAdded ? addend : zero], { mode })
    }
    const signs = [isConjugate ? 0n : 1n, 0n]
    const real = exact.multiplyAdd(HALF, [a1, b1, first(a0, old & 0xffffn)], { mode, signs })
    const imaginary = exact.multiplyAdd(HALF, [a0, b1, first(a1, old >> 16n)], { mode, signs: [1n - signs[0]!, 0n] })
    return real | (imaginary << 16n)
  })
}
numbers['VFMULCPH'] = complex(false, false)
numbers['VFCMADDCPH'] = complex(true, true)

/** As an integer: what is none is `bad`, or the nearest that there is. */
function whole(
  format: exact.Format,
  bits: bigint,
  range: readonly [bigint, bigint],
  mode: exact.Rounding,
  bad?: bigint,
): bigint {
  const { kind, sign, magnitude, exponent } = exact.decode(format, bits)
  if (kind === 'nan') return bad ?? 0n
  const [least, most] = range
  const shift = BigInt(Math.abs(exponent))
  const size = exponent >= 0 ? magnitude << shift : exact.rounded(sign, magnitude, 1n << shift, mode)
  const value = kind === 'infinity' ? most + 1n : size
  const signed = sign === 1n ? (kind === 'infinity' ? least - 1n : -value) : value
  if (signed >= least && signed <= most) return signed
  return bad ?? (signed < least ? least : most)
}
const signedRange = (bits: number): readonly [bigint, bigint] => [
  -(2n ** BigInt(bits - 1)),
  2n ** BigInt(bits - 1) - 1n,
]
const unsignedRange = (bits: number): readonly [bigint, bigint] => [0n, 2n ** BigInt(bits) - 1n]

/** All numbers of HF8 by their definition: the nearest of them to a half. */
function nearestHf8(half: bigint, isSaturated: boolean): bigint {
  const { kind, sign, magnitude, exponent } = exact.decode(HALF, half)
  if (kind === 'nan') return (sign << 7n) | 0x7fn
  const beyond = (sign << 7n) | (isSaturated ? 0x7en : 0x7fn)
  if (kind === 'infinity') return beyond
  // In units of 2 ** -24. What comes behind 448, 7EH, would be 480.
  const value = magnitude << BigInt(exponent + 24)
  const of = (n: bigint): bigint => (n < 8n ? n << 15n : ((n & 7n) | 8n) << ((n >> 3n) + 14n))
  let low = 0n
  while (low < 0x7en && of(low + 1n) <= value) low++
  const [down, up] = [value - of(low), of(low + 1n) - value]
  const nearest = down < up || (down === up && low % 2n === 0n) ? low : low + 1n
  return nearest > 0x7en ? beyond : (sign << 7n) | nearest
}

const upperOf = ({ a }: Given, bits: number): bigint[] => exact.split(a, bits)
const conversions: Record<string, Reference> = {
  VCVTPS2PHX: each(32, 16, (_, b, __, { mode }) => exact.converted(SINGLE, HALF, b, mode)),
  VCVTPH2PSX: ({ b }) =>
    join(
      exact.split(b.subarray(0, 32), 16).map((one) => exact.converted(HALF, SINGLE, one, 'nearest')),
      32,
    ),
  VCVT2PS2PHX: (given) =>
    join(
      [...exact.split(given.b, 32), ...upperOf(given, 32)].map((one) => exact.converted(SINGLE, HALF, one, given.mode)),
      16,
    ),
  VCVTNE2PS2BF16: (given) =>
    join(
      [...exact.split(given.b, 32), ...upperOf(given, 32)].map((one) =>
        exact.converted(SINGLE, BRAIN, one, 'nearest', true),
      ),
      16,
    ),
  VCVTW2PH: each(16, 16, (_, b, __, { mode }) => {
    const value = BigInt.asIntN(16, b)
    return exact.encode(HALF, { sign: value < 0n ? 1n : 0n, top: value < 0n ? -value : value, exponent: 0 }, mode)
  }),
  VCVTPH2W: each(16, 16, (_, b, __, { mode }) => whole(HALF, b, signedRange(16), mode, 0x8000n)),
  VCVTTPH2UW: each(16, 16, (_, b) => whole(HALF, b, unsignedRange(16), 'zero', 0xffffn)),
  VCVTTPS2DQS: each(32, 32, (_, b) => whole(SINGLE, b, signedRange(32), 'zero')),
  VCVTTPS2UDQS: each(32, 32, (_, b) => whole(SINGLE, b, unsignedRange(32), 'zero')),
  VCVTPS2IBS: each(32, 32, (_, b, __, { mode }) => BigInt.asUintN(8, whole(SINGLE, b, signedRange(8), mode))),
  VCVTTBF162IUBS: each(16, 16, (_, b) => whole(BRAIN, b, unsignedRange(8), 'zero')),
  VCVTPH2HF8: each(16, 8, (_, b) => nearestHf8(b, false)),
  VCVTPH2HF8S: each(16, 8, (_, b) => nearestHf8(b, true)),
  VCVT2PH2HF8: (given) =>
    join(
      [...exact.split(given.b, 16), ...upperOf(given, 16)].map((one) => nearestHf8(one, false)),
      8,
    ),
  VCVTHF82PH: ({ b }) =>
    join(
      [...b.subarray(0, 32)].map((one) => {
        const [sign, n] = [BigInt(one >> 7), BigInt(one & 0x7f)]
        if (n === 0x7fn) return exact.quiet(HALF, exact.infinityOf(HALF, sign))
        const [top, exponent] = n < 8n ? [n, -9] : [(n & 7n) | 8n, Number(n >> 3n) - 10]
        return exact.encode(HALF, { sign, top, exponent })
      }),
      16,
    ),
  VCVTPH2BF8: each(16, 8, (_, b) => exact.converted(HALF, { exponent: 5, fraction: 2 }, b, 'nearest')),
  VDPBF16PS: each(32, 32, (a, b, old) =>
    [16n, 0n].reduce(
      (sum, at) =>
        exact.multiplyAdd(SINGLE, [((a >> at) & 0xffffn) << 16n, ((b >> at) & 0xffffn) << 16n, sum], {
          isFlushed: true,
        }),
      old,
    ),
  ),
}
const REFERENCES = { ...integers, ...numbers, ...conversions }

/** Halves, bfloats and singles that are at the ends of their ranges, and bytes. */
const edges = fc.constantFrom(0, 0x80, 0x7c, 0xfc, 0x7e, 0x7f, 0xff, 0x3c, 0x3f, 0xbf, 1, 0x4b, 0x43)
const vector = fc
  .uint8Array({ minLength: 64, maxLength: 64 })
  .chain((plain) =>
    fc
      .array(fc.oneof(edges, fc.integer({ min: 0, max: 255 })), { minLength: 64, maxLength: 64 })
      .map((mixed) => (plain[0]! & 1 ? plain : Uint8Array.from(mixed))),
  )

/** An instruction on ZMM0 (or K3), ZMM1 and ZMM2. */
function draw(asm: Assembler, mnemonic: string, imm: number): void {
  const info = codes.find((one) => one.mnemonic === mnemonic && one.operands.some(({ size }) => size === 64))!
  const operands = info.operands.map(({ kind, size }, i) => {
    if (kind === OperandKind.IMM8) return imm
    if (kind === OperandKind.MASK_REG) return x86.k3
    const number = i === 0 ? 0 : kind === OperandKind.XMM_VVVV ? 1 : 2
    const letter = size === 64 ? 'z' : size === 32 ? 'y' : 'x'
    return (x86 as unknown as Record<string, unknown>)[`${letter}mm${number}`]
  })
  ;(asm as unknown as Drawn)[mnemonic.toLowerCase()]!(...operands)
}

const CASE_BYTES = 256
const RESULT_BYTES = 128

test('what each instruction computes, interpreted and compiled', () => {
  const names = Object.keys(REFERENCES)
  const one = fc.record({ old: vector, a: vector, b: vector, mode: fc.constantFrom(...MODES) })
  fc.assert(
    fc.property(fc.array(one, { minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 255 }), (cases, imm) => {
      const [pc] = runBothWays({
        cpu: MODEL,
        code: (asm) => {
          asm.mov(x86.rsi, IN).mov(x86.rdi, OUT).mov(x86.ecx, cases.length)
          const next = asm.here('next')
          for (const name of names) {
            asm.ldmxcsr(x86.dword(x86.rsi, { disp: 192 })).vmovdqu64(x86.zmm0, x86.zmmword(x86.rsi))
            asm.vmovdqu64(x86.zmm1, x86.zmmword(x86.rsi, { disp: 64 }))
            draw(asm.vmovdqu64(x86.zmm2, x86.zmmword(x86.rsi, { disp: 128 })), name, imm)
            asm.vmovdqu64(x86.zmmword(x86.rdi), x86.zmm0).kmovq(x86.qword(x86.rdi, { disp: 64 }), x86.k3)
            asm.add(x86.rdi, RESULT_BYTES)
          }
          asm.add(x86.rsi, CASE_BYTES).dec(x86.ecx).jnz(next).hlt()
        },
        prepare: (cpu) => {
          cpu.enableState(0xe7)
          for (const [i, { old, a, b, mode }] of cases.entries()) {
            for (const [j, bytes] of [old, a, b].entries()) cpu.load(IN + CASE_BYTES * i + 64 * j, bytes)
            cpu.load(IN + CASE_BYTES * i + 192, [0x80, 0x1f | (MODES.indexOf(mode) << 5)])
          }
        },
      })
      const results = pc.memory.u8.subarray(pc.host.ramMa + OUT)
      for (const [i, given] of cases.entries())
        for (const [j, name] of names.entries()) {
          const at = RESULT_BYTES * (names.length * i + j) + (name === 'VPSHUFBITQMB' ? 64 : 0)
          const expected = REFERENCES[name]!({ ...given, imm })
          const bits = name === 'VPSHUFBITQMB' ? 64 : 512
          const [found] = [join([...results.subarray(at, at + bits / 8)].map(BigInt), 8)]
          expect(`${name} ${found!.toString(16)}`).toBe(`${name} ${expected.toString(16)}`)
        }
    }),
    { numRuns: 1, endOnFailure: true },
  )
})

test('VP2INTERSECT writes a pair of masks, VCOMX sets flags for signed conditions, VMINMAX knows NaNs', () => {
  const quiet = 0xffc0_0001
  const [pc] = runBothWays({
    cpu: MODEL,
    code: (asm) => {
      asm.mov(x86.rsi, IN).mov(x86.rdi, OUT).mov(x86.ecx, 3)
      const next = asm.here('next')
      asm.vmovdqu64(x86.zmm1, x86.zmmword(x86.rsi)).vmovdqu64(x86.zmm2, x86.zmmword(x86.rsi, { disp: 64 }))
      asm.kxorq(x86.k4, x86.k4, x86.k4).vp2intersectd(x86.k5, x86.zmm1, x86.zmm2).kmovq(x86.qword(x86.rdi), x86.k4)
      asm.kmovq(x86.qword(x86.rdi, { disp: 8 }), x86.k5)
      for (const [i, at] of [128, 132, 136, 140].entries())
        asm
          .vmovss(x86.xmm3, x86.dword(x86.rsi, { disp: 132 }))
          .vucomxss(x86.xmm3, x86.dword(x86.rsi, { disp: at }))
          .pushfq()
          .pop(x86.rax)
          .and(x86.eax, 0x8d5)
          .mov(x86.dword(x86.rdi, { disp: 16 + 4 * i }), x86.eax)
      for (const [i, imm] of [4, 5, 0x14, 0x15, 0x0b, 0x10].entries())
        asm
          .vmovdqu32(x86.xmm3, x86.xmmword(x86.rsi, { disp: 144 }))
          .vminmaxps(x86.xmm3, x86.xmm3, x86.xmmword(x86.rsi, { disp: 160 }), imm)
          .vmovdqu32(x86.xmmword(x86.rdi, { disp: 32 + 16 * i }), x86.xmm3)
      asm.dec(x86.ecx).jnz(next).hlt()
    },
    prepare: (cpu) => {
      cpu.enableState(0xe7)
      const words = [
        ...Array.from({ length: 16 }, (_, i) => i),
        ...Array.from({ length: 16 }, (_, i) => 3 * i + 2),
        ...[0x4000_0000, 0x3f80_0000, 0x3f00_0000, quiet],
        ...[0x3f80_0000, 0x8000_0000, quiet, 0xc000_0000],
        ...[0xc000_0000, 0, 0x4000_0000, 0x4000_0000],
      ]
      cpu.load(IN, new Uint8Array(Uint32Array.from(words).buffer))
    },
  })
  const words = new Uint32Array(pc.memory.u8.slice(pc.host.ramMa + OUT, pc.host.ramMa + OUT + 128).buffer)
  // 2, 5, 8, 11 and 14 are in both.
  expect([words[0], words[2]]).toEqual([0b0100_1001_0010_0100, 0b1_1111])
  // 1 is less than 2, equal to 1, greater than 1/2, and in no order with a NaN: OF, SF, ZF, PF and CF.
  expect([...words.subarray(4, 8)]).toEqual([0x801, 0x8c0, 0, 0x885])
  expect([...words.subarray(8, 32)]).toEqual(
    [
      [0xc000_0000, 0x8000_0000, quiet, 0xc000_0000],
      [0x3f80_0000, 0, quiet, 0x4000_0000],
      [0xc000_0000, 0x8000_0000, 0x4000_0000, 0xc000_0000],
      [0x3f80_0000, 0, 0x4000_0000, 0x4000_0000],
      [0x4000_0000, 0, quiet, 0x4000_0000],
      // The sign of the first operand, unless that is a NaN.
      [0x4000_0000, 0x8000_0000, 0x4000_0000, 0xc000_0000],
    ].flat(),
  )
})

test('halves are computed as the singles that they are, where one rounding follows another without harm', () => {
  const unary = ['vgetexp', 'vgetmant', 'vrndscale', 'vreduce', 'vsqrt']
  const binary = ['vmin', 'vmax', 'vscalef']
  const intoMask = ['vcmp', 'vfpclass']
  fc.assert(
    fc.property(fc.array(vector, { minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 31 }), (cases, imm) => {
      const [pc] = runBothWays({
        cpu: MODEL,
        code: (asm) => {
          const drawn = asm as unknown as Drawn
          asm.mov(x86.rsi, IN).mov(x86.rdi, OUT).mov(x86.ecx, cases.length)
          const next = asm.here('next')
          asm.vmovdqu(x86.ymm1, x86.ymmword(x86.rsi)).vmovdqu(x86.ymm2, x86.ymmword(x86.rsi, { disp: 32 }))
          asm.vcvtph2psx(x86.zmm3, x86.ymm1).vcvtph2psx(x86.zmm4, x86.ymm2)
          // A minimum may be a signalling NaN, which a conversion makes quiet.
          asm.vcvtps2phx(x86.ymm1, x86.zmm3).vcvtps2phx(x86.ymm2, x86.zmm4)
          const takesImmediate = /mant|scale$|reduce|cmp|class/
          for (const name of [...unary, ...binary, ...intoMask]) {
            const isBinary = binary.includes(name) || name === 'vcmp'
            const last = takesImmediate.test(name) && name !== 'vscalef' ? [imm & (name === 'vreduce' ? 0x18 : 31)] : []
            const isMask = intoMask.includes(name)
            const [half, single] = isMask ? [x86.k1, x86.k2] : [x86.ymm5, x86.zmm6]
            drawn[`${name}ph`]!(half, x86.ymm1, ...(isBinary ? [x86.ymm2] : []), ...last)
            drawn[`${name}ps`]!(single, x86.zmm3, ...(isBinary ? [x86.zmm4] : []), ...last)
            if (isMask) asm.kmovq(x86.qword(x86.rdi), x86.k1).kmovq(x86.qword(x86.rdi, { disp: 32 }), x86.k2)
            else
              asm
                .vmovdqu64(x86.ymmword(x86.rdi), x86.ymm5)
                .vcvtps2phx(x86.ymm7, x86.zmm6)
                .vmovdqu64(x86.ymmword(x86.rdi, { disp: 32 }), x86.ymm7)
            asm.add(x86.rdi, 64)
          }
          asm.add(x86.rsi, 64).dec(x86.ecx).jnz(next).hlt()
        },
        prepare: (cpu) => {
          cpu.enableState(0xe7)
          for (const [i, bytes] of cases.entries()) cpu.load(IN + 64 * i, bytes)
        },
      })
      const names = [...unary, ...binary, ...intoMask]
      for (let i = 0; i < cases.length * names.length; i++) {
        const at = pc.host.ramMa + OUT + 64 * i
        const part = (from: number): string =>
          Buffer.from(pc.memory.u8.subarray(at + from, at + from + 32)).toString('hex')
        expect(`${names[i % names.length]} ${imm} ${part(0)}`).toBe(`${names[i % names.length]} ${imm} ${part(32)}`)
      }
    }),
    { numRuns: 3, endOnFailure: true },
  )
})
