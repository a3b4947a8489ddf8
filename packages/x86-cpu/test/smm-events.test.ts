// What SMI, RSM and other events do to each other: SDM vol. 3C, "System Management Mode"; vol. 3A, table "Priority Among
// Concurrent Events".
import * as x86 from '@retrap/x86-assembler'
import { describe, expect, test as base } from 'vitest'
import { restoreVcpu, saveVcpu } from '../src/index.ts'
import { FLAG_IF, S_EFLAGS } from '../src/state/state-layout.ts'
import { ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_FOR_SIPI } from '../src/state/system-state.ts'
import { BareCpu, initialState, type BareOptions } from './support/bare-cpu.ts'
import { COUNT, SMBASE, area, areaSegment, counts, smiHandler } from './support/smm.ts'

const SMI_PORT = 0xb2
const IRQ = 0x40
const HANDLER = 0x4000
const smi = (asm: x86.Assembler): x86.Assembler => asm.out(SMI_PORT, x86.al)

function machine(handler: (asm: x86.Assembler) => void = counts, options: BareOptions = {}): BareCpu {
  const pc = new BareCpu(options)
  pc.host.ports.set(SMI_PORT, { read: () => 0n, write: () => (pc.cpu.smi(), true) })
  smiHandler(pc, handler)
  for (const vector of [1, 2, 6, IRQ]) {
    pc.vector(vector, HANDLER + 0x100 * vector)
    pc.program((asm) => asm.mov(x86.ebx, vector).mov(x86.rcx, x86.rsp).iretq(), HANDLER + 0x100 * vector)
  }
  return pc
}
const test = base.extend('pc', () => machine())

const count = (pc: BareCpu): number => pc.read16(COUNT)

describe('RSM', () => {
  test('outside system-management mode is undefined', ({ pc }) => {
    pc.program((asm) => asm.mov(x86.ebx, 6).hlt(), HANDLER + 0x600)
    pc.program((asm) => asm.rsm().hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.register('rbx')).toBe(6n)
  })

  test('twice: the second one is undefined', ({ pc }) => {
    pc.program((asm) => asm.mov(x86.ebx, 6).hlt(), HANDLER + 0x600)
    pc.program((asm) => smi(asm).rsm().hlt())
    expect(pc.run().reason).toBe('hlt')
    expect([count(pc), pc.register('rbx')]).toEqual([1, 6n])
  })
})

describe('SMI in system-management mode', () => {
  test('is latched once, and comes after RSM', () => {
    const pc = machine((asm) => {
      const done = asm.label()
      asm.inc(x86.word(COUNT)).cmp(x86.word(COUNT), 1).jnz(done)
      // The first handler asks for three more, which are one.
      smi(smi(smi(asm)))
        .bind(done)
        .rsm()
    })
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(count(pc)).toBe(2)
  })

  test('a word of SMRAM that the handler writes is not lost by it', () => {
    const pc = machine((asm) => asm.mov(x86.ax, x86.cs).mov(x86.ds, x86.ax).inc(x86.word(0x100)).rsm())
    pc.program((asm) => smi(smi(smi(asm))).hlt())
    pc.run()
    expect(pc.read16(SMBASE + 0x100)).toBe(3)
  })
})

