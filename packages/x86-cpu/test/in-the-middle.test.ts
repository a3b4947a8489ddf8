/** What is left of an instruction that is cancelled, or that a save comes after, and when `run` comes back. */
import { dr0, ds, ecx, qword, rax, rbx, word } from '@retrap/x86-assembler'
import { describe, expect } from 'vitest'
import { STATUS_RETRY, restoreVcpu, saveVcpu } from '../src/index.ts'
import * as S from '../src/state/state-layout.ts'
import { S_STEPPING, S_STEP_SUPPRESSED } from '../src/state/system-state.ts'
import { BareCpu, CODE, GDT, IDT, PAGE_TABLE, STACK, TSS, initialState } from './support/bare-cpu.ts'
import { expectHalt, test } from './support/with-bare-cpu.ts'

const DEVICE = 0xa000
const HANDLER = 0x4000
/** A page that may be absent. */
const PAGED = 0x7_0000
const IRQ = 0x40
const UD = 6
const UD2 = [0x0f, 0x0b]

const SLOW = { read: () => undefined, write: () => false }

describe('a budget ends', () => {
  test('where no instruction retires: the handler of a fault faults', ({ pc }) => {
    pc.vector(UD, HANDLER)
    pc.load(CODE, UD2)
    pc.load(HANDLER, UD2)
    expect(pc.run(10_000).reason).toBe('budget')
    // Five quadwords each, and one that keeps the stack aligned. A fault takes as long as many instructions.
    const frames = (STACK - Number(pc.register('rsp'))) / 0x30
    expect(frames).toBeGreaterThan(100)
    expect(frames).toBeLessThan(1000)
  })

  test('where each instruction is executed by itself: the segment ends in the page', ({ protected32: pc }) => {
    pc.program((asm) => {
      const loop = asm.here()
      asm.dec(ecx).jnz(loop).hlt()
    })
    pc.setRegister('rcx', 1000)
    pc.cpu.u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_LIMIT) >>> 2] = CODE + 0x100
    expect(pc.run(100).reason).toBe('budget')
    expect(Number(pc.register('rcx'))).toBeGreaterThan(940)
  })

  test('where it does elsewhere, but the host has its turn sooner, where instructions take long: a device holds them', ({
    pc,
  }) => {
    // jmp $
    pc.host.devices.set(DEVICE >>> 12, { read: (offset) => (offset === 0 ? 0xebn : 0xfen), write: () => true })
    pc.rip = DEVICE
    expect(pc.run(10_000).reason).toBe('yield')
    expect(pc.cpu.retired).toBeGreaterThan(10)
    expect(pc.cpu.retired).toBeLessThan(200)
    const { retired } = pc.cpu
    expect(pc.turn(300).reason).toBe('budget')
    expect(pc.cpu.retired).toBe(retired + 300)
  })
})

