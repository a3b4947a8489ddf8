import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, test as base } from 'vitest'
import { FIXED_BYTES, FIXED_MA, MachineMemory, type MemoryError } from '../src/index.ts'

const MIB = 1 << 20
const test = base.extend('memory', () => MachineMemory.create({ bytes: 4 * MIB }))

describe('the frame allocator', () => {
  test('small frames come from the bottom, large runs from the top', () => {
    const memory = MachineMemory.create({ bytes: 16 * MIB })
    const large = memory.frames.allocate(9)
    expect(large).toBe((14 * MIB) / 4096)
    expect(memory.frames.allocate(9)).toBe((12 * MIB) / 4096)
    expect(memory.frames.allocate(0)).toBeLessThan((FIXED_MA + 4 * FIXED_BYTES) / 4096 + 16)
  })

  test('a gigabyte run is taken whole where one is free', () => {
    const memory = MachineMemory.create({ bytes: 2304 * MIB })
    expect(memory.frames.allocate(18)).toBe(0x4_0000)
    expect(memory.frames.tryAllocate(18)).toBe(-1)
    expect(memory.frames.allocate(9)).toBe(0x8_fe00)
  })

  test('a freed frame is scrubbed, gets a new generation and is handed out again', ({ memory }) => {
    const mfn = memory.frames.allocate(0)
    memory.frames.allocate(0)
    memory.fill(mfn * 4096, 4096, 0xaa)
    const before = memory.generation[mfn]
    const free = memory.frames.freeFrames
    memory.frames.free(mfn, 0)
    expect([memory.frames.freeFrames, memory.frames.isAllocated(mfn)]).toEqual([free + 1, false])
    expect(memory.generation[mfn]).not.toBe(before)
    expect(memory.read(mfn * 4096, 4096).every((byte) => byte === 0)).toBe(true)
    expect(memory.frames.allocate(0)).toBe(mfn)
  })

  test('a code-write listener may allocate while a frame is being freed', ({ memory }) => {
    const mfn = memory.frames.allocate(0)
    memory.codeBits[mfn] = 1
    let taken = -1
    memory.onCodeWrite(() => (taken = memory.frames.allocate(0)))
    memory.frames.free(mfn, 0)
    expect(taken).toBeGreaterThan(mfn)
  })

  test('all of it can be taken, and then a message says what was asked and what is left', ({ memory }) => {
    const total = memory.frames.totalFrames
    for (let i = 0; i < total; i++) memory.frames.allocate(0)
    expect(memory.frames.freeFrames).toBe(0)
    expect(() => memory.frames.allocate(0)).toThrow(/4096 bytes asked for, 0 free/)
    expect(memory.frames.tryAllocate(9)).toBe(-1)
  })

  test.each([
    { given: 'an order that no table has', mfn: 0x300, order: 3, code: 'ERR_ORDER' },
    { given: 'a frame that is free', mfn: 0x300, order: 0, code: 'ERR_NOT_ALLOCATED' },
    { given: 'a misaligned run', mfn: 0x101, order: 9, code: 'ERR_ALIGN' },
    { given: 'a frame outside', mfn: 0x400, order: 0, code: 'ERR_RANGE' },
    { given: 'frame zero', mfn: 0, order: 0, code: 'ERR_RANGE' },
  ])('freeing $given → $code', ({ mfn, order, code }) => {
    const memory = MachineMemory.create({ bytes: 4 * MIB })
    const free = memory.frames.freeFrames
    try {
      memory.frames.free(mfn, order)
      expect.unreachable()
    } catch (error) {
      expect((error as MemoryError).code).toBe(code)
    }
    expect(memory.frames.freeFrames).toBe(free)
  })

  test("frames outside are nobody's, those of the header are in use", () => {
    const { frames } = MachineMemory.create({ bytes: 4 * MIB })
    expect([-1, 0, 1, 0x3ff, 0x400].map((mfn) => frames.isAllocated(mfn))).toEqual([false, true, true, false, false])
  })

  test('two threads never get the same frame', async () => {
    const memory = MachineMemory.create({ bytes: 64 * MIB, shared: true })
    const source = `
      import { parentPort, workerData } from 'node:worker_threads'
      import { MachineMemory } from ${JSON.stringify(import.meta.resolve('../src/index.ts'))}
      const { frames } = MachineMemory.attach(workerData)
      const mine = []
      for (let i = 0; i < 6000; i++) {
        mine.push(frames.allocate(0))
        if (i % 3 === 2) frames.free(mine.splice(i % mine.length, 1)[0], 0)
      }
      parentPort.postMessage(mine)
    `
    const workers = [1, 2].map(
      () => new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: memory.memory }),
    )
    const taken = (await Promise.all(workers.map((worker) => once(worker, 'message')))) as [number[]][]
    const all = taken.flatMap(([mine]) => mine)
    expect(new Set(all).size).toBe(8000)
    expect(memory.frames.freeFrames).toBe(memory.frames.totalFrames - 8000)
  })

  test('random allocation and freeing agrees with a plain set of frames', () => {
    const step = fc.oneof(
      fc.record({ act: fc.constant('take' as const), order: fc.constantFrom(0, 0, 0, 9) }),
      fc.record({ act: fc.constant('give' as const), pick: fc.nat(1000) }),
      fc.record({ act: fc.constant('region' as const), bytes: fc.integer({ min: 1, max: 200_000 }) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const memory = MachineMemory.create({ bytes: 6 * MIB })
        const owner = new Map<number, string>()
        const held: { mfn: number; order: number }[] = []
        for (const [index, step] of steps.entries()) {
          if (step.act === 'take') {
            const mfn = memory.frames.tryAllocate(step.order)
            if (mfn < 0) continue
            expect(mfn % 2 ** step.order).toBe(0)
            for (let i = 0; i < 2 ** step.order; i++) {
              expect(owner.has(mfn + i)).toBe(false)
              owner.set(mfn + i, `take ${index}`)
            }
            held.push({ mfn, order: step.order })
          } else if (step.act === 'give') {
            const [gone] = held.splice(step.pick % Math.max(1, held.length), 1)
            if (gone === undefined) continue
            memory.frames.free(gone.mfn, gone.order)
            for (let i = 0; i < 2 ** gone.order; i++) owner.delete(gone.mfn + i)
          } else {
            const free = memory.frames.freeFrames
            if (free * 4096 < step.bytes + 0x1_0000) continue
            let ma: number
            try {
              ma = memory.allocate(step.bytes, 8, 'a region')
            } catch {
              continue
            }
            for (let f = Math.floor(ma / 4096); f <= Math.floor((ma + step.bytes - 1) / 4096); f++) {
              expect(owner.get(f) ?? 'region').toBe('region')
              owner.set(f, 'region')
            }
          }
        }
        for (const frame of owner.keys()) expect(memory.frames.isAllocated(frame)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })
})
