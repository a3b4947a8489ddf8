import { TestDisk } from '@retrap/device-test'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ScsiCd, ScsiDisk, type ScsiUnit } from '../src/index.ts'

const RUNS = 3000
const bytes = fc.uint8Array({ maxLength: 32 })
/** Known operation codes more often than others. */
const opcode = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(
    ...[0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x1b, 0x23, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46],
    ...[0x4a, 0x51, 0x5a, 0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa8, 0xaa, 0xbd, 0xbe],
  ),
)
/** Zeroes but for a few small numbers: addresses within the medium, or just behind it. */
const small = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 6 })), { maxLength: 4 })
  .map((places) => {
    const made = new Uint8Array(32)
    for (const [at, value] of places) made[at] = value
    return made
  })
/** A list for UNMAP of one range. */
const list = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 })).map(([first, count]) => {
  const made = new Uint8Array(32)
  made[3] = 16
  made[15] = first
  made[19] = count
  return made
})

test.each([
  { name: 'a disk', make: (): ScsiUnit => new ScsiDisk({ medium: new TestDisk(4 * 512) }) },
  { name: 'a disk without a medium', make: (): ScsiUnit => new ScsiDisk({ medium: new TestDisk(0) }) },
  { name: 'a CD drive', make: (): ScsiUnit => new ScsiCd({ medium: new TestDisk(4 * 2048) }) },
  { name: 'a CD drive without a disc', make: (): ScsiUnit => new ScsiCd({ medium: null }) },
])('any command of $name has an outcome, within the medium', ({ make }) => {
  const unit = make()
  const blocks = Math.floor((unit.medium?.properties.bytes ?? 0) / unit.blockBytes)
  fc.assert(
    fc.property(opcode, fc.oneof(bytes, small), fc.oneof(bytes, list), (code, rest, sent) => {
      const command = Uint8Array.of(code, ...rest)
      const wanted = unit.parameterBytes(command)
      const parameters = new Uint8Array(code % 4 === 0 ? sent.length : wanted)
      parameters.set(sent.subarray(0, parameters.length))
      const outcome = unit.execute(command, parameters)
      const ranges = 'ranges' in outcome ? outcome.ranges : 'first' in outcome ? [outcome] : []
      for (const { first, count } of ranges) {
        expect(first).toBeGreaterThanOrEqual(0)
        expect(count).toBeGreaterThan(0)
        expect(first + count).toBeLessThanOrEqual(blocks)
      }
      if (outcome.kind === 'data') expect(outcome.most).toBeGreaterThanOrEqual(0)
    }),
    { numRuns: RUNS },
  )
})
