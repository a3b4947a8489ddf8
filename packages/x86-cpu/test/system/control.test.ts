import { describe, expect, test } from 'vitest'
import {
  CS,
  FS,
  GS,
  SEG_BASE,
  SEG_RIGHTS,
  S_CR0,
  S_CR2,
  S_CR3,
  S_CR4,
  S_CR8,
  S_DR,
  S_EFER,
  S_GPR,
  S_KERNEL_GS_BASE,
  S_LSTAR,
  S_PDPTE,
  S_SFMASK,
  S_STAR,
  S_SYSENTER_CS,
  S_SYSENTER_EIP,
  S_SYSENTER_ESP,
  S_XCR0,
  TR,
} from '../../src/state-layout.ts'
import { cpuidLeaf } from '../../src/system/cpuid.ts'
import { setSegment } from '../../src/system/segment-cache.ts'
import { Bench, CODE3_SEL, STATUS_EXIT, STATUS_JUMP, TSS, gprOffset, segmentOffset } from './fake-cpu.ts'

const move = (b: Bench, to: number, value: number, high = 0): string => {
  b.s.set64(S_GPR, value, high)
  const operands = [
    { kind: 'system', size: 8 },
    { kind: 'reg', size: 8 },
  ] as const
  return b.outcome('MOV', { size: 8, offsets: [to, gprOffset(0)], operands })
}
const read = (b: Bench, from: number): string => {
  const operands = [
    { kind: 'reg', size: 8 },
    { kind: 'system', size: 8 },
  ] as const
  return b.outcome('MOV', { size: 8, offsets: [gprOffset(0), from], operands })
}

const PE = 1
const NW = 1 << 29
const CD = 1 << 30
const PG = 2 ** 31
const PAE = 1 << 5

