import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  CS,
  DS,
  ES,
  FLAG_AC,
  FLAG_IF,
  FLAG_TF,
  FLAG_VIF,
  FLAG_VIP,
  SS,
  STATUS_CONTINUE,
  S_CR0,
  S_CR4,
  S_DR,
  S_EFLAGS,
  S_FCS,
  S_FCW,
  S_FDP,
  S_FDS,
  S_FIP,
  S_FOP,
  S_FPR,
  S_FSW,
  S_FTAG_EMPTY,
  S_FTOP,
  S_GPR,
  S_MXCSR,
  S_SHADOW,
  S_XCR0,
  S_XMM,
  TR,
} from '../../src/state-layout.ts'
import { noteDataBreakpoints, matchInstructionBreakpoints, pageHasDataBreakpoint } from '../../src/system/breakpoints.ts'
import { afterInstruction, checkInstructionBreakpoint, needsStepping } from '../../src/system/debug.ts'
import { X86CpuError } from '../../src/system/errors.ts'
import { PendingEvent } from '../../src/system/events.ts'
import { RESET_INIT, resetState, startAt } from '../../src/system/reset.ts'
import { restoreState, saveState } from '../../src/system/saved-state.ts'
import { setSegment } from '../../src/system/segment-cache.ts'
import { ACTIVITY_RUNNING, ACTIVITY_WAIT_FOR_SIPI, S_ACTIVITY, S_PENDING_DEBUG } from '../../src/system/system-state.ts'
import { Bench, STATUS_DONE, STATUS_EXIT, STATUS_JUMP, TSS, gprOffset } from './fake-cpu.ts'

/** Something different in every byte of the x87 and SSE state. */
function fillFpu(b: Bench): void {
  for (let i = 0; i < 8; i++) for (let j = 0; j < 10; j++) b.cpu.u8[S_FPR + 16 * i + j] = 16 * i + j + 1
  for (let i = 0; i < 16; i++) for (let j = 0; j < 16; j++) b.cpu.u8[S_XMM + 64 * i + j] = 0x80 + 7 * i + j
  b.s.set(S_FCW, 0x27f)
  b.s.set(S_FSW, 0x4100)
  b.s.set(S_FTOP, 5)
  b.s.set(S_FTAG_EMPTY, 0b0001_1110)
  b.s.set(S_FOP, 0x7a5)
  b.s.set64(S_FIP, 0x1122_3344, 0x5566)
  b.s.set64(S_FDP, 0x99aa_bbcc, 0xddee)
  b.s.set(S_FCS, 0x1b)
  b.s.set(S_MXCSR, 0x1fbf)
}

/** That state's own bytes: control words and pointers, then the registers. */
const fpuBytes = (b: Bench): number[] => [
  ...b.cpu.u8.subarray(S_MXCSR, S_FDS),
  ...Array.from({ length: 8 }, (_, i) => [...b.cpu.u8.subarray(S_FPR + 16 * i, S_FPR + 16 * i + 10)]).flat(),
  ...Array.from({ length: 16 }, (_, i) => [...b.cpu.u8.subarray(S_XMM + 64 * i, S_XMM + 64 * i + 16)]).flat(),
]
const clearFpu = (b: Bench): void => {
  b.cpu.u8.fill(0, S_MXCSR, S_FDS + 4)
  b.cpu.u8.fill(0, S_FPR, S_XMM + 64 * 16)
}
const AREA = 0xa000

