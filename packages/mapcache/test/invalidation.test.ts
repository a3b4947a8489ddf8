import { P2mType } from '@retrap/p2m'
import { beforeEach, describe, expect, test } from 'vitest'
import type { MapCache } from '../src/index.ts'
import { codeOf, createGuest, type Guest } from './support/guest.ts'

let guest: Guest
let cache: MapCache

beforeEach(() => {
  guest = createGuest()
  cache = guest.cache()
  guest.ram(0x10, 4)
})

const allocated = (mfn: number): boolean => guest.memory.frames.isAllocated(mfn)

/** Takes frames until none is free: whatever is reused is found out. */
function exhaust(): Set<number> {
  const taken = new Set<number>()
  for (let mfn = guest.memory.frames.tryAllocate(0); mfn >= 0; mfn = guest.memory.frames.tryAllocate(0)) taken.add(mfn)
  return taken
}

describe('an invalidation', () => {
  test('with nothing held is done at once, and gives the frames back', () => {
    cache.map(0x1_0000, 0x4000).release()
    const mfn = guest.remove(0x11)
    expect(allocated(mfn)).toBe(true)
    const notice = cache.invalidate(0x11, 1)
    expect([notice.done, notice.pending, allocated(mfn)]).toEqual([true, 0, false])
    expect(cache.map(0x1_0000, 0x4000).segments.map(({ kind }) => kind)).toEqual(['ram', 'mmio', 'ram'])
  })

  test('that is needless does no harm', () => {
    const mapping = cache.mapForWriting(0x1_0000, 0x1000)
    const notice = cache.invalidate()
    expect([notice.done, mapping.orphaned]).toEqual([false, true])
    expect(mapping.write(0, Uint8Array.of(1, 2))).toBe(2)
    mapping.release()
    expect(notice.done).toBe(true)
    expect([...cache.map(0x1_0000, 2).bytes]).toEqual([1, 2])
    expect(guest.counts.count(guest.mfn(0x10))).toBe(2)
  })

  test('does not wait for mappings of other pages, nor for the holes in one', () => {
    const other = cache.map(0x1_0000, 0x1000)
    const hole = cache.map(0x1_3000, 0x2000)
    guest.remove(0x11)
    expect(cache.invalidate(0x11, 1).done).toBe(true)
    expect(cache.invalidate(0x14, 1).done).toBe(true)
    expect(cache.invalidate(0x13, 1).done).toBe(false)
    expect([other.orphaned, hole.orphaned]).toEqual([false, true])
  })

  test('calls back once the last of its mappings is released, in whatever order', async () => {
    const mappings = [0, 1, 2].map((i) => cache.map(0x1_0000 + i * 0x1000, 0x1800))
    const notice = cache.invalidate(0x11, 1)
    let calls = 0
    notice.onDone(() => calls++)
    expect(notice.pending).toBe(2)
    mappings[1]?.release()
    expect([notice.pending, calls]).toEqual([1, 0])
    mappings[0]?.release()
    expect([notice.done, calls]).toEqual([true, 1])
    notice.onDone(() => calls++)
    await notice.settled()
    expect([calls, cache.statistics.delayed]).toEqual([2, 1])
  })

  test('refuses a range that is none', () => {
    expect(codeOf(() => cache.invalidate(-1, 1))).toBe('ERR_RANGE')
    expect(codeOf(() => cache.invalidate(0, 0))).toBe('ERR_RANGE')
  })
})