describe('MOV to control registers (SDM vol. 2B, "MOV—Move to/from Control Registers")', () => {
  test.each([
    { register: S_CR0, value: PG, result: '#GP(0)', why: 'PG without PE' },
    { register: S_CR0, value: PE | NW, result: '#GP(0)', why: 'NW without CD' },
    { register: S_CR0, value: PE | NW | CD, result: 'ok' },
    { register: S_CR0, value: PE | (1 << 8), result: 'ok', why: 'reserved low bits are ignored' },
    { register: S_CR0, value: PG + PE, result: 'ok' },
    { register: S_CR3, value: 0xffff_ffff, result: 'ok' },
    { register: S_CR4, value: 1 << 12, result: '#GP(0)', why: 'LA57 is not offered' },
    { register: S_CR4, value: 1 << 13, result: '#GP(0)', why: 'VMXE is not offered' },
    { register: S_CR4, value: 1 << 17, result: '#GP(0)', why: 'PCIDE is not offered' },
    { register: S_CR4, value: 1 << 22, result: '#GP(0)', why: 'PKE is not offered' },
    { register: S_CR4, value: 0x350fff & ~PAE, result: 'ok' },
    { register: S_CR8, value: 15, result: 'ok' },
    { register: S_CR8, value: 16, result: '#GP(0)' },
    { register: S_CR2, value: 0x1234_5678, result: 'ok' },
  ])('$register := $value: $result', ({ register, value, result }) => {
    const b = Bench.protected32()
    const before = b.s.get(register)
    expect(move(b, register, value)).toBe(result)
    if (result !== 'ok') expect(b.s.get(register)).toBe(before)
    const outer = Bench.protected32(3)
    expect(move(outer, register, value)).toBe('#GP(0)')
    expect(read(outer, register)).toBe('#GP(0)')
  })

  test('ET is always set, and undefined bits are dropped', () => {
    const b = Bench.protected32()
    move(b, S_CR0, PE | (1 << 8))
    expect(b.s.get(S_CR0)).toBe(PE | 0x10)
  })

  test.each([
    { register: S_CR0, lo: 0x8000_0011, hi: 1, result: '#GP(0)', why: 'upper half of CR0' },
    { register: S_CR0, lo: 0x11, hi: 0, result: '#GP(0)', why: 'PG → 0 in 64-bit mode' },
    { register: S_CR3, lo: 0x1000, hi: 0x100, result: '#GP(0)', why: 'beyond 40 bits' },
    { register: S_CR3, lo: 0x1000, hi: 0x8000_0000, result: '#GP(0)', why: 'bit 63 without PCID' },
    { register: S_CR3, lo: 0x1000, hi: 0xff, result: 'ok' },
    { register: S_CR4, lo: 0, hi: 0, result: '#GP(0)', why: 'PAE → 0 in IA-32e mode' },
    { register: S_CR4, lo: PAE, hi: 1, result: '#GP(0)' },
    { register: S_CR4, lo: PAE | (1 << 7), hi: 0, result: 'ok' },
  ])('64-bit mode: $register := $hi:$lo: $result', ({ register, lo, hi, result }) => {
    expect(move(Bench.long64(), register, lo, hi)).toBe(result)
  })

  test('entering IA-32e mode: what LME, PAE, CS.L and the TSS must be', () => {
    const enter = (setup: (b: Bench) => void): string => {
      const b = Bench.protected32()
      b.s.set(S_EFER, 0x100)
      b.s.set(S_CR4, PAE)
      setup(b)
      const outcome = move(b, S_CR0, PG + PE)
      expect((b.s.get(S_EFER) & 0x400) !== 0).toBe(outcome === 'ok')
      return outcome
    }
    expect(enter(() => undefined)).toBe('ok')
    expect(enter((b) => b.s.set(S_CR4, 0))).toBe('#GP(0)')
    expect(enter((b) => setSegment(b.s, CS, 8, 0, 0, 0xffff_ffff, 0xa09b))).toBe('#GP(0)')
    expect(enter((b) => setSegment(b.s, TR, 8, TSS, 0, 0x67, 0x83))).toBe('#GP(0)')
  })

  test('leaving it from compatibility mode clears LMA', () => {
    const b = Bench.long64()
    setSegment(b.s, CS, 8, 0, 0, 0xffff_ffff, 0xc09b)
    expect(move(b, S_CR0, PE)).toBe('ok')
    expect(b.s.get(S_EFER)).toBe(0x901)
  })

  test('leaving protected mode makes CS writable', () => {
    const b = Bench.protected32()
    expect(b.s.segmentField(CS, SEG_RIGHTS)).toBe(1)
    expect(move(b, S_CR0, 0)).toBe('ok')
    expect(b.s.segmentField(CS, SEG_RIGHTS)).toBe(3)
    expect(b.s.cpl).toBe(0)
  })

  describe('PDPTEs (SDM vol. 3A, "PDPTE Registers")', () => {
    const table = (b: Bench, ...entries: readonly bigint[]): void => {
      entries.forEach((entry, i) => b.cpu.view.setBigUint64(0x5020 + 8 * i, entry, true))
    }
    test.each([
      { entries: [0x1001n, 0n, 0x3019n, 0x4001n], result: 'ok' },
      { entries: [0n, 0x1e6n, 0n, 0n], result: 'ok', why: 'reserved bits count in present entries only' },
      { entries: [0x1001n, 0x1003n, 0n, 0n], result: '#GP(0)', why: 'bit 1' },
      { entries: [0x1001n, 0x1021n, 0n, 0n], result: '#GP(0)', why: 'bit 5' },
      { entries: [0x1001n, 0x1101n, 0n, 0n], result: '#GP(0)', why: 'bit 8' },
      { entries: [1n << 40n | 1n, 0n, 0n, 0n], result: '#GP(0)', why: 'beyond 40 bits' },
      { entries: [1n << 63n | 1n, 0n, 0n, 0n], result: '#GP(0)', why: 'bit 63' },
    ])('$entries: $result', ({ entries, result }) => {
      const b = Bench.protected32()
      b.s.set(S_CR4, PAE)
      table(b, ...entries)
      b.s.set(S_CR0, PG + PE + 0x10)
      b.s.set(S_PDPTE, 0xabcd)
      expect(move(b, S_CR3, 0x503f)).toBe(result)
      expect(b.s.get(S_PDPTE)).toBe(result === 'ok' ? Number(entries[0]) : 0xabcd)
      expect(b.s.get(S_CR3)).toBe(result === 'ok' ? 0x503f : 0)
    })

    test.each([
      { what: 'PG', setup: (b: Bench) => b.s.set(S_CR4, PAE), register: S_CR0, value: PG + PE, loads: true },
      { what: 'PGE', setup: (b: Bench) => (b.s.set(S_CR4, PAE), b.s.set(S_CR0, PG + PE)), register: S_CR4, value: PAE | 0x80, loads: true },
      { what: 'OSFXSR', setup: (b: Bench) => (b.s.set(S_CR4, PAE), b.s.set(S_CR0, PG + PE)), register: S_CR4, value: PAE | 0x200, loads: false },
    ])('a change of $what loads them: $loads', ({ setup, register, value, loads }) => {
      const b = Bench.protected32()
      setup(b)
      b.s.set(S_CR3, 0x5020)
      table(b, 0x7001n)
      expect(move(b, register, value)).toBe('ok')
      expect(b.s.get(S_PDPTE)).toBe(loads ? 0x7001 : 0)
    })
  })

  test('CR3 keeps global translations, CR4.PGE drops them', () => {
    const b = Bench.long64()
    move(b, S_CR3, 0x1000)
    move(b, S_CR4, PAE | 0x80)
    expect(b.cpu.flushes).toEqual([false, true])
  })

  test('CR8 is the task priority', () => {
    const b = Bench.long64()
    expect(move(b, S_CR8, 9)).toBe('ok')
    expect(b.cpu.host.priority).toBe(9)
    b.cpu.host.priority = 4
    expect(read(b, S_CR8)).toBe('ok')
    expect(b.s.gpr(0)).toBe(4)
  })
})

