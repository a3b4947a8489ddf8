import { describe, expect, test as base } from 'vitest'
import {
  AccessKind,
  AccessLog,
  accessTag,
  LOG_BYTES,
  LOG_ENTRIES,
  ReplayError,
  ReplayMismatchError,
  STATUS_RESTART,
  STATUS_DONE,
  STATUS_RETRY,
} from '../src/index.ts'

function started(): AccessLog {
  const log = new AccessLog()
  log.begin()
  return log
}

const test = base.extend('log', started)

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof ReplayError) return error.code
    throw error
  }
  return 'none'
}

describe('ordered accesses', () => {
  test('a read returns in every pass what the first one put there', ({ log }) => {
    const first = log.access(AccessKind.READ, 0x1000, 1, 8, accessTag(1))
    expect(log.state(first)).toBe(STATUS_RESTART)
    log.setData(first, 0x1234_5678, 0x9abc_def0)
    log.complete(first)
    for (let pass = 2; pass < 5; pass++) {
      log.restart()
      expect(log.pass).toBe(pass)
      expect(log.replaying).toBe(true)
      expect(log.nextKind()).toBe(AccessKind.READ)
      const again = log.access(AccessKind.READ, 0x1000, 1, 8, accessTag(1))
      expect([again, log.state(again)]).toEqual([first, STATUS_DONE])
      expect([log.dataLo(again), log.dataHi(again)]).toEqual([0x1234_5678, 0x9abc_def0])
      expect([log.addressLo(again), log.addressHi(again), log.size(again), log.tag(again)]).toEqual([
        ...[0x1000, 1, 8, 0x1_0000],
      ])
      expect([log.nextKind(), log.replaying]).toEqual([-1, false])
    }
    log.end()
    expect([log.active, log.count, log.pass]).toEqual([false, 0, 0])
  })

  test('data are unsigned, and bytes beyond the size of an access are zero', ({ log }) => {
    for (const [size, lo, hi] of [
      [8, 0xffff_fffe, 0x8765_4321],
      [4, 0xffff_fffe, 0],
      [2, 0xfffe, 0],
      [1, 0xfe, 0],
    ] as const) {
      const index = log.access(AccessKind.READ, 0x1000, 0, size, accessTag(size))
      log.setData(index, 0xffff_fffe, 0x8765_4321)
      log.complete(index)
      expect([size, log.dataLo(index), log.dataHi(index)]).toEqual([size, lo, hi])
    }
  })

  test('two reads of one address stay two reads, each with its own data (CMPS of one address)', ({ log }) => {
    for (const value of [1, 2]) {
      const index = log.access(AccessKind.READ, 0x1000, 0, 1, accessTag(value))
      log.setData(index, value, 0)
      log.complete(index)
    }
    log.restart()
    expect(log.dataLo(log.access(AccessKind.READ, 0x1000, 0, 1, accessTag(1)))).toBe(1)
    expect(log.dataLo(log.access(AccessKind.READ, 0x1000, 0, 1, accessTag(2)))).toBe(2)
  })

  test.for([
    { size: 1, lo: 0xef, hi: 0 },
    { size: 2, lo: 0xcdef, hi: 0 },
    { size: 3, lo: 0xab_cdef, hi: 0 },
    { size: 4, lo: 0x89ab_cdef, hi: 0 },
    { size: 5, lo: 0x89ab_cdef, hi: 0xff },
    { size: 6, lo: 0x89ab_cdef, hi: 0xffff },
    { size: 7, lo: 0x89ab_cdef, hi: 0xff_ffff },
    { size: 8, lo: 0x89ab_cdef, hi: 0xffff_ffff },
  ])('an access of $size bytes keeps no others', ({ size, lo, hi }, { log }) => {
    const index = log.access(AccessKind.READ, 0x1000, 0, size, accessTag(1))
    log.setData(index, 0x89ab_cdef, 0xffff_ffff)
    expect([log.dataLo(index) >>> 0, log.dataHi(index) >>> 0]).toEqual([lo, hi])
  })

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'a log of one access of %i bytes that waits is that of its single steps',
    (size) => {
      const whole = new Uint8Array(LOG_BYTES)
      const steps = new Uint8Array(LOG_BYTES)
      // A log that has been used: nothing of it may stay.
      for (const { buffer } of [whole, steps]) {
        const log = new AccessLog(buffer)
        log.begin()
        log.beginWalk()
        log.recordWalkRead(0x1000, 3, 8, 0x2007, 0x8000_0000)
        log.complete(log.access(AccessKind.READ, 0xffff_f000, 1, 8, 9))
        log.wait(log.access(AccessKind.MMIO_READ, 0xfed0_0000, 0, 8, 0x2_0001))
        log.cancel()
      }
      new AccessLog(whole.buffer).beginWaiting(
        ...[AccessKind.MMIO_WRITE, 0x8000_0004, 0xffff_8000, size, accessTag(3), 0x89ab_cdef, 0xfedc_ba98],
      )
      const log = new AccessLog(steps.buffer)
      log.begin()
      const index = log.access(AccessKind.MMIO_WRITE, 0x8000_0004, 0xffff_8000, size, accessTag(3))
      log.setData(index, 0x89ab_cdef, 0xfedc_ba98)
      log.wait(index)
      expect(Buffer.compare(whole, steps)).toBe(0)
    },
  )

  test('instruction bytes are pinned', ({ log }) => {
    const fetch = log.access(AccessKind.FETCH, 0x8100_0ff8, 0xffff_ffff, 8, 0)
    log.setBytes(fetch, Uint8Array.of(0, 0, 0x48, 0x8b, 0x07, 1, 2, 3, 4, 5), 2)
    log.complete(fetch)
    log.restart()
    const bytes = new Uint8Array(9)
    log.copyBytes(log.access(AccessKind.FETCH, 0x8100_0ff8 | 0, -1, 8, 0), bytes, 1)
    expect([...bytes]).toEqual([0, 0x48, 0x8b, 0x07, 1, 2, 3, 4, 5])
  })

  test('an access waits for its device over passes, and keeps the route it was recorded with', ({ log }) => {
    const read = log.access(AccessKind.MMIO_READ, 0xfed0_0000, 0xffff_8000, 4, 0)
    expect([log.addressLo(read), log.addressHi(read)]).toEqual([0xfed0_0000, 0xffff_8000])
    log.wait(read)
    expect(log.pending).toBe(read)
    log.restart()
    expect(log.nextKind()).toBe(AccessKind.MMIO_READ)
    expect(log.state(log.access(AccessKind.MMIO_READ, 0xfed0_0000, 0xffff_8000, 4, 0))).toBe(STATUS_RETRY)
    log.setData(read, 77, 88)
    log.complete(read)
    expect(log.pending).toBe(-1)
    log.restart()
    expect(log.state(log.access(AccessKind.MMIO_READ, 0xfed0_0000, 0xffff_8000, 4, 0))).toBe(STATUS_DONE)
    expect([log.dataLo(read), log.dataHi(read)]).toEqual([77, 0])
  })

  test('a device write keeps the data it was made with; a held RAM write takes that of the last pass', ({ log }) => {
    const device = log.access(AccessKind.MMIO_WRITE, 0xfed0_0000, 0, 4, 0)
    log.setData(device, 1, 0)
    log.wait(device)
    const ram = log.access(AccessKind.WRITE, 0x1000, 0, 4, 1)
    log.setData(ram, 1, 0)
    log.complete(ram)
    log.restart()
    log.setData(log.access(AccessKind.MMIO_WRITE, 0xfed0_0000, 0, 4, 0), 2, 0)
    log.setData(log.access(AccessKind.WRITE, 0x1000, 0, 4, 1), 2, 0)
    expect([log.dataLo(device), log.dataLo(ram)]).toEqual([1, 2])
  })

  test('data is cut to the size of its access', ({ log }) => {
    const index = log.access(AccessKind.PORT_READ, 0x60, 0, 1, 0)
    log.setData(index, 0xffff_ff21, 0xffff_ffff)
    expect([log.dataLo(index), log.dataHi(index)]).toEqual([0x21, 0])
  })

  test('it lives in storage that it is given, so that another view goes on with it', () => {
    const storage = new SharedArrayBuffer(LOG_BYTES + 64)
    const log = new AccessLog(storage, 64)
    log.begin()
    const index = log.access(AccessKind.READ, 0x1000, 0, 2, 5)
    log.setData(index, 0xbeef, 0)
    log.complete(index)
    const other = new AccessLog(storage, 64)
    other.restart()
    expect(other.dataLo(other.access(AccessKind.READ, 0x1000, 0, 2, 5))).toBe(0xbeef)
    expect(new Uint8Array(storage, 0, 64).every((byte) => byte === 0)).toBe(true)
  })
})

