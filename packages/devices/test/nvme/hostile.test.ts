import fc from 'fast-check'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { hostileNvme, sameAfterSave } from '../support/nvme-case.ts'
import type { Choose } from '../support/random-ide.ts'

const choices = fc.infiniteStream(fc.nat())
const from =
  (stream: Iterator<number>): Choose =>
  (bound) =>
    (stream.next().value as number) % bound

test('whatever a guest does to NVMe: each command is answered once, no byte is moved while it is stopped', async () => {
  await fc.assert(
    fc.asyncProperty(choices, async (stream) => {
      expect(await hostileNvme(from(stream), 80)).toBe(undefined)
    }),
    { numRuns: slicedCount(40, 4) },
  )
})

test('a controller that was saved and restored elsewhere goes on as the first one does', async () => {
  await fc.assert(
    fc.asyncProperty(choices, async (stream) => {
      expect(await sameAfterSave(from(stream), 20)).toBe(undefined)
    }),
    { numRuns: slicedCount(40, 4) },
  )
})
