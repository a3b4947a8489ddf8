/** System-management mode in a domain: where SMIs come from, SMRAM that only it sees, and several vCPUs in it. */
import { defineDevice } from '@retrap/device'
import { Assembler, al, ax, cs, ds, dword, eax, ebx, ecx, edx, esi, word } from '@retrap/x86-assembler'
import { restoreVcpu, saveVcpu } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import { DeterministicClock, VcpuVapic, type X86Vcpu } from '../src/index.ts'
import { EXIT_PORT, Guest, PROTECTED, STACK, realClock } from './support/guest.ts'

const SMBASE = 0x3_0000
const COUNT = 0x5000
const SECOND = 0x2_0000
const APIC = 0xfee0_0000
const ICR = APIC + 0x300
/** ICR: to this processor; to all others; SMI. */
const SELF = 1 << 18
const OTHERS = 3 << 18
const SMI = 2 << 8
const INIT = 5 << 8
const STARTUP = 6 << 8

const leave = (asm: Assembler): Assembler => asm.mov(al, 1).out(EXIT_PORT, al).hlt()

/** 16-bit code at SMBASE + 8000H. */
function smiHandler(guest: Guest, build: (asm: Assembler) => void, base: number = SMBASE): void {
  const asm = new Assembler({ bits: 16, address: 0x8000 })
  build(asm)
  guest.domain.guestMemory.load(base + 0x8000, asm.assemble().bytes)
}

const counts = (asm: Assembler): void => void asm.inc(word(COUNT)).rsm()

function startSecond(guest: Guest, build: (asm: Assembler) => void): X86Vcpu {
  guest.program(SECOND, 32, build)
  const vcpu = guest.domain.vcpus[1] as X86Vcpu
  vcpu.cpu.load({ ...PROTECTED, registers: { rip: SECOND, rsp: STACK - 0x1000, rflags: 2 } })
  return vcpu
}

const clocks = [
  { time: 'deterministic', clock: () => new DeterministicClock() },
  { time: 'real', clock: () => realClock() },
]

describe.each(clocks)('an SMI on $time time', ({ clock }) => {
  test.each<[string, (guest: Guest) => void]>([
    ['the chipset’s pin', (guest) => (guest.domain.vcpus[0] as X86Vcpu).smi()],
    ['an MSI', (guest) => void guest.domain.interrupts.signalMsi(APIC, SMI)],
    [
      'a redirection entry of the I/O APIC',
      (guest) => {
        const { ioApic } = guest.domain.interrupts
        ioApic.write(0, 0x10 + 2 * 20)
        ioApic.write(0x10, SMI)
        guest.domain.interrupts.line(20).set(true)
      },
    ],
    [
      'an entry of the local vector table',
      (guest) => {
        const apic = guest.domain.interrupts.localApic(0)
        apic.write(0xf0, 0x1ff)
        apic.write(0x360, SMI)
        apic.setLint(1, true)
      },
    ],
  ])('comes from %s', async (_source, raise) => {
    const guest: Guest = new Guest((asm) => leave(asm.out(0x80, al)), {
      clock: clock(),
      devices: [
        defineDevice({ name: 'chipset', synchronous: true, ports: { base: 0x80, size: 1 }, write: () => raise(guest) }),
      ],
    })
    smiHandler(guest, counts)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect(guest.read32(COUNT)).toBe(1)
  })

  test('comes from a write to the interrupt command register, before the next instruction', async () => {
    const guest = new Guest(
      (asm) =>
        leave(
          asm
            .mov(dword(ICR), SMI | SELF)
            .mov(ebx, dword(COUNT))
            .mov(dword(0x4000), ebx),
        ),
      { clock: clock() },
    )
    smiHandler(guest, counts)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect(guest.read32(0x4000)).toBe(1)
  })

  test('wakes a vCPU that halts, which halts again', async () => {
    const guest = new Guest(
      (asm) => {
        const wait = asm
          .mov(dword(ICR + 0x10), 0)
          .mov(dword(ICR), SMI | OTHERS)
          .here()
        asm.pause().cmp(word(COUNT), 1).jnz(wait)
        leave(asm)
      },
      { clock: clock(), vcpus: 2 },
    )
    smiHandler(guest, counts)
    const other = startSecond(guest, (asm) => asm.hlt().mov(dword(0x4000), 1).hlt())
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect([other.cpu.halted, guest.read32(0x4000)]).toEqual([true, 0])
  })

  test('with INIT and a start-up IPI: INIT waits for RSM, the start-up IPI is lost', async () => {
    const guest = new Guest(
      (asm) => {
        asm.mov(dword(ICR), SMI | OTHERS)
        const inside = asm.here()
        asm.pause().cmp(word(COUNT), 1).jnz(inside)
        asm
          .mov(dword(ICR), INIT | OTHERS)
          .mov(dword(ICR), STARTUP | OTHERS | 8)
          .mov(word(COUNT), 2)
        const outside = asm.here()
        asm.pause().cmp(word(COUNT), 3).jnz(outside)
        leave(asm)
      },
      { clock: clock(), vcpus: 2 },
    )
    smiHandler(guest, (asm) => {
      asm.mov(word(COUNT), 1)
      const wait = asm.here()
      asm.pause().cmp(word(COUNT), 2).jnz(wait).inc(word(COUNT)).rsm()
    })
    const other = startSecond(guest, (asm) => asm.hlt())
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    other.cpu.run(1000)
    expect(other.cpu.waitsForStartup).toBe(true)
  })

  test('two vCPUs with SMBASEs of their own are in the handler at once', async () => {
    const guest = new Guest(
      (asm) => {
        asm.mov(dword(ICR), SMI | OTHERS).mov(dword(ICR), SMI | SELF)
        const wait = asm.here()
        asm.pause().cmp(word(COUNT), 2).jnz(wait)
        leave(asm)
      },
      { clock: clock(), vcpus: 2 },
    )
    // Each waits in the handler until both are in it.
    for (const base of [SMBASE, 0x4_0000]) {
      smiHandler(
        guest,
        (asm) => {
          asm.lock().inc(word(COUNT))
          const wait = asm.here()
          asm.pause().cmp(word(COUNT), 2).jc(wait)
          // The area of this vCPU: its SMBASE.
          asm.mov(ax, cs).mov(ds, ax).mov(eax, dword(0xfef8)).mov(dword(0x7000), eax).rsm()
        },
        base,
      )
    }
    const other = startSecond(guest, (asm) => asm.hlt())
    const saved = saveVcpu(other.cpu)
    restoreVcpu(other.cpu, { ...saved, pending: { ...saved.pending, smbase: '0x40000' } })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect([guest.read32(SMBASE + 0x7000), guest.read32(0x4_7000)]).toEqual([SMBASE, 0x4_0000])
  })
})

