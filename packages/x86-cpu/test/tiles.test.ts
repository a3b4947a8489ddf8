/** AMX in both ways: exact progress under faults and slow devices, and products beside exact sums of integers. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, describe, expect, test } from 'vitest'
import * as S from '../src/state/state-layout.ts'
import { PAGE_TABLE, type BareCpu } from './support/bare-cpu.ts'
import { handler, runBothWays } from './support/both-ways.ts'

const CPU = 'max,+amx_tile,+amx_int8,+amx_bf16,+amx_fp16,+amx_complex,+xfd'
const CONFIG = 0x6_8000
const SEEN = 0x6_9000
const IN = 0x7_0000
const OUT = 0x7_8000
const [UD, NM, GP, PF] = [6, 7, 13, 14]

beforeAll(() => loadInstructions(CPU))

/** Rows and bytes of tiles 0 to 7. */
type Shapes = readonly (readonly [rows: number, bytes: number])[]
function configuration(shapes: Shapes, startRow = 0): Uint8Array {
  const bytes = new Uint8Array(64)
  bytes.set([1, startRow])
  for (const [tile, [rows, rowBytes]] of shapes.entries()) {
    bytes[16 + 2 * tile] = rowBytes
    bytes[48 + tile] = rows
  }
  return bytes
}

const bytesAt = (pc: BareCpu, at: number, count: number): number[] => [
  ...pc.memory.u8.subarray(pc.host.ramMa + at, pc.host.ramMa + at + count),
]

function enable(pc: BareCpu, config: Uint8Array): void {
  pc.cpu.u32[S.S_CR4 >>> 2]! |= 1 << 18
  pc.cpu.u32[S.S_XCR0 >>> 2] = 0x6_0007
  pc.cpu.modeChanged()
  pc.load(CONFIG, config)
}

/** Skips the instruction, and counts. */
const skipTo =
  (label: string) =>
  (pc: BareCpu, at: (label: string) => number, vector: number, hasCode: boolean): void =>
    handler(pc, vector, (asm) => {
      if (hasCode) asm.pop(x86.r14)
      asm.mov(x86.qword(x86.rsp), at(label)).inc(x86.r15).iretq()
    })

const config = x86.zmmword(x86.rsi)
const start = (asm: Assembler): Assembler => asm.mov(x86.rsi, CONFIG).mov(x86.rdi, IN).mov(x86.rbx, OUT)

test('LDTILECFG takes what the manual allows, and otherwise raises #GP and loads nothing', () => {
  const byte = fc.tuple(fc.nat(63), fc.constantFrom(0, 1, 2, 16, 17, 64, 65))
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 2 }), (changes) => {
      const given = configuration(Array.from({ length: 8 }, () => [16, 64] as const))
      for (const [at, value] of changes) given[at] = value
      const isReserved = (at: number): boolean => (at >= 2 && at < 16) || (at >= 32 && at < 48) || at >= 56
      const isValid =
        given[0] === 0 ||
        (given[0] === 1 &&
          given.every((value, at) => !isReserved(at) || value === 0) &&
          Array.from({ length: 8 }, (_, i) => [given[16 + 2 * i]! + 256 * given[17 + 2 * i]!, given[48 + i]!]).every(
            ([bytes, rows]) => bytes! <= 64 && rows! <= 16 && (bytes === 0) === (rows === 0),
          ))
      const pairs = runBothWays({
        cpu: CPU,
        code: (asm) => {
          start(asm).mov(x86.ecx, 3)
          const next = asm.here('next')
          asm.ldtilecfg(config).bind(asm.label('after')).sttilecfg(x86.zmmword(x86.rbx)).dec(x86.ecx).jnz(next).hlt()
        },
        prepare: (pc, at) => {
          enable(pc, given)
          skipTo('after')(pc, at, GP, true)
        },
      })
      const kept = isValid && given[0] === 1 ? [...given] : Array<number>(64).fill(0)
      expect([pairs[0].register('r15'), ...bytesAt(pairs[0], OUT, 64)]).toEqual([isValid ? 0n : 3n, ...kept])
    }),
    { numRuns: 6 },
  )
})

