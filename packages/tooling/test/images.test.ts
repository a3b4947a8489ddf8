/** Images of tests, read back by the offsets of their formats. */
import { describe, expect, test } from 'vitest'
import { ascii, elfImage, join, linuxImage, multibootHeader, note, words } from '../src/images.ts'

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

describe('a bzImage (Linux, Documentation/arch/x86/boot.rst)', () => {
  /** The fields of the setup header, by offset and size. */
  function fields(image: Uint8Array): Record<string, number> {
    const view = viewOf(image)
    return {
      ...{ setupSects: image[0x1f1]!, paragraphs: view.getUint32(0x1f4, true), bootFlag: view.getUint16(0x1fe, true) },
      ...{
        jump: view.getUint16(0x200, true),
        magic: view.getUint32(0x202, true),
        version: view.getUint16(0x206, true),
      },
      ...{ loadflags: image[0x211]!, code32Start: view.getUint32(0x214, true) },
      ...{ initrdAddrMax: view.getUint32(0x22c, true), alignment: view.getUint32(0x230, true) },
      ...{ relocatable: image[0x234]!, xloadflags: view.getUint16(0x236, true) },
      ...{ cmdlineSize: view.getUint32(0x238, true), prefAddress: Number(view.getBigUint64(0x258, true)) },
      initSize: view.getUint32(0x260, true),
    }
  }

  test('is one of protocol 2.15 that can be loaded high', () => {
    expect(fields(linuxImage())).toEqual({
      ...{ setupSects: 3, paragraphs: 256, bootFlag: 0xaa55, jump: 0x6aeb, magic: 0x5372_6448, version: 0x20f },
      ...{ loadflags: 1, code32Start: 0x10_0000, initrdAddrMax: 0x7fff_ffff, alignment: 0x20_0000, relocatable: 1 },
      ...{ xloadflags: 1, cmdlineSize: 2047, prefAddress: 0x100_0000, initSize: 0x10_0000 },
    })
    expect(String.fromCharCode(...linuxImage().subarray(0x202, 0x206))).toBe('HdrS')
  })

  test('has the fields that it is given', () => {
    const given = {
      ...{
        setupSects: 5,
        paragraphs: 9,
        bootFlag: 1,
        magic: 2,
        version: 3,
        loadflags: 4,
        code32Start: 5,
        alignment: 6,
      },
      ...{ relocatable: 7, xloadflags: 8, cmdlineSize: 9, initrdAddrMax: 10, prefAddress: 2 ** 40 + 1, initSize: 12 },
    }
    expect(fields(linuxImage({ ...given, jump: 0x55 }))).toEqual({ ...given, jump: 0x55eb })
  })

  test.each([
    [0, 4],
    [1, 1],
    [3, 3],
  ])('with %i setup sectors has its code behind %i and the boot sector', (setupSects, sectors) => {
    const image = linuxImage({ setupSects, paragraphs: 40 })
    const start = (sectors + 1) * 512
    expect(image).toHaveLength(start + 640)
    expect([...image.subarray(start)]).toEqual(Array.from({ length: 640 }, (_, i) => (start + i) % 251))
    expect(image.subarray(0x268, start).every((byte) => byte === 0)).toBe(true)
  })
})

describe.each([32, 64] as const)('an ELF image of %i bits (System V ABI, "ELF Header", "Program Header")', (bits) => {
  const wide = bits === 64
  const image = elfImage(bits, 0x10_0010, [
    { type: 1, virtualAddress: 0xc000_0000, physicalAddress: 0x10_0000, bytes: Uint8Array.of(1, 2, 3), memoryBytes: 9 },
    { type: 4, bytes: Uint8Array.of(4, 5) },
  ])
  const view = viewOf(image)
  const word = (at: number): number => (wide ? Number(view.getBigUint64(at, true)) : view.getUint32(at, true))

  test('has its header', () => {
    expect([...image.subarray(0, 7)]).toEqual([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, 1, 1])
    expect([view.getUint16(16, true), view.getUint16(18, true)]).toEqual([2, wide ? 62 : 3])
    expect(viewOf(elfImage(bits, 0, [], 40)).getUint16(18, true)).toBe(40)
    expect([word(24), word(wide ? 32 : 28)]).toEqual([0x10_0010, wide ? 64 : 52])
    const sizes = wide ? 54 : 42
    expect([view.getUint16(sizes, true), view.getUint16(sizes + 2, true)]).toEqual([wide ? 56 : 32, 2])
  })

  test('has its segments one behind another', () => {
    const bytes = wide ? 8 : 4
    const headers = [0, 1].map((i) => {
      const at = wide ? 64 + 56 * i : 52 + 32 * i
      const first = at + bytes
      return [view.getUint32(at, true), ...[0, 1, 2, 3, 4].map((field) => word(first + bytes * field))]
    })
    const start = wide ? 64 + 112 : 52 + 64
    expect(headers).toEqual([
      [1, start, 0xc000_0000, 0x10_0000, 3, 9],
      [4, start + 3, 0, 0, 2, 2],
    ])
    expect([...image.subarray(start)]).toEqual([1, 2, 3, 4, 5])
  })
})

test('a note has its name and its content at multiples of four', () => {
  for (const [name, nameBytes] of [
    ['Xen', 4],
    ['CORE', 8],
  ] as const) {
    for (const length of [0, 1, 4, 5]) {
      const made = note(name, 18, new Uint8Array(length).fill(7))
      const padded = 4 * Math.ceil(length / 4)
      expect([...words(name.length + 1, length, 18)]).toEqual([...made.subarray(0, 12)])
      expect(made).toHaveLength(12 + nameBytes + padded)
      expect([...made.subarray(12)]).toEqual([
        ...ascii(name.padEnd(nameBytes, '\0')),
        ...Array.from({ length: padded }, (_, i) => (i < length ? 7 : 0)),
      ])
    }
  }
})

test('the words of a multiboot header add up to nothing (Multiboot Specification 0.6.96, "Header layout")', () => {
  const view = viewOf(multibootHeader(0x1_0003, 5, 6))
  const all = Array.from({ length: 5 }, (_, i) => view.getUint32(4 * i, true))
  expect([all[0], all[1], ...all.slice(3)]).toEqual([0x1bad_b002, 0x1_0003, 5, 6])
  expect((all[0]! + all[1]! + all[2]!) % 2 ** 32).toBe(0)
  expect([...join(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3))]).toEqual([1, 2, 3])
})
