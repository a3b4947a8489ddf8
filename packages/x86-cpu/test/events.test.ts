import {
  type Assembler,
  al,
  ax,
  cr0,
  cr2 as controlRegister2,
  dword,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  qword,
  rax,
  rcx,
  rdx,
  rsp,
  ss,
  word,
} from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import * as S from '../src/state/state-layout.ts'
import { DR6_BT } from '../src/state/architecture.ts'
import { ACTIVITY_RUNNING, ACTIVITY_WAIT_FOR_SIPI, S_PENDING_DEBUG } from '../src/state/system-state.ts'
import { BareCpu, CODE, IDT, STACK } from './support/bare-cpu.ts'
import { expectHalt } from './support/with-bare-cpu.ts'

const IRQ = 0x40
const HANDLER = 0x4000
const STOP_PORT = 0x80
const DEVICE = 0xb000

/** A processor whose interrupt handlers note the interrupted RIP in a table, and whose OUT 80H does what `onOut` says. */
function interruptible(build: (asm: Assembler) => void, onOut: (pc: BareCpu) => void = (pc) => pc.interrupt(IRQ)) {
  const pc = new BareCpu()
  pc.vector(IRQ, HANDLER)
  pc.program((asm) => asm.inc(ecx).mov(rax, qword(rsp)).iretq(), HANDLER)
  pc.vector(2, HANDLER + 0x100)
  pc.program(
    (asm) =>
      asm
        .add(edx, 1)
        .mov(rax, qword(rsp))
        .out(STOP_PORT + 1, al)
        .iretq(),
    HANDLER + 0x100,
  )
  pc.host.ports.set(STOP_PORT, { read: () => 0n, write: () => (onOut(pc), true) })
  return { pc, at: pc.program(build) }
}

describe('maskable interrupts', () => {
  test('one that is pending waits for IF, and HLT wakes for it', () => {
    const { pc, at } = interruptible((asm) => {
      asm.out(STOP_PORT, al).nop().hlt().bind(asm.label('after')).inc(ebx).hlt()
    })
    expectHalt(pc, { rcx: 0n })
    // Still halted: IF is clear.
    expectHalt(pc, { rbx: 0n })
    pc.cpu.u32[S.S_EFLAGS >>> 2]! |= S.FLAG_IF
    expectHalt(pc, { rcx: 1n })
    expect(pc.register('rax')).toBe(BigInt(at('after')))
    expect(pc.register('rbx')).toBe(1n)
  })

  test.each([
    {
      what: 'the instruction after STI',
      build: (asm: Assembler) => asm.out(STOP_PORT, al).sti().nop().bind(asm.label('at')),
    },
    {
      what: 'STI; STI: the second has no shadow',
      build: (asm: Assembler) => asm.out(STOP_PORT, al).sti().sti().bind(asm.label('at')).nop(),
    },
    {
      what: 'POPF has no shadow',
      build: (asm: Assembler) => asm.push(0x202).out(STOP_PORT, al).popfq().bind(asm.label('at')).nop(),
    },
    {
      what: 'the instruction after MOV SS',
      build: (asm: Assembler) => asm.sti().nop().mov(ss, word(DEVICE)).nop().bind(asm.label('at')).nop(),
    },
  ])('an interrupt comes after $what', ({ build }) => {
    const { pc, at } = interruptible((asm) => {
      build(asm)
      asm.inc(ebx).hlt()
    })
    // For MOV SS: its own operand's device raises the interrupt.
    pc.host.devices.set(DEVICE >>> 12, { read: () => (pc.interrupt(IRQ), 0x10n), write: () => true })
    const exit = pc.run()
    expect(exit.reason).toBe('hlt')
    expect(pc.register('rcx')).toBe(1n)
    expect(pc.register('rax')).toBe(BigInt(at('at')))
  })

  test('CLI in the shadow of STI leaves no window', () => {
    const { pc } = interruptible((asm) => asm.out(STOP_PORT, al).sti().cli().nop().hlt())
    expectHalt(pc, { rcx: 0n })
  })

  test('a loop with IF set is interrupted at its branch', () => {
    const { pc } = interruptible((asm) => {
      asm.sti()
      const loop = asm.here()
      asm.inc(esi).cmp(ecx, 1).jne(loop).hlt()
    })
    expect(pc.run(1000).reason).toBe('budget')
    pc.interrupt(IRQ)
    expect(pc.run(1000).reason).toBe('hlt')
    expect(pc.register('rcx')).toBe(1n)
  })

  test('a repeated string instruction is interrupted between iterations and goes on', () => {
    const { pc, at } = interruptible((asm) => {
      asm.sti().mov(ecx, 0x3000).mov(edi, 0x2_0000).mov(esi, 0x2_8000)
      asm.std().bind(asm.label('rep')).rep().movsb().bind(asm.label('end')).hlt()
    })
    pc.program(
      (asm) =>
        asm
          .mov(rax, qword(rsp))
          .mov(rdx, qword(rsp, { disp: 16 }))
          .iretq(),
      HANDLER,
    )
    expect(pc.run(200).reason).toBe('budget')
    const left = Number(pc.register('rcx'))
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThan(0x3000)
    pc.interrupt(IRQ)
    expect(pc.run(100_000).reason).toBe('hlt')
    expect(pc.register('rax')).toBe(BigInt(at('rep')))
    expect(pc.register('rcx')).toBe(0n)
    // RF, so that an instruction breakpoint is not met again.
    expect(pc.register('rdx') & 0x1_0000n).toBe(0x1_0000n)
    expect(pc.rip).toBe(at('end') + 1)
  })

  test('one that has gone by the time it is taken is forgotten', () => {
    const { pc } = interruptible(
      (asm) => asm.sti().nop().nop().hlt(),
      () => undefined,
    )
    pc.cpu.setInterruptPending(true)
    expectHalt(pc, { rcx: 0n })
  })
})

