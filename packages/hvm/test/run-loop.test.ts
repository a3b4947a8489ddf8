/** How a domain waits for devices: without a turn of the event loop where it can, and without keeping it from others. */
import { defineDevice, type DeviceContext } from '@retrap/device'
import { al, dword, eax, ebx, ecx, edi, edx, esi, imm8, type Assembler } from '@retrap/x86-assembler'
import { OwnTime } from '@retrap/tooling/processor-time'
import { numbers } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import { restoreVcpu, saveVcpu } from '@retrap/x86-cpu'
import { DeterministicClock, RealClock, type X86Vcpu } from '../src/index.ts'
import { CODE, EXIT_PORT, Guest, PROTECTED, realClock } from './support/guest.ts'

const DEVICE = 0x10_0000
const hostClock = (): number => performance.now() * 1e6
const NOTHING = Promise.resolve()
const off = (asm: Assembler): void => void asm.mov(al, 0).out(EXIT_PORT, al).hlt()

/** Reads `count` times, by port and by memory in turn. */
const reading =
  (count: number) =>
  (asm: Assembler): void => {
    const loop = asm.label()
    asm.mov(ecx, count).bind(loop)
    asm.in(al, imm8(0x80)).mov(eax, dword(DEVICE)).dec(ecx).jnz(loop)
    off(asm)
  }

const answering = defineDevice({
  name: 'answering',
  mmio: { base: DEVICE, size: 16 },
  ports: { base: 0x80, size: 1 },
  read: async (offset) => offset,
})

const clocks = [
  { name: 'the host\u2019s clock', make: () => new RealClock(hostClock) },
  { name: 'the deterministic clock', make: () => new DeterministicClock() },
]

describe.each(clocks)('answers that are a microtask away, on $name', ({ make }) => {
  test('are waited for without the sleeper, once each', async () => {
    const guest = new Guest(reading(500), { clock: make(), devices: [answering] })
    expect((await guest.run()).reason).toBe('debug-exit')
    // One request, one pass that asks, one exit.
    expect(guest.domain.exits['blocked']).toBe(1000)
    expect(guest.boot.counts.loggedPasses).toBe(1000)
    // On the host's clock, a turn of the event loop now and then is all there is of it; else one for each.
    expect(guest.sleeper.sleeps).toBeLessThan(guest.domain.clock.deterministic ? 1100 : 100)
  })

  test('do not keep the event loop from its turn', async () => {
    const guest = new Guest(reading(0x7fff_ffff), { clock: make(), devices: [answering] })
    const time = new OwnTime()
    setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 50)
    expect(await guest.run()).toEqual({ reason: 'stopped' })
    expect(time.milliseconds()).toBeLessThan(2000)
    // And it can be run on.
    setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 10)
    expect(await guest.run()).toEqual({ reason: 'stopped' })
  })
})

test('the event loop has its turn in time, however few instructions a turn of slow ones is', async () => {
  let accesses = 0
  const device = defineDevice({
    name: 'at once',
    synchronous: true,
    mmio: { base: DEVICE, size: 16 },
    read: () => 0,
    write: () => {
      if (++accesses === 30_000) guest.domain.stop({ reason: 'stopped' })
    },
  })
  // Each look at the clock finds that it is time for the event loop.
  let now = 0
  const clock = new RealClock(() => (now += 1e7))
  const endless = (asm: Assembler): void => {
    const loop = asm.label()
    asm.bind(loop).inc(dword(DEVICE)).jmp(loop)
  }
  const guest = new Guest(endless, { clock, devices: [device] })
  await guest.run()
  const { budget = 0, yield: early = 0 } = guest.domain.exits
  const turns = budget + early
  expect(guest.domain.instructions / turns).toBeLessThan(4096)
  // Whoever has been there has some time for himself.
  expect(guest.sleeper.sleeps).toBeGreaterThanOrEqual(Math.floor(turns / 2) - 1)
})

test('time that a timer adds to that of a busy guest is no stall of the host: it stays', async () => {
  let now = 0
  const clock = new RealClock(() => (now += 10_000))
  const guest = new Guest(
    (asm) => {
      const loop = asm.label()
      asm.mov(ecx, 1_500_000).bind(loop).dec(ecx).jnz(loop)
      off(asm)
    },
    { clock },
  )
  const added: number[] = []
  const timer = guest.domain.timers.create(() => {
    clock.hold(-9e9)
    added.push(clock.now())
  })
  timer.armAfter(20_000)
  expect((await guest.run()).reason).toBe('debug-exit')
  expect(added).toHaveLength(1)
  expect(clock.now()).toBeGreaterThan(added[0]!)
})

