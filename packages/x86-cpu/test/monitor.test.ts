// MONITOR and MWAIT: SDM vol. 2B, "MONITOR", "MWAIT"; vol. 3A, "MONITOR/MWAIT Instruction".
import { type Assembler, cr3, dword, eax, ebx, ecx, edi, edx, qword, rax, rbx, rcx, rsp } from '@retrap/x86-assembler'
import { describe, expect } from 'vitest'
import {
  DebugControl,
  Vcpu,
  restoreVcpu,
  saveVcpu,
  readModelSpecificRegister,
  writeModelSpecificRegister,
} from '../src/index.ts'
import { FLAG_IF, S_EFLAGS } from '../src/state/state-layout.ts'
import { ACTIVITY_MWAIT, ACTIVITY_RUNNING } from '../src/state/system-state.ts'
import { BareCpu, BareHost, CODE, PAGE_TABLE, RAM_BYTES, STACK, initialState } from './support/bare-cpu.ts'
import { expectHalt, test } from './support/with-bare-cpu.ts'

const [LINE, INSIDE]: readonly [number, number] = [0x9040, 0x9060]
const PAGE = LINE & ~0xfff
const IRQ = 0x40
const HANDLER = 0x4000
const FAULT = 0x5000
const IA32_MISC_ENABLE = 0x1a0
const MISC_ENABLE_MONITOR = 1n << 18n

/** Waits for the line, then counts in EBX and halts. */
function waits(asm: Assembler, address = LINE, extensions = 0): Assembler {
  asm.mov(eax, address).xor(ecx, ecx).xor(edx, edx).monitor().mov(ecx, extensions).mwait()
  return asm.bind(asm.label('after')).inc(ebx).hlt()
}

function waiting(address = LINE, extensions = 0): { pc: BareCpu; at: (label: string) => number } {
  const pc = new BareCpu()
  const at = pc.program((asm) => waits(asm, address, extensions))
  expect(pc.run().reason).toBe('mwait')
  expect(pc.rip).toBe(at('after'))
  expect(pc.cpu.dormant).toBe(true)
  return { pc, at }
}

/** A second processor of the same machine, which runs code at `address`. */
function second(pc: BareCpu, build: (asm: Assembler) => void, address = 0x2000): Vcpu {
  const host = new BareHost(pc.memory, pc.host.ramMa)
  const cpu = new Vcpu(pc.engine, host, { tscHz: 1e9, crystalHz: 1e9 })
  host.attach(cpu)
  cpu.reset(true)
  pc.program(build, address)
  const state = initialState('long')
  cpu.load({ ...state, registers: { rip: address, rsp: STACK - 0x2_0000, rflags: 2 } })
  return cpu
}

