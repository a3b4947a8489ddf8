// State save areas: SDM vol. 3C, tables "SMRAM State Save Map"; AMD APM vol. 2, "AMD64 Architecture SMM State-Save Area".
import * as x86 from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { S_CR0, S_CR3, S_CR4, S_EFER, S_SEGMENTS, SEG_BASE, SEG_BYTES } from '../src/state/state-layout.ts'
import { S_SMBASE } from '../src/state/system-state.ts'
import { BareCpu, GDT, IDT, type BareOptions } from './support/bare-cpu.ts'
import { SMBASE, area, areaSegment, counts, smiHandler } from './support/smm.ts'

const SMI_PORT = 0xb2
const smi = (asm: x86.Assembler): x86.Assembler => asm.out(SMI_PORT, x86.al)

function machine(options: BareOptions, handler: (asm: x86.Assembler) => void = counts): BareCpu {
  const pc = new BareCpu(options)
  // The bits that a Pentium has none of would shut it down at RSM.
  if (options.cpu === 'pentium') pc.cpu.u32[S_CR4 >>> 2] = 0
  pc.host.ports.set(SMI_PORT, { read: () => 0n, write: () => (pc.cpu.smi(), true) })
  smiHandler(pc, handler)
  return pc
}

/** Registers with values of their own, in 64-bit code. */
function fill64(asm: x86.Assembler): x86.Assembler {
  const value = (n: number): bigint => 0x1111_2222_0000_0000n + BigInt(n)
  asm
    .mov(x86.rcx, value(1))
    .mov(x86.rdx, value(2))
    .mov(x86.rbx, value(3))
    .mov(x86.rbp, value(5))
    .mov(x86.rsi, value(6))
    .mov(x86.rdi, value(7))
  return asm.mov(x86.r8, value(8)).mov(x86.r15, value(15)).mov(x86.rax, value(0))
}

const hexOf = (pc: BareCpu, offset: number): bigint => pc.read64(area(offset))

/** Registers are in an order of theirs, from a place downwards. */
function expectRegisters(pc: BareCpu, first: number, names: string): void {
  for (const [i, name] of names.split(' ').entries())
    expect(hexOf(pc, first - 8 * i), name).toBe(pc.register(name as Parameters<BareCpu['register']>[0]))
}

describe('Intel 64', () => {
  test('every documented field is at its place', () => {
    const pc = machine({})
    const at = pc.program((asm) => smi(fill64(asm)).bind(asm.label('after')).hlt())
    expect(pc.run().reason).toBe('hlt')
    expectRegisters(pc, 0xff94, 'rdi rsi rbp rsp rbx rdx rcx rax')
    expect([hexOf(pc, 0xff54), hexOf(pc, 0xff1c)]).toEqual([pc.register('r8'), pc.register('r15')])
    expect(hexOf(pc, 0xfff8)).toBe(pc.cpu.read64(S_CR0))
    expect(hexOf(pc, 0xfff0)).toBe(pc.cpu.read64(S_CR3))
    expect(hexOf(pc, 0xfe40)).toBe(pc.cpu.read64(S_CR4))
    expect(hexOf(pc, 0xffe0)).toBe(pc.cpu.read64(S_EFER))
    expect(hexOf(pc, 0xffe8)).toBe(2n)
    expect(hexOf(pc, 0xffd8)).toBe(BigInt(at('after')))
    expect([hexOf(pc, 0xffd0), hexOf(pc, 0xffc8)]).toEqual([0xffff_0ff0n, 0x400n])
    // ES CS SS DS FS GS LDTR TR.
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((i) => pc.read32(area(0xffa8 + 4 * i)))).toEqual([
      ...[0x10, 8, 0x10, 0x10],
      ...[0x10, 0x10, 0, 0x28],
    ])
    expect([pc.read32(area(0xfe94)), pc.read32(area(0xfdd8))]).toEqual([IDT, 0])
    expect([pc.read32(area(0xfe8c)), pc.read32(area(0xfdd0))]).toEqual([GDT, 0])
    expect([pc.read32(area(0xfefc)) & 0x3_0000, pc.read32(area(0xfef8))]).toEqual([0x3_0000, SMBASE])
    // I/O restart and auto HALT.
    expect(pc.read32(area(0xff00))).toBe(0)
  })

  test('descriptor-table bases above 4 GiB come back', () => {
    const pc = machine({})
    const base = 0xffff_8000_0000_1000n
    pc.write64(0x6000, (base << 16n) | 0xffn)
    pc.write64(0x6008, base >> 48n)
    pc.program((asm) => smi(asm.lidt(x86.tbyte(0x6000))).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read32(area(0xfdd8))).toBe(0xffff_8000)
    expect(pc.cpu.read64(S_SEGMENTS + 9 * SEG_BYTES + SEG_BASE)).toBe(base)
  })

  test('what the handler writes into writable fields is what RSM loads', () => {
    const pc = machine({}, (asm) => {
      areaSegment(asm).mov(x86.eax, 0xabcd).mov(x86.dword(0xff5c), x86.eax)
      asm.or(x86.dword(0xffe8), 1).inc(x86.dword(0xffd8)).rsm()
    })
    // RIP goes on one byte later, and CF is set.
    pc.program((asm) => {
      const clear = asm.label()
      smi(asm).hlt().jnc(clear).mov(x86.ebx, x86.eax).bind(clear).hlt()
    })
    expect(pc.run().reason).toBe('hlt')
    expect(pc.register('rbx')).toBe(0xabcdn)
  })
})

