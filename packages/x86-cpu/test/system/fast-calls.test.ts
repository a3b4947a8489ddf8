import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { Bench, CODE3_SEL, STATUS_EXIT, STATUS_JUMP, gprOffset, segmentOffset } from './bench.ts'
import { test } from './with-bench.ts'

describe('SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM vol. 2B)', () => {
  const syscallBench = (cpl: number): Bench => {
    const b = Bench.long64(cpl)
    b.s.set64(S.S_STAR, 0, 0x0023_0010)
    b.s.set64(S.S_LSTAR, 0x8000_1000, 0xffff_ffff)
    b.s.set64(S.S_SFMASK, 0x4_7700, 0)
    return b
  }
  test('SYSCALL saves RIP and RFLAGS and loads flat segments', () => {
    const b = syscallBench(3)
    b.flags = 0x4_0ad7
    expect(b.run('SYSCALL')).toBe(STATUS_JUMP)
    expect([b.s.gpr(1), b.s.gpr(11), b.rip, b.s.get(0x84)]).toEqual([0x4002, 0x4_0ad7, 0x8000_1000, 0xffff_ffff])
    expect([b.selector(S.CS), b.selector(2), b.s.cpl, b.flags]).toEqual([0x10, 0x18, 0, 0x08d7 & ~0x700])
  })
  test('SYSRET goes to 64-bit or compatibility mode', () => {
    const b = syscallBench(0)
    b.s.set64(S.S_GPR + 8, 0x1234, 0x7fff)
    b.s.set64(S.S_GPR + 88, 0x0035_7fff, 0)
    expect(b.outcome('SYSRETQ', { size: 8 })).toBe('ok')
    expect([b.rip, b.s.get(0x84), b.selector(S.CS), b.selector(2), b.s.cpl]).toEqual([0x1234, 0x7fff, 0x33, 0x2b, 3])
    expect(b.flags).toBe(0x0034_7fd7)
    const c = syscallBench(0)
    c.s.set64(S.S_GPR + 8, 0x1234, 0x7fff)
    expect(c.outcome('SYSRET', { size: 4 })).toBe('ok')
    expect([c.rip, c.s.get(0x84), c.selector(S.CS), c.s.mode64]).toEqual([0x1234, 0, 0x23, false])
  })
  test.each([
    { mnemonic: 'SYSCALL', setup: (b: Bench) => b.s.set(S.S_EFER, 0xd00), result: '#UD' },
    { mnemonic: 'SYSRETQ', setup: (b: Bench) => b.s.set(S.S_EFER, 0xd00), result: '#UD' },
    { mnemonic: 'SYSRETQ', cpl: 3, result: '#GP(0)' },
    { mnemonic: 'SYSRETQ', setup: (b: Bench) => b.s.set(S.S_GPR + 12, 0x8000), result: '#GP(0)' },
    { mnemonic: 'SYSENTER', result: '#GP(0)' },
    { mnemonic: 'SYSEXITQ', result: '#GP(0)' },
  ])('$mnemonic: $result', ({ mnemonic, cpl = 0, setup, result }) => {
    const b = syscallBench(cpl)
    setup?.(b)
    expect(b.outcome(mnemonic, { size: 8 })).toBe(result)
  })
  test('they are undefined outside 64-bit mode', ({ protected32: b }) => {
    b.s.set(S.S_EFER, 1)
    expect([b.outcome('SYSCALL'), b.outcome('SYSRET')]).toEqual(['#UD', '#UD'])
  })
  test('SYSENTER and SYSEXIT in both widths', ({ user32: b }) => {
    b.s.set(S.S_SYSENTER_CS, 0x0b)
    b.s.set64(S.S_SYSENTER_ESP, 0x7000, 1)
    b.s.set64(S.S_SYSENTER_EIP, 0x9000, 1)
    b.flags = 0x0202
    expect(b.outcome('SYSENTER')).toBe('ok')
    expect([b.selector(S.CS), b.selector(2), b.s.cpl, b.rip, b.rsp, b.flags, b.s.gprHi(4)]).toEqual([
      8, 0x10, 0, 0x9000, 0x7000, 2, 0,
    ])
    b.s.setGpr(1, 4, 0x8000)
    b.s.setGpr(2, 4, 0x4444)
    expect(b.outcome('SYSEXIT', { size: 4 })).toBe('ok')
    expect([b.selector(S.CS), b.selector(2), b.s.cpl, b.rip, b.rsp]).toEqual([CODE3_SEL, 0x23, 3, 0x4444, 0x8000])
    expect(b.outcome('SYSEXIT', { size: 4 })).toBe('#GP(0)')
    const long = Bench.long64(3)
    long.s.set(S.S_SYSENTER_CS, 0x10)
    long.s.set64(S.S_SYSENTER_EIP, 0x9000, 0xffff_8000)
    expect(long.outcome('SYSENTER')).toBe('ok')
    expect([long.rip, long.s.get(0x84), long.s.mode64]).toEqual([0x9000, 0xffff_8000, true])
    long.s.set64(S.S_GPR + 16, 0, 0x8000)
    expect(long.outcome('SYSEXITQ', { size: 8 })).toBe('#GP(0)')
  })
  test('FSGSBASE needs 64-bit mode and CR4', ({ user64: b }) => {
    const one = { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 8 }] } as const
    expect(b.outcome('WRFSBASE', one)).toBe('#UD')
    b.s.set(S.S_CR4, 1 << 16)
    b.s.set64(S.S_GPR, 0x1234, 0x7fff)
    expect(b.outcome('WRFSBASE', one)).toBe('ok')
    expect(b.s.get(segmentOffset(S.FS) + 4)).toBe(0x7fff)
    b.s.set64(S.S_GPR, 0, 0x8000)
    expect(b.outcome('WRGSBASE', one)).toBe('#GP(0)')
    expect(b.outcome('RDFSBASE', { ...one, operands: [{ kind: 'reg', size: 4 }] })).toBe('ok')
    expect([b.s.gpr(0), b.s.gprHi(0)]).toEqual([0x1234, 0])
  })
})

