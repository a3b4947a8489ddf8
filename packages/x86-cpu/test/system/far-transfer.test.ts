import { describe, expect } from 'vitest'
import * as S from '../../src/state/state-layout.ts'
import { setSegment } from '../../src/system/segments/segment-cache.ts'
import { S_NMI_BLOCKED } from '../../src/state/system-state.ts'
import * as bench from './bench.ts'
import { Bench, descriptor, gate } from './bench.ts'
import { test } from './with-bench.ts'

function far(b: Bench, mnemonic: string, selector: number, offset: number, size = 4): string {
  return b.outcome(mnemonic, {
    size,
    length: 7,
    immediate: (BigInt(selector) << 32n) | BigInt(offset),
    operands: [{ kind: 'imm', size: 4 }],
  })
}

describe('far JMP and CALL to a code segment (SDM vol. 2A, "JMP", "CALL")', () => {
  const rows = [
    { cpl: 0, attributes: bench.CODE32, selector: bench.FREE_SEL, result: 'ok' },
    { cpl: 0, attributes: bench.CODE32, selector: bench.FREE_SEL | 3, result: '#GP(38)', why: 'RPL above CPL' },
    {
      cpl: 0,
      attributes: bench.CODE32 | bench.DPL3,
      selector: bench.FREE_SEL,
      result: '#GP(38)',
      why: 'an outer level',
    },
    { cpl: 3, attributes: bench.CODE32, selector: bench.FREE_SEL, result: '#GP(38)', why: 'an inner level' },
    { cpl: 3, attributes: bench.CODE32 | bench.DPL3, selector: bench.FREE_SEL, result: 'ok' },
    { cpl: 3, attributes: 0xc09e, selector: bench.FREE_SEL | 3, result: 'ok', why: 'conforming, inner' },
    { cpl: 0, attributes: 0xc0fe, selector: bench.FREE_SEL, result: '#GP(38)', why: 'conforming, outer' },
    { cpl: 0, attributes: bench.CODE32 & ~0x80, selector: bench.FREE_SEL, result: '#NP(38)', why: 'not present' },
    { cpl: 0, attributes: 0xc093, selector: bench.FREE_SEL, result: '#GP(38)', why: 'data' },
    { cpl: 0, attributes: 0x0082, selector: bench.FREE_SEL, result: '#GP(38)', why: 'an LDT' },
    { cpl: 0, attributes: bench.CODE32, selector: 0, result: '#GP(0)', why: 'null' },
    { cpl: 0, attributes: bench.CODE32, selector: 0x200, result: '#GP(200)', why: 'beyond the table' },
  ]
  test.each(rows)(
    'CPL $cpl, attributes $attributes, selector $selector: $result',
    ({ cpl, attributes, selector, result }) => {
      for (const mnemonic of ['JMPF', 'CALLF']) {
        const b = Bench.protected32(cpl)
        b.gdt(bench.FREE_SEL, descriptor(0, 0xf_ffff, attributes))
        const sp = b.rsp
        const cs = b.selector(S.CS)
        expect([mnemonic, far(b, mnemonic, selector, 0x1234)]).toEqual([mnemonic, result])
        if (result !== 'ok') {
          expect([b.rip, b.rsp, b.selector(S.CS)]).toEqual([0x4000, sp, cs])
          continue
        }
        expect([b.rip, b.selector(S.CS), b.s.cpl]).toEqual([0x1234, bench.FREE_SEL | cpl, cpl])
        if (mnemonic === 'CALLF') expect(b.pushed(4, 2)).toEqual([0x4007, cs])
        else expect(b.rsp).toBe(sp)
      }
    },
  )

  test('an offset beyond the limit is #GP(0)', ({ protected32: b }) => {
    b.gdt(bench.FREE_SEL, descriptor(0, 0xfff, 0x409b))
    expect(far(b, 'JMPF', bench.FREE_SEL, 0x1000)).toBe('#GP(0)')
    expect(far(b, 'CALLF', bench.FREE_SEL, 0x1000)).toBe('#GP(0)')
  })

  test('a stack without room is #SS(0)', ({ protected32: b }) => {
    setSegment(b.s, S.SS, bench.DATA0_SEL, 0, 0, 0xfff, 0x4093)
    expect(far(b, 'CALLF', bench.CODE0_SEL, 0x1000)).toBe('#SS(0)')
  })

  test('real mode: base is the selector × 16, the stack takes words', () => {
    const b = Bench.real()
    expect(far(b, 'CALLF', 0x1234, 0xffff_0010, 2)).toBe('ok')
    expect([b.selector(S.CS), b.s.segmentField(S.CS, 0), b.rip]).toEqual([0x1234, 0x1_2340, 0x10])
    expect(b.pushed(2, 2, 0x7000 + b.rsp)).toEqual([0x107, 0x400])
    expect(b.outcome('RETF', { size: 2 })).toBe('ok')
    expect([b.selector(S.CS), b.rip, b.rsp]).toEqual([0x400, 0x107, 0x1000])
  })

  test('leaving 64-bit mode for compatibility mode and coming back', ({ long64: b }) => {
    b.gdt(bench.FREE_SEL, descriptor(0, 0xffff_ffff, bench.CODE32))
    b.cpu.view.setUint32(0x5000, 0x1234, true)
    b.cpu.view.setUint16(0x5004, bench.FREE_SEL, true)
    expect(b.outcome('JMPF', { size: 4, address: 0x5000, operands: [{ kind: 'mem', size: 6 }] })).toBe('ok')
    expect([b.s.mode64, b.rip]).toEqual([false, 0x1234])
    expect(far(b, 'JMPF', bench.CODE0_SEL, 0x8888)).toBe('ok')
    expect([b.s.mode64, b.rip]).toEqual([true, 0x8888])
    b.gdt(bench.FREE_SEL, descriptor(0, 0xffff_ffff, bench.CODE64 | 0x4000))
    b.cpu.view.setUint32(0x5000, 0x1234, true)
    expect(b.outcome('JMPF', { size: 4, address: 0x5000, operands: [{ kind: 'mem', size: 6 }] })).toBe('#GP(38)')
  })
})

