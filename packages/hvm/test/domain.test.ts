import { defineDevice, type Region } from '@retrap/device'
import { P2mType } from '@retrap/p2m'
import { ACCESS_WRITE } from '@retrap/paging'
import * as x86 from '@retrap/x86-assembler'
import { restoreVcpu, saveVcpu } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import { DeterministicClock } from '../src/index.ts'
import { CODE, EXIT_PORT, Guest, IDT, STACK, realClock } from './support/guest.ts'

const APIC = 0xfee0_0000
const DEVICE = 0xfed9_0000
const RESULT = 0x4000

const off = (asm: x86.Assembler, code = 0): x86.Assembler =>
  asm.mov(x86.al, code).out(EXIT_PORT, x86.al).bind(asm.label()).hlt()

/** Writes EAX where the test looks. */
const note = (asm: x86.Assembler, index: number): x86.Assembler => asm.mov(x86.dword(RESULT + 4 * index), x86.eax)

describe('memory', () => {
  test('a store to ROM goes nowhere, and no device hears of it', async () => {
    const guest = new Guest((asm) => {
      asm.mov(x86.dword(0x5_0000), 7).mov(x86.eax, x86.dword(0x5_0000))
      note(asm, 0)
      off(asm)
    })
    guest.domain.guestMemory.load(0x5_0000, Uint8Array.of(1, 2, 3, 4))
    guest.domain.p2m.setType(0x50, 1, P2mType.RAM_RO)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(RESULT)).toBe(0x0403_0201)
    expect(guest.domain.vcpus[0]?.counts.mmioAccesses).toBe(0)
  })

  test('what nobody claims reads as ones and swallows writes', async () => {
    const guest = new Guest((asm) => {
      asm.mov(x86.dword(0xe000_0000), 7).mov(x86.eax, x86.dword(0xe000_0000))
      note(asm, 0).mov(x86.edx, 0x777).in(x86.eax, x86.dx)
      note(asm, 1).out(x86.dx, x86.eax)
      off(asm)
    })
    await guest.run()
    expect(guest.read32(RESULT)).toBe(0xffff_ffff)
    expect(guest.read32(RESULT + 4)).toBe(0xffff_ffff)
  })

  test('RAM that leaves the p2m is gone at once, and what takes its place is there', async () => {
    const guest = new Guest(
      (asm) => {
        asm.mov(x86.dword(0x6_0000), 1).mov(x86.al, 1).out(0x80, x86.al)
        asm.mov(x86.eax, x86.dword(0x6_0000))
        note(asm, 0)
        off(asm)
      },
      {
        devices: [
          defineDevice({
            name: 'unplug',
            synchronous: true,
            ports: { base: 0x80, size: 1 },
            write: () => {
              const { p2m } = guest.domain
              p2m.remove(0x60, p2m.translate(0x6_0000) / 0x1000, 1)
            },
          }),
        ],
      },
    )
    await guest.run()
    expect(guest.read32(RESULT)).toBe(0xffff_ffff)
  })

  test('bytes at RIP can be read for people, as far as they are mapped', () => {
    const guest = new Guest((asm) => asm.nop().hlt())
    const vcpu = guest.domain.vcpus[0]
    expect([...(vcpu?.translation.peekCode(BigInt(CODE), 2) ?? [])]).toEqual([0x90, 0xf4])
    expect(vcpu?.translation.peekCode(0xf_fffen, 8)).toHaveLength(2)
    expect(vcpu?.translation.peekCode(0x4000_0000n, 8)).toHaveLength(0)
  })
})

