import { MachineMemory, type Neighbour, PAGE_BYTES } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { FrameWriters } from '../src/frame-writers.ts'
import { Tlb } from '../src/tlb.ts'

const FRAMES = 64
const FRAME = 5

/** Writers that note which frames they were asked to drop. */
function family(count: number): {
  writers: FrameWriters
  numbers: number[]
  asked: string[]
  remove: (i: number) => void
} {
  const asked: string[] = []
  const writers = new FrameWriters(FRAMES)
  const each = Array.from({ length: count }, (_, i) => ({
    drop: (frameMa: number) => void asked.push(`${i}:${frameMa / PAGE_BYTES}`),
  }))
  return { writers, numbers: each.map((one) => writers.add(one)), asked, remove: (i) => writers.remove(each[i]!) }
}

describe('which TLBs are asked to drop write entries of a frame', () => {
  test.each([
    ['none, where none has had one', FRAME + 1, [1], []],
    ['the one that has had them, and once', FRAME, [1, 1], [1]],
    ['all, where several have had them', FRAME, [0, 2, 0], [0, 1, 2]],
  ])('%s', (_, frame, noted, expected) => {
    const { writers, numbers, asked } = family(3)
    for (const i of noted) writers.note(numbers[i]!, frame)
    for (const offset of [0x40, 0]) writers.drop(FRAME * PAGE_BYTES + offset)
    expect(asked).toEqual(expected.map((i) => `${i}:${FRAME + 0x40 / PAGE_BYTES}`))
  })

  test('the next one with the number of a TLB that was removed, for its frames too', () => {
    const { writers, numbers, asked, remove } = family(2)
    writers.note(numbers[0]!, FRAME)
    remove(0)
    writers.drop(FRAME * PAGE_BYTES)
    expect(asked).toEqual([])
    writers.note(numbers[0]!, FRAME)
    const next: number[] = []
    expect(writers.add({ drop: (frameMa) => void next.push(frameMa) })).toBe(numbers[0])
    writers.note(numbers[0]!, FRAME)
    writers.drop(FRAME * PAGE_BYTES)
    expect([next, asked]).toEqual([[FRAME * PAGE_BYTES], []])
  })

  test('all, for a TLB that has no number of its own', () => {
    const { writers, asked } = family(0x1_0000)
    const drops: number[] = []
    const number = writers.add({ drop: (frameMa) => void drops.push(frameMa) })
    writers.note(number, FRAME)
    writers.drop(FRAME * PAGE_BYTES)
    expect([drops, asked.length]).toEqual([[FRAME * PAGE_BYTES], 0x1_0000])
  })
})

test('a TLB that is about to have write entries is noted before the last look whether it may', () => {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const writers = new FrameWriters(memory.frameCount)
  const tlb = new Tlb(memory, { changes: memory.allocate(16, 16, 'changes'), missSet: 0, writers }, 1)
  const noted: number[] = []
  // Another thread decodes the second one's code at this instant.
  const noteWriter = (frame: number): void => void (noted.push(frame) === 2 && memory.frameBits.addOwner(frame))
  writers.neighbour = { noteWriter } as unknown as Neighbour
  expect([FRAME, FRAME + 1, FRAME + 1].map((frame) => tlb.mayWrite(frame * PAGE_BYTES))).toEqual([true, false, false])
  expect(noted).toEqual([FRAME, FRAME + 1])
})