describe('a replay that leaves its path', () => {
  const recorded = { kind: AccessKind.MMIO_READ, lo: 0x1000, hi: 2, size: 4, tag: 7 }
  test.for([
    { what: 'another kind', made: { ...recorded, kind: AccessKind.READ } },
    { what: 'another address', made: { ...recorded, lo: 0x1004 } },
    { what: 'another address above 4 GiB', made: { ...recorded, hi: 3 } },
    { what: 'another size', made: { ...recorded, size: 8 } },
    { what: 'another tag', made: { ...recorded, tag: 8 } },
  ])('$what stops it, with both accesses in the error', ({ made }, { log }) => {
    const index = log.access(recorded.kind, recorded.lo, recorded.hi, recorded.size, recorded.tag)
    log.setData(index, 0x0403_0201, 0)
    log.complete(index)
    log.restart()
    try {
      log.access(made.kind, made.lo, made.hi, made.size, made.tag)
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(ReplayMismatchError)
      const mismatch = error as ReplayMismatchError
      expect(mismatch.code).toBe('ERR_MISMATCH')
      expect(mismatch.recorded).toEqual({
        ...{ ordinal: 0, kind: 'mmio-read', address: '0x200001000', size: 4, tag: 7, state: 'complete' },
        data: '01020304',
      })
      expect(mismatch.made).toMatchObject({ ordinal: 0, size: made.size, tag: made.tag, state: 'new' })
      expect(mismatch.message).toContain('mmio-read 0x200001000 size 4 tag 0x7 complete data 01020304')
    }
  })

  test('a pass that ends before it repeated everything stops it', ({ log }) => {
    log.access(AccessKind.PORT_WRITE, 0x80, 0, 1, 0)
    log.restart()
    expect(codeOf(() => log.end())).toBe('ERR_MISMATCH')
  })
})