describe('XSETBV, XGETBV, HLT, caches, random numbers', () => {
  test.for([
    { rcx: 0, rax: 3, rdx: 0, result: 'ok' },
    { rcx: 0, rax: 1, rdx: 0, result: 'ok' },
    { rcx: 0, rax: 2, rdx: 0, result: '#GP(0)' },
    { rcx: 0, rax: 7, rdx: 0, result: 'ok' },
    { rcx: 0, rax: 5, rdx: 0, result: '#GP(0)' },
    { rcx: 0, rax: 6, rdx: 0, result: '#GP(0)' },
    { rcx: 0, rax: 15, rdx: 0, result: '#GP(0)' },
    { rcx: 0, rax: 3, rdx: 1, result: '#GP(0)' },
    { rcx: 1, rax: 3, rdx: 0, result: '#GP(0)' },
  ])('XSETBV $rcx := $rdx:$rax: $result', ({ rcx, rax, rdx, result }, { long64: b }) => {
    b.s.setGpr(0, 4, rax)
    b.s.setGpr(1, 4, rcx)
    b.s.setGpr(2, 4, rdx)
    expect(b.outcome('XSETBV')).toBe('#UD')
    b.s.set(S.S_CR4, 1 << 18)
    expect(b.outcome('XSETBV')).toBe(result)
    if (result === 'ok') expect(b.s.get(S.S_XCR0)).toBe(rax)
    expect(b.outcome('XGETBV')).toBe('ok')
    b.s.setGpr(1, 4, 2)
    expect(b.outcome('XGETBV')).toBe('#GP(0)')
  })

  test('HLT ends the run with RIP after it; at CPL 3 it faults', ({ long64: b }) => {
    expect(b.run('HLT', { length: 1 })).toBe(STATUS_EXIT)
    expect(b.rip).toBe(0x4001)
    for (const mnemonic of ['HLT', 'INVD', 'WBINVD', 'INVLPG']) expect(Bench.long64(3).outcome(mnemonic)).toBe('#GP(0)')
    expect(Bench.long64(3).outcome('VMCALL')).toBe('#UD')
    expect(Bench.long64().outcome('RSM')).toBe('#UD')
  })

  test('RDRAND writes the operand’s size and sets CF alone', ({ user64: b }) => {
    b.flags = 0xad7
    expect(b.outcome('RDRAND', { offsets: [gprOffset(0)], operands: [{ kind: 'reg', size: 2 }] })).toBe('ok')
    expect([b.s.gpr(0), b.flags]).toEqual([0xcdef, 0x203])
  })
})
