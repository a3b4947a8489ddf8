/** Event channels of the FIFO kind, with a guest's side written from public/event_channel.h, "FIFO ABI". */
import { P2mType } from '@retrap/p2m'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E, EVENT_OP as OP, SELF } from './support/headers.ts'
import { EVENT_CHANNEL_OP, FIRST_FREE, SHARED_INFO_GFN, SharedPageGuest } from './support/shared-page-guest.ts'
import { ARGUMENTS, type CallerMode, RAM_BYTES } from './support/xen-guest.ts'

const test = sliceTests(3)

const EOPNOTSUPP = -95
const SCHED_OP = 29
const MEMORY_OP = 12

const PENDING = 0x8000_0000
const MASKED = 0x4000_0000
const LINKED = 0x2000_0000
const LINK_MASK = 0x1_ffff
const WORDS_PER_PAGE = 1024

/** Guest frames: control blocks of all vCPUs, 256 bytes each, and event words. */
const BLOCKS = 0x100
const WORDS = 0x110

class FifoGuest extends SharedPageGuest {
  readonly #heads = new Map<number, number>()

  /** struct evtchn_init_control: frame, offset, vCPU; link bits. */
  async initControl(vcpu: number, gfn: number = BLOCKS, offset: number = 256 * vcpu): Promise<number> {
    return this.op(OP.initControl, gfn, 0, offset, vcpu, 0, 0)
  }

  async expand(gfn: number): Promise<number> {
    return this.op(OP.expandArray, gfn, 0)
  }

  /** All that a kernel does before it binds ports. */
  async start(vcpus = 1): Promise<this> {
    for (let vcpu = 0; vcpu < vcpus; vcpu++) expect(await this.initControl(vcpu)).toBe(0)
    expect(await this.expand(WORDS)).toBe(0)
    return this
  }

  async ipi(vcpu = 0): Promise<number> {
    expect(await this.op(OP.bindIpi, vcpu, 0)).toBe(0)
    return this.read32(ARGUMENTS + 4)
  }

  async send(...ports: readonly number[]): Promise<void> {
    for (const port of ports) expect(await this.op(OP.send, port)).toBe(0)
  }

