import { P2mEntry, P2mType } from '@retrap/p2m'
import type { X86Paravirtual } from '@retrap/hvm'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E, SELF } from './support/headers.ts'
import { ARGUMENTS, MODES, RAM_BYTES, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const MEMORY_OP = 12
const OP = { increase: 0, decrease: 1, populate: 6, add: 7, map: 9, exchange: 11, remove: 15, batch: 23 }
const RAM_FRAMES = RAM_BYTES / 0x1000
/** RAM that nothing uses, and room for more. */
const SPARE = 0x200
const ROOM = 0x1000
const LIST = ARGUMENTS + 0x1000

interface Reservation {
  readonly list?: number
  readonly count?: number
  readonly order?: number
  readonly flags?: number
  readonly domid?: number
}

/** Writes a `xen_memory_reservation` as the caller's compiler would. */
function reservation(guest: XenTestGuest, at: number, extents: readonly number[], with_: Reservation = {}): void {
  const list = with_.list ?? LIST
  if (with_.list === undefined) guest.writeLongs(list, ...extents)
  const count = with_.count ?? extents.length
  const { order = 0, flags = 0, domid = SELF } = with_
  if (guest.mode === '64') guest.write64(at, list, count)
  else guest.write32(at, list, count)
  guest.write32(at + (guest.mode === '64' ? 16 : 8), order, flags, domid)
}

async function reserve(
  guest: XenTestGuest,
  op: number,
  extents: readonly number[],
  with_: Reservation = {},
): Promise<number> {
  reservation(guest, ARGUMENTS, extents, with_)
  return guest.call(MEMORY_OP, op, ARGUMENTS)
}

const current = async (guest: XenTestGuest): Promise<number> => {
  guest.write32(ARGUMENTS, SELF)
  return guest.call(MEMORY_OP, 3, ARGUMENTS)
}

const isRam = (guest: XenTestGuest, gfn: number): boolean => guest.domain.p2m.translate(gfn * 0x1000) >= 0

describe.each(MODES)('reservations, %s caller', (mode) => {
  test('RAM is given back, and taken again', async () => {
    const guest = new XenTestGuest(mode)
    const before = guest.spareFrames
    guest.write32(SPARE * 0x1000, 0x1234)
    expect(await current(guest)).toBe(RAM_FRAMES)
    expect(await reserve(guest, OP.decrease, [SPARE, SPARE + 2])).toBe(2)
    expect([0, 1, 2].map((i) => isRam(guest, SPARE + i))).toEqual([false, true, false])
    expect(await current(guest)).toBe(RAM_FRAMES - 2)
    expect(guest.spareFrames).toBe(before + 2)
    expect(await reserve(guest, OP.populate, [SPARE, SPARE + 2])).toBe(2)
    expect(await current(guest)).toBe(RAM_FRAMES)
    expect(guest.spareFrames).toBe(before)
    expect(guest.read32(SPARE * 0x1000)).toBe(0)
  })

  test('extents have an order', async () => {
    const guest = new XenTestGuest(mode)
    const before = guest.spareFrames
    expect(await reserve(guest, OP.decrease, [SPARE, SPARE + 0x100], { order: 8 })).toBe(2)
    expect(guest.spareFrames).toBe(before + 0x200)
    expect(await reserve(guest, OP.populate, [ROOM], { order: 9 })).toBe(1)
    const entry = new P2mEntry()
    guest.domain.p2m.lookup(ROOM, entry)
    expect(entry.order).toBe(9)
    expect(await current(guest)).toBe(RAM_FRAMES)
  })

  test('increase_reservation takes frames that are mapped nowhere; the limit counts them', async () => {
    const guest = new XenTestGuest(mode, { xen: { maxFrames: RAM_FRAMES + 8 } })
    const before = guest.spareFrames
    expect(await reserve(guest, OP.increase, [], { list: 0, count: 3, order: 1 })).toBe(3)
    expect(await current(guest)).toBe(RAM_FRAMES + 6)
    expect(guest.spareFrames).toBe(before - 6)
    expect(await reserve(guest, OP.increase, [], { list: 0, count: 3, order: 1 })).toBe(1)
    guest.xen.memory.release()
    expect(guest.spareFrames).toBe(before)
  })

  test('ROM is given back too; what is no RAM ends the list', async () => {
    const guest = new XenTestGuest(mode)
    guest.domain.p2m.setType(SPARE, 1, P2mType.RAM_RO)
    expect(await reserve(guest, OP.decrease, [SPARE, ROOM, SPARE + 1])).toBe(1)
    expect([SPARE, SPARE + 1].map((gfn) => isRam(guest, gfn))).toEqual([false, true])
    // Half of an extent has gone, but it does not count.
    expect(await reserve(guest, OP.decrease, [RAM_FRAMES - 1], { order: 1 })).toBe(0)
    expect(isRam(guest, RAM_FRAMES - 1)).toBe(false)
  })

  test('RAM over RAM replaces it', async () => {
    const guest = new XenTestGuest(mode)
    const before = guest.spareFrames
    guest.write32(SPARE * 0x1000, 0x1234)
    expect(await reserve(guest, OP.populate, [SPARE])).toBe(1)
    expect(guest.read32(SPARE * 0x1000)).toBe(0)
    expect(await current(guest)).toBe(RAM_FRAMES)
    expect(guest.spareFrames).toBe(before)
  })
})

test.each([
  { order: 'in', extents: [ROOM, ROOM + 0x200] },
  { order: 'against', extents: [ROOM + 0x200, ROOM] },
])('an extent may lie across large pages, which are in machine memory $order their order', async ({ extents }) => {
  const guest = new XenTestGuest('64', { xen: { maxFrames: RAM_FRAMES + 0x400 } })
  const before = guest.spareFrames
  expect(await reserve(guest, OP.populate, extents, { order: 9 })).toBe(2)
  for (const gfn of [ROOM, ROOM + 0x100, ROOM + 0x200, ROOM + 0x300]) guest.write32(gfn * 0x1000, gfn)
  expect(await reserve(guest, OP.decrease, [ROOM + 0x100], { order: 9 })).toBe(1)
  expect([0, 0xff, 0x100, 0x1ff, 0x200, 0x2ff, 0x300, 0x3ff].map((i) => isRam(guest, ROOM + i))).toEqual([
    ...[true, true, false, false],
    ...[false, false, true, true],
  ])
  expect([guest.read32(ROOM * 0x1000), guest.read32((ROOM + 0x300) * 0x1000)]).toEqual([ROOM, ROOM + 0x300])
  expect(await current(guest)).toBe(RAM_FRAMES + 0x200)
  expect(await reserve(guest, OP.decrease, [ROOM, ROOM + 0x300], { order: 8 })).toBe(2)
  expect(guest.spareFrames).toBe(before)
})

test('tables that a call has emptied go, wherever in them the last frame was', async () => {
  const guest = new XenTestGuest()
  const entry = new P2mEntry()
  const orderAt = (gfn: number): number => {
    guest.domain.p2m.lookup(gfn, entry)
    return entry.order
  }
  const mfn = guest.xen.memory.ramAt(SPARE + 8)
  const before = guest.domain.memory.frames.freeFrames
  for (const gfn of [0x8_0000, 0x8_0001, 0x8_00ff, 0x8_01ff]) {
    const hole = orderAt(gfn)
    expect(guest.xen.memory.mapGrant(gfn, mfn, true)).toBe(true)
    expect(orderAt(gfn)).toBe(0)
    expect(guest.xen.memory.unmapGrant(gfn, mfn)).toBe(true)
    guest.xen.memory.tidy()
    expect(orderAt(gfn)).toBe(hole)
    // RAM that is moved there, and goes on from there.
    expect(guest.xen.memory.move(SPARE, gfn)).toBe(true)
    expect(guest.xen.memory.move(gfn, SPARE)).toBe(true)
    guest.xen.memory.tidy()
    expect(orderAt(gfn)).toBe(hole)
    expect(await reserve(guest, OP.decrease, [SPARE])).toBe(1)
    expect(await reserve(guest, OP.populate, [gfn])).toBe(1)
    expect(await reserve(guest, OP.decrease, [gfn])).toBe(1)
    expect(orderAt(gfn)).toBe(hole)
    expect(await reserve(guest, OP.populate, [SPARE])).toBe(1)
  }
  expect(guest.domain.memory.frames.freeFrames).toBeLessThanOrEqual(before)
})

describe('frames that guests do not have yet, or not alone', () => {
  test('what was never accessed gives nothing back, and RAM goes where it is still owed', async () => {
    const guest = new XenTestGuest()
    const { onDemand } = guest.domain.p2m
    onDemand.mark(ROOM, 64)
    onDemand.setCache(32)
    const free = guest.spareFrames
    expect(await current(guest)).toBe(RAM_FRAMES + 32)
    expect(await reserve(guest, OP.decrease, [ROOM, ROOM + 16], { order: 4 })).toBe(2)
    expect([onDemand.entries, onDemand.cached, await current(guest)]).toEqual([32, 32, RAM_FRAMES + 32])
    // All that is owed is there: more goes back to the machine.
    expect(await reserve(guest, OP.decrease, [SPARE])).toBe(1)
    expect([onDemand.cached, await current(guest), guest.spareFrames]).toEqual([32, RAM_FRAMES + 31, free + 1])
    onDemand.setCache(31)
    expect(await reserve(guest, OP.decrease, [SPARE + 1])).toBe(1)
    expect([onDemand.setCache(32), guest.spareFrames]).toEqual([32, free + 2])
    // An extent of both kinds.
    expect(await reserve(guest, OP.decrease, [ROOM + 32 - 2], { order: 2 })).toBe(0)
    expect(onDemand.entries).toBe(30)
  })

  test('a frame is made, or made the guest’s alone, when it moves', async () => {
    const guest = new XenTestGuest()
    const { p2m } = guest.domain
    p2m.onDemand.mark(ROOM, 1)
    p2m.onDemand.setCache(1)
    p2m.share(SPARE, p2m, SPARE + 1)
    for (const [from, to] of [
      [ROOM, ROOM + 8],
      [SPARE, ROOM + 9],
    ] as const) {
      guest.write32(ARGUMENTS, SELF, 2)
      guest.writeLongs(ARGUMENTS + 8, from, to)
      expect(await guest.call(MEMORY_OP, OP.add, ARGUMENTS)).toBe(0)
      expect(p2m.lookup(to, new P2mEntry())).toBe(P2mType.RAM_RW)
    }
    expect(await current(guest)).toBe(RAM_FRAMES + 1)
  })

  test('a machine without a free frame: what cannot be broken up stays where it is', async () => {
    const guest = new XenTestGuest('64', { xen: { maxFrames: RAM_FRAMES + 0x400 } })
    const { p2m } = guest.domain
    p2m.onDemand.mark(ROOM, 0x200)
    // There is a table for where the frame is to go, and none for where it is.
    expect(await reserve(guest, OP.decrease, [5])).toBe(1)
    while (guest.memory.frames.tryAllocate(0) >= 0);
    const ma = p2m.translate(SPARE * 0x1000)
    guest.write32(ARGUMENTS, SELF, 2)
    guest.writeLongs(ARGUMENTS + 8, SPARE, 5)
    expect(await guest.call(MEMORY_OP, OP.add, ARGUMENTS)).toBe(-12)
    expect([p2m.translate(SPARE * 0x1000), p2m.translate(0x5000)]).toEqual([ma, -1])
    expect(await reserve(guest, OP.decrease, [SPARE])).toBe(0)
    expect(await reserve(guest, OP.decrease, [ROOM + 1])).toBe(0)
    expect([p2m.onDemand.entries, guest.exit.reason]).toEqual([0x200, 'stopped'])
  })

  test('pages that a pager has are forgotten', async () => {
    const guest = new XenTestGuest()
    const { p2m } = guest.domain
    p2m.paging.nominate(SPARE)
    p2m.paging.nominate(SPARE + 1)
    // Before its next instruction the vCPU has let go of them.
    expect(await current(guest)).toBe(RAM_FRAMES)
    p2m.paging.evict(SPARE + 1)
    expect(await current(guest)).toBe(RAM_FRAMES - 1)
    expect(await reserve(guest, OP.decrease, [SPARE, SPARE + 1])).toBe(2)
    expect(await current(guest)).toBe(RAM_FRAMES - 2)
  })
})

describe('reservations refused: the answer is the number of extents done', () => {
  test.each([
    { given: 'more than the limit', op: OP.populate, extents: [ROOM], is: 0 },
    { given: 'a list that cannot be read', op: OP.decrease, extents: [], with: { list: 0x7000_0000, count: 1 }, is: 0 },
    {
      given: 'a list that ends at a page that is not there',
      op: OP.decrease,
      extents: [],
      with: { list: 0x1f_fff8, count: 2 },
      is: 1,
    },
    { given: 'a count that no command can hold', op: OP.decrease, extents: [SPARE], with: { count: 2 ** 26 }, is: 0 },
    { given: 'no extents', op: OP.decrease, extents: [], is: 0 },
    { given: 'order 10', op: OP.decrease, extents: [SPARE], with: { order: 10 }, is: 0 },
    { given: 'order 2^32 - 1', op: OP.decrease, extents: [SPARE], with: { order: 0xffff_ffff }, is: 0 },
    { given: 'another domain', op: OP.decrease, extents: [SPARE], with: { domid: 5 }, is: 0 },
    { given: 'the toolstack', op: OP.decrease, extents: [SPARE], with: { domid: 0 }, is: 0 },
    { given: 'populate on demand', op: OP.populate, extents: [SPARE], with: { flags: 1 << 16 }, is: 0 },
    { given: 'frames below 4 KiB', op: OP.populate, extents: [SPARE], with: { flags: 12 }, is: 0 },
    { given: 'an exact node', op: OP.populate, extents: [SPARE], with: { flags: 0x2_0100 }, is: 0 },
    { given: 'a virtual node', op: OP.populate, extents: [SPARE], with: { flags: 0x4_0100 }, is: 1 },
    { given: 'addresses of 32 bits', op: OP.populate, extents: [SPARE], with: { flags: 32 }, is: 1 },
    { given: 'a frame that no address has', op: OP.populate, extents: [2 ** 28], is: 0 },
    { given: 'an extent that ends beyond them', op: OP.populate, extents: [2 ** 28 - 1], with: { order: 1 }, is: 0 },
  ])('$given', async ({ op, extents, is, with: more = {} }) => {
    const guest = new XenTestGuest()
    const before = guest.spareFrames
    if (more.list === 0x1f_fff8) {
      guest.map(0x1f_f000, 0x1f_f000)
      guest.write64(0x1f_fff8, SPARE)
      guest.write64(0x2_2008, 0)
    }
    const ram = guest.xen.memory.current
    expect(await reserve(guest, op, extents, more)).toBe(is)
    const change = is === 1 && op === OP.decrease ? 1 : 0
    expect(guest.xen.memory.current).toBe(ram - change)
    if (is === 0) expect(guest.spareFrames).toBe(before)
  })

  test('an argument that cannot be read', async () => {
    expect(await new XenTestGuest().call(MEMORY_OP, OP.decrease, 0x7000_0000)).toBe(0)
    // The answer is what the command says is done.
    expect(await new XenTestGuest().call(MEMORY_OP, OP.decrease | (5 << 6), 0x7000_0000)).toBe(5)
  })
})

describe('continuations', () => {
  test('a long list is cut into parts; the command says where the next one begins, and RIP stays', async () => {
    const guest = new XenTestGuest('64', { memoryBytes: 64 << 20 })
    const count = 5000
    guest.domain.p2m.populate(0x1000, count)
    guest.domain.p2m.populate(0x800, 16)
    const LONG = 0x60_0000
    guest.domain.p2m.populate(LONG / 0x1000, 16)
    for (let i = 0; i < count; i++) guest.write64(LONG + 8 * i, 0x1000 + i)
    const seen: { command: number; rip: bigint; released: number }[] = []
    let released = 0
    guest.domain.p2m.onRelease((_gfn, _mfn, order) => (released += 2 ** order))
    const calls = guest.domain.paravirtual as X86Paravirtual
    const hypercall = calls.hypercall.bind(calls)
    calls.hypercall = (vcpu) => {
      const status = hypercall(vcpu)
      seen.push({ command: Number(guest.register(7)), rip: guest.rip, released })
      return status
    }
    reservation(guest, ARGUMENTS, [], { list: LONG, count })
    expect(await guest.call(MEMORY_OP, OP.decrease, ARGUMENTS)).toBe(count)
    expect(seen.slice(0, 2).map(({ command, rip }) => ({ op: command & 0x3f, done: command >> 6, rip }))).toEqual([
      { op: OP.decrease, done: 2048, rip: 0x1_0000n },
      { op: OP.decrease, done: 4096, rip: 0x1_0000n },
    ])
    expect(seen.map((each) => each.released)).toEqual([2048, 4096, 5000])
    expect(guest.register(7)).toBe(BigInt(OP.decrease | (4096 << 6)))
  })

  test('what is done already is not done again', async () => {
    const guest = new XenTestGuest()
    expect(await reserve(guest, OP.decrease | (1 << 6), [SPARE, SPARE + 1])).toBe(2)
    expect([SPARE, SPARE + 1].map((gfn) => isRam(guest, gfn))).toEqual([true, false])
    expect(await reserve(guest, OP.decrease | (2 << 6), [SPARE])).toBe(2)
    guest.write32(ARGUMENTS, SELF)
    expect(await guest.call(MEMORY_OP, 3 | (1 << 6), ARGUMENTS)).toBe(E.INVAL)
  })
})

describe.each(MODES)('exchange, %s caller', (mode) => {
  const exchange = async (
    guest: XenTestGuest,
    from: readonly number[],
    fromOrder: number,
    to: readonly number[],
    toOrder: number,
    done = 0,
  ): Promise<{ result: number; exchanged: number }> => {
    const size = mode === '64' ? 32 : 20
    guest.writeLongs(LIST, ...from)
    guest.writeLongs(LIST + 0x800, ...to)
    reservation(guest, ARGUMENTS, from, { list: LIST, order: fromOrder })
    reservation(guest, ARGUMENTS + size, to, { list: LIST + 0x800, order: toOrder })
    guest.writeLongs(ARGUMENTS + 2 * size, done)
    const result = await guest.call(MEMORY_OP, OP.exchange, ARGUMENTS)
    return { result, exchanged: guest.read32(ARGUMENTS + 2 * size) }
  }

  test('RAM moves to other guest frames, and is new there', async () => {
    const guest = new XenTestGuest(mode)
    const before = await current(guest)
    const free = guest.spareFrames
    guest.write32(SPARE * 0x1000, 1)
    expect(await exchange(guest, [SPARE, SPARE + 1, SPARE + 2, SPARE + 3], 0, [ROOM], 2)).toEqual({
      result: 0,
      exchanged: 4,
    })
    expect([0, 1, 2, 3, 4].map((i) => isRam(guest, SPARE + i))).toEqual([false, false, false, false, true])
    expect([0, 1, 2, 3].every((i) => isRam(guest, ROOM + i))).toBe(true)
    expect(await current(guest)).toBe(before)
    expect(await exchange(guest, [ROOM], 2, [SPARE, SPARE + 1, SPARE + 2, SPARE + 3], 0)).toEqual({
      result: 0,
      exchanged: 1,
    })
    expect(guest.read32(SPARE * 0x1000)).toBe(0)
    expect(await current(guest)).toBe(before)
    expect(guest.spareFrames).toBe(free)
  })

  test('in place: the frames are other ones', async () => {
    const guest = new XenTestGuest(mode)
    const mfn = guest.domain.p2m.translate(SPARE * 0x1000)
    expect(await exchange(guest, [SPARE], 0, [SPARE], 0)).toEqual({ result: 0, exchanged: 1 })
    expect(guest.domain.p2m.translate(SPARE * 0x1000)).not.toBe(mfn)
  })

  test('ends at the first chunk that cannot be exchanged, which is left as it is', async () => {
    const guest = new XenTestGuest(mode)
    const bad = await exchange(guest, [SPARE, ROOM, SPARE + 1], 0, [ROOM + 1, ROOM + 2, ROOM + 3], 0)
    expect(bad).toEqual({ result: E.INVAL, exchanged: 1 })
    expect([SPARE, SPARE + 1, ROOM + 1, ROOM + 2].map((gfn) => isRam(guest, gfn))).toEqual([false, true, true, false])
    // The rest, with a better second one.
    expect(await exchange(guest, [0, SPARE + 1], 0, [0, ROOM + 2], 0, 1)).toEqual({ result: 0, exchanged: 2 })
    expect([SPARE + 1, ROOM + 2].map((gfn) => isRam(guest, gfn))).toEqual([false, true])
  })

  test.each([
    { given: 'a frame twice', from: [SPARE, SPARE], to: [ROOM], order: 1, result: E.INVAL },
    { given: 'sizes that differ', from: [SPARE], to: [ROOM], order: 1, result: E.INVAL },
    { given: 'order 10', from: [SPARE], to: [ROOM], order: 10, result: E.PERM },
    { given: 'more done than there is', from: [SPARE], to: [ROOM], order: 0, done: 2, result: E.INVAL },
    { given: 'nothing left', from: [SPARE], to: [ROOM], order: 0, done: 1, result: 0 },
  ])('$given', async ({ from, to, order, done, result }) => {
    const guest = new XenTestGuest(mode)
    const free = guest.spareFrames
    expect((await exchange(guest, from, 0, to, order, done)).result).toBe(result)
    expect(guest.spareFrames).toBe(free)
    expect(isRam(guest, SPARE)).toBe(true)
  })
})

describe.each(MODES)('the physical map, %s caller', (mode) => {
  const add = async (guest: XenTestGuest, space: number, index: number, gfn: number, size = 0, domid = SELF) => {
    guest.write32(ARGUMENTS, domid | (size << 16), space)
    guest.writeLongs(ARGUMENTS + 8, index, gfn)
    return guest.call(MEMORY_OP, OP.add, ARGUMENTS)
  }
  const remove = async (guest: XenTestGuest, gfn: number, domid = SELF): Promise<number> => {
    guest.write32(ARGUMENTS, domid)
    guest.writeLongs(ARGUMENTS + (mode === '64' ? 8 : 4), gfn)
    return guest.call(MEMORY_OP, OP.remove, ARGUMENTS)
  }

  test('RAM moves, with what is in it; what was at its new place is given back', async () => {
    const guest = new XenTestGuest(mode)
    guest.write32(SPARE * 0x1000, 0x1234)
    const free = guest.spareFrames
    expect(await add(guest, 2, SPARE, SPARE + 4)).toBe(0)
    expect(isRam(guest, SPARE)).toBe(false)
    expect(guest.read32((SPARE + 4) * 0x1000)).toBe(0x1234)
    expect(await current(guest)).toBe(RAM_FRAMES - 1)
    expect(guest.spareFrames).toBe(free + 1)
    expect(await add(guest, 2, SPARE + 4, ROOM)).toBe(0)
    expect(guest.read32((SPARE + 5) * 0x1000)).toBe(0)
    expect(await current(guest)).toBe(RAM_FRAMES - 1)
  })

  test('a range of it', async () => {
    const guest = new XenTestGuest(mode)
    for (let i = 0; i < 4; i++) guest.write32((SPARE + i) * 0x1000, i + 1)
    expect(await add(guest, 3, SPARE, SPARE + 1, 2)).toBe(0)
    // As Xen does it: one after the other, so that the first frame goes all the way.
    expect([0, 1, 2, 3].map((i) => (isRam(guest, SPARE + i) ? guest.read32((SPARE + i) * 0x1000) : 0))).toEqual([
      0, 0, 1, 4,
    ])
    expect(await add(guest, 3, SPARE + 2, ROOM, 2)).toBe(0)
    expect(guest.read32(ROOM * 0x1000)).toBe(1)
    expect(guest.read32((ROOM + 1) * 0x1000)).toBe(4)
  })

  test.each([
    { given: 'a hole', space: 2, index: ROOM, gfn: ROOM + 1, is: E.INVAL },
    { given: 'a place that no address has', space: 2, index: SPARE, gfn: 2 ** 28, is: E.INVAL },
    { given: 'a frame that no address has', space: 2, index: 2 ** 28, gfn: ROOM, is: E.INVAL },
    { given: 'a frame to where it is', space: 2, index: SPARE, gfn: SPARE, is: 0 },
    { given: 'no such page of Xen’s', space: 0, index: 1, gfn: ROOM, is: E.INVAL },
    { given: 'no such space', space: 9, index: 0, gfn: ROOM, is: E.INVAL },
    { given: 'another’s frame, one at a time', space: 4, index: 0, gfn: ROOM, is: E.NOSYS },
    { given: 'a device', space: 5, index: 0, gfn: ROOM, is: -13 },
    { given: 'another domain', space: 2, index: SPARE, gfn: ROOM, domid: 3, is: E.SRCH },
    { given: 'the toolstack', space: 2, index: SPARE, gfn: ROOM, domid: 0, is: E.PERM },
    {
      given: 'a range that wraps',
      space: 3,
      index: 0xffff_fff0,
      gfn: 0xffff_fff0,
      size: 0x20,
      is: mode === '64' ? E.INVAL : -75,
    },
    // Of 32-bit callers: the last frame number is 2^32 - 1, and none of these has RAM.
    ...[
      { index: 0xffff_ffef, gfn: ROOM, is: E.INVAL },
      { index: 0xffff_fff0, gfn: ROOM, is: mode === '64' ? E.INVAL : -75 },
      { index: 0x1_0000, gfn: 0xffff_ffef, is: E.INVAL },
      { index: 0x1_0000, gfn: 0xffff_fff0, is: mode === '64' ? E.INVAL : -75 },
    ].map((each) => ({ ...each, given: `16 frames, ${each.index} to ${each.gfn}`, space: 3, size: 0x10 })),
  ])('$given', async ({ space, index, gfn, is, domid, size }) => {
    const guest = new XenTestGuest(mode)
    const free = guest.spareFrames
    expect(await add(guest, space, index, gfn, size, domid)).toBe(is)
    expect(guest.spareFrames).toBe(free)
  })

  test('a batch has an error for each', async () => {
    const guest = new XenTestGuest(mode)
    const batch = async (space: number, pairs: readonly (readonly [number, number])[], foreign = 0) => {
      guest.writeLongs(LIST, ...pairs.map(([index]) => index))
      guest.writeLongs(LIST + 0x400, ...pairs.map(([, gfn]) => gfn))
      guest.write32(ARGUMENTS, SELF | (space << 16), pairs.length | (foreign << 16))
      guest.writeLongs(ARGUMENTS + 8, LIST, LIST + 0x400, LIST + 0x800)
      const result = await guest.call(MEMORY_OP, OP.batch, ARGUMENTS)
      return { result, errors: pairs.map((_, i) => guest.read32(LIST + 0x800 + 4 * i) | 0) }
    }
    const moved = await batch(2, [
      [SPARE, ROOM],
      [ROOM + 5, ROOM + 6],
      [SPARE + 1, ROOM + 1],
    ])
    expect(moved).toEqual({ result: 0, errors: [0, E.INVAL, 0] })
    expect(isRam(guest, ROOM) && isRam(guest, ROOM + 1)).toBe(true)
    expect(await batch(3, [])).toEqual({ result: -95, errors: [] })
    const foreign = async (domid: number) => (await batch(4, [[0, ROOM + 9]], domid)).errors[0]
    expect([await foreign(SELF), await foreign(1), await foreign(0), await foreign(7)]).toEqual([
      E.INVAL,
      E.INVAL,
      E.PERM,
      E.SRCH,
    ])
  })

  test('RAM is removed', async () => {
    const guest = new XenTestGuest(mode)
    const free = guest.spareFrames
    expect(await remove(guest, SPARE)).toBe(0)
    expect(isRam(guest, SPARE)).toBe(false)
    expect(guest.spareFrames).toBe(free + 1)
    expect(await current(guest)).toBe(RAM_FRAMES - 1)
    expect(await remove(guest, SPARE)).toBe(E.NOENT)
    expect(await remove(guest, 0x7fff_ffff)).toBe(E.NOENT)
    expect(await remove(guest, SPARE + 1, 9)).toBe(E.SRCH)
  })

  test('a page of Xen’s is at one place at a time, and is no RAM of the guest’s', async () => {
    const guest = new XenTestGuest(mode)
    const page = guest.memory.allocate(0x1000, 0x1000, 'test')
    guest.memory.writeU32(page, 0xabcd)
    guest.xen.sharedInfoFrame = page / 0x1000
    const free = guest.spareFrames
    expect(await add(guest, 0, 0, SPARE)).toBe(0)
    expect(guest.read32(SPARE * 0x1000)).toBe(0xabcd)
    expect(await current(guest)).toBe(RAM_FRAMES - 1)
    expect(await add(guest, 0, 0, SPARE)).toBe(0)
    expect(await add(guest, 0, 0, ROOM)).toBe(0)
    expect([SPARE, ROOM].map((gfn) => isRam(guest, gfn))).toEqual([false, true])
    // It is no frame to move, and none to be had by giving it back.
    expect(await add(guest, 2, ROOM, ROOM + 1)).toBe(E.INVAL)
    expect(await reserve(guest, OP.decrease, [ROOM])).toBe(1)
    expect(guest.memory.frames.isAllocated(page / 0x1000)).toBe(true)
    expect(await current(guest)).toBe(RAM_FRAMES - 1)
    expect(await add(guest, 0, 0, SPARE)).toBe(0)
    expect(guest.read32(SPARE * 0x1000)).toBe(0xabcd)
    expect(guest.spareFrames).toBe(free + 1)
  })
})

describe.each(MODES)('questions, %s caller', (mode) => {
  const ask = async (guest: XenTestGuest, op: number, domid = SELF): Promise<number> => {
    guest.write32(ARGUMENTS, domid)
    return guest.call(MEMORY_OP, op, ARGUMENTS)
  }

  test('of sizes', async () => {
    const guest = new XenTestGuest(mode, { xen: { maxFrames: 2000 } })
    expect(await ask(guest, 2)).toBe(guest.memory.frameCount)
    expect(await ask(guest, 3)).toBe(RAM_FRAMES)
    expect(await ask(guest, 4)).toBe(2000)
    // The rings of store and console, below 4 GiB.
    expect(await ask(guest, 14)).toBe(0xfefff)
    expect([await ask(guest, 3, 1), await ask(guest, 3, 0), await ask(guest, 3, 9)]).toEqual([
      RAM_FRAMES,
      E.PERM,
      E.SRCH,
    ])
    expect(await guest.call(MEMORY_OP, 3, 0x7000_0000)).toBe(E.FAULT)
    guest.domain.p2m.populate(0x800_0123, 1)
    expect(await ask(guest, 14)).toBe(0x800_0123)
  })

  test('of the memory map', async () => {
    const ranges = [
      { base: 0, size: 0x9_fc00, type: 1 },
      { base: 0x10_0000, size: 0x30_0000, type: 1 },
      { base: 0xfec0_0000, size: 0x1000, type: 2 },
    ]
    const guest = new XenTestGuest(mode, { xen: { memoryMap: ranges } })
    const read = async (entries: number, buffer = LIST): Promise<number> => {
      guest.write32(ARGUMENTS, entries, 0)
      guest.writeLongs(ARGUMENTS + (mode === '64' ? 8 : 4), buffer)
      return guest.call(MEMORY_OP, OP.map, ARGUMENTS)
    }
    expect(await read(128)).toBe(0)
    expect(guest.read32(ARGUMENTS)).toBe(3)
    expect(guest.read64(LIST + 20)).toBe(0x10_0000n)
    expect(guest.read64(LIST + 28)).toBe(0x30_0000n)
    expect(guest.read32(LIST + 56)).toBe(2)
    guest.write32(LIST + 20, 77)
    expect(await read(1)).toBe(0)
    expect([guest.read32(ARGUMENTS), guest.read32(LIST + 20)]).toEqual([1, 77])
    expect(await read(3, 0x7000_0000)).toBe(E.FAULT)
    // The guest's own, which has an entry of another type.
    guest.write32(LIST + 16, 5)
    guest.write32(ARGUMENTS, SELF)
    const at = ARGUMENTS + (mode === '64' ? 8 : 4)
    guest.write32(at, 1)
    guest.writeLongs(at + (mode === '64' ? 8 : 4), LIST)
    expect(await guest.call(MEMORY_OP, 13, ARGUMENTS)).toBe(0)
    guest.write32(LIST + 16, 0)
    expect(await read(8)).toBe(0)
    expect([guest.read32(ARGUMENTS), guest.read32(LIST + 16)]).toEqual([1, 5])
    expect(await new XenTestGuest(mode).call(MEMORY_OP, OP.map, ARGUMENTS)).toBe(E.NOSYS)
  })

  test.each([
    { op: 5, is: E.NOSYS },
    { op: 8, is: E.NOSYS },
    { op: 10, is: E.PERM },
    { op: 12, is: E.NOSYS },
    { op: 16, is: E.PERM },
    { op: 17, is: E.PERM },
    { op: 18, is: 0 },
    { op: 19, is: 0 },
    { op: 20, is: E.NOSYS },
    { op: 24, is: E.PERM },
    { op: 25, is: E.NOSYS },
    { op: 26, is: -95 },
    { op: 27, is: 0 },
    { op: 63, is: E.NOSYS },
  ])('memory_op $op is $is', async ({ op, is }) => {
    expect(await ask(new XenTestGuest(mode), op, op === 27 ? 1 : SELF)).toBe(is)
  })
})
