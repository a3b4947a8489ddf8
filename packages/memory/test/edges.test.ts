/** The ends of memory and of frames, and where the bookkeeping lies. */
import { describe, expect, test as base } from 'vitest'
import * as M from '../src/index.ts'

const MIB = 1 << 20
const BYTES = 4 * MIB
const create = (): M.MachineMemory => M.MachineMemory.create({ bytes: BYTES })
const test = base.extend('memory', create)

const into = new Uint32Array(2)
const READS: Readonly<Record<string, readonly [number, (memory: M.MachineMemory, ma: number) => unknown]>> = {
  readU8: [1, (memory, ma) => memory.readU8(ma)],
  readU16: [2, (memory, ma) => memory.readU16(ma)],
  readU32: [4, (memory, ma) => memory.readU32(ma)],
  readU64: [8, (memory, ma) => memory.readU64(ma)],
  readU64Into: [8, (memory, ma) => memory.readU64Into(ma, into)],
  read: [3, (memory, ma) => memory.read(ma, 3)],
}
const WRITES: typeof READS = {
  writeU8: [1, (memory, ma) => memory.writeU8(ma, 1)],
  writeU16: [2, (memory, ma) => memory.writeU16(ma, 1)],
  writeU32: [4, (memory, ma) => memory.writeU32(ma, 1)],
  writeU64: [8, (memory, ma) => memory.writeU64(ma, 1, 2)],
  writeBigU64: [8, (memory, ma) => memory.writeBigU64(ma, 1n)],
  write: [3, (memory, ma) => memory.write(ma, new Uint8Array(3))],
  fill: [5, (memory, ma) => memory.fill(ma, 5, 1)],
  publishEntry: [8, (memory, ma) => memory.publishEntry(ma, 1, 2)],
  compareExchangeEntry: [8, (memory, ma) => memory.compareExchangeEntry(ma, 0, 0, 1, 2)],
  compareExchange32: [4, (memory, ma) => memory.compareExchange32(ma, 0, 1)],
}

test.each(Object.entries({ ...READS, ...WRITES }))(
  '%s reaches the last bytes of memory, and not beyond',
  (_, [bytes, access]) => {
    const memory = create()
    expect(() => access(memory, BYTES - bytes)).not.toThrow()
    for (const ma of [BYTES - bytes + 1, BYTES, -1])
      expect(() => access(memory, ma)).toThrow(expect.objectContaining({ code: 'ERR_RANGE' }))
  },
)

/** An entry of a table has no code, and lies in one frame. */
const NOTED = Object.entries(WRITES).filter(([name]) => !/Entry|Exchange/.test(name))

describe.each(NOTED)('%s notes the write', (_, [bytes, access]) => {
  test('in the frame of each of its bytes, and in no other', ({ memory }) => {
    const heard: number[][] = []
    memory.onCodeWrite((...range) => heard.push(range))
    memory.codeBits.fill(1, 0x200, 0x202)
    access(memory, 0x20_1000 - bytes)
    expect(heard).toEqual([[0x200, 0x1000 - bytes, 0xfff]])
    expect([...memory.generation.subarray(0x1ff, 0x203)]).toEqual([0, 1, 0, 0])
    access(memory, 0x20_1000)
    expect(heard[1]).toEqual([0x201, 0, bytes - 1])
    expect([...memory.generation.subarray(0x1ff, 0x203)]).toEqual([0, 1, 1, 0])
  })
})