describe('NMI', () => {
  test('comes whatever IF is, wakes HLT, and no second one comes before IRET', () => {
    const { pc, at } = interruptible((asm) => asm.nop().hlt().bind(asm.label('after')).inc(ebx).hlt())
    // The handler raises another; it is latched, and delivered right after the handler's IRET.
    let raised = 0
    pc.host.ports.set(STOP_PORT + 1, { read: () => 0n, write: () => (raised++ === 0 && pc.cpu.nmi(), true) })
    expect(pc.run().reason).toBe('hlt')
    pc.cpu.nmi()
    expect(pc.run().reason).toBe('hlt')
    expect(raised).toBe(2)
    expect(pc.register('rdx')).toBe(2n)
    expect(pc.register('rax')).toBe(BigInt(at('after')))
    expect(pc.register('rsp')).toBe(BigInt(STACK))
  })

  test('a maskable interrupt within its handler waits for IF, an exception does not', () => {
    const { pc } = interruptible((asm) => asm.sti().nop().hlt().inc(ebx).hlt())
    pc.program((asm) => asm.ud2().inc(edx).iretq(), HANDLER + 0x100)
    pc.vector(6, 0x6000)
    pc.program((asm) => asm.add(qword(rsp), 2).inc(edi).iretq(), 0x6000)
    pc.run()
    pc.cpu.nmi()
    pc.interrupt(IRQ)
    pc.run()
    expect([pc.register('rdx'), pc.register('rdi'), pc.register('rcx')]).toEqual([1n, 1n, 1n])
  })
})

