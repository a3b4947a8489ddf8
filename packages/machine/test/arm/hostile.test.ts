import { OwnTime } from '@retrap/tooling/processor-time'
import { expect, test } from 'vitest'
import { createArmMachine } from '../../src/arm/index.ts'
import { armImage as image, movk, movz } from '@retrap/tooling/arm-image'

const load = (register: number, value: number): number[] => [
  movz(register, value >>> 16, 16),
  movk(register, value & 0xffff),
]
/** What comes before, and what is done for ever. */
const forever = (body: readonly number[], before: readonly number[] = []): number[] => [
  ...before,
  ...body,
  (0x1400_0000 | (-body.length & 0x3ff_ffff)) >>> 0, // b
]

/** Guests that never end, each in another way. */
test.each([
  ['branches to itself', forever([])],
  ['waits for interrupts', forever([0xd503_207f])],
  ['waits for events', forever([0xd503_205f])],
  ['waits for events with a mark set', forever([0x885f_7c27, 0xd503_205f], load(1, 0x4010_0000))],
  ['has vectors that are undefined', [0]],
  ['has vectors in no memory', forever([0xb940_0043], [...load(1, 0x0a80_0000), 0xd518_c001, ...load(2, 0x0a80_0000)])],
  ['calls PSCI', forever([movz(0, 0xc400, 16), movk(0, 1), 0xd400_0002])],
  ['has turned its only vCPU off', [movz(0, 0x8400, 16), movk(0, 2), 0xd400_0002]],
  ['floods the console', forever([0x3900_0022], load(1, 0x0900_0000))],
  ['drops all translations', forever([0xd508_831f, 0xd503_3f9f])],
  ['sets its timer to now', forever([0xd51b_e31f], [movz(3, 1), 0xd51b_e323])],
  ['writes control registers', forever([0xd518_1000, 0xd503_3fdf], [0xd538_1000])],
])('a guest that %s is stopped by its time', async (_what, program) => {
  const options = { memoryBytes: 4 << 20, codeCacheBytes: 1 << 20, jit: true } as const
  const machine = await createArmMachine({ ...options, kernel: image(...program) })
  const time = new OwnTime()
  expect(await machine.run({ timeoutMs: 50 })).toEqual({ reason: 'timeout' })
  machine.close()
  expect(time.milliseconds()).toBeLessThan(2000)
})