describe('the bookkeeping', () => {
  test('has generations, code bits and the map of frames one behind another, in frames that are in use', ({
    memory,
  }) => {
    const frames = BYTES / 4096
    expect([memory.generationMa, memory.codeBitsMa - memory.generationMa]).toEqual([
      M.FIXED_MA + M.FIXED_BYTES,
      4 * frames,
    ])
    const used = frames - memory.frames.totalFrames
    // Frame 0, the header, the fixed area, 5 bytes and a bit for each frame.
    expect(used).toBe(Math.ceil((M.FIXED_MA + M.FIXED_BYTES + 5 * frames + frames / 8) / 4096))
    const inUse = (): number[] => Array.from({ length: frames }, (_, mfn) => +memory.frames.isAllocated(mfn))
    const before = inUse()
    expect(before.lastIndexOf(1)).toBe(used - 1)
    memory.codeBits.fill(0xff)
    memory.generation.fill(0xffff_ffff)
    expect(inUse()).toEqual(before)
    const first = memory.frames.allocate(0)
    expect(first).toBe(used)
    memory.fill(first * 4096, 4096, 0)
    expect([memory.frames.isAllocated(first), memory.frames.isAllocated(first + 1)]).toEqual([true, false])
  })

  test('the first frame that is free follows what is taken and given back', () => {
    const { frames } = create()
    const taken = Array.from({ length: 100 }, () => frames.allocate(0))
    expect(taken).toEqual(Array.from({ length: 100 }, (_, i) => taken[0]! + i))
    for (const i of [63, 5, 64]) frames.free(taken[i]!, 0)
    expect(Array.from({ length: 4 }, () => frames.allocate(0) - taken[0]!)).toEqual([5, 63, 64, 100])
  })

  test('a run that is given back is free, each frame of it', () => {
    const { frames } = create()
    const mfn = frames.allocate(9)
    frames.free(mfn, 9)
    expect(Array.from({ length: 512 }, (_, i) => frames.isAllocated(mfn + i)).includes(true)).toBe(false)
    expect([frames.allocate(9), frames.freeFrames]).toEqual([mfn, frames.totalFrames - 512])
  })

  test('a region fits between frames that are in use', ({ memory }) => {
    const { frames } = memory
    const taken = Array.from({ length: frames.totalFrames }, () => frames.allocate(0))
    for (let i = 100; i < 116; i++) frames.free(taken[i]!, 0)
    expect(() => memory.allocate(0x1_1000, 4096, 'too large')).toThrow(/no room/)
    expect(memory.allocate(0x1_0000, 4096, 'as large')).toBe(taken[100]! * 4096)
    expect(frames.freeFrames).toBe(0)
  })

  test.each([0, 4, 0x2_0000, 0x4_0002, 0x4_0000])('%i bytes without a header hold no machine', (bytes) => {
    const memory = { buffer: new ArrayBuffer(bytes), grow: () => 0 }
    expect(() => M.MachineMemory.attach(memory)).toThrow(expect.objectContaining({ code: 'ERR_HEADER' }))
  })

  test.each(['magic number', 'version', 'number of frames'])('a header of another %s is refused', (what) => {
    const word = ['magic number', 'version', 'number of frames'].indexOf(what)
    const memory = create()
    expect(M.MachineMemory.attach(memory.memory).frameCount).toBe(BYTES / 4096)
    memory.u32[0x1000 / 4 + word]! += 1
    expect(() => M.MachineMemory.attach(memory.memory)).toThrow(expect.objectContaining({ code: 'ERR_HEADER' }))
  })
})

describe('small regions', () => {
  test('share 64 KiB, with no more between them than their alignment needs', ({ memory }) => {
    const free = memory.frames.freeFrames
    const first = memory.allocate(100, 8, 'first')
    expect(memory.allocate(100, 8, 'second') - first).toBe(104)
    expect(memory.allocate(8, 256, 'third') - first).toBe(256)
    // To the last byte of the arena.
    expect(memory.allocate(0x1_0000 - 264, 8, 'rest') - first).toBe(264)
    expect(free - memory.frames.freeFrames).toBe(16)
    const next = memory.allocate(8, 8, 'next')
    expect([next % 4096, free - memory.frames.freeFrames]).toEqual([0, 32])
  })

  test.each([0x1000, 0x2000, 0x8000, 0x1_0000, 0x4_0000])('are aligned to %i, wherever the arena is', (align) => {
    const memory = create()
    for (let i = 0; i < 6; i++) {
      memory.frames.allocate(0)
      const ma = memory.allocate(40, align, 'aligned')
      expect([ma % align, ma > 0x2000, ma < BYTES]).toEqual([0, true, true])
    }
  })
})

