import type { Soak } from '@retrap/tooling/soak'
import { RandomAhci } from '../support/random-ahci.ts'
import { RandomIde } from '../support/random-ide.ts'

/** Guests that write anything to an IDE or AHCI controller and to its tables, over media that answer late or fail. */
export const soak: Soak = {
  name: 'controllers',
  count: 600,
  async step(rng, index) {
    const board = index % 2 === 0 ? new RandomIde(true) : new RandomAhci()
    for (let i = rng.below(200); i > 0; i--) {
      if (rng.chance(1, 10)) board.disk.hold = true
      else if (rng.chance(1, 5)) await board.disk.release()
      await board.act((bound) => rng.below(bound))
      if (board.violation !== undefined) return board.violation
    }
    await board.disk.release()
    return board.violation
  },
}
