import { al, eax, ebx, ecx, edi, esi, imm32, dword } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E } from './support/headers.ts'
import { ARGUMENTS, MODES, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const SCHED_OP = 29
const CONSOLE_IO = 18
const MULTICALL = 13
const OP = { yield: 0, block: 1, shutdown: 2, poll: 3, remote: 4, code: 5, watchdog: 6, pin: 7 }
const SECOND = 1e9

describe.each(MODES)('sched_op, %s caller', (mode) => {
  test('yield', async () => {
    expect(await new XenTestGuest(mode).call(SCHED_OP, OP.yield, 0)).toBe(0)
  })

  test.each([
    { reason: 0, exit: { reason: 'power-off' } },
    { reason: 1, exit: { reason: 'reset' } },
    { reason: 2, exit: { reason: 'guest-shutdown', vcpu: 0, code: 'suspend' } },
    { reason: 3, exit: { reason: 'guest-shutdown', vcpu: 0, code: 'crash' } },
    { reason: 4, exit: { reason: 'guest-shutdown', vcpu: 0, code: 'watchdog' } },
    { reason: 5, exit: { reason: 'guest-shutdown', vcpu: 0, code: 'soft-reset' } },
    { reason: 99, exit: { reason: 'guest-shutdown', vcpu: 0, code: 'crash' } },
  ])('shutdown $reason ends the domain', async ({ reason, exit }) => {
    const guest = new XenTestGuest(mode)
    guest.write32(ARGUMENTS, reason)
    expect(await guest.call(SCHED_OP, OP.shutdown, ARGUMENTS)).toBe(0)
    expect(guest.exit).toEqual(exit)
  })

  test('a latched code is what a later shutdown reports', async () => {
    const guest = new XenTestGuest(mode)
    guest.write32(ARGUMENTS, 3)
    expect(await guest.call(SCHED_OP, OP.code, ARGUMENTS)).toBe(0)
    guest.write32(ARGUMENTS, 0)
    expect(await guest.call(SCHED_OP, OP.code, ARGUMENTS)).toBe(0)
    await guest.call(SCHED_OP, OP.shutdown, ARGUMENTS)
    expect(guest.exit).toEqual({ reason: 'guest-shutdown', vcpu: 0, code: 'crash' })
  })

  test('watchdogs: two, each with a time of its own', async () => {
    const guest = new XenTestGuest(mode)
    const watchdog = async (id: number, timeout: number): Promise<number> => {
      guest.write32(ARGUMENTS, id, timeout)
      return guest.call(SCHED_OP, OP.watchdog, ARGUMENTS)
    }
    expect([await watchdog(1, 5), await watchdog(0, 10), await watchdog(0, 20), await watchdog(0, 30)]).toEqual([
      E.INVAL,
      1,
      2,
      E.NOSPC,
    ])
    expect([await watchdog(1, 0), await watchdog(1, 5), await watchdog(3, 5)]).toEqual([0, E.INVAL, E.INVAL])
    // The second one bites.
    guest.program((asm) => asm.bind(asm.label()).sti().hlt().hlt())
    const before = guest.domain.clock.now()
    await guest.call(0)
    expect(guest.exit).toEqual({ reason: 'guest-shutdown', vcpu: 0, code: 'watchdog' })
    expect(guest.domain.clock.now() - before).toBeCloseTo(20 * SECOND, -6)
  })

  test.each([
    { what: 'shutdown of a bad pointer', op: OP.shutdown, argument: 0x7000_0000, is: E.FAULT },
    { what: 'poll of a bad pointer', op: OP.poll, argument: 0x7000_0000, is: E.FAULT },
    { what: 'watchdog of a bad pointer', op: OP.watchdog, argument: 0x7000_0000, is: E.FAULT },
    { what: 'shutting down another', op: OP.remote, domid: 9, is: E.SRCH },
    { what: 'shutting down the toolstack', op: OP.remote, domid: 0, is: E.PERM },
    { what: 'shutting itself down from afar', op: OP.remote, domid: 1, is: E.PERM },
    { what: 'pinning', op: OP.pin, is: E.PERM },
    { what: 'nothing', op: 8, is: E.NOSYS },
  ])('$what', async ({ op, is, argument = ARGUMENTS, domid = 0 }) => {
    const guest = new XenTestGuest(mode)
    guest.write32(ARGUMENTS, domid, 0)
    expect(await guest.call(SCHED_OP, op, argument)).toBe(is)
  })

  test('poll waits until a time, without interrupts', async () => {
    const guest = new XenTestGuest(mode)
    const poll = async (count: number, timeout: number): Promise<number> => {
      if (mode === '64') guest.write64(ARGUMENTS, ARGUMENTS + 0x100)
      else guest.write32(ARGUMENTS, ARGUMENTS + 0x100)
      guest.write32(ARGUMENTS + (mode === '64' ? 8 : 4), count)
      guest.write64(ARGUMENTS + (mode === '64' ? 16 : 8), timeout)
      return guest.call(SCHED_OP, OP.poll, ARGUMENTS)
    }
    expect(await poll(0, 5 * SECOND)).toBe(0)
    expect(guest.domain.clock.now()).toBeGreaterThanOrEqual(5 * SECOND)
    expect(guest.domain.clock.now()).toBeLessThan(5.1 * SECOND)
    expect(await poll(129, 0)).toBe(E.INVAL)
    guest.write32(ARGUMENTS + 0x100, 5000)
    expect(await poll(1, 0)).toBe(E.INVAL)
  })

  test('poll ends when one of the event channels is pending, though it is masked', async () => {
    const guest = new XenTestGuest(mode)
    const { channels } = guest.xen.events
    const port = channels.allocateUnbound(0x7ff0, 0x7ff0)
    const other = channels.bindInterdomain(0x7ff0, port)
    guest.write32(ARGUMENTS + 0x100, port)
    if (mode === '64') guest.write64(ARGUMENTS, ARGUMENTS + 0x100, 1, 0)
    else guest.write32(ARGUMENTS, ARGUMENTS + 0x100, 1, 0, 0)
    guest.domain.timers.create(() => channels.send(other)).arm(3 * SECOND)
    expect(await guest.call(SCHED_OP, OP.poll, ARGUMENTS)).toBe(0)
    expect(guest.domain.clock.now()).toBeGreaterThanOrEqual(3 * SECOND)
    // It is still pending.
    expect(await guest.call(SCHED_OP, OP.poll, ARGUMENTS)).toBe(0)
  })

  test('block waits for an interrupt, whether or not it can be taken, and lets event channels interrupt', async () => {
    const guest = new XenTestGuest(mode)
    const { domain } = guest
    const { info } = guest.xen.events
    const apic = domain.vcpus[0]?.apic
    apic?.write(0xf0, 0x1ff)
    guest.memory.u8[info.vcpuInfo(0) + 1] = 1
    domain.timers.create(() => apic?.accept(0x40, false)).arm(2 * SECOND)
    expect(await guest.call(SCHED_OP, OP.block, 0)).toBe(0)
    expect(domain.clock.now()).toBeGreaterThanOrEqual(2 * SECOND)
    expect(domain.clock.now()).toBeLessThan(2.1 * SECOND)
    expect(guest.memory.u8[info.vcpuInfo(0) + 1]).toBe(0)
    // Interrupts are off: it is still there, and is looked at only when they are on.
    expect(apic?.hasInterrupt()).toBe(true)
  })
})

describe.each(MODES)('console_io, %s caller', (mode) => {
  const TEXT = 0x30_0000

  test('text reaches who listens, without what a terminal would obey', async () => {
    const heard: number[] = []
    const guest = new XenTestGuest(mode, { xen: { console: (bytes) => heard.push(...bytes) } })
    guest.write(TEXT, new TextEncoder().encode('hello\x1b[2J\tworld\r\n\x00'))
    expect(await guest.call(CONSOLE_IO, 0, 18, TEXT)).toBe(0)
    expect(String.fromCharCode(...heard)).toBe('hello[2J\tworld\n')
  })

  test('long text is cut into parts', async () => {
    let heard = 0
    const guest = new XenTestGuest(mode, { xen: { console: (bytes) => (heard += bytes.length) } })
    guest.write(TEXT, new Uint8Array(30_000).fill(0x41))
    expect(await guest.call(CONSOLE_IO, 0, 30_000, TEXT)).toBe(0)
    expect(heard).toBe(30_000)
    const left = mode === '64' ? 6 : 1
    expect(guest.register(left)).toBe(30_000n - 8192n * 3n)
  })

  test('a list that ends where nothing is', async () => {
    const guest = new XenTestGuest(mode, { xen: { console: () => undefined } })
    expect(await guest.call(CONSOLE_IO, 0, 0xffff_ffff, 0x3f_0000)).toBe(E.FAULT)
    expect(await guest.call(CONSOLE_IO, 1, 1, TEXT)).toBe(E.PERM)
  })

  test('without a listener it is not for guests', async () => {
    expect(await new XenTestGuest(mode).call(CONSOLE_IO, 0, 1, TEXT)).toBe(E.PERM)
  })
})

describe.each(MODES)('multicall, %s caller', (mode) => {
  const LIST = 0x20_0000
  const long = mode === '64' ? 8 : 4
  const entry = (guest: XenTestGuest, index: number, number: number, ...args: readonly number[]): void =>
    guest.writeLongs(LIST + index * 8 * long, number, 0x7777, ...args)
  const result = (guest: XenTestGuest, index: number): number => guest.read32(LIST + index * 8 * long + long) | 0

  test('each call has a result of its own', async () => {
    const guest = new XenTestGuest(mode)
    entry(guest, 0, 17, 0)
    entry(guest, 1, 99)
    entry(guest, 2, 17, 6, 0x7000_0000)
    entry(guest, 3, MULTICALL, LIST, 1)
    entry(guest, 4, 17, 0)
    expect(await guest.call(MULTICALL, LIST, 4)).toBe(0)
    expect([0, 1, 2, 3, 4].map((i) => result(guest, i))).toEqual([0x4_0011, E.NOSYS, E.FAULT, E.INVAL, 0x7777])
    expect(await guest.call(MULTICALL, 0x7000_0000, 1)).toBe(E.FAULT)
    expect(await guest.call(MULTICALL, 0x3f_ffc0, 0xffff_ffff)).toBe(E.FAULT)
  })

  test('long lists are cut into parts', async () => {
    const guest = new XenTestGuest(mode)
    const count = 3000
    for (let i = 0; i < count; i++) entry(guest, i, 17, 0)
    expect(await guest.call(MULTICALL, LIST, count)).toBe(0)
    for (let i = 0; i < count; i++) expect(result(guest, i)).toBe(0x4_0011)
    expect(guest.register(mode === '64' ? 6 : 1)).toBe(BigInt(count - 2048))
  })

  test('a call in it that is cut in two goes on where it was', async () => {
    const guest = new XenTestGuest(mode, { memoryBytes: 64 << 20 })
    const frames = 3000
    guest.domain.p2m.populate(0x1000, frames)
    const extents = 0x30_0000
    guest.writeLongs(extents, ...Array.from({ length: frames }, (_, i) => 0x1000 + i))
    guest.writeLongs(ARGUMENTS, extents, frames)
    guest.write32(ARGUMENTS + 2 * long, 0, 0, 0x7ff0)
    entry(guest, 0, 17, 0)
    entry(guest, 1, 12, 1, ARGUMENTS)
    entry(guest, 2, 17, 0)
    expect(await guest.call(MULTICALL, LIST, 3)).toBe(0)
    expect([0, 1, 2].map((i) => result(guest, i))).toEqual([0x4_0011, frames, 0x4_0011])
    expect(guest.domain.p2m.translate((0x1000 + frames - 1) * 0x1000)).toBe(-1)
  })
})

test('vCPUs go on while another waits in a poll', async () => {
  const guest = new XenTestGuest('64', { vcpus: 2 })
  const [first, second] = guest.domain.vcpus
  expect(first?.id).toBe(0)
  // The second vCPU counts in real-address mode.
  guest.write(0x6000, Uint8Array.of(0x66, 0xff, 0x06, 0x00, 0x70, 0xeb, 0xf9))
  guest.domain.interrupts.localApic(1)
  second?.cpu.init()
  second?.cpu.startup(6)
  guest.write64(ARGUMENTS, 0, 0, 1_000_000)
  guest.program((asm) => {
    asm.mov(edi, OP.poll).mov(esi, imm32(ARGUMENTS)).mov(eax, SCHED_OP).vmcall()
    asm
      .mov(ebx, dword(0x7000))
      .mov(dword(ARGUMENTS + 0x80), ebx)
      .mov(ecx, 0)
      .out(0xf4, al)
      .hlt()
  })
  await guest.call(0)
  expect(guest.read32(ARGUMENTS + 0x80)).toBeGreaterThan(100_000)
})

describe.each(MODES)('set_timer_op, %s caller', (mode) => {
  const SET_TIMER_OP = 15
  /** The argument is split for 32-bit callers. */
  const set = (guest: XenTestGuest, timeout: bigint): Promise<number> =>
    mode === '64'
      ? guest.call(SET_TIMER_OP, BigInt.asUintN(64, timeout))
      : guest.call(SET_TIMER_OP, timeout & 0xffff_ffffn, (timeout >> 32n) & 0xffff_ffffn)

  test.each([
    { given: 'a time', timeout: 6_000_000_000n, due: 6 * SECOND },
    { given: 'one in the past', timeout: 1n, due: 0 },
    { given: 'one that is negative', timeout: -5n, due: 0.1 * SECOND },
    { given: 'one that is weeks away', timeout: 1n << 51n, due: 0.1 * SECOND },
    { given: 'none', timeout: 0n, due: Infinity },
  ])('$given', async ({ timeout, due }) => {
    const guest = new XenTestGuest(mode)
    const { timers, clock } = guest.domain
    expect(await set(guest, timeout)).toBe(0)
    if (due === Infinity) expect(timers.nextDeadlineNs).toBe(Infinity)
    else expect(timers.nextDeadlineNs).toBeLessThan(Math.max(due, clock.now()) + 1000)
    if (due > 0 && due < Infinity) expect(timers.nextDeadlineNs).toBeGreaterThanOrEqual(due)
  })
})
