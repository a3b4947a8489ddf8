/** Grant tables of version 2: public/grant_table.h, `union grant_entry_v2`, `grant_status_t`. */
import { P2mType } from '@retrap/p2m'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { E, SELF } from './support/headers.ts'
import { GRANTED, OP, OWN, PERMIT, PLACE, READ_ONLY, READING, s16, STATUS, TABLE, WRITING } from './support/grants.ts'
import { ARGUMENTS, type CallerMode, XenTestGuest } from './support/xen-guest.ts'

const test = sliceTests(3)

const EBUSY = -16
const GRANT_TABLE_OP = 20
const LIST = ARGUMENTS + 0x800
const MEMORY_OP = 12
/** XENMAPIDX_grant_table_status. */
const STATUS_INDEX = 0x8000_0000
const STATUS_GFN = 0x310
const TRANSITIVE = 3
const SUB_PAGE = 1 << 8

class GrantGuest extends XenTestGuest {
  async setVersion(version: number): Promise<readonly [result: number, version: number]> {
    this.write32(ARGUMENTS, version)
    return [await this.call(GRANT_TABLE_OP, OP.setVersion, ARGUMENTS, 1), this.read32(ARGUMENTS)]
  }

  /** XENMAPSPACE_grant_table. */
  async place(index: number, gfn: number): Promise<number> {
    this.write32(ARGUMENTS, SELF, 1)
    this.writeLongs(ARGUMENTS + 8, index, gfn)
    return this.call(MEMORY_OP, 7, ARGUMENTS)
  }

  /** What a kernel does that wants version 2. */
  async start(): Promise<this> {
    expect(await this.setVersion(2)).toEqual([0, 2])
    expect(await this.place(0, TABLE)).toBe(0)
    expect(await this.place(STATUS_INDEX, STATUS_GFN)).toBe(0)
    return this
  }

  /** An entry: flags, domain; what is between; frame. */
  grant(ref: number, flags: number, frame: number, part = 0, domid = OWN): void {
    this.write32(TABLE * 0x1000 + 16 * ref, (flags | (domid << 16)) >>> 0, part, frame, 0)
  }

  flagsOf(ref: number): number {
    return this.read32(TABLE * 0x1000 + 16 * ref) & 0xffff
  }

  statusOf(ref: number): number {
    return (this.read32((STATUS_GFN * 0x1000 + 2 * ref) & ~3) >>> (16 * (ref & 1))) & 0xffff
  }

  async mapGrant(ref: number, flags = 2): Promise<readonly [status: number, handle: number]> {
    this.write64(ARGUMENTS, PLACE * 0x1000)
    this.write32(ARGUMENTS + 8, flags, ref, OWN, 0xffff_ffff)
    this.write64(ARGUMENTS + 24, 0)
    expect(await this.call(GRANT_TABLE_OP, OP.map, ARGUMENTS, 1)).toBe(0)
    return [s16(this.read32(ARGUMENTS + 16) >>> 16), this.read32(ARGUMENTS + 20)]
  }

  async unmapGrant(handle: number): Promise<number> {
    this.write64(ARGUMENTS, PLACE * 0x1000, 0)
    this.write32(ARGUMENTS + 16, handle, 0x7777)
    expect(await this.call(GRANT_TABLE_OP, OP.unmap, ARGUMENTS, 1)).toBe(0)
    return s16(this.read32(ARGUMENTS + 20))
  }

  /** Copies by reference: GNTCOPY_source_gref, GNTCOPY_dest_gref. */
  async copy(
    source: readonly [ref: number, offset: number],
    target: readonly [ref: number, offset: number],
    length: number,
  ): Promise<number> {
    const long = this.mode === '64' ? 8 : 4
    const end = 2 * long
    for (const [i, [ref, offset]] of [source, target].entries()) {
      this.writeLongs(ARGUMENTS + i * end, ref)
      this.write32(ARGUMENTS + i * end + long, SELF | (offset << 16))
    }
    this.write32(ARGUMENTS + 2 * end, length | (3 << 16), 0)
    expect(await this.call(GRANT_TABLE_OP, OP.copy, ARGUMENTS, 1)).toBe(0)
    return s16(this.read32(ARGUMENTS + 2 * end + 4))
  }