describe('test cases of the reference', () => {
  test('1: two removals at once are each acknowledged for their own frames', () => {
    const [first, second] = [cache.map(0x1_0000, 8), cache.map(0x1_1000, 8)]
    guest.remove(0x10)
    guest.remove(0x11)
    const [one, two] = [cache.invalidate(0x10, 1), cache.invalidate(0x11, 1)]
    first.release()
    expect([one.done, two.done]).toEqual([true, false])
    second.release()
    expect(two.done).toBe(true)
  })

  test('2: a page removed while a device reads it by pointer stays under it', () => {
    const mapping = cache.map(0x1_0000, 0x1000)
    const view = mapping.bytes
    guest.memory.write(guest.mfn(0x10) * 4096, Uint8Array.of(1, 2, 3))
    const mfn = guest.remove(0x10)
    const notice = cache.invalidate(0x10, 1)
    expect(exhaust().has(mfn)).toBe(false)
    expect([...view.slice(0, 3)]).toEqual([1, 2, 3])
    mapping.release()
    expect([notice.done, allocated(mfn)]).toEqual([true, false])
  })

  test('3: breaking up a leaf asks for no notice, and a spurious one leaves mappings in use', () => {
    const leaf = createGuest(16 << 20)
    leaf.p2m.populate(0x200, 0x200)
    leaf.counts.adopt(leaf.mfn(0x200), 0x200)
    const of = leaf.cache()
    const mapping = of.mapForWriting(0x20_0000, 0x20_0000)
    expect(mapping.segments.length).toBe(1)
    let released = 0
    leaf.p2m.onRelease(() => released++)
    leaf.p2m.shatter(0x300)
    expect(released).toBe(0)
    of.invalidate(0x200, 0x200)
    mapping.write(0x12_3456, Uint8Array.of(9))
    mapping.release()
    expect(of.map(0x32_3456, 1).bytes[0]).toBe(9)
  })

  test('4: RAM replaced by the same frame releases nothing, by another frame everything', () => {
    const released: number[] = []
    guest.p2m.onRelease((gfn) => released.push(gfn))
    guest.p2m.insert(0x10, guest.mfn(0x10), 0, P2mType.RAM_RO)
    expect(released).toEqual([])
    guest.ram(0x10)
    expect(released).toEqual([0x10])
  })

  test('6: what a mapping wrote is dirty for the pages it really covers', () => {
    guest.remove(0x12)
    cache.invalidate(0x12, 1)
    const mapping = cache.mapForWriting(0x1_1000, 0x3000)
    expect(mapping.write(0, new Uint8Array(0x3000))).toBe(0x1000)
    mapping.release()
    expect(new Set(guest.dirty.map(([gfn, count]) => `${gfn}+${count}`))).toEqual(new Set(['17+1', '19+1']))
  })

  test('7: a cache made between change and notice sees the map as it is', () => {
    guest.remove(0x10)
    const late = guest.cache()
    expect(late.map(0x1_0000, 8).segments[0]?.kind).toBe('mmio')
    expect(late.invalidate(0x10, 1).done).toBe(true)
  })

  test('8: a device model that dies counts once its mappings are gone', () => {
    const dying = guest.cache()
    const [kept, lost] = [cache.map(0x1_0000, 8), dying.mapForWriting(0x1_0000, 8)]
    const mfn = guest.remove(0x10)
    const notices = [cache.invalidate(0x10, 1), dying.invalidate(0x10, 1)]
    kept.release()
    expect(notices.map(({ done }) => done)).toEqual([true, false])
    expect(allocated(mfn)).toBe(true)
    dying.close()
    expect(notices.map(({ done }) => done)).toEqual([true, true])
    expect(allocated(mfn)).toBe(false)
    expect(codeOf(() => lost.bytes)).toBe('ERR_RELEASED')
    expect(codeOf(() => dying.map(0, 1))).toBe('ERR_CLOSED')
    expect(codeOf(() => dying.readSome(0, new Uint8Array(1)))).toBe('ERR_CLOSED')
    expect([0x11, 0x12, 0x13].map((gfn) => guest.counts.count(guest.mfn(gfn)))).toEqual([1, 1, 1])
  })

  test('9: a device model that removes pages itself gets a ticket, and nothing waits for its own hand', () => {
    let notice: { done: boolean } | undefined
    cache.withWriting(0x1_0000, 8, (mapping) => {
      guest.remove(0x10)
      notice = cache.invalidate(0x10, 1)
      expect(notice.done).toBe(false)
      mapping.write(0, Uint8Array.of(1))
    })
    expect(notice?.done).toBe(true)
  })

  test('10: a page removed and given another frame: who holds has the old one, who comes has the new one', () => {
    const old = cache.mapForWriting(0x1_0000, 0x1000)
    const mfn = guest.remove(0x10)
    guest.ram(0x10)
    const notice = cache.invalidate(0x10, 1)
    old.write(0, Uint8Array.of(0xaa))
    expect(cache.map(0x1_0000, 1).bytes[0]).toBe(0)
    expect(guest.memory.u8[mfn * 4096]).toBe(0xaa)
    old.release()
    expect([notice.done, allocated(mfn), guest.memory.u8[mfn * 4096]]).toEqual([true, false, 0])
  })

  test('10, the notice still on its way: a hit may have the old frame, which nobody else has, and is waited for', () => {
    cache.map(0x1_0000, 1).release()
    const mfn = guest.remove(0x10)
    guest.ram(0x10)
    const hit = cache.mapForWriting(0x1_0000, 1)
    hit.bytes[0] = 0x77
    expect([guest.memory.u8[mfn * 4096], guest.counts.count(mfn)]).toEqual([0x77, 1])
    const notice = cache.invalidate(0x10, 1)
    expect(notice.done).toBe(false)
    hit.release()
    expect([notice.done, allocated(mfn)]).toEqual([true, false])
    expect(cache.map(0x1_0000, 1).bytes[0]).toBe(0)
  })

  test('11: a held mapping delays the acknowledgement and its frame is never reused under it', () => {
    const mapping = cache.mapForWriting(0x1_0000, 0x4000)
    const frames = [0x10, 0x11, 0x12, 0x13].map((gfn) => guest.remove(gfn))
    const notice = cache.invalidate()
    const others = exhaust()
    mapping.bytes.fill(0x5a)
    for (const mfn of others) expect(guest.memory.u8[mfn * 4096]).toBe(0)
    expect(frames.some((mfn) => others.has(mfn))).toBe(false)
    mapping.release()
    expect(notice.done).toBe(true)
    expect(frames.map(allocated)).toEqual([false, false, false, false])
  })

  test('12: a notice between the parts of a continued removal, and again at its end', () => {
    const mapping = cache.map(0x1_0000, 0x2000)
    guest.remove(0x10)
    const first = cache.invalidate()
    guest.remove(0x11)
    const second = cache.invalidate()
    expect([first.pending, second.pending]).toEqual([1, 1])
    mapping.release()
    expect([first.done, second.done]).toEqual([true, true])
  })

  test('15: a page that becomes valid after a look-up in vain is seen without a notice', () => {
    expect(cache.map(0x1_4000, 8).segments[0]?.kind).toBe('mmio')
    expect(cache.map(0x1_3000, 0x2000).segments.map(({ kind }) => kind)).toEqual(['ram', 'mmio'])
    guest.ram(0x14)
    expect(cache.map(0x1_4000, 8).segments[0]?.kind).toBe('ram')
    expect(new Set(cache.map(0x1_3000, 0x2000).segments.map(({ kind }) => kind))).toEqual(new Set(['ram']))
  })
})

