/** Patched guests and the life of their machine: hibernation, reset, INIT, migration, un-patching. */
import { DebugExit } from '@retrap/devices'
import { type Assembler, al, byte, dword, eax, ebx, ecx, edx, fs } from '@retrap/x86-assembler'
import { decodeSaved, encodeSaved, type PollMethod, VapicState } from '@retrap/vapic'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import type { DomainVapicState } from '@retrap/hvm'
import type { Pc, PcVapicOptions } from '../../src/index.ts'
import { everyForm } from './forms.ts'
import { APIC, AT, buildKernel, EXIT_PORT, type Kernel, linear, RAM_BYTES } from './kernel.ts'
import { singleSteps } from './single-steps.ts'
import { roms, stockRom } from './stock.ts'
import { machineFor, readLog, runKernel, stormKernel } from './storm.ts'
import * as support from './support.ts'

const test = sliceTests(7)

const FINISHED = { reason: 'debug-exit', code: 1 }
if (stockRom === undefined) test.skip('the stock ROM (skipped: there is no apt to fetch it with)')

const BASE_MEMORY = { gpa: 0, bytes: 0xa_0000 }
const OPTION_ROMS = { gpa: 0xc_0000, bytes: 0x2_0000 }
const UPPER_MEMORY = { gpa: 0xe_0000, bytes: RAM_BYTES - 0xe_0000 }
const allLogs = (pc: Pc): number[][] => pc.domain.vcpus.map((_, cpu) => readLog(pc, cpu))
const exitDevice = (): DebugExit => new DebugExit({ iobase: EXIT_PORT })

/** All processors wait for each other: a counter for each time. */
function barrier(asm: Assembler, number: number, cpus: number): void {
  const counter = dword(linear(AT.variables + 0x100 + 4 * number))
  asm.lock().inc(counter)
  const wait = asm.here()
  asm.pause().cmp(counter, cpus).jne(wait)
}

/** Writes, reads and takes interrupts, four times; in between the machine is stopped, with no processor in a helper. */
function rounds(cpus: number): Uint8Array {
  return buildKernel({
    cpus,
    interrupt: support.logVector,
    main: ({ asm, log }: Kernel, cpu) => {
      const body = asm.label()
      const over = asm.label()
      asm.jmp(over).bind(body)
      asm
        .mov(ecx, 0x60)
        .db(...support.WRITE_ECX)
        .mov(dword(APIC + 0x300), 0x4_4041)
      asm
        .mov(dword(APIC + 0x300), 0x4_4071)
        .sti()
        .nop()
        .cli()
      asm.db(...support.READ_EAX)
      log()
      asm
        .sti()
        .nop()
        .mov(eax, 0x30)
        .db(...support.WRITE_EAX)
        .cli()
      asm.db(...support.READ_EAX)
      log()
      asm.ret().bind(over)
      for (let round = 0; round < 4; round++) {
        asm.call(body)
        barrier(asm, 2 * round, cpus)
        if (cpu === 0) asm.mov(al, round).out(support.STOP_PORT, al)
        barrier(asm, 2 * round + 1, cpus)
      }
    },
  })
}
const ROUND = [0x1000_0071, 0x60, 0x1000_0041, 0x30]

async function stopped(kernel: Uint8Array, cpus: number, vapic: PcVapicOptions): Promise<Pc> {
  const machine: support.Stopper = {}
  machine.pc = await machineFor(kernel, cpus, { vapic, devices: [support.stopper(machine), exitDevice()] })
  return machine.pc
}

