/** The structures of SMBIOS tables, read by their definitions in DMTF DSP0134 2.8 (chapters 5 to 7). */
import { describe, expect, test } from 'vitest'
import { buildSmbios, type SmbiosBoard } from '../src/firmware/smbios.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const TIB = 1024 * GIB

interface Structure {
  readonly type: number
  readonly handle: number
  readonly length: number
  readonly strings: readonly string[]
  /** A field of the formatted area. */
  at(offset: number, bytes: 1 | 2 | 4 | 8): number
  /** The string that a field names. */
  text(offset: number): string | undefined
}

/** Reads structure after structure, as 6.1.2 and 6.1.3 define them. */
function read(board: SmbiosBoard): { readonly structures: readonly Structure[]; readonly anchor: DataView } {
  const { anchor, tables } = buildSmbios(board)
  const view = new DataView(tables.buffer)
  const structures: Structure[] = []
  for (let start = 0; start < tables.length;) {
    const length = tables[start + 1]!
    const strings: string[] = []
    let at = start + length
    while (tables[at] !== 0) {
      const end = tables.indexOf(0, at)
      strings.push(new TextDecoder().decode(tables.subarray(at, end)))
      at = end + 1
    }
    // Without a string there are two zeros.
    at += strings.length === 0 ? 2 : 1
    const base = start
    const field = (offset: number, bytes: 1 | 2 | 4 | 8): number => {
      expect(offset + bytes).toBeLessThanOrEqual(length)
      if (bytes === 1) return view.getUint8(base + offset)
      if (bytes === 2) return view.getUint16(base + offset, true)
      return bytes === 4 ? view.getUint32(base + offset, true) : Number(view.getBigUint64(base + offset, true))
    }
    const text = (offset: number): string | undefined => strings[field(offset, 1) - 1]
    structures.push({ type: tables[base]!, handle: field(2, 2), length, strings, at: field, text })
    start = at
  }
  expect(new DataView(anchor.buffer).getUint16(0x16, true)).toBe(tables.length)
  return { structures, anchor: new DataView(anchor.buffer) }
}

const small: SmbiosBoard = { cpus: 1, ram: [{ gpa: 0, bytes: 512 * MIB }] }
const of = (type: number, board: SmbiosBoard = small): Structure =>
  read(board).structures.find((structure) => structure.type === type)!

test('each structure that a machine needs, with a handle of its own', () => {
  const ram = [
    { gpa: 0, bytes: 3 * GIB },
    { gpa: 4 * GIB, bytes: GIB },
  ]
  const { structures } = read({ cpus: 2, ram })
  expect(structures.map(({ type }) => type)).toEqual([1, 3, 4, 16, 17, 19, 19, 32, 127])
  expect(new Set(structures.map(({ handle }) => handle)).size).toBe(structures.length)
  // Lengths of edition 2.8.
  expect(structures.map(({ length }) => length)).toEqual([0x1b, 0x16, 0x2a, 0x17, 0x28, 0x1f, 0x1f, 0x0b, 4])
})

test('the entry point of edition 2.8 (5.2.1)', () => {
  const { anchor, structures } = read(small)
  const text = (at: number, bytes: number): string =>
    String.fromCharCode(...new Uint8Array(anchor.buffer.slice(at, at + bytes)))
  expect([text(0, 4), text(0x10, 5)]).toEqual(['_SM_', '_DMI_'])
  expect([5, 6, 7, 0x0a, 0x1e].map((at) => anchor.getUint8(at))).toEqual([0x1f, 2, 8, 0, 0x28])
  expect(anchor.getUint16(0x1c, true)).toBe(structures.length)
  // The largest one with its strings: the processor's, "CPU 0" and "retrap".
  expect(anchor.getUint16(8, true)).toBe(0x2a + 'CPU 0'.length + 1 + 'retrap'.length + 1 + 1)
})

test('the system (7.2) and its chassis (7.4)', () => {
  const system = of(1)
  expect([system.text(4), system.text(5), system.strings]).toEqual(['retrap', 'retrap PC', ['retrap', 'retrap PC']])
  // Wake-up type: power switch. No UUID.
  expect([system.at(0x18, 1), system.at(8, 8), system.at(0x10, 8)]).toEqual([6, 0, 0])
  expect(of(1, { ...small, product: 'another' }).text(5)).toBe('another')
  const chassis = of(3)
  expect(chassis.text(4)).toBe('retrap')
  // Type other; boot-up, power supply and thermal states safe; security unknown.
  expect([5, 9, 0x0a, 0x0b, 0x0c].map((at) => chassis.at(at, 1))).toEqual([1, 3, 3, 3, 2])
})

