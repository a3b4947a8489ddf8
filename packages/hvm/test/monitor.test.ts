/** MWAIT in a domain: every writer that is not the waiting vCPU itself ends the wait, and waiting takes no host time. */
import { defineDevice, type DeviceContext, type DeviceDma, type Timer } from '@retrap/device'
import type { SharedTransport } from '@retrap/device-hosting'
import { P2mEntry } from '@retrap/p2m'
import { type Assembler, al, ax, dword, dx, eax, ecx, edx } from '@retrap/x86-assembler'
import { STATUS_DONE } from '@retrap/x86-cpu'
import { afterEach, describe, expect, test } from 'vitest'
import { DeterministicClock, type X86Vcpu } from '../src/index.ts'
import { EXIT_PORT, Guest, PROTECTED, STACK, realClock, startMapper } from './support/guest.ts'

const LINE = 0x6_0040
const PAGE = LINE >>> 12
const SECOND = 0x2_0000
const RESULT = 0x4000
const VECTOR = 0x40
const HANDLER = 0x3_0000
const LATER_NS = 3_000_000

let transport: SharedTransport | undefined
afterEach(() => {
  transport?.close()
  transport = undefined
})

const monitor = (asm: Assembler): Assembler => asm.mov(eax, LINE).xor(ecx, ecx).xor(edx, edx).monitor()
const leave = (asm: Assembler): Assembler => asm.mov(al, 1).out(EXIT_PORT, al).hlt()
/** Arms the line, has the device act later, and waits. */
const waiting = (asm: Assembler): Assembler => leave(monitor(asm).out(0x80, al).mwait())

/** A device that does something some time after OUT to port 80H. */
function later(act: (context: DeviceContext) => void) {
  let context: DeviceContext
  let timer: Timer
  return defineDevice({
    name: 'later',
    synchronous: true,
    ports: { base: 0x80, size: 1 },
    attach: (given) => {
      context = given
      timer = given.timer(() => act(given))
    },
    write: () => timer.arm(context.clock.now() + LATER_NS),
  })
}

const clocks = [
  { time: 'deterministic', clock: () => new DeterministicClock() },
  { time: 'real', clock: () => realClock() },
]