describe('INIT and start-up IPIs', () => {
  test('INIT makes the bootstrap processor start at the reset vector, and another wait', () => {
    const { pc } = interruptible((asm) => asm.nop().hlt())
    pc.run()
    pc.cpu.init()
    // Nothing is mapped at the reset vector here, so only look at where it would go.
    pc.run(0)
    expect(pc.cpu.u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_BASE) >>> 2]).toBe(0xffff_0000)
    expect(pc.rip).toBe(0xfff0)
    expect(pc.activity).toBe(ACTIVITY_RUNNING)

    const second = new BareCpu({ mode: 'real' })
    second.cpu.reset(false)
    expect(second.run().reason).toBe('wait-for-sipi')
    expect(second.activity).toBe(ACTIVITY_WAIT_FOR_SIPI)
    second.program((asm) => asm.mov(ax, 0x1234).hlt(), 0x9000)
    // What the page starts with is at offset 0 of CS.
    second.cpu.startup(9)
    expect(second.run().reason).toBe('hlt')
    expect(second.register('rax')).toBe(0x1234n)
    expect(second.cpu.u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_SELECTOR) >>> 2]).toBe(0x900)
  })

  test('a start-up IPI to a processor that runs is ignored', () => {
    const { pc } = interruptible((asm) => asm.nop().inc(ebx).hlt())
    pc.cpu.startup(9)
    expectHalt(pc, { rbx: 1n })
  })

  test('INIT, then SIPI before the processor runs again', () => {
    const second = new BareCpu({ mode: 'real' })
    second.cpu.reset(false)
    second.program((asm) => asm.mov(ax, 7).hlt(), 0x9000)
    second.cpu.init()
    second.cpu.startup(9)
    expect(second.run().reason).toBe('hlt')
    expect(second.register('rax')).toBe(7n)
  })

  const WRITTEN = 0x9800
  test.each([
    { what: 'a single-step trap', before: 3, build: (asm: Assembler) => asm.push(0x102).popfq().nop() },
    { what: 'the shadow of MOV SS', before: 2, build: (asm: Assembler) => asm.mov(eax, 0x10).mov(ss, eax) },
    { what: 'the shadow of STI', before: 1, build: (asm: Assembler) => asm.sti() },
  ])('INIT does not wait for $what (SDM vol. 3A, "Priority Among Concurrent Events")', ({ before, build }) => {
    const { pc } = interruptible((asm) => build(asm).mov(dword(WRITTEN), 1).hlt())
    pc.vector(1, HANDLER)
    // One that waits makes STI look around.
    pc.interrupt(IRQ)
    for (let i = 0; i < before; i++) expect(pc.step().reason).toBe('budget')
    const stack = pc.read64(STACK - 8)
    pc.cpu.init()
    pc.cpu.stop()
    expect(pc.run().reason).toBe('budget')
    expect(pc.rip).toBe(0xfff0)
    expect(pc.read32(WRITTEN)).toBe(0)
    expect(pc.read64(STACK - 8)).toBe(stack)
  })

  test('the trap of a task switch comes before INIT', () => {
    const { pc } = interruptible((asm) => asm.nop().hlt())
    pc.vector(1, HANDLER)
    pc.step()
    pc.cpu.u32[S_PENDING_DEBUG >>> 2] = DR6_BT
    const rip = pc.rip
    pc.cpu.init()
    expect(pc.step().reason).toBe('budget')
    expect(pc.read64(((STACK & ~0xf) - 40) as number)).toBe(BigInt(rip))
    expect(pc.rip).toBe(0xfff0)
  })

  test('INIT wakes a shut-down processor, and NMI too', () => {
    const { pc } = interruptible((asm) => asm.ud2())
    // No handler for #UD, none for #GP, none for #DF.
    expect(pc.run().reason).toBe('shutdown')
    pc.interrupt(IRQ)
    expect(pc.run().reason).toBe('shutdown')
    pc.program((asm) => asm.inc(edx).mov(qword(rsp), 0x7000).iretq(), HANDLER + 0x100)
    pc.program((asm) => asm.hlt(), 0x7000)
    pc.cpu.nmi()
    expectHalt(pc, { rdx: 1n })
  })

  test('INIT cancels an instruction that waits for a device, whose late answer changes nothing', () => {
    const { pc } = interruptible((asm) => asm.mov(rax, qword(0xa000)).hlt())
    let answer: bigint | undefined = undefined
    pc.host.devices.set(0xa, { read: (): bigint | undefined => answer, write: () => true })
    expect(pc.run().reason).toBe('blocked')
    pc.cpu.init()
    answer = 5n
    pc.run(0)
    expect(pc.register('rax')).toBe(0n)
    expect(pc.rip).toBe(0xfff0)
    expect(pc.host.seen).toEqual([])
  })
})