describe('FXSAVE and FXRSTOR (SDM vol. 1, "FXSAVE and FXRSTOR Instructions")', () => {
  test('the legacy image', () => {
    const b = Bench.protected32(3)
    fillFpu(b)
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    expect(b.outcome('FXSAVE', { size: 4, address: AREA })).toBe('ok')
    expect([b.u16(AREA), b.u16(AREA + 2), b.u16(AREA + 4), b.u16(AREA + 6)]).toEqual([0x27f, 0x4100 | (5 << 11), 0xe1, 0x7a5])
    expect([b.u32(AREA + 8), b.u32(AREA + 12), b.u32(AREA + 16), b.u32(AREA + 20)]).toEqual([0x1122_3344, 0x1b, 0x99aa_bbcc, 0])
    expect([b.u32(AREA + 24), b.u32(AREA + 28)]).toEqual([0x1fbf, 0xffff])
    // ST0 is physical register 5.
    expect(b.u32(AREA + 32)).toBe(0x5453_5251)
    expect(b.u32(AREA + 160 + 16)).toBe(0x8a89_8887)
    // Eight XMM registers outside 64-bit mode; what follows is not touched.
    expect(b.cpu.bytes[AREA + 287]).not.toBe(0xee)
    expect(b.cpu.bytes.subarray(AREA + 288, AREA + 512).every((byte) => byte === 0xee)).toBe(true)
  })

  test('REX.W stores 64-bit pointers, and 64-bit mode 16 registers', () => {
    const b = Bench.long64(3)
    fillFpu(b)
    expect(b.outcome('FXSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect([b.u32(AREA + 12), b.u32(AREA + 20)]).toEqual([0x5566, 0xddee])
    expect(b.cpu.bytes[AREA + 415]).toBe((0x80 + 7 * 15 + 15) & 0xff)
    const before = fpuBytes(b)
    clearFpu(b)
    expect(b.outcome('FXRSTOR64', { size: 8, address: AREA })).toBe('ok')
    b.s.set(S_FCS, 0x1b)
    expect(fpuBytes(b)).toEqual(before)
  })

  test.each([
    { what: 'a misaligned area', address: AREA + 8, result: '#GP(0)' },
    { what: 'CR0.TS', cr0: 8, result: '#NM' },
    { what: 'CR0.EM', cr0: 4, result: '#NM' },
    { what: 'an absent second page', address: 0xaff0, absent: 0xb, result: '#PF(6)' },
    { what: 'a reserved bit of MXCSR', mxcsr: 0x1_0000, restore: '#GP(0)', result: 'ok' },
  ])('$what', ({ address = AREA, cr0 = 0, absent, mxcsr, restore, result }) => {
    const b = Bench.protected32(3)
    b.s.set(S_CR0, 0x11 | cr0)
    b.cpu.modeChanged()
    if (absent !== undefined) b.cpu.absent.add(absent)
    expect(b.outcome('FXSAVE', { address })).toBe(result)
    if (absent !== undefined) expect(b.cpu.bytes.subarray(0xaff0, 0xb000).every((byte) => byte === 0)).toBe(true)
    if (mxcsr !== undefined) b.cpu.view.setUint32(address + 24, mxcsr, true)
    expect(b.outcome('FXRSTOR', { address })).toBe(restore ?? (absent === undefined ? result : '#PF(4)'))
  })
})

describe('XSAVE, XSAVEOPT and XRSTOR (SDM vol. 1, "Managing State Using the XSAVE Feature Set")', () => {
  const bench = (components = 3): Bench => {
    const b = Bench.long64(3)
    b.s.set(S_CR4, 1 << 18)
    b.s.set(S_XCR0, components)
    fillFpu(b)
    b.s.setGpr(0, 4, 0xffff_ffff)
    b.s.setGpr(2, 4, 0xffff_ffff)
    return b
  }
  const header = (b: Bench): number => b.u32(AREA + 512)

  test('writes what XCR0 and EDX:EAX name, and their bits in the header', () => {
    const b = bench()
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    b.s.setGpr(0, 4, 2)
    b.cpu.view.setUint32(AREA + 512, 1, true)
    expect(b.outcome('XSAVE64', { size: 8, address: AREA })).toBe('ok')
    expect(header(b)).toBe(3)
    expect(b.u32(AREA)).toBe(0xeeee_eeee)
    expect(b.u32(AREA + 24)).toBe(0x1fbf)
    expect(b.cpu.bytes[AREA + 160]).toBe(0x80)
    expect(b.u32(AREA + 416)).toBe(0xeeee_eeee)
  })

  test('XRSTOR gives back what XSAVE took', () => {
    const b = bench()
    expect(b.outcome('XSAVE64', { size: 8, address: AREA })).toBe('ok')
    const before = fpuBytes(b)
    clearFpu(b)
    expect(b.outcome('XRSTOR64', { size: 8, address: AREA })).toBe('ok')
    b.s.set(S_FCS, 0x1b)
    expect(fpuBytes(b)).toEqual(before)
  })

  test('a component whose bit is clear is initialised, MXCSR is loaded all the same', () => {
    const b = bench()
    b.cpu.view.setUint32(AREA + 24, 0x1f80, true)
    expect(b.outcome('XRSTOR', { size: 4, address: AREA })).toBe('ok')
    expect([b.s.get(S_FCW), b.s.get(S_FTAG_EMPTY), b.s.get(S_FTOP), b.s.get(S_MXCSR)]).toEqual([0x37f, 0xff, 0, 0x1f80])
    expect(b.cpu.u8.subarray(S_XMM, S_XMM + 16).every((byte) => byte === 0)).toBe(true)
    // Now nothing is in use: XSAVEOPT writes no component, and says so.
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    b.cpu.view.setUint32(AREA + 512, 3, true)
    expect(b.outcome('XSAVEOPT', { size: 4, address: AREA })).toBe('ok')
    expect([header(b), b.u32(AREA), b.u32(AREA + 160)]).toEqual([0, 0xeeee_eeee, 0xeeee_eeee])
    expect(b.u32(AREA + 24)).toBe(0x1f80)
    expect(b.outcome('XSAVE', { size: 4, address: AREA })).toBe('ok')
    expect([header(b), b.u16(AREA)]).toEqual([0, 0x37f])
  })

  test.each([
    { what: 'a misaligned area', setup: () => undefined, address: AREA + 16, result: '#GP(0)' },
    { what: 'no CR4.OSXSAVE', setup: (b: Bench) => b.s.set(S_CR4, 0), result: '#UD' },
    { what: 'CR0.TS', setup: (b: Bench) => b.s.set(S_CR0, 0x8000_0019), result: '#NM' },
    { what: 'a component that XCR0 has not', setup: (b: Bench) => b.cpu.view.setUint32(AREA + 512, 4, true), result: '#GP(0)' },
    { what: 'the compacted form', setup: (b: Bench) => b.cpu.view.setUint32(AREA + 524, 0x8000_0000, true), result: '#GP(0)' },
    { what: 'a reserved header byte', setup: (b: Bench) => b.cpu.view.setUint8(AREA + 535, 1), result: '#GP(0)' },
    { what: 'a reserved bit of MXCSR', setup: (b: Bench) => b.cpu.view.setUint32(AREA + 24, 0x10000, true), result: '#GP(0)' },
  ])('XRSTOR with $what: $result, nothing changed', ({ setup, address = AREA, result }) => {
    const b = bench()
    setup(b)
    const before = fpuBytes(b)
    expect(b.outcome('XRSTOR', { size: 4, address })).toBe(result)
    expect(fpuBytes(b)).toEqual(before)
  })
})

describe('FNSTENV, FLDENV, FNSAVE, FRSTOR (SDM vol. 1, "Saving the x87 FPU’s State with FSTENV/FNSTENV and FSAVE/FNSAVE")', () => {
  const tags = (b: Bench): void => {
    // R5 valid, R6 zero, R7 special, R0 unsupported, the others empty.
    b.s.set(S_FTAG_EMPTY, 0b0001_1110)
    b.cpu.u8.fill(0, S_FPR, S_FPR + 128)
    b.s.set(S_FPR + 16 * 5 + 4, 0x8000_0000)
    b.cpu.u16[(S_FPR + 16 * 5 + 8) >>> 1] = 0x3fff
    b.cpu.u16[(S_FPR + 16 * 7 + 8) >>> 1] = 0x7fff
    b.cpu.u16[(S_FPR + 8) >>> 1] = 0x3fff
  }
  const TAGS = (2 << 14) | (1 << 12) | (0 << 10) | (3 << 8) | (3 << 6) | (3 << 4) | (3 << 2) | 2

  test.each([
    { size: 4, real: false, words: [0xffff_027f, 0xffff_6900, 0xffff_0000 + TAGS, 0x1122_3344, 0x07a5_001b, 0x99aa_bbcc, 0xffff_0000] },
    { size: 2, real: false, words: [0x27f, 0x6900, TAGS, 0x3344, 0x1b, 0xbbcc, 0] },
    { size: 4, real: true, words: [0xffff_027f, 0xffff_6900, 0xffff_0000 + TAGS, 0xffff_34f4, 0x0112_27a5, 0xffff_bbcc, 0x099a_a000] },
    { size: 2, real: true, words: [0x27f, 0x6900, TAGS, 0x34f4, 0x27a5, 0xbbcc, 0xa000] },
  ])('the $size-byte layout, real mode $real', ({ size, real, words }) => {
    const b = real ? Bench.real() : Bench.protected32()
    fillFpu(b)
    tags(b)
    expect(b.outcome('FNSTENV', { size, address: AREA })).toBe('ok')
    expect(words.map((_, i) => (size === 2 ? b.u16(AREA + 2 * i) : b.u32(AREA + 4 * i)))).toEqual(words)
    expect(b.s.get(S_FCW)).toBe(0x27f)
    b.s.set(S_FTOP, 0)
    b.s.set(S_FSW, 0)
    b.s.set(S_FTAG_EMPTY, 0)
    expect(b.outcome('FLDENV', { size, address: AREA })).toBe('ok')
    expect([b.s.get(S_FTOP), b.s.get(S_FSW), b.s.get(S_FTAG_EMPTY)]).toEqual([5, 0x4100, 0b0001_1110])
    expect(b.outcome('FNSTENV', { size, address: AREA + 64 })).toBe('ok')
    if (!real) expect(b.cpu.bytes.slice(AREA + 64, AREA + 64 + 6 * size)).toEqual(b.cpu.bytes.slice(AREA, AREA + 6 * size))
  })

  test('FNSAVE is followed by FNINIT; FRSTOR brings everything back', () => {
    const b = Bench.protected32()
    fillFpu(b)
    tags(b)
    const registers = b.cpu.u8.slice(S_FPR, S_FPR + 128)
    expect(b.outcome('FNSAVE', { size: 4, address: AREA })).toBe('ok')
    expect([b.s.get(S_FCW), b.s.get(S_FTAG_EMPTY), b.s.get(S_FTOP)]).toEqual([0x37f, 0xff, 0])
    // ST0, 28 bytes in, is R5.
    expect([b.u32(AREA + 32), b.u16(AREA + 36)]).toEqual([0x8000_0000, 0x3fff])
    b.cpu.u8.fill(0xff, S_FPR, S_FPR + 128)
    for (let i = 0; i < 8; i++) b.cpu.u8.fill(0, S_FPR + 16 * i + 10, S_FPR + 16 * i + 16)
    expect(b.outcome('FRSTOR', { size: 4, address: AREA })).toBe('ok')
    expect(b.cpu.u8.slice(S_FPR, S_FPR + 128)).toEqual(registers)
    expect([b.s.get(S_FCW), b.s.get(S_FTOP), b.s.get(S_FTAG_EMPTY)]).toEqual([0x27f, 5, 0b0001_1110])
  })

  test('an unmasked exception in the image is pending afterwards, and FLDENV waits for it', () => {
    const b = Bench.protected32()
    b.cpu.view.setUint32(AREA, 0x037b, true)
    b.cpu.view.setUint32(AREA + 4, 0x0004, true)
    b.cpu.view.setUint32(AREA + 8, 0xffff, true)
    expect(b.outcome('FLDENV', { size: 4, address: AREA })).toBe('ok')
    expect(b.s.get(S_FSW)).toBe(0x8084)
    expect(b.outcome('FLDENV', { size: 4, address: AREA })).toBe('#MF')
    expect(b.outcome('FNSTENV', { size: 4, address: AREA })).toBe('ok')
    expect([b.s.get(S_FCW), b.s.get(S_FSW)]).toEqual([0x37f, 4])
  })
})

describe('MASKMOVDQU and MASKMOVQ', () => {
  test('bytes whose mask is clear are not accessed', () => {
    const b = Bench.protected32()
    fillFpu(b)
    b.cpu.u8.fill(0, S_XMM + 64, S_XMM + 80)
    b.cpu.u8[S_XMM + 64 + 3] = 0x80
    b.cpu.u8[S_XMM + 64 + 7] = 0xff
    b.s.setGpr(7, 4, 0xbff8)
    b.cpu.absent.add(0xc)
    expect(b.outcome('MASKMOVDQU', { offsets: [S_XMM, S_XMM + 64] })).toBe('ok')
    expect([...b.cpu.bytes.subarray(0xbff8, 0xc000)]).toEqual([0, 0, 0, 0x83, 0, 0, 0, 0x87])
    b.cpu.u8[S_XMM + 64 + 9] = 0x80
    b.cpu.bytes.fill(0, 0xbff8, 0xc000)
    expect(b.outcome('MASKMOVDQU', { offsets: [S_XMM, S_XMM + 64] })).toBe('#PF(2)')
    expect(b.cpu.bytes[0xbffb]).toBe(0)
  })
  test('MASKMOVQ makes the x87 registers valid', () => {
    const b = Bench.protected32()
    b.s.set(S_FTOP, 3)
    b.s.setGpr(7, 4, 0xb000)
    expect(b.outcome('MASKMOVQ', { offsets: [S_FPR, S_FPR + 16] })).toBe('ok')
    expect([b.s.get(S_FTOP), b.s.get(S_FTAG_EMPTY)]).toEqual([0, 0])
  })
})

describe('flag instructions (SDM vol. 2, "CLI", "STI", "PUSHF", "POPF"; vol. 3B, "Virtual-8086 Mode Extensions")', () => {
  const machines = {
    'level 0': () => Bench.protected32(0),
    'level 3, IOPL 3': () => iopl(Bench.protected32(3), 3),
    'level 3': () => Bench.protected32(3),
    'level 3, PVI': () => cr4(Bench.protected32(3), 2),
    'level 3, PVI, VIP': () => vip(cr4(Bench.protected32(3), 2)),
    'V86, IOPL 3': () => Bench.v86(3),
    V86: () => Bench.v86(0),
    'V86, VME': () => cr4(Bench.v86(0), 1),
    'V86, VME, VIP': () => vip(cr4(Bench.v86(0), 1)),
    'real mode': () => Bench.real(),
  }
  const iopl = (b: Bench, level: number): Bench => ((b.flags |= level << 12), b)
  const cr4 = (b: Bench, value: number): Bench => (b.s.set(S_CR4, value), b)
  const vip = (b: Bench): Bench => ((b.flags |= FLAG_VIP), b)
  test.each<{ machine: keyof typeof machines; cli: string; sti: string }>([
    { machine: 'level 0', cli: 'IF', sti: 'IF' },
    { machine: 'level 3, IOPL 3', cli: 'IF', sti: 'IF' },
    { machine: 'level 3', cli: '#GP(0)', sti: '#GP(0)' },
    { machine: 'level 3, PVI', cli: 'VIF', sti: 'VIF' },
    { machine: 'level 3, PVI, VIP', cli: 'VIF', sti: '#GP(0)' },
    { machine: 'V86, IOPL 3', cli: 'IF', sti: 'IF' },
    { machine: 'V86', cli: '#GP(0)', sti: '#GP(0)' },
    { machine: 'V86, VME', cli: 'VIF', sti: 'VIF' },
    { machine: 'V86, VME, VIP', cli: 'VIF', sti: '#GP(0)' },
    { machine: 'real mode', cli: 'IF', sti: 'IF' },
  ])('$machine: CLI changes $cli, STI $sti', ({ machine, cli, sti }) => {
    for (const [mnemonic, expected, on] of [
      ['CLI', cli, false],
      ['STI', sti, true],
    ] as const) {
      const b = machines[machine]()
      b.flags = on ? b.flags & ~(FLAG_IF | FLAG_VIF) : b.flags | FLAG_IF | FLAG_VIF
      const before = b.flags
      const outcome = b.outcome(mnemonic)
      const changed = (before ^ b.flags) >>> 0
      expect(outcome === 'ok' ? (changed === FLAG_IF ? 'IF' : changed === FLAG_VIF ? 'VIF' : changed) : outcome).toBe(expected)
    }
  })

  test('STI holds interrupts off for one instruction, if they were off before', () => {
    const b = Bench.protected32()
    b.flags = 2
    expect(b.run('STI', { length: 1 })).toBe(STATUS_EXIT)
    expect([b.s.get(S_SHADOW), b.rip]).toEqual([1, 0x4001])
    b.s.set(S_SHADOW, 0)
    expect(b.run('STI', { length: 1 })).toBe(STATUS_DONE)
    expect(b.s.get(S_SHADOW)).toBe(0)
  })

  test.each([
    { mnemonic: 'PUSHF', size: 2, pushed: 0x7ad7, bench: () => Bench.protected32(0) },
    { mnemonic: 'PUSHFD', size: 4, pushed: 0x0024_7ad7, bench: () => Bench.protected32(0) },
    { mnemonic: 'PUSHFQ', size: 8, pushed: 0x0024_7ad7, bench: () => Bench.long64(0) },
  ])('$mnemonic pushes RFLAGS without RF', ({ mnemonic, size, pushed, bench }) => {
    const b = bench()
    b.flags = 0x0025_7ad7
    expect(b.outcome(mnemonic, { size })).toBe('ok')
    expect(size === 2 ? b.u16(b.rsp) : b.u32(b.rsp)).toBe(pushed)
  })

  test.each([
    { cpl: 0, iopl: 0, size: 4, image: 0x0027_7fd7, flags: 0x0024_7fd7 },
    { cpl: 3, iopl: 0, size: 4, image: 0x0024_7cd7, flags: 0x0024_4ed7 },
    { cpl: 3, iopl: 3, size: 4, image: 0x0000_0002, flags: 0x0000_3002 },
    { cpl: 0, iopl: 0, size: 2, image: 0x0ad7, flags: 0x0ad7 },
  ])('POPF at CPL $cpl, IOPL $iopl of $image: $flags', ({ cpl, iopl: level, size, image, flags }) => {
    const b = iopl(Bench.protected32(cpl), level)
    b.push(size, image)
    const sp = b.rsp
    expect(b.outcome(size === 2 ? 'POPF' : 'POPFD', { size })).toBe('ok')
    expect([b.flags, b.rsp]).toEqual([flags, sp + size])
  })

  test.each([
    { machine: 'V86', mnemonic: 'POPF', image: 2, result: '#GP(0)' },
    { machine: 'V86', mnemonic: 'PUSHF', image: 2, result: '#GP(0)' },
    { machine: 'V86, VME', mnemonic: 'POPF', image: FLAG_IF | 2, result: 'ok', flags: FLAG_VIF },
    { machine: 'V86, VME', mnemonic: 'POPF', image: FLAG_TF | 2, result: '#GP(0)' },
    { machine: 'V86, VME, VIP', mnemonic: 'POPF', image: FLAG_IF | 2, result: '#GP(0)' },
    { machine: 'V86, VME', mnemonic: 'PUSHF', image: 2, result: 'ok', pushed: 0x3002 },
    { machine: 'V86, IOPL 3', mnemonic: 'POPF', image: 2, result: 'ok', flags: 0x3000 },
  ] as const)('$machine: $mnemonic: $result', (row) => {
    const b = machines[row.machine]()
    b.push(2, row.image)
    expect(b.outcome(row.mnemonic, { size: 2 })).toBe(row.result)
    if ('flags' in row) expect(b.flags & ~0x2_0002).toBe(row.flags)
    if ('pushed' in row) expect(b.u16(0x7000 + b.rsp)).toBe(row.pushed)
  })

  test('CLAC and STAC are for level 0 and change the access mode', () => {
    const b = Bench.long64()
    expect(b.run('STAC')).toBe(STATUS_JUMP)
    expect(b.flags & FLAG_AC).toBe(FLAG_AC)
    expect(b.run('CLAC')).toBe(STATUS_JUMP)
    expect(b.flags & FLAG_AC).toBe(0)
    expect(Bench.long64(3).outcome('STAC')).toBe('#UD')
    expect(Bench.v86(3).outcome('CLAC')).toBe('#UD')
  })

  test('LAHF and SAHF move five flags', () => {
    const b = Bench.protected32()
    b.flags = 0xad7
    b.outcome('LAHF')
    expect(b.s.gpr(0)).toBe(0xd700)
    b.s.set(S_GPR, 0x2800)
    b.outcome('SAHF')
    expect(b.flags).toBe(0xa02)
  })
})

describe('ports (SDM vol. 1, "I/O Permission Bit Map")', () => {
  const inByte = { operands: [{ kind: 'reg', size: 1 }, { kind: 'imm', size: 1 }], immediate: 0x60n } as const
  const outDx = (size: number) => ({ operands: [{ kind: 'reg', size: 2 }, { kind: 'reg', size }] }) as const

  test('IN and OUT use the accumulator’s size', () => {
    const b = Bench.protected32()
    b.cpu.host.ports.set(0x60, 0x1234_56fa)
    b.s.set(S_GPR, 0xffff_ffff)
    expect(b.outcome('IN', inByte)).toBe('ok')
    expect(b.s.gpr(0)).toBe(0xffff_fffa)
    b.s.setGpr(2, 4, 0x3f8)
    expect(b.outcome('OUT', outDx(1))).toBe('ok')
    expect(b.outcome('OUT', outDx(4))).toBe('ok')
    expect(b.cpu.host.portWrites).toEqual([
      [0x3f8, 1, 0xfa],
      [0x3f8, 4, 0xffff_fffa],
    ])
  })

  test.each([
    { cpl: 3, iopl: 3, map: undefined, result: 'ok' },
    { cpl: 3, iopl: 0, map: undefined, result: '#GP(0)', why: 'no map' },
    { cpl: 3, iopl: 0, map: [0, 0], result: 'ok' },
    { cpl: 3, iopl: 0, map: [1, 0], result: '#GP(0)' },
    { cpl: 3, iopl: 0, map: [2, 0], size: 1, result: 'ok' },
    { cpl: 3, iopl: 0, map: [2, 0], size: 2, result: '#GP(0)' },
    { cpl: 3, iopl: 0, map: [0, 0], limit: 0x68 + 12, result: '#GP(0)', why: 'the second byte is outside' },
  ])('CPL $cpl, IOPL $iopl, map $map: $result', ({ cpl, iopl, map, size = 1, limit = 0x68 + 13, result }) => {
    const b = Bench.protected32(cpl)
    b.flags |= iopl << 12
    if (map !== undefined) {
      setSegment(b.s, TR, 0x28, TSS, 0, limit, 0x8b)
      b.cpu.view.setUint16(TSS + 0x66, 0x68, true)
      b.cpu.bytes.set(map, TSS + 0x68 + 12)
    }
    const form = { ...inByte, operands: [{ kind: 'reg', size }, { kind: 'imm', size: 1 }] } as const
    expect(b.outcome('IN', form)).toBe(result)
  })

  test('virtual-8086 mode always looks at the map', () => {
    expect(Bench.v86(3).outcome('IN', inByte)).toBe('#GP(0)')
  })

  test('INS moves one element a call and keeps its progress', () => {
    const b = Bench.protected32()
    b.cpu.host.ports.set(0x1f0, 0xbeef)
    b.s.setGpr(2, 4, 0x1f0)
    b.s.setGpr(1, 4, 2)
    b.s.setGpr(7, 4, 0x5000)
    const form = { size: 2, repeat: 'rep', addressSize: 4 } as const
    expect(b.run('INSW', form)).toBe(STATUS_CONTINUE)
    expect([b.s.gpr(1), b.s.gpr(7), b.u16(0x5000), b.rip]).toEqual([1, 0x5002, 0xbeef, 0x4000])
    expect(b.run('INSW', form)).toBe(STATUS_DONE)
    expect(b.run('INSW', form)).toBe(STATUS_DONE)
    expect([b.s.gpr(1), b.s.gpr(7)]).toEqual([0, 0x5004])
  })

  test('INS checks its destination before it reads the port', () => {
    const b = Bench.protected32()
    setSegment(b.s, ES, 0x10, 0, 0, 0xfff, 0x4093)
    b.s.setGpr(7, 4, 0x1000)
    expect(b.outcome('INSB', { size: 1 })).toBe('#GP(0)')
  })

  test('OUTS goes backwards with DF, in 16-bit addresses, from the segment of its prefix', () => {
    const b = Bench.protected32()
    setSegment(b.s, DS, 0x10, 0x5000, 0, 0xffff, 0x4093)
    b.flags |= 0x400
    b.s.setGpr(6, 4, 0x1234_0000)
    b.s.setGpr(2, 4, 0x80)
    b.cpu.view.setUint8(0x5000, 0x77)
    expect(b.outcome('OUTSB', { size: 1, addressSize: 2 })).toBe('ok')
    expect(b.cpu.host.portWrites).toEqual([[0x80, 1, 0x77]])
    expect(b.s.gpr(6)).toBe(0x1234_ffff)
  })
})

describe('ENTER, LEAVE, PUSHA, POPA', () => {
  test('ENTER copies the frame pointers of outer levels', () => {
    const b = Bench.protected32()
    b.s.setGpr(5, 4, 0x5100)
    b.cpu.view.setUint32(0x50fc, 0xaaaa, true)
    b.cpu.view.setUint32(0x50f8, 0xbbbb, true)
    const sp = b.rsp
    expect(b.outcome('ENTER', { size: 4, immediate: (3n << 32n) | 0x20n })).toBe('ok')
    expect(b.s.gpr(5)).toBe(sp - 4)
    expect(b.rsp).toBe(sp - 16 - 0x20)
    expect(b.pushed(4, 4, sp - 16)).toEqual([sp - 4, 0xbbbb, 0xaaaa, 0x5100])
    expect(b.outcome('LEAVE', { size: 4 })).toBe('ok')
    expect([b.s.gpr(5), b.rsp]).toEqual([0x5100, sp])
  })

  test('ENTER whose frame does not fit changes nothing', () => {
    const b = Bench.protected32()
    b.cpu.absent.add(5)
    b.s.setGpr(4, 4, 0x6010)
    expect(b.outcome('ENTER', { size: 4, immediate: 0x100n })).toBe('#PF(2)')
    expect([b.rsp, b.s.gpr(5), b.u32(0x600c)]).toEqual([0x6010, 0, 0])
  })

  test('PUSHA stores the old ESP, POPA ignores it', () => {
    for (const size of [2, 4]) {
      const b = Bench.protected32()
      for (let i = 0; i < 8; i++) if (i !== 4) b.s.setGpr(i, 4, 0x100 + i)
      const sp = b.rsp
      expect(b.outcome('PUSHA', { size })).toBe('ok')
      expect(b.pushed(size, 8)).toEqual([0x107, 0x106, 0x105, sp, 0x103, 0x102, 0x101, 0x100])
      for (let i = 0; i < 8; i++) if (i !== 4) b.s.setGpr(i, 4, 0)
      expect(b.outcome('POPA', { size })).toBe('ok')
      expect([0, 1, 2, 3, 5, 6, 7].map((i) => b.s.gpr(i))).toEqual([0x100, 0x101, 0x102, 0x103, 0x105, 0x106, 0x107])
      expect(b.rsp).toBe(sp)
    }
  })
})

describe('breakpoints and traps (SDM vol. 3B, "Debug Exceptions")', () => {
  const arm = (b: Bench, i: number, address: number, kind: number, length: number): void => {
    b.s.set64(S_DR + 8 * i, address, 0)
    const lengths: Record<number, number> = { 1: 0, 2: 1, 8: 2, 4: 3 }
    const fields = (kind | ((lengths[length] ?? 0) << 2)) << (16 + 4 * i)
    b.s.set(S_DR + 56, (b.s.get(S_DR + 56) | 0x400 | fields | (1 << (2 * i))) >>> 0)
  }
  test.each([
    { at: 0x5000, size: 4, kind: 3, write: false, hit: true },
    { at: 0x4ffd, size: 4, kind: 3, write: false, hit: true },
    { at: 0x4ffc, size: 4, kind: 3, write: false, hit: false },
    { at: 0x5003, size: 1, kind: 3, write: false, hit: true },
    { at: 0x5004, size: 1, kind: 3, write: false, hit: false },
    { at: 0x5000, size: 4, kind: 1, write: false, hit: false },
    { at: 0x5000, size: 4, kind: 1, write: true, hit: true },
    { at: 0x5000, size: 4, kind: 0, write: true, hit: false },
  ])('an access of $size bytes at $at, kind $kind, write $write: $hit', ({ at, size, kind, write, hit }) => {
    const b = Bench.protected32()
    arm(b, 2, 0x5001, kind, 4)
    noteDataBreakpoints(b.s, at, 0, size, write)
    expect(b.s.get(S_PENDING_DEBUG)).toBe(hit ? 4 : 0)
    expect(pageHasDataBreakpoint(b.s, 0x5fff, 0)).toBe(kind !== 0)
  })

  test('an instruction breakpoint comes before its instruction, RF lets it pass once', () => {
    const b = Bench.protected32()
    arm(b, 1, 0x4000, 0, 1)
    const e = new PendingEvent()
    expect(needsStepping(b.s)).toBe(true)
    expect(matchInstructionBreakpoints(b.s)).toBe(2)
    expect(checkInstructionBreakpoint(b.s, e)).toBe(true)
    expect([e.vector, e.debugBits, e.resume]).toEqual([1, 2, false])
    b.flags |= 0x1_0000
    expect(checkInstructionBreakpoint(b.s, e)).toBe(false)
    expect(b.s.get(S_EFLAGS) & 0x1_0000).toBe(0)
    expect(checkInstructionBreakpoint(b.s, e)).toBe(true)
  })

  test('single step: a trap after the instruction, none after INT n, later after MOV SS', () => {
    const b = Bench.protected32()
    const e = new PendingEvent()
    expect(afterInstruction(b.s, true, e)).toBe(true)
    expect(e.debugBits).toBe(0x4000)
    expect(afterInstruction(b.s, false, e)).toBe(false)
    b.idt(0x20, 0x0000_8e00_0008_9000n)
    expect(b.outcome('INT', { immediate: 0x20n })).toBe('ok')
    expect(afterInstruction(b.s, true, e)).toBe(false)
    b.s.set(S_SHADOW, 2)
    b.s.set(S_PENDING_DEBUG, 1)
    expect(afterInstruction(b.s, true, e)).toBe(false)
    b.s.set(S_SHADOW, 0)
    expect(afterInstruction(b.s, true, e)).toBe(true)
    expect(e.debugBits).toBe(0x4001)
  })

  test('port breakpoints need CR4.DE', () => {
    const b = Bench.protected32()
    arm(b, 0, 0x60, 2, 1)
    const form = { operands: [{ kind: 'reg', size: 1 }, { kind: 'imm', size: 1 }], immediate: 0x60n } as const
    b.outcome('IN', form)
    expect(b.s.get(S_PENDING_DEBUG)).toBe(0)
    b.s.set(S_CR4, 8)
    b.outcome('IN', form)
    expect(b.s.get(S_PENDING_DEBUG)).toBe(1)
  })
})

describe('reset and saved state', () => {
  test('power-on (SDM vol. 3A, "Processor States Following Power-up, Reset, or INIT")', () => {
    const b = new Bench()
    expect([b.rip, b.selector(CS), b.s.segmentField(CS, 0), b.s.gpr(2)]).toEqual([0xfff0, 0xf000, 0xffff_0000, 0x2_06c2])
    expect([b.s.get(S_CR0), b.flags, b.s.get(S_FCW), b.s.get(S_MXCSR), b.s.get(S_XCR0)]).toEqual([0x6000_0010, 2, 0x40, 0x1f80, 1])
    expect([b.s.segmentField(SS, 12), b.s.get(S_DR + 48), b.s.get(S_DR + 56)]).toEqual([0xffff, 0xffff_0ff0, 0x400])
  })

  test('INIT keeps x87, SSE, MSRs and the cache bits; a start-up IPI begins at its page', () => {
    const b = Bench.long64()
    fillFpu(b)
    b.s.set(0x318, 0x1234)
    b.s.set(S_CR0, 0xc000_0011)
    resetState(b.s, RESET_INIT, false)
    expect([b.s.get(S_CR0), b.s.get(0x2d0), b.s.get(S_FCW), b.s.get(0x318), b.s.get(S_ACTIVITY)]).toEqual([
      0x4000_0010,
      0,
      0x27f,
      0x1234,
      ACTIVITY_WAIT_FOR_SIPI,
    ])
    startAt(b.s, 0x9a)
    expect([b.selector(CS), b.s.segmentField(CS, 0), b.rip, b.s.get(S_ACTIVITY)]).toEqual([0x9a00, 0x9_a000, 0, ACTIVITY_RUNNING])
  })

  test('what is saved is plain data and comes back whole', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff_ffff), { minLength: 16, maxLength: 16 }), (values) => {
        const b = Bench.long64(3)
        fillFpu(b)
        for (let i = 0; i < 8; i++) b.s.set64(S_GPR + 8 * i, values[2 * i] as number, values[2 * i + 1] as number)
        const saved = saveState(b.s)
        const copy = new Bench()
        restoreState(copy.s, JSON.parse(JSON.stringify(saved)))
        expect(saveState(copy.s)).toEqual(saved)
        expect(copy.cpu.u8.subarray(0x100, 0x240)).toEqual(b.cpu.u8.subarray(0x100, 0x240))
        expect(copy.s.cpl).toBe(3)
      }),
      { numRuns: 20 },
    )
  })

  test('state that is not complete is refused', () => {
    const b = Bench.long64()
    const saved = saveState(b.s)
    expect(() => restoreState(b.s, { ...saved, version: 2 as 1 })).toThrow(X86CpuError)
    expect(() => restoreState(b.s, { ...saved, registers: {} })).toThrow(/rax/)
    expect(() => restoreState(b.s, { ...saved, xmm: ['00'] })).toThrow(X86CpuError)
  })
})