describe('the local APIC', () => {
  test('is no memory for a hypercall’s arguments', () => {
    const [vcpu] = new Guest(off).domain.vcpus
    expect(vcpu?.translation.guestPhysical(0x1234, 0, ACCESS_WRITE)).toBe(0x1234)
    expect(vcpu?.translation.guestPhysical(APIC + 0x80, 0, ACCESS_WRITE)).toBe(-1)
  })

  test('its page answers the vCPU that looks, and follows IA32_APIC_BASE', async () => {
    const guest = new Guest((asm) => {
      asm.mov(x86.eax, x86.dword(APIC + 0x30)).movzx(x86.eax, x86.al)
      note(asm, 0)
      asm
        .mov(x86.dword(APIC + 0x80), 0x20)
        .movzx(x86.ecx, x86.byte(APIC + 0x80))
        .mov(x86.eax, x86.ecx)
      note(asm, 1)
      // Move it to D0000000H.
      asm.mov(x86.ecx, 0x1b).rdmsr()
      note(asm, 2).and(x86.eax, 0xfff).or(x86.eax, 0xd000_0000).wrmsr()
      asm.mov(x86.eax, x86.dword(0xd000_0080))
      note(asm, 3).mov(x86.eax, x86.dword(APIC + 0x80))
      note(asm, 4)
      off(asm)
    })
    await guest.run()
    const seen = [0, 1, 2, 3, 4].map((i) => guest.read32(RESULT + 4 * i))
    expect(seen).toEqual([0x14, 0x20, 0xfee0_0900, 0x20, 0xffff_ffff])
    expect(guest.domain.vcpus[0]?.counts.apicAccesses).toBe(4)
  })

  test('MSRs of the CPU, of the APIC and of nobody: the last is #GP', async () => {
    const guest = new Guest((asm) => {
      asm.mov(x86.ecx, 0x277).rdmsr()
      note(asm, 0)
      // x2APIC: enable, then read the ID register.
      asm.mov(x86.ecx, 0x1b).rdmsr().or(x86.eax, 0x400).wrmsr().mov(x86.ecx, 0x802).rdmsr()
      note(asm, 1)
      asm.mov(x86.ecx, 0x1234_5678).rdmsr()
      off(asm, 1)
    })
    guest.vector(13, 0x7000)
    guest.program(0x7000, 32, (asm) => off(asm, 13))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 13 })
    expect(guest.read32(RESULT)).toBe(0x0007_0406)
    expect(guest.read32(RESULT + 4)).toBe(0)
  })

  test('its timer interrupts a halted vCPU, in deterministic time at the exact nanosecond', async () => {
    const guest = new Guest((asm) => {
      asm
        .mov(x86.dword(APIC + 0xf0), 0x1ff)
        .mov(x86.dword(APIC + 0x3e0), 0xb)
        .mov(x86.dword(APIC + 0x320), 0x40)
      asm
        .mov(x86.dword(APIC + 0x380), 1_000_000)
        .sti()
        .hlt()
      off(asm, 1)
    })
    guest.vector(0x40, 0x7000)
    guest.program(0x7000, 32, (asm) => off(asm, 0x40))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0x40 })
    const { clock, instructions } = guest.domain
    // Deadline, and since then 64 nanoseconds for the delivery and one for each instruction.
    expect(clock.now()).toBeGreaterThanOrEqual(1_000_000)
    expect(clock.now()).toBeLessThan(1_000_000 + 64 + 2 * instructions)
  })

  test('in real time too, and the host sleeps meanwhile', async () => {
    const guest = new Guest(
      (asm) => {
        asm
          .mov(x86.dword(APIC + 0xf0), 0x1ff)
          .mov(x86.dword(APIC + 0x3e0), 0xb)
          .mov(x86.dword(APIC + 0x320), 0x40)
        asm
          .mov(x86.dword(APIC + 0x380), 30_000_000)
          .sti()
          .hlt()
        off(asm, 1)
      },
      { clock: realClock() },
    )
    guest.vector(0x40, 0x7000)
    guest.program(0x7000, 32, (asm) => off(asm, 0x40))
    const before = process.cpuUsage()
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0x40 })
    expect(guest.domain.clock.now()).toBeGreaterThanOrEqual(30_000_000)
    expect(guest.sleeper.sleeps).toBeLessThan(20)
    expect(process.cpuUsage(before).user).toBeLessThan(1_000_000)
  })

  test('an interrupt that a write to it raises comes before the next instruction', async () => {
    const guest = new Guest((asm) => {
      asm
        .mov(x86.dword(APIC + 0xf0), 0x1ff)
        .xor(x86.eax, x86.eax)
        .sti()
        .nop()
      // To itself, by shorthand; there is no branch behind it.
      asm
        .mov(x86.dword(APIC + 0x300), 0x4_0040)
        .inc(x86.eax)
        .inc(x86.eax)
        .inc(x86.eax)
        .inc(x86.eax)
      off(asm, 1)
    })
    guest.vector(0x40, 0x7000)
    guest.program(0x7000, 32, (asm) => {
      note(asm, 0)
      off(asm, 0x40)
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0x40 })
    expect(guest.read32(RESULT)).toBe(0)
  })

  test('an interrupt that OUT raises comes before the next instruction', async () => {
    const guest = new Guest(
      (asm) => {
        asm
          .mov(x86.dword(APIC + 0xf0), 0x1ff)
          .xor(x86.ebx, x86.ebx)
          .sti()
          .nop()
        asm.out(0x90, x86.al).inc(x86.ebx).inc(x86.ebx).inc(x86.ebx)
        off(asm, 1)
      },
      {
        devices: [
          defineDevice({
            name: 'bell',
            synchronous: true,
            ports: { base: 0x90, size: 1 },
            write: () => void guest.domain.interrupts.signalMsi(0xfee0_0000, 0x41),
          }),
        ],
      },
    )
    guest.vector(0x41, 0x7000)
    guest.program(0x7000, 32, (asm) => {
      asm.mov(x86.eax, x86.ebx)
      note(asm, 0)
      off(asm, 0x41)
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0x41 })
    expect(guest.read32(RESULT)).toBe(0)
  })

  test('TSC-deadline mode: the interrupt comes when the TSC gets there', async () => {
    const guest = new Guest((asm) => {
      asm.mov(x86.dword(APIC + 0xf0), 0x1ff).mov(x86.dword(APIC + 0x320), 0x4_0040)
      asm.mov(x86.ecx, 0x6e0).mov(x86.eax, 500_000).xor(x86.edx, x86.edx).wrmsr().sti().hlt()
      off(asm, 1)
    })
    guest.vector(0x40, 0x7000)
    guest.program(0x7000, 32, (asm) => {
      asm.rdtsc()
      note(asm, 0)
      off(asm, 0x40)
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0x40 })
    expect(guest.read32(RESULT)).toBeGreaterThanOrEqual(500_000)
    expect(guest.read32(RESULT)).toBeLessThan(600_000)
  })
})

