import { test } from 'vitest'
import { holds } from '../support/holds.ts'
import { hostileE1000, sameE1000 } from '../support/random-e1000.ts'

test('whatever a driver does to an e1000: no byte is moved while it is stopped, and it works after a reset', () =>
  holds(40, (choose) => hostileE1000(choose, 120)))

test('a card that was saved and restored elsewhere goes on as the first one does', () =>
  holds(40, (choose) => sameE1000(choose, 40)))
