import { describe, expect, test as base } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { afterInstruction } from '../../src/system/debug.ts'
import { PendingEvent } from '../../src/system/events.ts'
import { S_ACTIVITY } from '../../src/state/system-state.ts'
import {
  Bench,
  CODE0_SEL,
  CODE3_SEL,
  DATA0_SEL,
  DATA3_SEL,
  FREE_SEL,
  GDT,
  STATUS_RESTART,
  TSS,
  TSS_SEL,
  descriptor,
  event,
  exception,
  gate,
} from './bench.ts'

/** The other task. */
const NEW_TSS = 0x3400
const NEW_SEL = FREE_SEL
const GATE_SEL = 0x48
const LDT_SEL = 0x50

interface NewTask {
  readonly cs?: number
  readonly ss?: number
  readonly ds?: number
  readonly ldt?: number
  readonly flags?: number
  readonly eip?: number
  readonly trap?: boolean
}

/** A machine in a logged pass whose other task is as given. */
function bench(task: NewTask = {}, cpl = 0): Bench {
  const b = Bench.protected32(cpl)
  const { view } = b.cpu
  b.s.set(S.S_LOGGED, 1)
  b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0xe9))
  b.gdt(GATE_SEL, gate(NEW_SEL, 0, 0xe5))
  b.gdt(LDT_SEL, descriptor(0x3800, 0x1f, 0x82))
  const set = (offset: number, value: number): void => view.setUint32(NEW_TSS + offset, value, true)
  set(0x1c, 0xabc000)
  set(0x20, task.eip ?? 0x9000)
  set(0x24, task.flags ?? 0x202)
  for (let i = 0; i < 8; i++) set(0x28 + 4 * i, 0x1000_0000 + i)
  set(0x38, 0x7000)
  const data = task.ds ?? DATA0_SEL
  set(0x48, data)
  set(0x4c, task.cs ?? CODE0_SEL)
  set(0x50, task.ss ?? DATA0_SEL)
  set(0x54, data)
  set(0x58, data)
  set(0x5c, data)
  set(0x60, task.ldt ?? 0)
  if (task.trap === true) view.setUint16(NEW_TSS + 0x64, 1, true)
  return b
}
const test = base.extend('b', () => bench())

const far = (b: Bench, mnemonic: string, selector: number): string =>
  b.outcome(mnemonic, { length: 7, immediate: BigInt(selector) << 32n, operands: [{ kind: 'imm', size: 4 }] })

const typeOf = (b: Bench, selector: number): number => (b.cpu.bytes[GDT + selector + 5] as number) & 0xf

/** What the machine would deliver next. */
function pending(b: Bench, stepping = false): string {
  const e = new PendingEvent()
  if (!afterInstruction(b.s, stepping, e)) return 'nothing'
  return e.vector === 1 ? `#DB ${e.debugBits.toString(16)}` : `#${e.vector}(${e.errorCode.toString(16)})`
}

