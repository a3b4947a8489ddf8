/** The image of the embedded guest: its tables, and what it sets its devices to. */
import { createPc } from '@retrap/machine'
import { describe, expect, test } from 'vitest'
import { buildGuestImage } from '../src/index.ts'

const BASE = 0xf_0000
const IOREQ_TYPE_PIO = 0
const IOREQ_WRITE = 0

describe('the embedded guest, as an image', () => {
  const image = buildGuestImage()

  test('is 64 KiB, with a far jump to segment F000 at the reset vector', () => {
    expect(image.length).toBe(0x1_0000)
    const vector = image.subarray(0xfff0)
    expect(vector[0]).toBe(0xea)
    expect((vector[3] ?? 0) | ((vector[4] ?? 0) << 8)).toBe(0xf000)
  })

  /** What the guest writes to ports, in order; ends it after so many. */
  async function portWrites(first: number, last: number, count: number): Promise<number[][]> {
    const written: number[][] = []
    const stop = new AbortController()
    const pc = await createPc({
      memoryBytes: 16 << 20,
      firmware: image.slice(),
      trace: ({ event, request, lo }) => {
        const register = request.addressLo - first
        if (event !== 'done' || request.type !== IOREQ_TYPE_PIO || request.direction !== IOREQ_WRITE) return
        if (register < 0 || register > last - first || written.length === count) return
        written.push([register, lo])
        if (written.length === count) stop.abort()
      },
    })
    await pc.run({ signal: stop.signal, timeoutMs: 60_000 })
    pc.close()
    return written
  }

  // PC16550D data sheet, 8.0: without DTR and RTS a sender that heeds flow control sends nothing; OUT2 lets interrupts out.
  test('sets COM1 to 115200 baud, 8N1, with DTR, RTS and OUT2', async () => {
    expect(await portWrites(0x3f8, 0x3ff, 6)).toEqual([
      [1, 0],
      [3, 0x83],
      [0, 1],
      [1, 0],
      [3, 0x03],
      [4, 0x0b],
    ])
  })

  // 8259A data sheet, "Initialization Command Words": ICW1 to ICW4, then a mask. The second is on line 2 of the first.
  test('sets up the two 8259s as a cascade, for vectors from 32 on, and masks them', async () => {
    expect(await portWrites(0x20, 0x21, 5)).toEqual([
      [0, 0x11],
      [1, 0x20],
      [1, 0x04],
      [1, 0x01],
      [1, 0xff],
    ])
    expect(await portWrites(0xa0, 0xa1, 5)).toEqual([
      [0, 0x11],
      [1, 0x28],
      [1, 0x02],
      [1, 0x01],
      [1, 0xff],
    ])
  })

  // 82C54 data sheet, "Control Word Format": channel 2, both bytes, mode 0; 11,932 of its ticks are 10 ms.
  test('counts 10 ms on channel 2 of the PIT', async () => {
    expect(await portWrites(0x42, 0x43, 4)).toEqual([
      [1, 0xb0],
      [0, 11_932 & 0xff],
      [0, 11_932 >> 8],
      [1, 0xe8],
    ])
  })

  // PCI Local Bus Specification 3.0, "Configuration Space Decoding": a device with one function may ignore its number.
  test('reads function 0 of a device with one function, then the next device', async () => {
    // The first four find the board and place its power-management block.
    const addresses = (await portWrites(0xcf8, 0xcfb, 10)).slice(4).map(([, address]) => address! - 0x8000_0000)
    expect(addresses).toEqual([0x000, 0x008, 0x00c, 0x800, 0x808, 0x80c])
  })

  // SDM vol. 3A, "Segment Descriptors": flat, present, accessed; code of 32 bits, data, code of 64 bits.
  test('has one descriptor table, and its address and limit for LGDT', () => {
    const view = new DataView(image.buffer, image.byteOffset, image.length)
    const descriptors = [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn, 0x00af_9b00_0000_ffffn]
    const tables: number[] = []
    for (let at = 0; at + 32 <= image.length; at += 8)
      if (descriptors.every((descriptor, i) => view.getBigUint64(at + 8 * i, true) === descriptor)) tables.push(at)
    expect(tables).toHaveLength(1)
    const pointers: number[] = []
    for (let at = 0; at + 6 <= image.length; at += 4)
      if (view.getUint16(at, true) === 31 && view.getUint32(at + 2, true) === BASE + tables[0]!) pointers.push(at)
    expect(pointers).toHaveLength(1)
  })

  test('is the same every time', () => {
    expect(buildGuestImage()).toEqual(image)
  })
})