describe("an instruction's own writes", () => {
  test('a read sees the bytes of earlier held writes, and only those', ({ log }) => {
    const early = new Uint8Array(4)
    expect(log.overlayOwnWrites(0x1000, 0, 4, early)).toBe(false)
    for (const [gpa, size, value] of [
      [0x1002, 4, 0x4433_2211],
      [0x1003, 1, 0xaa],
      [0x2000, 4, 0xffff_ffff],
    ] as const) {
      const index = log.access(AccessKind.WRITE, gpa, 0, size, 0)
      log.setData(index, value, 0)
      log.complete(index)
    }
    const bytes = Uint8Array.of(0x99, 9, 8, 7, 6, 5, 4, 3, 2)
    expect(log.overlayOwnWrites(0x1000, 0, 8, bytes, 1)).toBe(true)
    expect([...bytes]).toEqual([0x99, 9, 8, 0x11, 0xaa, 0x33, 0x44, 3, 2])
    expect(log.overlayOwnWrites(0x1000, 1, 8, bytes, 1)).toBe(false)
  })

  test('a later pass sees only what it has itself made again so far (ENTER reading a frame it pushed)', ({ log }) => {
    const push = log.access(AccessKind.WRITE, 0x1000, 0, 8, 0)
    log.setData(push, 5, 0)
    log.complete(push)
    log.restart()
    const bytes = new Uint8Array(8)
    expect(log.overlayOwnWrites(0x1000, 0, 8, bytes)).toBe(false)
    log.setData(log.access(AccessKind.WRITE, 0x1000, 0, 8, 0), 6, 0)
    expect(log.overlayOwnWrites(0x1000, 0, 8, bytes)).toBe(true)
    expect(bytes[0]).toBe(6)
  })

  test('held writes come out in order when the instruction retires; device writes are not among them', ({ log }) => {
    for (const [kind, address] of [
      [AccessKind.WRITE, 0x1000],
      [AccessKind.MMIO_WRITE, 0xfee0_0000],
      [AccessKind.WRITE, 0x1004],
      [AccessKind.READ, 0x1008],
    ] as const) {
      log.setData(log.access(kind, address, 3, 4, 0), address, 0)
    }
    const seen: unknown[] = []
    log.forEachHeldWrite((lo, hi, size, bytes, offset) => seen.push([lo, hi, size, bytes[offset], bytes[offset + 1]]))
    expect(seen).toEqual([
      [0x1000, 3, 4, 0x00, 0x10],
      [0x1004, 3, 4, 0x04, 0x10],
    ])
  })
})