describe('task switches (SDM vol. 3A, "Task Switching")', () => {
  test('outside a logged pass the instruction starts again as one', ({ b }) => {
    b.s.set(S.S_LOGGED, 0)
    expect(b.run('JMPF', { immediate: BigInt(NEW_SEL) << 32n, operands: [{ kind: 'imm', size: 4 }] })).toBe(
      STATUS_RESTART,
    )
  })

  test.each([
    { how: 'JMPF', selector: NEW_SEL, oldType: 9, link: 0, nested: false },
    { how: 'JMPF', selector: GATE_SEL, oldType: 9, link: 0, nested: false },
    { how: 'CALLF', selector: NEW_SEL, oldType: 11, link: TSS_SEL, nested: true },
    { how: 'CALLF', selector: GATE_SEL, oldType: 11, link: TSS_SEL, nested: true },
  ])('$how $selector: state saved and loaded, busy flags, link and NT', ({ how, selector, oldType, link, nested }) => {
    const b = bench({ ldt: LDT_SEL })
    for (let i = 0; i < 8; i++) if (i !== 4) b.s.setGpr(i, 4, 0x2000_0000 + i)
    const sp = b.rsp
    expect(far(b, how, selector)).toBe('ok')
    expect([typeOf(b, TSS_SEL), typeOf(b, NEW_SEL)]).toEqual([oldType, 11])
    expect(b.u16(NEW_TSS)).toBe(link)
    expect((b.flags & S.FLAG_NT) !== 0).toBe(nested)
    // The old task.
    expect([b.u32(TSS + 0x20), b.u32(TSS + 0x24)]).toEqual([0x4007, 0x202])
    expect([0, 1, 4, 7].map((i) => b.u32(TSS + 0x28 + 4 * i))).toEqual([0x2000_0000, 0x2000_0001, sp, 0x2000_0007])
    expect([0, 1, 2].map((i) => b.u16(TSS + 0x48 + 4 * i))).toEqual([DATA0_SEL, CODE0_SEL, DATA0_SEL])
    // The new one.
    expect([b.rip, b.rsp, b.s.gpr(0), b.s.gpr(7)]).toEqual([0x9000, 0x7000, 0x1000_0000, 0x1000_0007])
    expect([S.CS, S.SS, S.DS, S.ES, S.LDTR, S.TR].map((i) => b.selector(i))).toEqual([
      CODE0_SEL,
      DATA0_SEL,
      DATA0_SEL,
      DATA0_SEL,
      LDT_SEL,
      NEW_SEL,
    ])
    expect(b.s.get(S.S_CR0) & 8).toBe(8)
    expect(pending(b)).toBe('nothing')
  })

  test('CR3 is loaded only while paging is on', ({ b }) => {
    expect(far(b, 'JMPF', NEW_SEL)).toBe('ok')
    expect(b.s.get(S.S_CR3)).toBe(0)
    const c = bench()
    c.s.set(S.S_CR0, 0x8000_0011)
    expect(far(c, 'JMPF', NEW_SEL)).toBe('ok')
    expect(c.s.get(S.S_CR3)).toBe(0xabc000)
    expect(c.cpu.host.controlChanges).toBeGreaterThan(0)
  })

  test('IRET with NT goes back through the link', ({ b }) => {
    expect(far(b, 'CALLF', NEW_SEL)).toBe('ok')
    const kept = b.rip
    expect(b.outcome('IRETD')).toBe('ok')
    expect([b.selector(S.TR), b.rip]).toEqual([TSS_SEL, 0x4007])
    expect([typeOf(b, TSS_SEL), typeOf(b, NEW_SEL)]).toEqual([11, 9])
    expect([b.u32(NEW_TSS + 0x20), b.u32(NEW_TSS + 0x24) & S.FLAG_NT]).toEqual([kept + 2, 0])
  })

  test.for([
    { what: 'a null link', link: 0, result: '#TS(0)' },
    { what: 'a link to a local table', link: NEW_SEL | 4, result: '#TS(3c)' },
    { what: 'a link beyond the table', link: 0x200, result: '#TS(200)' },
    { what: 'a link to a task that is not busy', link: NEW_SEL, result: '#TS(38)' },
    { what: 'a link to data', link: DATA0_SEL, result: '#TS(10)' },
  ])('IRET with $what: $result', ({ link, result }, { b }) => {
    b.flags |= S.FLAG_NT
    b.cpu.view.setUint16(TSS, link, true)
    expect(b.outcome('IRETD')).toBe(result)
    expect(b.selector(S.TR)).toBe(TSS_SEL)
  })

  test.each([
    { what: 'a busy TSS', setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0xeb)), result: '#GP(38)' },
    {
      what: 'a TSS not present',
      setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0x69)),
      result: '#NP(38)',
    },
    {
      what: 'a TSS too short',
      setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x66, 0xe9)),
      result: '#TS(38)',
    },
    {
      what: 'a gate to a busy TSS',
      selector: GATE_SEL,
      setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0xeb)),
      result: '#GP(38)',
    },
    {
      what: 'a gate not present',
      selector: GATE_SEL,
      setup: (b: Bench) => b.gdt(GATE_SEL, gate(NEW_SEL, 0, 0x65)),
      result: '#NP(48)',
    },
    {
      what: 'a gate to a local TSS',
      selector: GATE_SEL,
      setup: (b: Bench) => b.gdt(GATE_SEL, gate(NEW_SEL | 4, 0, 0xe5)),
      result: '#GP(3c)',
    },
    {
      what: 'a TSS above CPL',
      cpl: 3,
      setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0x89)),
      result: '#GP(38)',
    },
    {
      what: 'RPL above DPL',
      selector: NEW_SEL | 3,
      setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0x89)),
      result: '#GP(38)',
    },
    {
      what: 'an absent page in the new TSS',
      setup: (b: Bench) => b.gdt(NEW_SEL, descriptor(0xf_9000, 0x67, 0xe9)),
      absent: 0xf9,
      result: '#PF(0)',
    },
    {
      what: 'an old TSS that cannot be written',
      setup: (b: Bench) => void b.cpu.readOnly.add(TSS >> 12),
      result: '#PF(3)',
    },
  ])('$what: $result, and nothing has changed', ({ selector = NEW_SEL, cpl = 0, setup, absent, result }) => {
    const b = bench({}, cpl)
    setup(b)
    if (absent !== undefined) b.cpu.absent.add(absent)
    const bytes = b.cpu.bytes.slice(0, 0xe_0000)
    expect(far(b, 'JMPF', selector)).toBe(result)
    expect(b.cpu.bytes.subarray(0, 0xe_0000)).toEqual(bytes)
    expect([b.selector(S.TR), b.rip]).toEqual([TSS_SEL, 0x4000])
  })

  test.each([
    { what: 'a null CS', task: { cs: 0 }, result: '#10(0)' },
    { what: 'a CS that is data', task: { cs: DATA0_SEL }, result: '#10(10)' },
    { what: 'a CS whose DPL is not its RPL', task: { cs: CODE0_SEL | 3 }, result: '#10(8)' },
    { what: 'a null SS', task: { ss: 0 }, result: '#10(0)' },
    { what: 'an SS of another level', task: { ss: DATA3_SEL }, result: '#10(20)' },
    { what: 'an SS that is code', task: { ss: CODE0_SEL }, result: '#10(8)' },
    { what: 'a DS above the level', task: { cs: CODE3_SEL, ss: DATA3_SEL, ds: DATA0_SEL }, result: '#10(10)' },
    { what: 'a DS beyond the table', task: { ds: 0x200 }, result: '#10(200)' },
    { what: 'an LDT in the LDT', task: { ldt: LDT_SEL | 4 }, result: '#10(54)' },
    { what: 'an LDT that is none', task: { ldt: DATA0_SEL }, result: '#10(10)' },
    { what: 'an EIP beyond the limit', task: { cs: 0x58, eip: 0x1000 }, result: '#13(0)' },
  ])('$what: $result in the new task', ({ task, result }) => {
    const b = bench(task)
    b.gdt(0x58, descriptor(0, 0xfff, 0x409b))
    expect(far(b, 'JMPF', NEW_SEL)).toBe('ok')
    expect(b.selector(S.TR)).toBe(NEW_SEL)
    expect(b.rip).toBe(task.eip ?? 0x9000)
    expect(pending(b)).toBe(result)
    expect(pending(b)).toBe('nothing')
  })

  test('an outer task and a virtual-8086 task', () => {
    const b = bench({ cs: CODE3_SEL, ss: DATA3_SEL, ds: DATA3_SEL })
    expect(far(b, 'JMPF', NEW_SEL)).toBe('ok')
    expect([b.s.cpl, b.selector(S.CS), pending(b)]).toEqual([3, CODE3_SEL, 'nothing'])
    const v = bench({ cs: 0x1234, flags: S.FLAG_VM | 0x202, eip: 0x10 })
    expect(far(v, 'JMPF', NEW_SEL)).toBe('ok')
    expect([v.s.cpl, v.s.v86, v.s.segmentField(S.CS, 0), pending(v)]).toEqual([3, true, 0x1_2340, 'nothing'])
  })

  test('local breakpoints are disabled, global ones stay', ({ b }) => {
    b.s.set(S.S_DR + 56, 0x7ff)
    expect(far(b, 'JMPF', NEW_SEL)).toBe('ok')
    expect(b.s.get(S.S_DR + 56)).toBe(0x6aa)
  })

  test('the T flag makes a debug trap in the new task', () => {
    const b = bench({ trap: true })
    b.flags |= S.FLAG_TF
    expect(far(b, 'JMPF', NEW_SEL)).toBe('ok')
    expect(pending(b, true)).toBe('#DB 8000')
  })

  test('an exception through a task gate: its error code goes onto the new stack, the interrupted EIP into the old TSS', ({
    b,
  }) => {
    b.idt(13, gate(NEW_SEL, 0, 0x85))
    b.deliver(exception(13, 0x50))
    expect([b.selector(S.TR), b.rip, b.rsp]).toEqual([NEW_SEL, 0x9000, 0x6ffc])
    expect(b.pushed(4, 1)).toEqual([0x50])
    expect(b.u32(TSS + 0x20)).toBe(0x4000)
    expect(b.u32(TSS + 0x24) & 0x1_0000).toBe(0x1_0000)
    expect([b.u16(NEW_TSS), b.flags & S.FLAG_NT]).toEqual([TSS_SEL, S.FLAG_NT])
  })

  test('an interrupt through a gate to a busy task is #GP with EXT', ({ b }) => {
    b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x67, 0x8b))
    b.idt(0x20, gate(NEW_SEL, 0, 0x85))
    b.idt(13, gate(CODE0_SEL, 0x9100, 0x8e))
    b.deliver(event((e) => e.setInterrupt(0, 0x20, false)))
    expect(b.pushed(4, 1)).toEqual([NEW_SEL | 1])
    expect(b.s.get(S_ACTIVITY)).toBe(0)
  })

  test('a 16-bit TSS', ({ b }) => {
    b.gdt(NEW_SEL, descriptor(NEW_TSS, 0x2b, 0xe1))
    const { view } = b.cpu
    view.setUint16(NEW_TSS + 0x0e, 0x9000, true)
    view.setUint16(NEW_TSS + 0x10, 0x202, true)
    for (let i = 0; i < 8; i++) view.setUint16(NEW_TSS + 0x12 + 2 * i, 0x100 + i, true)
    ;[DATA0_SEL, CODE0_SEL, DATA0_SEL, DATA0_SEL, 0].forEach((sel, i) =>
      view.setUint16(NEW_TSS + 0x22 + 2 * i, sel, true),
    )
    expect(far(b, 'CALLF', NEW_SEL)).toBe('ok')
    expect([b.rip, b.s.gpr(0), b.rsp, b.selector(S.DS), b.selector(S.TR)]).toEqual([
      0x9000,
      0x100,
      0x104,
      DATA0_SEL,
      NEW_SEL,
    ])
    expect(typeOf(b, NEW_SEL)).toBe(3)
    expect(b.outcome('IRETD')).toBe('ok')
    expect([b.u16(NEW_TSS + 0x0e), typeOf(b, NEW_SEL), b.selector(S.TR)]).toEqual([0x9002, 1, TSS_SEL])
  })
})
