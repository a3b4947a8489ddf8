// System-management mode: SDM vol. 3C, "System Management Mode"; AMD APM vol. 2, "System-Management Mode".
import {
  type Assembler,
  al,
  ax,
  bx,
  byte,
  cr0,
  cr3,
  cr4,
  cx,
  dr6,
  dr7,
  ds,
  dword,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  es,
  esi,
  esp,
  gs,
  qword,
  r15,
  r8,
  rax,
  rbx,
  rdi,
  rsi,
  rsp,
  ss,
} from '@retrap/x86-assembler'
import { describe, expect, test as base } from 'vitest'
import { restoreVcpu, saveVcpu } from '../src/index.ts'
import type { SavedCpu } from '../src/index.ts'
import { FLAG_IF, S_CR0, S_CR2, S_EFLAGS } from '../src/state/state-layout.ts'
import { ACTIVITY_HALTED, ACTIVITY_RUNNING } from '../src/state/system-state.ts'
import { BareCpu, GDT, STACK, TSS, type BareOptions } from './support/bare-cpu.ts'
import { COUNT, smiHandler } from './support/smm.ts'

const SMI_PORT = 0xb2
const IRQ = 0x40
const HANDLER = 0x4000

/** A processor whose OUT to port B2H raises SMI. */
function machine(options: BareOptions = {}): BareCpu {
  const pc = new BareCpu(options)
  pc.host.ports.set(SMI_PORT, { read: () => (pc.cpu.smi(), 0x55n), write: () => (pc.cpu.smi(), true) })
  smiHandler(pc)
  return pc
}
const test = base.extend('pc', () => machine())

const smi = (asm: Assembler): Assembler => asm.out(SMI_PORT, al)

/** Runs one instruction or event at a time until SMM is left. */
function leave(pc: BareCpu): void {
  for (let i = 0; i < 200 && pc.cpu.inSystemManagement; i++) pc.step()
  expect(pc.cpu.inSystemManagement).toBe(false)
}

describe('entry', () => {
  test.each([{ mode: 'real' as const }, { mode: 'protected' as const }, { mode: 'long' as const }])(
    'from $mode mode the handler begins with the state of the manual’s table',
    ({ mode }) => {
      const pc = machine({ mode })
      pc.program((asm) => smi(asm.mov(esi, 0x1111)).hlt())
      pc.cpu.u32[S_EFLAGS >>> 2]! |= FLAG_IF
      while (!pc.cpu.inSystemManagement) pc.step()
      const { registers, segments, pending } = saveVcpu(pc.cpu)
      expect(registers).toMatchObject({
        rip: '0x8000',
        rflags: '0x2',
        cr4: '0x0',
        efer: '0x0',
        dr7: '0x400',
        rsi: '0x1111',
      })
      expect(BigInt(registers['cr0'] as string) & 0x8000_000dn).toBe(0n)
      expect(segments['cs']).toMatchObject({ selector: 0x3000, base: '0x30000', limit: 0xffff_ffff })
      for (const name of ['ds', 'es', 'fs', 'gs', 'ss']) {
        expect(segments[name]).toMatchObject({ selector: 0, base: '0x0', limit: 0xffff_ffff })
      }
      expect(pending).toMatchObject({ nmiBlocked: '0x1', systemManagement: '0x1', smbase: '0x30000' })
    },
  )

  test('CR0 keeps what is not in the table, and CR2, DR0 and the vector registers are as they were', ({ pc }) => {
    pc.program((asm) => smi(asm.mov(rax, cr0).or(eax, 0x6001_0000).mov(cr0, rax)).hlt())
    pc.cpu.u64[S_CR2 >>> 3] = 0xabcn
    while (!pc.cpu.inSystemManagement) pc.step()
    expect(pc.cpu.read64(S_CR0)).toBe(0x6001_0010n)
    expect(pc.cpu.read64(S_CR2)).toBe(0xabcn)
  })

  test('a handler reaches all of 4 GiB through its segments', ({ pc }) => {
    smiHandler(pc, (asm) => asm.mov(esi, 0x10_0000).mov(dword(esi), 0x55aa).rsm())
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read32(0x10_0000)).toBe(0x55aa)
  })
})

