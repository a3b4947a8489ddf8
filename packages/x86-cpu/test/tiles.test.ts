/** AMX in both ways: exact progress under faults and slow devices, and products beside exact sums of integers. */
import * as x86 from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, describe, expect, test } from 'vitest'
import * as S from '../src/state/state-layout.ts'
import { PAGE_TABLE, type BareCpu } from './support/bare-cpu.ts'
import { handler, runBothWays, type Drawn } from './support/both-ways.ts'
import * as exact from './support/exact-numbers.ts'

const CPU = 'max,+amx_tile,+amx_int8,+amx_bf16,+amx_fp16,+amx_complex,+amx_tf32,+amx_fp8,+amx_movrs,+xfd'
const WIDE_CPU = `${CPU},+avx512f,+amx_avx512,+apx_f`
const CONFIG = 0x6_8000
const SEEN = 0x6_9000
const IN = 0x7_0000
const OUT = 0x7_8000
const [UD, NM, GP, PF] = [6, 7, 13, 14]

beforeAll(() => loadInstructions(WIDE_CPU))

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
  pc.enableState(0xe_00e7)
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
  type Bytes = readonly number[]
  /** A doubleword of the result, by what it was and by the doublewords that are multiplied. */
  type Reference = (start: bigint, terms: readonly (readonly [Bytes, Bytes])[]) => bigint
  const [ONE, FLUSHED] = [0x3f80_0000n, { isFlushed: true }]
  const plus = (x: bigint, y: bigint): bigint => exact.multiplyAdd(exact.SINGLE, [x, ONE, y], FLUSHED)
  const wordOf = (bytes: Bytes, at: number): bigint => BigInt(bytes[2 * at]! + 256 * bytes[2 * at + 1]!)
  const signed = (value: number): number => (value << 24) >> 24
  const plain = (value: number): number => value
  const integer =
    (a: (v: number) => number, b: (v: number) => number): Reference =>
    (start, terms) =>
      terms.reduce(
        (sum, [x, y]) => x.reduce((part, one, i) => BigInt.asUintN(32, part + BigInt(a(one) * b(y[i]!))), sum),
        start,
      )
  const pairs =
    (format: exact.Format, order: readonly [number, number], negate = 0n): Reference =>
    (start, terms) => {
      const sums = [0, 1].map((i) =>
        terms.reduce((sum, [x, y]) => {
          const factors = [wordOf(x, order[i]!) ^ (order[i] === 1 ? negate : 0n), wordOf(y, i)]
          const [left, right] = factors.map((word) => exact.converted(format, exact.SINGLE, word, 'nearest'))
          return exact.multiplyAdd(exact.SINGLE, [left!, right!, sum], FLUSHED)
        }, 0n),
      )
      return plus(start, plus(sums[0]!, sums[1]!))
    }
  const tensor: Reference = (start, terms) => {
    const rules = { isFlushed: true, isInputFlushed: false }
    const factor = (bytes: Bytes): bigint => {
      const bits = wordOf(bytes, 0) | (wordOf(bytes, 1) << 16n)
      return (exact.decode(exact.SINGLE, bits).kind === 'nan' ? exact.quiet(exact.SINGLE, bits) : bits) & ~0x1fffn
    }
    const sum = terms.reduce((part, [x, y]) => exact.multiplyAdd(exact.SINGLE, [factor(x), factor(y), part], rules), 0n)
    return exact.multiplyAdd(exact.SINGLE, [start, ONE, sum], rules)
  }
  /** BF8 is the upper half of half precision, and HF8 the numbers of another 8 bits of it, 2 ** 8 times as large, and one NaN. */
  const valueOf = (byte: number, isHf8: boolean): number => {
    const half = isHf8 ? ((byte & 0x80) << 8) | ((byte & 0x7f) << 7) : byte << 8
    const bits = exact.converted(exact.HALF, exact.SINGLE, BigInt(half), 'nearest')
    if (isHf8 && (byte & 0x7f) === 0x7f) return Number.NaN
    return new Float32Array(Uint32Array.of(Number(bits)).buffer)[0]! * (isHf8 ? 256 : 1)
  }
  const eights =
    (isHf8: boolean, isOtherHf8: boolean): Reference =>
    (start, terms) => {
      let [total, special] = [0n, 0]
      for (const [x, y] of terms)
        for (const [i, byte] of x.entries()) {
          const [a, b] = [valueOf(byte, isHf8), valueOf(y[i]!, isOtherHf8)]
          if (Number.isFinite(a * b)) total += BigInt(a * 2 ** 16) * BigInt(b * 2 ** 16)
          else special += a * b
        }
      const [sign, top] = total < 0n ? [1n, -total] : [0n, total]
      const sum = exact.encode(exact.SINGLE, { sign, top, exponent: -32 })
      const isNan = Number.isNaN(special) || exact.decode(exact.SINGLE, start).kind === 'nan'
      if (isNan) return exact.indefinite(exact.SINGLE)
      return plus(start, special === 0 ? sum : exact.infinityOf(exact.SINGLE, special < 0 ? 1n : 0n))
    }
  const REFERENCES: Readonly<Record<string, Reference>> = {
    tdpbuud: integer(plain, plain),
    tdpbusd: integer(plain, signed),
    tdpbsud: integer(signed, plain),
    tdpbssd: integer(signed, signed),
    tdpbf16ps: pairs(exact.BRAIN, [0, 1]),
    tdpfp16ps: pairs(exact.HALF, [0, 1]),
    tcmmimfp16ps: pairs(exact.HALF, [1, 0]),
    tcmmrlfp16ps: pairs(exact.HALF, [0, 1], 0x8000n),
    tmmultf32ps: tensor,
    tdpbf8ps: eights(false, false),
    tdpbhf8ps: eights(false, true),
    tdphbf8ps: eights(true, false),
    tdphf8ps: eights(true, true),
  }
  test.each([false, true])('beside exact sums; without infinities of bytes: %s', (isFinite) => {
    // Elements of all kinds: any, near one, denormal, infinite, not a number.
    const half = fc.oneof(
      { arbitrary: fc.integer({ min: 0x3c00, max: 0x4200 }), weight: 4 },
      fc.nat(0xffff),
      fc.constantFrom(0, 0x8000, 1, 0x8001, 0x7c00, 0x7f80, 0xff80, 0x7c01, 0x80, 0x8080, 0x3f80, 0xbf80),
    )
    const tile = fc.array(half, { minLength: 512, maxLength: 512 })
    const shape = fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 3, maxLength: 3 })
    fc.assert(
      fc.property(tile, tile, tile, shape, (to, a, b, given) => {
        const [rows, depth, columns] = given as [number, number, number]
        const [pc] = runBothWays({
          cpu: CPU,
          code: (asm) => {
            start(asm).mov(x86.eax, 64).ldtilecfg(config).mov(x86.ecx, 2)
            for (const [i, register] of [x86.tmm5, x86.tmm6, x86.tmm7].entries())
              asm.tileloaddrst1(register, x86.ptr(x86.rdi, { index: x86.rax, disp: 1024 * i }))
            const next = asm.here('next')
            for (const [i, name] of Object.keys(REFERENCES).entries()) {
              asm.tileloadd(x86.tmm5, x86.ptr(x86.rdi, { index: x86.rax }))
              ;(asm as unknown as Drawn)[name]!(x86.tmm5, x86.tmm6, x86.tmm7)
              asm.tilestored(x86.ptr(x86.rbx, { index: x86.rax, disp: 1024 * i }), x86.tmm5)
            }
            asm.dec(x86.ecx).jnz(next).hlt()
          },
          prepare: (cpu) => {
            const others = Array<[number, number]>(5).fill([1, 4])
            enable(cpu, configuration([...others, [rows, 4 * columns], [rows, 4 * depth], [depth, 4 * columns]]))
            // Bytes without this bit are neither infinite nor NaN.
            const words = [to, a, b].flat().map((word) => (isFinite ? word & 0xfbfb : word))
            cpu.load(IN, new Uint8Array(Uint16Array.from(words).buffer))
          },
        })
        const bytes = (i: number, row: number, column: number): Bytes =>
          bytesAt(pc, IN + 1024 * i + 64 * row + 4 * column, 4)
        for (const [i, [name, reference]] of Object.entries(REFERENCES).entries())
          for (let row = 0; row < rows; row++)
            for (let column = 0; column < columns; column++) {
              const terms = Array.from({ length: depth }, (_, k) => [bytes(1, row, k), bytes(2, k, column)] as const)
              const at = 64 * row + 4 * column
              const expected = Number(reference(BigInt(pc.read32(IN + at)), terms))
              expect([name, row, column, pc.read32(OUT + 1024 * i + at)]).toEqual([name, row, column, expected])
            }
        // Whatever lies beyond the shape is zero.
        const whole = pc.cpu.u8.subarray(S.S_TMM + 5 * 1024, S.S_TMM + 6 * 1024)
        expect(whole.every((byte, at) => byte === 0 || (at >> 6 < rows && (at & 63) < 4 * columns))).toBe(true)
      }),
      { numRuns: 3 },
    )
  })
})