describe('LMSW, SMSW, CLTS', () => {
  test('LMSW sets PE and does not clear it', () => {
    const b = Bench.real()
    b.s.set(S_GPR, 0xfff1)
    const one = { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 2 }] } as const
    expect(b.outcome('LMSW', one)).toBe('ok')
    expect(b.s.get(S_CR0) & 0xf).toBe(1)
    b.s.set(S_GPR, 0xe)
    expect(b.outcome('LMSW', one)).toBe('ok')
    expect(b.s.get(S_CR0) & 0xf).toBe(0xf)
    expect(b.outcome('CLTS')).toBe('ok')
    expect(b.s.get(S_CR0) & 8).toBe(0)
    expect(Bench.protected32(3).outcome('LMSW', one)).toBe('#GP(0)')
    expect(Bench.protected32(3).outcome('CLTS')).toBe('#GP(0)')
  })

  test('SMSW stores 16 bits in memory and the operand’s size in a register', () => {
    const b = Bench.protected32()
    b.s.set(S_CR0, 0x8001_0011)
    b.cpu.view.setUint32(0x5000, 0xffff_ffff, true)
    expect(b.outcome('SMSW', { address: 0x5000, operands: [{ kind: 'mem', size: 2 }] })).toBe('ok')
    expect(b.u32(0x5000)).toBe(0xffff_0011)
    expect(b.outcome('SMSW', { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 4 }] })).toBe('ok')
    expect(b.s.gpr(0)).toBe(0x8001_0011)
  })
})