describe('HLT', () => {
  test.each([
    { what: 'goes on', keep: true },
    { what: 'ends where the handler clears the auto HALT restart bit', keep: false },
  ])('$what', ({ keep }) => {
    const pc = machine((asm) => {
      asm.inc(x86.word(COUNT))
      if (!keep) areaSegment(asm).and(x86.byte(0xff02), 0xfe)
      asm.rsm()
    })
    pc.program((asm) => asm.hlt().inc(x86.ebx).hlt())
    expect(pc.run().reason).toBe('hlt')
    pc.cpu.smi()
    expect(pc.cpu.dormant).toBe(false)
    expect(pc.run().reason).toBe('hlt')
    expect([count(pc), pc.register('rbx')]).toEqual([1, keep ? 0n : 1n])
    expect(pc.read16(area(0xff02)) & 1).toBe(keep ? 1 : 0)
  })

  test('AMD has the bit at FEC9H', () => {
    const pc = machine((asm) => areaSegment(asm).mov(x86.byte(0xfec9), 0).rsm(), { cpu: 'max,vendor=amd' })
    pc.program((asm) => asm.hlt().inc(x86.ebx).hlt())
    pc.run()
    pc.cpu.smi()
    pc.run()
    expect(pc.register('rbx')).toBe(1n)
  })

  test('an interrupt that comes with SMI ends it after RSM', ({ pc }) => {
    pc.program((asm) => asm.hlt().hlt())
    pc.run()
    pc.cpu.u32[S_EFLAGS >>> 2]! |= FLAG_IF
    pc.interrupt(IRQ)
    pc.cpu.smi()
    expect(pc.run().reason).toBe('hlt')
    expect([count(pc), pc.register('rbx')]).toEqual([1, BigInt(IRQ)])
  })

  test('in the handler waits for an interrupt; NMI and SMI do not end it', () => {
    const pc = machine((asm) => asm.inc(x86.word(COUNT)).hlt().inc(x86.word(COUNT)).rsm())
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('hlt')
    pc.cpu.nmi()
    pc.cpu.smi()
    expect(pc.run().reason).toBe('hlt')
    expect([pc.cpu.inSystemManagement, count(pc)]).toEqual([true, 1])
  })
})

test('MWAIT ends with SMI, and the instruction after it follows', ({ pc }) => {
  pc.program((asm) => asm.mov(x86.eax, 0x9000).monitor().mwait().inc(x86.ebx).hlt())
  expect(pc.run().reason).toBe('mwait')
  pc.cpu.smi()
  expect(pc.run().reason).toBe('hlt')
  expect([count(pc), pc.register('rbx')]).toEqual([1, 1n])
  expect(pc.read16(area(0xff02)) & 1).toBe(0)
})

describe('NMI', () => {
  test('waits for RSM', () => {
    const pc = machine((asm) => asm.out(0x81, x86.al).nop().inc(x86.word(COUNT)).rsm())
    pc.host.ports.set(0x81, { read: () => 0n, write: () => (pc.cpu.nmi(), true) })
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect([count(pc), pc.register('rbx')]).toEqual([1, 2n])
  })

  test('is let in by IRET in the handler', () => {
    const pc = new BareCpu({ mode: 'real' })
    pc.host.ports.set(SMI_PORT, { read: () => 0n, write: () => (pc.cpu.smi(), true) })
    pc.host.ports.set(0x81, { read: () => 0n, write: () => (pc.cpu.nmi(), true) })
    smiHandler(pc, (asm) => {
      const back = asm.label()
      asm.out(0x81, x86.al).mov(x86.sp, 0x7000).pushf().push(x86.cs).mov(x86.ax, back).push(x86.ax).iret()
      asm
        .bind(back)
        .mov(x86.ax, x86.word(COUNT + 2))
        .mov(x86.word(COUNT), x86.ax)
        .rsm()
    })
    pc.vector(2, HANDLER)
    pc.program((asm) => asm.inc(x86.word(COUNT + 2)).iret(), HANDLER)
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('hlt')
    // The NMI came before the handler went on.
    expect([count(pc), pc.cpu.inSystemManagement]).toEqual([1, false])
  })

  test('a processor of Intel lets NMI in after RSM although its handler has not ended; AMD’s saves the mask', () => {
    for (const [cpu, blocked] of [
      ['max', '0x0'],
      ['max,vendor=amd', '0x1'],
    ] as const) {
      const pc = machine(counts, { cpu })
      pc.program((asm) => smi(asm).hlt(), HANDLER + 0x200)
      pc.program((asm) => asm.hlt())
      pc.run()
      pc.cpu.nmi()
      expect(pc.run().reason).toBe('hlt')
      expect(count(pc)).toBe(1)
      expect(saveVcpu(pc.cpu).pending['nmiBlocked'], cpu).toBe(blocked)
    }
  })
})

