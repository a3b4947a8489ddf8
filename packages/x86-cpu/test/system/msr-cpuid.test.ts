import * as fc from 'fast-check'
import { describe, expect } from 'vitest'
import { GS, SEG_BASE, S_CR4, S_GPR, S_KERNEL_GS_BASE, S_XCR0 } from '../../src/state/state-layout.ts'
import { cpuidLeaf } from '../../src/system/cpuid.ts'
import { advanceToTsc } from '../../src/system/time-stamp.ts'
import { Bench } from './bench.ts'
import { test } from './with-bench.ts'

describe('MSRs (SDM vol. 4, "Architectural MSRs")', () => {
  const write = (b: Bench, index: number, value: bigint): string => {
    b.s.setGpr(1, 4, index)
    b.s.setGpr(0, 4, Number(value & 0xffff_ffffn))
    b.s.setGpr(2, 4, Number(value >> 32n))
    return b.outcome('WRMSR')
  }
  const readBack = (b: Bench, index: number): bigint | string => {
    b.s.setGpr(1, 4, index)
    const outcome = b.outcome('RDMSR')
    return outcome === 'ok' ? (BigInt(b.s.gpr(2)) << 32n) | BigInt(b.s.gpr(0)) : outcome
  }
  const NON_CANONICAL = 0x0000_8000_0000_0000n
  const HIGH = 0xffff_8000_0000_1234n

  test.for([
    { index: 0xc000_0082, good: HIGH, bad: NON_CANONICAL },
    { index: 0xc000_0083, good: HIGH, bad: NON_CANONICAL },
    { index: 0xc000_0100, good: HIGH, bad: NON_CANONICAL },
    { index: 0xc000_0101, good: HIGH, bad: NON_CANONICAL },
    { index: 0xc000_0102, good: HIGH, bad: NON_CANONICAL },
    { index: 0x175, good: HIGH, bad: NON_CANONICAL },
    { index: 0x176, good: HIGH, bad: NON_CANONICAL },
    { index: 0xc000_0084, good: 0x4_7700n, bad: 1n << 32n },
    { index: 0x277, good: 0x0007_0605_0401_0006n, bad: 0x0002n },
    { index: 0x277, good: 0x0001_0506_0007_0406n, bad: 0x0300_0000_0000_0000n },
    { index: 0x2ff, good: 0xc06n, bad: 0xc02n },
    { index: 0x2ff, good: 0xc00n, bad: 0x1000n },
    { index: 0x200, good: 0xc000_0006n, bad: 0xc000_0002n },
    { index: 0x201, good: 0xff_c000_0800n, bad: 0x100_0000_0800n },
    { index: 0x250, good: 0x0606_0606_0606_0606n, bad: 0x0207_0606_0606_0606n },
    { index: 0x26f, good: 0x0505_0505_0505_0505n, bad: 7n },
    { index: 0x400, good: 0xffff_ffff_ffff_ffffn, bad: NON_CANONICAL },
    { index: 0x40c, good: 0n, bad: 0xffff_fffen },
    { index: 0x401, good: 0n, bad: 1n },
    { index: 0x402, good: NON_CANONICAL, bad: undefined },
    { index: 0x40f, good: 0xffff_ffff_ffff_fffen, bad: undefined },
    { index: 0x1a0, good: 0x4_00c5_1809n, bad: 2n },
    { index: 0x1a0, good: 0x1801n, bad: 1n << 35n },
    { index: 0x1d9, good: 0n, bad: 2n },
    { index: 0xfe, good: undefined, bad: 0n },
    { index: 0x10a, good: undefined, bad: 0n },
    { index: 0x179, good: undefined, bad: 0n },
    { index: 0x48, good: undefined, bad: 0n },
  ])('MSR $index takes $good and refuses $bad', ({ index, good, bad }, { long64: b }) => {
    if (good !== undefined) {
      expect(write(b, index, good)).toBe('ok')
      expect(readBack(b, index)).toBe(good)
    }
    const before = readBack(b, index)
    if (bad !== undefined) expect(write(b, index, bad)).toBe('#GP(0)')
    expect(readBack(b, index)).toBe(before)
    const outer = Bench.long64(3)
    expect([write(outer, index, 0n), readBack(outer, index)]).toEqual(['#GP(0)', '#GP(0)'])
  })

  test('bits 7, 11 and 12 of IA32_MISC_ENABLE are read-only', ({ long64: b }) => {
    expect(write(b, 0x1a0, 0x80n)).toBe('ok')
    expect(readBack(b, 0x1a0)).toBe(0x1800n)
  })

  test('IA32_MISC_ENABLE limits the leaves of CPUID, and takes execute-disable away', ({ long64: b }) => {
    const leaf = (number: number): number[] => {
      const into = new Uint32Array(4)
      cpuidLeaf(b.s, number, 0, into)
      return [...into]
    }
    expect(write(b, 0x1a0, 1n << 22n)).toBe('ok')
    expect([leaf(0)[0], leaf(7)]).toEqual([2, leaf(2)])
    expect(leaf(0x8000_0000)[0]).toBe(0x8000_0008)
    expect((leaf(0x8000_0001)[3] as number) & (1 << 20)).not.toBe(0)
    expect(write(b, 0x1a0, 1n << 34n)).toBe('ok')
    expect(leaf(0)[0]).toBe(0x16)
    expect((leaf(0x8000_0001)[3] as number) & (1 << 20)).toBe(0)
    expect(write(b, 0xc000_0080, 0xd01n)).toBe('#GP(0)')
    expect(write(b, 0xc000_0080, 0x501n)).toBe('ok')
  })

  test('EFER: reserved bits, LME while paging, LMA read-only', ({ protected32: b }) => {
    expect(write(b, 0xc000_0080, 0xd01n)).toBe('ok')
    expect(readBack(b, 0xc000_0080)).toBe(0x901n)
    expect(write(b, 0xc000_0080, 0x2n)).toBe('#GP(0)')
    const long = Bench.long64()
    expect(write(long, 0xc000_0080, 0x400n)).toBe('#GP(0)')
    expect(write(long, 0xc000_0080, 0x100n)).toBe('ok')
    expect(readBack(long, 0xc000_0080)).toBe(0x500n)
  })

  test('FS and GS bases are the segments’, KERNEL_GS_BASE is swapped by SWAPGS', ({ long64: b }) => {
    write(b, 0xc000_0101, HIGH)
    write(b, 0xc000_0102, 0x5678n)
    expect(b.s.segmentField(GS, SEG_BASE + 4)).toBe(0xffff_8000)
    expect(b.outcome('SWAPGS')).toBe('ok')
    expect(readBack(b, 0xc000_0101)).toBe(0x5678n)
    expect(readBack(b, 0xc000_0102)).toBe(HIGH)
    expect(Bench.long64(3).outcome('SWAPGS')).toBe('#GP(0)')
    expect(Bench.protected32().outcome('SWAPGS')).toBe('#UD')
    expect(b.s.get(S_KERNEL_GS_BASE)).toBe(0x1234)
  })

  test('the time-stamp counter and IA32_TSC_ADJUST move together', ({ long64: b }) => {
    b.cpu.host.tsc = 0x1_0000_0000n
    expect(write(b, 0x10, 0xffff_fff0n)).toBe('ok')
    expect(readBack(b, 0x10)).toBe(0xffff_fff0n)
    expect(readBack(b, 0x3b)).toBe(0xffff_ffff_ffff_fff0n)
    expect(write(b, 0x3b, 0x10n)).toBe('ok')
    expect(readBack(b, 0x10)).toBe(0x1_0000_0010n)
    expect(b.outcome('RDTSCP')).toBe('ok')
    expect([b.s.gpr(0), b.s.gpr(2), b.s.gpr(1)]).toEqual([0x10, 1, 0])
  })

  // SDM vol. 2B: in 64-bit mode "the high-order 32 bits of each of RAX and RDX are cleared" (and of RCX by RDTSCP).
  test.for([
    { mnemonic: 'RDTSC', rcx: 0xeeee_eeee_eeee_eeeen, index: undefined },
    { mnemonic: 'RDTSCP', rcx: 0x9abc_def0n, index: undefined },
    { mnemonic: 'RDMSR', rcx: 0xeeee_eeee_0000_0010n, index: 0x10 },
  ])('$mnemonic replaces both registers whole', ({ mnemonic, rcx, index }, { long64: b }) => {
    expect(write(b, 0xc000_0103, 0x9abc_def0n)).toBe('ok')
    b.cpu.host.tsc = 0x89ab_cdef_0000n
    for (const register of [0, 1, 2]) b.s.set64(S_GPR + 8 * register, 0xeeee_eeee, 0xeeee_eeee)
    if (index !== undefined) b.s.set(S_GPR + 8, index)
    expect(b.outcome(mnemonic)).toBe('ok')
    const register = (number: number): bigint => (BigInt(b.s.gprHi(number)) << 32n) | BigInt(b.s.gpr(number))
    expect([0, 2, 1].map(register)).toEqual([0xcdef_0000n, 0x89abn, rcx])
  })

  test('the host’s counter at which the counter reaches a value is exact', ({ long64: b }) => {
    const word = fc.bigInt(0n, 2n ** 64n - 1n)
    const near = fc.tuple(word, fc.bigInt(-5n, 5n)).map(([value, by]) => BigInt.asUintN(64, value + by))
    fc.assert(
      fc.property(word, word, fc.oneof(word, near), (host, tsc, deadline) => {
        const counter = { lo: Number(host & 0xffff_ffffn), hi: Number(host >> 32n) }
        b.cpu.host.tsc = host
        expect(write(b, 0x10, tsc)).toBe('ok')
        advanceToTsc(b.s, Number(deadline & 0xffff_ffffn), Number(deadline >> 32n), counter)
        const at = deadline > tsc ? host + deadline - tsc : host
        const last = 2n ** 64n - 1n
        expect((BigInt(counter.hi) << 32n) | BigInt(counter.lo)).toBe(at > last ? last : at)
      }),
    )
  })

  test('others are the host’s', ({ long64: b }) => {
    b.cpu.host.msrs.set(0x1b, 0xfee0_0900n)
    expect(readBack(b, 0x1b)).toBe(0xfee0_0900n)
    expect(write(b, 0x1b, 0xfee0_0d00n)).toBe('ok')
    expect(b.cpu.host.msrs.get(0x1b)).toBe(0xfee0_0d00n)
  })

  test.each([
    { mnemonic: 'RDTSC', cr4: 4, cpl: 3, result: '#GP(0)' },
    { mnemonic: 'RDTSC', cr4: 4, cpl: 0, result: 'ok' },
    { mnemonic: 'RDTSC', cr4: 0, cpl: 3, result: 'ok' },
    { mnemonic: 'RDTSCP', cr4: 4, cpl: 3, result: '#GP(0)' },
    { mnemonic: 'RDPMC', cr4: 0x100, cpl: 3, result: '#GP(0)' },
  ])('$mnemonic with CR4 = $cr4 at CPL $cpl: $result', ({ mnemonic, cr4, cpl, result }) => {
    const b = Bench.protected32(cpl)
    b.s.set(S_CR4, cr4)
    expect(b.outcome(mnemonic)).toBe(result)
  })
})

