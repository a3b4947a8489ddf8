import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AccessKind, AccessLog, ReplayMismatchError, STATUS_RESTART, STATUS_RETRY } from '../src/index.ts'

const READS: readonly number[] = [AccessKind.FETCH, AccessKind.READ, AccessKind.PORT_READ, AccessKind.MMIO_READ]
const DEVICE: readonly number[] = [
  AccessKind.PORT_READ,
  AccessKind.PORT_WRITE,
  AccessKind.MMIO_READ,
  AccessKind.MMIO_WRITE,
]

const access = fc.record({
  kind: fc.constantFrom(...READS, AccessKind.WRITE, AccessKind.PORT_WRITE, AccessKind.MMIO_WRITE),
  lo: fc.integer({ min: 0, max: 40 }),
  size: fc.constantFrom(1, 2, 4, 8),
  tag: fc.nat(3),
})
const program = fc.array(access, { minLength: 1, maxLength: 40, size: 'max' })

describe('any instruction', () => {
  test('reads in its last pass what it read first, asks each device once, and writes RAM once', () => {
    fc.assert(
      fc.property(program, fc.infiniteStream(fc.nat(0xffff)), (steps, noise) => {
        const log = new AccessLog()
        const asked: string[] = []
        const first = new Map<number, number>()
        // Memory and devices answer with something new each time they are really asked.
        const fresh = (): number => noise.next().value as number
        const pass = (): boolean => {
          for (const [ordinal, step] of steps.entries()) {
            const index = log.access(step.kind, step.lo, 0, step.size, step.tag)
            const isRead = READS.includes(step.kind)
            if (log.state(index) === STATUS_RETRY) {
              if (isRead) log.setData(index, fresh(), 0)
              log.complete(index)
            } else if (log.state(index) === STATUS_RESTART) {
              if (DEVICE.includes(step.kind)) {
                if (!isRead) log.setData(index, ordinal, 0)
                asked.push(`${ordinal}`)
                log.wait(index)
                return false
              }
              log.setData(index, isRead ? fresh() : ordinal, 0)
              log.complete(index)
            }
            const value = log.dataLo(index)
            if (!first.has(ordinal)) first.set(ordinal, value)
            expect(value).toBe(first.get(ordinal))
          }
          return true
        }
        log.begin()
        while (!pass()) log.restart()
        const writes: number[] = []
        log.forEachHeldWrite((lo) => writes.push(lo))
        log.end()
        const devices = steps.flatMap((step, ordinal) => (DEVICE.includes(step.kind) ? [`${ordinal}`] : []))
        expect(asked).toEqual(devices)
        expect(writes).toEqual(steps.filter((step) => step.kind === AccessKind.WRITE).map((step) => step.lo))
      }),
      { numRuns: 300 },
    )
  })

  test('that changes one access in a later pass is caught at that access', () => {
    fc.assert(
      fc.property(program, fc.nat(), fc.constantFrom('kind', 'lo', 'size', 'tag'), (steps, at, field) => {
        const log = new AccessLog()
        log.begin()
        for (const step of steps) log.complete(log.access(step.kind, step.lo, 0, step.size, step.tag))
        log.restart()
        const wrong = at % steps.length
        for (const [ordinal, step] of steps.entries()) {
          if (ordinal < wrong) {
            log.access(step.kind, step.lo, 0, step.size, step.tag)
            continue
          }
          const changed = {
            ...step,
            [field]:
              field === 'kind' ? (step.kind === 3 ? 4 : 3) : field === 'size' ? (step.size % 8) + 1 : step[field] + 1,
          }
          expect(() => log.access(changed.kind, changed.lo, 0, changed.size, changed.tag)).toThrow(ReplayMismatchError)
          return
        }
      }),
      { numRuns: 300 },
    )
  })

  test('reads its own writes as a plain memory would give them', () => {
    const operation = fc.record({
      write: fc.boolean(),
      gpa: fc.integer({ min: 0, max: 48 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 16, size: 'max' }),
    })
    const base = 0x1_2345_6000
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 30, size: 'max' }),
        fc.integer({ min: 1, max: 4 }),
        (operations, passes) => {
          const log = new AccessLog()
          const ram = Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i)
          log.begin()
          for (let pass = 1; pass <= passes; pass++) {
            const model = ram.slice()
            if (pass > 1) log.restart()
            for (const { write, gpa, bytes } of operations) {
              const lo = (base + gpa) >>> 0
              const kind = write ? AccessKind.WRITE : AccessKind.READ
              const index = log.access(kind, lo, 1, bytes.length, 0)
              if (write) {
                log.setBytes(index, bytes)
                model.set(bytes, gpa)
                continue
              }
              if (log.state(index) === STATUS_RESTART) log.setBytes(index, ram, gpa)
              log.complete(index)
              const seen = new Uint8Array(bytes.length)
              log.copyBytes(index, seen)
              log.overlayOwnWrites(lo, 1, bytes.length, seen)
              expect([...seen]).toEqual([...model.subarray(gpa, gpa + bytes.length)])
            }
            const retired = ram.slice()
            log.forEachHeldWrite((lo, hi, size, bytes, offset) =>
              retired.set(bytes.subarray(offset, offset + size), hi * 2 ** 32 + lo - base),
            )
            expect(retired).toEqual(model)
          }
          log.end()
        },
      ),
      { numRuns: 300 },
    )
  })
})