test('TILELOADD and TILESTORED go on at the row that has faulted', () => {
  const pages = [0x72, 0x7a]
  const pairs = runBothWays({
    cpu: CPU,
    code: (asm) => {
      // Rows of 52 bytes, 0x380 bytes apart; the seventh lies across the end of the second page.
      start(asm).mov(x86.rax, 0xe0).ldtilecfg(config).tilezero(x86.tmm3)
      asm.tileloadd(x86.tmm3, x86.ptr(x86.rdi, { index: x86.rax, scale: 4, disp: 0x1ac }))
      asm.tilestored(x86.ptr(x86.rbx, { index: x86.rax, scale: 4, disp: 0x1ac }), x86.tmm3)
      asm
        .mov(x86.rax, -0x40)
        .tilestored(x86.ptr(x86.rbx, { index: x86.rax, disp: 0x7000 }), x86.tmm3)
        .hlt()
    },
    prepare: (pc) => {
      enable(
        pc,
        configuration([
          [16, 64],
          [1, 4],
          [1, 4],
          [10, 52],
        ]),
      )
      for (let i = 0; i < 0x4000; i += 4) pc.write32(IN + i, i * 0x9e37 + 1)
      for (const page of pages) pc.write64(PAGE_TABLE + 8 * page, 0n)
      handler(pc, PF, (asm) => {
        asm.mov(x86.rdx, x86.cr2).shr(x86.rdx, 12).mov(x86.rcx, x86.rdx).shl(x86.rcx, 12).or(x86.rcx, 7)
        asm.mov(x86.qword(PAGE_TABLE, { index: x86.rdx, scale: 8 }), x86.rcx)
        asm.sttilecfg(x86.zmmword(SEEN, { index: x86.r15 })).add(x86.r15, 64)
        asm.add(x86.rsp, 8).iretq()
      })
    },
  })
  for (const pc of pairs) {
    const places = Array.from({ length: 10 }, (_, row) => 0x1ac + 0x380 * row)
    for (const [row, place] of places.entries()) {
      expect(bytesAt(pc, OUT + place, 52)).toEqual(bytesAt(pc, IN + place, 52))
      expect(bytesAt(pc, OUT + 0x7000 - 0x40 * row, 52)).toEqual(bytesAt(pc, IN + place, 52))
      expect(pc.read32(OUT + place + 52)).toBe(0)
    }
    const first = places.findIndex((place) => place + 52 > 0x2000)
    expect([pc.read8(SEEN + 1), pc.read8(SEEN + 65)]).toEqual([first, first])
    expect(pc.cpu.u8[S.S_TILECFG + 1]).toBe(0)
  }
})

