import { test } from 'vitest'
import { holds } from './support/holds.ts'
import { i8254Case } from './support/i8254-case.ts'
import { randomCase } from './support/random-board.ts'

test('a restored board cannot be told from the one that was saved, whatever a guest has done', () =>
  holds(200, randomCase))

test('an 8254 does what its data sheet says, tick by tick', () => holds(300, i8254Case))