describe('AMD64', () => {
  test('every documented field is at its place', () => {
    const pc = machine({ cpu: 'max,vendor=amd' })
    const at = pc.program((asm) => smi(fill64(asm)).bind(asm.label('after')).hlt())
    expect(pc.run().reason).toBe('hlt')
    expectRegisters(pc, 0xfff8, 'rax rcx rdx rbx rsp rbp rsi rdi')
    expect([hexOf(pc, 0xffb8), hexOf(pc, 0xff80)]).toEqual([pc.register('r8'), pc.register('r15')])
    expect(hexOf(pc, 0xff78)).toBe(BigInt(at('after')))
    expect([hexOf(pc, 0xff70), hexOf(pc, 0xff68), hexOf(pc, 0xff60)]).toEqual([2n, 0xffff_0ff0n, 0x400n])
    expect([hexOf(pc, 0xff58), hexOf(pc, 0xff50), hexOf(pc, 0xff48)]).toEqual(
      [S_CR0, S_CR3, S_CR4].map((state) => pc.cpu.read64(state)),
    )
    expect(hexOf(pc, 0xfed0)).toBe(pc.cpu.read64(S_EFER))
    expect([pc.read32(area(0xfefc)), pc.read32(area(0xff00))]).toEqual([0x3_0064, SMBASE])
    // CS: selector, attributes, limit, base.
    expect([pc.read16(area(0xfe10)), pc.read16(area(0xfe12))]).toEqual([8, 0xa09b])
    expect([pc.read32(area(0xfe14)), hexOf(pc, 0xfe18)]).toEqual([0xffff_ffff, 0n])
    expect([pc.read32(area(0xfe64)), hexOf(pc, 0xfe68)]).toEqual([0x37, BigInt(GDT)])
    expect([pc.read32(area(0xfe84)), hexOf(pc, 0xfe88)]).toEqual([0xfff, BigInt(IDT)])
    expect(pc.read16(area(0xfe90))).toBe(0x28)
  })
})

describe('32-bit processors', () => {
  test('every documented field is at its place', () => {
    const pc = machine({ mode: 'protected', cpu: 'pentium' })
    const at = pc.program((asm) => {
      asm
        .mov(x86.ecx, 1)
        .mov(x86.edx, 2)
        .mov(x86.ebx, 3)
        .mov(x86.ebp, 5)
        .mov(x86.esi, 6)
        .mov(x86.edi, 7)
        .mov(x86.eax, 0x99)
      smi(asm).bind(asm.label('after')).hlt()
    })
    expect(pc.run().reason).toBe('hlt')
    const general = {
      rdi: 0xffec,
      rsi: 0xffe8,
      rbp: 0xffe4,
      rsp: 0xffe0,
      rbx: 0xffdc,
      rdx: 0xffd8,
      rcx: 0xffd4,
      rax: 0xffd0,
    }
    for (const [name, offset] of Object.entries(general)) {
      expect(BigInt(pc.read32(area(offset))), name).toBe(pc.register(name as keyof typeof general))
    }
    expect(pc.read32(area(0xfffc))).toBe(Number(pc.cpu.read64(S_CR0)))
    expect([pc.read32(area(0xfff8)), pc.read32(area(0xfff4)), pc.read32(area(0xfff0))]).toEqual([0, 2, at('after')])
    expect([pc.read32(area(0xffcc)), pc.read32(area(0xffc8))]).toEqual([0xffff_0ff0, 0x400])
    expect([0xffa8, 0xffac, 0xffb0, 0xffc4].map((offset) => pc.read32(area(offset)))).toEqual([0x10, 8, 0x10, 0])
    expect([pc.read32(area(0xfefc)) & 0x3_0000, pc.read32(area(0xfef8))]).toEqual([0x3_0000, SMBASE])
  })
})