describe('call gates (SDM vol. 3A, "Accessing a Code Segment Through a Call Gate")', () => {
  test.each([
    { what: 'gate DPL below CPL', cpl: 3, type: 0x8c, target: bench.CODE0_SEL, call: '#GP(38)', jump: '#GP(38)' },
    { what: 'gate not present', cpl: 3, type: 0x6c, target: bench.CODE0_SEL, call: '#NP(38)', jump: '#NP(38)' },
    { what: 'null target', cpl: 3, type: 0xec, target: 0, call: '#GP(0)', jump: '#GP(0)' },
    { what: 'data target', cpl: 3, type: 0xec, target: bench.DATA0_SEL, call: '#GP(10)', jump: '#GP(10)' },
    { what: 'outer target', cpl: 0, type: 0xec, target: bench.CODE3_SEL, call: '#GP(18)', jump: '#GP(18)' },
    { what: 'inner target', cpl: 3, type: 0xec, target: bench.CODE0_SEL, call: 'ok', jump: '#GP(8)' },
    { what: 'same level', cpl: 0, type: 0x8c, target: bench.CODE0_SEL, call: 'ok', jump: 'ok' },
  ])('$what: CALL $call, JMP $jump', ({ cpl, type, target, call, jump }) => {
    for (const [mnemonic, result] of [
      ['CALLF', call],
      ['JMPF', jump],
    ] as const) {
      const b = Bench.protected32(cpl)
      b.gdt(bench.FREE_SEL, gate(target, 0x9000, type))
      expect(far(b, mnemonic, bench.FREE_SEL, 0)).toBe(result)
      if (result === 'ok') expect([b.rip, b.s.cpl]).toEqual([0x9000, target & 3])
    }
  })

  test('the inner stack gets SS, ESP, the parameters in order, CS and EIP', ({ user32: b }) => {
    b.gdt(bench.FREE_SEL, gate(bench.CODE0_SEL, 0x9000, 0xec, 3))
    b.push(4, 0x33, 0x22, 0x11)
    const sp = b.rsp
    expect(far(b, 'CALLF', bench.FREE_SEL, 0)).toBe('ok')
    expect(b.pushed(4, 7)).toEqual([0x4007, bench.CODE3_SEL, 0x11, 0x22, 0x33, sp, bench.DATA3_SEL])
    expect([b.selector(S.SS), b.selector(S.CS), b.rsp]).toEqual([bench.DATA0_SEL, bench.CODE0_SEL, bench.STACK0 - 28])
    // RET with the parameters' size gives both stacks back.
    expect(b.outcome('RETF', { size: 4, immediate: 12n, operands: [{ kind: 'imm', size: 2 }] })).toBe('ok')
    expect([b.selector(S.SS), b.selector(S.CS), b.rsp, b.rip]).toEqual([
      bench.DATA3_SEL,
      bench.CODE3_SEL,
      bench.STACK3,
      0x4007,
    ])
  })

  test('a 16-bit gate copies words and uses SP0 of a 16-bit TSS', ({ user32: b }) => {
    setSegment(b.s, 7, bench.TSS_SEL, bench.TSS, 0, 0x2b, 0x83)
    b.cpu.view.setUint16(bench.TSS + 2, 0x6000, true)
    b.cpu.view.setUint16(bench.TSS + 4, bench.DATA0_SEL, true)
    b.gdt(bench.FREE_SEL, gate(bench.CODE0_SEL, 0xffff_9000, 0xe4, 2))
    b.push(2, 0x22, 0x11)
    expect(far(b, 'CALLF', bench.FREE_SEL, 0)).toBe('ok')
    expect(b.rip).toBe(0x9000)
    expect(b.pushed(2, 6)).toEqual([0x4007, bench.CODE3_SEL, 0x11, 0x22, bench.STACK3 - 4, bench.DATA3_SEL])
  })

  test('a 64-bit gate switches to RSP0, copies nothing and pushes quadwords', ({ user64: b }) => {
    b.gdt(bench.FREE_SEL, gate(bench.CODE0_SEL, 0x9000, 0xec, 3))
    b.gdt(bench.FREE_SEL + 8, 0xffff_8000n)
    b.cpu.view.setUint32(0x5000, 0, true)
    b.cpu.view.setUint16(0x5004, bench.FREE_SEL, true)
    const call = { size: 4, length: 7, address: 0x5000, operands: [{ kind: 'mem', size: 6 }] } as const
    expect(b.outcome('CALLF', call)).toBe('ok')
    expect(b.pushed(8, 4)).toEqual([0x4007, bench.CODE3_SEL, bench.STACK3, bench.DATA3_SEL])
    expect([b.rip, b.s.get(0x84), b.selector(S.SS)]).toEqual([0x9000, 0xffff_8000, 0])
    const narrow = Bench.long64(3)
    narrow.gdt(bench.FREE_SEL, gate(bench.CODE0_SEL, 0x9000, 0xec))
    narrow.gdt(bench.FREE_SEL + 8, 0x0000_0100_0000_0000n)
    narrow.cpu.bytes.set(b.cpu.bytes.subarray(0x5000, 0x5006), 0x5000)
    expect(narrow.outcome('CALLF', call)).toBe('#GP(38)')
  })
})

