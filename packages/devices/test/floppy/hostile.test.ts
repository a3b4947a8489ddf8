import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostileFloppy, sameFloppy } from '../support/random-floppy.ts'
import type { Choose } from '../support/random-ide.ts'

const choices = fc.infiniteStream(fc.nat())
const from =
  (stream: Iterator<number>): Choose =>
  (bound) =>
    (stream.next().value as number) % bound

test('whatever a guest does to the floppy controller: commands end, no byte is moved while it is stopped', async () => {
  await fc.assert(
    fc.asyncProperty(choices, async (stream) => {
      expect(await hostileFloppy(from(stream), 60)).toBe(undefined)
    }),
    { numRuns: 25 },
  )
})

test('a controller that was saved and restored elsewhere goes on as the first one does', async () => {
  await fc.assert(
    fc.asyncProperty(choices, async (stream) => {
      expect(await sameFloppy(from(stream), 20)).toBe(undefined)
    }),
    { numRuns: 25 },
  )
})