describe('INIT and start-up IPIs', () => {
  test('INIT waits for RSM', () => {
    const pc = machine((asm) => asm.inc(x86.word(COUNT)).out(0x81, x86.al).inc(x86.word(COUNT)).rsm())
    pc.host.ports.set(0x81, { read: () => 0n, write: () => (pc.cpu.init(), true) })
    pc.program((asm) => smi(asm).inc(x86.ebx).hlt())
    while (count(pc) < 2) pc.step()
    expect(pc.cpu.inSystemManagement).toBe(true)
    pc.step()
    // RSM, then INIT: the reset vector, and nothing of the program in between.
    expect([pc.cpu.inSystemManagement, pc.rip]).toEqual([false, 0xfff0])
    expect(saveVcpu(pc.cpu).segments['cs']).toMatchObject({ selector: 0xf000, base: '0xffff0000' })
  })

  test('INIT does not cancel an instruction of the handler that waits for a device', () => {
    const pc = machine((asm) => asm.mov(x86.ax, 0x5a).out(0x81, x86.al).inc(x86.word(COUNT)).rsm())
    const written: bigint[] = []
    let ready = false
    pc.host.ports.set(0x81, { read: () => 0n, write: (_port, _size, value) => (ready && written.push(value), ready) })
    pc.program((asm) => smi(asm).hlt())
    expect(pc.run().reason).toBe('blocked')
    pc.cpu.init()
    expect(pc.run().reason).toBe('blocked')
    ready = true
    pc.step()
    expect(written).toEqual([0x5an])
  })

  test('of both, SMI comes first, and INIT after RSM', ({ pc }) => {
    pc.program((asm) => asm.nop().hlt())
    pc.cpu.init()
    pc.cpu.smi()
    pc.step()
    expect(pc.cpu.inSystemManagement).toBe(true)
    while (pc.cpu.inSystemManagement) pc.step()
    expect([count(pc), pc.rip]).toEqual([1, 0xfff0])
  })

  test('a start-up IPI is lost in system-management mode', () => {
    const pc = machine((asm) => asm.out(0x81, x86.al).rsm())
    pc.host.ports.set(0x81, { read: () => 0n, write: () => (pc.cpu.init(), pc.cpu.startup(8), true) })
    pc.cpu.reset(false)
    pc.cpu.startup(8)
    pc.program((asm) => asm.db(0xe6, SMI_PORT, 0xf4), 0x8000)
    expect(pc.run().reason).toBe('wait-for-sipi')
    expect(pc.activity).toBe(ACTIVITY_WAIT_FOR_SIPI)
  })

  test('a processor that waits for a start-up IPI holds SMI off', ({ pc }) => {
    pc.cpu.reset(false)
    pc.cpu.smi()
    expect(pc.run().reason).toBe('wait-for-sipi')
    expect(pc.cpu.inSystemManagement).toBe(false)
    pc.load(0x8000, [0xf4])
    pc.cpu.startup(8)
    expect(pc.run().reason).toBe('hlt')
    expect(count(pc)).toBe(1)
  })
})