describe('events that a hypervisor injects', () => {
  const FAULTING = 0x8765_4321_9abc
  test.each([
    { what: 'an exception', vector: 6, external: false, error: -1 },
    { what: 'an exception with an error code', vector: 13, external: false, error: 0x1234 },
    { what: 'a page fault', vector: 14, external: false, error: 0x15, cr2: FAULTING },
    { what: 'an interrupt, although IF is clear', vector: 0x81, external: true, error: -1 },
    { what: 'an interrupt with the number of a fault has no error code', vector: 13, external: true, error: 0x1234 },
  ])('$what', ({ vector, external, error, cr2 = 0x777 }) => {
    const pc = new BareCpu()
    for (const number of [6, 13, 14, 0x81]) {
      pc.vector(number, HANDLER + 0x40 * (number & 0xf))
      pc.program(
        (asm) => asm.mov(ebx, number).mov(rax, qword(rsp)).mov(rdx, controlRegister2).hlt(),
        HANDLER + 0x40 * (number & 0xf),
      )
    }
    pc.program((asm) => asm.inc(ecx).hlt())
    pc.cpu.u64[S.S_CR2 >>> 3] = 0x777n
    const inject = (number: number): boolean =>
      pc.cpu.inject(number, external, error, FAULTING >>> 0, Math.floor(FAULTING / 2 ** 32))
    expect([inject(vector), inject(6)]).toEqual([true, false])
    expect(pc.run().reason).toBe('hlt')
    const top = external || error < 0 ? CODE : error
    const registers = (['rbx', 'rcx', 'rax', 'rdx'] as const).map((name) => Number(pc.register(name)))
    expect(registers).toEqual([vector, 0, top, cr2])
  })
})

describe('budget and attention', () => {
  test('the budget ends a loop that never ends, within a branch of it', () => {
    const { pc } = interruptible((asm) => {
      const loop = asm.here()
      asm.inc(rax).jmp(loop)
    })
    expect(pc.run(1000).reason).toBe('budget')
    expect(pc.cpu.retired).toBeGreaterThanOrEqual(1000)
    expect(pc.cpu.retired).toBeLessThan(1010)
    expect(pc.register('rax')).toBe(BigInt(pc.cpu.retired / 2))
  })

  test('so does one string instruction that goes on for ever, in RAM or at a device', () => {
    for (const at of [0x2_0000, DEVICE]) {
      const { pc } = interruptible((asm) => asm.mov(rcx, -1).mov(esi, at).bind(asm.label('rep')).rep().lodsb().hlt())
      // Everything is one page.
      for (let i = 0; i < 512; i++) if (i > 0x10) pc.write64(0x30_3000 + 8 * i, BigInt(at | 7))
      pc.host.devices.set(DEVICE >>> 12, { read: () => 0n, write: () => true })
      expect(pc.turn(10_000).reason).toBe('budget')
      const done = Number(0xffff_ffff_ffff_ffffn - pc.register('rcx'))
      // MOV, MOV, and an iteration for each other part of the budget.
      expect(done).toBe(9998)
    }
  })

  test('stop ends a run at once, and the next run goes on', () => {
    const { pc } = interruptible(
      (asm) => {
        const next = asm.label()
        asm.nop().out(STOP_PORT, al).jmp(next).bind(next).inc(ebx).hlt()
      },
      (self) => self.cpu.stop(),
    )
    expect(pc.run().reason).toBe('budget')
    expect(pc.register('rbx')).toBe(0n)
    expectHalt(pc, { rbx: 1n })
  })

  test('PAUSE hands the turn to another processor if the host wants that', () => {
    const { pc } = interruptible((asm) => {
      const loop = asm.here()
      asm.pause().inc(ebx).jmp(loop)
    })
    // Right behind PAUSE: a lock that was let go in front of it is still free.
    expect(pc.run(1000).reason).toBe('pause')
    expect(pc.register('rbx')).toBe(0n)
    expect(pc.host.pauses).toBe(1)
  })
})