test('a guest that looks at the time is told no earlier one, and little of a stall of the host', async () => {
  let [now, calls] = [0, 0]
  const clock = new RealClock(() => (now += ++calls % 50 === 0 ? 25e9 : 10_000))
  const guest = new Guest(
    (asm) => {
      const [loop, back] = [asm.label(), asm.label()]
      asm.xor(esi, esi).xor(edi, edi).mov(ecx, 300).bind(loop)
      // The earlier time is in EDI:ESI.
      asm.rdtsc().mov(ebx, edx).cmp(eax, esi).sbb(ebx, edi).jc(back)
      asm.mov(esi, eax).mov(edi, edx).dec(ecx).jnz(loop).bind(back)
      off(asm)
    },
    { clock },
  )
  expect((await guest.run()).reason).toBe('debug-exit')
  expect(guest.boot.registers.general[1]).toBe(0n)
  expect([calls > 300, clock.now() < 5e9]).toEqual([true, true])
})

test.each([
  { vcpus: 1, longest: 320_000 },
  { vcpus: 2, longest: 10_000 },
])('turns of quick instructions grow to $longest where there are $vcpus vCPUs', async ({ vcpus, longest }) => {
  let now = 0
  const guest = new Guest(
    (asm) => {
      const loop = asm.label()
      asm.mov(ecx, 1_500_000).bind(loop).dec(ecx).jnz(loop)
      off(asm)
    },
    // Each look at the clock is 10 µs after the last one.
    { vcpus, clock: new RealClock(() => (now += 10_000)) },
  )
  let before = 0
  let most = 0
  guest.domain.watchTurns({
    begin: ({ cpu }) => void (before = cpu.cost),
    end: ({ cpu }) => void (most = Math.max(most, cpu.cost - before)),
  })
  expect((await guest.run()).reason).toBe('debug-exit')
  // It goes on to the next branch back.
  expect(most).toBeGreaterThanOrEqual(longest)
  expect(most).toBeLessThan(longest + 10)
})

test.each([
  {
    name: 'every 0.1 ms of the host\u2019s clock',
    clock: (now: () => number) => new RealClock(now),
    least: 90,
    most: 110,
  },
  { name: 'no sooner than others on deterministic time', clock: () => new DeterministicClock(), least: 0, most: 10 },
])('a guest that spins lets the event loop have its turn $name', async ({ clock, least, most }) => {
  const spinning = (asm: Assembler): void => {
    const loop = asm.label()
    asm.mov(ecx, 16_000).bind(loop).pause().dec(ecx).jnz(loop)
    off(asm)
  }
  let now = 0
  const guest = new Guest(spinning, { clock: clock(() => (now += 10_000)) })
  expect((await guest.run()).reason).toBe('debug-exit')
  expect(guest.sleeper.sleeps).toBeGreaterThanOrEqual(least)
  expect(guest.sleeper.sleeps).toBeLessThanOrEqual(most)
})

test('an answer does not wait for a vCPU that is busy all the time', async () => {
  const count = 300
  const guest = new Guest(reading(count), { vcpus: 2, devices: [answering] })
  guest.program(0x2000, 32, (asm) => {
    const self = asm.label()
    asm.bind(self).jmp(self)
  })
  const second = (guest.domain.vcpus[1] as X86Vcpu).cpu
  second.load({ ...PROTECTED, registers: { ...PROTECTED.registers, rip: 0x2000 } })
  restoreVcpu(second, { ...guest.state(1), pending: guest.state(0).pending })
  expect((await guest.run()).reason).toBe('debug-exit')
  // Turns of the busy one: a few for each access, and not as many as there are until the event loop has its turn.
  expect(guest.domain.exits['budget']).toBeLessThan(2 * count * 4)
})

test('timers go off while every vCPU waits for a device: it may be one of them that answers', async () => {
  let context: DeviceContext | undefined
  const late = defineDevice({
    name: 'late',
    mmio: { base: DEVICE, size: 16 },
    ports: { base: 0x80, size: 1 },
    attach: (given) => void (context = given),
    read: (offset) =>
      new Promise<number>((resolve) => {
        const machine = context as DeviceContext
        machine.timer(() => resolve(offset)).arm(machine.clock.now() + 3e6)
      }),
  })
  const guest = new Guest(reading(2), { clock: new RealClock(hostClock), devices: [late] })
  expect((await guest.run()).reason).toBe('debug-exit')
})

