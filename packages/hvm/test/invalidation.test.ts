/** RAM that leaves a guest: what the vCPUs and the device models do about it (reference p2m-mapcache.md). */
import { defineDevice, type DeviceContext, type DeviceModel, type GuestMapping } from '@retrap/device'
import { createIoRequest, type IoreqServer } from '@retrap/ioreq'
import { INVALID_MFN, P2mEntry, P2mType, type P2m } from '@retrap/p2m'
import { type Assembler, al, byte, dword, eax, ebx, ecx, edx, esi } from '@retrap/x86-assembler'
import { STATUS_CONTINUE, STATUS_DONE } from '@retrap/x86-cpu'
import { describe, expect, test } from 'vitest'
import type { X86Domain, X86Vcpu } from '../src/index.ts'
import { Emulator, ticks } from './support/emulator.ts'
import { EXIT_PORT, Guest, PROTECTED, STACK, realClock, type GuestOptions } from './support/guest.ts'

/** Where the programs of the second vCPU, and of later ones, are. */
const PROGRAM = 0x1_1000
const PAGE_A = 0x60
const PAGE_B = 0x61
const MARKS = 0x5000

/** Says that a vCPU has got here. */
const mark = (asm: Assembler, vcpu: number, step = 1): Assembler => asm.mov(byte(MARKS + vcpu), step)
const stay = (asm: Assembler): Assembler => asm.bind(asm.label()).hlt()
const leave = (asm: Assembler, code = 0): Assembler => asm.mov(al, code).out(EXIT_PORT, al).hlt()

function marks(guest: Guest, count = 2): number[] {
  const bytes = new Uint8Array(count)
  guest.domain.guestMemory.read(MARKS, bytes)
  return [...bytes]
}

/** A guest with a program a vCPU. */
function guestOf(programs: readonly ((asm: Assembler) => void)[], options: Omit<GuestOptions, 'vcpus'> = {}): Guest {
  const [first, ...others] = programs
  const guest = new Guest(first as (asm: Assembler) => void, { clock: realClock(), ...options, vcpus: programs.length })
  for (const [i, program] of others.entries()) {
    guest.program(PROGRAM + 0x1000 * i, 32, program)
    const { cpu } = guest.domain.vcpus[i + 1] as X86Vcpu
    cpu.reset(true)
    cpu.load({ ...PROTECTED, registers: { rip: PROGRAM + 0x1000 * i, rsp: STACK - 0x1000 * (i + 1), rflags: 2 } })
  }
  return guest
}

/** What VMCALL does, as a vCPU's own doing: the next part of a list of changes. */
function hypercalls(domain: X86Domain, vcpu: number, ...parts: ((p2m: P2m) => void)[]): void {
  const host = domain.vcpus[vcpu] as X86Vcpu
  host.hypercall = () => {
    const before = domain.invalidations.enter(vcpu)
    parts.shift()?.(domain.p2m)
    domain.invalidations.leave(before)
    if (parts.length === 0) return STATUS_DONE
    host.cpu.stop()
    return STATUS_CONTINUE
  }
}

function mfnOf(p2m: P2m, gfn: number): number {
  const entry = new P2mEntry()
  p2m.lookup(gfn, entry)
  return entry.mfn
}

const remove =
  (gfn: number) =>
  (p2m: P2m): void =>
    p2m.remove(gfn, mfnOf(p2m, gfn))

async function end(guest: Guest, run: Promise<unknown>): Promise<void> {
  guest.domain.stop({ reason: 'stopped' })
  expect(await run).toEqual({ reason: 'stopped' })
}

