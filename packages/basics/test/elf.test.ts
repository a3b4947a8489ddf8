import { describe, expect, test } from 'vitest'
import { elfImage, join, note, words } from '@retrap/tooling/images'
import { elfHeader, elfNotes, elfSegment, elfSizes, isElf, PT_LOAD, PT_NOTE } from '../src/index.ts'

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

describe.each([32, 64] as const)('class %d', (bits) => {
  const wide = bits === 64
  const data = Uint8Array.of(1, 2, 3, 4, 5)
  const image = elfImage(bits, 0x10_0008, [
    { type: PT_LOAD, virtualAddress: 0xc000_0000, physicalAddress: 0x10_0000, bytes: data, memoryBytes: 0x2000 },
    { type: PT_NOTE, bytes: words(0) },
  ])

  test('the header says where the others are', () => {
    expect(isElf(image)).toBe(true)
    const { header, segment } = elfSizes(wide)
    expect(elfHeader(viewOf(image))).toMatchObject({
      wide,
      type: 2,
      machine: wide ? 62 : 3,
      entry: 0x10_0008n,
      segments: { at: header, entryBytes: segment, count: 2 },
    })
    expect(() => elfHeader(viewOf(image.subarray(0, header - 2)))).toThrow(RangeError)
  })

  test('a program header has the same fields', () => {
    const { segments } = elfHeader(viewOf(image))
    const { offset, ...rest } = elfSegment(viewOf(image), segments.at, wide)
    expect(image.subarray(offset, offset + rest.fileBytes)).toEqual(data)
    expect(rest).toEqual({
      type: PT_LOAD,
      flags: expect.any(Number),
      virtualAddress: 0xc000_0000n,
      physicalAddress: 0x10_0000,
      fileBytes: 5,
      memoryBytes: 0x2000,
    })
  })
})

test('notes are found by name and type, and end where one is cut off', () => {
  const notes = join(note('Xen', 18, words(1)), note('GNU', 3, Uint8Array.of(7, 8, 9)), note('GNU', 3, words(2)))
  expect([...elfNotes(notes, 'GNU', 3)]).toEqual([Uint8Array.of(7, 8, 9), words(2)])
  expect([...elfNotes(notes.subarray(0, -1), 'GNU', 3)]).toEqual([Uint8Array.of(7, 8, 9)])
  expect([...elfNotes(notes, 'GNU', 4)]).toEqual([])
})