describe('products', () => {
  const UNIT = 320n
  /** A single-precision number in units of 2^−320; a denormal one is a zero. */
  function exactly(bits: number): bigint {
    const exponent = (bits >>> 23) & 255
    if (exponent === 0) return 0n
    const value = BigInt((bits & 0x7f_ffff) | 0x80_0000) << (UNIT + BigInt(exponent) - 150n)
    return bits >>> 31 === 0 ? value : -value
  }
  /** Rounds to the nearest; results below the normal ones are zeros. */
  function rounded(value: bigint, isNegativeZero: boolean): number {
    if (value === 0n) return isNegativeZero ? 0x8000_0000 : 0
    const sign = value < 0n ? 0x8000_0000 : 0
    let magnitude = value < 0n ? -value : value
    const length = BigInt(magnitude.toString(2).length)
    const low = length - 24n
    const rest = magnitude & ((1n << low) - 1n)
    magnitude >>= low
    if (rest > 1n << (low - 1n) || (rest === 1n << (low - 1n) && (magnitude & 1n) === 1n)) magnitude++
    const exponent = Number(low - UNIT) + 150 + (magnitude === 1n << 24n ? 1 : 0)
    if (exponent <= 0) return sign
    return exponent >= 255 ? sign + 0x7f80_0000 : sign + exponent * 0x80_0000 + Number(magnitude & 0x7f_ffffn)
  }
  const multiplyAdd = (sum: number, x: number, y: number): number => {
    for (const bits of [x, y, sum]) if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits | 0x40_0000) >>> 0
    const kind = (bits: number): number =>
      (bits & 0x7f80_0000) === 0x7f80_0000 ? 2 : (bits & 0x7f80_0000) === 0 ? 0 : 1
    const sign = (x ^ y) >>> 31
    if (kind(x) === 2 || kind(y) === 2) {
      if (kind(x) * kind(y) === 0 || (kind(sum) === 2 && sum >>> 31 !== sign)) return 0xffc0_0000
      return (sign * 0x8000_0000 + 0x7f80_0000) >>> 0
    }
    if (kind(sum) === 2) return sum
    return rounded(
      ((exactly(x) * exactly(y)) >> UNIT) + exactly(sum),
      kind(x) * kind(y) === 0 && sign === 1 && sum === 0x8000_0000,
    )
  }
  const halfToSingle = (half: number): number => {
    const [sign, exponent, fraction] = [half >>> 15, (half >>> 10) & 31, half & 0x3ff]
    const found =
      exponent === 31
        ? 0x7f80_0000 + fraction * 0x2000
        : new Uint32Array(
            Float32Array.of(exponent === 0 ? fraction / 2 ** 24 : (1 + fraction / 1024) * 2 ** (exponent - 15)).buffer,
          )[0]!
    return sign * 0x8000_0000 + found
  }
  const signed = (value: number): number => (value << 24) >> 24
  type Bytes = readonly number[]
  const integer = (a: (v: number) => number, b: (v: number) => number) => (sums: number[], x: Bytes, y: Bytes) => {
    for (let i = 0; i < 4; i++) sums[0] = (sums[0]! + a(x[i]!) * b(y[i]!)) >>> 0
  }
  const plain = (value: number): number => value
  const pairs =
    (convert: (word: number) => number, order: readonly [number, number], negate = 0) =>
    (sums: number[], x: Bytes, y: Bytes) => {
      for (const i of [0, 1]) {
        const left = order[i]!
        const word = (from: Bytes, at: number): number => from[2 * at]! + 256 * from[2 * at + 1]!
        sums[1 + i] = multiplyAdd(sums[1 + i]!, convert(word(x, left) ^ (left === 1 ? negate : 0)), convert(word(y, i)))
      }
    }
  test.each([
    ['tdpbuud', integer(plain, plain)],
    ['tdpbusd', integer(plain, signed)],
    ['tdpbsud', integer(signed, plain)],
    ['tdpbssd', integer(signed, signed)],
    ['tdpbf16ps', pairs((word) => word * 0x1_0000, [0, 1])],
    ['tdpfp16ps', pairs(halfToSingle, [0, 1])],
    ['tcmmimfp16ps', pairs(halfToSingle, [1, 0])],
    ['tcmmrlfp16ps', pairs(halfToSingle, [0, 1], 0x8000)],
  ] as const)('%s', (name, term) => {
    // Elements of all kinds: any, near one, denormal, infinite, not a number.
    const half = fc.oneof(
      { arbitrary: fc.integer({ min: 0x3c00, max: 0x4200 }), weight: 4 },
      fc.nat(0xffff),
      fc.constantFrom(0, 0x8000, 1, 0x8001, 0x7c00, 0x7f80, 0xff80, 0x7c01, 0x80, 0x8080, 0x3f80, 0xbf80),
    )
    const tile = fc
      .uint8Array({ minLength: 0, maxLength: 0 })
      .chain(() => fc.array(half, { minLength: 512, maxLength: 512 }))
    const shape = fc.tuple(
      fc.integer({ min: 1, max: 16 }),
      fc.integer({ min: 1, max: 16 }),
      fc.integer({ min: 1, max: 16 }),
    )
    fc.assert(
      fc.property(tile, tile, tile, shape, (to, a, b, [rows, depth, columns]) => {
        const [pc] = runBothWays({
          cpu: CPU,
          code: (asm) => {
            start(asm).mov(x86.eax, 64).ldtilecfg(config).mov(x86.ecx, 2)
            for (const [i, register] of [x86.tmm5, x86.tmm6, x86.tmm7].entries())
              asm.tileloadd(register, x86.ptr(x86.rdi, { index: x86.rax, disp: 1024 * i }))
            const next = asm.here('next')
            asm.tileloadd(x86.tmm5, x86.ptr(x86.rdi, { index: x86.rax }))
            ;(asm as unknown as Record<string, (...tiles: unknown[]) => Assembler>)[name]!(x86.tmm5, x86.tmm6, x86.tmm7)
            asm
              .dec(x86.ecx)
              .jnz(next)
              .tilestored(x86.ptr(x86.rbx, { index: x86.rax }), x86.tmm5)
              .hlt()
          },
          prepare: (cpu) => {
            enable(
              cpu,
              configuration([
                ...Array<[number, number]>(5).fill([1, 4]),
                [rows, 4 * columns],
                [rows, 4 * depth],
                [depth, 4 * columns],
              ]),
            )
            for (const [i, words] of [to, a, b].entries())
              cpu.load(IN + 1024 * i, new Uint8Array(Uint16Array.from(words).buffer))
          },
        })
        const bytes = (i: number, row: number, column: number): Bytes => [
          ...bytesAt(pc, IN + 1024 * i + 64 * row + 4 * column, 4),
        ]
        for (let row = 0; row < rows; row++)
          for (let column = 0; column < columns; column++) {
            const sums = [pc.read32(IN + 64 * row + 4 * column), 0, 0]
            for (let k = 0; k < depth; k++) term(sums, bytes(1, row, k), bytes(2, k, column))
            const plus = (x: number, y: number): number => multiplyAdd(y, x, 0x3f80_0000)
            const expected = name.endsWith('d') ? sums[0]! : plus(sums[0]!, plus(sums[1]!, sums[2]!))
            expect([row, column, pc.read32(OUT + 64 * row + 4 * column)]).toEqual([row, column, expected])
          }
        // Whatever lies beyond the shape is zero.
        const whole = pc.cpu.u8.subarray(S.S_TMM + 5 * 1024, S.S_TMM + 6 * 1024)
        expect(whole.every((byte, at) => byte === 0 || (at >> 6 < rows && (at & 63) < 4 * columns))).toBe(true)
      }),
      { numRuns: 3 },
    )
  })
})

