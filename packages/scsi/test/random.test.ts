import { TestDisk } from '@retrap/device/test-machine'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ScsiCd, ScsiDisk, type ScsiUnit } from '../src/index.ts'

const RUNS = 300
/** Known operation codes more often than others. */
const opcode = fc.oneof(
  fc.integer({ min: 0, max: 255 }),
  fc.constantFrom(
    ...[0x00, 0x03, 0x08, 0x0a, 0x12, 0x1a, 0x1b, 0x23, 0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46],
    ...[0x4a, 0x51, 0x5a, 0x88, 0x8a, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa8, 0xaa, 0xbd, 0xbe],
  ),
)
/** Operation codes that read, write or discard blocks. */
const moving = fc.constantFrom(0x08, 0x0a, 0x28, 0x2a, 0x41, 0x42, 0x88, 0x8a, 0x93, 0xa8, 0xaa)
/** Where the lowest bytes of address and length are, by the group of an operation code (SPC-4, "Operation code"). */
const PLACES: Readonly<Record<number, readonly [address: number, length: number]>> = {
  0: [3, 4],
  1: [5, 8],
  2: [5, 8],
  4: [9, 13],
  5: [5, 9],
}
const anything = fc.tuple(opcode, fc.uint8Array({ maxLength: 32 })).map(([code, rest]) => Uint8Array.of(code, ...rest))
/** A command with an address and a length within the medium, or just behind it. */
const within = fc
  .tuple(
    fc.oneof(opcode, moving),
    fc.integer({ min: 0, max: 5 }),
    fc.integer({ min: 0, max: 5 }),
    fc.constantFrom(0, 0, 0x08, 0xff),
  )
  .map(([code, first, count, flags]) => {
    const [address, length] = PLACES[code >> 5] ?? [5, 8]
    const command = new Uint8Array(16)
    command[0] = code
    command[1] = flags
    command[address] = first
    command[length] = count
    return command
  })
/** A list for UNMAP of one range. */
const list = fc.tuple(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 6 })).map(([first, count]) => {
  const made = new Uint8Array(32)
  made[3] = 16
  made[15] = first
  made[19] = count
  return made
})

const commands = fc.array(fc.tuple(fc.oneof(anything, within), fc.oneof(fc.uint8Array({ maxLength: 32 }), list)), {
  minLength: 5,
  maxLength: 20,
})

test.each([
  { name: 'a disk', blocks: 4, make: (): ScsiUnit => new ScsiDisk({ medium: new TestDisk(4 * 512) }) },
  { name: 'a disk without a medium', blocks: 0, make: (): ScsiUnit => new ScsiDisk({ medium: new TestDisk(0) }) },
  { name: 'a CD drive', blocks: 4, make: (): ScsiUnit => new ScsiCd({ medium: new TestDisk(4 * 2048) }) },
  { name: 'a CD drive without a disc', blocks: 0, make: (): ScsiUnit => new ScsiCd({ medium: null }) },
])('any command of $name has an outcome, within the medium', ({ blocks, make }) => {
  let moved = 0
  fc.assert(
    fc.property(commands, (given) => {
      const unit = make()
      // The host knows that it has been switched on.
      unit.execute(Uint8Array.of(0x03, 0, 0, 0, 18, 0))
      for (const [command, sent] of given) {
        const parameters = new Uint8Array(command[0]! % 4 === 0 ? sent.length : unit.parameterBytes(command))
        parameters.set(sent.subarray(0, parameters.length))
        const outcome = unit.execute(command, parameters)
        const ranges = 'ranges' in outcome ? outcome.ranges : 'first' in outcome ? [outcome] : []
        for (const { first, count } of ranges) {
          moved++
          expect(first).toBeGreaterThanOrEqual(0)
          expect(count).toBeGreaterThan(0)
          expect(first + count).toBeLessThanOrEqual(blocks)
        }
        if (outcome.kind === 'data') expect(outcome.most).toBeGreaterThanOrEqual(0)
      }
    }),
    { numRuns: RUNS },
  )
  if (blocks > 0) expect(moved).toBeGreaterThan(10)
  else expect(moved).toBe(0)
})
