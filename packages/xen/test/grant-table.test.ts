import { defineDevice, type DeviceDma } from '@retrap/device'
import { al } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E, SELF } from './support/headers.ts'
import { GRANTED, OP, OWN, PERMIT, PLACE, READ_ONLY, READING, s16, STATUS, TABLE, WRITING } from './support/grants.ts'
import { ARGUMENTS, MODES, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const GRANT_TABLE_OP = 20
const LIST = ARGUMENTS + 0x800
const BAD_HANDLE = -4
const BAD_COPY = -10

/** Puts a page of the table at a guest frame. */
async function placeTable(guest: XenTestGuest, index = 0, gfn = TABLE): Promise<number> {
  guest.write32(ARGUMENTS, SELF, 1)
  guest.writeLongs(ARGUMENTS + 8, index, gfn)
  return guest.call(12, 7, ARGUMENTS)
}

const grant = (guest: XenTestGuest, ref: number, gfn: number, flags = PERMIT, domid = OWN): void =>
  guest.write32(TABLE * 0x1000 + 8 * ref, flags | (domid << 16), gfn)

const flagsOf = (guest: XenTestGuest, ref: number): number => guest.read32(TABLE * 0x1000 + 8 * ref) & 0xffff

async function map(guest: XenTestGuest, ref: number, options: { flags?: number; domid?: number; gfn?: number } = {}) {
  const { flags = 2, domid = OWN, gfn = PLACE } = options
  guest.write64(ARGUMENTS, gfn * 0x1000)
  guest.write32(ARGUMENTS + 8, flags, ref, domid, 0xffff_ffff)
  guest.write64(ARGUMENTS + 24, 0)
  expect(await guest.call(GRANT_TABLE_OP, OP.map, ARGUMENTS, 1)).toBe(0)
  return {
    status: s16(guest.read32(ARGUMENTS + 16) >>> 16),
    handle: guest.read32(ARGUMENTS + 20),
    bus: guest.read64(ARGUMENTS + 24),
  }
}

async function unmap(guest: XenTestGuest, handle: number, gfn = PLACE): Promise<number> {
  guest.write64(ARGUMENTS, gfn * 0x1000, 0)
  guest.write32(ARGUMENTS + 16, handle, 0x7777)
  expect(await guest.call(GRANT_TABLE_OP, OP.unmap, ARGUMENTS, 1)).toBe(0)
  return s16(guest.read32(ARGUMENTS + 20))
}

describe.each(MODES)('the table, %s caller', (mode) => {
  const query = async (guest: XenTestGuest, domid = SELF) => {
    guest.write32(ARGUMENTS, domid, 99, 99, 99)
    expect(await guest.call(GRANT_TABLE_OP, OP.query, ARGUMENTS, 1)).toBe(0)
    return [guest.read32(ARGUMENTS + 4), guest.read32(ARGUMENTS + 8), s16(guest.read32(ARGUMENTS + 12))]
  }

  test('grows when it is set up, and when a page of it is put in the map', async () => {
    const guest = new XenTestGuest(mode)
    const free = guest.spareFrames
    expect(await query(guest)).toEqual([0, 64, 0])
    expect(await placeTable(guest, 1)).toBe(0)
    expect(await query(guest)).toEqual([2, 64, 0])
    const setup = async (count: number, domid = SELF, list = LIST): Promise<number> => {
      guest.write32(ARGUMENTS, domid, count, 0)
      guest.writeLongs(ARGUMENTS + (mode === '64' ? 16 : 12), list)
      expect(await guest.call(GRANT_TABLE_OP, OP.setup, ARGUMENTS, 1)).toBe(0)
      return s16(guest.read32(ARGUMENTS + 8))
    }
    expect(await setup(3)).toBe(0)
    const long = (i: number): bigint =>
      mode === '64' ? guest.read64(LIST + 8 * i) : BigInt(guest.read32(LIST + 4 * i))
    const nowhere = mode === '64' ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn
    expect([long(0), long(1), long(2)]).toEqual([nowhere, BigInt(TABLE), nowhere])
    expect(await query(guest)).toEqual([3, 64, 0])
    expect(await setup(65)).toBe(STATUS.general)
    expect(await setup(1, 0)).toBe(STATUS.denied)
    expect(await setup(1, 9)).toBe(STATUS.badDomain)
    expect(await setup(1, SELF, 0x7000_0000)).toBe(STATUS.badAddress)
    expect([(await query(guest, 0))[2], (await query(guest, 9))[2]]).toEqual([STATUS.denied, STATUS.badDomain])
    expect(await placeTable(guest, 64)).toBe(E.INVAL)
    // One frame of RAM made room for a page of Xen's, of which there are three.
    expect(guest.spareFrames).toBe(free + 1 - 3)
    guest.xen.grants.reset()
    // Before its next instruction the vCPU has let go of them.
    expect(await guest.call(99)).toBe(E.NOSYS)
    expect(guest.spareFrames).toBe(free + 1)
  })

  test('a page of it that a device model has mapped stays until that lets go', async () => {
    const guest = new XenTestGuest(mode)
    const cards: DeviceDma[] = []
    guest.domain.attach(defineDevice({ name: 'card', attach: ({ dma }) => void cards.push(dma) }))
    const free = guest.spareFrames
    expect(await placeTable(guest)).toBe(0)
    const mapping = cards[0]?.map(TABLE * 0x1000, 64)
    guest.xen.grants.reset()
    guest.program((asm) => asm.out(0xf4, al).hlt())
    void guest.call(0)
    await new Promise((resolve) => setTimeout(resolve, 20))
    // The frame of RAM that made room is free, the page is not.
    expect([mapping?.orphaned, guest.spareFrames]).toEqual([true, free])
    mapping?.release()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(guest.spareFrames).toBe(free + 1)
    expect(guest.exit.reason).toBe('stopped')
  })

  test('is of version 1 until the guest asks for another', async () => {
    const guest = new XenTestGuest(mode)
    const set = async (version: number): Promise<readonly [number, number]> => {
      guest.write32(ARGUMENTS, version)
      return [await guest.call(GRANT_TABLE_OP, OP.setVersion, ARGUMENTS, 1), guest.read32(ARGUMENTS)]
    }
    expect([await set(1), await set(0), await set(3), await set(0xffff_ffff)]).toEqual([
      [0, 1],
      [E.INVAL, 1],
      [E.INVAL, 1],
      [E.INVAL, 1],
    ])
    guest.write32(ARGUMENTS, SELF, 9)
    expect(await guest.call(GRANT_TABLE_OP, OP.getVersion, ARGUMENTS, 1)).toBe(0)
    expect(guest.read32(ARGUMENTS + 4)).toBe(1)
  })

  test.each([
    { given: 'a command of PV guests', op: 4, count: 1, is: E.NOSYS },
    { given: 'dump', op: 3, count: 1, is: E.NOSYS },
    { given: 'two versions at a time', op: OP.setVersion, count: 2, is: E.INVAL },
    { given: 'two where there can be one', op: OP.query, count: 2, is: E.INVAL },
    { given: 'a negative count', op: OP.map, count: 0x8000_0000, is: E.INVAL },
    { given: 'nothing', op: OP.map, count: 0, is: 0 },
    { given: 'a bad pointer', op: OP.copy, count: 1, pointer: 0x7000_0000, is: E.FAULT },
    { given: 'a huge count over a list that ends', op: OP.swap, count: 0x7fff_ffff, is: E.FAULT },
  ])('$given', async ({ op, count, pointer, is }) => {
    const guest = new XenTestGuest(mode)
    expect(await guest.call(GRANT_TABLE_OP, op, pointer ?? (op === OP.swap ? 0x3f_0000 : ARGUMENTS), count)).toBe(is)
  })
})

describe.each(MODES)('mapping one’s own grants, %s caller', (mode) => {
  const make = async (): Promise<XenTestGuest> => {
    const guest = new XenTestGuest(mode)
    await placeTable(guest)
    grant(guest, 10, GRANTED)
    guest.write32(GRANTED * 0x1000, 0x1234)
    return guest
  }

  test('the frame appears at another place, until it is unmapped', async () => {
    const guest = await make()
    const mfn = guest.domain.p2m.translate(GRANTED * 0x1000)
    const { status, handle, bus } = await map(guest, 10)
    expect([status, bus]).toEqual([0, BigInt(GRANTED * 0x1000)])
    expect(guest.domain.p2m.translateWrite(PLACE * 0x1000)).toBe(mfn)
    expect(flagsOf(guest, 10)).toBe(PERMIT | READING | WRITING)
    expect(await unmap(guest, handle)).toBe(0)
    expect(guest.domain.p2m.translate(PLACE * 0x1000)).toBe(-1)
    expect(flagsOf(guest, 10)).toBe(PERMIT)
    expect(await unmap(guest, handle)).toBe(BAD_HANDLE)
  })

  test('it stays what it is while it is mapped, whatever becomes of its owner', async () => {
    const guest = await make()
    const free = guest.spareFrames
    const { handle } = await map(guest, 10, { flags: 6 })
    expect(flagsOf(guest, 10)).toBe(PERMIT | READING)
    guest.writeLongs(LIST, GRANTED)
    guest.writeLongs(ARGUMENTS, LIST, 1)
    guest.write32(ARGUMENTS + (mode === '64' ? 16 : 8), 0, 0, SELF)
    expect(await guest.call(12, 1, ARGUMENTS)).toBe(1)
    expect(guest.spareFrames).toBe(free)
    expect(guest.read32(PLACE * 0x1000)).toBe(0x1234)
    expect(guest.domain.p2m.translateWrite(PLACE * 0x1000)).toBe(-1)
    // It is no RAM of the guest's: it can be neither given back nor moved.
    expect(await unmap(guest, handle, PLACE + 1)).toBe(STATUS.general)
    guest.writeLongs(LIST, PLACE)
    guest.writeLongs(ARGUMENTS, LIST, 1)
    guest.write32(ARGUMENTS + (mode === '64' ? 16 : 8), 0, 0, SELF)
    expect(await guest.call(12, 1, ARGUMENTS)).toBe(0)
    expect(await unmap(guest, handle)).toBe(0)
    expect(guest.spareFrames).toBe(free + 1)
  })

  test.each([
    { given: 'a reference beyond the table', ref: 512, status: STATUS.badRef },
    { given: 'the largest of all', ref: 0xffff_ffff, status: STATUS.badRef },
    { given: 'an entry that grants nothing', ref: 11, status: STATUS.general },
    { given: 'one for another domain', ref: 12, status: STATUS.general },
    { given: 'a read-only one for writing', ref: 13, status: STATUS.general },
    { given: 'a frame that is no RAM', ref: 14, status: STATUS.badPage },
    { given: 'no kind of mapping', ref: 10, flags: 0, status: STATUS.badRef },
    { given: 'a mapping for devices', ref: 10, flags: 3, status: STATUS.general },
    { given: 'a page-table entry', ref: 10, flags: 0x12, status: STATUS.general },
    { given: 'a domain there is none of', ref: 10, domid: 9, status: STATUS.badDomain },
    { given: '"self", which is not for this', ref: 10, domid: SELF, status: STATUS.badDomain },
    { given: 'the toolstack’s', ref: 10, domid: 0, status: STATUS.badRef },
    { given: 'a place that no address has', ref: 10, gfn: 2 ** 28, status: STATUS.general },
    { given: 'a read-only one for reading', ref: 13, flags: 6, status: 0 },
  ])('$given', async ({ ref, status, ...options }) => {
    const guest = await make()
    grant(guest, 12, GRANTED, PERMIT, 5)
    grant(guest, 13, GRANTED, PERMIT | READ_ONLY)
    grant(guest, 14, 0x3000)
    const before = [10, 12, 13].map((each) => flagsOf(guest, each))
    expect((await map(guest, ref, options)).status).toBe(status)
    if (status !== 0) expect([10, 12, 13].map((each) => flagsOf(guest, each))).toEqual(before)
  })

  test('entries are exchanged unless they are used', async () => {
    const guest = await make()
    grant(guest, 11, GRANTED + 1, PERMIT | READ_ONLY)
    const swap = async (a: number, b: number): Promise<number> => {
      guest.write32(ARGUMENTS, a, b, 0)
      expect(await guest.call(GRANT_TABLE_OP, OP.swap, ARGUMENTS, 1)).toBe(0)
      return s16(guest.read32(ARGUMENTS + 8))
    }
    expect(await swap(10, 11)).toBe(0)
    expect([flagsOf(guest, 10), flagsOf(guest, 11)]).toEqual([PERMIT | READ_ONLY, PERMIT])
    expect(await swap(10, 512)).toBe(STATUS.badRef)
    await map(guest, 11)
    expect(await swap(10, 11)).toBe(STATUS.again)
    expect(await swap(11, 11)).toBe(0)
  })
})

describe.each(MODES)('copies, %s caller', (mode) => {
  const long = mode === '64' ? 8 : 4
  interface End {
    readonly at: number
    readonly domid?: number
    readonly offset?: number
  }
  const copy = async (guest: XenTestGuest, source: End, target: End, length: number, flags = 0): Promise<number> => {
    const end = long + (mode === '64' ? 8 : 4)
    for (const [i, { at, domid = SELF, offset = 0 }] of [source, target].entries()) {
      guest.writeLongs(ARGUMENTS + i * end, at)
      guest.write32(ARGUMENTS + i * end + long, domid | (offset << 16))
    }
    guest.write32(ARGUMENTS + 2 * end, length | (flags << 16), 0)
    expect(await guest.call(GRANT_TABLE_OP, OP.copy, ARGUMENTS, 1)).toBe(0)
    return s16(guest.read32(ARGUMENTS + 2 * end + 4))
  }

  test('from frame to frame, and by reference', async () => {
    const guest = new XenTestGuest(mode)
    await placeTable(guest)
    grant(guest, 10, GRANTED, PERMIT | READ_ONLY)
    grant(guest, 11, GRANTED + 1)
    guest.write(GRANTED * 0x1000 + 0xff0, Uint8Array.of(1, 2, 3, 4))
    expect(await copy(guest, { at: GRANTED, offset: 0xff0 }, { at: GRANTED + 1, offset: 2 }, 3)).toBe(0)
    expect([...guest.read((GRANTED + 1) * 0x1000, 6)]).toEqual([0, 0, 1, 2, 3, 0])
    expect(await copy(guest, { at: 10, domid: OWN, offset: 0xff2 }, { at: 11, offset: 0 }, 2, 3)).toBe(0)
    expect([...guest.read((GRANTED + 1) * 0x1000, 6)]).toEqual([3, 4, 1, 2, 3, 0])
    expect([flagsOf(guest, 10), flagsOf(guest, 11)]).toEqual([PERMIT | READ_ONLY, PERMIT])
    expect(await copy(guest, { at: GRANTED }, { at: 10 }, 2, 2)).toBe(STATUS.general)
    expect(await copy(guest, { at: GRANTED, offset: 0xff0 }, { at: GRANTED + 1 }, 0x11)).toBe(BAD_COPY)
    expect(await copy(guest, { at: 0x3000 }, { at: GRANTED }, 1)).toBe(STATUS.badPage)
    expect(await copy(guest, { at: GRANTED }, { at: 0x3000 }, 1)).toBe(STATUS.badPage)
    expect(await copy(guest, { at: GRANTED, domid: 0 }, { at: GRANTED }, 1)).toBe(STATUS.denied)
    expect(await copy(guest, { at: GRANTED, domid: 9 }, { at: GRANTED }, 1)).toBe(STATUS.badDomain)
    expect(await copy(guest, { at: 10, domid: 0 }, { at: GRANTED }, 1, 1)).toBe(STATUS.badRef)
    expect(await copy(guest, { at: 10, domid: 9 }, { at: GRANTED }, 1, 1)).toBe(STATUS.badDomain)
    expect(await copy(guest, { at: 12 }, { at: GRANTED }, 1, 1)).toBe(STATUS.general)
  })

  test('who logs writes hears of them', async () => {
    const guest = new XenTestGuest(mode)
    await placeTable(guest)
    grant(guest, 10, GRANTED + 2)
    const log = guest.domain.dirtyLogs.start(GRANTED, 8)
    expect(await copy(guest, { at: GRANTED }, { at: GRANTED + 1 }, 4)).toBe(0)
    expect(await copy(guest, { at: GRANTED }, { at: 10, domid: OWN }, 4, 2)).toBe(0)
    const bits = new Uint32Array(1)
    const frames = (): number[] => {
      log.peek(bits)
      return [...Array(8).keys()].filter((i) => ((bits[0] as number) & (1 << i)) !== 0)
    }
    expect(frames()).toEqual([1, 2])
    grant(guest, 11, GRANTED + 5)
    const { handle } = await map(guest, 11)
    // Stores through the mapping come without a word: at its beginning, and up to its end.
    expect(frames()).toEqual([1, 2, 5])
    log.take(bits)
    expect(frames()).toEqual([])
    expect(await unmap(guest, handle)).toBe(0)
    expect(frames()).toEqual([5])
  })

  test('a long list is cut into parts', async () => {
    const guest = new XenTestGuest(mode)
    const count = 3000
    const list = 0x30_0000
    // Swaps of entries that there are none of: 12 bytes each.
    for (let i = 0; i < count; i++) guest.write32(list + 12 * i, 1, 2, 0)
    expect(await guest.call(GRANT_TABLE_OP, OP.swap, list, count)).toBe(0)
    expect([0, 2047, 2048, 2999].map((i) => s16(guest.read32(list + 12 * i + 8)))).toEqual(Array(4).fill(STATUS.badRef))
    const [pointer, left] = mode === '64' ? [6, 2] : [1, 2]
    expect([guest.register(pointer as number), guest.register(left as number)]).toEqual([
      BigInt(list + 12 * 2048),
      952n,
    ])
  })
})
