import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { setTableRegister } from '../../src/system/segments/segment-cache.ts'
import { S_NMI_BLOCKED } from '../../src/state/system-state.ts'
import {
  Bench,
  CODE0_SEL,
  CODE3_SEL,
  CODE32,
  CODE64,
  DATA0_SEL,
  DATA3_SEL,
  DPL3,
  FREE_SEL,
  IDT,
  STACK0,
  STACK3,
  STATUS_JUMP,
  TSS,
  TSS_SEL,
  descriptor,
  event,
  exception,
  gate,
} from './bench.ts'
import { test } from './with-bench.ts'

const interrupt = (vector: number): ReturnType<typeof event> => event((e) => e.setInterrupt(0, vector, false))
const int = (b: Bench, vector: number): string => b.outcome('INT', { immediate: BigInt(vector) })

describe('delivery in 32-bit protected mode (SDM vol. 3A, "Exception- or Interrupt-Handler Procedures")', () => {
  test.for([
    { type: 0x8e, clears: S.FLAG_IF, name: 'interrupt gate' },
    { type: 0x8f, clears: 0, name: 'trap gate' },
  ])('$name at the same level pushes EFLAGS, CS, EIP', ({ type, clears }, { protected32: b }) => {
    b.idt(0x20, gate(CODE0_SEL, 0x1234_5678, type))
    const before = b.rsp
    expect(b.deliver(interrupt(0x20))).toBe(STATUS_JUMP)
    expect(b.rsp).toBe(before - 12)
    expect(b.pushed(4, 3)).toEqual([0x4000, CODE0_SEL, 0x202])
    expect(b.rip).toBe(0x1234_5678)
    expect(b.flags).toBe(0x202 & ~clears)
  })

  test('a 16-bit gate pushes words', ({ protected32: b }) => {
    b.idt(13, gate(CODE0_SEL, 0x5678, 0x86))
    const before = b.rsp
    b.deliver(exception(13, 0x1234))
    expect(b.rsp).toBe(before - 8)
    expect(b.pushed(2, 4)).toEqual([0x1234, 0x4000, CODE0_SEL, 0x202])
  })

  test('to an inner level: the TSS has the stack; TF, NT, RF and VM are cleared, a fault pushes RF', ({
    user32: b,
  }) => {
    b.flags = 0x202 | S.FLAG_TF | S.FLAG_NT
    b.idt(14, gate(CODE0_SEL, 0x9000, 0x8e))
    b.deliver(
      event((e) => {
        Object.assign(e, exception(14, 7))
        e.addressLo = 0xdead_b000
      }),
    )
    expect(b.rsp).toBe(STACK0 - 24)
    expect(b.pushed(4, 6)).toEqual([7, 0x4000, CODE3_SEL, 0x202 | S.FLAG_TF | S.FLAG_NT | S.FLAG_RF, STACK3, DATA3_SEL])
    expect(b.flags).toBe(2)
    expect([b.selector(S.CS), b.selector(S.SS), b.s.cpl]).toEqual([CODE0_SEL, DATA0_SEL, 0])
    expect(b.s.get(S.S_CR2)).toBe(0xdead_b000)
  })

  test('a conforming handler keeps the level and the stack', ({ user32: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xf_ffff, 0xc09f))
    b.idt(0x20, gate(FREE_SEL, 0x9000, 0x8e))
    b.deliver(interrupt(0x20))
    expect([b.s.cpl, b.rsp, b.selector(S.CS)]).toEqual([3, STACK3 - 12, FREE_SEL | 3])
  })

  test.for([
    { what: 'beyond the IDT', vector: 0x20, entry: undefined, limit: 0xff, result: '#GP(102)' },
    { what: 'not a gate', vector: 0x20, entry: gate(CODE0_SEL, 0, 0x8c), limit: 0x7ff, result: '#GP(102)' },
    { what: 'not present', vector: 0x20, entry: gate(CODE0_SEL, 0, 0xee & ~0x80), limit: 0x7ff, result: '#NP(102)' },
    { what: 'null selector', vector: 0x20, entry: gate(0, 0, 0xee), limit: 0x7ff, result: '#GP(0)' },
    { what: 'data segment', vector: 0x20, entry: gate(DATA0_SEL, 0, 0xee), limit: 0x7ff, result: '#GP(10)' },
    { what: 'beyond the GDT', vector: 0x20, entry: gate(0x200, 0, 0xee), limit: 0x7ff, result: '#GP(200)' },
    { what: 'an outer level', vector: 0x20, entry: gate(CODE3_SEL, 0, 0xee), limit: 0x7ff, result: '#GP(18)' },
    { what: 'code not present', vector: 0x20, entry: gate(FREE_SEL, 0, 0xee), limit: 0x7ff, result: '#NP(38)' },
  ])('INT n with $what: $result', ({ vector, entry, limit, result }, { protected32: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xfffff, 0xc01b))
    if (entry !== undefined) b.idt(vector, entry)
    setTableRegister(b.s, S.IDTR, IDT, 0, limit)
    expect(int(b, vector)).toBe(result)
    expect(b.rip).toBe(0x4000)
  })

  test.for([
    { mnemonic: 'INT', vector: 0x20, result: '#GP(102)' },
    { mnemonic: 'INT3', vector: 3, result: '#GP(1a)' },
    { mnemonic: 'INTO', vector: 4, result: '#GP(22)' },
    { mnemonic: 'INT1', vector: 1, result: 'ok' },
  ])('$mnemonic at CPL 3 through a gate of DPL 0: $result', ({ mnemonic, vector, result }, { user32: b }) => {
    b.flags |= 0x800
    b.idt(vector, gate(CODE0_SEL, 0x9000, 0x8e))
    expect(b.outcome(mnemonic, { immediate: 0x20n, length: 1 })).toBe(result)
    if (result === 'ok') expect(b.pushed(4, 1)).toEqual([0x4001])
  })

  test.for([
    { what: 'null SS in the TSS', ss: 0, result: '#TS(0)' },
    { what: 'SS beyond the GDT', ss: 0x200, result: '#TS(200)' },
    { what: 'SS of the wrong RPL', ss: DATA0_SEL | 1, result: '#TS(10)' },
    { what: 'SS of the wrong DPL', ss: DATA3_SEL & ~3, result: '#TS(20)' },
    { what: 'SS not writable', ss: CODE0_SEL, result: '#TS(8)' },
    { what: 'SS not present', ss: FREE_SEL, result: '#SS(38)' },
    { what: 'a stack limit', ss: FREE_SEL + 8, result: '#SS(40)' },
  ])('an inner stack with $what: $result', ({ ss, result }, { user32: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xfffff, 0xc013))
    b.gdt(FREE_SEL + 8, descriptor(0, 0x100, 0x4093))
    b.cpu.view.setUint16(TSS + 8, ss, true)
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0xee))
    expect(int(b, 0x20)).toBe(result)
    expect(b.rsp).toBe(STACK3)
  })

  test('a TSS that is too short for the stack: #TS(TSS)', ({ user32: b }) => {
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0xee))
    setSegmentLimit(b, 7, 8)
    expect(int(b, 0x20)).toBe(`#TS(${TSS_SEL.toString(16)})`)
  })

  test('an offset beyond the limit of the code segment: #GP(0), nothing pushed', ({ protected32: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xfff, 0x409b))
    b.idt(0x20, gate(FREE_SEL, 0x1000, 0x8e))
    const before = b.rsp
    expect(int(b, 0x20)).toBe('#GP(0)')
    expect(b.rsp).toBe(before)
  })

  test.for([
    { top: 0x6008, absent: 5, address: 0x5ffc, why: 'the third push' },
    { top: 0x6008, absent: 6, address: 0x6004, why: 'the first push' },
    { top: 0x6000, absent: 5, address: 0x5ffc, why: 'the first push, all in one page' },
  ])('a stack at $top without page $absent faults at $address: $why', ({ top, absent, address }, { user32: b }) => {
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0xee))
    b.cpu.view.setUint32(TSS + 4, top, true)
    b.cpu.absent.add(absent)
    expect(int(b, 0x20)).toBe('#PF(2)')
    expect(b.s.get(S.S_FAULT_ADDRESS)).toBe(address)
  })

  test('a page fault on the new stack is a supervisor write, reported after nothing has changed', ({ user32: b }) => {
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0xee))
    b.cpu.absent.add((STACK0 - 4) >> 12)
    expect(int(b, 0x20)).toBe('#PF(2)')
    expect([b.s.cpl, b.rsp, b.rip]).toEqual([3, STACK3, 0x4000])
  })
})

