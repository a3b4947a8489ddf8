/** Addresses above 4 GiB and the ends of ranges. */
import { describe, expect, test as base } from 'vitest'
import * as replay from '../src/index.ts'

function started(buffer: ArrayBuffer = new ArrayBuffer(replay.LOG_BYTES)): replay.AccessLog {
  const log = new replay.AccessLog(buffer)
  log.begin()
  return log
}

const test = base.extend('log', () => started())

describe('addresses above 4 GiB', () => {
  test('are shown in full, those of a kernel too', ({ log }) => {
    log.access(replay.AccessKind.READ, 0x8000_1000, 0xffff_8000, 4, 0x1f)
    expect(log.dump()).toMatchObject([{ address: '0xffff800080001000', tag: 0x1f }])
    log.restart()
    try {
      log.access(replay.AccessKind.READ, 0x8000_1000, 0xffff_8001, 4, 0x2e)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(replay.ReplayMismatchError)
      expect(String(error)).toContain('made the access #0 read 0xffff800180001000 size 4 tag 0x2e new')
      expect(String(error)).toContain('its log holds #0 read 0xffff800080001000 size 4 tag 0x1f')
    }
  })

  test.for([0xffff_f000, 2 ** 32, 3 * 2 ** 32, 2 ** 52 - 8])('of tables are those of the log: %d', (gpa, { log }) => {
    const found = (into: Uint32Array): true => (into.set([0x2007, 5]), true)
    const tables = new replay.LoggedTables(log, {
      ...{ read32: (_, into) => found(into), read64: (_, into) => found(into) },
      ...{ compareExchange32: () => true, compareExchange64: () => true },
    })
    const into = new Uint32Array(2)
    const address = `0x${gpa.toString(16)}`
    for (const bytes of [4, 8] as const) {
      log.cancel()
      log.begin()
      log.beginWalk()
      tables[bytes === 4 ? 'read32' : 'read64'](gpa, into)
      if (bytes === 4) tables.compareExchange32(gpa, 0x2007, 0x2027)
      else tables.compareExchange64(gpa, 0x2007, 5, 0x2027, 6)
      expect(log.dump()).toMatchObject([
        { kind: 'walk-read', address, size: bytes },
        { kind: 'walk-ad-write', address, size: bytes },
      ])
      const hi = Math.floor(gpa / 2 ** 32)
      expect(log.findWalkRead(gpa % 2 ** 32, hi)).toBe(0)
      expect([log.dataLo(0), log.dataHi(0)]).toEqual([0x2027, bytes === 4 ? 0 : 6])
    }
  })

  test('a read sees an own write that crosses 4 GiB, and no byte beside it', ({ log }) => {
    const write = log.access(replay.AccessKind.WRITE, 0xffff_fffe, 0, 4, 0)
    log.setBytes(write, Uint8Array.of(1, 2, 3, 4))
    log.complete(write)
    const seen = (lo: number, hi: number, size: number): number[] => {
      const into = new Uint8Array(size + 2)
      log.overlayOwnWrites(lo, hi, size, into, 1)
      return [...into]
    }
    expect(seen(0, 1, 4)).toEqual([0, 3, 4, 0, 0, 0])
    expect(seen(0xffff_fffc, 0, 3)).toEqual([0, 0, 0, 1, 0])
    expect([log.overlayOwnWrites(2, 1, 4, new Uint8Array(4)), seen(2, 1, 1)]).toEqual([false, [0, 0, 0]])
  })
})

test.each([
  ['PORT_READ', true],
  ['PORT_WRITE', true],
  ['MMIO_READ', true],
  ['MMIO_WRITE', true],
  ['FETCH', false],
  ['WRITE', false],
  ['ROM_WRITE', false],
] as const)('an access of kind %s can be all that waits: %s', (kind, can) => {
  const log = new replay.AccessLog()
  const wait = (): void => log.beginWaiting(replay.AccessKind[kind], 0x60, 0, 1, 0, 0, 0)
  if (can) wait()
  else expect(wait).toThrow(/is not one that a device has to answer/)
  expect(log.pending).toBe(can ? 0 : -1)
})

test('a write of A and D bits is not taken for one that an earlier instruction has left in the storage', () => {
  const buffer = new ArrayBuffer(replay.LOG_BYTES)
  const write = (log: replay.AccessLog): void => log.recordAdWrite(0x1000, 3, 8, 0x2027, 0)
  for (const before of [0, 1, 2]) {
    const first = started(buffer)
    for (let i = 0; i < before; i++) first.access(replay.AccessKind.READ, 0x10 * i, 0, 4, 0)
    write(first)
    first.cancel()
    const second = started(buffer)
    second.access(replay.AccessKind.READ, 0x10, 0, 4, 0)
    write(second)
    expect(second.dump().map(({ kind, ordinal }) => [kind, ordinal])).toEqual([
      ['read', 0],
      ['walk-ad-write', 1],
    ])
    second.cancel()
  }
})

test('the first kind and the first state are saved and restored: a fetch that is still to be made', () => {
  const first = started()
  first.access(replay.AccessKind.FETCH, 0x1000, 0, 8, 0)
  const saved = first.save()
  expect(saved.accesses).toMatchObject([{ kind: 'fetch', state: 'new' }])
  const second = new replay.AccessLog()
  second.restore(saved)
  expect(second.save()).toEqual(saved)
})

test('the data of an access of 4 bytes are one word', ({ log }) => {
  for (const size of [8, 4, 5]) log.setData(log.access(replay.AccessKind.READ, 0, 0, size, 0), 0x8000_0001, 0x8000_00ff)
  expect([0, 1, 2].map((index) => [log.dataLo(index), log.dataHi(index)])).toEqual([
    [0x8000_0001, 0x8000_00ff],
    [0x8000_0001, 0],
    [0x8000_0001, 0xff],
  ])
  // What a neighbour holds in the second word is not this one's.
  log.bytes.fill(0xff)
  expect([log.dataHi(1), log.dataHi(0)]).toEqual([0, 0xffff_ffff])
})

test.each([0, -1, 9, 16, NaN])('an access of %d bytes is not one that a device answers', (size) => {
  const log = new replay.AccessLog()
  expect(() => log.beginWaiting(replay.AccessKind.MMIO_READ, 0x60, 0, size, 0, 0, 0)).toThrow(
    expect.objectContaining({ code: 'ERR_SIZE' }),
  )
  expect(log.active).toBe(false)
})

test('kinds and states have numbers of their own, and are saved by their names', () => {
  expect(Object.values(replay.AccessKind)).toEqual(Array.from({ length: 10 }, (_, i) => i))
  expect([replay.STATUS_DONE, replay.STATUS_RETRY, replay.STATUS_RESTART]).toEqual([0, 2, 3])
  for (const [key, kind] of Object.entries(replay.AccessKind)) {
    if (key.startsWith('WALK')) continue
    const log = started()
    log.complete(log.access(kind, 0x60, 0, 1, 0))
    expect(log.dump()).toMatchObject([{ kind: key.toLowerCase().replaceAll('_', '-'), state: 'complete' }])
  }
})
