import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, test as base } from 'vitest'
import { MachineMemory, machineBytesFor, MAX_GUEST_RAM_BYTES, MemoryError } from '../src/index.ts'

const MIB = 1 << 20
const test = base.extend('memory', () => MachineMemory.create({ bytes: 4 * MIB }))

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof MemoryError) return error.code
    throw error
  }
  return 'none'
}

describe.each([{ shared: false }, { shared: true }])('machine memory, shared: $shared', ({ shared }) => {
  const create = (bytes = 4 * MIB): MachineMemory => MachineMemory.create({ bytes, shared })
  const test = base.extend('memory', () => create())

  test('a new machine is all zero beyond its bookkeeping, and backed as asked', ({ memory }) => {
    expect(memory.buffer instanceof ArrayBuffer).toBe(!shared)
    expect(memory.memory.buffer).toBe(memory.buffer)
    expect(memory.frameCount).toBe((4 * MIB) / 4096)
    expect(memory.read(2 * MIB, 2 * MIB).every((byte) => byte === 0)).toBe(true)
  })

  // The bitmap of 50 WebAssembly pages ends 4 bytes behind a frame.
  test.each([4, 6, 16, 48, 50, 52, 64, 100, 256])(
    'no frame of the bookkeeping of %i WebAssembly pages is free',
    (pages) => {
      const memory = create(pages * 0x1_0000)
      const { frames, frameCount } = memory
      // Behind the null frame, the header and 17 or 68 frames of fixed area: a word, a byte and a bit of each frame.
      const used = (frameCount < 4096 ? 19 : 70) + Math.ceil((frameCount * (4 + 1 + 1 / 8)) / 4096)
      expect(frames.freeFrames).toBe(frameCount - used)
      expect(Array.from({ length: frameCount }, (_, mfn) => mfn).filter((mfn) => !frames.isAllocated(mfn))[0]).toBe(
        used,
      )
      expect(frames.allocate(0)).toBe(used)
    },
  )

  test('the views look at the same bytes, little-endian', ({ memory }) => {
    memory.u32[0x10_0000 / 4] = 0x1234_5678
    expect([memory.u8[0x10_0000], memory.u16[0x10_0002 / 2]]).toEqual([0x78, 0x1234])
    expect(memory.i32[0x10_0000 / 4]).toBe(0x1234_5678)
    expect(memory.u64[0x10_0000 / 8]).toBe(0x1234_5678n)
  })

  test('no bytes can be read and written anywhere within it, its end included', ({ memory }) => {
    for (const ma of [0, 1, 4 * MIB]) {
      expect(memory.read(ma, 0)).toHaveLength(0)
      memory.write(ma, new Uint8Array(0))
    }
    expect(() => memory.read(4 * MIB + 1, 0)).toThrow(/is outside machine memory/)
    expect(() => memory.read(4 * MIB, 1)).toThrow(/is outside machine memory/)
  })

  test('a second view attached to the memory shares data, generations and the allocator', ({ memory }) => {
    const mfn = memory.frames.allocate(0)
    const other = MachineMemory.attach(memory.memory)
    other.write(mfn * 4096, Uint8Array.of(7))
    expect(memory.u8[mfn * 4096]).toBe(7)
    expect(memory.generation[mfn]).toBe(1)
    expect(other.frames.isAllocated(mfn)).toBe(true)
    expect(other.frames.allocate(0)).not.toBe(mfn)
    expect(memory.frames.freeFrames).toBe(other.frames.freeFrames)
  })

  test('accessors work at any alignment, across a frame boundary, and note the write in both frames', ({ memory }) => {
    const ma = 0x20_0ffd
    memory.writeU64(ma, 0x8899_aabb, 0xccdd_eeff)
    const into = new Uint32Array(2)
    memory.readU64Into(ma, into)
    expect([...into]).toEqual([0x8899_aabb, 0xccdd_eeff])
    expect(memory.readU64(ma)).toBe(0xccdd_eeff_8899_aabbn)
    expect(memory.readU32(ma + 1)).toBe(0xff88_99aa)
    expect(memory.readU16(ma + 3)).toBe(0xff88)
    expect(memory.readU8(ma + 7)).toBe(0xcc)
    expect([memory.generation[0x200], memory.generation[0x201]]).toEqual([1, 1])
    memory.writeU32(ma, 1)
    memory.writeU16(ma + 4, 2)
    memory.writeU8(ma + 6, 3)
    memory.writeBigU64(ma + 7, 4n)
    expect([...memory.read(ma, 15)]).toEqual([1, 0, 0, 0, 2, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0])
    memory.fill(ma, 3, 0xee)
    expect([...memory.read(ma, 4)]).toEqual([0xee, 0xee, 0xee, 0])
  })

  test('a table entry is exchanged in one piece, and only if all 64 bits still hold what was read', ({ memory }) => {
    const ma = 0x20_0008
    memory.publishEntry(ma, 0x8000_0001, 0xffff_fffe)
    const into = new Uint32Array(2)
    memory.readEntry(ma, into)
    expect([...into]).toEqual([0x8000_0001, 0xffff_fffe])
    expect(memory.compareExchangeEntry(ma, 0x8000_0001, 0xffff_ffff, 1, 2)).toBe(false)
    expect(memory.compareExchangeEntry(ma, 0x8000_0000, 0xffff_fffe, 1, 2)).toBe(false)
    expect(memory.readU64(ma)).toBe(0xffff_fffe_8000_0001n)
    expect(memory.compareExchangeEntry(ma, 0x8000_0001, 0xffff_fffe, 0xf000_0000, 2)).toBe(true)
    expect(memory.readU64(ma)).toBe(0x2_f000_0000n)
    expect(memory.readU64(ma - 8) | memory.readU64(ma + 8)).toBe(0n)
    expect(memory.compareExchange32(ma, 0, 1)).toBe(false)
    expect(memory.compareExchange32(ma, 0xf000_0000, 0xf000_0020)).toBe(true)
    expect(memory.readU32(ma)).toBe(0xf000_0020)
  })
})