/** Programs that use much of each mode, for an SMI between any two of their instructions. */
const programs: { name: string; options: BareOptions; build: (asm: Assembler, pc: BareCpu) => void }[] = [
  {
    name: 'real mode',
    options: { mode: 'real' },
    build: (asm) => {
      asm.mov(ax, 0x123).mov(ds, ax).mov(es, ax).mov(cx, 3).mov(edi, 0x10).cld().rep().stosw()
      asm.stc().pushf().pop(bx).mov(ss, ax).mov(esp, 0x700).push(bx).sti().nop().cli().int(IRQ).hlt()
    },
  },
  {
    name: '32-bit protected mode',
    options: { mode: 'protected' },
    build: (asm) => {
      asm.mov(ax, 0x10).mov(gs, ax).mov(ecx, 4).mov(edi, 0x9000).std().rep().stosd().cld()
      asm.push(eax).pushfd().pop(edx).mov(eax, 0x401).mov(dr7, eax).mov(eax, dr7).mov(eax, 0x400).mov(dr7, eax)
      asm.hlt()
    },
  },
  {
    name: 'PAE paging',
    options: { mode: 'protected' },
    build: (asm, pc) => {
      // PDPTEs that CR3's table does not have any more: they are registers.
      pc.write64(0x20_0000, 0x20_1001n)
      pc.write64(0x20_1000, 0x83n)
      pc.write64(0x20_1008, 0x20_0083n)
      asm
        .mov(eax, 0x20_0000)
        .mov(cr3, eax)
        .mov(eax, 0x20)
        .mov(cr4, eax)
        .mov(eax, cr0)
        .or(eax, 0x8000_0000)
        .mov(cr0, eax)
      asm.mov(dword(0x20_0000), 0).mov(ecx, 0x9000).mov(dword(ecx), ecx).push(ecx).pop(ebx).hlt()
    },
  },
  {
    name: '64-bit mode',
    options: {},
    build: (asm) => {
      asm.mov(r15, 0x1234_5678_9abc_def0n).mov(r8, -1).mov(ecx, 0xc000_0100).mov(eax, 0x7000).xor(edx, edx).wrmsr()
      asm.mov(rdi, 0x9000).mov(ecx, 3).rep().stosq().add(r8, 1).sbb(rbx, rbx).mov(ax, 0x10).mov(es, ax).mov(rsi, cr3)
      asm.mov(cr3, rsi).lock().inc(qword(0x9000)).push(rsi).popfq().hlt()
    },
  },
  {
    name: 'single-stepping',
    options: {},
    build: (asm, pc) => {
      pc.vector(1, HANDLER)
      pc.program((handler) => handler.inc(r8).mov(rbx, dr6).iretq(), HANDLER)
      asm.push(0x102).popfq().nop().mov(ax, 0x10).mov(ss, ax).inc(ecx).mov(edi, 0x9000).mov(ecx, 3).rep().stosb()
      asm.pushfq().and(qword(rsp), ~0x100).popfq().hlt()
    },
  },
  {
    name: 'a data breakpoint',
    options: {},
    build: (asm, pc) => {
      pc.vector(1, HANDLER)
      pc.program((handler) => handler.inc(r8).mov(rbx, dr6).iretq(), HANDLER)
      pc.breakpoint(0, 0x9000, 0x1_0001)
      asm.mov(al, 7).mov(byte(0x9000), al).nop().xor(eax, eax).mov(dr7, rax).hlt()
    },
  },
  {
    name: 'virtual-8086 mode',
    options: { mode: 'protected' },
    build: (asm, pc) => {
      pc.load(0x2000, [0xb8, 0x34, 0x12, 0x8e, 0xd8, 0xb9, 3, 0, 0x90, 0xe2, 0xfd, 0xf4])
      pc.write64(GDT + 8 * 5, 0x0030_8b30_7000_0067n)
      pc.write32(TSS + 4, STACK)
      pc.write32(TSS + 8, 0x10)
      // HLT there is #GP, which ends it.
      const gate = (number: number, address: number): void =>
        pc.write64(0x30_5000 + 8 * number, BigInt(address & 0xffff) | (8n << 16n) | (0x8e00n << 32n))
      gate(13, HANDLER)
      pc.load(HANDLER, [0xf4])
      asm.mov(ax, 0x28).ltr(ax).push(0x11).push(0x22).push(0x33).push(0x44).push(0x200).push(0x100).push(0x2_0002)
      asm.push(0x200).push(0).iretd()
    },
  },
]

describe('an SMI between any two instructions changes nothing', () => {
  test.each(programs)('in $name', ({ options, build }) => {
    const prepare = (): BareCpu => {
      const pc = machine(options)
      if (options.mode === 'real') {
        pc.vector(IRQ, HANDLER)
        pc.load(HANDLER, [0x43, 0xcf])
      }
      if (options.mode === 'protected') {
        pc.write64(GDT + 8, 0x00cf_9b00_0000_ffffn)
        pc.write64(GDT + 16, 0x00cf_9300_0000_ffffn)
      }
      pc.program((asm) => build(asm, pc))
      return pc
    }
    const plain = prepare()
    const states: SavedCpu[] = []
    for (let i = 0; i < 100 && plain.activity === ACTIVITY_RUNNING; i++) {
      plain.step()
      states.push(saveVcpu(plain.cpu))
    }
    expect(plain.activity).toBe(ACTIVITY_HALTED)
    const pc = prepare()
    for (const [i, state] of states.entries()) {
      pc.step()
      expect(saveVcpu(pc.cpu), `after step ${i}`).toEqual(state)
      pc.cpu.smi()
      pc.step()
      expect(pc.cpu.inSystemManagement).toBe(true)
      leave(pc)
      const { pending, ...rest } = saveVcpu(pc.cpu)
      const { pending: before, ...others } = state
      // Between iterations of a string RF is set, as it is in what an interrupt pushes there.
      const repeating = before['repeating'] === '0x1'
      const rflags = `0x${(BigInt(state.registers['rflags'] as string) | (repeating ? 0x1_0000n : 0n)).toString(16)}`
      expect(rest, `after the SMI after step ${i}`).toEqual({ ...others, registers: { ...state.registers, rflags } })
      expect(pending).toEqual({ ...before, repeating: '0x0', nmiBlocked: '0x0' })
      restoreVcpu(pc.cpu, state)
    }
    expect(pc.read32(COUNT) & 0xffff).toBe(states.length)
  })
})