describe('several vCPUs', () => {
  /** The bootstrap processor sends INIT and SIPI to APIC 1, whose code is 16-bit at 2000H. */
  const startSecond = (asm: x86.Assembler): x86.Assembler =>
    asm
      .mov(x86.dword(APIC + 0xf0), 0x1ff)
      .mov(x86.dword(APIC + 0x310), 1 << 24)
      .mov(x86.dword(APIC + 0x300), 0x4500)
      .mov(x86.dword(APIC + 0x310), 1 << 24)
      .mov(x86.dword(APIC + 0x300), 0x4602)

  test('INIT and SIPI start the second in real mode, and both see one memory', async () => {
    const guest = new Guest(
      (asm) => {
        startSecond(asm)
        const wait = asm.here()
        asm.pause().cmp(x86.dword(RESULT), 0x1234).jne(wait)
        off(asm, 3)
      },
      { vcpus: 2 },
    )
    guest.program(0x2000, 16, (asm) => {
      const self = asm.label()
      asm.xor(x86.ax, x86.ax).mov(x86.ds, x86.ax).mov(x86.word(RESULT), 0x1234).bind(self).hlt().jmp(self)
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 3 })
    expect(guest.state(1).segments['cs']).toMatchObject({ selector: 0x200, base: '0x2000' })
    expect(guest.domain.exits['pause']).toBeGreaterThan(0)
  })

  test('a fixed IPI reaches the other, which answers with one', async () => {
    const guest = new Guest(
      (asm) => {
        startSecond(asm)
        const wait = asm.here()
        asm.pause().cmp(x86.dword(RESULT), 1).jne(wait)
        asm.mov(x86.dword(APIC + 0x310), 1 << 24).mov(x86.dword(APIC + 0x300), 0x4050)
        asm.sti()
        const idle = asm.here()
        asm.hlt().jmp(idle)
      },
      { vcpus: 2 },
    )
    // The second enters protected mode to reach its APIC.
    guest.program(0x2000, 16, (asm) => {
      const gdtr = asm.label()
      const code = asm.label()
      asm
        .xor(x86.ax, x86.ax)
        .mov(x86.ds, x86.ax)
        .operandSize(32)
        .lgdt(x86.ptr(gdtr))
        .mov(x86.eax, x86.cr0)
        .or(x86.al, 1)
        .mov(x86.cr0, x86.eax)
      asm.jmp(x86.far32(8, code)).bind(gdtr).dw(23).dd(0x8800)
      asm.bits(32).bind(code)
      asm
        .mov(x86.ax, 0x10)
        .mov(x86.ds, x86.ax)
        .mov(x86.ss, x86.ax)
        .mov(x86.esp, STACK - 0x1000)
      const idtr = asm.label()
      asm
        .lidt(x86.ptr(idtr))
        .mov(x86.dword(APIC + 0xf0), 0x1ff)
        .mov(x86.dword(RESULT), 1)
        .sti()
      const idle = asm.here()
      asm.hlt().jmp(idle).bind(idtr).dw(0x7ff).dd(IDT)
    })
    guest.vector(0x50, 0x7000)
    guest.program(0x7000, 32, (asm) => {
      asm
        .mov(x86.dword(APIC + 0xb0), 0)
        .mov(x86.dword(APIC + 0x310), 0)
        .mov(x86.dword(APIC + 0x300), 0x4051)
        .iretd()
    })
    guest.vector(0x51, 0x7100)
    guest.program(0x7100, 32, (asm) => off(asm, 0x51))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0x51 })
  })

  test.each([1, 2, 3, 128])('CPUID tells the topology of %i', (vcpus) => {
    const guest = new Guest((asm) => asm.hlt(), { vcpus })
    const regs = new Uint32Array(4)
    const last = guest.domain.vcpus[vcpus - 1]
    regs.set([0x206c2, 0x0001_0800, 0, 1 << 9])
    last?.cpuid(1, 0, regs)
    expect((regs[1] as number) >>> 24).toBe(vcpus - 1)
    expect(((regs[1] as number) >>> 16) & 0xff).toBe(vcpus)
    expect(((regs[3] as number) >>> 28) & 1).toBe(vcpus > 1 ? 1 : 0)
    regs.set([0, 1, 0x201, 0])
    last?.cpuid(0xb, 1, regs)
    expect(regs[1]).toBe(vcpus)
    expect(regs[3]).toBe(vcpus - 1)
    expect(1 << (regs[0] as number)).toBeGreaterThanOrEqual(vcpus)
  })
})