test('an entry that another thread changes and changes back is never read half and half', async () => {
  const memory = MachineMemory.create({ bytes: 4 * MIB, shared: true })
  const ma = 0x20_0008
  memory.publishEntry(ma, 7, 0x11)
  const source = `
    import { parentPort, workerData } from 'node:worker_threads'
    import { MachineMemory } from ${JSON.stringify(import.meta.resolve('../src/index.ts'))}
    const memory = MachineMemory.attach(workerData)
    parentPort.postMessage('begun')
    for (let i = 0; Atomics.load(memory.u32, 0x200000 / 4) === 0; i++) memory.publishEntry(${ma}, i & 1 ? 7 : 9, i & 1 ? 0x11 : 0x22)
  `
  const writer = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
    workerData: memory.memory,
  })
  await once(writer, 'message')
  const into = new Uint32Array(2)
  const seen = new Map<string, number>()
  for (const end = performance.now() + 1500; performance.now() < end || seen.size < 2;) {
    for (let i = 0; i < 10_000; i++) {
      if (i % 2 === 0) memory.readEntry(ma, into)
      else {
        memory.copyOnce(ma, 0x20_0100, 8)
        memory.readU64Into(0x20_0100, into)
      }
      const key = `${into[0]}:${into[1]}`
      seen.set(key, (seen.get(key) ?? 0) + 1)
    }
  }
  Atomics.store(memory.u32, 0x20_0000 / 4, 1)
  await once(writer, 'exit')
  expect([...seen.keys()].toSorted()).toEqual(['7:17', '9:34'])
})

describe('writes by others than the CPU', () => {
  test('each touched frame gets a new generation, and no other, and listeners hear of its bytes', ({ memory }) => {
    const heard: number[][] = []
    memory.onCodeWrite((...range) => heard.push(range))
    memory.codeBits.fill(1, 0x200, 0x203)
    memory.noteWrite(0x20_0fff, 0x1002)
    expect(heard.flat()).toEqual([0x200, 0xfff, 0xfff, 0x201, 0, 0xfff, 0x202, 0, 0])
    expect([...memory.generation.subarray(0x1ff, 0x204)]).toEqual([0, 1, 1, 1, 0])
    memory.noteWrite(0x20_0000, 0)
    expect(memory.generation[0x200]).toBe(1)
  })

  test('listeners hear of frames with a code bit until they are taken off', ({ memory }) => {
    const heard: number[] = []
    const stop = memory.onCodeWrite((frame) => {
      heard.push(frame)
      memory.codeBits[frame] = 0
    })
    memory.codeBits[0x201] = 1
    memory.noteWrite(0x20_0000, 0x3000)
    memory.noteWrite(0x20_0000, 0x3000)
    expect(heard).toEqual([0x201])
    memory.codeBits[0x201] = 1
    stop()
    memory.noteWrite(0x20_1000, 1)
    expect(heard).toEqual([0x201])
  })

  test('generated code finds generations and code bits at their machine addresses', ({ memory }) => {
    memory.noteWrite(0x20_0000, 1)
    memory.codeBits[0x200] = 3
    expect(memory.readU32(memory.generationMa + 0x200 * 4)).toBe(1)
    expect(memory.readU8(memory.codeBitsMa + 0x200)).toBe(3)
  })
})