describe.each(roms)('%s', (_name, vapic) => {
  describe.each([1, 3])('%i processors', (cpus) => {
    const kernel = rounds(cpus)

    test('9. Hibernate, resume: firmware has run again, with a fresh ROM, and the guest goes on', async () => {
      let pc = await stopped(kernel, cpus, vapic)
      for (let round = 0; round < 4; round++) {
        expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
        expect(pc.vapic?.patcher.state).toBe(VapicState.ACTIVE)
        const next = await stopped(kernel, cpus, vapic)
        support.copyMemory(pc, next, [BASE_MEMORY, UPPER_MEMORY])
        support.copyProcessors(pc, next)
        expect(next.vapic?.patcher.state).toBe(VapicState.STANDBY)
        pc = next
      }
      expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
      for (const log of allLogs(pc)) expect(log).toEqual([...ROUND, ...ROUND, ...ROUND, ...ROUND])
      // The patches of before work, and no instruction is patched a second time.
      expect(pc.vapic?.patcher.sites).toEqual([])
    })

    test('9. Reset: nothing is announced, reported or patched', async () => {
      const pc = await stopped(kernel, cpus, vapic)
      await pc.run({ timeoutMs: 100_000 })
      expect(pc.domain.vcpus.every(({ apic }) => apic.record !== null)).toBe(true)
      pc.domain.reset()
      expect(pc.vapic?.patcher.state).toBe(VapicState.INACTIVE)
      expect(pc.vapic?.patcher.sites).toEqual([])
      for (const vcpu of pc.domain.vcpus) expect([vcpu.apic.record, vcpu.vapic?.reporting]).toEqual([null, false])
    })

    test.each([
      ['vmcall', 'port'],
      ['port', 'vmmcall'],
      ['vmmcall', 'vmcall'],
    ] as const)('10. Migrate from %s to %s: in standby, and when active', async (from, to) => {
      let pc = await stopped(kernel, cpus, { ...vapic, poll: from })
      const move = async (poll: PollMethod): Promise<void> => {
        const target = await stopped(kernel, cpus, { ...vapic, poll })
        support.copyMemory(pc, target, [BASE_MEMORY, OPTION_ROMS, UPPER_MEMORY])
        support.copyProcessors(pc, target)
        const saved: DomainVapicState = JSON.parse(JSON.stringify(pc.vapic?.save()))
        const { state } = pc.vapic?.patcher ?? {}
        target.vapic?.restore({ ...saved, patcher: decodeSaved(encodeSaved(saved.patcher)) })
        expect(target.vapic?.save()).toEqual(saved)
        expect(target.vapic?.patcher.state).toBe(state)
        pc = target
      }
      support.advance(pc, 1, 10)
      expect(pc.vapic?.patcher.state).toBe(VapicState.STANDBY)
      await move(to)
      expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
      expect(pc.vapic?.patcher.state).toBe(VapicState.ACTIVE)
      await move(from)
      expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
      await move(to)
      expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
      const { counts } = pc.vapic?.patcher ?? {}
      expect(counts?.polls).toBeGreaterThan(0)
      expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
      expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
      for (const log of allLogs(pc)) expect(log).toEqual([...ROUND, ...ROUND, ...ROUND, ...ROUND])
    })
  })

  test('9. INIT: the priority of that processor is 0, and it goes on with its record', async () => {
    const started = dword(linear(AT.variables + 0x80))
    const ready = dword(linear(AT.variables + 0x84))
    const pc = await support.machineWith(
      ({ asm, log }, cpu) => {
        const site = support.writeRoutine(asm)
        if (cpu === 0) {
          asm.mov(ecx, 0x10).call(site).call(site)
          const wait = asm.here()
          asm.pause().cmp(ready, 1).jne(wait)
          asm.mov(dword(APIC + 0x300), 0xc_4500).mov(dword(APIC + 0x300), 0xc_4600 | (AT.trampoline >>> 12))
          return
        }
        const again = asm.label()
        asm.lock().inc(started).cmp(started, 2).je(again)
        asm.mov(ecx, 0x50).call(site).call(site)
        asm.db(...support.READ_EAX)
        log()
        asm.mov(ready, 1)
        const wait = asm.here()
        asm.pause().jmp(wait)
        asm.bind(again).mov(eax, 0xaaaa)
        log()
        asm.db(...support.READ_EAX)
        log()
        asm
          .mov(ecx, 0x70)
          .call(site)
          .db(...support.READ_EAX)
        log()
      },
      { cpus: 2, vapic },
    )
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    // The kernel starts its log anew.
    expect(readLog(pc, 1)).toEqual([0xaaaa, 0, 0x70])
    expect(pc.domain.vcpus[1]?.apic.read(0x80)).toBe(0x70)
  })

  test('CR8, the register as the host reads it, and the record agree', async () => {
    const machine: support.Stopper = {}
    const pc = await support.machineWith(
      ({ asm, log }) => {
        asm.mov(ecx, 2)
        const loop = asm.here()
        asm
          .mov(eax, 0x75)
          .db(...support.WRITE_EAX)
          .dec(ecx)
          .jnz(loop)
        asm.out(support.STOP_PORT, al).db(...support.READ_EAX)
        log()
      },
      { vapic, devices: [support.stopper(machine), exitDevice()] },
    )
    machine.pc = pc
    expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
    const vcpu = pc.domain.vcpus[0]
    const record = pc.vapic?.patcher.recordOf(0) ?? 0
    const inRecord = (): number => {
      const bytes = new Uint8Array(1)
      pc.domain.guestMemory.read(record, bytes)
      return bytes[0] ?? 0
    }
    expect([vcpu?.readTaskPriority(), vcpu?.apic.read(0x80), inRecord()]).toEqual([7, 0x75, 0x75])
    vcpu?.writeTaskPriority(0xa)
    expect([vcpu?.readTaskPriority(), vcpu?.apic.read(0x80), inRecord()]).toEqual([0xa, 0xa0, 0xa0])
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    expect(readLog(pc, 0)).toEqual([0xa0])
  })

  test('un-patching at every instruction of a patched site and its helper', async () => {
    const program = ({ asm, log }: Kernel): void => {
      singleSteps(asm)
      asm.mov(ebx, 6)
      const loop = asm.here()
      asm.lea(ecx, dword(ebx, { disp: 0x40 })).db(...support.WRITE_ECX)
      asm.db(...support.READ_EAX)
      log()
      asm.dec(ebx).jnz(loop)
    }
    let betweenPushAndCall = 0
    let inHelpers = 0
    for (let moment = 0; moment < 40; moment++) {
      const pc = await support.machineWith(program, { vapic })
      while (readLog(pc, 0).length < 2) support.advance(pc, 1, 10)
      const [site] = pc.vapic?.patcher.sites ?? []
      if (site === undefined) throw new Error('not patched')
      support.stepTo(pc, site.address, 1, moment)
      const between = support.addressOf(pc) === site.address + 1
      const inHelper = support.addressOf(pc) >= linear(0xc_0000) && support.addressOf(pc) < linear(0xc_4000)
      const left = pc.vapic?.patcher.unpatch(0)
      expect([moment, left]).toEqual([moment, between || inHelper ? expect.any(Number) : 0])
      expect(left === 0).toBe(!between && !inHelper)
      if (between) betweenPushAndCall++
      if (inHelper) inHelpers++
      if (left !== 0) {
        for (let steps = 0; steps < 60; steps++) {
          support.advance(pc, 1, 1)
          if (support.addressOf(pc) >= linear(0xc_4000) && support.addressOf(pc) !== site.address + 1) break
        }
        expect(pc.vapic?.patcher.unpatch(0)).toBe(0)
      }
      expect(support.bytesAt(pc, site.address, 6)).toEqual([...support.WRITE_ECX])
      expect(pc.vapic?.patcher.state).toBe(VapicState.INACTIVE)
      expect(pc.domain.vcpus[0]?.apic.record).toBe(null)
      expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
      expect(readLog(pc, 0)).toEqual([0x46, 0x45, 0x44, 0x43, 0x42, 0x41])
    }
    expect(betweenPushAndCall).toBeGreaterThan(0)
    expect(inHelpers).toBeGreaterThan(15)
  })

  test('un-patching waits for an interrupt that returns between push and call', async () => {
    const pc = await support.machineWith(
      ({ asm, log }) => {
        singleSteps(asm)
        asm.mov(ebx, 4)
        const loop = asm.here()
        asm.mov(ecx, 0x30).db(...support.WRITE_ECX)
        asm.mov(eax, ebx)
        log()
        asm.dec(ebx).jnz(loop)
      },
      { vapic },
    )
    while (readLog(pc, 0).length < 2) support.advance(pc, 1, 10)
    const [site] = pc.vapic?.patcher.sites ?? []
    if (site === undefined) throw new Error('not patched')
    support.stepTo(pc, site.address, 1, 1)
    expect(support.addressOf(pc)).toBe(site.address + 1)
    pc.domain.vcpus[0]?.cpu.nmi()
    support.advance(pc, 1, 1)
    expect(support.addressOf(pc)).not.toBe(site.address + 1)
    expect(pc.vapic?.patcher.unpatch(0)).toBe(1)
  })

  test.each([1, 4])('un-patching in the middle of a storm, %i processors', async (cpus) => {
    const kernel = stormKernel(everyForm(cpus))
    const expected = (await runKernel(kernel, cpus)).logs
    for (const turns of [60, 100, 150, 200]) {
      const pc = await machineFor(kernel, cpus, { vapic })
      support.advance(pc, turns, 300)
      expect(pc.vapic?.patcher.state).toBe(VapicState.ACTIVE)
      for (let tries = 0; (pc.vapic?.patcher.unpatch(0) ?? 0) > 0; tries++) {
        expect(tries).toBeLessThan(100)
        support.advance(pc, 1, 7)
      }
      expect(pc.vapic?.patcher.state).toBe(VapicState.INACTIVE)
      expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
      expect(allLogs(pc)).toEqual(expected)
    }
  })
})

describe('more processors than an area has records', () => {
  test('those are not overrun: their register goes on trapping', async () => {
    const cpus = 66
    const pc = await support.machineWith(
      ({ asm, log }) => {
        asm
          .movzx(ecx, byte(0x51, { segment: fs }))
          .or(ecx, 0x80)
          .mov(edx, 3)
        const loop = asm.here()
        asm
          .db(...support.WRITE_ECX)
          .dec(edx)
          .jnz(loop)
        asm.db(...support.READ_EAX)
        log()
      },
      { cpus, kernelOptions: { logBytes: 0x1000, setup: () => undefined } },
    )
    expect(await pc.run({ timeoutMs: 60_000 })).toMatchObject(FINISHED)
    const enabled = pc.domain.vcpus.map(({ id }) => pc.vapic?.patcher.isEnabled(id))
    expect(enabled.indexOf(false)).toBe(64)
    expect(enabled.filter(Boolean)).toHaveLength(64)
    const priorities = pc.domain.vcpus.map(({ apic }) => apic.read(0x80))
    expect(priorities).toEqual(priorities.map((_, cpu) => cpu | 0x80))
  }, 60_000)
})
