import fc from 'fast-check'
import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import {
  DebugSlot,
  DataBreakpoints,
  hasInstructionBreakpoints,
  matchInstructionBreakpoints,
  pageHasDataBreakpoint,
} from '../../src/system/breakpoints.ts'
import { afterInstruction, checkInstructionBreakpoint } from '../../src/system/debug.ts'
import { X86CpuError } from '../../src/errors.ts'
import { inspectVcpu, restoreVcpu } from '../../src/inspect.ts'
import { PendingEvent } from '../../src/system/events.ts'
import { RESET_INIT, resetState, startAt } from '../../src/system/reset.ts'
import { ACTIVITY_RUNNING, ACTIVITY_WAIT_FOR_SIPI, S_ACTIVITY, S_PENDING_DEBUG } from '../../src/state/system-state.ts'
import type { Vcpu } from '../../src/vcpu.ts'
import { Bench, fillFpu } from './bench.ts'
import { test } from './with-bench.ts'

/** A processor without an instruction under way, as far as its state is saved and put back. */
const vcpuOf = ({ s }: Bench): Vcpu => ({ system: s, cancel() {} }) as Partial<Vcpu> as Vcpu

describe('breakpoints and traps (SDM vol. 3B, "Debug Exceptions")', () => {
  const arm = (b: Bench, i: number, address: number, kind: number, length: number): void => {
    b.s.set64(S.S_DR + 8 * i, address, 0)
    const lengths: Record<number, number> = { 1: 0, 2: 1, 8: 2, 4: 3 }
    const fields = (kind | ((lengths[length] ?? 0) << 2)) << (16 + 4 * i)
    b.s.set(S.S_DR + 56, (b.s.get(S.S_DR + 56) | 0x400 | fields | (1 << (2 * i))) >>> 0)
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
    new DataBreakpoints(b.s, new DebugSlot()).note(at, 0, size, write)
    expect(b.s.get(S_PENDING_DEBUG)).toBe(hit ? 4 : 0)
    expect(pageHasDataBreakpoint(b.s, 0x5fff, 0)).toBe(kind !== 0)
  })

  test('an instruction breakpoint comes before its instruction, RF lets it pass once', ({ protected32: b }) => {
    arm(b, 1, 0x4000, 0, 1)
    const e = new PendingEvent()
    expect(hasInstructionBreakpoints(b.s)).toBe(true)
    expect(matchInstructionBreakpoints(b.s)).toBe(2)
    expect(checkInstructionBreakpoint(b.s, e)).toBe(true)
    expect([e.vector, e.debugBits, e.resume]).toEqual([1, 2, false])
    b.flags |= 0x1_0000
    expect(checkInstructionBreakpoint(b.s, e)).toBe(false)
    expect(b.s.get(S.S_EFLAGS) & 0x1_0000).toBe(0)
    expect(checkInstructionBreakpoint(b.s, e)).toBe(true)
  })

  test('single step: a trap after the instruction, none after INT n, later after MOV SS', ({ protected32: b }) => {
    const e = new PendingEvent()
    expect(afterInstruction(b.s, true, e)).toBe(true)
    expect(e.debugBits).toBe(0x4000)
    expect(afterInstruction(b.s, false, e)).toBe(false)
    b.idt(0x20, 0x0000_8e00_0008_9000n)
    b.flags |= 0x100
    expect(b.outcome('INT', { immediate: 0x20n })).toBe('ok')
    expect(afterInstruction(b.s, true, e)).toBe(false)
    // Without TF there is nothing to hold back, now or later.
    expect(b.outcome('INT', { immediate: 0x20n })).toBe('ok')
    expect(afterInstruction(b.s, true, e)).toBe(true)
    b.s.set(S.S_SHADOW, 2)
    b.s.set(S_PENDING_DEBUG, 1)
    expect(afterInstruction(b.s, true, e)).toBe(false)
    b.s.set(S.S_SHADOW, 0)
    expect(afterInstruction(b.s, true, e)).toBe(true)
    expect(e.debugBits).toBe(0x4001)
  })

  test('port breakpoints need CR4.DE', ({ protected32: b }) => {
    arm(b, 0, 0x60, 2, 1)
    const form = {
      operands: [
        { kind: 'reg', size: 1 },
        { kind: 'imm', size: 1 },
      ],
      immediate: 0x60n,
    } as const
    b.outcome('IN', form)
    expect(b.s.get(S_PENDING_DEBUG)).toBe(0)
    b.s.set(S.S_CR4, 8)
    b.outcome('IN', form)
    expect(b.s.get(S_PENDING_DEBUG)).toBe(1)
  })
})