test('#UD for what is not configured or does not fit, #NM where IA32_XFD disables tiles', () => {
  const shapes: Shapes = [
    [4, 8],
    [4, 12],
    [3, 8],
    [0, 0],
    [4, 10],
    [2, 8],
  ]
  const load = (tile: x86.TileRegister) => (asm: Assembler) => asm.tileloadd(tile, x86.ptr(x86.rdi, { index: x86.rcx }))
  const cases: readonly (readonly [(asm: Assembler) => unknown, number, xfd?: number, row?: number])[] = [
    [(asm) => asm.tdpbuud(x86.tmm0, x86.tmm1, x86.tmm2), -1],
    [(asm) => asm.tdpbuud(x86.tmm0, x86.tmm1, x86.tmm5), UD],
    [(asm) => asm.tdpbuud(x86.tmm2, x86.tmm1, x86.tmm0), UD],
    [(asm) => asm.tdpbuud(x86.tmm1, x86.tmm0, x86.tmm2), UD],
    [(asm) => asm.db(0xc4, 0xe2, 0x70, 0x5e, 0xc0), UD],
    [(asm) => asm.tilezero(x86.tmm3), UD],
    [(asm) => asm.tilezero(x86.tmm4), -1],
    [load(x86.tmm4), UD],
    [load(x86.tmm0), -1, 0, 3],
    [load(x86.tmm0), UD, 0, 4],
    [load(x86.tmm0), NM, 1 << 18],
    [load(x86.tmm3), NM, 1 << 18],
    [(asm) => asm.tilezero(x86.tmm3), NM, 1 << 18],
    [(asm) => asm.sttilecfg(x86.zmmword(x86.rbx)), -1, 1 << 18],
    [(asm) => asm.tilerelease(), -1, 1 << 18],
  ]
  for (const [i, [code, vector, xfd = 0, row = 0]] of cases.entries()) {
    const pairs = runBothWays({
      cpu: CPU,
      code: (asm) => {
        start(asm).mov(x86.ecx, 3)
        const next = asm.here('next')
        asm.ldtilecfg(config)
        code(asm)
        asm.bind(asm.label('after')).dec(x86.ecx).jnz(next).hlt()
      },
      prepare: (pc, at) => {
        enable(pc, configuration(shapes, row))
        pc.cpu.u32[S.S_XFD >>> 2] = xfd
        if (vector >= 0) skipTo('after')(pc, at, vector, false)
      },
    })
    for (const pc of pairs) {
      expect([i, pc.register('r15')]).toEqual([i, vector < 0 ? 0n : 3n])
      expect(pc.cpu.u32[S.S_XFD_ERR >>> 2]).toBe(vector === NM ? 1 << 18 : 0)
    }
  }
})