test.each([
  { cpus: 1, characteristics: 0x04 },
  { cpus: 2, characteristics: 0x0c },
  { cpus: 128, characteristics: 0x0c },
])('a processor of $cpus cores (7.5)', ({ cpus, characteristics }) => {
  const processor = of(4, { ...small, cpus })
  expect([processor.text(4), processor.text(7)]).toEqual(['CPU 0', 'retrap'])
  // Central processor, family other; socket populated and enabled; upgrade other.
  expect([5, 6, 0x18, 0x19].map((at) => processor.at(at, 1))).toEqual([3, 1, 0x41, 1])
  // No cache information.
  expect([0x1a, 0x1c, 0x1e].map((at) => processor.at(at, 2))).toEqual([0xffff, 0xffff, 0xffff])
  // Core count, cores enabled, threads.
  expect([0x23, 0x24, 0x25].map((at) => processor.at(at, 1))).toEqual([cpus, cpus, cpus])
  expect([processor.at(0x26, 2), processor.at(0x28, 2)]).toEqual([characteristics, 1])
})

describe('memory', () => {
  const ram = (bytes: number): SmbiosBoard => ({ cpus: 1, ram: [{ gpa: 0, bytes }] })

  test.each([
    { bytes: 3 * MIB + 4 * KIB, capacity: 3076, extended: 0 },
    { bytes: 512 * MIB, capacity: 512 * KIB, extended: 0 },
    { bytes: 2 * TIB - MIB, capacity: 0x8000_0000 - KIB, extended: 0 },
    { bytes: 2 * TIB, capacity: 0x8000_0000, extended: 2 * TIB },
  ])('of $bytes bytes in an array (7.17)', ({ bytes, capacity, extended }) => {
    const array = of(16, ram(bytes))
    // Location other, system memory, no error correction.
    expect([4, 5, 6].map((at) => array.at(at, 1))).toEqual([1, 3, 3])
    expect([array.at(7, 4), array.at(0x0f, 8)]).toEqual([capacity, extended])
    // No error information, one device.
    expect([array.at(0x0b, 2), array.at(0x0d, 2)]).toEqual([0xfffe, 1])
  })

  test.each([
    { bytes: 512 * MIB, size: 512, extended: 0 },
    // Bit 15: in KiB.
    { bytes: 3 * MIB + 4 * KIB, size: 0x8000 + 3076, extended: 0 },
    { bytes: 32 * MIB - 4 * KIB, size: 0x8000 + 32 * KIB - 4, extended: 0 },
    // Too many KiB for 15 bits.
    { bytes: 32 * MIB + 4 * KIB, size: 33, extended: 0 },
    { bytes: 32 * GIB - 2 * MIB, size: 0x7ffe, extended: 0 },
    { bytes: 32 * GIB - MIB, size: 0x7fff, extended: 0x7fff },
    { bytes: 64 * GIB, size: 0x7fff, extended: 64 * KIB },
  ])('of $bytes bytes in a device (7.18)', ({ bytes, size, extended }) => {
    const device = of(17, ram(bytes))
    expect([device.at(0x0c, 2), device.at(0x1c, 4)]).toEqual([size, extended])
    expect(device.at(4, 2)).toBe(of(16).handle)
    expect([device.at(6, 2), device.at(8, 2), device.at(0x0a, 2)]).toEqual([0xfffe, 0xffff, 0xffff])
    expect([device.text(0x10), device.text(0x17)]).toEqual(['DIMM 0', 'retrap'])
    // Form factor DIMM, type RAM, detail other-unknown bit 1.
    expect([device.at(0x0e, 1), device.at(0x12, 1), device.at(0x13, 2)]).toEqual([9, 7, 2])
  })

  test.each([
    { gpa: 0, bytes: 512 * MIB, start: 0, end: 512 * KIB - 1, wide: [0, 0] },
    { gpa: 4 * GIB, bytes: GIB, start: 4 * MIB, end: 5 * MIB - 1, wide: [0, 0] },
    // 32 bits of KiB are 4 TiB.
    { gpa: 4 * TIB - GIB, bytes: GIB - KIB, start: 2 ** 32 - MIB, end: 2 ** 32 - 2, wide: [0, 0] },
    { gpa: 4 * TIB - GIB, bytes: GIB, start: 0xffff_ffff, end: 0xffff_ffff, wide: [4 * TIB - GIB, 4 * TIB - 1] },
  ])('at $gpa, $bytes bytes long (7.20)', ({ gpa, bytes, start, end, wide }) => {
    const mapped = of(19, { cpus: 1, ram: [{ gpa, bytes }] })
    expect([mapped.at(4, 4), mapped.at(8, 4)]).toEqual([start, end])
    expect([mapped.at(0x0f, 8), mapped.at(0x17, 8)]).toEqual(wide)
    // Of the array, one device wide.
    expect([mapped.at(0x0c, 2), mapped.at(0x0e, 1)]).toEqual([of(16).handle, 1])
  })
})
