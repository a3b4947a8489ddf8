/** The scenarios that the reference asks for, by number and name, on the whole machine. */
import { DebugExit } from '@retrap/devices'
import type { DomainVapic, DomainVapicState } from '@retrap/hvm'
import { type Assembler, al, byte, dword, eax, ebx, ecx, edi, esi, fs } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { VapicState } from '@retrap/vapic'
import type { Pc } from '../../src/index.ts'
import { everyForm } from './forms.ts'
import * as K from './kernel.ts'
import { singleSteps } from './single-steps.ts'
import { roms, stockRom } from './stock.ts'
import { readLog, runKernel, stormKernel } from './storm.ts'
import * as support from './support.ts'

const test = sliceTests(4)

const FINISHED = { reason: 'debug-exit', code: 1 }
if (stockRom === undefined) test.skip('the stock ROM (skipped: there is no apt to fetch it with)')

test('1. Each row, each register, one and four CPUs: vapic.test.ts', async () => {
  const { pc } = await runKernel(stormKernel(everyForm(1)), 1, { vapic: true })
  // A1, A3, PUSH, C7; MOV to seven registers and from eight; the interrupt handler's, and further C7s.
  const opcodes = new Set((pc.vapic?.patcher.sites ?? []).map(({ original }) => [...original.subarray(0, 2)].join()))
  const forms = [...opcodes].filter((bytes) => !bytes.startsWith('161,') && !bytes.startsWith('163,'))
  expect(forms.toSorted()).toEqual(
    [
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((register) => `137,${5 | (register << 3)}`),
      ...[0, 1, 2, 3, 5, 6, 7].map((register) => `139,${5 | (register << 3)}`),
      '199,5',
      '255,53',
    ].toSorted(),
  )
  expect(opcodes.size).toBe(forms.length + 2)
})