describe('a cancelled instruction', () => {
  test('is in the shadow of STI still', ({ pc }) => {
    const at = pc.program((asm) => asm.sti().mov(rbx, qword(DEVICE)).bind(asm.label('after')).hlt())
    pc.program((asm) => asm.hlt(), HANDLER)
    pc.vector(IRQ, HANDLER)
    pc.host.devices.set(DEVICE >>> 12, SLOW)
    pc.interrupt(IRQ)
    expect(pc.run().reason).toBe('blocked')
    pc.cpu.cancel()
    expect(saveVcpu(pc.cpu).pending['shadow']).toBe('0x1')
    pc.host.devices.delete(DEVICE >>> 12)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read64(Number(pc.register('rsp')))).toBe(BigInt(at('after')))
  })

  test('whose event’s delivery has met a fault leaves no fault behind', ({ pc }) => {
    pc.vector(UD, HANDLER)
    pc.vector(14, HANDLER)
    pc.load(CODE, UD2)
    // The frame of #UD cannot be pushed; the descriptor that #PF's gate names comes from a device that takes its time.
    pc.setRegister('rsp', 0x7_0000)
    pc.write64(PAGE_TABLE + 8 * 0x6f, 0n)
    let reads = 0
    pc.host.devices.set(GDT >>> 12, {
      read: (offset) => (reads++ === 0 ? pc.read64(GDT + offset) : undefined),
      write: () => true,
    })
    expect(pc.run().reason).toBe('blocked')
    expect(reads).toBeGreaterThan(1)
    pc.cpu.cancel()
    pc.host.devices.clear()
    pc.host.devices.set(DEVICE >>> 12, { read: () => 0x10n, write: () => true })
    const at = pc.program((asm) => asm.mov(ds, word(DEVICE)).hlt().bind(asm.label('end')))
    pc.setRegister('rsp', STACK)
    expect(pc.run().reason).toBe('hlt')
    expect([pc.rip, pc.register('rsp')]).toEqual([at('end'), BigInt(STACK)])
  })

  test.each<[what: string, vector: number, prepare: (pc: BareCpu) => void]>([
    [
      'a page fault whose frame waits',
      14,
      (pc) => {
        pc.program((asm) => asm.mov(rbx, qword(PAGED)))
        pc.write64(PAGE_TABLE + 8 * (PAGED >>> 12), 0n)
      },
    ],
    [
      'the page fault of a frame of #UD, whose own frame waits',
      14,
      (pc) => {
        pc.load(CODE, UD2)
        pc.vector(UD, HANDLER)
        pc.setRegister('rsp', PAGED + 0x800)
        pc.write64(PAGE_TABLE + 8 * (PAGED >>> 12), 0n)
      },
    ],
    ['an instruction breakpoint whose frame waits', 1, (pc) => pc.breakpoint(0, CODE, 1)],
    [
      'a general detect whose frame waits',
      1,
      (pc) => {
        pc.program((asm) => asm.mov(rax, dr0))
        pc.breakpoint(0, 0x7000, 1 << 13)
      },
    ],
    [
      'a data breakpoint before what waits',
      1,
      (pc) => {
        pc.program((asm) => asm.movsb())
        pc.setRegister('rsi', 0x7000)
        pc.setRegister('rdi', DEVICE)
        pc.breakpoint(0, 0x7000, 0x3_0001)
      },
    ],
    [
      'RF, and the operand waits',
      1,
      (pc) => {
        pc.program((asm) => asm.mov(rbx, qword(DEVICE)))
        pc.breakpoint(0, CODE, 1)
        pc.cpu.setRflags(S.FLAG_RF | 2)
      },
    ],
  ])('has written no register: %s', (_what, vector, prepare) => {
    const pc = new BareCpu()
    // The stack of exceptions is a device.
    pc.vector(vector, HANDLER)
    pc.write64(IDT + 16 * vector, pc.read64(IDT + 16 * vector) | (1n << 32n))
    pc.write64(TSS + 0x24, BigInt(DEVICE + 0x800))
    pc.host.devices.set(DEVICE >>> 12, SLOW)
    prepare(pc)
    const before = saveVcpu(pc.cpu)
    expect(pc.run().reason).toBe('blocked')
    pc.cpu.cancel()
    expect(saveVcpu(pc.cpu)).toEqual(before)
  })

  test('has raised no floating-point exception: VCVTPS2PH to a device', ({ pc }) => {
    pc.enableState(7)
    // vcvtps2ph [rbx], xmm0, 0; one third is not exact.
    pc.load(CODE, [0xc4, 0xe3, 0x79, 0x1d, 0x03, 0x00, 0xf4])
    pc.setRegister('rbx', DEVICE)
    for (let i = 0; i < 4; i++) pc.cpu.u32[(S.S_XMM >>> 2) + i] = 0x3eaa_aaab
    let ready = false
    pc.host.devices.set(DEVICE >>> 12, { read: () => 0n, write: () => ready })
    const before = pc.cpu.u32[S.S_MXCSR >>> 2]
    expect(pc.run().reason).toBe('blocked')
    expect(pc.cpu.u32[S.S_MXCSR >>> 2]).toBe(before)
    ready = true
    expect(pc.run().reason).toBe('hlt')
    expect(pc.cpu.u32[S.S_MXCSR >>> 2]! & 0x3f).toBe(0x20)
  })
})

test('an instruction with RF whose bytes are not there yet does not meet its breakpoint when they come', ({ pc }) => {
  pc.program((asm) => asm.nop().hlt())
  pc.breakpoint(0, CODE, 1)
  pc.cpu.setRflags(S.FLAG_RF | 2)
  const translate = pc.host.translate.bind(pc.host)
  pc.host.translate = () => STATUS_RETRY
  expect(pc.run().reason).toBe('blocked')
  expect(pc.cpu.u32[S.S_EFLAGS >>> 2]).toBe(S.FLAG_RF | 2)
  pc.host.translate = translate
  expect([pc.run().reason, pc.rip]).toEqual(['hlt', CODE + 2])
})