describe('devices', () => {
  const asking = (asm: x86.Assembler): void => {
    asm.mov(x86.eax, x86.dword(DEVICE))
    note(asm, 0)
    asm
      .add(x86.dword(DEVICE + 4), 1)
      .mov(x86.esi, DEVICE)
      .mov(x86.edi, RESULT + 4)
      .mov(x86.ecx, 3)
      .rep()
      .movsd()
    off(asm)
  }

  test('one that answers later: the instruction waits, everything is read and written once', async () => {
    const seen: string[] = []
    const guest = new Guest(asking, {
      devices: [
        defineDevice({
          name: 'slow',
          mmio: { base: DEVICE, size: 0x1000 },
          async read(offset) {
            await new Promise((resolve) => setTimeout(resolve, 2))
            seen.push(`read ${offset}`)
            return 0x100 + offset
          },
          async write(offset, _size, value) {
            await new Promise((resolve) => setTimeout(resolve, 2))
            seen.push(`write ${offset}=${value}`)
          },
        }),
      ],
    })
    expect((await guest.run()).reason).toBe('debug-exit')
    expect(seen).toEqual(['read 0', 'read 4', 'write 4=261', 'read 0', 'read 4', 'read 8'])
    expect([0, 1, 2, 3].map((i) => guest.read32(RESULT + 4 * i))).toEqual([0x100, 0x100, 0x104, 0x108])
    // One for each request: the repeated instruction's elements are one.
    expect(guest.domain.exits['blocked']).toBeGreaterThanOrEqual(4)
  })

  test.each([
    { way: 'up', seen: [0, 4, 8].flatMap((at) => [`read ${at}`, `write ${0x100 + at}=${at + 7}`]) },
    { way: 'down', seen: [8, 4, 0].flatMap((at) => [`read ${at}`, `write ${0x100 + at}=${at + 7}`]) },
  ])(
    'a repeated move within a device that answers at once reads and writes each element, $way',
    async ({ way, seen }) => {
      const found: string[] = []
      const guest = new Guest(
        (asm) => {
          const first = way === 'down' ? 8 : 0
          if (way === 'down') asm.std()
          asm
            .mov(x86.esi, DEVICE + first)
            .mov(x86.edi, DEVICE + 0x100 + first)
            .mov(x86.ecx, 3)
            .rep()
            .movsd()
          note(asm, 0)
          off(asm, 5)
        },
        {
          devices: [
            defineDevice({
              name: 'quick',
              synchronous: true,
              mmio: { base: DEVICE, size: 0x1000 },
              read(offset) {
                found.push(`read ${offset}`)
                return offset + 7
              },
              write: (offset, _size, value) => void found.push(`write ${offset}=${value}`),
            }),
          ],
        },
      )
      expect((await guest.run()).reason).toBe('debug-exit')
      expect(found).toEqual(seen)
      expect(guest.domain.vcpus[0]!.counts.mmioAccesses).toBe(6)
    },
  )

  test('a repeated move within a device ends with the element that stops the machine', async () => {
    let writes = 0
    const guest = new Guest(
      (asm) =>
        asm
          .mov(x86.esi, DEVICE)
          .mov(x86.edi, DEVICE + 0x100)
          .mov(x86.ecx, 50)
          .rep()
          .movsd(),
      {
        devices: [
          {
            name: 'switch',
            synchronous: true,
            attach(context) {
              const read = (): number => 0
              const write = (): void => {
                if (++writes === 3) context.requestPowerOff()
              }
              context.mapMmio(DEVICE, 0x1000, { read, write })
            },
          },
        ],
      },
    )
    expect((await guest.run()).reason).toBe('power-off')
    expect(writes).toBe(3)
  })

  test('a repeated move within a device loses no write where an element has put a slow device in its way', async () => {
    const reads: number[] = []
    const found: string[] = []
    let quick: Region | undefined
    const guest = new Guest(
      (asm) => {
        asm
          .mov(x86.esi, DEVICE)
          .mov(x86.edi, DEVICE + 0x800)
          .mov(x86.ecx, 4)
          .rep()
          .movsd()
        off(asm, 5)
      },
      {
        devices: [
          {
            name: 'quick',
            synchronous: true,
            attach(context) {
              const read = (offset: number): number => {
                reads.push(offset)
                return offset
              }
              context.mapMmio(DEVICE, 0x800, { read, write: () => undefined })
              const write = (offset: number): void => {
                found.push(`quick ${offset}`)
                if (offset === 4) quick!.disable()
              }
              quick = context.mapMmio(DEVICE + 0x800, 0x100, { read: () => 0, write }, { priority: 1 })
            },
          },
          defineDevice({
            name: 'slow',
            mmio: { base: DEVICE + 0x800, size: 0x100 },
            read: () => 0,
            async write(offset, _size, value) {
              await Promise.resolve()
              found.push(`slow ${offset}=${value}`)
            },
          }),
        ],
      },
    )
    expect((await guest.run()).reason).toBe('debug-exit')
    expect(found).toEqual(['quick 0', 'quick 4', 'slow 8=8', 'slow 12=12'])
    expect(reads).toEqual([0, 4, 8, 12])
  })

  test('while one vCPU waits for a device, the other goes on', async () => {
    let release: (value: number) => void = () => undefined
    const guest = new Guest(
      (asm) => {
        asm
          .mov(x86.dword(APIC + 0xf0), 0x1ff)
          .mov(x86.dword(APIC + 0x310), 1 << 24)
          .mov(x86.dword(APIC + 0x300), 0x4500)
        asm.mov(x86.dword(APIC + 0x310), 1 << 24).mov(x86.dword(APIC + 0x300), 0x4602)
        asm.mov(x86.eax, x86.dword(DEVICE))
        note(asm, 0)
        off(asm, 5)
      },
      {
        vcpus: 2,
        clock: realClock(),
        devices: [
          defineDevice({
            name: 'gate',
            mmio: { base: DEVICE, size: 0x1000 },
            read: () => new Promise<number>((resolve) => (release = resolve)),
          }),
          defineDevice({ name: 'opener', synchronous: true, ports: { base: 0x80, size: 1 }, write: () => release(42) }),
        ],
      },
    )
    guest.program(0x2000, 16, (asm) => {
      const loop = asm.mov(x86.ecx, x86.imm32(100_000)).here()
      asm.dec(x86.ecx).jnz(loop).out(0x80, x86.al).hlt()
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 5 })
    expect(guest.read32(RESULT)).toBe(42)
  })

  test.each([
    {
      what: 'throws',
      read: () => {
        throw new Error('no idea')
      },
      synchronous: true,
    },
    { what: 'rejects', read: () => Promise.reject(new Error('no idea')), synchronous: false },
    { what: 'is synchronous and gives a promise', read: () => Promise.resolve(1), synchronous: true },
  ])('one that $what crashes its domain, named with its request', async ({ read, synchronous }) => {
    const guest = new Guest(asking, {
      devices: [defineDevice({ name: 'broken', synchronous, mmio: { base: DEVICE, size: 0x1000 }, read })],
    })
    const exit = await guest.run()
    expect(exit.reason).toBe('device-failure')
    if (exit.reason !== 'device-failure') return
    expect(exit.failure.device).toBe('broken')
    expect(exit.failure.request).toMatch(/read.*fed90000/)
  })

  test('under the policy "detach" the domain goes on without it: ones', async () => {
    const guest = new Guest(asking, {
      policy: 'detach',
      devices: [
        defineDevice({
          name: 'broken',
          synchronous: true,
          mmio: { base: DEVICE, size: 0x1000 },
          read: () => {
            throw new Error('no idea')
          },
        }),
      ],
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(RESULT)).toBe(0xffff_ffff)
  })

  test('a reset forgets a request in flight; its late answer is dropped', async () => {
    let answer: (value: number) => void = () => undefined
    const guest = new Guest(asking, {
      devices: [
        defineDevice({
          name: 'late',
          mmio: { base: DEVICE, size: 0x1000 },
          read: () => new Promise<number>((resolve) => (answer = resolve)),
        }),
      ],
    })
    const running = guest.run()
    await new Promise((resolve) => setTimeout(resolve, 20))
    guest.domain.stop({ reason: 'stopped' })
    expect(await running).toEqual({ reason: 'stopped' })
    const late = answer
    guest.domain.reset()
    late(1)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(guest.state().registers['rip']).toBe('0xfff0')
    expect(guest.read32(RESULT)).toBe(0)
  })

  test('a reset clears the latch of port 0xCF8, and models hear of their lost requests before it', async () => {
    const told: string[] = []
    const guest = new Guest(
      (asm) => {
        asm.mov(x86.dx, 0xcf8).mov(x86.eax, x86.imm32(0x8000_1000)).out(x86.dx, x86.eax)
        asking(asm)
      },
      {
        devices: [
          {
            name: 'late',
            synchronous: false,
            attach: (context) =>
              void context.mapMmio(DEVICE, 0x1000, {
                read: (_offset, _size, access) =>
                  new Promise<number>((resolve) => {
                    access?.signal.addEventListener('abort', () => {
                      told.push('cancelled')
                      resolve(0)
                    })
                  }),
                write: () => undefined,
              }),
            reset: () => void told.push('reset'),
          },
        ],
      },
    )
    const { dispatch } = guest.domain
    const running = guest.run()
    while (!dispatch.requests.has(0)) await new Promise((resolve) => setImmediate(resolve))
    guest.domain.stop({ reason: 'stopped' })
    expect(await running).toEqual({ reason: 'stopped' })
    expect(dispatch.config.value).toBe(0x8000_1000)
    guest.domain.reset()
    expect(dispatch.config.value).toBe(0)
    expect(told).toEqual(['cancelled', 'reset'])
  })
})

describe('how a domain ends', () => {
  test('a triple fault names the vCPU', async () => {
    const guest = new Guest((asm) => asm.lidt(x86.ptr(0x9000)).ud2())
    expect(await guest.run()).toEqual({ reason: 'vcpu-shutdown', vcpu: 0 })
  })

  test('a guest that loops for ever can be stopped', async () => {
    const guest = new Guest((asm) => {
      const loop = asm.here()
      asm.jmp(loop)
    })
    setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 10)
    expect(await guest.run()).toEqual({ reason: 'stopped' })
  })

  test('so can one that halts for ever with interrupts off', async () => {
    const guest = new Guest((asm) => asm.cli().hlt())
    setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 10)
    expect(await guest.run()).toEqual({ reason: 'stopped' })
  })
})

