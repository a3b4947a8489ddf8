import { TestDisk } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { MOST_TRANSFER_BYTES, ScsiDisk, type ScsiDiskOptions, SENSE } from '../src/index.ts'

const BLOCKS = 0x80_0000
const LIMIT = 0x40_0000
const be32 = (value: number): number[] => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)
const be64 = (value: number): number[] => [...be32(Math.floor(value / 2 ** 32)), ...be32(value % 2 ** 32)]
const zeroes = (bytes: number): number[] => Array.from({ length: bytes }, () => 0)

/** A disk that has told of its power-on. */
function disk(
  medium: TestDisk = new TestDisk(512, { bytes: BLOCKS * 512 }),
  options: Partial<ScsiDiskOptions> = {},
): ScsiDisk {
  const made = new ScsiDisk({ medium, ...options })
  made.execute(Uint8Array.of(0))
  return made
}

const run = (unit: ScsiDisk, command: readonly number[], parameters?: readonly number[]): unknown =>
  unit.execute(Uint8Array.from(command), parameters && Uint8Array.from(parameters))
const failed = (sense: (typeof SENSE)['none']): unknown => ({ kind: 'failed', sense })

/** UNMAP of ranges, and its list. */
function unmap(...ranges: readonly (readonly [first: number, count: number])[]): [number[], number[]] {
  const bytes = 16 * ranges.length
  const list = [0, bytes + 6, bytes >> 8, bytes & 0xff, ...zeroes(4)]
  for (const [first, count] of ranges) list.push(...be64(first), ...be32(count), ...zeroes(4))
  return [[0x42, 0, 0, 0, 0, 0, 0, list.length >> 8, list.length & 0xff], list]
}

describe('protection information, which no disk here has (SBC-3, "Protection information model")', () => {
  test.each([
    { name: 'READ(10)', command: [0x28, 0, ...be32(8), 0, 0, 1] },
    { name: 'WRITE(10)', command: [0x2a, 0, ...be32(8), 0, 0, 1] },
    { name: 'READ(12)', command: [0xa8, 0, ...be32(8), ...be32(1)] },
    { name: 'WRITE(12)', command: [0xaa, 0, ...be32(8), ...be32(1)] },
    { name: 'READ(16)', command: [0x88, 0, ...be64(8), ...be32(1)] },
    { name: 'WRITE(16)', command: [0x8a, 0, ...be64(8), ...be32(1)] },
    { name: 'VERIFY(10)', command: [0x2f, 0, ...be32(8), 0, 0, 1] },
    { name: 'VERIFY(16)', command: [0x8f, 0, ...be64(8), ...be32(1)] },
    { name: 'WRITE SAME(10)', command: [0x41, 0, ...be32(8), 0, 0, 1] },
    { name: 'WRITE SAME(16)', command: [0x93, 1, ...be64(8), ...be32(1)] },
  ])('$name that asks for its check is refused', ({ command }) => {
    const unit = disk()
    const parameters = zeroes(unit.parameterBytes(Uint8Array.from(command)))
    expect(run(unit, command, parameters)).not.toMatchObject({ kind: 'failed' })
    for (const bit of [0x20, 0x40, 0x80])
      expect(run(unit, command.with(1, command[1]! | bit), parameters)).toEqual(failed(SENSE.badField))
  })

  test('the upper bits of a 6-byte command belong to no field', () => {
    expect(run(disk(), [0x08, 0xe0, 0, 2, 3])).toEqual({ kind: 'blocks', first: 2, count: 3 })
  })
})

test.each([
  { name: 'VERIFY(10)', command: (first: number, count: number) => [0x2f, 0, ...be32(first), 0, 0, count] },
  { name: 'VERIFY(16)', command: (first: number, count: number) => [0x8f, 0, ...be64(first), ...be32(count)] },
])('$name reaches to the last block, and not past it', ({ command }) => {
  for (const count of [1, 4]) {
    expect(run(disk(), command(BLOCKS - count, count))).toEqual({ kind: 'good' })
    expect(run(disk(), command(BLOCKS - count + 1, count))).toEqual(failed(SENSE.outOfRange))
  }
})

test.each([
  { what: 'zeroes', fill: 0, outcome: { kind: 'zeroes', ranges: [{ first: 8, count: 3 }] } },
  { what: 'other data', fill: 7, outcome: { kind: 'same', first: 8, count: 3, block: new Uint8Array(512).fill(7) } },
])('WRITE SAME of $what (SBC-3, "WRITE SAME (10) command")', ({ fill, outcome }) => {
  const block = zeroes(512).fill(fill)
  expect(run(disk(), [0x41, 0, ...be32(8), 0, 0, 3], block)).toEqual(outcome)
  expect(run(disk(), [0x93, 0, ...be64(8), ...be32(3)], block)).toEqual(outcome)
  expect(run(disk(), [0x93, 0, ...be64(8), ...be32(3)], block.slice(1))).toEqual(failed(SENSE.badField))
})