describe('a device that stops the machine', () => {
  test.each([
    ['at once', () => undefined],
    ['after a microtask', () => Promise.resolve()],
    ['after turns of the event loop', () => new Promise<void>((resolve) => setTimeout(resolve, 5))],
  ])('has its instruction retire first, though it answers %s', async (_how, pause) => {
    let context: DeviceContext | undefined
    const stops = defineDevice({
      name: 'stops',
      ports: { base: 0x80, size: 1 },
      attach: (given) => void (context = given),
      async write() {
        context?.requestPowerOff()
        await pause()
      },
    })
    const guest = new Guest((asm) => void asm.mov(al, 1).out(imm8(0x80), al).mov(dword(0x4000), eax).hlt(), {
      devices: [stops],
    })
    const before = guest.boot.retired
    expect(await guest.run()).toEqual({ reason: 'power-off' })
    expect(guest.boot.busy).toBe(false)
    // MOV and OUT, and nothing after them.
    expect(guest.boot.retired - before).toBe(2)
    expect(guest.read32(0x4000)).toBe(0)
  })

  test('and never answers is given up at the deadline', async () => {
    let context: DeviceContext | undefined
    const hangs = defineDevice({
      name: 'hangs',
      ports: { base: 0x80, size: 1 },
      attach: (given) => void (context = given),
      write() {
        context?.requestReset()
        return new Promise<void>(() => {})
      },
    })
    const guest = new Guest((asm) => void asm.out(imm8(0x80), al).hlt(), { devices: [hangs] })
    expect(await guest.run()).toEqual({ reason: 'reset' })
    expect(guest.boot.busy).toBe(true)
    guest.domain.reset()
    expect(guest.boot.busy).toBe(false)
  })

  test('lets the other vCPU finish what it waits for, and begin nothing', async () => {
    let context: DeviceContext | undefined
    let release: (value: number) => void = () => undefined
    const asked = Promise.withResolvers<void>()
    const device = defineDevice({
      name: 'both',
      ports: { base: 0x80, size: 2 },
      attach: (given) => void (context = given),
      read: () => {
        asked.resolve()
        return new Promise<number>((resolve) => (release = resolve))
      },
      async write() {
        await asked.promise
        context?.requestExit(7)
        setTimeout(() => release(0x5a), 5)
      },
    })
    const guest = new Guest((asm) => void asm.out(imm8(0x81), al).hlt(), {
      vcpus: 2,
      clock: realClock(),
      devices: [device],
    })
    // The second begins elsewhere, at once.
    const second = (guest.domain.vcpus[1] as X86Vcpu).cpu
    guest.program(0x2000, 32, (asm) => void asm.in(al, imm8(0x80)).mov(dword(0x4000), eax).hlt())
    second.load({ ...PROTECTED, registers: { ...PROTECTED.registers, rip: 0x2000 } })
    restoreVcpu(second, { ...guest.state(1), pending: guest.state(0).pending })
    expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 7 })
    expect(second.busy).toBe(false)
    expect(saveVcpu(second).registers['rax']).toBe('0x5a')
    expect(guest.read32(0x4000)).toBe(0)
  })
})

test.each(clocks)(
  'a domain that sleeps executes nothing on $name, while its timers and models go on',
  async ({ make }) => {
    const guest = new Guest(off, { clock: make() })
    const { domain } = guest
    const timer = domain.timers.create(() => domain.stop({ reason: 'wake' }))
    timer.armAfter(20_000_000)
    domain.asleep = true
    expect(await guest.run()).toEqual({ reason: 'wake' })
    expect([guest.boot.retired, domain.clock.now()]).toEqual([0, expect.any(Number)])
    expect(domain.clock.now()).toBeGreaterThanOrEqual(20_000_000)
    domain.asleep = false
    expect((await guest.run()).reason).toBe('debug-exit')
  },
)

test('a model that fails crashes its domain; after a reset the others answer', async () => {
  const failing = defineDevice({
    name: 'failing',
    ports: { base: 0x90, size: 1 },
    read: () => Promise.reject(new Error('out of paper')),
  })
  const guest = new Guest((asm) => void asm.in(al, imm8(0x90)).hlt(), { devices: [failing, answering] })
  expect(await guest.run()).toMatchObject({ reason: 'device-failure', failure: { device: 'failing' } })
  guest.domain.reset()
  guest.program(CODE, 32, (asm) => off(asm.in(al, imm8(0x80))))
  guest.boot.load(PROTECTED)
  setTimeout(() => guest.domain.stop({ reason: 'stopped' }), 2000).unref()
  expect((await guest.run()).reason).toBe('debug-exit')
})