describe('determinism', () => {
  const busy = (asm: x86.Assembler): void => {
    asm
      .mov(x86.dword(APIC + 0xf0), 0x1ff)
      .mov(x86.dword(APIC + 0x3e0), 0xb)
      .mov(x86.dword(APIC + 0x320), 0x2_0040)
    asm
      .mov(x86.dword(APIC + 0x380), 7919)
      .sti()
      .mov(x86.ecx, 300_000)
    const loop = asm.here()
    asm.rdtsc().add(x86.ebx, x86.eax).rol(x86.ebx, x86.cl).rdrand(x86.eax).xor(x86.ebx, x86.eax).dec(x86.ecx).jnz(loop)
    off(asm)
  }
  async function once(nsPerInstruction: number): Promise<unknown> {
    const guest = new Guest(busy, { clock: new DeterministicClock(nsPerInstruction) })
    guest.vector(0x40, 0x7000)
    guest.program(0x7000, 32, (asm) =>
      asm
        .inc(x86.dword(RESULT))
        .mov(x86.dword(APIC + 0xb0), 0)
        .iretd(),
    )
    await guest.run()
    const all = new Uint8Array(1 << 20)
    guest.domain.guestMemory.read(0, all)
    return { state: guest.state(), time: guest.domain.clock.now(), ticks: guest.read32(RESULT), memory: all }
  }

  test('two runs of one guest agree in every register and byte of memory, timer interrupts included', async () => {
    const first = await once(1)
    const second = await once(1)
    expect(second).toEqual(first)
    expect((first as { ticks: number }).ticks).toBeGreaterThan(10)
    expect(await once(2)).not.toEqual(first)
  })
})

