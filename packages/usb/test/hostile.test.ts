import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostileCase } from './support/hostile-usb.ts'

test('a guest that writes anything anywhere neither makes it throw nor keeps it busy', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat()), async (numbers) => {
      const choose = (bound: number): number => (numbers.next().value as number) % bound
      expect(await hostileCase(choose, 150)).toBe(null)
    }),
    { numRuns: 60 },
  )
}, 60_000)