test('no instruction is executed within what ends a request without an answer', async () => {
  const asked = Promise.withResolvers<void>()
  const never = (): Promise<number> => {
    asked.resolve()
    return new Promise(() => {})
  }
  const silent = defineDevice({ name: 'silent', ports: { base: 0x80, size: 1 }, read: never })
  const guest = new Guest((asm) => void asm.in(al, imm8(0x80)).mov(dword(0x4000), eax).hlt(), { devices: [silent] })
  const run = guest.run()
  await asked.promise
  // The vCPU waits, and nothing else has come to pass.
  const before = guest.domain.instructions
  guest.domain.devices.server.destroy()
  expect(guest.domain.instructions).toBe(before)
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(guest.read32(0x4000) & 0xff).toBe(0xff)
  guest.domain.stop({ reason: 'stopped' })
  await run
})

describe.each(clocks)('three vCPUs, on $name', ({ make }) => {
  test('get the answers to their own requests, however long each takes', async () => {
    const count = 300
    const next = [0, 0, 0]
    const random = numbers(1)
    const later = async (value: number): Promise<number> => {
      const turns = random(40)
      if (turns === 39) await new Promise((resolve) => setTimeout(resolve, 1))
      else if (turns === 38) await new Promise((resolve) => setImmediate(resolve))
      else for (let i = turns % 4; i > 0; i--) await NOTHING
      return value
    }
    const device = defineDevice({
      name: 'uneven',
      ports: { base: 0x80, size: 12 },
      read: (offset) => {
        const vcpu = offset >>> 2
        const value = (next[vcpu] = (next[vcpu] as number) + 1)
        return random(8) === 7 ? value : (later(value) as unknown as number)
      },
    })
    const guest = new Guest(() => undefined, { clock: make(), vcpus: 3, devices: [device] })
    const sums = guest.domain.vcpus.map(({ cpu }, i) => {
      const rip = CODE + 0x1000 * i
      guest.program(rip, 32, (asm) => {
        const loop = asm.label()
        asm.mov(ecx, count).xor(ebx, ebx).bind(loop)
        // Answers that come in another order give another sum.
        asm
          .in(eax, imm8(0x80 + 4 * i))
          .rol(ebx, 3)
          .add(ebx, eax)
        asm.dec(ecx).jnz(loop).hlt()
      })
      cpu.load({ ...PROTECTED, registers: { ...PROTECTED.registers, rip } })
      if (i > 0) restoreVcpu(cpu, { ...guest.state(i), pending: guest.state(0).pending })
      return (): string | undefined => saveVcpu(cpu).registers['rbx']
    })
    const run = guest.run()
    while (guest.domain.vcpus.some(({ cpu }) => !cpu.halted)) await new Promise((resolve) => setTimeout(resolve, 5))
    guest.domain.stop({ reason: 'stopped' })
    expect(await run).toEqual({ reason: 'stopped' })
    let expected = 0
    for (let i = 1; i <= count; i++) expected = (((expected << 3) | (expected >>> 29)) + i) >>> 0
    expect(next).toEqual([count, count, count])
    expect(sums.map((sum) => sum())).toEqual(new Array(3).fill(`0x${expected.toString(16)}`))
  })
})

test("a host that stands still for 25 s while a vCPU executes takes none of the guest's time", async () => {
  let host = 0
  const stands = defineDevice({
    name: 'stands',
    synchronous: true,
    ports: { base: 0x80, size: 1 },
    write: () => void (host += 25e9),
  })
  const clock = new RealClock(() => (host += 100))
  const guest = new Guest(
    (asm) => {
      // The first look at the clock is behind it.
      for (const turns of [100_000, 100_000]) {
        asm.mov(ecx, turns)
        const again = asm.here()
        asm.dec(ecx).jnz(again).out(imm8(0x80), al)
      }
      asm.mov(ecx, 100_000)
      const last = asm.here()
      asm.dec(ecx).jnz(last).mov(al, 0).out(EXIT_PORT, al).hlt()
    },
    { clock, devices: [stands] },
  )
  expect((await guest.run()).reason).toBe('debug-exit')
  expect(host).toBeGreaterThan(50e9)
  expect(clock.now()).toBeLessThan(1e9)
})
