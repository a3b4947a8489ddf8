import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostileE1000, sameE1000 } from '../support/random-e1000.ts'
import type { Choose } from '../support/random-ide.ts'

const choices = fc.infiniteStream(fc.nat())
const from =
  (stream: Iterator<number>): Choose =>
  (bound) =>
    (stream.next().value as number) % bound

test('whatever a driver does to an e1000: no byte is moved while it is stopped, and it works after a reset', () => {
  fc.assert(
    fc.property(choices, (stream) => {
      expect(hostileE1000(from(stream), 120)).toBe(undefined)
    }),
    { numRuns: 40 },
  )
})

test('a card that was saved and restored elsewhere goes on as the first one does', () => {
  fc.assert(
    fc.property(choices, (stream) => {
      expect(sameE1000(from(stream), 40)).toBe(undefined)
    }),
    { numRuns: 40 },
  )
})
