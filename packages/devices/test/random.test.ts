import fc from 'fast-check'
import { expect, test } from 'vitest'
import { i8254Case } from './support/i8254-case.ts'
import { randomCase } from './support/random-board.ts'

test('a restored board cannot be told from the one that was saved, whatever a guest has done', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (stream) => {
      expect(randomCase((bound) => (stream.next().value as number) % bound)).toBe(undefined)
    }),
    { numRuns: 200 },
  )
})

test('an 8254 does what its data sheet says, tick by tick', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (stream) => {
      expect(i8254Case((bound) => (stream.next().value as number) % bound)).toBe(undefined)
    }),
    { numRuns: 300 },
  )
})
