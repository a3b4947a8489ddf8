import fc from 'fast-check'
import { expect, test } from 'vitest'
import { randomCase } from './support/random-board.ts'

test('a restored board cannot be told from the one that was saved, whatever a guest has done', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (stream) => {
      expect(randomCase((bound) => (stream.next().value as number) % bound)).toBe(undefined)
    }),
    { numRuns: 200 },
  )
})