describe('what waits for the next instruction', () => {
  test('is held off by STI also where nothing waits yet, and instructions are executed one at a time', ({ pc }) => {
    const at = pc.program((asm) => asm.sti().nop().bind(asm.label('after')).nop().hlt())
    pc.program((asm) => asm.hlt(), HANDLER)
    pc.vector(IRQ, HANDLER)
    // A breakpoint that nothing reaches.
    pc.breakpoint(0, 0x7000, 1)
    expect(pc.step().reason).toBe('budget')
    pc.interrupt(IRQ)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read64(Number(pc.register('rsp')))).toBe(BigInt(at('after')))
  })

  test('is gone when a boot protocol’s state is loaded', ({ pc }) => {
    pc.program((asm) => asm.sti().nop().hlt())
    pc.interrupt(IRQ)
    pc.step()
    expect(saveVcpu(pc.cpu).pending['shadow']).toBe('0x1')
    const other = new BareCpu()
    restoreVcpu(other.cpu, saveVcpu(pc.cpu))
    other.cpu.load(initialState('long'))
    expect(saveVcpu(other.cpu).pending['shadow']).toBe('0x0')
    expect(other.cpu.u32[S.S_EFLAGS >>> 2]! & S.FLAG_IF).toBe(0)
  })

  test('is no single-step trap that the instruction has suppressed', () => {
    const { cpu } = new BareCpu()
    cpu.u32[S_STEPPING >>> 2] = 1
    expect(saveVcpu(cpu).pending['stepping']).toBe('0x1')
    cpu.u32[S_STEP_SUPPRESSED >>> 2] = 1
    const saved = saveVcpu(cpu)
    expect(saved.pending['stepping']).toBe('0x0')
    restoreVcpu(cpu, saved)
    expect(cpu.u32[S_STEP_SUPPRESSED >>> 2]).toBe(0)
  })
})

test.for([
  { what: 'a device', device: true },
  { what: 'RAM', device: false },
])(
  'a fault in the middle of REPNE SCAS finds the flags of before it, whatever has been compared: $what',
  ({ device }, { pc }) => {
    const page = DEVICE >>> 12
    if (device) pc.host.devices.set(page, { read: () => 0x55n, write: () => true })
    pc.write64(PAGE_TABLE + 8 * (page + 1), 0n)
    pc.vector(14, HANDLER)
    pc.load(HANDLER, [0xf4])
    pc.load(CODE, [0xf2, 0xae, 0xf4])
    pc.setRegister('rdi', DEVICE + 0xff0)
    pc.setRegister('rcx', 0x100)
    pc.setRegister('rax', 1)
    pc.cpu.setRflags(0x8c2)
    expectHalt(pc, { rcx: 0xf0n, rdi: BigInt(DEVICE + 0x1000) })
    // Error code, RIP, CS, RFLAGS; RF is set in the frame of a fault.
    expect(pc.read64(Number(pc.register('rsp')) + 24)).toBe(0x1_08c2n)
  },
)

test.each([
  { how: 'WRFSBASE', code: [0xf3, 0x48, 0x0f, 0xae, 0xd0] },
  { how: 'WRMSR', code: [0xb9, 0x00, 0x01, 0x00, 0xc0, 0x31, 0xd2, 0x0f, 0x30] },
])('a base that $how has written is that of compatibility mode as well, in a segment that was flat', ({ code }) => {
  const pc = new BareCpu()
  pc.cpu.u32[S.S_CR4 >>> 2]! |= 1 << 16
  // Selector 30H: 32-bit code.
  pc.write64(GDT + 0x30, 0x00cf_9b00_0000_ffffn)
  // mov rax, base; the base; then a far return to code that does mov eax, fs:[8]; hlt.
  pc.load(CODE, [
    ...[0x6a, 0x30, 0x68, 0x00, 0x20, 0x00, 0x00],
    ...[0xb8, 0x00, 0x90, 0x00, 0x00, ...code],
    ...[0xff, 0x34, 0x24, 0x48, 0x83, 0xc4, 0x08, 0x48, 0xcb],
  ])
  pc.load(0x2000, [0x64, 0xa1, 0x08, 0x00, 0x00, 0x00, 0xf4])
  pc.write64(8, 0x1111n)
  pc.write64(0x9008, 0x2222n)
  expect(saveVcpu(pc.cpu).segments['fs']?.attributes).toBe(0xc093)
  expectHalt(pc, { rax: 0x2222n })
  expect(saveVcpu(pc.cpu).segments['fs']?.base).toBe('0x9000')
})
