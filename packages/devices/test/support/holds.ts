import fc from 'fast-check'
import { expect } from 'vitest'
import type { Choose } from './random-ide.ts'

/** Runs a case with random choices, so many times. @param run - returns what is wrong, or undefined */
export async function holds(numRuns: number, run: (choose: Choose) => unknown): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat()), async (stream) => {
      expect(await run((bound) => (stream.next().value as number) % bound)).toBe(undefined)
    }),
    { numRuns },
  )
}