test('2. Another register of the APIC, ESP 0, RIP outside the kernel: untouched', async () => {
  const pc = await support.machineWith(({ asm, log }) => {
    const low = asm.label()
    const routine = asm.label()
    for (let i = 0; i < 2; i++) {
      asm.db(0xa3, 0x84, 0x00, 0xfe, 0xff).db(0xa1, 0x84, 0x00, 0xfe, 0xff)
      asm.mov(ebx, low.plus(-K.KERNEL)).call(ebx)
    }
    asm
      .mov(eax, 0x40)
      .db(...support.WRITE_EAX)
      .mov(eax, 0)
    asm.db(...support.READ_EAX)
    log()
    asm.jmp(routine)
    asm
      .bind(low)
      .db(0xc7, 0x05, ...support.address, 0x20, 0, 0, 0)
      .ret()
    asm.bind(routine)
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  expect(support.sitesOf(pc).map((line) => line.split(' ')[1])).toEqual(['a38000feff', 'a18000feff'])
  expect(readLog(pc, 0)).toEqual([0x40])
  // ESP 0 is in every storm; a patched push there would end the guest with a double fault.
})

describe.each(roms)('3. A patch across a page boundary, other CPUs executing those bytes: %s', (_name, vapic) => {
  test('each gets its own priority, before, while and after it is patched', async () => {
    const crossing = K.linear(K.AT.window) + 0xffc
    const pc = await support.machineWith(
      ({ asm, log }, cpu) => {
        asm.mov(esi, 300)
        const loop = asm.here()
        asm
          .mov(ecx, esi)
          .and(ecx, 0x0f)
          .or(ecx, (cpu + 1) << 4)
        asm.mov(eax, crossing).call(eax)
        asm.db(...support.READ_EAX).sub(eax, ecx)
        const right = asm.label()
        asm.jz(right)
        log()
        asm.bind(right).dec(esi).jnz(loop)
      },
      {
        cpus: 4,
        vapic,
        kernelOptions: {
          setup: ({ asm }) => {
            const source = asm.label()
            const over = asm.label()
            asm.mov(esi, source).mov(edi, crossing).mov(ecx, 7).rep().movsb().jmp(over)
            asm
              .bind(source)
              .db(...support.WRITE_ECX, 0xc3)
              .bind(over)
          },
        },
      },
    )
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    expect([0, 1, 2, 3].map((cpu) => readLog(pc, cpu))).toEqual([[], [], [], []])
    const site = pc.vapic?.patcher.sites.find(({ address: at }) => at === crossing)
    // The two pages lie in frames that have changed places.
    const bytes = [...support.bytesAt(pc, crossing + 0x1000, 4), ...support.bytesAt(pc, K.linear(K.AT.window), 2)]
    expect(bytes).toEqual([...(site?.patch ?? [])])
    expect(bytes.slice(0, 2)).toEqual([0x51, 0xe8])
  })
})

describe.each(roms)('4. A read into EDI survives, patched or not: %s', (name, vapic) => {
  test.each([1, 2])('%i processors', async (cpus) => {
    const pc = await support.machineWith(
      ({ asm, log }) => {
        asm
          .mov(eax, 0x35)
          .db(...support.WRITE_EAX)
          .mov(ecx, 20)
        const loop = asm.here()
        asm
          .mov(edi, 0xdead)
          .db(0x8b, 0x3d, ...support.address)
          .mov(eax, edi)
        log()
        asm.dec(ecx).jnz(loop)
      },
      { cpus, vapic },
    )
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    for (let cpu = 0; cpu < cpus; cpu++) expect(readLog(pc, cpu)).toEqual(new Array(20).fill(0x35))
    const patched = support.sitesOf(pc).filter((line) => line.endsWith('8b3d8000feff'))
    expect(patched.length).toBe(name === 'our ROM' || cpus === 1 ? cpus : 0)
  })
})

test('5. ESP as a target is left alone: its reads are in every storm, and in no list of sites', async () => {
  const { pc } = await runKernel(stormKernel(everyForm(1)), 1, { vapic: true })
  expect(support.sitesOf(pc).filter((line) => line.endsWith('8b258000feff'))).toEqual([])
})

test('6. Looking backward finds the instruction, not what its address looks like', async () => {
  const odd = [K.ODD_TPR & 255, (K.ODD_TPR >>> 8) & 255, (K.ODD_TPR >>> 16) & 255, K.ODD_TPR >>> 24]
  const pc = await support.machineWith(
    ({ asm, log }) => {
      asm.mov(ecx, 3)
      const loop = asm.here()
      asm.db(0xc7, 0x05, ...odd, 0x80, 0, 0, 0).db(...support.READ_EAX)
      log()
      asm.dec(ecx).jnz(loop)
    },
    { vapic: { behind: true } },
  )
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  expect(readLog(pc, 0)).toEqual([0x80, 0x80, 0x80])
  expect(support.sitesOf(pc).map((line) => line.split(' ')[1])).toEqual(['c705800000a380000000', 'a18000feff'])
})

describe.each(roms)('7. An interrupt that comes while a helper runs is not lost: %s', (_name, vapic) => {
  test.each([1, 2])('at each of its instructions, %i processors', async (cpus) => {
    const pc = await support.machineWith(
      ({ asm, log }, cpu) => {
        if (cpu > 0) return
        singleSteps(asm)
        asm
          .mov(ecx, 0x20)
          .db(...support.WRITE_ECX)
          .sti()
          .nop()
        const loop = asm.here()
        // The host lets vector 55h come at one instruction or another from here on; it can be taken once this is done.
        asm.mov(ecx, 0x80).nop()
        asm.db(...support.WRITE_ECX).mov(ecx, 0x20)
        asm.db(...support.WRITE_ECX)
        asm.mov(eax, 0x77)
        log()
        asm.jmp(loop)
      },
      { cpus, vapic },
    )
    const boot = pc.domain.vcpus[0]
    if (boot === undefined) throw new Error('no vCPU')
    // Past the start of the others, and past the patching of the three sites.
    while (readLog(pc, 0).length < 2) {
      pc.domain.vcpus.forEach((vcpu) => {
        if (vcpu.cpu.dormant) return
        vcpu.cpu.run(50)
        vcpu.vapic?.settle()
      })
    }
    const [, high, low] = (pc.vapic?.patcher.sites ?? []).map(({ address: at }) => at)
    if (high === undefined || low === undefined) throw new Error('not patched')
    let moments = 0
    for (let moment = 0; ; moment++) {
      support.stepTo(pc, high, 1, 0)
      const before = readLog(pc, 0).length
      let steps = 0
      for (; support.addressOf(pc) !== low + 6; steps++) {
        if (steps === moment) boot.apic.accept(0x55, false)
        if (steps === moment) boot.updateEvents()
        boot.cpu.step()
        boot.vapic?.settle()
        if (readLog(pc, 0).length > before + 1) break
      }
      // The interrupt's handler may lie in between: on to the entry that follows.
      while (readLog(pc, 0).at(-1) !== 0x77 || readLog(pc, 0).length === before) boot.cpu.step()
      const seen = readLog(pc, 0).slice(before)
      if (moment >= steps && seen.length === 1) break
      moments++
      expect([moment, seen.map((entry) => entry.toString(16))]).toEqual([moment, ['10000055', '77']])
    }
    expect(moments).toBeGreaterThan(20)
  })
})

describe.each(roms)('8. %s', (_name, vapic) => {
  test('nested in service, and pending not above the priority: no poll', async () => {
    const polls: number[] = []
    const pc = await support.machineWith(
      ({ asm }) => {
        // Patched first; then each write ends with an OUT that has the host look.
        const write = (value: number): void => void asm.mov(ecx, value).call(routine)
        const look = (): void => void asm.mov(al, 0).out(0xe0, al)
        const self = (vector: number): void => void asm.mov(dword(K.APIC + 0x300), 0x4_4000 | vector)
        const routine = support.writeRoutine(asm)
        write(0)
        look()
        // Nothing pending.
        write(0x20)
        look()
        // 51h pending: not above 51h and 60h, above 50h and 20h.
        self(0x51)
        for (const value of [0x51, 0x60, 0x50, 0x20]) {
          write(value)
          look()
        }
        // In service 50h now, pending 52h.
        asm.sti().nop().cli()
        self(0x52)
        for (const value of [0x00, 0x52, 0x60]) {
          write(value)
          look()
        }
        asm.mov(dword(K.APIC + 0xb0), 0)
      },
      {
        vapic,
        kernelOptions: {
          // Leaves it in service.
          interrupt: ({ asm }) => void asm.popad().db(0x83, 0xc4, 0x04).iretd(),
        },
        devices: [
          {
            name: 'looker',
            attach: (context) =>
              void context.mapPorts(0xe0, 1, {
                read: () => 0,
                write: () => void polls.push(pc.vapic?.patcher.counts.polls ?? -1),
              }),
          },
          new DebugExit({ iobase: 0x501 }),
        ],
      },
    )
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    // Full bytes are compared: 52h above 50h in service is polled for, and not delivered.
    expect(polls.map((count, i) => count - (polls[i - 1] ?? 0))).toEqual([0, 0, 0, 0, 1, 1, 1, 0, 0])
    expect(pc.statistics().interrupts).toBe(1)
  })
})

describe.each(roms)('11. %s', (_name, vapic) => {
  test('the first access of CPU 1 after CPU 0 has patched enables its record', async () => {
    const go = dword(K.linear(K.AT.variables + 0x80))
    const where = dword(K.linear(K.AT.variables + 0x84))
    const machine: support.Stopper = {}
    const pc = await support.machineWith(
      ({ asm, log }, cpu) => {
        const site = asm.label()
        const over = asm.label()
        if (cpu === 0) {
          asm
            .jmp(over)
            .bind(site)
            .db(...support.WRITE_ECX)
            .ret()
            .bind(over)
          asm.mov(where, site).mov(ecx, 0x30).call(site).call(site)
          asm.out(support.STOP_PORT, al).mov(go, 1)
        } else {
          const wait = asm.here()
          asm.pause().cmp(go, 1).jne(wait)
          asm.mov(ecx, 0x50).mov(eax, where).call(eax)
          asm.db(...support.READ_EAX)
          log()
        }
      },
      { cpus: 2, vapic, devices: [support.stopper(machine), new DebugExit({ iobase: K.EXIT_PORT })] },
    )
    machine.pc = pc
    const enabled = (): (boolean | undefined)[] => [0, 1].map((cpu) => pc.vapic?.patcher.isEnabled(cpu))
    expect(await pc.run({ timeoutMs: 100_000 })).toEqual({ reason: 'stopped' })
    expect(enabled()).toEqual([true, false])
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    expect(enabled()).toEqual([true, true])
    expect(readLog(pc, 1)).toEqual([0x50])
    // It found the site patched: its priority came by the helper, to the real register and from then on to its record.
    expect((pc.vapic?.patcher.recordOf(1) ?? 0) - (pc.vapic?.patcher.recordOf(0) ?? 0)).toBe(128)
    expect(support.sitesOf(pc).filter((line) => line.endsWith('890d8000feff'))).toHaveLength(1)
  })
})

test.each([1, 2])('12. FS is no KPCR: refused, %i processors', async (cpus) => {
  const pc = await support.machineWith(
    ({ asm, log }) => {
      asm.mov(dword(0x1c, { segment: fs }), 0).mov(ecx, 3)
      const loop = asm.here()
      asm
        .mov(eax, 0x60)
        .db(...support.WRITE_EAX)
        .db(...support.READ_EAX)
      log()
      asm.dec(ecx).jnz(loop)
    },
    { cpus },
  )
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  expect(readLog(pc, 0)).toEqual([0x60, 0x60, 0x60])
  expect([pc.vapic?.patcher.state, support.sitesOf(pc)]).toEqual([VapicState.STANDBY, []])
})

describe('13. A malicious announcement', () => {
  const ROM = K.linear(0xc_0000)
  /** Announces what is at the start of the kernel's page, as a ROM would. */
  const announce = (asm: Assembler, offset: number): void => void asm.mov(eax, offset).db(0x66, 0xe7, 0x7e)
  const use = (asm: Assembler): void =>
    void asm
      .mov(eax, 0x60)
      .db(...support.WRITE_EAX)
      .db(...support.READ_EAX)

  test.each([0x0000, 0x2000, 0xffff])('by code that is no ROM, offset %i: the ROM of before stays', async (offset) => {
    const pc = await support.machineWith(({ asm, log }) => {
      announce(asm, offset)
      for (let i = 0; i < 2; i++) {
        use(asm)
        log()
      }
    })
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    expect(readLog(pc, 0)).toEqual([0x60, 0x60])
    expect([pc.vapic?.patcher.state, support.sitesOf(pc).length]).toEqual([VapicState.ACTIVE, 4])
  })

  test.each([
    ['size 0', (asm: Assembler) => asm.mov(byte(ROM + 2), 0)],
    ['a fixup table outside', (asm: Assembler) => asm.mov(dword(ROM + 0x2c), 0xffff_0000)],
    ['a fixup table that ends before it begins', (asm: Assembler) => asm.mov(dword(ROM + 0x30), 0)],
    ['records outside', (asm: Assembler) => asm.mov(dword(ROM + 0x34), 0x10_0000)],
    ['more records than fit', (asm: Assembler) => asm.mov(dword(ROM + 0x38), 0xffff_ffff)],
    [
      'a fixup of an address outside',
      (asm: Assembler) => asm.mov(eax, dword(ROM + 0x2c)).mov(dword(eax, { disp: ROM }), 0x10_0000),
    ],
    ['helpers outside', (asm: Assembler) => asm.mov(dword(ROM + 0x48), 0x10_0000).mov(dword(ROM + 0x4c), 0x10_0000)],
    ['no signature', (asm: Assembler) => asm.mov(dword(ROM + 0x20), 0)],
  ] as const)('by a structure that is forged after it was announced: %s', async (_what, forge) => {
    const kernel = (forged: boolean): ReturnType<typeof support.machineWith> =>
      support.machineWith(({ asm, log }) => {
        if (forged) forge(asm)
        use(asm)
        log()
        use(asm)
        log()
      })
    const memory = async (pc: Pc): Promise<Uint8Array> => {
      expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
      expect(readLog(pc, 0)).toEqual([0x60, 0x60])
      const bytes = new Uint8Array(K.RAM_BYTES - 0x10_0000)
      pc.domain.guestMemory.read(0x10_0000, bytes)
      return bytes
    }
    const pc = await kernel(true)
    const before = new Uint8Array(K.RAM_BYTES - 0x10_0000)
    pc.domain.guestMemory.read(0x10_0000, before)
    const after = await memory(pc)
    const image = K.AT.tables - 0x10_0000
    // Of the kernel's image only patched instructions have changed.
    const sites = pc.vapic?.patcher.sites ?? []
    const changed = [...after.keys()].slice(0, image).filter((i) => after[i] !== before[i])
    const allowed = sites.flatMap(({ address: at, patch }) =>
      [...patch.keys()].map((i) => at - K.linear(0x10_0000) + i),
    )
    expect(changed.filter((i) => !allowed.includes(i))).toEqual([])
    if (!_what.startsWith('size') && !_what.startsWith('helpers')) expect(sites).toEqual([])
  })
})

test('14. A HAL 1.5 GiB above the kernel: the ROM is found there too, and calls from both reach it', async () => {
  const pc = await support.machineWith(({ asm, log }) => {
    const site = support.writeRoutine(asm)
    const hal = asm.label()
    asm.mov(esi, 3)
    const loop = asm.here()
    asm.mov(ecx, 0x21).call(site)
    asm.mov(ebx, hal.plus(K.ALIAS - K.KERNEL)).call(ebx)
    asm
      .mov(ecx, 0x47)
      .mov(ebx, site.plus(K.ALIAS - K.KERNEL))
      .call(ebx)
    asm.db(...support.READ_EAX)
    log()
    asm.dec(esi).jnz(loop)
    const end = asm.label()
    asm
      .jmp(end)
      .bind(hal)
      .db(...support.READ_EAX)
    log()
    asm.ret().bind(end)
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  expect(readLog(pc, 0)).toEqual([0x21, 0x47, 0x21, 0x47, 0x21, 0x47])
  expect(support.sitesOf(pc).some((line) => line.startsWith('e'))).toBe(true)
  expect(support.sitesOf(pc).some((line) => line.startsWith('8'))).toBe(true)
})

describe.each(roms)('a priority that is raised while an interrupt waits: %s', (_name, vapic) => {
  test('holds it off without a spurious one, and lets it in when it is lowered', async () => {
    const pc = await support.machineWith(
      ({ asm, log }) => {
        const write = (value: number): void => void asm.mov(ecx, value).call(routine)
        const mark = (value: number): void => {
          asm.mov(eax, value)
          log()
        }
        const routine = support.writeRoutine(asm)
        write(0)
        write(0)
        asm.mov(dword(K.APIC + 0x300), 0x4_4051)
        write(0x60)
        asm.sti().nop().nop()
        mark(1)
        write(0x40)
        mark(2)
        asm.cli()
      },
      { vapic },
    )
    expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
    expect(readLog(pc, 0)).toEqual([1, 0x1000_0051, 2])
  })
})

test('accesses that no patch is there for are reported ever less often, and patches come all the same', async () => {
  const pc = await support.machineWith(({ asm, log }) => {
    asm.mov(ecx, 10_000)
    const compare = asm.here()
    asm
      .cmp(dword(K.APIC + 0x80), 0)
      .dec(ecx)
      .jnz(compare)
    asm.mov(ecx, 5000)
    const write = asm.here()
    asm
      .mov(eax, 0x30)
      .db(...support.WRITE_EAX)
      .dec(ecx)
      .jnz(write)
    asm.db(...support.READ_EAX)
    log()
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  expect(readLog(pc, 0)).toEqual([0x30])
  expect(pc.vapic?.patcher.counts.refused).toBeLessThan(60)
  expect(support.sitesOf(pc).map((line) => line.split(' ')[1])).toContain('a38000feff')
  // All of them trap, whether reported or not.
  expect(pc.statistics().tprTraps).toBeGreaterThan(10_000)
})

test('how often accesses are reported is part of what is saved', async () => {
  const compares = ({ asm }: K.Kernel): void => {
    asm.mov(ecx, 10_000)
    const again = asm.here()
    asm
      .cmp(dword(K.APIC + 0x80), 0)
      .dec(ecx)
      .jnz(again)
  }
  const first = await support.machineWith(compares)
  expect(await first.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  const saved = first.vapic?.save() as DomainVapicState
  const next = await support.machineWith(compares)
  // A fresh patcher asks again from the beginning; one that goes on asks as rarely as before.
  next.vapic?.restore({ ...saved, patcher: (next.vapic as DomainVapic).patcher.save() })
  expect(await next.run({ timeoutMs: 100_000 })).toMatchObject(FINISHED)
  const refused = [first, next].map((pc) => pc.vapic?.patcher.counts.refused ?? 0)
  expect(refused[0]).toBeGreaterThan(32)
  expect(refused[1]).toBeLessThan(8)
  for (const wrong of [{ version: 2 as 1 }, { vcpus: [] }]) {
    expect(() => next.vapic?.restore({ ...saved, ...wrong })).toThrow(expect.objectContaining({ code: 'ERR_STATE' }))
  }
})

test('an instruction that reads the register and then faults has not retired, and is not reported', async () => {
  const pc = await support.machineWith(({ asm }) => {
    asm.mov(eax, 0).db(...support.WRITE_EAX)
    // DIV by what it reads.
    asm.db(0xf7, 0x35, ...support.address)
  })
  expect(await pc.run({ timeoutMs: 100_000 })).toMatchObject({ code: 2 * K.EXIT_EXCEPTION + 1 })
  expect(pc.vapic?.patcher.counts.reports).toBe(1)
  expect(pc.statistics().tprTraps).toBe(2)
})