describe('1: two vCPUs decrease their reservation at the same time', () => {
  test('each returns only when its own notice has been acknowledged', async () => {
    const program = (vcpu: number) => (asm: Assembler) => stay(mark(asm.vmcall(), vcpu))
    const guest = guestOf([program(0), program(1)])
    hypercalls(guest.domain, 0, remove(PAGE_A))
    hypercalls(guest.domain, 1, remove(PAGE_B))
    const { invalidations } = guest.domain
    const old = [PAGE_A, PAGE_B].map((gfn) => mfnOf(guest.domain.p2m, gfn))
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect(emulator.seen).toEqual(['invalidate 0', 'invalidate 1'])
    expect(marks(guest)).toEqual([0, 0])
    expect(invalidations.account()).toEqual({
      ...{ epoch: 2, settledEpoch: 0, waitingVcpus: [0, 1] },
      servers: [
        { name: 'devices', acknowledged: 2, isAwaited: false },
        { name: 'emulator', acknowledged: 0, isAwaited: true },
      ],
      outstanding: [{ epoch: 2, gfn: PAGE_A, mfn: old[0], count: 2, writesOnly: false }],
    })
    emulator.answer(1)
    await ticks()
    expect(marks(guest)).toEqual([0, 1])
    emulator.answer(0)
    await ticks()
    expect(marks(guest)).toEqual([1, 1])
    expect(invalidations.account()).toMatchObject({ settledEpoch: 2, outstanding: [], waitingVcpus: [] })
    await end(guest, run)
  })

  test('a vCPU that has removed nothing runs on', async () => {
    const guest = guestOf([(asm) => stay(mark(asm.vmcall(), 0)), (asm) => stay(mark(asm, 1))])
    hypercalls(guest.domain, 0, remove(PAGE_A))
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect(emulator.seen).toEqual(['invalidate 0'])
    expect(marks(guest)).toEqual([0, 1])
    await end(guest, run)
  })
})

describe('12: a continuation', () => {
  test('sends a notice between its parts, and goes on when that is acknowledged', async () => {
    const guest = guestOf([(asm) => stay(mark(asm.vmcall(), 0))])
    const { p2m } = guest.domain
    hypercalls(guest.domain, 0, remove(PAGE_A), () => undefined, remove(PAGE_B))
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect([emulator.seen, mfnOf(p2m, PAGE_B) >= 0]).toEqual([['invalidate 0'], true])
    emulator.answer(0)
    await ticks()
    // The part that removed nothing sends nothing.
    expect([emulator.seen, mfnOf(p2m, PAGE_B) >= 0]).toEqual([['invalidate 0', 'invalidate 0'], false])
    expect(marks(guest, 1)).toEqual([0])
    emulator.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    await end(guest, run)
  })
})

const DEVICE = 0xe000_0000

/** A device whose reads are answered when the test lets them. */
function heldDevice(): { model: DeviceModel; readonly reads: number; answer(value: number): void } {
  const waiting: ((value: number) => void)[] = []
  let reads = 0
  return {
    model: defineDevice({
      name: 'held',
      mmio: { base: DEVICE, size: 0x1000 },
      read: () => {
        reads++
        return new Promise<number>((resolve) => void waiting.push(resolve))
      },
    }),
    get reads() {
      return reads
    },
    answer: (value) => waiting.shift()?.(value),
  }
}

describe('2: a toolstack removes RAM while a vCPU waits for a device', () => {
  test('no notice goes out while the request is latched; then it does, before the next instruction', async () => {
    const held = heldDevice()
    const guest = guestOf([(asm) => stay(mark(asm.mov(eax, dword(DEVICE)).mov(dword(0x4000), eax), 0))], {
      devices: [held.model],
    })
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect(held.reads).toBe(1)
    let changed = false
    const change = guest.domain.changeMemory(remove(PAGE_A)).then(() => (changed = true))
    await ticks()
    expect(mfnOf(guest.domain.p2m, PAGE_A)).toBe(INVALID_MFN)
    expect([emulator.seen, changed]).toEqual([[], false])
    held.answer(0x1234)
    await ticks()
    // The MOV has its value, and nothing after it has been executed.
    expect([emulator.seen, changed, guest.read32(0x4000)]).toEqual([['invalidate 0'], false, 0])
    expect(guest.state().registers['rax']).toBe('0x1234')
    emulator.answer(0)
    await change
    await ticks()
    expect(guest.read32(0x4000)).toBe(0x1234)
    await end(guest, run)
  })

  test('a device that reads it by pointer has the old frame until its request ends', async () => {
    const elements: number[] = []
    let next: (() => void) | undefined
    const model = defineDevice({
      name: 'pointer',
      ports: { base: 0x300, size: 1 },
      write: (_offset, _size, value) => {
        elements.push(value)
        return new Promise<void>((resolve) => void (next = resolve))
      },
    })
    const guest = guestOf(
      [
        (asm) =>
          leave(
            asm
              .mov(edx, 0x300)
              .mov(esi, PAGE_A << 12)
              .mov(ecx, 3)
              .rep()
              .outsb(),
            3,
          ),
      ],
      { devices: [model] },
    )
    guest.domain.guestMemory.load(PAGE_A << 12, Uint8Array.of(1, 2, 3))
    const run = guest.run()
    await ticks()
    expect(elements).toEqual([1])
    let changed = false
    const change = guest.domain.changeMemory(remove(PAGE_A)).then(() => (changed = true))
    for (let i = 0; i < 3; i++) {
      await ticks()
      expect(changed).toBe(false)
      next?.()
    }
    await change
    expect(await run).toEqual({ reason: 'debug-exit', code: 3 })
    expect(elements).toEqual([1, 2, 3])
  })
})