describe('priority', () => {
  test('SMI comes before NMI and a maskable interrupt, which come after RSM', ({ pc }) => {
    const at = pc.program((asm) => asm.nop().bind(asm.label('next')).hlt())
    // Each handler notes which one it is.
    for (const vector of [2, IRQ]) {
      pc.program((asm) => asm.shl(x86.edx, 8).or(x86.edx, vector).iretq(), HANDLER + 0x100 * vector)
    }
    smiHandler(pc, (asm) => asm.inc(x86.word(COUNT)).rsm())
    pc.step()
    pc.cpu.u32[S_EFLAGS >>> 2]! |= FLAG_IF
    pc.interrupt(IRQ)
    pc.cpu.nmi()
    pc.cpu.smi()
    pc.step()
    expect([pc.cpu.inSystemManagement, pc.register('rdx')]).toEqual([true, 0n])
    expect(pc.read64(area(0xffd8))).toBe(BigInt(at('next')))
    expect(pc.run().reason).toBe('hlt')
    expect([count(pc), pc.register('rdx')]).toEqual([1, BigInt((2 << 8) | IRQ)])
  })

  test('SMI comes in the shadow of STI, which goes on after RSM', ({ pc }) => {
    const at = pc.program((asm) => asm.out(0x81, x86.al).sti().nop().bind(asm.label('after')).hlt())
    pc.host.ports.set(0x81, { read: () => 0n, write: () => (pc.interrupt(IRQ), true) })
    pc.program((asm) => asm.mov(x86.rdx, x86.qword(x86.rsp)).iretq(), HANDLER + 0x100 * IRQ)
    pc.step()
    pc.step()
    pc.cpu.smi()
    pc.step()
    expect(pc.cpu.inSystemManagement).toBe(true)
    expect(pc.run().reason).toBe('hlt')
    // NOP came first, then the interrupt.
    expect([count(pc), pc.register('rdx')]).toEqual([1, BigInt(at('after'))])
  })

  test('an instruction that waits for a device ends first', ({ pc }) => {
    const answers: bigint[] = []
    pc.host.devices.set(0xb, { read: () => answers[0], write: () => true })
    pc.program((asm) => asm.add(x86.rbx, x86.qword(0xb000)).hlt())
    expect(pc.run().reason).toBe('blocked')
    pc.cpu.smi()
    expect(pc.run().reason).toBe('blocked')
    expect(pc.cpu.inSystemManagement).toBe(false)
    answers.push(7n)
    pc.step()
    expect([pc.register('rbx'), pc.cpu.inSystemManagement]).toEqual([7n, true])
    expect(pc.read64(area(0xff74))).toBe(7n)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.host.seen.filter((access) => access.startsWith('mmio'))).toHaveLength(1)
  })
})

describe('shutdown', () => {
  test('goes on after RSM', ({ pc }) => {
    // A breakpoint without a table: triple fault.
    pc.cpu.load({ ...initialState('long'), idtr: { base: 0, limit: 0 } })
    pc.program((asm) => asm.int3().hlt())
    expect(pc.run().reason).toBe('shutdown')
    pc.cpu.smi()
    expect(pc.run().reason).toBe('shutdown')
    expect([count(pc), pc.activity]).toEqual([1, ACTIVITY_SHUTDOWN])
  })
})

describe('saved state', () => {
  test('in the handler goes on elsewhere', ({ pc }) => {
    pc.program((asm) => smi(asm.mov(x86.ebx, 5)).inc(x86.ebx).hlt())
    while (!pc.cpu.inSystemManagement) pc.step()
    const there = machine()
    there.program((asm) => smi(asm.mov(x86.ebx, 5)).inc(x86.ebx).hlt())
    there.load(SMBASE, pc.memory.read(pc.host.ramMa + SMBASE, 0x1_0000))
    restoreVcpu(there.cpu, JSON.parse(JSON.stringify(saveVcpu(pc.cpu))) as ReturnType<typeof saveVcpu>)
    expect(there.cpu.inSystemManagement).toBe(true)
    expect(there.run().reason).toBe('hlt')
    expect([count(there), there.register('rbx')]).toEqual([1, 6n])
    pc.run()
    expect(saveVcpu(there.cpu)).toEqual(saveVcpu(pc.cpu))
  })

  test('with an SMI that waits', ({ pc }) => {
    pc.program((asm) => asm.hlt())
    pc.run()
    pc.cpu.smi()
    const there = machine()
    restoreVcpu(there.cpu, saveVcpu(pc.cpu))
    there.run()
    expect(count(there)).toBe(1)
  })

  test('reset and load leave system-management mode', ({ pc }) => {
    pc.program((asm) => smi(asm).hlt())
    while (!pc.cpu.inSystemManagement) pc.step()
    pc.cpu.load(initialState('long'))
    expect(pc.cpu.inSystemManagement).toBe(false)
    while (!pc.cpu.inSystemManagement) pc.step()
    pc.cpu.reset(true)
    expect(pc.cpu.inSystemManagement).toBe(false)
  })
})