describe.each(clocks)('on $time time MWAIT ends with', ({ clock }) => {
  test.each<[string, (dma: DeviceDma) => void]>([
    ['a write', (dma) => void dma.write(LINE, Uint8Array.of(1))],
    ['a write of some', (dma) => void dma.writeSome(LINE - 8, new Uint8Array(16))],
    ['a promise of a write', (dma) => void dma.writeAsync(LINE + 63, Uint8Array.of(1))],
    [
      'a write to a mapping',
      (dma) => {
        using mapping = dma.mapForWriting(LINE - 64, 128)
        mapping.write(64, Uint8Array.of(1))
      },
    ],
    [
      'the end of a mapping whose bytes were written',
      (dma) => {
        using mapping = dma.mapForWriting(LINE, 16)
        mapping.segments[0]?.bytes?.set([2], 1)
      },
    ],
  ])('a device: %s', async (_how, act) => {
    const guest = new Guest(waiting, { clock: clock(), devices: [later(({ dma }) => act(dma))] })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect(guest.domain.exits['mwait']).toBe(1)
  })

  test('a write of the toolstack', async () => {
    const guest = new Guest(waiting, {
      clock: clock(),
      devices: [later(() => guest.domain.guestMemory.load(LINE, Uint8Array.of(1)))],
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  })

  test('another frame behind the line', async () => {
    const guest = new Guest(waiting, {
      clock: clock(),
      devices: [
        later(() => {
          const { p2m } = guest.domain
          const entry = new P2mEntry()
          p2m.lookup(PAGE, entry)
          p2m.remove(PAGE, entry.mfn)
          p2m.populate(PAGE, 1)
        }),
      ],
    })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  })

  test('an interrupt, which is delivered', async () => {
    const guest = new Guest((asm) => leave(monitor(asm).out(0x80, al).sti().mwait()), {
      clock: clock(),
      devices: [later((context) => context.signalMsi(0xfee0_0000, VECTOR))],
    })
    guest.vector(VECTOR, HANDLER)
    guest.program(HANDLER, 32, (asm) => asm.mov(dword(RESULT), 7).iretd())
    guest.domain.interrupts.localApic(0).write(0xf0, 0x1ff)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
    expect(guest.read32(RESULT)).toBe(7)
  })

  test('an interrupt that is masked, where ECX says so', async () => {
    const guest = new Guest((asm) => leave(monitor(asm).out(0x80, al).mov(ecx, 1).mwait()), {
      clock: clock(),
      devices: [later((context) => context.signalMsi(0xfee0_0000, VECTOR))],
    })
    guest.domain.interrupts.localApic(0).write(0xf0, 0x1ff)
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  })

  test('a store of another vCPU, by every kind of store', async () => {
    // One after another wakes the first vCPU, which counts.
    const stores: ((asm: Assembler) => void)[] = [
      (asm) => asm.mov(dword(LINE + 4), 1),
      (asm) => asm.lock().inc(dword(LINE + 8)),
      (asm) => asm.push(eax).pop(dword(LINE + 12)),
      (asm) => asm.xchg(dword(LINE + 60), eax),
    ]
    const guest = new Guest(
      (asm) => {
        for (let i = 0; i < stores.length; i++)
          monitor(asm)
            .mov(dword(RESULT), i + 1)
            .mwait()
        leave(asm)
      },
      { clock: clock(), vcpus: 2 },
    )
    guest.program(SECOND, 32, (asm) => {
      for (const [i, store] of stores.entries()) {
        const wait = asm.here()
        asm
          .pause()
          .cmp(dword(RESULT), i + 1)
          .jnz(wait)
        // The other vCPU is between its store and MWAIT, or waits: it is to go on in both cases.
        store(asm)
      }
      asm.hlt()
    })
    const other = guest.domain.vcpus[1] as X86Vcpu
    other.cpu.load({ ...PROTECTED, registers: { rip: SECOND, rsp: STACK - 0x1000, rflags: 2 } })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  })

  test('a copy that a hypercall makes', async () => {
    const guest = new Guest(waiting, { clock: clock(), vcpus: 2, devices: [later(() => undefined)] })
    guest.program(SECOND, 32, (asm) => asm.vmcall().hlt())
    const other = guest.domain.vcpus[1] as X86Vcpu
    other.hypercall = () => {
      guest.domain.guestMemory.write(LINE, Uint8Array.of(1))
      return STATUS_DONE
    }
    other.cpu.load({ ...PROTECTED, registers: { rip: SECOND, rsp: STACK - 0x1000, rflags: 2 } })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  })
})

test('MWAIT ends with a write of a model in a Worker that maps the memory itself', async () => {
  const guest = new Guest(
    (asm) => {
      asm.mov(dx, 0x300).mov(ax, PAGE).out(dx, ax)
      monitor(asm)
      leave(asm.mov(edx, 0).mwait())
    },
    { shared: true, clock: realClock() },
  )
  const { domain } = guest
  transport = await startMapper(guest)
  const run = guest.run()
  while (domain.exits['mwait'] === undefined) await new Promise((resolve) => void setTimeout(resolve, 2))
  // It lets go of the page, which counts as written.
  transport.remote.post(Uint8Array.of(1))
  expect(await run).toEqual({ reason: 'debug-exit', code: 1 })
})

test('a vCPU that waits takes no host time', async () => {
  const guest = new Guest((asm) => leave(monitor(asm).mwait()), { clock: realClock() })
  const run = guest.run()
  await new Promise((resolve) => void setTimeout(resolve, 50))
  // What else the process does, such as to compile code that was hot before, comes to an end.
  let usedMs = Infinity
  for (let window = 0; window < 50 && usedMs >= 200; window++) {
    const { sleeps } = guest.sleeper
    const before = process.cpuUsage()
    await new Promise((resolve) => void setTimeout(resolve, 400))
    const { user, system } = process.cpuUsage(before)
    usedMs = (user + system) / 1000
    expect(guest.sleeper.sleeps - sleeps).toBeLessThan(3)
  }
  expect(usedMs).toBeLessThan(200)
  guest.domain.guestMemory.load(LINE, Uint8Array.of(1))
  expect(await run).toEqual({ reason: 'debug-exit', code: 1 })
})