describe('7: a server created, enabled or disabled between a change and its notice', () => {
  async function removed(): Promise<{ guest: Guest; first: Emulator; late: Emulator; run: Promise<unknown> }> {
    const held = heldDevice()
    const guest = guestOf([(asm) => stay(mark(asm.mov(eax, dword(DEVICE)), 0))], { devices: [held.model] })
    const first = new Emulator(guest.domain, 'first')
    const late = new Emulator(guest.domain, 'late', false)
    const run = guest.run()
    await ticks()
    void guest.domain.changeMemory(remove(PAGE_A))
    await ticks()
    held.answer(0)
    return { guest, first, late, run }
  }

  test('enabled before the notice: it is asked', async () => {
    const { guest, first, late, run } = await removed()
    late.server.setState(true)
    await ticks()
    expect([first.asked(0), late.asked(0)]).toEqual([true, true])
    first.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([0])
    late.answer(0)
    // What it was told of when it was enabled may come as a second notice.
    first.prompt = late.prompt = true
    await ticks()
    for (const each of [first, late]) if (each.asked(0)) each.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    await end(guest, run)
  })

  test('enabled after the notice: it is asked by a notice of its own before anybody runs on', async () => {
    const { guest, first, late, run } = await removed()
    await ticks()
    expect([first.asked(0), late.asked(0)]).toEqual([true, false])
    late.server.setState(true)
    first.answer(0)
    await ticks()
    expect([first.asked(0), late.asked(0), marks(guest, 1)]).toEqual([true, true, [0]])
    first.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([0])
    late.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    await end(guest, run)
  })

  test('created after the change: it had nothing mapped, and may be asked', async () => {
    const { guest, first, run } = await removed()
    const newest = new Emulator(guest.domain, 'newest')
    await ticks()
    expect([first.asked(0), newest.asked(0)]).toEqual([true, true])
    first.answer(0)
    newest.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    await end(guest, run)
  })

  test('disabled while it is asked: it counts, and its late answer is dropped', async () => {
    const { guest, first, late, run } = await removed()
    late.server.setState(true)
    late.prompt = true
    await ticks()
    expect(first.asked(0)).toBe(true)
    first.server.setState(false)
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    first.answer(0, 0xdead)
    expect(guest.domain.dispatch.requests.has(0)).toBe(false)
    await end(guest, run)
  })
})

describe('8: one server answers, another dies', () => {
  test('the vCPU runs on when the dead one has nothing mapped any more', async () => {
    const guest = guestOf([(asm) => stay(mark(asm.vmcall(), 0))])
    hypercalls(guest.domain, 0, remove(PAGE_A))
    const [one, two] = [new Emulator(guest.domain, 'one'), new Emulator(guest.domain, 'two')]
    const run = guest.run()
    await ticks()
    one.answer(0)
    await ticks()
    expect(marks(guest, 1)).toEqual([0])
    two.server.destroy()
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    await end(guest, run)
  })
})

/** A model that maps one page when asked by the test. */
function mapper(name = 'mapper'): { model: DeviceModel; context: DeviceContext } {
  const made: { model: DeviceModel; context: DeviceContext } = {
    model: defineDevice({
      name,
      synchronous: true,
      attach: (context) => {
        made.context = context
      },
    }),
    context: undefined as unknown as DeviceContext,
  }
  return made
}