describe('regions at the same addresses in machines of every size', () => {
  test('lie one behind another, zeroed and apart from all else, until their area is full', () => {
    for (const bytes of [256 << 10, BYTES, 64 * MIB]) {
      const memory = M.MachineMemory.create({ bytes })
      const free = memory.frames.freeFrames
      expect(memory.allocateFixed(M.FIXED_BYTES - 4096, 8, 'first')).toBe(M.FIXED_MA)
      expect(memory.allocateFixed(4, 4, 'second')).toBe(M.FIXED_MA + M.FIXED_BYTES - 4096)
      // Another view goes on where this one has ended.
      expect(M.MachineMemory.attach(memory.memory).allocateFixed(8, 8, 'third')).toBe(M.FIXED_MA + M.FIXED_BYTES - 4088)
      expect(memory.regions.map(({ purpose }) => purpose)).toEqual(['first', 'second'])
      expect(memory.generationMa).toBe(M.FIXED_MA + (bytes < 16 * MIB ? 1 : 4) * M.FIXED_BYTES)
      expect(memory.read(M.FIXED_MA, M.FIXED_BYTES).every((byte) => byte === 0)).toBe(true)
      expect(memory.frames.freeFrames).toBe(free)
    }
  })

  test('lie elsewhere where they do not fit', ({ memory }) => {
    expect(memory.allocateFixed(M.FIXED_BYTES + 1, 8, 'too large')).toBeGreaterThan(M.FIXED_MA + M.FIXED_BYTES)
    expect(memory.allocateFixed(8, 8192, 'aligned') % 8192).toBe(0)
    expect(memory.allocateFixed(M.FIXED_BYTES, 8, 'all')).toBe(M.FIXED_MA)
    expect(memory.allocateFixed(1, 1, 'one more')).toBeGreaterThan(M.FIXED_MA + M.FIXED_BYTES)
    expect(() => memory.allocateFixed(0, 8, 'nothing')).toThrow(expect.objectContaining({ code: 'ERR_RANGE' }))
  })
})

test('what is left is told, and whether it is in pieces', ({ memory }) => {
  const { frames } = memory
  const message = (bytes: number): string => {
    try {
      memory.allocate(bytes, 4096, 'a table')
    } catch (error) {
      return (error as M.MemoryError).message
    }
    return ''
  }
  const total = frames.totalFrames * 4096
  expect(message(total + 1)).not.toContain('piece')
  const taken = Array.from({ length: frames.totalFrames }, () => frames.allocate(0))
  for (const i of [100, 102]) frames.free(taken[i]!, 0)
  expect(message(8192)).toContain(`8192 bytes asked for, 8192 free of ${total} (but not in one aligned piece)`)
  expect(message(8193)).toContain(`8193 bytes asked for, 8192 free of ${total}`)
  expect(message(8193)).not.toContain('piece')
})

test('a machine is no larger than 4 GiB with its bookkeeping, to the byte', () => {
  const GIB4 = 2 ** 32
  // Guest RAM, 5 bytes and a bit for each frame, 4 frames, the fixed area of large machines and 2 MiB.
  const own = (bytes: number): number => {
    const frames = Math.ceil((bytes + M.MAX_GUEST_RAM_BYTES) / 4096)
    return M.MAX_GUEST_RAM_BYTES + bytes + frames * 5 + Math.ceil(frames / 8) + 4 * 4096 + 4 * M.FIXED_BYTES + 0x20_0000
  }
  let most = 400 * MIB
  while (own(most + 4096) <= GIB4) most += 4096
  while (own(most + 1) <= GIB4) most++
  expect(M.machineBytesFor(M.MAX_GUEST_RAM_BYTES, most)).toBe(GIB4)
  expect(() => M.machineBytesFor(M.MAX_GUEST_RAM_BYTES, most + 1)).toThrow(/at most 4294967296 bytes/)
  expect(() => M.MachineMemory.create({ bytes: GIB4 + 1 })).toThrow(/at most 4294967296 bytes/)
})

test('nothing is a size', () => {
  expect(M.machineBytesFor(0, 0)).toBe(0x40_0000)
  expect(() => M.machineBytesFor(-1)).toThrow(/expected a number from 0 on/)
  expect(() => M.machineBytesFor(0, -1)).toThrow(/expected a number from 0 on/)
})