describe('a store ends the wait', () => {
  test.each([
    { what: 'a MOV', build: (asm: Assembler) => asm.mov(dword(LINE + 4), 1).hlt() },
    { what: 'a byte at the start of the line', build: (asm: Assembler) => asm.mov(qword(LINE - 7), rax).hlt() },
    { what: 'the last byte of the line', build: (asm: Assembler) => asm.mov(qword(LINE + 63), rax).hlt() },
    { what: 'a locked operation', build: (asm: Assembler) => asm.lock().or(dword(LINE), 8).hlt() },
    { what: 'an exchange', build: (asm: Assembler) => asm.xchg(qword(LINE + 8), rbx).hlt() },
    { what: 'a push', build: (asm: Assembler) => asm.mov(rsp, INSIDE).push(rax).hlt() },
    { what: 'a string', build: (asm: Assembler) => asm.mov(edi, PAGE).mov(ecx, 0x40).rep().stosd().hlt() },
    { what: 'FXSAVE', build: (asm: Assembler) => asm.fxsave(qword(PAGE)).hlt() },
  ])('of another processor: $what', ({ build }) => {
    const { pc } = waiting()
    const other = second(pc, build)
    expect(other.run(1000).reason).toBe('hlt')
    expect(pc.cpu.dormant).toBe(false)
    expectHalt(pc, { rbx: 1n })
  })

  test('of another processor that had the page in its TLB for writing before', ({ pc }) => {
    pc.program((asm) => waits(asm))
    const other = second(pc, (asm) => asm.mov(dword(PAGE), 1).pause().mov(dword(LINE), 2).hlt())
    expect(other.run(1).reason).toBe('pause')
    expect(pc.run().reason).toBe('mwait')
    expect(other.run(1000).reason).toBe('hlt')
    expect(pc.run().reason).toBe('hlt')
  })

  test('of the host, as of a device', () => {
    const { pc } = waiting()
    pc.load(LINE + 63, [1])
    expectHalt(pc, { rbx: 1n })
  })

  test.each([
    { what: 'the line before', at: LINE - 1 },
    { what: 'the line after', at: LINE + 64 },
    { what: 'the same offset of another page', at: LINE + 0x1000 },
  ])('but not one to $what', ({ at }) => {
    const { pc } = waiting()
    pc.load(at, [1])
    const other = second(pc, (asm) => asm.mov(eax, 1).hlt())
    other.run(1000)
    expect(pc.cpu.dormant).toBe(true)
    expect(pc.run().reason).toBe('mwait')
    pc.load(LINE, [1])
    expect(pc.run().reason).toBe('hlt')
  })

  test('between MONITOR and MWAIT: MWAIT does not wait', ({ pc }) => {
    pc.host.ports.set(0x80, { read: () => 0n, write: () => (pc.load(LINE, [1]), true) })
    pc.program((asm) => asm.mov(eax, LINE).monitor().out(0x80, eax).mwait().inc(ebx).hlt())
    expectHalt(pc, { rbx: 1n })
  })

  test('a logged pass holds its store until the instruction retires, and then the wait ends', () => {
    const { pc } = waiting()
    const other = second(pc, (asm) => asm.mov(rax, qword(0xb000)).add(qword(LINE), rax).push(qword(0xb000)).hlt())
    const host = other.host as BareHost
    host.devices.set(0xb, { read: () => undefined, write: () => true })
    expect(other.run(1000).reason).toBe('blocked')
    expect(pc.cpu.dormant).toBe(true)
    host.devices.set(0xb, { read: () => 5n, write: () => true })
    expect(other.run(1000).reason).toBe('hlt')
    expect(pc.run().reason).toBe('hlt')
  })

  test('two processors wait for two lines of a page, and each store wakes one', () => {
    const { pc } = waiting()
    const other = second(pc, (asm) => waits(asm, LINE + 0x100))
    expect(other.run(1000).reason).toBe('mwait')
    pc.load(LINE + 0x100, [1])
    expect([pc.cpu.dormant, other.dormant]).toEqual([true, false])
    expect(other.run(1000).reason).toBe('hlt')
    pc.load(LINE, [1])
    expect(pc.run().reason).toBe('hlt')
    // No vCPU monitors the page now, so stores to it are fast again.
    expect(pc.memory.codeBits[(pc.host.ramMa + PAGE) >>> 12]).toBe(0)
  })

  test('a page with code is monitored as well, and its code still dies when it is written', () => {
    const { pc } = waiting(CODE + 0x800)
    const other = second(pc, (asm) => asm.mov(dword(CODE + 0x800), 1).hlt())
    expect(other.run(1000).reason).toBe('hlt')
    expect(pc.run().reason).toBe('hlt')
    pc.program((asm) => asm.mov(ebx, 7).hlt())
    pc.cpu.load(initialState('long'))
    expectHalt(pc, { rbx: 7n })
  })
})