describe('11: a mapping that is held during an invalidation', () => {
  test('delays the acknowledgement; its frame is what it was until then', async () => {
    const device = mapper()
    const guest = guestOf([(asm) => stay(mark(asm.vmcall(), 0))], { devices: [device.model] })
    hypercalls(guest.domain, 0, remove(PAGE_A))
    const mapping = device.context.dma.mapForWriting(PAGE_A << 12, 16)
    const other = device.context.dma.map(PAGE_B << 12, 16)
    const run = guest.run()
    await ticks()
    expect([marks(guest, 1), mapping.orphaned, other.orphaned]).toEqual([[0], true, false])
    expect(mapping.write(0, Uint8Array.of(1, 2, 3))).toBe(3)
    mapping.release()
    await ticks()
    expect(marks(guest, 1)).toEqual([1])
    expect(() => mapping.write(0, Uint8Array.of(1))).toThrow(/released/)
    // A new look finds what is there now; the mapping of another page has not been waited for.
    expect(device.context.dma.map(PAGE_A << 12, 16).segments[0]?.kind).toBe('mmio')
    expect(other.held).toBe(true)
    await end(guest, run)
  })

  test('a model that releases when it is told delays nothing', async () => {
    const told: unknown[] = []
    let mapping: GuestMapping | undefined
    const model = defineDevice({
      name: 'keeper',
      synchronous: true,
      attach: (context) => {
        mapping = context.dma.map(PAGE_A << 12, 16)
      },
      invalidate: (frames) => {
        told.push(frames)
        mapping?.release()
      },
    })
    const guest = guestOf([(asm) => leave(asm.vmcall(), 5)], { devices: [model] })
    hypercalls(guest.domain, 0, remove(PAGE_A))
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 5 })
    expect(told).toEqual([[{ gfn: PAGE_A, count: 1, writesOnly: false }]])
  })

  test('loss of the right to write waits for mappings for writing only', async () => {
    const device = mapper()
    const guest = guestOf([(asm) => stay(mark(asm.vmcall(), 0))], { devices: [device.model] })
    hypercalls(guest.domain, 0, (p2m) => void p2m.setType(PAGE_A, 1, P2mType.RAM_RO))
    const reader = device.context.dma.map(PAGE_A << 12, 16)
    const writer = device.context.dma.mapForWriting(PAGE_A << 12, 16)
    const run = guest.run()
    await ticks()
    expect(marks(guest, 1)).toEqual([0])
    writer.release()
    await ticks()
    expect([marks(guest, 1), reader.held]).toEqual([[1], true])
    await end(guest, run)
  })

  test.each(['crash', 'detach'] as const)('one that is never released meets the deadline: %s', async (policy) => {
    const device = mapper()
    const guest = guestOf([(asm) => leave(asm.vmcall(), 5)], { devices: [device.model], policy, deviceDeadlineMs: 60 })
    hypercalls(guest.domain, 0, remove(PAGE_A))
    const mapping = device.context.dma.map(PAGE_A << 12, 16)
    const exit = await guest.run()
    expect(guest.failures.map(({ device: name, request }) => [name, request])).toEqual([['mapper', 'invalidate']])
    if (policy === 'crash') expect(exit.reason).toBe('device-failure')
    else {
      expect(exit).toEqual({ reason: 'debug-exit', code: 5 })
      expect(mapping.held).toBe(false)
      expect(() => device.context.dma.map(0, 1)).toThrow(/taken out/)
    }
  })
})

