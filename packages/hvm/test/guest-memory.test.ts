import { MachineMemory } from '@retrap/memory'
import { P2m, P2mType } from '@retrap/p2m'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { GuestMemory, GuestTables } from '../src/index.ts'

let memory: MachineMemory
let p2m: P2m
let guest: GuestMemory
/** Machine frames of guest frames 10H, 11H, 12H, in another order than the guest's. */
let frames: number[]

beforeEach(() => {
  memory = MachineMemory.create({ bytes: 4 << 20 })
  p2m = P2m.create(memory)
  guest = new GuestMemory(memory, p2m)
  const taken = [0, 1, 2].map(() => memory.frames.allocate(0))
  frames = [taken[2] as number, taken[0] as number, taken[1] as number]
  for (const [i, mfn] of frames.entries()) p2m.insert(0x10 + i, mfn, 0, P2mType.RAM_RW)
})

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

describe("a domain's RAM by guest-physical address", () => {
  test('a transfer across frames that are scattered in the machine', () => {
    const data = Uint8Array.from({ length: 0x1800 }, (_, i) => i * 7)
    expect(guest.write(0x1_0c00, data)).toBe(true)
    const back = new Uint8Array(data.length)
    expect(guest.read(0x1_0c00, back)).toBe(true)
    expect(back).toEqual(data)
    // The second page's first byte is in its own frame.
    expect(memory.u8[(frames[1] as number) * 0x1000]).toBe((0x400 * 7) & 0xff)
  })

  test('one that runs out of RAM tells so, and has moved what came before', () => {
    expect(guest.write(0x1_2ffe, bytes(1, 2, 3, 4))).toBe(false)
    const back = new Uint8Array(2)
    expect(guest.read(0x1_2ffe, back)).toBe(true)
    expect(back).toEqual(bytes(1, 2))
    expect(guest.read(0x1_2ffe, new Uint8Array(3))).toBe(false)
    expect(guest.read(0x2_0000, new Uint8Array(1))).toBe(false)
  })

  test("ROM swallows writes, takes a loader's, and is read like RAM", () => {
    p2m.setType(0x11, 1, P2mType.RAM_RO)
    expect(guest.load(0x1_1000, bytes(9))).toBe(true)
    expect(guest.write(0x1_0fff, bytes(1, 2))).toBe(true)
    const back = new Uint8Array(2)
    guest.read(0x1_0fff, back)
    expect(back).toEqual(bytes(1, 9))
  })

  test('a write of a frame with decoded code is announced', () => {
    const written: number[] = []
    memory.onCodeWrite((frame) => written.push(frame))
    memory.codeBits[frames[1] as number] = 1
    guest.write(0x1_0ffe, bytes(1, 2, 3))
    expect(written).toEqual([frames[1]])
  })

  test('any pieces in any order give what one transfer would', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ at: fc.nat(0x2f00), data: fc.uint8Array({ minLength: 1, maxLength: 0x100 }) }), {
          maxLength: 20,
          size: 'max',
        }),
        (writes) => {
          const model = new Uint8Array(0x3000)
          guest.write(0x1_0000, model)
          for (const { at, data } of writes) {
            expect(guest.write(0x1_0000 + at, data)).toBe(true)
            model.set(data, at)
          }
          const all = new Uint8Array(0x3000)
          guest.read(0x1_0000, all)
          expect(all).toEqual(model)
        },
      ),
      { numRuns: 30 },
    )
  })
})

describe("the guest's page tables", () => {
  test('entries are read and exchanged where the p2m has them, and absent where it has not', () => {
    const tables = new GuestTables(memory, p2m)
    const entry = new Uint32Array(2)
    guest.write(0x1_1008, bytes(0x67, 0x10, 0, 0, 1, 0, 0, 0x80))
    expect(tables.read64(0x1_1008, entry)).toBe(true)
    expect([...entry]).toEqual([0x1067, 0x8000_0001])
    expect(tables.read32(0x1_1008, entry)).toBe(true)
    expect(entry[0]).toBe(0x1067)
    expect(tables.read64(0x9_0000, entry)).toBe(false)
    expect(tables.read32(0x9_0000, entry)).toBe(false)
    expect(tables.compareExchange64(0x1_1008, 0x1067, 0x8000_0001, 0x10e7, 0x8000_0001)).toBe(true)
    expect(tables.compareExchange64(0x1_1008, 0x1067, 0x8000_0001, 0, 0)).toBe(false)
    expect(tables.compareExchange32(0x1_1008, 0x10e7, 5)).toBe(true)
    tables.read64(0x1_1008, entry)
    expect([...entry]).toEqual([5, 0x8000_0001])
  })

  test('a table in ROM loses its A and D bits, and the walk goes on', () => {
    p2m.setType(0x11, 1, P2mType.RAM_RO)
    const tables = new GuestTables(memory, p2m)
    const entry = new Uint32Array(2)
    expect(tables.compareExchange64(0x1_1000, 0, 0, 1, 1)).toBe(true)
    expect(tables.compareExchange32(0x1_1000, 0, 1)).toBe(true)
    tables.read64(0x1_1000, entry)
    expect([...entry]).toEqual([0, 0])
  })
})