describe('RETF (SDM vol. 2B, "RET")', () => {
  test.each([
    { what: 'null', selector: 0, result: '#GP(0)' },
    { what: 'an inner level', cpl: 3, selector: bench.CODE0_SEL, result: '#GP(8)' },
    { what: 'data', selector: bench.DATA0_SEL, result: '#GP(10)' },
    { what: 'a level that DPL does not match', selector: bench.CODE0_SEL | 3, result: '#GP(8)' },
    { what: 'not present', selector: bench.FREE_SEL, result: '#NP(38)' },
  ])('to $what: $result', ({ cpl = 0, selector, result }) => {
    const b = Bench.protected32(cpl)
    b.gdt(bench.FREE_SEL, descriptor(0, 0xf_ffff, bench.CODE32 & ~0x80))
    b.push(4, selector, 0x1234)
    expect(b.outcome('RETF')).toBe(result)
  })

  test.for([
    { what: 'null', ss: 0, result: '#GP(0)' },
    { what: 'wrong RPL', ss: bench.DATA3_SEL & ~3, result: '#GP(20)' },
    { what: 'wrong DPL', ss: bench.DATA0_SEL | 3, result: '#GP(10)' },
    { what: 'code', ss: bench.CODE3_SEL, result: '#GP(18)' },
    { what: 'not present', ss: bench.FREE_SEL | 3, result: '#SS(38)' },
  ])('outward with SS $what: $result', ({ ss, result }, { protected32: b }) => {
    b.gdt(bench.FREE_SEL, descriptor(0, 0xf_ffff, 0xc073))
    b.push(4, ss, bench.STACK3, bench.CODE3_SEL, 0x1234)
    const sp = b.rsp
    expect(b.outcome('RETF')).toBe(result)
    expect([b.rsp, b.s.cpl]).toEqual([sp, 0])
  })

  test('outward: data segments that the outer level may not use become null', ({ protected32: b }) => {
    b.gdt(bench.FREE_SEL, descriptor(0, 0xf_ffff, 0xc09f))
    setSegment(b.s, S.ES, bench.DATA3_SEL, 0, 0, 0xffff_ffff, 0xc0f3)
    setSegment(b.s, S.FS, bench.FREE_SEL, 0, 0, 0xf_ffff, 0xc09f)
    b.push(4, bench.DATA3_SEL, bench.STACK3, bench.CODE3_SEL, 0x1234)
    expect(b.outcome('RETF')).toBe('ok')
    expect([S.ES, S.DS, S.FS, S.GS].map((segment) => b.selector(segment))).toEqual([
      bench.DATA3_SEL,
      0,
      bench.FREE_SEL,
      0,
    ])
    expect([b.s.cpl, b.rsp, b.rip]).toEqual([3, bench.STACK3, 0x1234])
  })

  test.each(['RETF', 'IRETQ'])('%s outward: a segment that becomes null keeps its base and limit', (mnemonic) => {
    const b = Bench.long64()
    setSegment(b.s, S.FS, bench.DATA0_SEL, 0x1234_5000, 0x7fff, 0xffff_ffff, 0xc093)
    if (mnemonic === 'RETF') b.push(8, bench.DATA3_SEL, bench.STACK3, bench.CODE3_SEL, 0x1234)
    else b.push(8, bench.DATA3_SEL, bench.STACK3, 2, bench.CODE3_SEL, 0x1234)
    expect(b.outcome(mnemonic, { size: 8 })).toBe('ok')
    expect([b.selector(S.FS), b.s.attributes(S.FS)]).toEqual([0, 0])
    expect([b.s.segmentField(S.FS, S.SEG_BASE), b.s.segmentField(S.FS, S.SEG_BASE + 4)]).toEqual([0x1234_5000, 0x7fff])
    b.s.linear(S.FS, 8, 0, 4, false)
    expect([b.s.linLo, b.s.linHi]).toEqual([0x1234_5008, 0x7fff])
  })

  test('outward: a segment that becomes null cannot be used, whatever its base', ({ protected32: b }) => {
    setSegment(b.s, S.ES, bench.DATA0_SEL, 0x1000, 0, 0xffff_ffff, 0xc093)
    b.push(4, bench.DATA3_SEL, bench.STACK3, bench.CODE3_SEL, 0x1234)
    expect(b.outcome('RETF')).toBe('ok')
    expect(b.outcome('STOSB', { operands: [] })).toBe('#GP(0)')
  })
})