describe('the end of an instruction', () => {
  test('cancelling tells whether a device still owes an answer', ({ log }) => {
    expect(log.cancel()).toBe(false)
    log.begin()
    log.wait(log.access(AccessKind.PORT_READ, 0x60, 0, 1, 0))
    expect(log.cancel()).toBe(true)
    expect([log.active, log.count, log.pending]).toEqual([false, 0, -1])
  })

  test('the next instruction starts with an empty log', ({ log }) => {
    log.setData(log.access(AccessKind.READ, 0x1000, 0, 8, 0), 1, 1)
    log.begin()
    const index = log.access(AccessKind.WRITE, 0x2000, 0, 4, 0)
    expect([index, log.state(index), log.dataLo(index), log.dataHi(index)]).toEqual([0, STATUS_RESTART, 0, 0])
  })
})

describe('misuse of a log', () => {
  test.each([
    {
      given: 'an access outside an instruction',
      code: 'ERR_STATE',
      action: () => new AccessLog().access(3, 0, 0, 1, 0),
    },
    { given: 'a pass without an instruction', code: 'ERR_STATE', action: () => new AccessLog().restart() },
    { given: 'a walk outside an instruction', code: 'ERR_STATE', action: () => new AccessLog().beginWalk() },
    { given: 'a record that is not there', code: 'ERR_STATE', action: () => started().state(0) },
    { given: 'an access of no bytes', code: 'ERR_SIZE', action: () => started().access(3, 0, 0, 0, 0) },
    { given: 'an access of 65 bytes', code: 'ERR_SIZE', action: () => started().access(3, 0, 0, 65, 0) },
    {
      given: 'eight bytes of data for a wider access',
      code: 'ERR_SIZE',
      action: () => {
        const log = started()
        log.setData(log.access(AccessKind.READ, 0, 0, 16, 0), 0, 0)
      },
    },
    {
      given: 'a RAM access that waits',
      code: 'ERR_STATE',
      action: () => {
        const log = started()
        log.wait(log.access(AccessKind.READ, 0, 0, 4, 0))
      },
    },
    {
      given: 'two accesses that wait',
      code: 'ERR_STATE',
      action: () => {
        const log = started()
        log.wait(log.access(AccessKind.MMIO_READ, 0, 0, 4, 0))
        log.wait(log.access(AccessKind.MMIO_READ, 4, 0, 4, 0))
      },
    },
    {
      given: 'new data for a read that has some',
      code: 'ERR_STATE',
      action: () => {
        const log = started()
        const index = log.access(AccessKind.READ, 0, 0, 4, 0)
        log.complete(index)
        log.setData(index, 1, 0)
      },
    },
    {
      given: 'more accesses than any instruction makes',
      code: 'ERR_CAPACITY',
      action: () => {
        const log = started()
        for (let i = 0; i <= LOG_ENTRIES; i++) log.access(AccessKind.READ, i, 0, 1, 0)
      },
    },
    { given: 'storage that is too small', code: 'ERR_STORAGE', action: () => new AccessLog(new ArrayBuffer(64)) },
    { given: 'misaligned storage', code: 'ERR_STORAGE', action: () => new AccessLog(new ArrayBuffer(1 << 20), 4) },
  ])('$given → $code', ({ code, action }) => expect(codeOf(action)).toBe(code))
})

describe('the room that the derivation asks for', () => {
  test.for([
    { instruction: 'a gather of 16 straddling elements from devices', walks: 34, bytes: 64 + 2 },
    { instruction: 'ENTER of level 31 on a device', walks: 6, bytes: 512 + 2 },
    { instruction: 'a task switch on devices', walks: 26, bytes: 297 + 2 },
  ])('$instruction fits', ({ walks, bytes }, { log }) => {
    for (let walk = 0; walk < walks; walk++) {
      log.beginWalk()
      for (let level = 0; level < 5; level++) {
        const gpa = (walk * 5 + level) * 4096
        expect(log.findWalkRead(gpa, 0)).toBe(-1)
        log.recordWalkRead(gpa, 0, 8, 0x27, 0)
        log.recordAdWrite(gpa, 0, 8, 0x67, 0)
      }
    }
    for (let i = 0; i < bytes; i++) log.complete(log.access(AccessKind.MMIO_READ, i, 0, 1, i))
    expect(log.count).toBeLessThanOrEqual(574 + 20)
  })

  test('XSAVE in wide RAM accesses fits', ({ log }) => {
    for (let i = 0; i < 2696; i += 64) log.access(AccessKind.WRITE, i, 0, Math.min(64, 2696 - i), 0)
    expect(log.count).toBe(43)
  })
})