  async statusFrames(count: number, domid = SELF, list = LIST): Promise<number> {
    this.write32(ARGUMENTS, count, domid)
    this.writeLongs(ARGUMENTS + 8, list)
    expect(await this.call(GRANT_TABLE_OP, OP.status, ARGUMENTS, 1)).toBe(0)
    return s16(this.read32(ARGUMENTS + 4) >>> 16)
  }

  async frames(): Promise<number> {
    this.write32(ARGUMENTS, SELF, 0, 0, 0)
    expect(await this.call(GRANT_TABLE_OP, OP.query, ARGUMENTS, 1)).toBe(0)
    return this.read32(ARGUMENTS + 4)
  }
}

describe.each<CallerMode>(['64', '32', 'compatibility'])('version 2 of the grant table, %s caller', (mode) => {
  test('is asked for, and given back; the versions are 1 and 2', async () => {
    const guest = new GrantGuest(mode)
    const { spareFrames } = guest
    expect(await guest.setVersion(2)).toEqual([0, 2])
    for (const none of [0, 3, 0xffff_ffff]) expect(await guest.setVersion(none)).toEqual([E.INVAL, 2])
    guest.write32(ARGUMENTS, SELF, 9)
    expect(await guest.call(GRANT_TABLE_OP, OP.getVersion, ARGUMENTS, 1)).toBe(0)
    expect(guest.read32(ARGUMENTS + 4)).toBe(2)
    expect(await guest.setVersion(1)).toEqual([0, 1])
    expect(guest.spareFrames).toBe(spareFrames)
    expect(await guest.call(GRANT_TABLE_OP, OP.setVersion, 0x7000_0000, 1)).toBe(E.FAULT)
  })

  test('a frame has 256 entries; a status frame that of 2,048', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(255, PERMIT, GRANTED)
    expect((await guest.mapGrant(255))[0]).toBe(0)
    expect((await guest.mapGrant(256))[0]).toBe(STATUS.badRef)
    expect(guest.statusOf(255)).toBe(READING | WRITING)
    // What is in use is not said in the entry.
    expect(guest.flagsOf(255)).toBe(PERMIT)
    expect(await guest.place(7, TABLE + 1)).toBe(0)
    expect([await guest.statusFrames(1), await guest.statusFrames(2)]).toEqual([0, STATUS.general])
    // The table grows for a status frame.
    expect(await guest.place(STATUS_INDEX + 1, STATUS_GFN + 1)).toBe(0)
    expect(await guest.frames()).toBe(9)
    expect(await guest.statusFrames(2)).toBe(0)
    expect([guest.read64(LIST), guest.read64(LIST + 8)]).toEqual([BigInt(STATUS_GFN), BigInt(STATUS_GFN + 1)])
    // There are 64 frames, and 8 of status.
    expect(await guest.place(STATUS_INDEX + 7, STATUS_GFN + 7)).toBe(0)
    expect(await guest.frames()).toBe(57)
    expect(await guest.place(STATUS_INDEX + 8, STATUS_GFN + 8)).toBe(E.INVAL)
    expect(await guest.place(0xffff_ffff, STATUS_GFN + 8)).toBe(E.INVAL)
  })

  test('a table for which the machine has no memory does not grow, and nothing is placed', async () => {
    const guest = await new GrantGuest(mode).start()
    const before = guest.domain.p2m.translate((TABLE + 1) * 0x1000)
    while (guest.memory.frames.tryAllocate(0) >= 0);
    for (const index of [1, STATUS_INDEX + 1]) expect(await guest.place(index, TABLE + 1)).toBe(E.INVAL)
    expect(await guest.frames()).toBe(1)
    expect(guest.domain.p2m.translate((TABLE + 1) * 0x1000)).toBe(before)
  })

  test('status frames: whose, how many, and where', async () => {
    const guest = new GrantGuest(mode)
    expect(await guest.place(STATUS_INDEX, STATUS_GFN)).toBe(E.INVAL)
    expect(await guest.place(0, TABLE)).toBe(0)
    expect(await guest.statusFrames(0)).toBe(STATUS.general)
    expect(await guest.setVersion(2)).toEqual([0, 2])
    expect(await guest.statusFrames(1)).toBe(0)
    expect(guest.read64(LIST)).toBe(0xffff_ffff_ffff_ffffn)
    expect(await guest.statusFrames(1, 0)).toBe(STATUS.denied)
    expect(await guest.statusFrames(1, 9)).toBe(STATUS.badDomain)
    expect(await guest.statusFrames(1, SELF, 0x7000_0000)).toBe(STATUS.badAddress)
  })

  test('a mapping for reading, and its end', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(9, PERMIT | READ_ONLY, GRANTED)
    guest.write(GRANTED * 0x1000, Uint8Array.of(5, 6, 7))
    expect((await guest.mapGrant(9))[0]).toBe(STATUS.general)
    const [status, handle] = await guest.mapGrant(9, 2 | 4)
    expect([status, guest.statusOf(9), guest.statusOf(8)]).toEqual([0, READING, 0])
    expect([...guest.read(PLACE * 0x1000, 3)]).toEqual([5, 6, 7])
    expect(await guest.unmapGrant(handle)).toBe(0)
    expect([guest.statusOf(9), guest.flagsOf(9)]).toEqual([0, PERMIT | READ_ONLY])
  })

  test('frames are of 64 bits', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(9, PERMIT, GRANTED)
    guest.write32(TABLE * 0x1000 + 16 * 9 + 12, 1)
    expect((await guest.mapGrant(9))[0]).toBe(STATUS.badPage)
    guest.write32(TABLE * 0x1000 + 16 * 9 + 12, 0xffff_ffff)
    expect((await guest.mapGrant(9))[0]).toBe(STATUS.badPage)
  })

  test('bytes of a page are granted for copies alone', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(10, PERMIT | SUB_PAGE | READ_ONLY, GRANTED, 0x100 | (8 << 16))
    guest.grant(11, PERMIT | SUB_PAGE, GRANTED + 1, 0xff0 | (16 << 16))
    guest.write(GRANTED * 0x1000 + 0x100, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    expect((await guest.mapGrant(10, 2 | 4))[0]).toBe(STATUS.general)
    expect(await guest.copy([10, 0x100], [11, 0xff8], 8)).toBe(0)
    expect([...guest.read((GRANTED + 1) * 0x1000 + 0xff8, 8)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(await guest.copy([10, 0xff], [11, 0xff8], 2)).toBe(STATUS.general)
    expect(await guest.copy([10, 0x101], [11, 0xff0], 8)).toBe(STATUS.general)
    expect(await guest.copy([10, 0x100], [11, 0xfef], 1)).toBe(STATUS.general)
    expect(await guest.copy([11, 0xff0], [10, 0x100], 1)).toBe(STATUS.general)
    expect([guest.statusOf(10), guest.statusOf(11)]).toEqual([0, 0])
    // All bytes of a page, as a part of it.
    guest.grant(12, PERMIT | SUB_PAGE, GRANTED, 0x1000 << 16)
    expect((await guest.mapGrant(12))[0]).toBe(STATUS.general)
    expect(await guest.copy([12, 0], [11, 0xff0], 16)).toBe(0)
    // Bytes that no page has.
    guest.grant(12, PERMIT | SUB_PAGE, GRANTED, 0xff9 | (8 << 16))
    expect(await guest.copy([12, 0xff9], [11, 0xff0], 1)).toBe(STATUS.general)
    expect([guest.statusOf(10), guest.statusOf(12)]).toEqual([0, 0])
  })

  test('a grant of another domain’s grant has nothing behind it', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(11, PERMIT, GRANTED)
    for (const [through, status] of [
      [0, STATUS.badRef],
      [9, STATUS.badDomain],
      [OWN, STATUS.general],
    ] as const) {
      guest.grant(10, TRANSITIVE, 5, through)
      expect(await guest.copy([10, 0], [11, 0], 4)).toBe(status)
      expect((await guest.mapGrant(10))[0]).toBe(STATUS.general)
    }
    // In version 1 there is no such thing.
    expect(await guest.setVersion(1)).toEqual([0, 1])
    guest.write32(TABLE * 0x1000 + 8 * 10, TRANSITIVE | (OWN << 16), GRANTED)
    expect((await guest.mapGrant(10))[0]).toBe(STATUS.general)
  })

  test('a change of version keeps the eight reserved entries, as far as it can say them', async () => {
    const guest = new GrantGuest(mode)
    expect(await guest.place(0, TABLE)).toBe(0)
    for (const [ref, gfn] of [
      [1, GRANTED],
      [7, GRANTED + 1],
      [8, GRANTED + 2],
    ] as const) {
      guest.write32(TABLE * 0x1000 + 8 * ref, PERMIT | (OWN << 16), gfn)
    }
    expect(await guest.setVersion(2)).toEqual([0, 2])
    const entry = (ref: number): number[] => [0, 4, 8, 12].map((at) => guest.read32(TABLE * 0x1000 + 16 * ref + at))
    expect([entry(1), entry(7), entry(8)]).toEqual([
      [PERMIT | (OWN << 16), 0, GRANTED, 0],
      [PERMIT | (OWN << 16), 0, GRANTED + 1, 0],
      [0, 0, 0, 0],
    ])
    guest.grant(2, PERMIT | SUB_PAGE, GRANTED, 8 << 16)
    guest.write32(TABLE * 0x1000 + 16 * 7 + 12, 1)
    expect(await guest.setVersion(1)).toEqual([0, 1])
    const words = [1, 2, 7].map((ref) => guest.read32(TABLE * 0x1000 + 8 * ref))
    expect(words).toEqual([PERMIT | (OWN << 16), 0, 0])
  })

  test('no change of version while a grant is in use', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(9, PERMIT, GRANTED)
    const [, handle] = await guest.mapGrant(9)
    expect(await guest.setVersion(1)).toEqual([EBUSY, 2])
    expect(await guest.unmapGrant(handle)).toBe(0)
    expect(await guest.setVersion(1)).toEqual([0, 1])
    // The status frame has left the map with it.
    expect(guest.domain.p2m.translate(STATUS_GFN * 0x1000)).toBe(-1)
  })

  test('entries are exchanged', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.grant(9, PERMIT, GRANTED)
    guest.grant(10, PERMIT | SUB_PAGE, GRANTED + 1, 4 << 16)
    guest.write32(ARGUMENTS, 9, 10, 0)
    expect(await guest.call(GRANT_TABLE_OP, OP.swap, ARGUMENTS, 1)).toBe(0)
    expect(s16(guest.read32(ARGUMENTS + 8))).toBe(0)
    expect([guest.flagsOf(9), guest.flagsOf(10)]).toEqual([PERMIT | SUB_PAGE, PERMIT])
    expect(guest.read32(TABLE * 0x1000 + 16 * 9 + 4)).toBe(4 << 16)
  })

  test('ROM is read only', async () => {
    const guest = await new GrantGuest(mode).start()
    guest.domain.p2m.setType(GRANTED, 1, P2mType.RAM_RO)
    guest.grant(9, PERMIT, GRANTED)
    expect((await guest.mapGrant(9))[0]).toBe(STATUS.badPage)
    expect((await guest.mapGrant(9, 2 | 4))[0]).toBe(0)
  })

  test('is saved as data, and a reset ends it', async () => {
    const guest = await new GrantGuest(mode).start()
    const { grants } = guest.xen
    guest.grant(9, PERMIT, GRANTED)
    const [, handle] = await guest.mapGrant(9)
    const saved = structuredClone(grants.save(guest.domain))
    expect(saved).toMatchObject({ version: 3, entries: 2 })
    grants.reset()
    grants.restorePages(saved)
    grants.restore(saved)
    expect(grants.save(guest.domain)).toEqual(saved)
    expect(await guest.unmapGrant(handle)).toBe(0)
    expect(guest.statusOf(9)).toBe(0)
    grants.reset()
    expect([grants.version, grants.frames, grants.statusFrames]).toEqual([1, 0, 0])
  })
})