describe('limits that the disk tells (SBC-3, "Block Limits VPD page")', () => {
  test.each([
    { what: 'the most', count: LIMIT, outcome: { kind: 'zeroes', ranges: [{ first: 0, count: LIMIT }] } },
    { what: 'a block more', count: LIMIT + 1, outcome: failed(SENSE.badField) },
    { what: 'no block', count: 0, outcome: failed(SENSE.badField) },
  ])('WRITE SAME(16) of $what', ({ count, outcome }) => {
    expect(run(disk(), [0x93, 1, ...be64(0), ...be32(count)])).toEqual(outcome)
  })

  test.each([
    { what: 'the most', second: LIMIT - 1, kind: 'discard' },
    { what: 'a block more', second: LIMIT, sense: SENSE.badParameter, kind: 'failed' },
  ])('UNMAP of $what in two ranges', ({ second, kind, sense }) => {
    expect(run(disk(), ...unmap([0, second], [second, 1]))).toMatchObject({ kind, ...(sense && { sense }) })
  })

  test('UNMAP of more ranges than there may be', () => {
    const ranges = Array.from({ length: 257 }, (_, i) => [i, 1] as const)
    expect(run(disk(), ...unmap(...ranges.slice(1)))).toMatchObject({ kind: 'discard' })
    expect(run(disk(), ...unmap(...ranges))).toEqual(failed(SENSE.badParameter))
  })

  test('a transfer above the limit is refused, and the page tells the limit', () => {
    const most = MOST_TRANSFER_BYTES / 512
    const read = (count: number): number[] => [0x88, 0, ...be64(0), ...be32(count)]
    expect(run(disk(), read(most))).toMatchObject({ kind: 'blocks', count: most })
    expect(run(disk(), read(most + 1))).toEqual(failed(SENSE.badField))
    const large = disk(undefined, { maximumBytes: 0xffff_ffff })
    expect(run(large, read(BLOCKS - 1))).toMatchObject({ kind: 'blocks', count: BLOCKS - 1 })
    const page = large.execute(Uint8Array.of(0x12, 1, 0xb0, 0, 64))
    expect(page.kind === 'data' && [...page.bytes.subarray(8, 16)]).toEqual([...be32(0x7f_ffff), ...be32(most)])
  })
})

test.each([
  { what: 'another size', given: { bytes: 512 }, sense: SENSE.capacityChanged },
  { what: 'the same size', given: {}, sense: SENSE.mediumChanged },
  { what: 'no medium', given: { bytes: 0 }, sense: SENSE.mediumChanged },
])('a change to $what is told once', ({ given, sense }) => {
  const medium = new TestDisk(4096)
  const unit = disk(medium)
  medium.change(given)
  expect(run(unit, [0x12, 0, 0, 0, 36])).toMatchObject({ kind: 'data' })
  expect(run(unit, [0])).toEqual(failed(sense))
  expect(run(unit, [0])).toEqual(medium.properties.bytes === 0 ? failed(SENSE.noMedium) : { kind: 'good' })
})

test.each([
  { what: 'an obsolete bit of WRITE SAME', command: [0x41, 0x04, ...be32(0), 0, 0, 1] },
  { what: 'an anchor', command: [0x93, 0x11, ...be64(0), ...be32(1)] },
  { what: 'VERIFY with data', command: [0x2f, 0x02, ...be32(0), 0, 0, 1] },
  { what: 'an unknown service action', command: [0x9e, 0x11, ...zeroes(14)] },
  { what: 'a subpage of MODE SENSE', command: [0x1a, 0, 0x0a, 5, 64] },
])('$what is an invalid field', ({ command }) => {
  expect(run(disk(), command, zeroes(512))).toEqual(failed(SENSE.badField))
})

test('a state of its own is saved', () => {
  const medium = new TestDisk(4096)
  const unit = disk(medium)
  medium.change({ bytes: 8192 })
  const other = disk()
  other.restore(structuredClone(unit.save()))
  expect(run(other, [0])).toEqual(failed(SENSE.capacityChanged))
})

test.each([
  { options: { serialNumber: 'ü' }, message: "serial number 'ü'" },
  { options: { serialNumber: 'x'.repeat(37) }, message: 'at most 36' },
  { options: { maximumBytes: 2 ** 32 }, message: 'maximumBytes 4294967296' },
  { options: { maximumBytes: 511 }, message: 'maximumBytes 511' },
])('a disk is not made with $options', ({ options, message }) => {
  expect(() => new ScsiDisk({ medium: new TestDisk(512), ...options })).toThrow(message)
})