  #word(port: number): number {
    return (WORDS + Math.floor(port / WORDS_PER_PAGE)) * 0x1000 + 4 * (port % WORDS_PER_PAGE)
  }

  word(port: number): number {
    return this.read32(this.#word(port))
  }

  setWord(port: number, value: number): void {
    this.write32(this.#word(port), value >>> 0)
  }

  ready(vcpu = 0): number {
    return this.read32(BLOCKS * 0x1000 + 256 * vcpu)
  }

  /** evtchn_upcall_pending of vCPU 0; clears it. */
  takeUpcall(vcpu = 0): boolean {
    const at = this.xen.events.info.vcpuInfo(vcpu)
    const was = this.memory.u8[at] !== 0
    this.memory.u8[at] = 0
    return was
  }

  /** Takes one event, as a kernel does. @returns its port, or 0 for one that is masked or no longer pending; −1: none */
  takeOne(vcpu: number, ready: { bits: number }): number {
    const block = BLOCKS * 0x1000 + 256 * vcpu
    ready.bits |= this.read32(block)
    this.write32(block, 0)
    if (ready.bits === 0) return -1
    const priority = 31 - Math.clz32(ready.bits & -ready.bits)
    const queue = vcpu * 16 + priority
    const port = (this.#heads.get(queue) ?? 0) || this.read32(block + 8 + 4 * priority)
    const word = this.word(port)
    const link = word & LINK_MASK
    const takes = (word & PENDING) !== 0 && (word & MASKED) === 0
    this.setWord(port, word & ~(LINKED | LINK_MASK) & (takes ? ~PENDING : -1))
    this.#heads.set(queue, link)
    if (link === 0) ready.bits &= ~(1 << priority)
    return takes ? port : 0
  }

  /** Takes all events of a vCPU, in the order in which it meets them. */
  take(vcpu = 0, ready = { bits: 0 }): number[] {
    this.takeUpcall(vcpu)
    const taken: number[] = []
    for (let port = this.takeOne(vcpu, ready); port >= 0; port = this.takeOne(vcpu, ready)) {
      if (port > 0) taken.push(port)
      if (taken.length > 200_000) throw new Error('a queue without end')
    }
    return taken
  }
}

describe.each<CallerMode>(['64', '32'])('FIFO event channels of a %s-bit guest', (mode) => {
  test('a guest has the 2-level kind until it gives a control block', async () => {
    const guest = new FifoGuest(mode)
    const port = await guest.ipi()
    expect(await guest.expand(WORDS)).toBe(EOPNOTSUPP)
    expect(await guest.op(OP.setPriority, port, 3)).toBe(E.NOSYS)
    expect(await guest.initControl(0)).toBe(0)
    expect(guest.read32(ARGUMENTS + 16) & 0xff).toBe(17)
    expect(await guest.expand(WORDS)).toBe(0)
    expect(await guest.op(OP.setPriority, port, 3)).toBe(0)
  })

  test.each([
    { what: 'a vCPU that is not there', vcpu: 1, offset: 0, result: E.NOENT },
    { what: 'an offset that is not aligned', vcpu: 0, offset: 4, result: E.INVAL },
    { what: 'a block that leaves its page', vcpu: 0, offset: 0x1000 - 64, result: E.INVAL },
    { what: 'the last block of a page', vcpu: 0, offset: 0x1000 - 72, result: 0 },
    { what: 'an offset beyond the page', vcpu: 0, offset: 0xffff_fff8, result: E.INVAL },
    { what: 'a frame that is none', vcpu: 0, gfn: 0x9_0000, offset: 0, result: E.INVAL },
    { what: 'a frame that no guest can have', vcpu: 0, gfn: 0xffff_ffff, offset: 0, result: E.INVAL },
    { what: 'a page of Xen’s own', vcpu: 0, gfn: SHARED_INFO_GFN, offset: 0, result: E.INVAL },
    { what: 'ROM', vcpu: 0, gfn: 0x120, offset: 0, result: E.INVAL },
  ])('init_control: $what', async ({ vcpu, gfn = BLOCKS, offset, result }) => {
    const guest = new FifoGuest(mode)
    guest.domain.p2m.setType(0x120, 1, P2mType.RAM_RO)
    expect(await guest.initControl(vcpu, gfn, offset)).toBe(result)
    // After an error it is as if it had not been called.
    expect(await guest.expand(WORDS)).toBe(result === 0 ? 0 : EOPNOTSUPP)
  })

  test('a vCPU has one control block; what cannot be read is -EFAULT', async () => {
    const guest = await new FifoGuest(mode).start()
    expect(await guest.initControl(0, BLOCKS, 512)).toBe(E.INVAL)
    for (const op of [OP.initControl, OP.expandArray, OP.setPriority]) {
      expect(await guest.call(EVENT_CHANNEL_OP, op, 0x7000_0000)).toBe(E.FAULT)
    }
  })

  test.each([
    { bytes: 20, result: E.FAULT },
    { bytes: 24, result: 0 },
  ])('struct evtchn_init_control has 24 bytes for every caller: $bytes are there', async ({ bytes, result }) => {
    const guest = new FifoGuest(mode)
    const at = RAM_BYTES - bytes
    guest.write32(at, BLOCKS, 0, 0, 0, 0)
    expect(await guest.call(EVENT_CHANNEL_OP, OP.initControl, at)).toBe(result)
  })

  test('expand_array takes 128 pages of RAM', async () => {
    const guest = await new FifoGuest(mode).start()
    for (const gfn of [0x9_0000, SHARED_INFO_GFN]) expect(await guest.expand(gfn)).toBe(E.INVAL)
    for (let i = 1; i < 128; i++) expect(await guest.expand(WORDS + i)).toBe(0)
    expect(await guest.expand(WORDS + 128)).toBe(E.NOSPC)
  })

  test('events are taken in the order in which they came, each once', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b, c] = [await guest.ipi(), await guest.ipi(), await guest.ipi()]
    expect(a).toBe(FIRST_FREE)
    await guest.send(b, a, c, a, b)
    expect(guest.ready()).toBe(1 << 7)
    expect(guest.takeUpcall()).toBe(true)
    expect(guest.take()).toEqual([b, a, c])
    expect([a, b, c].map((port) => guest.word(port))).toEqual([0, 0, 0])
    await guest.send(c, c, a)
    expect(guest.take()).toEqual([c, a])
  })

  test('an event that comes while the queue is being emptied', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(a)
    const ready = { bits: 0 }
    expect(guest.takeOne(0, ready)).toBe(a)
    // The queue has become empty; the same port again is its own successor.
    await guest.send(a, b)
    expect(guest.takeOne(0, ready)).toBe(a)
    await guest.send(a)
    expect(guest.take(0, ready)).toEqual([b, a])
  })

  test('the upcall comes when a queue becomes ready, and not with each event', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(a)
    expect(guest.takeUpcall()).toBe(true)
    await guest.send(b, a)
    expect(guest.takeUpcall()).toBe(false)
    expect(guest.take()).toEqual([a, b])
    await guest.send(b)
    expect(guest.takeUpcall()).toBe(true)
  })

  test('no upcall while the queue’s bit is still set', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(a)
    expect(guest.takeUpcall()).toBe(true)
    // The guest has passed the event, and has not looked at the bit yet.
    guest.setWord(a, 0)
    await guest.send(b)
    expect(guest.takeUpcall()).toBe(false)
    expect(guest.take()).toEqual([b])
  })

  test('a link that is left in a word is no link', async () => {
    const guest = await new FifoGuest(mode).start()
    const port = await guest.ipi()
    guest.setWord(port, 0x1234)
    await guest.send(port)
    expect(guest.word(port)).toBe((PENDING | LINKED) >>> 0)
  })

  test('a port that is connected anew keeps its priority', async () => {
    const guest = await new FifoGuest(mode).start()
    expect(await guest.op(OP.allocUnbound, SELF | (SELF << 16), 0)).toBe(0)
    const loop = guest.read32(ARGUMENTS + 4)
    expect(await guest.op(OP.setPriority, loop, 4)).toBe(0)
    expect(await guest.op(OP.bindInterdomain, SELF, loop, 0)).toBe(0)
    const other = guest.read32(ARGUMENTS + 8)
    guest.take()
    await guest.send(other)
    expect(guest.ready()).toBe(1 << 4)
    expect(guest.take()).toEqual([loop])
  })

  test('urgent events first', async () => {
    const guest = await new FifoGuest(mode).start()
    const ports: number[] = []
    for (let i = 0; i < 4; i++) ports.push(await guest.ipi())
    const [a, b, c, d] = ports as [number, number, number, number]
    expect(await guest.op(OP.setPriority, b, 15)).toBe(0)
    expect(await guest.op(OP.setPriority, c, 0)).toBe(0)
    expect(await guest.op(OP.setPriority, d, 0)).toBe(0)
    expect(await guest.op(OP.setPriority, a, 16)).toBe(E.INVAL)
    expect(await guest.op(OP.setPriority, a + 100, 1)).toBe(E.INVAL)
    await guest.send(b, a, c, d)
    expect(guest.ready()).toBe((1 << 15) | (1 << 7) | 1)
    expect(guest.take()).toEqual([c, d, a, b])
  })

  test('a masked event waits for EVTCHNOP_unmask', async () => {
    const guest = await new FifoGuest(mode).start()
    const port = await guest.ipi()
    guest.setWord(port, MASKED)
    await guest.send(port)
    expect(guest.word(port)).toBe((PENDING | MASKED) >>> 0)
    expect([guest.ready(), guest.takeUpcall()]).toEqual([0, false])
    expect(await guest.op(OP.unmask, port)).toBe(0)
    expect(guest.word(port)).toBe((PENDING | LINKED) >>> 0)
    expect(guest.take()).toEqual([port])
    // Nothing is pending: unmasking says nothing.
    guest.setWord(port, MASKED)
    await guest.op(OP.unmask, port)
    expect([guest.word(port), guest.ready()]).toEqual([0, 0])
  })

  test('an event that is masked while it is queued is passed, and comes when it is unmasked', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(a, b)
    guest.setWord(a, guest.word(a) | MASKED)
    expect(guest.take()).toEqual([b])
    await guest.op(OP.unmask, a)
    expect(guest.take()).toEqual([a])
  })

  test('a queued port stays in its queue when its priority changes, and goes to the other the next time', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b, c] = [await guest.ipi(), await guest.ipi(), await guest.ipi()]
    await guest.send(a, b)
    await guest.op(OP.setPriority, b, 2)
    await guest.send(c)
    expect(guest.take()).toEqual([a, b, c])
    await guest.send(a, b)
    expect(guest.take()).toEqual([b, a])
  })

  test('a port that was the last of one queue and is now in another holds nobody up', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(a)
    expect(guest.take()).toEqual([a])
    await guest.op(OP.setPriority, a, 2)
    await guest.send(a)
    await guest.send(b)
    expect(guest.ready()).toBe((1 << 2) | (1 << 7))
    expect(guest.take()).toEqual([a, b])
  })

  test('vCPUs have queues of their own, and a port can move between them', async () => {
    const guest = await new FifoGuest(mode, 2).start(2)
    const [a, b] = [await guest.ipi(0), await guest.ipi(1)]
    expect(await guest.op(OP.bindVirq, 0, 1, 0)).toBe(0)
    await guest.send(a, b)
    expect([guest.takeUpcall(0), guest.takeUpcall(1)]).toEqual([true, true])
    expect([guest.take(0), guest.take(1)]).toEqual([[a], [b]])
    expect(await guest.op(OP.allocUnbound, SELF | (SELF << 16), 0)).toBe(0)
    const loop = guest.read32(ARGUMENTS + 4)
    expect(await guest.op(OP.bindInterdomain, SELF, loop, 0)).toBe(0)
    const other = guest.read32(ARGUMENTS + 8)
    guest.take(0)
    expect(await guest.op(OP.bindVcpu, loop, 1)).toBe(0)
    await guest.send(other)
    expect([guest.take(0), guest.take(1)]).toEqual([[], [loop]])
  })

  test('events of a vCPU without a control block wait for it', async () => {
    const guest = await new FifoGuest(mode, 2).start(1)
    const port = await guest.ipi(1)
    await guest.send(port)
    expect(guest.word(port)).toBe(PENDING)
    expect(await guest.initControl(1)).toBe(0)
    expect(guest.takeUpcall(1)).toBe(true)
    expect(guest.take(1)).toEqual([port])
  })

  test('what is pending when a guest changes to this kind stays pending', async () => {
    const guest = new FifoGuest(mode)
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(b)
    await guest.start()
    expect(guest.word(a)).toBe(0)
    expect(guest.take()).toEqual([b])
  })

  test('there are 131,071 ports; a port without a word has its event when the array is long enough', async () => {
    const guest = await new FifoGuest(mode).start()
    let port = 0
    for (let i = 0; i < 1500; i++) port = guest.xen.events.channels.bindIpi(0)
    expect(port).toBe(FIRST_FREE + 1499)
    await guest.send(port)
    expect(guest.xen.events.channels.pending(port)).toBe(true)
    expect(await guest.expand(WORDS + 1)).toBe(0)
    expect(guest.take()).toEqual([port])
    for (; port > 0; port = guest.xen.events.channels.bindIpi(0)) if (port === 131_071) break
    expect(await guest.op(OP.bindIpi, 0, 0)).toBe(E.NOSPC)
  })

  test('a closed port is pending no longer', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b] = [await guest.ipi(), await guest.ipi()]
    await guest.send(a, b)
    expect(await guest.op(OP.close, a)).toBe(0)
    expect(guest.word(a) & PENDING).toBe(0)
    expect(guest.take()).toEqual([b])
    // The number is used again.
    expect(await guest.ipi()).toBe(a)
    await guest.send(a)
    expect(guest.take()).toEqual([a])
  })

  test('SCHEDOP_poll finds a pending event', async () => {
    const guest = await new FifoGuest(mode).start()
    const port = await guest.ipi()
    guest.setWord(port, MASKED)
    await guest.send(port)
    // struct sched_poll: ports, their number, no timeout.
    guest.write32(ARGUMENTS + 0x100, port)
    guest.writeLongs(ARGUMENTS, ARGUMENTS + 0x100)
    guest.write32(ARGUMENTS + (mode === '64' ? 8 : 4), 1, 0, 0, 0)
    expect(await guest.call(SCHED_OP, 3, ARGUMENTS)).toBe(0)
    expect(guest.xen.blocked.has(0)).toBe(false)
  })

  test('EVTCHNOP_reset leaves the 2-level kind, and the frames to the guest', async () => {
    const guest = await new FifoGuest(mode).start()
    const { domain } = guest
    const mfn = (gfn: number): number => domain.p2m.translate(gfn * 0x1000) / 0x1000
    const counts = (): number[] => [BLOCKS, WORDS].map((gfn) => domain.frameCounts.count(mfn(gfn)))
    expect(counts()).toEqual([2, 2])
    const port = await guest.ipi()
    await guest.send(port)
    expect(await guest.op(OP.reset, SELF)).toBe(0)
    expect(counts()).toEqual([1, 1])
    expect(await guest.expand(WORDS)).toBe(EOPNOTSUPP)
    const again = await guest.ipi()
    await guest.send(again)
    const page = SHARED_INFO_GFN * 0x1000
    expect(guest.read32(page + 2048)).toBe(1 << again)
    // And once more this kind.
    guest.write(WORDS * 0x1000, new Uint8Array(0x1000))
    guest.write(BLOCKS * 0x1000, new Uint8Array(0x1000))
    await guest.start()
    expect(guest.take()).toEqual([again])
  })

  test('frames that leave the guest are not written any more, and none is lost', async () => {
    const guest = await new FifoGuest(mode).start()
    const all = (): number => guest.spareFrames + guest.xen.memory.current
    const total = all()
    const port = await guest.ipi()
    await guest.send(port)
    // decrease_reservation of both frames.
    guest.writeLongs(ARGUMENTS + 0x100, BLOCKS, WORDS)
    guest.writeLongs(ARGUMENTS, ARGUMENTS + 0x100, 2)
    guest.write32(ARGUMENTS + (mode === '64' ? 16 : 8), 0, 0, SELF, 0)
    expect(await guest.call(MEMORY_OP, 1, ARGUMENTS)).toBe(2)
    expect(all()).toBe(total)
    expect(guest.xen.events.channels.pending(port)).toBe(true)
    await guest.send(port)
    expect(guest.xen.events.channels.pending(port)).toBe(true)
    expect(await guest.op(OP.close, port)).toBe(0)
    // A new control block, and words behind those that have gone.
    expect(await guest.initControl(0, BLOCKS + 1, 0)).toBe(0)
    expect(await guest.expand(WORDS + 1)).toBe(0)
  })

  test('is saved as data, and goes on from there', async () => {
    const guest = await new FifoGuest(mode).start()
    const [a, b, c] = [await guest.ipi(), await guest.ipi(), await guest.ipi()]
    await guest.op(OP.setPriority, c, 1)
    await guest.send(a, b)
    const saved = JSON.parse(JSON.stringify(guest.xen.events.channels.save()))
    expect(saved).toMatchObject({ version: 3, fifo: { version: 2, early: [] } })
    // The machine memory stays; all that is beside it is forgotten.
    const { channels } = guest.xen.events
    channels.abandon()
    expect(channels.isFifo).toBe(false)
    channels.restore(saved)
    expect(channels.save()).toEqual(saved)
    await guest.send(c)
    expect(guest.take()).toEqual([c, a, b])
  })

  test('whatever a guest writes to its words, the hypervisor comes to an end', async () => {
    const guest = await new FifoGuest(mode).start()
    const ports: number[] = []
    for (let i = 0; i < 8; i++) ports.push(await guest.ipi())
    let seed = 1
    const random = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0)
    for (let i = 0; i < 200; i++) {
      guest.setWord(random() % 64, random())
      guest.write32(BLOCKS * 0x1000 + (random() % 18) * 4, random())
      await guest.send(ports[random() % ports.length] as number)
    }
    // A kernel that begins anew finds what comes from then on.
    expect(await guest.op(OP.reset, SELF)).toBe(0)
    guest.write(WORDS * 0x1000, new Uint8Array(0x1000))
    guest.write(BLOCKS * 0x1000, new Uint8Array(0x1000))
    await guest.start()
    const port = await guest.ipi()
    await guest.send(port)
    expect(guest.word(port)).toBe((PENDING | LINKED) >>> 0)
  })
})

test('words that the hypervisor writes are logged', async () => {
  const guest = await new FifoGuest('64').start()
  const port = await guest.ipi()
  const log = guest.domain.dirtyLogs.start(0, 0x400)
  await guest.send(port)
  const words = new Uint32Array(0x400 / 32)
  log.take(words)
  const dirty = (gfn: number): boolean => ((words[gfn >>> 5] as number) & (1 << (gfn & 31))) !== 0
  expect([dirty(WORDS), dirty(BLOCKS), dirty(0x200)]).toEqual([true, true, false])
  expect(guest.take()).toEqual([port])
})
