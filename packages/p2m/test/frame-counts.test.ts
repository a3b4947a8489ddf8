import { MachineMemory } from '@retrap/memory'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { FrameCounts } from '../src/index.ts'
import { codeOf } from './support/entries.ts'

let memory: MachineMemory
let counts: FrameCounts

describe.each([false, true])('references to frames of a memory whose threads share it: %s', (shared) => {
  beforeEach(() => {
    memory = MachineMemory.create({ bytes: 8 << 20, shared })
    counts = FrameCounts.create(memory)
  })

  test('the last one to be dropped frees the frame, scrubbed', () => {
    const mfn = memory.frames.allocate()
    counts.adopt(mfn, 1)
    memory.writeU8(mfn * 4096, 7)
    expect([counts.tryTake(mfn, 1), counts.count(mfn)]).toEqual([true, 2])
    counts.drop(mfn, 1)
    expect([memory.frames.isAllocated(mfn), memory.u8[mfn * 4096]]).toEqual([true, 7])
    counts.drop(mfn, 1)
    expect([memory.frames.isAllocated(mfn), memory.u8[mfn * 4096], counts.count(mfn)]).toEqual([false, 0, 0])
  })

  test('cannot be taken of a frame that is free or not counted; a run is taken whole or not at all', () => {
    const [first, second] = [memory.frames.allocate(), memory.frames.allocate()]
    counts.adopt(first, 1)
    expect([second - first, counts.tryTake(first, 2), counts.count(first), counts.count(second)]).toEqual([
      1,
      false,
      1,
      0,
    ])
    expect(counts.tryTake(second + 1, 1)).toBe(false)
  })

  test('of a 2 MiB run are dropped in one, or leave what others hold', () => {
    const run = memory.frames.allocate(9)
    counts.adopt(run, 512)
    counts.tryTake(run + 100, 2)
    const free = memory.frames.freeFrames
    counts.drop(run, 512)
    expect(memory.frames.freeFrames).toBe(free + 510)
    expect([99, 100, 101, 102].map((i) => memory.frames.isAllocated(run + i))).toEqual([false, true, true, false])
    counts.drop(run + 100, 2)
    expect(memory.frames.freeFrames).toBe(free + 512)
    const again = memory.frames.allocate(9)
    counts.adopt(again, 512)
    counts.drop(again, 512)
    expect(memory.frames.freeFrames).toBe(free + 512)
  })

  test('are counted once a frame: adopting twice or dropping too often is refused', () => {
    const mfn = memory.frames.allocate()
    const next = memory.frames.allocate()
    counts.adopt(next, 1)
    expect(codeOf(() => counts.adopt(mfn, 2))).toBe('ERR_COUNT')
    expect([counts.count(mfn), counts.count(next)]).toEqual([0, 1])
    expect(codeOf(() => counts.drop(mfn, 1))).toBe('ERR_COUNT')
    expect([counts.count(mfn), memory.frames.isAllocated(mfn)]).toEqual([0, true])
  })

  test.each([
    [0, 1],
    [-1, 1],
    [5, 0],
    [2047, 2],
  ])('of %d + %d are refused', (mfn, count) => {
    const uses = [() => counts.adopt(mfn, count), () => counts.tryTake(mfn, count), () => counts.drop(mfn, count)]
    expect(uses.map(codeOf)).toEqual(['ERR_RANGE', 'ERR_RANGE', 'ERR_RANGE'])
    expect(counts.count(-1)).toBe(0)
  })

  test('are the same in every view', () => {
    const mfn = memory.frames.allocate()
    counts.adopt(mfn, 1)
    const other = FrameCounts.attach(MachineMemory.attach(memory.memory), counts.ma)
    expect([other.count(mfn), other.tryTake(mfn, 1), counts.count(mfn)]).toEqual([1, true, 2])
  })

  test('go as a plain list of them says', () => {
    const step = fc.record({
      kind: fc.constantFrom('adopt', 'take', 'drop'),
      at: fc.integer({ min: 0, max: 7 }),
      count: fc.integer({ min: 1, max: 4 }),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
        const machine = MachineMemory.create({ bytes: 1 << 20 })
        const real = FrameCounts.create(machine)
        const base = machine.frames.allocate()
        for (let i = 1; i < 12; i++) machine.frames.allocate()
        const model = Array.from({ length: 12 }, () => 0)
        for (const { kind, at, count } of steps) {
          const run = Array.from({ length: count }, (_, i) => at + i)
          if (kind === 'adopt') {
            if (!run.every((i) => model[i] === 0 && machine.frames.isAllocated(base + i))) continue
            real.adopt(base + at, count)
            for (const i of run) model[i] = 1
          } else if (kind === 'take') {
            const possible = run.every((i) => (model[i] as number) > 0)
            expect(real.tryTake(base + at, count)).toBe(possible)
            if (possible) for (const i of run) model[i]!++
          } else if (run.every((i) => (model[i] as number) > 0)) {
            real.drop(base + at, count)
            for (const i of run) {
              model[i]!--
              expect(machine.frames.isAllocated(base + i)).toBe(model[i] !== 0)
            }
          }
          expect(model.map((_, i) => real.count(base + i))).toEqual(model)
        }
      }),
      { numRuns: 200, seed: 0x5eed },
    )
  })
})