describe('reset and saved state', () => {
  test('power-on (SDM vol. 3A, "Processor States Following Power-up, Reset, or INIT")', () => {
    const b = new Bench()
    expect([b.rip, b.selector(S.CS), b.s.segmentField(S.CS, 0), b.s.gpr(2)]).toEqual([
      0xfff0, 0xf000, 0xffff_0000, 0x2_06c2,
    ])
    expect([b.s.get(S.S_CR0), b.flags, b.s.get(S.S_FCW), b.s.get(S.S_MXCSR), b.s.get(S.S_XCR0)]).toEqual([
      0x6000_0010, 2, 0x40, 0x1f80, 1,
    ])
    expect([b.s.segmentField(S.SS, 12), b.s.get(S.S_DR + 48), b.s.get(S.S_DR + 56)]).toEqual([
      0xffff, 0xffff_0ff0, 0x400,
    ])
  })

  test('INIT keeps x87, SSE, MSRs and the cache bits; a start-up IPI begins at its page', ({ long64: b }) => {
    fillFpu(b)
    b.s.set(0x318, 0x1234)
    b.s.set(S.S_CR0, 0xc000_0011)
    resetState(b.s, RESET_INIT, false)
    expect([b.s.get(S.S_CR0), b.s.get(0x2d0), b.s.get(S.S_FCW), b.s.get(0x318), b.s.get(S_ACTIVITY)]).toEqual([
      0x4000_0010,
      0,
      0x27f,
      0x1234,
      ACTIVITY_WAIT_FOR_SIPI,
    ])
    startAt(b.s, 0x9a)
    expect([b.selector(S.CS), b.s.segmentField(S.CS, 0), b.rip, b.s.get(S_ACTIVITY)]).toEqual([
      0x9a00,
      0x9_a000,
      0,
      ACTIVITY_RUNNING,
    ])
  })

  test('what is saved is plain data and comes back whole', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(0xffff_ffff), { minLength: 16, maxLength: 16, size: 'max' }), (values) => {
        const b = Bench.long64(3)
        fillFpu(b)
        for (let i = 0; i < 8; i++) b.s.set64(S.S_GPR + 8 * i, values[2 * i] as number, values[2 * i + 1] as number)
        const saved = inspectVcpu(vcpuOf(b))
        const copy = new Bench()
        restoreVcpu(vcpuOf(copy), JSON.parse(JSON.stringify(saved)))
        expect(inspectVcpu(vcpuOf(copy))).toEqual(saved)
        expect(copy.cpu.u8.subarray(0x100, 0x240)).toEqual(b.cpu.u8.subarray(0x100, 0x240))
        expect(copy.s.cpl).toBe(3)
      }),
      { numRuns: 20 },
    )
  })

  test('state that is not complete is refused', ({ long64: b }) => {
    const saved = inspectVcpu(vcpuOf(b))
    expect(() => restoreVcpu(vcpuOf(b), { ...saved, version: 1 as 4 })).toThrow(X86CpuError)
    expect(() => restoreVcpu(vcpuOf(b), { ...saved, registers: {} })).toThrow(/rax/)
    expect(() => restoreVcpu(vcpuOf(b), { ...saved, ymm: ['00'] })).toThrow(X86CpuError)
  })
})