function setSegmentLimit(b: Bench, segment: number, limit: number): void {
  b.s.set(0x100 + segment * 32 + 16, limit)
}

describe('delivery in IA-32e mode (SDM vol. 3A, "Interrupt and Exception Handling in 64-bit Mode")', () => {
  test('the stack is aligned and SS:RSP are pushed at the same level too', ({ long64: b }) => {
    b.s.setGpr(4, 8, 0x5ff9)
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0x8e))
    expect(b.deliver(interrupt(0x20))).toBe(STATUS_JUMP)
    expect(b.rsp).toBe(0x5ff0 - 40)
    expect(b.pushed(8, 5)).toEqual([0x4000, CODE0_SEL, 0x202, 0x5ff9, DATA0_SEL])
    expect(b.selector(S.SS)).toBe(DATA0_SEL)
  })

  test('to an inner level SS becomes null', ({ user64: b }) => {
    b.idt(13, gate(CODE0_SEL, 0x9000, 0x8e))
    b.deliver(exception(13, 0x50))
    expect(b.rsp).toBe(STACK0 - 48)
    expect(b.pushed(8, 6)).toEqual([0x50, 0x4000, CODE3_SEL, 0x202 | S.FLAG_RF, STACK3, DATA3_SEL])
    expect([b.selector(S.SS), b.s.cpl]).toEqual([0, 0])
  })

  test.each([
    { ist: 1, at: 0x24 },
    { ist: 7, at: 0x54 },
  ])('IST $ist comes from the TSS, whatever the level', ({ ist, at }) => {
    for (const cpl of [0, 3]) {
      const b = Bench.long64(cpl)
      b.cpu.view.setUint32(TSS + at, 0x7008, true)
      b.idt(2, gate(CODE0_SEL, 0x9000, 0x8e, ist))
      b.deliver(event((e) => e.setInterrupt(2, 2, false)))
      expect(b.rsp).toBe(0x7000 - 40)
      expect(b.s.get(S_NMI_BLOCKED)).toBe(1)
    }
  })

  test.for([
    { what: 'a 16-bit gate', entry: gate(CODE0_SEL, 0x9000, 0xe6), result: '#GP(202)' },
    { what: 'a task gate', entry: gate(TSS_SEL, 0, 0xe5), result: '#GP(202)' },
    { what: 'a 32-bit code segment', entry: gate(FREE_SEL, 0x9000, 0xee), result: '#GP(38)' },
  ])('$what: $result', ({ entry, result }, { long64: b }) => {
    b.gdt(FREE_SEL, descriptor(0, 0xffff_ffff, CODE32))
    b.idt(0x20, entry)
    expect(int(b, 0x20)).toBe(result.replace('202', '102'))
  })

  test('a non-canonical entry point is #GP(0), a non-canonical stack #SS(0)', ({ user64: b }) => {
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0xee))
    b.cpu.view.setUint32(IDT + 0x208, 0x8000, true)
    expect(int(b, 0x20)).toBe('#GP(0)')
    b.cpu.view.setUint32(IDT + 0x208, 0, true)
    b.cpu.view.setUint32(TSS + 8, 0x8000, true)
    expect(int(b, 0x20)).toBe('#SS(0)')
  })

  test('an event in compatibility mode pushes 64 bits and enters 64-bit mode', ({ user64: b }) => {
    b.s.set(0x100 + 32 + 24, CODE32 | DPL3)
    b.cpu.modeChanged()
    expect(b.s.mode64).toBe(false)
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0x8e))
    b.deliver(interrupt(0x20))
    expect(b.s.mode64).toBe(true)
    expect(b.pushed(8, 5)).toEqual([0x4000, CODE3_SEL, 0x202, STACK3, DATA3_SEL])
    expect(CODE64 & 0x2000).not.toBe(0)
  })
})