describe('CPUID (SDM vol. 2A, "CPUID")', () => {
  const leaf = (b: Bench, number: number, subleaf = 0): number[] => {
    const into = new Uint32Array(4)
    cpuidLeaf(b.s, number, subleaf, into)
    return [...into]
  }
  test('vendor and highest leaves', ({ long64: b }) => {
    expect(leaf(b, 0)).toEqual([0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69])
    expect(leaf(b, 0x8000_0000)[0]).toBe(0x8000_0008)
    expect(leaf(b, 0x8000_0008)[0]).toBe(0x3028)
    expect(leaf(b, 0x9999)).toEqual(leaf(b, 0x16))
    expect(leaf(b, 0x15)).toEqual([1, 1, 1_000_000_000, 0])
  })
  test('features that are not implemented are not claimed', ({ long64: b }) => {
    const [, ebx1 = 0, ecx1 = 0, edx1 = 0] = leaf(b, 1)
    const [, ebx7 = 0, ecx7 = 0] = leaf(b, 7)
    const bit = (word: number, n: number): boolean => ((word >>> n) & 1) !== 0
    // DTES64, VMX, SMX, and DS, ACPI, HTT, TM.
    expect([2, 5, 6].filter((n) => bit(ecx1, n))).toEqual([])
    expect([21, 22, 28, 29].filter((n) => bit(edx1, n))).toEqual([])
    // HLE, RTM, MPX, AVX-512.
    expect([4, 11, 14, 16, 17, 30, 31].filter((n) => bit(ebx7, n))).toEqual([])
    // AVX512-VBMI, OSPKE, WAITPKG, AVX512-VBMI2, CET, AVX512-VNNI and -BITALG, LA57.
    expect([1, 4, 5, 6, 7, 11, 12, 16].filter((n) => bit(ecx7, n))).toEqual([])
    expect(ebx1 & 0xff00).toBe(0x800)
  })
  test('the area of XSAVE is as large as what XCR0 enables', ({ long64: b }) => {
    expect(leaf(b, 0xd)).toEqual([0x207, 576, 840, 0])
    b.s.set(S_XCR0, 7)
    expect(leaf(b, 0xd)).toEqual([0x207, 832, 840, 0])
    expect(leaf(b, 0xd, 1)).toEqual([0xf, 832, 0, 0])
    expect(leaf(b, 0xd, 2)).toEqual([256, 576, 0, 0])
    expect(leaf(b, 0xd, 9)).toEqual([8, 832, 0, 0])
    expect(leaf(b, 0xd, 3)).toEqual([0, 0, 0, 0])
    // Without AVX, PKRU lies where the YMM registers would; in the standard form it does not move.
    b.s.set(S_XCR0, 0x203)
    expect([leaf(b, 0xd)[1], leaf(b, 0xd, 1)[1]]).toEqual([840, 584])
  })
  test('OSXSAVE follows CR4, SYSCALL the mode', ({ long64: b }) => {
    expect((leaf(b, 1)[2] ?? 0) & (1 << 27)).toBe(0)
    b.s.set(S_CR4, 1 << 18)
    expect((leaf(b, 1)[2] ?? 0) & (1 << 27)).toBe(1 << 27)
    expect((leaf(b, 0x8000_0001)[3] ?? 0) & 0x800).toBe(0x800)
    expect((leaf(Bench.protected32(), 0x8000_0001)[3] ?? 0) & 0x800).toBe(0)
  })
  test('the instruction clears the upper halves', ({ user64: b }) => {
    b.s.set64(S_GPR, 0x8000_0007, 0xffff)
    b.s.set64(S_GPR + 24, 1, 1)
    expect(b.outcome('CPUID')).toBe('ok')
    expect([b.s.gpr(2), b.s.gprHi(0), b.s.gprHi(3)]).toEqual([0x100, 0, 0])
  })
})
