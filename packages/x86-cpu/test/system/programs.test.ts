import { activateLongMode } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { S_CPL, S_CR0, S_EFER, S_MODE } from '../../src/state/state-layout.ts'
import { BareCpu, GDT, IDT, STACK, TSS } from '../support/bare-cpu.ts'
import { expectHalt } from '../support/with-bare-cpu.ts'
import { descriptor, gate } from './bench.ts'

const at = (pc: BareCpu, offset: number): number => pc.cpu.u32[offset >>> 2] as number

/** Programs that go through modes, levels and tasks on the processor as a whole. */
describe('a processor from reset', () => {
  test('real mode → protected mode → 64-bit mode → compatibility mode → real mode', () => {
    const pc = new BareCpu({ mode: 'real' })
    const flat = [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00af_9b00_0000_ffffn, 0x0000_9b00_0000_ffffn]
    for (const [i, entry] of flat.entries()) pc.write64(0x7000 + 8 * i, entry)
    pc.write64(0x6000, 0x7000_0027n)
    pc.load(0x6000, [0x27, 0, 0, 0x70, 0, 0])
    pc.write64(0x8000, 0x9007n)
    pc.write64(0x9000, 0xa007n)
    pc.write64(0xa000, 0x87n)
    const label = pc.program((asm) => {
      const pm = asm.label('pm')
      const lm = asm.label('lm')
      const cm = asm.label('cm')
      const back = asm.label('back')
      const real = asm.label('real')
      asm.operandSize(32).lgdt(x86.fword(0x6000))
      asm.mov(x86.eax, x86.cr0).or(x86.al, 1).mov(x86.cr0, x86.eax)
      asm.jmpf(x86.far(0x08, pm))
      asm.bits(32).bind(pm)
      asm.mov(x86.ax, 0x10).mov(x86.ds, x86.ax).mov(x86.ss, x86.ax)
      activateLongMode(asm, { tables: 0x8000 })
      asm.jmpf(x86.far(0x18, lm))
      asm.bits(64).bind(lm)
      asm.mov(x86.rax, 0x1234_5678_9abc_def0n).mov(x86.qword(0xb000), x86.rax)
      asm.mov(x86.dword(0xb010), cm).mov(x86.word(0xb014), 0x08)
      asm.jmpf(x86.fword(0xb010))
      asm.bits(32).bind(cm)
      asm.mov(x86.eax, 0x7fff_ffff).inc(x86.eax).mov(x86.dword(0xb008), x86.eax)
      asm.mov(x86.eax, x86.cr0).and(x86.eax, 0x7fff_ffff).mov(x86.cr0, x86.eax)
      asm.jmpf(x86.far(0x20, back))
      asm.bits(16).bind(back)
      asm.mov(x86.eax, x86.cr0).and(x86.al, 0xfe).mov(x86.cr0, x86.eax)
      asm.jmpf(x86.far(0, real)).bind(real)
      asm.mov(x86.ax, 0x0b00).mov(x86.es, x86.ax)
      asm.mov(x86.word(0x1c, { segment: x86.es }), 0x5555).hlt()
    })
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read64(0xb000)).toBe(0x1234_5678_9abc_def0n)
    expect(pc.read32(0xb008)).toBe(0x8000_0000)
    expect(pc.read16(0xb01c)).toBe(0x5555)
    expect([at(pc, S_CR0) & 0x8000_0001, at(pc, S_EFER) & 0x500, at(pc, S_MODE)]).toEqual([0, 0x100, 0])
    expect(pc.rip).toBeGreaterThan(label('real'))
  })
})