describe('SMBASE', () => {
  const SLOT = { max: 0xfef8, 'max,vendor=amd': 0xff00, pentium: 0xfef8 }
  const relocates = (slot: number, base: number) => (asm: x86.Assembler) =>
    areaSegment(asm).mov(x86.eax, base).mov(x86.dword(slot), x86.eax).rsm()

  test.each([
    { cpu: 'max' as const, base: 0x4_0000 },
    { cpu: 'max,vendor=amd' as const, base: 0x4_0000 },
    { cpu: 'pentium' as const, base: 0x4_0000 },
    { cpu: 'max' as const, base: 0x4_1230 },
    { cpu: 'max' as const, base: 0x10_0000 },
  ])('moves to $base on $cpu, and INIT leaves it there', ({ cpu, base }) => {
    const mode = cpu === 'pentium' ? 'protected' : 'long'
    const pc = machine({ cpu, mode }, relocates(SLOT[cpu], base))
    smiHandler(pc, counts, base)
    pc.program((asm) => smi(smi(smi(asm))).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read32(0x5000)).toBe(2)
    expect(pc.cpu.u32[S_SMBASE >>> 2]).toBe(base)
    pc.cpu.init()
    pc.step()
    expect(pc.cpu.u32[S_SMBASE >>> 2]).toBe(base)
    pc.cpu.reset(true)
    expect(pc.cpu.u32[S_SMBASE >>> 2]).toBe(SMBASE)
  })

  test('CS’s selector is SMBASE >> 4, its base all of SMBASE', () => {
    const pc = machine({}, relocates(0xfef8, 0x12_3450))
    pc.program((asm) => smi(smi(asm)).hlt())
    smiHandler(pc, (asm) => asm.hlt(), 0x12_3450)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.cpu.inSystemManagement).toBe(true)
    expect(pc.cpu.u32[(S_SEGMENTS + SEG_BYTES + 20) >>> 2]).toBe(0x2345)
  })
})

describe('RSM shuts down', () => {
  const bad = (offset: number, value: number) => (asm: x86.Assembler) =>
    areaSegment(asm).mov(x86.eax, value).mov(x86.dword(offset), x86.eax).rsm()
  test.each([
    { what: 'a reserved bit of CR4', offset: 0xfe40, value: 0x8000_0000 },
    { what: 'the upper half of CR4', offset: 0xfe44, value: 1 },
    { what: 'CR0.PG without PE', offset: 0xfff8, value: 0x8000_0010 },
    { what: 'CR0.NW without CD', offset: 0xfff8, value: 0xa000_0011 },
    { what: 'the upper half of CR0', offset: 0xfffc, value: 1 },
    { what: 'a reserved bit of EFER', offset: 0xffe0, value: 0x8500 },
    { what: 'EFER.LMA without LME', offset: 0xffe0, value: 0x400 },
    { what: 'EFER.LME without LMA and paging on', offset: 0xffe0, value: 0x100 },
    { what: 'long mode without PAE', offset: 0xfe40, value: 0x600 },
    { what: 'PCIDE outside long mode', offset: 0xfe40, value: 0x2_0620, efer: 0 },
    { what: 'virtual-8086 mode in long mode', offset: 0xffe8, value: 0x2_0002 },
    { what: 'CR3 beyond the physical address', offset: 0xfff4, value: 0x8000_0000 },
    { what: 'an SMBASE that is no multiple of 16', offset: 0xfef8, value: 0x3_0008 },
  ])('for $what', ({ offset, value, efer }) => {
    const pc = machine({}, (asm) => {
      if (efer !== undefined) areaSegment(asm).mov(x86.dword(0xffe0), efer).mov(x86.dword(0xfff8), 0x11)
      bad(offset, value)(asm)
    })
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('shutdown')
    expect(pc.cpu.inSystemManagement).toBe(true)
  })

  test('on a Pentium for an SMBASE that is no multiple of 32 KiB', () => {
    const pc = machine({ cpu: 'pentium', mode: 'protected' }, bad(0xfef8, 0x4_1000))
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('shutdown')
  })
})

/** A handler that leaves anything behind in its save area. */
describe('RSM from random bytes', () => {
  test.each(['max', 'max,vendor=amd', 'pentium'] as const)('breaks no invariant of %s', (cpu) => {
    let state = 12_345
    const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0)
    const reasons = new Map<string, number>()
    for (let run = 0; run < 40; run++) {
      const mode = cpu === 'pentium' ? 'protected' : 'long'
      const pc = machine({ cpu, mode })
      pc.program((asm) => smi(asm).hlt())
      while (!pc.cpu.inSystemManagement) pc.step()
      // Control registers and EFER stay, or nearly all of it would shut down.
      const kept = [0xffe0, 0xffe4, 0xfff0, 0xfff4, 0xfff8, 0xfffc, 0xfe40, 0xfe44, 0xfef8, 0xfe70, 0xfed0, 0xfed4]
      const amd = [0xff00, 0xff48, 0xff4c, 0xff50, 0xff54, 0xff58, 0xff5c]
      for (let at = 0xfc00; at < 0x1_0000; at += 4) {
        if (!kept.includes(at) && !amd.includes(at) && random() % 3 === 0) pc.write32(area(at), random())
      }
      for (let i = 0; i < 40; i++) {
        const { reason } = pc.cpu.run(200)
        if (reason !== 'budget' && reason !== 'yield') {
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
          break
        }
      }
    }
    expect(reasons.get('error') ?? 0).toBe(0)
    expect(reasons.size).toBeGreaterThan(0)
  })
})