test('rows of tiles as vectors, converted; a row that a tile lacks is zeros', () => {
  const { SINGLE, HALF, BRAIN, converted } = exact
  const half = (word: bigint): bigint => converted(SINGLE, HALF, word, 'nearest')
  const brain = (word: bigint): bigint => converted(SINGLE, BRAIN, word, 'nearest', true)
  const REFERENCES: Readonly<Record<string, (word: bigint) => bigint>> = {
    tilemovrow: (word) => word,
    tcvtrowd2ps: (word) => {
      const [sign, top] = word >> 31n === 1n ? [1n, 2n ** 32n - word] : [0n, word]
      return exact.encode(SINGLE, { sign, top, exponent: 0 })
    },
    tcvtrowps2bf16l: brain,
    tcvtrowps2bf16h: (word) => brain(word) << 16n,
    tcvtrowps2phl: half,
    tcvtrowps2phh: (word) => half(word) << 16n,
  }
  // Any, and those that half precision has.
  const number = fc.oneof(fc.nat(0xffff_ffff), fc.integer({ min: 0x3300_0000, max: 0x4790_0000 }))
  const words = fc.array(number, { minLength: 256, maxLength: 256 })
  fc.assert(
    fc.property(words, fc.integer({ min: 1, max: 16 }), fc.nat(255), (given, rows, row) => {
      const [pc] = runBothWays({
        cpu: WIDE_CPU,
        code: (asm) => {
          start(asm)
            .mov(x86.eax, 64)
            .mov(x86.edx, 0xabc_d000 + row)
            .mov(x86.r16, IN)
            .mov(x86.ecx, 3)
            .ldtilecfg(config)
          asm.tileloaddrs(x86.tmm2, x86.ptr(x86.r16, { index: x86.rax }))
          const next = asm.here('next')
          for (const [i, name] of Object.keys(REFERENCES).entries())
            for (const [j, source] of [x86.edx, row].entries()) {
              ;(asm as unknown as Drawn)[name]!(x86.zmm17, x86.tmm2, source)
              asm.vmovups(x86.zmmword(x86.rbx, { disp: 128 * i + 64 * j }), x86.zmm17)
            }
          asm.dec(x86.ecx).jnz(next).hlt()
        },
        prepare: (cpu) => {
          const shape = [rows, 52] as const
          enable(cpu, configuration([shape, shape, shape]))
          cpu.load(IN, new Uint8Array(Uint32Array.from(given).buffer))
        },
      })
      const chosen = Array.from({ length: 16 }, (_, i) => (row % 16 < rows && i < 13 ? given[16 * (row % 16) + i]! : 0))
      for (const [i, [name, reference]] of Object.entries(REFERENCES).entries())
        for (const at of [0, 64]) {
          const found = chosen.map((_, j) => pc.read32(OUT + 128 * i + at + 4 * j))
          expect([name, found]).toEqual([name, chosen.map((word) => Number(reference(BigInt(word))))])
        }
    }),
    { numRuns: 5 },
  )
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
    [(asm) => asm.tilemovrow(x86.zmm1, x86.tmm3, 0), UD],
    [(asm) => asm.tcvtrowd2ps(x86.zmm1, x86.tmm0, x86.edx), NM, 1 << 18],
  ]
  for (const [i, [code, vector, xfd = 0, row = 0]] of cases.entries()) {
    const pairs = runBothWays({
      cpu: WIDE_CPU,
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