describe('levels', () => {
  test('a 64-bit program enters the kernel with SYSCALL, INT and a fault, and comes back', () => {
    const pc = new BareCpu()
    // In the order that SYSRET wants: data, then code.
    pc.write64(GDT + 0x18, descriptor(0, 0xffff_ffff, 0xc0f3))
    pc.write64(GDT + 0x20, descriptor(0, 0xffff_ffff, 0xa0fb))
    // The kernel: SYSCALL adds 1 to RBX, INT 0x80 adds 16, #UD ends.
    pc.program((asm) => asm.add(x86.rbx, 1).sysretq(), 0x5000)
    pc.program((asm) => asm.add(x86.rbx, 16).iretq(), 0x5100)
    pc.program((asm) => asm.mov(x86.rcx, x86.qword(x86.rsp, { disp: 8 })).hlt(), 0x5200)
    pc.vector(0x80, 0x5100)
    pc.load(IDT + 0x80 * 16 + 5, [0xee])
    pc.vector(6, 0x5200)
    const user = pc.program((asm) => {
      asm.mov(x86.ecx, 0xc000_0081).xor(x86.eax, x86.eax).mov(x86.edx, 0x0010_0008).wrmsr()
      asm.mov(x86.ecx, 0xc000_0082).mov(x86.eax, 0x5000).xor(x86.edx, x86.edx).wrmsr()
      asm.mov(x86.ecx, 0xc000_0084).mov(x86.eax, 0x200).wrmsr()
      asm.mov(x86.ecx, 0xc000_0080).rdmsr().or(x86.eax, 1).wrmsr()
      asm.xor(x86.ebx, x86.ebx)
      const start = asm.label('user')
      asm.push(0x1b).push(0x4_0000).push(0x202).push(0x23).push(start).iretq().bind(start)
      asm.syscall().syscall().int(0x80).syscall()
      asm.bind(asm.label('end')).ud2()
    })
    expectHalt(pc, { rbx: 19n })
    // The handler runs on the TSS's stack, and saw the user's CS.
    expect(pc.register('rcx')).toBe(0x23n)
    expect(pc.register('rsp')).toBe(BigInt(STACK - 0x1_0000 - 40))
    expect(Number(pc.read64(STACK - 0x1_0000 - 40))).toBe(user('end'))
    expect(at(pc, S_CPL)).toBe(0)
    expect(Number(pc.register('r11')) & 0x200).toBe(0x200)
  })

  test('what a program may not do, it cannot', () => {
    const forbidden: [string, (asm: Parameters<Parameters<BareCpu['program']>[0]>[0]) => unknown, number][] = [
      ['HLT', (asm) => asm.hlt(), 13],
      ['CLI', (asm) => asm.cli(), 13],
      ['MOV CR3', (asm) => asm.mov(x86.rax, x86.cr3), 13],
      ['WRMSR', (asm) => asm.wrmsr(), 13],
      ['IN', (asm) => asm.in(x86.al, 0x60), 13],
      ['LGDT', (asm) => asm.lgdt(x86.tbyte(0x2000)), 13],
      ['SWAPGS', (asm) => asm.swapgs(), 13],
      ['INT 0x20', (asm) => asm.int(0x20), 13],
      ['SYSRET without SCE', (asm) => asm.sysretq(), 6],
      ['STAC', (asm) => asm.stac(), 6],
    ]
    for (const [name, instruction, vector] of forbidden) {
      const pc = new BareCpu()
      pc.write32(TSS + 0x64, 0x68_0000)
      for (const v of [6, 13]) {
        pc.program((asm) => asm.mov(x86.ebx, v).hlt(), 0x5000 + 0x100 * v)
        pc.vector(v, 0x5000 + 0x100 * v)
      }
      pc.vector(0x20, 0x5000)
      pc.program((asm) => {
        const start = asm.label('user')
        asm.push(0x23).push(0x4_0000).push(0x202).push(0x1b).push(start).iretq().bind(start)
        instruction(asm)
        asm.jmp(asm.here('still'))
      })
      expect([name, pc.run().reason, Number(pc.register('rbx'))]).toEqual([name, 'hlt', vector])
    }
  })
})

