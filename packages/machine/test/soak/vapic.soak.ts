import type { Rng, Soak } from '@retrap/tooling/soak'
import { difference, type Setup } from '../vapic/compare.ts'
import { stockRom } from '../vapic/stock.ts'
import { randomStorm, runKernel, stormKernel } from '../vapic/storm.ts'

/** What has been compared so far, for whoever runs this. */
const totals = { interrupts: 0, accesses: 0, patched: 0, setups: 0 }

function setups(rng: Rng): Setup[] {
  const poll = rng.pick(['vmcall', 'vmmcall', 'port'] as const)
  const behind = rng.chance(1, 4)
  const all: Setup[] = [{ name: `our ROM, ${poll}${behind ? ', looking backward' : ''}`, vapic: { poll, behind } }]
  if (stockRom !== undefined) {
    const stockPoll = rng.pick(['vmcall', 'vmmcall', 'port'] as const)
    all.push({ name: `stock ROM, ${stockPoll}`, vapic: { rom: stockRom, poll: stockPoll } })
  }
  return all
}

/**
 * A guest with its accesses to the task priority register patched sees what one sees whose accesses trap: every priority,
 * and every interrupt in its order.
 */
export const soak: Soak = {
  name: 'vapic',
  count: 400,
  async step(rng) {
    const cpus = rng.chance(1, 3) ? rng.between(2, 4) : 1
    const storm = randomStorm(rng, cpus)
    rng.note('storm', () => JSON.stringify(storm.programs))
    const kernel = stormKernel(storm)
    const expected = await runKernel(kernel, cpus)
    expected.pc.close()
    const { tprTraps } = expected.pc.statistics()
    if (expected.exit.reason !== 'debug-exit' || expected.exit.code !== 1) {
      return `the guest without a patcher ended with ${JSON.stringify(expected.exit)}`
    }
    for (const { name, vapic } of setups(rng)) {
      const actual = await runKernel(kernel, cpus, { vapic })
      actual.pc.close()
      const found = difference(expected, actual)
      if (found !== undefined) return `${name}: ${found}`
      totals.setups++
      totals.patched += actual.pc.statistics().vapic?.patchedSites ?? 0
    }
    totals.interrupts += expected.interrupts
    totals.accesses += tprTraps
  },
  teardown() {
    const { interrupts, accesses, patched, setups: runs } = totals
    console.error(
      `vapic: ${interrupts + accesses} events (${accesses} accesses, ${interrupts} interrupts); ` +
        `${patched} sites patched in ${runs} runs with a patcher`,
    )
  },
}