describe('events end the wait', () => {
  function withHandlers(extensions = 0): { pc: BareCpu; at: (label: string) => number } {
    const made = waiting(LINE, extensions)
    made.pc.vector(IRQ, HANDLER)
    made.pc.vector(2, HANDLER)
    made.pc.program((asm) => asm.mov(rcx, qword(rsp)).iretq(), HANDLER)
    return made
  }

  test('an interrupt is delivered, and the instruction after MWAIT follows', () => {
    const { pc, at } = withHandlers()
    pc.cpu.u32[S_EFLAGS >>> 2]! |= FLAG_IF
    pc.interrupt(IRQ)
    expectHalt(pc, { rcx: BigInt(at('after')) })
    expect(pc.register('rbx')).toBe(1n)
  })

  test('a masked interrupt does not, unless ECX bit 0 says so', () => {
    const { pc } = withHandlers()
    pc.interrupt(IRQ)
    expect(pc.run().reason).toBe('mwait')
    const { pc: breaking } = withHandlers(1)
    breaking.interrupt(IRQ)
    expect(breaking.run().reason).toBe('hlt')
    expect(breaking.register('rbx')).toBe(1n)
    // It has not been taken.
    expect(breaking.host.interrupts).toEqual([IRQ])
  })

  test('an NMI', () => {
    const { pc, at } = withHandlers()
    pc.cpu.nmi()
    expectHalt(pc, { rcx: BigInt(at('after')) })
  })

  test('INIT', () => {
    const { pc } = withHandlers()
    pc.cpu.init()
    expect(pc.run(1).reason).toBe('budget')
    expect(pc.activity).toBe(ACTIVITY_RUNNING)
    pc.load(LINE, [1])
    expect(pc.activity).toBe(ACTIVITY_RUNNING)
  })

  test('a map that has changed: the line may have another frame now', () => {
    const { pc } = withHandlers()
    pc.cpu.flushTlb(true)
    expect(pc.run().reason).toBe('hlt')
  })

  test('STI; MWAIT: an interrupt that waits already is taken after MWAIT', ({ pc }) => {
    pc.vector(IRQ, HANDLER)
    pc.program((asm) => asm.mov(rcx, qword(rsp)).iretq(), HANDLER)
    pc.host.ports.set(0x80, { read: () => 0n, write: () => (pc.interrupt(IRQ), true) })
    const at = pc.program((asm) =>
      asm.mov(eax, LINE).monitor().out(0x80, eax).sti().mwait().bind(asm.label('after')).inc(ebx).hlt(),
    )
    expectHalt(pc, { rcx: BigInt(at('after')) })
  })

  test('a single-step trap of MWAIT comes at once', ({ pc }) => {
    pc.vector(1, HANDLER)
    pc.program((asm) => asm.inc(ebx).hlt(), HANDLER)
    pc.program((asm) => asm.mov(eax, LINE).monitor().push(0x102).popfq().mwait().hlt())
    expectHalt(pc, { rbx: 1n })
  })

  test.for([
    { what: 'an interrupt', between: (asm: Assembler) => asm.int(IRQ) },
    { what: 'a load of CR3', between: (asm: Assembler) => asm.mov(rcx, cr3).mov(cr3, rcx).xor(ecx, ecx) },
    { what: 'INVLPG', between: (asm: Assembler) => asm.invlpg(qword(0x7000)) },
    { what: 'an exception', between: (asm: Assembler) => asm.ud2() },
  ])('between MONITOR and MWAIT, $what: MWAIT does not wait', ({ between }, { pc }) => {
    pc.vector(IRQ, HANDLER)
    pc.program((asm) => asm.iretq(), HANDLER)
    pc.vector(6, FAULT)
    pc.program((asm) => asm.add(qword(rsp), 2).iretq(), FAULT)
    pc.program((asm) => between(asm.mov(eax, LINE).xor(ecx, ecx).monitor()).mwait().inc(ebx).hlt())
    expectHalt(pc, { rbx: 1n })
  })

  test('MWAIT without MONITOR, and after the wait has ended, does nothing', ({ pc }) => {
    pc.program((asm) => waits(asm.mwait().inc(ebx)).bind(asm.label('more')))
    expect(pc.run().reason).toBe('mwait')
    expect(pc.register('rbx')).toBe(1n)
    pc.program((asm) => asm.mwait().inc(ebx).hlt(), pc.rip)
    pc.load(LINE, [1])
    expectHalt(pc, { rbx: 2n })
  })
})