describe('x87 exceptions with CR0.NE clear', () => {
  const COUNT = RESULT + 0x40
  /** Divides one by zero, unmasked, and then waits for the exception. IRQ 13 of the i8259 pair is vector 75H. */
  const divide = (asm: x86.Assembler): void => {
    for (const [port, value] of [
      ...[
        [0x20, 0x11],
        [0x21, 0x08],
        [0x21, 0x04],
        [0x21, 0x01],
        [0x21, 0xfb],
      ],
      ...[
        [0xa0, 0x11],
        [0xa1, 0x70],
        [0xa1, 0x02],
        [0xa1, 0x01],
        [0xa1, 0xdf],
      ],
    ] as const)
      asm.mov(x86.al, value).out(x86.imm8(port), x86.al)
    asm.mov(x86.eax, x86.cr0).and(x86.eax, x86.imm32(0xffff_ffdf)).mov(x86.cr0, x86.eax)
    asm.fninit().fnstcw(x86.word(RESULT)).and(x86.word(RESULT), x86.imm16(0xfffb)).fldcw(x86.word(RESULT))
    asm.sti().fld1().fldz().fdivp(x86.st1, x86.st0)
  }
  const guestWith = (wait: (asm: x86.Assembler) => void, handler: (asm: x86.Assembler) => void): Guest => {
    const guest = new Guest((asm) => {
      divide(asm)
      wait(asm)
      off(asm)
    })
    const saved = saveVcpu(guest.boot)
    const cr0 = `0x${(BigInt(saved.registers['cr0'] ?? 0) & ~0x20n).toString(16)}` as const
    restoreVcpu(guest.boot, { ...saved, registers: { ...saved.registers, cr0 } })
    guest.domain.vcpus[0]?.apic.enterVirtualWireMode()
    guest.vector(0x75, 0x7000)
    guest.program(0x7000, 32, (asm) => {
      asm.inc(x86.dword(COUNT)).push(x86.eax).xor(x86.al, x86.al)
      handler(asm)
      asm.mov(x86.al, 0x20).out(x86.imm8(0xa0), x86.al).out(x86.imm8(0x20), x86.al).pop(x86.eax).iretd()
    })
    guest.vector(16, 0x7200)
    guest.program(0x7200, 32, (asm) => off(asm, 16))
    return guest
  }

  test('the next instruction that waits takes IRQ 13, whose handler clears the exception', async () => {
    const guest = guestWith(
      (asm) => asm.fld1(),
      (asm) => asm.out(x86.imm8(0xf0), x86.al).fnclex(),
    )
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(COUNT)).toBe(1)
  })

  test('a handler that asserts IGNNE# may use instructions that wait', async () => {
    const guest = guestWith(
      (asm) => asm.fld1().fwait(),
      // Both FSTCW and FLD1 wait; without port F0H they would have the processor stand still.
      (asm) =>
        asm
          .out(x86.imm8(0xf0), x86.al)
          .fld1()
          .fwait()
          .fnstsw(x86.word(RESULT + 4))
          .fnclex(),
    )
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 0 })
    expect(guest.read32(COUNT)).toBe(1)
    // ES was still set: the exception had only been ignored.
    expect(guest.read32(RESULT + 4) & 0x84).toBe(0x84)
    expect(guest.state().pending['ignne']).toBe('0x0')
  })

  test('with CR0.NE set it is #MF', async () => {
    const guest = guestWith(
      (asm) => asm.mov(x86.eax, x86.cr0).or(x86.eax, x86.imm32(0x20)).mov(x86.cr0, x86.eax).fld1(),
      () => undefined,
    )
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 16 })
    expect(guest.read32(COUNT)).toBe(0)
  })

  test('masked at the controller, the processor stands still', async () => {
    const guest = guestWith(
      (asm) => {
        asm.mov(x86.al, 0xff).out(x86.imm8(0xa1), x86.al).fld1()
        off(asm, 1)
      },
      () => undefined,
    )
    const run = guest.run()
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    expect(guest.boot.halted).toBe(true)
    guest.domain.stop({ reason: 'stopped' })
    expect(await run).toEqual({ reason: 'stopped' })
  })
})

test('without a hypervisor of its own to see, a guest finds no leaves of one, and VMCALL is #UD', async () => {
  const bare = new Guest((asm) => {
    asm.mov(x86.eax, 0x4000_0000).mov(x86.ebx, 7).cpuid()
    note(asm, 0)
    asm.mov(x86.eax, x86.ebx)
    note(asm, 1)
    asm.vmcall()
    off(asm)
  })
  // #UD finds no gate, and neither does what follows from that.
  expect(await bare.run()).toEqual({ reason: 'vcpu-shutdown', vcpu: 0 })
  expect([bare.read32(RESULT), bare.read32(RESULT + 4)]).toEqual([0, 0])
})