describe('an emulator that never acknowledges', () => {
  test.each(['crash', 'detach'] as const)('meets the deadline and the policy: %s', async (policy) => {
    const guest = guestOf([(asm) => leave(asm.vmcall(), 5)], { policy, deviceDeadlineMs: 60 })
    hypercalls(guest.domain, 0, remove(PAGE_A))
    const mute = new Emulator(guest.domain, 'mute')
    const exit = await guest.run()
    expect(guest.failures.map(({ device, request }) => [device, request])).toEqual([['mute', 'invalidate']])
    expect(String(guest.failures[0]?.cause)).toMatch(/no answer within 60 ms/)
    if (policy === 'crash') expect(exit.reason).toBe('device-failure')
    else expect([exit, mute.server.alive]).toEqual([{ reason: 'debug-exit', code: 5 }, false])
    // Nobody knows what a server has that only its domain was stopped for.
    expect(guest.domain.invalidations.unsettled).toBe(policy === 'crash' ? 1 : 0)
  })

  test.each(['crash', 'detach'] as const)('a toolstack that waits for it: %s', async (policy) => {
    const guest = guestOf([(asm) => void stay(asm)], { policy, deviceDeadlineMs: 60 })
    new Emulator(guest.domain)
    const change = guest.domain.changeMemory(remove(PAGE_A))
    if (policy === 'crash') await expect(change).rejects.toMatchObject({ code: 'ERR_PENDING' })
    else await change
  })
})

test('10: RAM removed and put back with another frame: nobody reaches the old one after the acknowledgement', async () => {
  const device = mapper()
  const guest = guestOf([(asm) => stay(mark(asm.vmcall(), 0))], { devices: [device.model] })
  const { domain } = guest
  const old = mfnOf(domain.p2m, PAGE_A)
  domain.guestMemory.load(PAGE_A << 12, Uint8Array.of(0xaa))
  const before = device.context.dma.map(PAGE_A << 12, 1)
  hypercalls(domain, 0, (p2m) => {
    p2m.remove(PAGE_A, old)
    p2m.populate(PAGE_A, 1)
  })
  const run = guest.run()
  await ticks()
  expect(mfnOf(domain.p2m, PAGE_A)).not.toBe(old)
  expect(marks(guest, 1)).toEqual([0])
  const byteOf = (mapping: GuestMapping): number => {
    const into = new Uint8Array(1)
    mapping.read(0, into)
    return into[0] as number
  }
  expect(byteOf(before)).toBe(0xaa)
  domain.guestMemory.load(PAGE_A << 12, Uint8Array.of(0xbb))
  expect(byteOf(device.context.dma.map(PAGE_A << 12, 1))).toBe(0xbb)
  before.release()
  await ticks()
  expect(marks(guest, 1)).toEqual([1])
  await end(guest, run)
})

describe('9: a device model removes RAM itself', () => {
  const removes = (
    wait: (domain: X86Domain) => Promise<unknown>,
  ): { model: DeviceModel; domain?: X86Domain; done: string[] } => {
    const made: { model: DeviceModel; domain?: X86Domain; done: string[] } = {
      done: [],
      model: defineDevice({
        name: 'remover',
        mmio: { base: DEVICE, size: 0x1000 },
        read: async () => {
          try {
            await wait(made.domain as X86Domain)
            made.done.push('done')
          } catch (error) {
            made.done.push((error as { code: string }).code)
          }
          return 7
        },
      }),
    }
    return made
  }
  const reader = (asm: Assembler): Assembler => leave(asm.mov(ebx, dword(DEVICE)), 9)

  test('its own request in flight counts as acknowledged, where it is the only server', async () => {
    const device = removes((domain) => domain.changeMemory(remove(PAGE_A), { server: domain.devices.server, vcpu: 0 }))
    const guest = guestOf([reader], { devices: [device.model] })
    device.domain = guest.domain
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 9 })
    expect(device.done).toEqual(['done'])
    expect(mfnOf(guest.domain.p2m, PAGE_A)).toBe(INVALID_MFN)
  })

  test('another server hears of it by another vCPU, halted as it is', async () => {
    const device = removes((domain) => domain.changeMemory(remove(PAGE_A), { server: domain.devices.server, vcpu: 0 }))
    const guest = guestOf([reader, stay], { devices: [device.model] })
    device.domain = guest.domain
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect([emulator.seen, device.done]).toEqual([['invalidate 1'], []])
    emulator.answer(1)
    emulator.prompt = true
    expect(await run).toEqual({ reason: 'debug-exit', code: 9 })
    expect(device.done).toEqual(['done'])
    // Before vCPU 0 went on it has sent its own.
    expect(emulator.seen).toEqual(['invalidate 1', 'invalidate 0'])
  })

  test('where no vCPU is left to tell the other server, waiting is an error, and the change stands', async () => {
    const device = removes((domain) => domain.changeMemory(remove(PAGE_A), { server: domain.devices.server, vcpu: 0 }))
    const guest = guestOf([reader], { devices: [device.model] })
    device.domain = guest.domain
    const emulator = new Emulator(guest.domain)
    emulator.prompt = true
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 9 })
    expect(device.done).toEqual(['ERR_DEADLOCK'])
    expect(emulator.seen).toEqual(['invalidate 0'])
    expect(mfnOf(guest.domain.p2m, PAGE_A)).toBe(INVALID_MFN)
  })

  test('with a ticket it need not wait: its vCPU does', async () => {
    const device = removes(async (domain) => {
      const { ticket } = await domain.requestMemoryChange(remove(PAGE_A))
      expect(ticket.acknowledged).toBe(false)
    })
    const guest = guestOf([reader], { devices: [device.model] })
    device.domain = guest.domain
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    expect([device.done, emulator.asked(0), guest.state().registers['rbx']]).toEqual([['done'], true, '0x7'])
    emulator.answer(0)
    expect(await run).toEqual({ reason: 'debug-exit', code: 9 })
  })

  test('from within an instruction that calls it straight: the change waits for the instruction to end', async () => {
    const order: string[] = []
    const handle = (): void => {
      void guest.domain.changeMemory((p2m) => {
        remove(PAGE_A)(p2m)
        order.push(`changed, EAX ${guest.state().registers['rax']}`)
      })
      order.push('handler ends')
    }
    const model = defineDevice({ name: 'at once', synchronous: true, ports: { base: 0x80, size: 1 }, write: handle })
    const guest: Guest = guestOf([(asm) => leave(asm.mov(eax, 1).out(0x80, al).mov(eax, 2), 4)], { devices: [model] })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 4 })
    expect(order).toEqual(['handler ends', 'changed, EAX 0x1'])
  })
})

