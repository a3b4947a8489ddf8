import fc from 'fast-check'
import { expect, test } from 'vitest'
import { randomQueueCase } from './support/random-queue.ts'

test('whatever the layout, the order of answers, saves and resets: each chain comes back once, with its bytes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat()), async (stream) => {
      const choose = (bound: number): number => (stream.next().value as number) % bound
      expect(await randomQueueCase(choose, 60)).toBe(undefined)
    }),
    { numRuns: 150 },
  )
})
