// Counts of the compiler: its own, and those that compiled code keeps in machine memory.
import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import { UNIT_EXIT_BYTES, UNIT_EXITS_AT, UNIT_INSTRUCTIONS_AT } from '../../src/hot-counters.ts'
import { JitStatistics } from '../../src/jit/jit-statistics.ts'

const COUNTERS = 0x1_0000

test('the counts of compiled code have 64 bits', () => {
  const memory = MachineMemory.create({ bytes: 1 << 20 })
  const statistics = new JitStatistics(memory, COUNTERS)
  const put = (at: number, value: number): void => {
    memory.u32.set([value % 2 ** 32, Math.floor(value / 2 ** 32)], (COUNTERS + at) >>> 2)
  }
  expect(statistics.read().executed).toBe(0)
  for (const value of [1, 0xffff_ffff, 2 ** 32, 3 * 2 ** 32 + 7]) {
    put(UNIT_INSTRUCTIONS_AT, value)
    expect(statistics.read().executed).toBe(value)
  }
  const reasons = Object.keys(statistics.read().exits)
  for (const [i] of reasons.entries()) put(UNIT_EXITS_AT + UNIT_EXIT_BYTES * i, 100 + i)
  expect(Object.values(statistics.read().exits).toSorted((a, b) => a - b)).toEqual(reasons.map((_, i) => 100 + i))
})

test('waits for the compiler are added up; the longest and the median are known, of the last 1024', () => {
  const statistics = new JitStatistics(MachineMemory.create({ bytes: 1 << 20 }), COUNTERS)
  expect(statistics.read()).toMatchObject({ milliseconds: 0, medianMilliseconds: 0, longestMilliseconds: 0 })
  for (const wait of [5, 1, 9]) statistics.noteWait(wait, true)
  // No unit came of it: it counts as time, and not as a wait for one.
  statistics.noteWait(100, false)
  expect(statistics.read()).toMatchObject({ milliseconds: 115, medianMilliseconds: 5, longestMilliseconds: 100 })
  statistics.noteWait(11, true)
  expect(statistics.read().medianMilliseconds).toBe(9)
  for (let i = 0; i < 1024; i++) statistics.noteWait(i < 512 ? 2 : 3, true)
  expect(statistics.read().medianMilliseconds).toBe(3)
  statistics.noteWait(2, true)
  expect(statistics.read().medianMilliseconds).toBe(3)
  for (let i = 0; i < 513; i++) statistics.noteWait(3, true)
  expect(statistics.read().medianMilliseconds).toBe(3)
})

test('instructions that were compiled are counted, and once more each place of memory', () => {
  const statistics = new JitStatistics(MachineMemory.create({ bytes: 1 << 20 }), COUNTERS)
  for (const [frame, offset] of [
    [1, 0],
    [1, 7],
    [1, 8],
    [1, 7],
    [2, 7],
    [1, 4095],
    [1, 4095],
  ] as const) {
    statistics.noteInstruction(frame, offset)
  }
  expect(statistics.read()).toMatchObject({ instructions: 7, distinct: 5 })
})