describe('faults', () => {
  test('a page fault gives CR2 and an exact error code, and the instruction starts again', () => {
    const { pc, at } = interruptible((asm) => asm.mov(eax, 3).bind(asm.label('store')).add(dword(0x1f_f008), eax).hlt())
    pc.write64(0x30_3000 + 8 * 0x1ff, 0n)
    pc.vector(14, 0x6000)
    pc.program((asm) => {
      asm
        .pop(rcx)
        .mov(rax, qword(rsp))
        .mov(dword(0x30_3000 + 8 * 0x1ff), 0x1f_f007)
        .mov(eax, 3)
        .iretq()
    }, 0x6000)
    expectHalt(pc, { rcx: 2n })
    expect(pc.cpu.read64(0x248)).toBe(0x1f_f008n)
    expect(pc.read32(0x1f_f008)).toBe(3)
    void at
  })

  test('an exception without a handler is a double fault, and without one for that, shutdown', () => {
    const { pc } = interruptible((asm) => asm.ud2())
    pc.vector(8, 0x6000)
    pc.program((asm) => asm.pop(rcx).inc(edx).hlt(), 0x6000)
    // #UD is benign: its missing gate is #NP or #GP, whose own missing gate makes the double fault.
    expectHalt(pc, { rdx: 1n })
    const bare = new BareCpu()
    bare.program((asm) => asm.ud2())
    expect(bare.run().reason).toBe('shutdown')
    expect(bare.run().reason).toBe('shutdown')
  })

  test('delivery onto a stack in a device page waits for the device, and writes once', () => {
    const { pc } = interruptible((asm) => asm.mov(eax, 0x10).mov(rsp, 0x1_1000).int(0x50).hlt())
    const bytes = new Map<number, bigint>()
    let refusals = 2
    pc.host.devices.set(0x10, {
      read: (offset) => bytes.get(offset) ?? 0n,
      write: (offset, _size, value) => {
        if (refusals-- > 0) return false
        bytes.set(offset, value)
        return true
      },
    })
    pc.vector(0x50, 0x6000)
    pc.program((asm) => asm.hlt(), 0x6000)
    let exit = pc.run()
    let waits = 0
    while (exit.reason === 'blocked' && waits++ < 10) exit = pc.run()
    expect(exit.reason).toBe('hlt')
    expect(pc.rip).toBe(0x6001)
    expect(pc.register('rsp')).toBe(0x1_0fd8n)
    expect(bytes.get(0xff8)).toBe(0x10n)
    expect(pc.host.seen.filter((line) => line.includes('write')).length).toBe(5)
  })
})

describe('modes', () => {
  test('real mode to protected mode and back through CR0.PE', () => {
    const pc = new BareCpu({ mode: 'real' })
    pc.program((asm) => {
      asm.mov(eax, cr0).or(al, 1).mov(cr0, eax).mov(ebx, 0x77).and(al, 0xfe).mov(cr0, eax).mov(ecx, 0x88).hlt()
    })
    expectHalt(pc, { rbx: 0x77n, rcx: 0x88n })
    expect(pc.rip).toBeGreaterThan(CODE)
  })

  test('32-bit code runs flat without paging', () => {
    const pc = new BareCpu({ mode: 'protected' })
    pc.program((asm) =>
      asm
        .mov(eax, 0x1234_5678)
        .push(eax)
        .pop(ebx)
        .lea(ecx, dword(eax, { index: ebx, scale: 2, disp: 4 }))
        .hlt(),
    )
    expectHalt(pc, { rbx: 0x1234_5678n })
    expect(pc.register('rcx')).toBe(BigInt((0x1234_5678 * 3 + 4) >>> 0))
    expect(IDT).toBeGreaterThan(0)
  })
})