describe('the right to write', () => {
  test('that comes back is seen without a notice: what was written in vain before, and mapped, is RAM', () => {
    guest.p2m.setType(0x10, 2, P2mType.RAM_RO)
    cache.revokeWrites(0x10, 2)
    cache.write(0x1_0000, Uint8Array.of(1))
    const reader = cache.map(0x1_0000, 0x2000)
    guest.p2m.setType(0x10, 1, P2mType.RAM_RW)
    expect(cache.write(0x1_0000, Uint8Array.of(2))).toBe(true)
    expect(cache.fillSome(0x1_0ffe, 4, 3)).toBe(4)
    const writer = cache.mapForWriting(0x1_0000, 0x2000)
    expect(writer.segments.map(({ kind }) => kind)).toEqual(['ram', 'rom'])
    writer.write(1, Uint8Array.of(4))
    writer.release()
    expect([...reader.bytes.subarray(0, 2), ...reader.bytes.subarray(0xffe, 0x1002)]).toEqual([2, 4, 3, 3, 0, 0])
    reader.release()
    cache.invalidate()
    expect(guest.counts.count(guest.mfn(0x10))).toBe(1)
  })
})

describe('loss of the right to write', () => {
  test('waits for mappings for writing only, and later writes are discarded', () => {
    const [reader, writer] = [cache.map(0x1_0000, 8), cache.mapForWriting(0x1_0000, 8)]
    guest.p2m.setType(0x10, 1, P2mType.RAM_RO)
    const notice = cache.revokeWrites(0x10, 1)
    expect([notice.pending, reader.orphaned, writer.orphaned]).toEqual([1, false, true])
    writer.release()
    expect(notice.done).toBe(true)
    cache.write(0x1_0000, Uint8Array.of(1))
    expect(reader.bytes[0]).toBe(0)
    reader.release()
    expect(guest.counts.count(guest.mfn(0x10))).toBe(2)
  })
})

test('it says what it has of a frame, and a mapping of the old one is seen until its release', () => {
  const guest = createGuest()
  const cache = guest.cache()
  guest.ram(0x10, 2)
  const mfn = guest.mfn(0x10)
  expect(cache.useOf(0x10)).toEqual({ mfn: null, held: 0, heldForWriting: 0 })
  const reading = cache.map(0x1_0800, 0x1000)
  const writing = cache.mapForWriting(0x1_0000, 8)
  const before = cache.statistics
  expect(cache.useOf(0x10)).toEqual({ mfn, held: 2, heldForWriting: 1 })
  expect(cache.useOf(0x11)).toEqual({ mfn: mfn + 1, held: 1, heldForWriting: 0 })
  // It was looked at, and no more.
  expect(cache.statistics).toEqual(before)
  guest.remove(0x10)
  expect(cache.useOf(0x10)).toMatchObject({ mfn })
  const invalidation = cache.invalidate(0x10, 1)
  expect(cache.useOf(0x10)).toEqual({ mfn: null, held: 2, heldForWriting: 1 })
  writing.release()
  expect([cache.useOf(0x10).held, invalidation.pending]).toEqual([1, 1])
  reading.release()
  expect([cache.useOf(0x10).held, invalidation.done]).toEqual([0, true])
})