describe('faults', () => {
  function faulting(build: (asm: Assembler) => void, prepare: (pc: BareCpu) => void = () => undefined) {
    const pc = new BareCpu()
    for (const vector of [6, 12, 13, 14]) {
      pc.vector(vector, FAULT + 0x100 * vector)
      pc.program((asm) => asm.mov(ebx, vector).hlt(), FAULT + 0x100 * vector)
    }
    prepare(pc)
    pc.program(build)
    const { reason } = pc.run()
    return { reason, vector: Number(pc.register('rbx')), pc }
  }
  const noMonitor = (pc: BareCpu): void => {
    expect(writeModelSpecificRegister(pc.cpu, IA32_MISC_ENABLE, 0x1801n & ~MISC_ENABLE_MONITOR)).toBe(true)
  }

  test.each([
    { what: 'MONITOR with an extension', build: (asm: Assembler) => asm.mov(ecx, 1).monitor(), vector: 13 },
    {
      what: 'MONITOR with RCX above 32 bits',
      build: (asm: Assembler) => asm.mov(rcx, 0x1_0000_0000n).monitor(),
      vector: 13,
    },
    { what: 'MWAIT with an unknown extension', build: (asm: Assembler) => asm.mov(ecx, 2).mwait(), vector: 13 },
    {
      what: 'MWAIT with RCX above 32 bits',
      build: (asm: Assembler) => asm.mov(rcx, 0x1_0000_0000n).mwait(),
      vector: 13,
    },
    {
      what: 'MONITOR of a non-canonical address',
      build: (asm: Assembler) => asm.mov(rax, 0x8000_0000_0000n).xor(ecx, ecx).monitor(),
      vector: 13,
    },
    {
      what: 'MONITOR of a page that is not there',
      build: (asm: Assembler) => asm.mov(rax, 0x4000_0000).monitor(),
      vector: 14,
    },
    {
      what: 'MONITOR where IA32_MISC_ENABLE has taken it away',
      build: (asm: Assembler) => asm.mov(eax, LINE).monitor(),
      prepare: noMonitor,
      vector: 6,
    },
    { what: 'MWAIT there', build: (asm: Assembler) => asm.mwait(), prepare: noMonitor, vector: 6 },
  ])('$what raises vector $vector', ({ build, prepare, vector }) => {
    expect(faulting(build, prepare)).toMatchObject({ reason: 'hlt', vector })
  })

  test('above level 0 both are undefined, whatever ECX says', () => {
    for (const instruction of ['monitor', 'mwait'] as const) {
      const { vector } = faulting((asm) => {
        const user = asm.label('user')
        asm.push(0x23).push(0x6_0000).push(2).push(0x1b).mov(rax, user).push(rax).iretq()
        asm.bind(user).mov(ecx, 8)[instruction]()
      })
      expect(vector).toBe(6)
    }
  })

  test('the address is an offset in DS, or in the segment of a prefix', ({ pc }) => {
    pc.program((asm) => {
      asm.mov(ecx, 0xc000_0100).mov(eax, PAGE).xor(edx, edx).wrmsr().xor(ecx, ecx)
      asm.mov(eax, 0x40).db(0x64).monitor().mwait().hlt()
    })
    expect(pc.run().reason).toBe('mwait')
    pc.load(0x40, [1])
    expect(pc.activity).toBe(ACTIVITY_MWAIT)
    pc.load(LINE, [1])
    expect(pc.activity).toBe(ACTIVITY_RUNNING)
  })

  test('MONITOR sets the A bit of its page and leaves D alone', ({ pc }) => {
    pc.program((asm) => waits(asm))
    const entry = PAGE_TABLE + 8 * (PAGE >>> 12)
    expect(pc.read64(entry) & 0x60n).toBe(0n)
    pc.run()
    expect(pc.read64(entry) & 0x60n).toBe(0x20n)
  })

  test('a page of a device is translated, but neither read nor armed', ({ pc }) => {
    pc.host.devices.set(0xb, { read: () => 0n, write: () => true })
    pc.program((asm) => waits(asm, 0xb000))
    expect(pc.run().reason).toBe('hlt')
    expect(pc.host.seen).toEqual([])
  })

  test('in real mode the limit of DS counts, and the offset has 16 bits', () => {
    const pc = new BareCpu({ mode: 'real' })
    pc.program((asm) => asm.mov(eax, 0xffff_9040).xor(ecx, ecx).monitor().mwait().hlt())
    expect(pc.run().reason).toBe('mwait')
    pc.load(LINE, [1])
    expect(pc.run().reason).toBe('hlt')
  })
})