describe('SMRAM', () => {
  test('is seen in system-management mode alone: code, data, tables and the save area', async () => {
    const guest = new Guest((asm) =>
      leave(
        asm
          .mov(esi, 0xa_8000)
          .mov(ebx, dword(esi))
          .mov(dword(ICR), SMI | SELF)
          .mov(ecx, dword(esi))
          .mov(edx, dword(0xa_fef8)),
      ),
    )
    const { domain, memory } = guest
    const smram = memory.allocate(0x2_0000, 0x1000, 'SMRAM')
    const asm = new Assembler({ bits: 16, address: 0x8000 })
    asm.mov(word(COUNT), 7).mov(ax, cs).mov(ds, ax).mov(word(0x100), 9).rsm()
    memory.write(smram + 0x8000, asm.assemble().bytes)
    domain.systemManagementMemory = {
      machineAddress: (gpa) => (gpa >= 0xa_0000 && gpa < 0xc_0000 ? smram + gpa - 0xa_0000 : -1),
    }
    domain.p2m.remove(0xa8, domain.p2m.translate(0xa_8000) >>> 12)
    domain.p2m.populate(0xa8, 1)
    guest.write64(0xa_8000, 0x1111_2222_3333_4444n)
    const saved = saveVcpu(guest.boot)
    restoreVcpu(guest.boot, { ...saved, pending: { ...saved.pending, smbase: '0xa0000' } })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    const { registers } = guest.state()
    // Outside the guest sees its own RAM, before and after.
    expect([registers['rbx'], registers['rcx'], registers['rdx']]).toEqual(['0x33334444', '0x33334444', '0x0'])
    expect(guest.read32(COUNT)).toBe(7)
    expect(memory.readU16(smram + 0x100)).toBe(9)
    expect(memory.readU32(smram + 0xfef8)).toBe(0xa_0000)
  })
})

test('the TPR patcher leaves the handler of an SMI alone', () => {
  const guest = new Guest((asm) => leave(asm.mov(dword(ICR), SMI | SELF)))
  smiHandler(guest, (asm) => asm.hlt())
  const vcpu = guest.domain.vcpus[0] as X86Vcpu
  const watch = new VcpuVapic(vcpu, undefined as never, { behind: false, apicPage: -1 })
  watch.reporting = true
  expect(watch.watches(APIC + 0x80)).toBe(true)
  vcpu.cpu.smi()
  vcpu.cpu.run(100)
  expect([vcpu.cpu.inSystemManagement, watch.watches(APIC + 0x80)]).toEqual([true, false])
})

test.each(clocks)('a state save area that a pager has is waited for, on $time time', async ({ clock }) => {
  const guest = new Guest(
    (asm) =>
      leave(
        asm
          .mov(ebx, 0x1234)
          .mov(dword(ICR), SMI | SELF)
          .inc(ebx),
      ),
    { clock: clock() },
  )
  smiHandler(guest, counts)
  const { p2m, secondLevel } = guest.domain
  const asked: string[] = []
  secondLevel.onPageRequest = (gfn, how) => {
    asked.push(`${how} ${gfn.toString(16)}`)
    setTimeout(() => {
      p2m.paging.resume(gfn)
    }, 5)
  }
  p2m.paging.nominate((SMBASE + 0xf000) >>> 12)
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  expect([guest.read32(COUNT), guest.state().registers['rbx'], asked]).toEqual([1, '0x1235', ['resume 3f']])
  // RBX in the area: Intel's map.
  expect(guest.read32(SMBASE + 0xff74)).toBe(0x1234)
})
