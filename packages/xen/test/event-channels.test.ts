import { al, dword, eax, ebx, ecx, edx } from '@retrap/x86-assembler'
import { Instant } from '@retrap/device'
import { P2mType } from '@retrap/p2m'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E, EVENT_OP as OP, SELF } from './support/headers.ts'
import { EVENT_CHANNEL_OP, FIRST_FREE, SharedPageGuest } from './support/shared-page-guest.ts'
import { ARGUMENTS, type CallerMode, RAM_BYTES, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const ETIME = -62
const VCPU_OP = 24
const MEMORY_OP = 12

/** A guest with 2-level event channels. */
class EventGuest extends SharedPageGuest {
  constructor(mode: CallerMode, vcpus = 1) {
    super(mode, vcpus, (16 + 4 * vcpus) << 20)
  }

  get events() {
    return this.xen.events
  }

  /** One that gives a port, in the word with that index. */
  async open(command: number, index: number, ...words: readonly number[]): Promise<number> {
    const result = await this.op(command, ...words, 0, 0)
    return result < 0 ? result : this.read32(ARGUMENTS + 4 * index)
  }

  async status(port: number): Promise<readonly number[]> {
    const result = await this.op(OP.status, SELF, port, 0, 0, 0, 0)
    return result < 0 ? [result] : [0, 1, 2, 3].map((i) => this.read32(ARGUMENTS + 8 + 4 * i))
  }

  clockSkip(ns: number): void {
    this.domain.clock.skipTo(Instant.from(this.domain.clock.now() + ns))
  }

  /** Makes the next call write IA32_TIME_STAMP_COUNTER instead. */
  moveTsc(value: number): void {
    this.program((asm) => asm.mov(ecx, 0x10).mov(eax, value).mov(edx, 0).wrmsr().out(0xf4, al).hlt())
  }

  bit(array: number, port: number): boolean {
    return ((this.read32(this.page + array + 4 * (port >>> 5)) >>> (port & 31)) & 1) !== 0
  }

  setBit(array: number, port: number): void {
    const at = this.page + array + 4 * (port >>> 5)
    this.write32(at, (this.read32(at) | (1 << (port & 31))) >>> 0)
  }
}

const LAYOUTS = [
  { mode: '64', pending: 2048, mask: 2560, selector: 8, perWord: 64, ports: 4096 },
  { mode: '32', pending: 2048, mask: 2176, selector: 4, perWord: 32, ports: 1024 },
] as const

describe.each(LAYOUTS)('event_channel_op of $mode-bit guests (public/event_channel.h)', (layout) => {
  const { mode, pending, mask, selector, perWord, ports } = layout

  test('a loop within the guest: unbound, bound, sent, closed', async () => {
    const guest = new EventGuest(mode)
    const first = await guest.open(OP.allocUnbound, 1, SELF | (SELF << 16))
    expect(first).toBe(FIRST_FREE)
    expect(await guest.status(first)).toEqual([1, 0, 1, 0])
    const second = await guest.open(OP.bindInterdomain, 2, SELF, first)
    expect(second).toBe(FIRST_FREE + 1)
    expect(await guest.status(first)).toEqual([2, 0, 1, second])
    expect(await guest.status(second)).toEqual([2, 0, 1, first])
    // The one who binds is told at once.
    expect(guest.bit(pending, second)).toBe(true)
    expect(guest.read32(guest.page) & 0xff).toBe(1)
    expect(guest.read32(guest.page + selector)).toBe(1)
    expect(await guest.op(OP.send, second)).toBe(0)
    expect(guest.bit(pending, first)).toBe(true)
    expect(await guest.op(OP.close, second)).toBe(0)
    expect(guest.bit(pending, second)).toBe(false)
    expect(await guest.status(first)).toEqual([1, 0, 1, 0])
    expect(await guest.status(second)).toEqual([0, 0, 0, 0])
    expect(await guest.op(OP.send, first)).toBe(0)
    expect(await guest.op(OP.send, second)).toBe(E.INVAL)
    expect(await guest.op(OP.close, second)).toBe(E.INVAL)
  })

  test('masked events wait, and are delivered when they are unmasked', async () => {
    const guest = new EventGuest(mode)
    const port = await guest.open(OP.bindIpi, 1, 0)
    guest.setBit(mask, port)
    expect(await guest.op(OP.send, port)).toBe(0)
    expect(guest.bit(pending, port)).toBe(true)
    expect(guest.read32(guest.page)).toBe(0)
    expect(guest.read32(guest.page + selector)).toBe(0)
    expect(await guest.op(OP.unmask, port)).toBe(0)
    expect(guest.bit(mask, port)).toBe(false)
    expect(guest.read32(guest.page)).toBe(1)
    expect(guest.read32(guest.page + selector)).toBe(1)
  })

  test('the selector has a bit for each word of ports', async () => {
    const guest = new EventGuest(mode)
    let port = 0
    while (port < 3 * perWord + 5) port = await guest.open(OP.bindIpi, 1, 0)
    await guest.op(OP.send, port)
    expect(guest.read32(guest.page + selector)).toBe(1 << 3)
    expect(guest.bit(pending, port)).toBe(true)
  })

  test(`there are ${ports} ports, of which the first is none`, async () => {
    const guest = new EventGuest(mode)
    const { channels } = guest.events
    for (let port = FIRST_FREE; port < ports; port++) expect(channels.bindIpi(0)).toBe(port)
    expect(await guest.open(OP.bindIpi, 1, 0)).toBe(E.NOSPC)
    expect(await guest.op(OP.send, ports)).toBe(E.INVAL)
    expect(await guest.op(OP.send, 0)).toBe(E.INVAL)
    expect(await guest.op(OP.reset, SELF)).toBe(0)
    expect(await guest.open(OP.bindIpi, 1, 0)).toBe(1)
  })

  test('virtual interrupts: the timer is each vCPU’s own', async () => {
    const guest = new EventGuest(mode, 2)
    const port = await guest.open(OP.bindVirq, 2, 0, 1)
    expect(await guest.status(port)).toEqual([4, 1, 0, 0])
    expect(await guest.open(OP.bindVirq, 2, 0, 1)).toBe(E.EXIST)
    expect(await guest.open(OP.bindVirq, 2, 0, 0)).toBe(port + 1)
    expect(await guest.op(OP.bindVcpu, port, 0)).toBe(E.INVAL)
    const shared = await guest.open(OP.bindVirq, 2, 2, 0)
    expect(await guest.open(OP.bindVirq, 2, 2, 1)).toBe(E.INVAL)
    expect(await guest.op(OP.bindVcpu, shared, 1)).toBe(0)
    expect(await guest.status(shared)).toEqual([4, 1, 2, 0])
    guest.events.channels.raiseVirq(2, 0)
    expect(guest.bit(pending, shared)).toBe(true)
    expect(guest.read32(guest.page + 64)).toBe(1)
    expect(guest.read32(guest.page)).toBe(0)
  })

  test.each([
    ['send through a timer', OP.send, [FIRST_FREE], E.INVAL],
    ['a vCPU that there is not', OP.bindIpi, [7], E.NOENT],
    ['a virtual interrupt of none', OP.bindVirq, [1, 7], E.NOENT],
    ['a virtual interrupt that there is not', OP.bindVirq, [24, 0], E.INVAL],
    ['a port for another domain', OP.allocUnbound, [0], E.PERM],
    ['a port for no domain', OP.allocUnbound, [9], E.SRCH],
    ['the host’s port that is none', OP.bindInterdomain, [0, 99], E.INVAL],
    ['a domain that there is not', OP.bindInterdomain, [9, 1], E.SRCH],
    ['a port that waits for nobody', OP.bindInterdomain, [SELF, FIRST_FREE], E.INVAL],
    ['another domain’s state', OP.status, [0, 1], E.PERM],
    ['a physical interrupt', OP.bindPirq, [1, 0], E.INVAL],
    ['a vCPU for nobody’s port', OP.bindVcpu, [9, 0], E.INVAL],
    ['no vCPU for a port', OP.bindVcpu, [1, 7], E.NOENT],
    ['the vCPU behind the last for a port', OP.bindVcpu, [1, 1], E.NOENT],
    ['the vCPU behind the last for an IPI', OP.bindIpi, [1], E.NOENT],
    ['the vCPU behind the last for a virtual interrupt', OP.bindVirq, [1, 1], E.NOENT],
    ['another domain reset', OP.reset, [0], E.PERM],
    ['a priority', OP.setPriority, [1, 1], E.NOSYS],
    ['an operation that there is not', 99, [0], E.NOSYS],
  ])('%s', async (_name, command, words, result) => {
    const guest = new EventGuest(mode)
    expect(await guest.open(OP.bindVirq, 2, 0, 0)).toBe(FIRST_FREE)
    expect(await guest.op(command, ...words, 0, 0)).toBe(result)
  })

  test('a bad pointer is -EFAULT, and leaves no port open', async () => {
    const guest = new EventGuest(mode)
    for (const command of Object.values(OP).slice(0, 11)) {
      if (command === OP.bindPirq) continue
      expect(await guest.call(EVENT_CHANNEL_OP, command, 0x9000_0000)).toBe(E.FAULT)
    }
    // Only the result lies in no memory.
    const end = 0x3f_f000 + 0x1000 - 4
    guest.write32(end, 0)
    if (mode === '32') {
      expect(await guest.call(EVENT_CHANNEL_OP, OP.bindIpi, end)).toBe(E.FAULT)
      expect(await guest.open(OP.bindIpi, 1, 0)).toBe(FIRST_FREE)
    }
  })

  test('the host’s ends: both ways, and gone', async () => {
    const guest = new EventGuest(mode)
    const { channels } = guest.events
    let heard = 0
    const offered = channels.openHostPort(() => heard++)
    expect(offered.bound).toBe(false)
    offered.send()
    const port = await guest.open(OP.bindInterdomain, 2, 0, offered.port)
    expect(await guest.status(port)).toEqual([2, 0, 0, offered.port])
    expect(await guest.open(OP.bindInterdomain, 2, 0, offered.port)).toBe(E.INVAL)
    expect(offered.bound).toBe(true)
    await guest.op(OP.send, port)
    expect(heard).toBe(1)
    offered.close()
    expect(await guest.status(port)).toEqual([1, 0, 0, 0])

    const waiting = await guest.open(OP.allocUnbound, 1, SELF)
    expect(channels.bindHost(port + 100, () => {})).toBeUndefined()
    const bound = channels.bindHost(waiting, () => heard++)
    expect(bound?.bound).toBe(true)
    expect(channels.bindHost(waiting, () => {})).toBeUndefined()
    bound?.send()
    expect(guest.bit(pending, waiting)).toBe(true)
    await guest.op(OP.send, waiting)
    expect(heard).toBe(2)
    await guest.op(OP.close, waiting)
    expect(bound?.bound).toBe(false)
    bound?.send()
    expect(guest.bit(pending, waiting)).toBe(false)
  })
})

const VCPUOP = {
  initialise: 0,
  up: 1,
  down: 2,
  isUp: 3,
  getRunstate: 4,
  registerRunstate: 5,
  setPeriodic: 6,
  stopPeriodic: 7,
  setSingleShot: 8,
  stopSingleShot: 9,
  registerInfo: 10,
  sendNmi: 11,
  physicalId: 12,
  registerTime: 13,
} as const

describe.each(LAYOUTS)('vcpu_op of $mode-bit guests (public/vcpu.h)', ({ mode, pending, selector }) => {
  const place = 0x5_0040

  test('vcpu_info has another place, once', async () => {
    const guest = new EventGuest(mode, 2)
    const op = (vcpu: number, ...words: readonly number[]): Promise<number> => {
      guest.write32(ARGUMENTS, ...words)
      return guest.call(VCPU_OP, VCPUOP.registerInfo, vcpu, ARGUMENTS)
    }
    const gfn = place >>> 12
    expect(await op(0, gfn, 0, 0x1000 - 63, 0)).toBe(E.INVAL)
    expect(await op(0, gfn, 0, 0x42, 0)).toBe(E.INVAL)
    expect(await op(0, 0x9_0000, 0, 0, 0)).toBe(E.INVAL)
    expect(await op(0, 0, 0x100, 0, 0)).toBe(E.INVAL)
    expect(await op(7, gfn, 0, 0, 0)).toBe(E.NOENT)
    expect(await op(0, gfn, 0, place & 0xfff, 0)).toBe(0)
    expect(await op(0, gfn, 0, 0x80, 0)).toBe(E.INVAL)
    // All is marked, so that nothing is lost.
    expect(guest.read32(place)).toBe(1)
    expect(guest.read32(place + selector)).toBe(0xffff_ffff)
    guest.write32(place, 0)
    guest.write32(place + selector, 0)
    const port = await guest.open(OP.bindIpi, 1, 0)
    await guest.op(OP.send, port)
    expect(guest.read32(place)).toBe(1)
    expect(guest.read32(guest.page)).toBe(0)
    expect(guest.bit(pending, port)).toBe(true)
    // One that does not run yet can be placed by another.
    expect(await op(1, gfn, 0, 0x80, 0)).toBe(0)
    expect(guest.read32((gfn << 12) + 0x80)).toBe(1)
  })

  test.each(['logged', 'populated on demand'])('vcpu_info in RAM that is %s', async (kind) => {
    const guest = new EventGuest(mode)
    const { p2m } = guest.domain
    const gfn = kind === 'logged' ? place >>> 12 : 0x1000
    if (kind === 'logged') p2m.setType(gfn, 1, P2mType.RAM_LOGDIRTY)
    else {
      p2m.onDemand.mark(gfn, 1)
      p2m.onDemand.setCache(1)
    }
    guest.write32(ARGUMENTS, gfn, 0, 0, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(0)
    expect(guest.read32(gfn * 0x1000)).toBe(1)
  })

  test('a vcpu_info whose frame leaves the guest is not written to any more', async () => {
    const guest = new EventGuest(mode)
    guest.write32(ARGUMENTS, place >>> 12, 0, place & 0xfff, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(0)
    const ma = guest.domain.p2m.translate(place & ~0xfff)
    guest.domain.p2m.remove(place >>> 12, ma / 0x1000)
    guest.memory.u8.fill(0, ma, ma + 0x1000)
    const port = await guest.open(OP.bindIpi, 1, 0)
    expect(await guest.op(OP.send, port)).toBe(0)
    expect(guest.memory.read(ma, 0x1000).every((byte) => byte === 0)).toBe(true)
    expect(guest.bit(pending, port)).toBe(true)
  })

  test('a vcpu_info’s frame is not shared, and one that is paged out is not written to', async () => {
    const guest = new EventGuest(mode)
    const { p2m, frameCounts } = guest.domain
    const gfn = place >>> 12
    const mfn = p2m.translate(gfn * 0x1000) / 0x1000
    guest.write32(ARGUMENTS, gfn, 0, place & 0xfff, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(0)
    expect(() => p2m.share(gfn + 1, p2m, gfn)).toThrow(expect.objectContaining({ code: 'ERR_BUSY' }))
    p2m.paging.nominate(gfn)
    // Device models let go of it when the guest runs.
    const port = await guest.open(OP.bindIpi, 1, 0)
    p2m.paging.evict(gfn)
    expect(frameCounts.count(mfn)).toBe(0)
    const before = guest.memory.read(mfn * 0x1000, 0x1000)
    expect(await guest.op(OP.send, port)).toBe(0)
    guest.events.updateTime()
    expect(guest.memory.read(mfn * 0x1000, 0x1000)).toEqual(before)
  })

  test('a clock page’s version grows by 2 with each update', async () => {
    const guest = new EventGuest(mode)
    guest.events.updateTime()
    // struct vcpu_time_info in the first vcpu_info of the shared page (public/xen.h).
    const at = guest.page + 32
    const first = guest.read32(at)
    const versions = [1, 2, 3, 4, 5].map(() => {
      guest.events.updateTime()
      return guest.read32(at)
    })
    expect([first % 2, ...versions]).toEqual([0, 2, 4, 6, 8, 10].map((grown, i) => (i === 0 ? 0 : first + grown)))
  })

  test('a vcpu_info’s frame is free after a reset', async () => {
    const guest = new EventGuest(mode)
    const { p2m, frameCounts } = guest.domain
    const mfn = p2m.translate(place) >>> 12
    guest.write32(ARGUMENTS, place >>> 12, 0, place & 0xfff, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(0)
    expect(frameCounts.count(mfn)).toBe(2)
    guest.xen.reset()
    expect(frameCounts.count(mfn)).toBe(1)
  })

  test('events go on where the guest moves the shared page, and the page of a vcpu_info', async () => {
    const guest = new EventGuest(mode)
    const move = async (space: number, from: number, to: number): Promise<void> => {
      guest.write32(ARGUMENTS, SELF, space)
      guest.writeLongs(ARGUMENTS + 8, from, to)
      expect(await guest.call(MEMORY_OP, 7, ARGUMENTS)).toBe(0)
    }
    // As firmware leaves it to a kernel, and a kernel to the next.
    for (const gfn of [0x380, 0x390]) {
      await move(0, 0, gfn)
      const port = await guest.open(OP.bindIpi, 1, 0)
      expect(await guest.op(OP.send, port)).toBe(0)
      expect([guest.read32(gfn * 0x1000), guest.read32(gfn * 0x1000 + selector)]).toEqual([1, 1])
      expect(guest.read32(gfn * 0x1000 + pending) & (1 << port)).not.toBe(0)
      guest.write32(gfn * 0x1000, 0)
      guest.write32(gfn * 0x1000 + selector, 0)
    }
    guest.write32(ARGUMENTS, place >>> 12, 0, place & 0xfff, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(0)
    const there = 0x3a_0000 + (place & 0xfff)
    await move(2, place >>> 12, 0x3a0)
    guest.write32(there, 0)
    guest.write32(there + selector, 0)
    const port = await guest.open(OP.bindIpi, 1, 0)
    expect(await guest.op(OP.send, port)).toBe(0)
    expect(guest.read32(there)).toBe(1)
  })

  test('the single-shot timer raises the timer’s interrupt, in system time', async () => {
    const guest = new EventGuest(mode)
    const { clock } = guest.domain
    const port = await guest.open(OP.bindVirq, 2, 0, 0)
    const set = (at: number, flags: number): Promise<number> => {
      guest.write32(ARGUMENTS, at >>> 0, Math.floor(at / 2 ** 32), flags, 0)
      return guest.call(VCPU_OP, VCPUOP.setSingleShot, 0, ARGUMENTS)
    }
    const at = Math.floor(clock.now()) + 5_000_000_000
    expect(await set(at, 0)).toBe(0)
    guest.domain.timers.expire()
    expect(guest.bit(pending, port)).toBe(false)
    clock.skipTo(Instant.from(at))
    guest.domain.timers.expire()
    expect(guest.bit(pending, port)).toBe(true)
    guest.write32(guest.page + pending, 0)
    expect(await set(at - 1, 1)).toBe(ETIME)
    expect(await set(at + 1e9, 1)).toBe(0)
    expect(await guest.call(VCPU_OP, VCPUOP.stopSingleShot, 0, 0)).toBe(0)
    clock.skipTo(Instant.from(at + 2e9))
    guest.domain.timers.expire()
    expect(guest.bit(pending, port)).toBe(false)
  })

  test('the periodic timer goes on until it is stopped; what was late is one', async () => {
    const guest = new EventGuest(mode)
    const { clock, timers } = guest.domain
    const port = await guest.open(OP.bindVirq, 2, 0, 0)
    const take = (): boolean => {
      timers.expire()
      const was = guest.bit(pending, port)
      guest.write32(guest.page + pending, 0)
      return was
    }
    guest.write32(ARGUMENTS, 999_999, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.setPeriodic, 0, ARGUMENTS)).toBe(E.INVAL)
    guest.write32(ARGUMENTS, 10_000_000, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.setPeriodic, 0, ARGUMENTS)).toBe(0)
    const ticks: boolean[] = []
    const start = clock.now()
    for (const ms of [9, 11, 19, 21, 75, 79, 82]) {
      clock.skipTo(Instant.from(start + ms * 1e6))
      ticks.push(take())
    }
    expect(ticks).toEqual([false, true, false, true, true, false, true])
    expect(await guest.call(VCPU_OP, VCPUOP.stopPeriodic, 0, 0)).toBe(0)
    clock.skipTo(Instant.from(clock.now() + 1e9))
    expect(take()).toBe(false)
  })

  test('what a vCPU does with its time adds up to the time', async () => {
    const guest = new EventGuest(mode)
    const area = 0x5_0800
    const entry = mode === '64' ? 8 : 4
    const read = (): readonly number[] => [0, 1, 2, 3, 4].map((i) => Number(guest.read64(area + entry + 8 * i)))
    guest.writeLongs(ARGUMENTS, area)
    expect(await guest.call(VCPU_OP, VCPUOP.registerRunstate, 0, ARGUMENTS)).toBe(0)
    expect(guest.read32(area)).toBe(0)
    guest.clockSkip(1e9)
    expect(await guest.call(VCPU_OP, VCPUOP.getRunstate, 0, area)).toBe(0)
    const [since = 0, ...spent] = read()
    expect(spent.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(guest.domain.clock.now())
    expect(since).toBeLessThanOrEqual(guest.domain.clock.now())
    expect(spent.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0.9e9)
    guest.writeLongs(ARGUMENTS, 0x9000_0000)
    expect(await guest.call(VCPU_OP, VCPUOP.registerRunstate, 0, ARGUMENTS)).toBe(E.FAULT)
  })

  test('the clock page turns the time-stamp counter into system time, also when the guest has moved it', async () => {
    const guest = new EventGuest(mode)
    const area = 0x5_0a00
    guest.clockSkip(123_456_789_012)
    guest.writeLongs(ARGUMENTS, area)
    expect(await guest.call(VCPU_OP, VCPUOP.registerTime, 0, ARGUMENTS)).toBe(0)
    const system = (at: number): number => {
      expect(guest.read32(at) & 1).toBe(0)
      const timestamp = guest.read64(at + 8)
      const time = guest.read64(at + 16)
      const multiplier = BigInt(guest.read32(at + 24))
      const shift = BigInt(guest.read(at + 28, 1)[0] ?? 0)
      const tsc = BigInt(Math.floor(guest.domain.clock.now())) + (guest.domain.vcpus[0]?.cpu.tscOffset ?? 0n)
      return Number(time + (((BigInt.asIntN(64, tsc - timestamp) << shift) * multiplier) >> 32n))
    }
    for (const at of [guest.page + 32, area]) expect(system(at)).toBe(Math.floor(guest.domain.clock.now()))
    expect(guest.read(area + 29, 1)[0]).toBe(1)
    const version = guest.read32(area)
    // IA32_TIME_STAMP_COUNTER := 1000.
    guest.moveTsc(1000)
    await guest.call(0)
    guest.clockSkip(1e9)
    expect(guest.read32(area)).toBeGreaterThan(version)
    for (const at of [guest.page + 32, area]) expect(system(at)).toBe(Math.floor(guest.domain.clock.now()))
  })

  test('a vCPU is set up, brought up and taken down by another', async () => {
    const guest = new EventGuest(mode, 2)
    const [code, counter, stopped] = [0x6_0000, 0x6_1000, 0x6_1008]
    const op = (command: number, pointer = 0): Promise<number> => guest.call(VCPU_OP, command, 1, pointer)
    // It counts what it was given in a register, forever.
    guest.program((asm) => {
      const again = asm.here()
      asm.inc(dword(ebx)).jmp(again)
    }, code)
    // The caller goes on for long enough that the other has its turns.
    guest.program((asm) => {
      asm.vmcall().mov(ecx, 50_000)
      const again = asm.here()
      asm.dec(ecx).jnz(again).out(0xf4, al).hlt()
    })
    const context = 0x6_2000
    const flat = [0, 0, 0, 0, 0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0x67]
    if (mode === '32') {
      const registers = [0, 0, 0, counter, 0x7_0000, 0, 0, 0, code, 2]
      guest.write32(context, 0, 0, ...registers, 0x11, 0, 0, 0, 0, 0, ...flat)
      guest.write(context + 112, new Uint8Array(Uint16Array.of(0xc9b, 0xc93, 0xc93, 0xc93, 0x8b, 0, 0, 0).buffer))
    } else {
      guest.write64(context, 1, 0, 0, 0, counter, 0x7_0000, 0, 0, 0, code, 2, 0x8001_0011, 0x2_0000, 0x20_0020, 0x500)
    }
    guest.write32(context, 7)
    expect(await op(VCPUOP.initialise, context)).toBe(E.INVAL)
    guest.write32(context, mode === '32' ? 0 : 1)
    expect(await op(VCPUOP.initialise, 0x9000_0000)).toBe(E.FAULT)
    expect(await op(VCPUOP.initialise, context)).toBe(0)
    expect(await op(VCPUOP.initialise, context)).toBe(E.EXIST)
    expect(await op(VCPUOP.isUp)).toBe(0)
    expect(guest.read32(counter)).toBe(0)
    expect(await op(VCPUOP.up)).toBe(0)
    expect(await op(VCPUOP.isUp)).toBe(1)
    expect(guest.read32(counter)).toBeGreaterThan(0)
    expect(await op(VCPUOP.down)).toBe(0)
    expect(await op(VCPUOP.isUp)).toBe(0)
    guest.write32(stopped, guest.read32(counter))
    await op(VCPUOP.isUp)
    expect(guest.read32(counter)).toBe(guest.read32(stopped))
    expect(await op(VCPUOP.up)).toBe(0)
    await op(VCPUOP.isUp)
    expect(guest.read32(counter)).toBeGreaterThan(guest.read32(stopped))
  })

  test('up, down, and the last one', async () => {
    const guest = new EventGuest(mode, 2)
    const op = (command: number, vcpu: number): Promise<number> => guest.call(VCPU_OP, command, vcpu, 0)
    expect(await op(VCPUOP.isUp, 0)).toBe(1)
    expect(await op(VCPUOP.isUp, 1)).toBe(0)
    expect(await op(VCPUOP.isUp, 2)).toBe(E.NOENT)
    expect(await op(VCPUOP.up, 1)).toBe(E.INVAL)
    expect(await op(VCPUOP.physicalId, 0)).toBe(E.INVAL)
    expect(await op(99, 0)).toBe(E.NOSYS)
    await op(VCPUOP.down, 0)
    expect(guest.exit).toEqual({ reason: 'power-off' })
  })
})

test.each(['64', '32'] as const)('vm_assist of %s-bit guests knows the flag of runstate areas alone', async (mode) => {
  const guest = new XenTestGuest(mode)
  const assist = (command: number, type: number): Promise<number> => guest.call(21, command, type)
  expect([await assist(0, 5), await assist(1, 5), await assist(2, 5)]).toEqual([0, 0, E.NOSYS])
  for (const type of [0, 1, 2, 3, 4, 6, 0xffff_ffff]) expect(await assist(0, type)).toBe(E.INVAL)
})

test('more vCPUs than the shared page has room for', () => {
  const guest = new EventGuest('64', 40)
  const { channels, info, vcpus } = guest.events
  expect(vcpus).toHaveLength(40)
  const port = channels.bindIpi(39)
  channels.send(port)
  expect(info.upcallPending(39)).toBe(true)
  // Until it has a vcpu_info of its own nothing is to be seen of it.
  expect(guest.read(guest.page, 2048).some((byte) => byte !== 0 && byte !== 0x80)).toBe(true)
  guest.events.placeVcpuInfo(39, guest.domain.p2m.translate(0x5_0000))
  expect(guest.read32(0x5_0000)).toBe(1)
})

test('a guest goes on from what was saved', async () => {
  const before = new EventGuest('32', 2)
  before.write32(ARGUMENTS, 0x50, 0, 0x40, 0)
  expect(await before.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(0)
  const timer = await before.open(OP.bindVirq, 2, 0, 0)
  const ipi = await before.open(OP.bindIpi, 1, 1)
  before.events.upcalls.setVector(1, 0x40)
  before.events.vcpus[0]?.setSingleShot(Instant.from(before.domain.clock.now() + 5e9))
  before.events.vcpus[1]?.setPeriod(Instant.from(3e9))
  const saved: unknown = structuredClone(before.events.save())

  const after = new EventGuest('32', 2)
  after.write(0, before.read(0, RAM_BYTES))
  after.events.restore(saved as never)
  expect(after.events.save()).toEqual(saved)
  expect(after.events.info.ports).toBe(1024)
  for (const guest of [before, after]) {
    guest.write32(0x5_0040, 0, 0)
    guest.domain.clock.skipTo(Instant.from(before.domain.clock.now() + 5e9))
    guest.domain.timers.expire()
    expect(guest.bit(2048, timer)).toBe(true)
    expect(guest.read32(0x5_0040)).toBe(1)
    expect(await guest.op(OP.send, ipi)).toBe(0)
    expect(guest.bit(2048, ipi)).toBe(true)
    // Its vcpu_info has its place.
    guest.write32(ARGUMENTS, 0x51, 0, 0, 0)
    expect(await guest.call(VCPU_OP, VCPUOP.registerInfo, 0, ARGUMENTS)).toBe(E.INVAL)
  }
  // Store and console are at their ports.
  let heard = 0
  const channels = after.events.channels
  const { guestPort } = channels.connectHost(() => heard++)
  channels.send(guestPort)
  expect(heard).toBe(1)
})

test('a 32-bit kernel closes what a 64-bit one has left', async () => {
  const guest = new EventGuest('64')
  for (let i = FIRST_FREE; i < 1024; i++) expect(await guest.open(OP.bindIpi, 1, 0)).toBe(i)
  const timer = await guest.open(OP.bindVirq, 2, 0, 0)
  const other = await guest.open(OP.allocUnbound, 1, SELF | (SELF << 16))
  expect([timer, other]).toEqual([1024, 1025])
  expect(await guest.open(OP.bindInterdomain, 2, SELF, other)).toBe(1026)
  guest.events.info.latch(false)
  const page = guest.memory.read(guest.events.info.mfn * 0x1000 + 2176, 0x1000 - 2176)
  expect(await guest.op(OP.reset, SELF)).toBe(0)
  expect(guest.events.channels.save().ports).toEqual([])
  expect(guest.memory.read(guest.events.info.mfn * 0x1000 + 2176, 0x1000 - 2176)).toEqual(page)
  expect(await guest.open(OP.bindVirq, 2, 0, 0)).toBe(1)
})

test('a host’s end from before a reset reaches nothing after it', async () => {
  const guest = new EventGuest('64')
  const { channels } = guest.events
  const stale = channels.openHostPort(() => undefined)
  expect(await guest.open(OP.bindInterdomain, 2, 0, stale.port)).toBe(FIRST_FREE)
  guest.xen.reset()
  expect(stale.bound).toBe(false)
  const fresh = channels.openHostPort(() => undefined)
  expect(await guest.open(OP.bindInterdomain, 2, 0, fresh.port)).toBe(FIRST_FREE)
  guest.memory.u8.fill(0, guest.events.info.mfn * 0x1000, (guest.events.info.mfn + 1) * 0x1000)
  stale.send()
  stale.close()
  expect(channels.pending(FIRST_FREE)).toBe(false)
  fresh.send()
  expect([channels.pending(FIRST_FREE), fresh.bound]).toEqual([true, true])
})

test('a reset leaves the store and the console at their ports, and nothing else', async () => {
  const guest = new EventGuest('64')
  const { xen } = guest
  await guest.open(OP.bindVirq, 2, 0, 0)
  guest.events.upcalls.setVector(0, 0x40)
  xen.store.write('/local/domain/1/data/x', 1)
  xen.store.write('/kept', 1)
  xen.reset()
  expect(await guest.status(1)).toEqual([2, 0, 0, 1])
  expect(await guest.status(2)).toEqual([2, 0, 0, 2])
  expect(await guest.status(FIRST_FREE)).toEqual([0, 0, 0, 0])
  expect(xen.store.read('/local/domain/1/data/x')).toBeUndefined()
  expect(xen.store.read('/local/domain/1/store/port')).toBe('1')
  expect(xen.store.read('/kept')).toBe('1')
})

test('the wall clock, in either layout, with seconds beyond 32 bits', () => {
  for (const { mode, wallClock, hi } of [
    { mode: '64', wallClock: 3072, hi: 3084 },
    { mode: '32', wallClock: 2304, hi: 2340 },
  ] as const) {
    const guest = new EventGuest(mode)
    expect(guest.read32(guest.page + wallClock) & 1).toBe(0)
    expect(guest.read32(guest.page + wallClock + 4)).toBe(0)
    expect(guest.read32(guest.page + hi)).toBe(0)
  }
  const late = new XenTestGuest('64', { xen: { epochSeconds: 2 ** 32 + 7.5 } })
  const at = late.xen.events.info.mfn * 0x1000
  const word = (offset: number): number => late.memory.u32[(at + offset) >>> 2] as number
  expect([3076, 3080, 3084].map(word)).toEqual([7, 500_000_000, 1])
  const version = word(3072)
  late.xen.moveWallClock(1_600_000_000)
  expect([3072, 3076, 3080].map(word)).toEqual([version + 2, 9, 100_000_000])
  late.xen.moveWallClock(-1_600_000_000)
  expect([3076, 3080, 3084].map(word)).toEqual([7, 500_000_000, 1])
})