describe('IRET (SDM vol. 2A, "IRET/IRETD/IRETQ")', () => {
  test('at the same level pops three doublewords and unblocks NMIs', ({ protected32: b }) => {
    b.s.set(S_NMI_BLOCKED, 1)
    b.push(4, 0x0024_4fd7, bench.CODE0_SEL, 0x1234)
    expect(b.outcome('IRETD')).toBe('ok')
    expect([b.rip, b.rsp, b.s.get(S_NMI_BLOCKED)]).toEqual([0x1234, bench.STACK0 - 0x100, 0])
    expect(b.flags).toBe(0x0024_4fd7)
  })

  test.each([
    { cpl: 0, iopl: 0, image: S.FLAG_IF | 0x3000, kept: S.FLAG_IF | 0x3000 },
    { cpl: 3, iopl: 3, image: 0, kept: 0x3000 },
    { cpl: 3, iopl: 0, image: 0x3000, kept: S.FLAG_IF },
    { cpl: 3, iopl: 0, image: S.FLAG_VIF | S.FLAG_VIP | S.FLAG_AC, kept: S.FLAG_IF | S.FLAG_AC },
    { cpl: 0, iopl: 0, image: S.FLAG_VIF | S.FLAG_VIP, kept: S.FLAG_VIF | S.FLAG_VIP },
  ])('at CPL $cpl, IOPL $iopl an image of $image leaves $kept', ({ cpl, iopl, image, kept }) => {
    const b = Bench.protected32(cpl)
    b.flags = 0x202 | (iopl << 12)
    b.push(4, image, cpl === 0 ? bench.CODE0_SEL : bench.CODE3_SEL, 0x1234)
    expect(b.outcome('IRETD')).toBe('ok')
    expect(b.flags).toBe(kept | 2)
  })

  test('a 16-bit image leaves the upper half of EFLAGS', ({ protected32: b }) => {
    // VIF and VIP are among what stays.
    b.flags = 0x3c_0202
    b.push(2, 0x0ad5, bench.CODE0_SEL, 0x1234)
    expect(b.outcome('IRET', { size: 2 })).toBe('ok')
    expect(b.flags).toBe(0x3c_0ad7)
  })

  test('RF stays set while breakpoints are in use, and is of no interest otherwise', ({ protected32: b }) => {
    b.push(4, 2 | S.FLAG_RF, bench.CODE0_SEL, 0x1234)
    expect(b.outcome('IRETD')).toBe('ok')
    expect(b.flags & S.FLAG_RF).toBe(0)
    b.s.set(0x270 + 56, 0x401)
    b.push(4, 2 | S.FLAG_RF, bench.CODE0_SEL, 0x1234)
    expect(b.outcome('IRETD')).toBe('ok')
    expect(b.flags & S.FLAG_RF).toBe(S.FLAG_RF)
  })

  test('IRETQ always pops SS:RSP', ({ long64: b }) => {
    b.push(8, bench.DATA0_SEL, 0x5008, 0x202, bench.CODE0_SEL, 0x1234)
    expect(b.outcome('IRETQ', { size: 8 })).toBe('ok')
    expect([b.rsp, b.rip, b.selector(S.SS)]).toEqual([0x5008, 0x1234, bench.DATA0_SEL])
    b.push(8, 0, 0x5008, 0x202, bench.CODE0_SEL, 0x1234)
    expect(b.outcome('IRETQ', { size: 8 })).toBe('ok')
    expect([b.selector(S.SS), b.s.cpl]).toEqual([0, 0])
    b.push(8, 3, 0x5008, 0x202, bench.CODE3_SEL, 0x1234)
    expect(b.outcome('IRETQ', { size: 8 })).toBe('#GP(0)')
  })

  test('from 64-bit mode to a 32-bit program', ({ long64: b }) => {
    b.gdt(bench.FREE_SEL, descriptor(0, 0xffff_ffff, bench.CODE32 | bench.DPL3))
    b.push(8, bench.DATA3_SEL, bench.STACK3, 0x202, bench.FREE_SEL | 3, 0x1234)
    expect(b.outcome('IRETQ', { size: 8 })).toBe('ok')
    expect([b.s.mode64, b.s.cpl, b.rsp, b.rip]).toEqual([false, 3, bench.STACK3, 0x1234])
  })

  test('a non-canonical RIP is #GP(0) and nothing has changed', ({ long64: b }) => {
    b.push(8, bench.DATA0_SEL, 0x5008, 0x202, bench.CODE0_SEL, 0x1234)
    b.cpu.view.setUint32(b.rsp + 4, 0x8000, true)
    expect(b.outcome('IRETQ', { size: 8 })).toBe('#GP(0)')
    expect(b.flags).toBe(0x202)
  })

  test('with NT in IA-32e mode: #GP(0)', ({ long64: b }) => {
    b.flags |= S.FLAG_NT
    expect(b.s.get(S.S_EFER) & 0x400).toBe(0x400)
    expect(b.outcome('IRETQ', { size: 8 })).toBe('#GP(0)')
  })

  test('level 0 returns to virtual-8086 mode with all segments from the stack', ({ protected32: b }) => {
    b.push(4, 0x500, 0x400, 0x300, 0x200, 0x700, 0x1000, S.FLAG_VM | 0x202, 0x100, 0x44)
    expect(b.outcome('IRETD')).toBe('ok')
    expect([b.s.v86, b.s.cpl, b.rip, b.rsp]).toEqual([true, 3, 0x44, 0x1000])
    expect([S.CS, S.SS, S.ES, S.DS, S.FS, S.GS].map((segment) => b.selector(segment))).toEqual([
      0x100, 0x700, 0x200, 0x300, 0x400, 0x500,
    ])
    expect(b.s.segmentField(S.GS, 0)).toBe(0x5000)
    const outer = Bench.protected32(3)
    outer.push(4, S.FLAG_VM | 0x202, bench.CODE3_SEL, 0x1234)
    expect(outer.outcome('IRETD')).toBe('ok')
    expect(outer.s.v86).toBe(false)
  })

  test.each([
    { vme: 0, iopl: 3, image: 0x0002, result: 'ok', flags: 0x3002 },
    { vme: 0, iopl: 0, image: 0x0202, result: '#GP(0)' },
    { vme: 1, iopl: 0, image: 0x0202, result: 'ok', flags: S.FLAG_VIF | S.FLAG_IF | 2 },
    { vme: 1, iopl: 0, image: 0x0002 | S.FLAG_TF, result: '#GP(0)' },
  ])('in virtual-8086 mode, VME $vme, IOPL $iopl, image $image: $result', ({ vme, iopl, image, result, flags }) => {
    const b = Bench.v86(iopl)
    b.flags |= S.FLAG_IF
    b.s.set(S.S_CR4, vme)
    b.push(2, image, 0x300, 0x44)
    expect(b.outcome('IRET', { size: 2 })).toBe(result)
    if (flags !== undefined) expect(b.flags).toBe(flags | S.FLAG_VM)
  })
})