describe('regions', () => {
  test('are aligned, zeroed, disjoint, outside frame zero, and listed with their purpose', () => {
    const memory = MachineMemory.create({ bytes: 8 * MIB })
    const asked = [1, 8, 100, 4096, 60_000, 10_000, 0x1_0000, 300_000, 16, 5]
    const aligns = [1, 8, 64, 4096, 8, 0x8000, 0x1_0000, 0x2_0000, 16, 0x20_0000]
    const regions = asked.map((bytes, i) => {
      const align = aligns[i]!
      return { ma: memory.allocate(bytes, align, `of ${bytes}`), bytes, align }
    })
    for (const { ma, bytes, align } of regions) {
      expect(ma).toBeGreaterThanOrEqual(4096)
      expect(ma % align).toBe(0)
      expect(memory.read(ma, bytes).every((byte) => byte === 0)).toBe(true)
      memory.fill(ma, bytes, 0xff)
    }
    expect(memory.regions.map((region) => region.purpose)).toEqual(asked.map((bytes) => `of ${bytes}`))
  })

  test.each([
    { given: 'more than there is', action: (m: MachineMemory) => m.allocate(8 * MIB, 8, 'x'), code: 'ERR_NO_MEMORY' },
    { given: 'no bytes', action: (m: MachineMemory) => m.allocate(0, 8, 'x'), code: 'ERR_RANGE' },
    { given: 'an odd alignment', action: (m: MachineMemory) => m.allocate(8, 24, 'x'), code: 'ERR_ALIGN' },
    { given: 'NaN for an address', action: (m: MachineMemory) => m.readU8(Number.NaN), code: 'ERR_RANGE' },
    { given: 'a misaligned entry', action: (m: MachineMemory) => m.publishEntry(4, 0, 0), code: 'ERR_ALIGN' },
    { given: 'a misaligned word', action: (m: MachineMemory) => m.compareExchange32(6, 0, 0), code: 'ERR_ALIGN' },
  ])('$given → $code', ({ action, code }) => {
    expect(codeOf(() => action(MachineMemory.create({ bytes: 4 * MIB })))).toBe(code)
  })

  test('exhaustion is told with figures, and leaves what there was', ({ memory }) => {
    const free = memory.frames.freeFrames
    try {
      memory.allocate(5 * MIB, 8, 'a frame buffer')
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({
        code: 'ERR_NO_MEMORY',
        figures: { requestedBytes: 5 * MIB, freeBytes: free * 4096 },
      })
      expect(String(error)).toContain('a frame buffer')
    }
    expect(memory.frames.freeFrames).toBe(free)
  })
})

describe('sizes', () => {
  test('3 GiB of guest RAM fit a machine, with some 70 MiB for the hypervisor', () => {
    const bytes = machineBytesFor(3 * 1024 * MIB)
    expect(bytes).toBeGreaterThan(3 * 1024 * MIB)
    expect(bytes).toBeLessThan(3 * 1024 * MIB + 80 * MIB)
  })

  test('guest RAM above 3.5 GiB is refused, and the message says why', () => {
    expect(codeOf(() => machineBytesFor(MAX_GUEST_RAM_BYTES + 4096))).toBe('ERR_TOO_LARGE')
    expect(() => machineBytesFor(4096 * MIB)).toThrow(/32-bit WebAssembly memory.*3\.5 GiB/)
    expect(codeOf(() => machineBytesFor(MAX_GUEST_RAM_BYTES))).toBe('none')
    expect(codeOf(() => MachineMemory.create({ bytes: 4096 * MIB + 1 }))).toBe('ERR_TOO_LARGE')
    expect(codeOf(() => MachineMemory.create({ bytes: 0 }))).toBe('ERR_RANGE')
  })

  test('a whole 4 GiB machine works up to its last byte', () => {
    const memory = MachineMemory.create({ bytes: 4096 * MIB })
    const last = memory.frames.allocate(9)
    expect(last).toBe(0xf_fe00)
    memory.writeU32(0xffff_fffc, 0x1357_9bdf)
    expect(memory.u32[0xffff_fffc / 4]).toBe(0x1357_9bdf)
    memory.publishEntry(0xffff_fff8, 1, 2)
    expect(memory.compareExchangeEntry(0xffff_fff8, 1, 2, 3, 4)).toBe(true)
    expect(memory.compareExchange32(0xffff_fffc, 4, 5)).toBe(true)
    expect(memory.generation[0x10_0000]).toBeUndefined()
    expect(memory.generation[0xf_ffff]).toBe(1)
  })

  test('a memory without a machine is not attached to', () => {
    expect(codeOf(() => MachineMemory.attach(new WebAssembly.Memory({ initial: 4, maximum: 4 })))).toBe('ERR_HEADER')
  })
})

test('a region that was freed is the next one of its size, with zeros', () => {
  const memory = MachineMemory.create({ bytes: 4 << 20 })
  for (const bytes of [100, 300_000]) {
    const ma = memory.allocate(bytes, 8, 'first')
    memory.fill(ma, bytes, 7)
    memory.free(ma)
    expect(memory.spareBytes).toBe(bytes)
    expect(memory.regions.some((region) => region.ma === ma)).toBe(false)
    expect(() => memory.free(ma)).toThrow(/no region of this view/)
    const free = memory.frames.freeFrames
    expect(memory.allocate(bytes, 8, 'second')).toBe(ma)
    expect(memory.frames.freeFrames).toBe(free)
    expect(memory.read(ma, bytes).every((byte) => byte === 0)).toBe(true)
    expect(memory.spareBytes).toBe(0)
  }
  // Another alignment is another region.
  expect(memory.allocate(100, 16, 'third') % 16).toBe(0)
})