test('CPUID reports both as IA32_MISC_ENABLE has them', () => {
  const report = (enabled: boolean): { feature: number; leaf5: number[] } => {
    const pc = new BareCpu()
    if (!enabled) writeModelSpecificRegister(pc.cpu, IA32_MISC_ENABLE, 0x1801n)
    pc.program((asm) => {
      asm.mov(eax, 1).cpuid().mov(dword(0x9000), ecx)
      asm.mov(eax, 5).cpuid().mov(dword(0x9004), eax).mov(dword(0x9008), ebx).mov(dword(0x900c), ecx)
      asm.mov(dword(0x9010), edx).hlt()
    })
    expect(pc.run().reason).toBe('hlt')
    return { feature: (pc.read32(0x9000) >>> 3) & 1, leaf5: [1, 2, 3, 4].map((i) => pc.read32(0x9000 + 4 * i)) }
  }
  expect(report(true)).toEqual({ feature: 1, leaf5: [64, 64, 3, 0x10] })
  expect(report(false).feature).toBe(0)
})

describe('a saved wait', () => {
  test('goes on where it is restored, and a store ends it there', () => {
    const { pc } = waiting()
    const there = new BareCpu()
    there.program((asm) => waits(asm))
    restoreVcpu(there.cpu, JSON.parse(JSON.stringify(saveVcpu(pc.cpu))) as ReturnType<typeof saveVcpu>)
    expect(saveVcpu(there.cpu)).toEqual(saveVcpu(pc.cpu))
    expect(there.run().reason).toBe('mwait')
    there.load(LINE, [1])
    expect(there.run().reason).toBe('hlt')
    expect(there.register('rbx')).toBe(1n)
  })

  test('between MONITOR and MWAIT the line stays armed', ({ pc }) => {
    pc.program((asm) => asm.mov(eax, LINE).monitor().mwait().hlt())
    pc.step()
    pc.step()
    const there = new BareCpu()
    there.program((asm) => asm.mov(eax, LINE).monitor().mwait().hlt())
    restoreVcpu(there.cpu, saveVcpu(pc.cpu))
    expect(there.run().reason).toBe('mwait')
  })

  test('ends where the line is no RAM', () => {
    const { pc } = waiting(RAM_BYTES - 0x22_0000)
    const there = new BareCpu()
    there.program((asm) => waits(asm))
    there.host.devices.set((RAM_BYTES - 0x22_0000) >>> 12, { read: () => 0n, write: () => true })
    restoreVcpu(there.cpu, saveVcpu(pc.cpu))
    expect(there.run().reason).toBe('hlt')
  })
})

test.each([
  ['MSR_PKG_CST_CONFIG_CONTROL', 0xe2],
  ['MSR_POWER_CTL', 0x1fc],
])('%s is there where MWAIT is, for an idle driver to set: Xen 4.17 does', (_name, index) => {
  const { cpu } = new BareCpu()
  expect(writeModelSpecificRegister(cpu, index, 0x1234n)).toBe(true)
  expect(readModelSpecificRegister(cpu, index)).toBe(0n)
})

test('a debugger that comes, sets breakpoints and watchpoints and leaves does not end the wait, and a store still does', () => {
  const { pc } = waiting()
  const debug = new DebugControl(pc.cpu)
  debug.addBreakpoint(0x7000n)
  debug.addWatchpoint(0x8000n, 8, 'access')
  debug.removeBreakpoint(0x7000n)
  debug.removeWatchpoint(0x8000n, 8, 'access')
  debug.detach()
  expect(pc.cpu.dormant).toBe(true)
  pc.memory.u8[pc.host.ramMa + LINE] = 1
  pc.memory.noteWrite(pc.host.ramMa + LINE, 1)
  expect(pc.cpu.dormant).toBe(false)
})
