import { describe, expect, test } from 'vitest'
import { AccessKind, AccessLog, type ReplayError, type SavedLog, STATUS_DONE, STATUS_RETRY } from '../src/index.ts'

function pendingLog(): AccessLog {
  const log = new AccessLog()
  log.begin()
  log.beginWalk()
  log.recordWalkRead(0x1000, 3, 8, 0x2007, 0x8000_0000)
  log.recordAdWrite(0x1000, 3, 8, 0x2027, 0x8000_0000)
  const read = log.access(AccessKind.READ, 0xffff_f000, 1, 64, 9)
  log.setBytes(
    read,
    Uint8Array.from({ length: 64 }, (_, i) => i),
  )
  log.complete(read)
  log.wait(log.access(AccessKind.MMIO_READ, 0xfed0_0000, 0, 4, 0x2_0001))
  return log
}

describe('a log saved between two passes', () => {
  test('goes through JSON and replays the same', () => {
    const saved = JSON.parse(JSON.stringify(pendingLog().save())) as SavedLog
    const log = new AccessLog()
    log.restore(saved)
    log.restart()
    log.beginWalk()
    expect(log.dataLo(log.findWalkRead(0x1000, 3))).toBe(0x2027)
    const read = log.access(AccessKind.READ, 0xffff_f000, 1, 64, 9)
    expect([log.state(read), log.bytes[log.dataOffset(read) + 63]]).toEqual([STATUS_DONE, 63])
    const mmio = log.access(AccessKind.MMIO_READ, 0xfed0_0000, 0, 4, 0x2_0001)
    expect([log.pending, log.state(mmio)]).toEqual([mmio, STATUS_RETRY])
    expect(log.cancel()).toBe(true)
  })

  test('a pass that stands at its device goes on from there', () => {
    const first = new AccessLog()
    first.beginWaiting(AccessKind.MMIO_READ, 0xfed0_0000, 0, 4, 0, 0, 0)
    const log = new AccessLog()
    log.restore(first.save())
    log.complete(log.pending)
    expect(log.nextKind()).toBe(-1)
    expect(() => log.end()).not.toThrow()
  })

  test('saving the restored log gives the same data', () => {
    const saved = pendingLog().save()
    const log = new AccessLog()
    log.restore(saved)
    expect(log.save()).toEqual(saved)
  })

  test('an idle log saves as nothing', () => {
    const log = pendingLog()
    log.restore(new AccessLog().save())
    expect([log.active, log.count]).toEqual([false, 0])
  })

  const good = pendingLog().save()
  const access = { ordinal: 0, kind: 'read', address: '0x0', size: 4, tag: 0, state: 'complete', data: '00' } as const
  test.each([
    { given: 'another version', saved: { ...good, version: 2 as 1 } },
    { given: 'accesses of no instruction', saved: { ...good, active: false } },
    { given: 'an unknown kind', saved: { ...good, accesses: [{ ...access, kind: 'x' as 'read' }] } },
    { given: 'odd data', saved: { ...good, accesses: [{ ...access, data: '0' }] } },
    { given: 'too much data', saved: { ...good, accesses: [{ ...access, data: '0011223344' }] } },
    { given: 'a size of 65', saved: { ...good, accesses: [{ ...access, size: 65 }] } },
    { given: 'a bad address', saved: { ...good, accesses: [{ ...access, address: '12' }] } },
    {
      given: 'a walk read without its walks',
      saved: { ...good, accesses: [{ ...access, kind: 'walk-read' as const }] },
    },
    {
      given: 'two accesses that wait',
      saved: { ...good, accesses: [0, 1].map(() => ({ ...access, state: 'pending' as const })) },
    },
  ])('$given is refused, and the log stays idle', ({ saved }) => {
    const log = new AccessLog()
    try {
      log.restore(saved)
      expect.unreachable()
    } catch (error) {
      expect((error as ReplayError).code).toBe('ERR_SAVED')
    }
    expect([log.active, log.count]).toEqual([false, 0])
  })
})