describe('debug registers (SDM vol. 3B, "Debug Registers")', () => {
  test.each([
    { register: 6, value: 0xffff_ffff, result: 0xffff_efff },
    { register: 6, value: 0, result: 0xffff_0ff0 },
    { register: 7, value: 0xffff_ffff, result: 0xffff_27ff },
    { register: 7, value: 0, result: 0x400 },
    { register: 0, value: 0x1234_5678, result: 0x1234_5678 },
  ])('DR$register := $value reads as $result', ({ register, value, result }) => {
    const b = Bench.protected32()
    b.cpu.u32[(S_DR + 56) >>> 2] = 0x400
    expect(move(b, S_DR + 8 * register, value)).toBe('ok')
    expect(b.s.get(S_DR + 8 * register)).toBe(result)
  })

  test('DR4 and DR5 are DR6 and DR7, or undefined with CR4.DE', () => {
    const b = Bench.protected32()
    b.s.set(S_DR + 48, 0xffff_0ff4)
    expect(read(b, S_DR + 32)).toBe('ok')
    expect(b.s.gpr(0)).toBe(0xffff_0ff4)
    b.s.set(S_CR4, 8)
    expect(read(b, S_DR + 32)).toBe('#UD')
    expect(move(b, S_DR + 40, 0)).toBe('#UD')
  })

  test('with GD set, any access is a fault with DR6.BD', () => {
    const b = Bench.protected32()
    b.s.set(S_DR + 56, 0x2400)
    expect(read(b, S_DR)).toBe('#DB')
    expect(b.s.get(0x374)).toBe(0x2000)
  })

  test('upper halves of DR6 and DR7 must be clear', () => {
    expect(move(Bench.long64(), S_DR + 56, 0, 1)).toBe('#GP(0)')
    expect(move(Bench.protected32(3), S_DR + 56, 0)).toBe('#GP(0)')
  })
})

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

  test.each([
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
    { index: 0x400, good: 0xffff_ffff_ffff_ffffn, bad: undefined },
    { index: 0x401, good: 0n, bad: 1n },
    { index: 0x1d9, good: 0n, bad: 2n },
    { index: 0xfe, good: undefined, bad: 0n },
    { index: 0x10a, good: undefined, bad: 0n },
    { index: 0x179, good: undefined, bad: 0n },
    { index: 0x48, good: undefined, bad: 0n },
  ])('MSR $index takes $good and refuses $bad', ({ index, good, bad }) => {
    const b = Bench.long64()
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

  test('EFER: reserved bits, LME while paging, LMA read-only', () => {
    const b = Bench.protected32()
    expect(write(b, 0xc000_0080, 0xd01n)).toBe('ok')
    expect(readBack(b, 0xc000_0080)).toBe(0x901n)
    expect(write(b, 0xc000_0080, 0x2n)).toBe('#GP(0)')
    const long = Bench.long64()
    expect(write(long, 0xc000_0080, 0x400n)).toBe('#GP(0)')
    expect(write(long, 0xc000_0080, 0x100n)).toBe('ok')
    expect(readBack(long, 0xc000_0080)).toBe(0x500n)
  })

  test('FS and GS bases are the segments’, KERNEL_GS_BASE is swapped by SWAPGS', () => {
    const b = Bench.long64()
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

  test('the time-stamp counter and IA32_TSC_ADJUST move together', () => {
    const b = Bench.long64()
    b.cpu.host.tsc = 0x1_0000_0000n
    expect(write(b, 0x10, 0xffff_fff0n)).toBe('ok')
    expect(readBack(b, 0x10)).toBe(0xffff_fff0n)
    expect(readBack(b, 0x3b)).toBe(0xffff_ffff_ffff_fff0n)
    expect(write(b, 0x3b, 0x10n)).toBe('ok')
    expect(readBack(b, 0x10)).toBe(0x1_0000_0010n)
    expect(b.outcome('RDTSCP')).toBe('ok')
    expect([b.s.gpr(0), b.s.gpr(2), b.s.gpr(1)]).toEqual([0x10, 1, 0])
  })

  test('others are the host’s', () => {
    const b = Bench.long64()
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
    cpuidLeaf(b.s, b.cpu.model, number, subleaf, into)
    return [...into]
  }
  test('vendor and highest leaves', () => {
    const b = Bench.long64()
    expect(leaf(b, 0)).toEqual([0x16, 0x756e_6547, 0x6c65_746e, 0x4965_6e69])
    expect(leaf(b, 0x8000_0000)[0]).toBe(0x8000_0008)
    expect(leaf(b, 0x8000_0008)[0]).toBe(0x3028)
    expect(leaf(b, 0x9999)).toEqual(leaf(b, 0x16))
    expect(leaf(b, 0x15)).toEqual([1, 1, 1_000_000_000, 0])
  })
  test('features that are not implemented are not claimed', () => {
    const b = Bench.long64()
    const [, ebx1 = 0, ecx1 = 0, edx1 = 0] = leaf(b, 1)
    const [, ebx7 = 0, ecx7 = 0] = leaf(b, 7)
    const bit = (word: number, n: number): boolean => ((word >>> n) & 1) !== 0
    // PCLMUL, DTES64, MONITOR, VMX, SMX, FMA, PCID, AES, AVX, F16C, and DS, ACPI, HTT, TM.
    expect([1, 2, 3, 5, 6, 12, 17, 25, 28, 29].filter((n) => bit(ecx1, n))).toEqual([])
    expect([21, 22, 28, 29].filter((n) => bit(edx1, n))).toEqual([])
    // HLE, AVX2, INVPCID, RTM, MPX, AVX-512, SHA.
    expect([4, 5, 10, 11, 14, 16, 17, 29, 30, 31].filter((n) => bit(ebx7, n))).toEqual([])
    expect(ecx7).toBe(4)
    expect(ebx1 & 0xff00).toBe(0x800)
  })
  test('OSXSAVE follows CR4, SYSCALL the mode', () => {
    const b = Bench.long64()
    expect((leaf(b, 1)[2] ?? 0) & (1 << 27)).toBe(0)
    b.s.set(S_CR4, 1 << 18)
    expect((leaf(b, 1)[2] ?? 0) & (1 << 27)).toBe(1 << 27)
    expect((leaf(b, 0x8000_0001)[3] ?? 0) & 0x800).toBe(0x800)
    expect((leaf(Bench.protected32(), 0x8000_0001)[3] ?? 0) & 0x800).toBe(0)
  })
  test('the instruction clears the upper halves', () => {
    const b = Bench.long64(3)
    b.s.set64(S_GPR, 0x8000_0007, 0xffff)
    b.s.set64(S_GPR + 24, 1, 1)
    expect(b.outcome('CPUID')).toBe('ok')
    expect([b.s.gpr(2), b.s.gprHi(0), b.s.gprHi(3)]).toEqual([0x100, 0, 0])
  })
})

describe('SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM vol. 2B)', () => {
  const syscallBench = (cpl: number): Bench => {
    const b = Bench.long64(cpl)
    b.s.set64(S_STAR, 0, 0x0023_0010)
    b.s.set64(S_LSTAR, 0x8000_1000, 0xffff_ffff)
    b.s.set64(S_SFMASK, 0x4_7700, 0)
    return b
  }
  test('SYSCALL saves RIP and RFLAGS and loads flat segments', () => {
    const b = syscallBench(3)
    b.flags = 0x4_0ad7
    expect(b.run('SYSCALL')).toBe(STATUS_JUMP)
    expect([b.s.gpr(1), b.s.gpr(11), b.rip, b.s.get(0x84)]).toEqual([0x4002, 0x4_0ad7, 0x8000_1000, 0xffff_ffff])
    expect([b.selector(CS), b.selector(2), b.s.cpl, b.flags]).toEqual([0x10, 0x18, 0, 0x08d7 & ~0x700])
  })
  test('SYSRET goes to 64-bit or compatibility mode', () => {
    const b = syscallBench(0)
    b.s.set64(S_GPR + 8, 0x1234, 0x7fff)
    b.s.set64(S_GPR + 88, 0x0035_7fff, 0)
    expect(b.outcome('SYSRETQ', { size: 8 })).toBe('ok')
    expect([b.rip, b.s.get(0x84), b.selector(CS), b.selector(2), b.s.cpl]).toEqual([0x1234, 0x7fff, 0x33, 0x2b, 3])
    expect(b.flags).toBe(0x0034_7fd7)
    const c = syscallBench(0)
    c.s.set64(S_GPR + 8, 0x1234, 0x7fff)
    expect(c.outcome('SYSRET', { size: 4 })).toBe('ok')
    expect([c.rip, c.s.get(0x84), c.selector(CS), c.s.mode64]).toEqual([0x1234, 0, 0x23, false])
  })
  test.each([
    { mnemonic: 'SYSCALL', setup: (b: Bench) => b.s.set(S_EFER, 0xd00), result: '#UD' },
    { mnemonic: 'SYSRETQ', setup: (b: Bench) => b.s.set(S_EFER, 0xd00), result: '#UD' },
    { mnemonic: 'SYSRETQ', cpl: 3, result: '#GP(0)' },
    { mnemonic: 'SYSRETQ', setup: (b: Bench) => b.s.set(S_GPR + 12, 0x8000), result: '#GP(0)' },
    { mnemonic: 'SYSENTER', result: '#GP(0)' },
    { mnemonic: 'SYSEXITQ', result: '#GP(0)' },
  ])('$mnemonic: $result', ({ mnemonic, cpl = 0, setup, result }) => {
    const b = syscallBench(cpl)
    setup?.(b)
    expect(b.outcome(mnemonic, { size: 8 })).toBe(result)
  })
  test('they are undefined outside 64-bit mode', () => {
    const b = Bench.protected32()
    b.s.set(S_EFER, 1)
    expect([b.outcome('SYSCALL'), b.outcome('SYSRET')]).toEqual(['#UD', '#UD'])
  })
  test('SYSENTER and SYSEXIT in both widths', () => {
    const b = Bench.protected32(3)
    b.s.set(S_SYSENTER_CS, 0x0b)
    b.s.set64(S_SYSENTER_ESP, 0x7000, 1)
    b.s.set64(S_SYSENTER_EIP, 0x9000, 1)
    b.flags = 0x0202
    expect(b.outcome('SYSENTER')).toBe('ok')
    expect([b.selector(CS), b.selector(2), b.s.cpl, b.rip, b.rsp, b.flags, b.s.gprHi(4)]).toEqual([8, 0x10, 0, 0x9000, 0x7000, 2, 0])
    b.s.setGpr(1, 4, 0x8000)
    b.s.setGpr(2, 4, 0x4444)
    expect(b.outcome('SYSEXIT', { size: 4 })).toBe('ok')
    expect([b.selector(CS), b.selector(2), b.s.cpl, b.rip, b.rsp]).toEqual([CODE3_SEL, 0x23, 3, 0x4444, 0x8000])
    expect(b.outcome('SYSEXIT', { size: 4 })).toBe('#GP(0)')
    const long = Bench.long64(3)
    long.s.set(S_SYSENTER_CS, 0x10)
    long.s.set64(S_SYSENTER_EIP, 0x9000, 0xffff_8000)
    expect(long.outcome('SYSENTER')).toBe('ok')
    expect([long.rip, long.s.get(0x84), long.s.mode64]).toEqual([0x9000, 0xffff_8000, true])
    long.s.set64(S_GPR + 16, 0, 0x8000)
    expect(long.outcome('SYSEXITQ', { size: 8 })).toBe('#GP(0)')
  })
  test('FSGSBASE needs 64-bit mode and CR4', () => {
    const b = Bench.long64(3)
    const one = { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 8 }] } as const
    expect(b.outcome('WRFSBASE', one)).toBe('#UD')
    b.s.set(S_CR4, 1 << 16)
    b.s.set64(S_GPR, 0x1234, 0x7fff)
    expect(b.outcome('WRFSBASE', one)).toBe('ok')
    expect(b.s.get(segmentOffset(FS) + 4)).toBe(0x7fff)
    b.s.set64(S_GPR, 0, 0x8000)
    expect(b.outcome('WRGSBASE', one)).toBe('#GP(0)')
    expect(b.outcome('RDFSBASE', { ...one, operands: [{ kind: 'reg', size: 4 }] })).toBe('ok')
    expect([b.s.gpr(0), b.s.gprHi(0)]).toEqual([0x1234, 0])
  })
})

describe('XSETBV, XGETBV, HLT, caches, random numbers', () => {
  test.each([
    { rcx: 0, rax: 3, rdx: 0, result: 'ok' },
    { rcx: 0, rax: 1, rdx: 0, result: 'ok' },
    { rcx: 0, rax: 2, rdx: 0, result: '#GP(0)' },
    { rcx: 0, rax: 7, rdx: 0, result: '#GP(0)' },
    { rcx: 0, rax: 3, rdx: 1, result: '#GP(0)' },
    { rcx: 1, rax: 3, rdx: 0, result: '#GP(0)' },
  ])('XSETBV $rcx := $rdx:$rax: $result', ({ rcx, rax, rdx, result }) => {
    const b = Bench.long64()
    b.s.setGpr(0, 4, rax)
    b.s.setGpr(1, 4, rcx)
    b.s.setGpr(2, 4, rdx)
    expect(b.outcome('XSETBV')).toBe('#UD')
    b.s.set(S_CR4, 1 << 18)
    expect(b.outcome('XSETBV')).toBe(result)
    if (result === 'ok') expect(b.s.get(S_XCR0)).toBe(rax)
    expect(b.outcome('XGETBV')).toBe(rcx === 0 ? 'ok' : '#GP(0)')
  })

  test('HLT ends the run with RIP after it; at CPL 3 it faults', () => {
    const b = Bench.long64()
    expect(b.run('HLT', { length: 1 })).toBe(STATUS_EXIT)
    expect(b.rip).toBe(0x4001)
    for (const mnemonic of ['HLT', 'INVD', 'WBINVD', 'INVLPG']) expect(Bench.long64(3).outcome(mnemonic)).toBe('#GP(0)')
    expect(Bench.long64(3).outcome('VMCALL')).toBe('#UD')
    expect(Bench.long64().outcome('RSM')).toBe('#UD')
  })

  test('RDRAND writes the operand’s size and sets CF alone', () => {
    const b = Bench.long64(3)
    b.flags = 0xad7
    expect(b.outcome('RDRAND', { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 2 }] })).toBe('ok')
    expect([b.s.gpr(0), b.flags]).toEqual([0xcdef, 0x203])
  })
})