test('a server that answers at once, and each time causes a change, is asked eight times in a row', () => {
  const guest = guestOf([(asm) => leave(asm, 1)])
  const { dispatch, invalidations, p2m } = guest.domain
  let asked = 0
  const server: IoreqServer = dispatch.createServer({
    name: 'restless',
    transport: {
      notify(vcpu) {
        server.slot(vcpu).accept(createIoRequest())
        if (++asked < 20) remove(PAGE_A + asked)(p2m)
        server.slot(vcpu).answer(0, 0)
        server.answered(vcpu)
      },
    },
  })
  server.setState(true)
  remove(PAGE_A)(p2m)
  // The host has its turn, and the vCPU does not run on.
  expect([invalidations.deliver(0), asked]).toEqual([false, 8])
  expect([invalidations.deliver(0), asked]).toEqual([false, 16])
  expect([invalidations.deliver(0), asked]).toEqual([true, 20])
})

describe('a toolstack', () => {
  test('does not wait for a server that is disabled, which is told nothing', async () => {
    const guest = guestOf([(asm) => leave(asm, 1)])
    const emulator = new Emulator(guest.domain, 'off', false)
    let done = false
    void guest.domain.changeMemory(remove(PAGE_A)).then(() => (done = true))
    await ticks()
    expect([emulator.seen, done]).toEqual([[], true])
  })

  test('is told when all have acknowledged, before the domain runs', async () => {
    const guest = guestOf([(asm) => leave(asm, 1)])
    const emulator = new Emulator(guest.domain)
    let done = false
    const change = guest.domain
      .changeMemory((p2m) => (remove(PAGE_A)(p2m), 'result'))
      .then((result) => {
        done = true
        return result
      })
    await ticks()
    expect([emulator.seen, done]).toEqual([['invalidate 0'], false])
    emulator.answer(0)
    expect(await change).toBe('result')
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect(emulator.seen).toHaveLength(1)
  })

  test('and while all vCPUs are halted', async () => {
    const guest = guestOf([(asm) => void stay(asm), (asm) => void stay(asm)])
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    const change = guest.domain.changeMemory(remove(PAGE_A))
    await ticks()
    expect(emulator.seen).toEqual(['invalidate 0', 'invalidate 1'])
    emulator.answer(1)
    await change
    emulator.answer(0)
    await end(guest, run)
  })

  test('and while they run: none executes an instruction between the change and its acknowledgement', async () => {
    const count = (asm: Assembler, vcpu: number): void => {
      const again = asm.here()
      asm.inc(dword(0x4000 + 4 * vcpu)).jmp(again)
    }
    const guest = guestOf([(asm) => count(asm, 0), (asm) => count(asm, 1)])
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    const change = guest.domain.changeMemory(remove(PAGE_A))
    const counts = [guest.read32(0x4000), guest.read32(0x4004)]
    await ticks()
    expect([guest.read32(0x4000), guest.read32(0x4004)]).toEqual(counts)
    expect([...emulator.open.keys()]).toEqual([0, 1])
    emulator.answer(0)
    emulator.answer(1)
    await change
    await ticks()
    expect(guest.read32(0x4000)).toBeGreaterThan(counts[0] as number)
    expect(guest.read32(0x4004)).toBeGreaterThan(counts[1] as number)
    await end(guest, run)
  })

  test('and when the domain has stopped meanwhile', async () => {
    const held = heldDevice()
    const guest = guestOf([(asm) => stay(asm.mov(eax, dword(DEVICE))), (asm) => void stay(asm)], {
      devices: [held.model],
    })
    const emulator = new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    // In the same turn: no vCPU has had the time to send its notice.
    const change = guest.domain.changeMemory(remove(PAGE_A))
    await end(guest, run)
    await ticks()
    expect(emulator.seen).toEqual(['invalidate 1'])
    emulator.answer(1)
    await change
    emulator.prompt = true
    const again = guest.run()
    held.answer(3)
    await ticks()
    expect(emulator.seen).toEqual(['invalidate 1', 'invalidate 0'])
    await end(guest, again)
  })

  test('a domain that stands still with a request that nobody takes cannot be waited for', async () => {
    const held = heldDevice()
    const guest = guestOf([(asm) => stay(asm.mov(eax, dword(DEVICE)))], { devices: [held.model] })
    new Emulator(guest.domain)
    const run = guest.run()
    await ticks()
    await end(guest, run)
    await expect(guest.domain.changeMemory(remove(PAGE_A))).rejects.toMatchObject({ code: 'ERR_DEADLOCK' })
  })

  test('what the change throws is the caller’s', async () => {
    const guest = guestOf([(asm) => leave(asm)])
    await expect(guest.domain.changeMemory((p2m) => p2m.remove(PAGE_A, 1))).rejects.toMatchObject({
      code: 'ERR_MISMATCH',
    })
  })
})

