import type { Soak } from '@retrap/tooling/soak'
import { HostileGuest } from '../support/hostile-guest.ts'

/** Guests that send anything to a user network, over a host that answers late, fails, or sends too much. */
export const soak: Soak = {
  name: 'net',
  count: 2000,
  async step(rng) {
    const hostile = await HostileGuest.create((bound) => rng.below(bound))
    for (let i = rng.below(400); i > 0; i--) {
      const violation = hostile.act()
      if (violation !== undefined) return violation
    }
    hostile.guest.network.close()
    const { timers } = hostile.guest.clock
    return timers < 3 ? undefined : `${timers} timers are left`
  },
}