describe('32-bit protected mode', () => {
  const protectedMachine = (): BareCpu => {
    const pc = new BareCpu({ mode: 'protected' })
    const entries = [
      0n,
      descriptor(0, 0xffff_ffff, 0xc09b),
      descriptor(0, 0xffff_ffff, 0xc093),
      descriptor(0, 0xffff_ffff, 0xc0fb),
      descriptor(0, 0xffff_ffff, 0xc0f3),
      descriptor(TSS, 0x67, 0x89),
      descriptor(TSS + 0x100, 0x67, 0x89),
    ]
    for (const [i, entry] of entries.entries()) pc.write64(GDT + 8 * i, entry)
    pc.write32(TSS + 4, 0x6_0000)
    pc.write32(TSS + 8, 0x10)
    return pc
  }
  const idt = (pc: BareCpu, vector: number, address: number, type = 0x8e): void => {
    pc.write64(IDT + 8 * vector, gate(8, address, type))
  }

  /** A task at 5000H. @returns its TSS */
  const otherTask = (pc: BareCpu): number => {
    const other = TSS + 0x100
    pc.write32(other + 0x20, 0x5000)
    pc.write32(other + 0x24, 2)
    pc.write32(other + 0x38, 0x7_0000)
    for (const [i, selector] of [0x10, 0x08, 0x10, 0x10, 0x10, 0x10].entries())
      pc.write32(other + 0x48 + 4 * i, selector)
    return other
  }

  test('a CALL to another task and the IRET back, in logged passes', () => {
    const pc = protectedMachine()
    const other = otherTask(pc)
    pc.program((asm) => {
      asm.inc(x86.dword(0x9000)).mov(x86.dword(0x9004), x86.esp)
      // The second time it goes on after its IRET.
      asm.iretd().inc(x86.dword(0x9008)).iretd()
    }, 0x5000)
    pc.program((asm) => {
      asm.mov(x86.ax, 0x28).ltr(x86.ax)
      asm.mov(x86.ebx, 0x1234_5678)
      asm.callf(x86.far(0x30, 0)).callf(x86.far(0x30, 0))
      asm.hlt()
    })
    const passes = pc.cpu.counts.loggedPasses
    expect(pc.run().reason).toBe('hlt')
    expect([pc.read32(0x9000), pc.read32(0x9004), pc.read32(0x9008)]).toEqual([1, 0x7_0000, 1])
    expect([pc.register('rbx'), pc.register('rsp')]).toEqual([0x1234_5678n, BigInt(STACK)])
    expect(pc.cpu.counts.loggedPasses - passes).toBe(4)
    expect([pc.read8(GDT + 0x28 + 5), pc.read8(GDT + 0x30 + 5)]).toEqual([0x8b, 0x89])
    expect(pc.read16(other)).toBe(0x28)
  })

  test('a double fault through a task gate finds a good stack', () => {
    const pc = protectedMachine()
    otherTask(pc)
    pc.write64(IDT + 8 * 8, gate(0x30, 0, 0x85))
    pc.program((asm) => asm.pop(x86.eax).mov(x86.ebx, 0xdf).hlt(), 0x5000)
    pc.write64(GDT + 0x38, descriptor(0, 0xfff, 0x0093))
    pc.load(0x2000, [0x3f, 0, 0, 0x60, 0x30, 0])
    pc.program((asm) => {
      asm.lgdt(x86.fword(0x2000)).mov(x86.ax, 0x28).ltr(x86.ax)
      // Nothing can be pushed on this stack: #SS has no gate, so #DF.
      asm.mov(x86.ax, 0x38).mov(x86.ss, x86.ax).mov(x86.esp, 0x2000)
      asm.push(x86.eax).hlt()
    })
    expectHalt(pc, { rbx: 0xdfn, rax: 0n })
    expect([pc.read32(TSS + 0x38), pc.read16(TSS + 0x50)]).toEqual([0x2000, 0x38])
  })

  test('a virtual-8086 program’s INT and CLI go to its monitor', () => {
    const pc = protectedMachine()
    // The monitor counts, steps over two bytes of INT or one of CLI, and ends at the third fault.
    idt(pc, 13, 0x5000)
    pc.program((asm) => {
      const end = asm.label('end')
      // Data segments are null here; the stack's is flat.
      const count = x86.dword(0x9000, { segment: x86.ss })
      asm.add(x86.esp, 4).inc(count).add(x86.dword(x86.esp), 1)
      asm.cmp(count, 3).jz(end).iretd()
      asm
        .bind(end)
        .mov(x86.ebx, x86.dword(x86.esp, { disp: 8 }))
        .hlt()
    }, 0x5000)
    // INT 0x90, whose second byte is a NOP; CLI; HLT.
    pc.load(0x2_0010, [0x90, 0xcd, 0x90, 0xfa, 0x90, 0xf4])
    pc.program((asm) => {
      asm.mov(x86.ax, 0x28).ltr(x86.ax)
      for (const selector of [0x2222, 0x2000, 0x2000, 0x2000]) asm.push(selector)
      asm.push(0x1800).push(0x100).push(0x2_0202).push(0x2000).push(0x10).iretd()
    })
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read32(0x9000)).toBe(3)
    expect(Number(pc.register('rbx')) & 0x2_0200).toBe(0x2_0200)
    // The last fault's frame: EIP past the HLT, CS, EFLAGS, ESP, SS, then ES, DS, FS, GS.
    const frame = Number(pc.register('rsp'))
    expect([0, 1, 3, 4, 5, 8].map((i) => pc.read32(frame + 4 * i))).toEqual([
      0x16, 0x2000, 0x100, 0x1800, 0x2000, 0x2222,
    ])
  })

  test('a call gate to level 0 and back, through the stack of the TSS', () => {
    const pc = protectedMachine()
    pc.write64(GDT + 0x30, gate(8, 0x5000, 0xec, 1))
    // The gate's code reads its parameter.
    pc.program((asm) => asm.mov(x86.ebx, x86.dword(x86.esp, { disp: 8 })).retf(4), 0x5000)
    idt(pc, 6, 0x5100)
    pc.program((asm) => asm.mov(x86.ecx, x86.dword(x86.esp, { disp: 12 })).hlt(), 0x5100)
    pc.program((asm) => {
      asm.mov(x86.ax, 0x28).ltr(x86.ax)
      const start = asm.label('user')
      asm.push(0x23).push(0x4_0000).push(0x1b).push(start).retf().bind(start)
      asm.mov(x86.ax, 0x23).mov(x86.ds, x86.ax)
      asm.push(0x7777).callf(x86.far(0x33, 0)).ud2()
    })
    expectHalt(pc, { rbx: 0x7777n, rcx: 0x4_0000n })
    expect(pc.register('rsp')).toBe(BigInt(0x6_0000 - 20))
  })
})