describe('4: RAM replaced', () => {
  test.each([
    { by: 'the same frame', change: (p2m: P2m, mfn: number) => p2m.insert(PAGE_A, mfn, 0, P2mType.RAM_RW), notices: 0 },
    { by: 'another frame', change: (p2m: P2m) => p2m.populate(PAGE_A, 1), notices: 1 },
    {
      by: 'the same frame, read-only',
      change: (p2m: P2m, mfn: number) => p2m.insert(PAGE_A, mfn, 0, P2mType.RAM_RO),
      notices: 1,
    },
    { by: 'logged RAM', change: (p2m: P2m) => void p2m.setType(PAGE_A, 1, P2mType.RAM_LOGDIRTY), notices: 0 },
  ])('by $by: $notices notices', async ({ change, notices }) => {
    const guest = guestOf([(asm) => leave(asm.vmcall(), 2)])
    hypercalls(guest.domain, 0, (p2m) => change(p2m, mfnOf(p2m, PAGE_A)))
    const emulator = new Emulator(guest.domain)
    emulator.prompt = true
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 2 })
    expect(emulator.seen).toHaveLength(notices)
  })

  test('ROM that becomes RAM again is nobody’s loss', async () => {
    const guest = guestOf([(asm) => leave(asm.vmcall(), 2)])
    guest.domain.p2m.setType(PAGE_A, 1, P2mType.RAM_RO)
    await guest.domain.changeMemory(() => undefined)
    hypercalls(guest.domain, 0, (p2m) => void p2m.setType(PAGE_A, 1, P2mType.RAM_RW))
    const emulator = new Emulator(guest.domain)
    emulator.prompt = true
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 2 })
    expect(emulator.seen).toEqual([])
  })
})
