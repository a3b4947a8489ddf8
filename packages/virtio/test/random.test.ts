import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostileMessages } from './support/hostile-messages.ts'
import { hostileCase } from './support/hostile-queue.ts'
import { randomQueueCase } from './support/random-queue.ts'

test.each([
  ['the layout, the order of answers, saves and resets: each chain comes back once', randomQueueCase, 60, 150],
  ['a guest writes to registers and rings: nothing throws, and a reset brings the device back', hostileCase, 80, 100],
  ['a 9P driver says: it has an answer that it has room for, and nothing stays in use', hostileMessages, 80, 100],
] as const)('whatever %s', async (_what, run, steps, numRuns) => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat()), async (stream) => {
      const choose = (bound: number): number => (stream.next().value as number) % bound
      expect(await run(choose, steps)).toBe(undefined)
    }),
    { numRuns },
  )
})