describe('real mode and virtual-8086 mode', () => {
  test('real mode uses the vector table and pushes three words', () => {
    const b = Bench.real()
    b.flags = 0x202
    b.cpu.view.setUint16(0x80, 0x1234, true)
    b.cpu.view.setUint16(0x82, 0xf000, true)
    b.deliver(exception(0x20, 5))
    expect(b.rsp).toBe(0xffa)
    expect(b.pushed(2, 3, 0x7ffa)).toEqual([0x100, 0x400, 0x202])
    expect([b.selector(S.CS), b.rip, b.flags]).toEqual([0xf000, 0x1234, 2])
  })

  test('an interrupt of virtual-8086 mode goes to level 0 and empties the data segments', () => {
    const b = Bench.v86(0)
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0x8e))
    b.deliver(interrupt(0x20))
    expect(b.rsp).toBe(STACK0 - 36)
    expect(b.pushed(4, 9)).toEqual([0x100, 0x400, S.FLAG_VM | 2, 0x1000, 0x700, 0x400, 0x400, 0x400, 0x400])
    expect([b.selector(S.ES), b.selector(S.DS), b.selector(S.FS), b.selector(S.GS)]).toEqual([0, 0, 0, 0])
    expect(b.flags).toBe(2)
    expect(b.s.cpl).toBe(0)
  })

  test.each([
    { what: 'a conforming handler', attributes: 0xc09f, result: '#GP(38)' },
    { what: 'a handler of level 1', attributes: 0xc0bb, result: '#GP(38)' },
  ])('virtual-8086 mode to $what: $result', ({ attributes, result }) => {
    const b = Bench.v86(3)
    b.gdt(FREE_SEL, descriptor(0, 0xf_ffff, attributes))
    b.idt(0x20, gate(FREE_SEL, 0x9000, 0xee))
    expect(int(b, 0x20)).toBe(result)
  })

  // SDM vol. 3B, table "Software Interrupt Handling in Virtual-8086 Mode".
  test.each([
    { vme: false, iopl: 3, redirected: false, result: 'idt' },
    { vme: false, iopl: 0, redirected: false, result: '#GP(0)' },
    { vme: true, iopl: 3, redirected: false, result: 'idt' },
    { vme: true, iopl: 0, redirected: false, result: '#GP(0)' },
    { vme: true, iopl: 3, redirected: true, result: '8086' },
    { vme: true, iopl: 0, redirected: true, result: '8086 virtual' },
  ])('INT n with VME $vme, IOPL $iopl, redirection $redirected: $result', ({ vme, iopl, redirected, result }) => {
    const b = Bench.v86(iopl)
    if (vme) b.s.set(S.S_CR4, 1)
    b.flags |= S.FLAG_VIF | S.FLAG_IF
    setSegmentLimit(b, 7, 0x100)
    b.cpu.view.setUint16(TSS + 0x66, 0x88, true)
    b.cpu.view.setUint8(TSS + 0x68 + 4, redirected ? 0 : 1)
    b.idt(0x20, gate(CODE0_SEL, 0x9000, 0xee))
    b.cpu.view.setUint16(0x80, 0x1234, true)
    b.cpu.view.setUint16(0x82, 0x300, true)
    const outcome = int(b, 0x20)
    if (outcome !== 'ok') expect(outcome).toBe(result)
    else if (b.selector(S.CS) === CODE0_SEL) expect('idt').toBe(result)
    else {
      expect(b.rip).toBe(0x1234)
      const virtual = (b.flags & S.FLAG_VIF) === 0
      expect(virtual ? '8086 virtual' : '8086').toBe(result)
      // A virtualised program sees IOPL 3 and its virtual IF.
      expect(b.u16(0x7ffe)).toBe(0x3202)
      expect((b.flags & S.FLAG_IF) !== 0).toBe(virtual)
    }
  })
})
