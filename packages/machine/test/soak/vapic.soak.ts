import type { Rng, Soak } from '@retrap/tooling/soak'
import { difference, type Setup } from '../vapic/compare.ts'
import { stockRom } from '../vapic/stock.ts'
import { linear } from '../vapic/kernel.ts'
import { machineFor, randomStorm, readLog, runKernel, stormKernel } from '../vapic/storm.ts'
import { addressOf } from '../vapic/support.ts'

/** What has been compared so far, for whoever runs this. */
const totals = { interrupts: 0, accesses: 0, patched: 0, setups: 0, moments: 0 }
const ROM_FIRST = linear(0xc_0000)
const ROM_LAST = linear(0xc_ffff)

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
 * Interrupts that come between any two instructions, those of the helpers too: where no helper is at work, none that can
 * be taken waits for longer than an instruction and its shadow.
 */
async function randomMoments(rng: Rng, setup: Setup): Promise<string | undefined> {
  const pc = await machineFor(stormKernel(randomStorm(rng, 1), true), 1, { vapic: setup.vapic })
  const [vcpu] = pc.domain.vcpus
  if (vcpu === undefined) return 'no vCPU'
  const { apic, cpu } = vcpu
  const run = (count: number): boolean => {
    const exit = cpu.run(count)
    vcpu.vapic?.settle()
    return exit.reason === 'budget'
  }
  // As far as the kernel's own code.
  while (readLog(pc, 0).length === 0) if (!run(100)) return 'the guest has not come to its program'
  let going = true
  while (going) {
    going = run(rng.between(1, 12))
    if (rng.chance(1, 40) && apic.accept(rng.between(0x31, 0xef), false)) vcpu.updateEvents()
    const at = addressOf(pc)
    if (!cpu.interruptsEnabled || (at >= ROM_FIRST && at <= ROM_LAST) || !apic.hasInterrupt()) continue
    totals.moments++
    const before = cpu.counts.interrupts
    run(1)
    run(1)
    if (cpu.counts.interrupts === before) return `${setup.name}: vector ${apic.peek()} waits at ${at.toString(16)}`
  }
  pc.close()
  totals.interrupts += cpu.counts.interrupts
  return undefined
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
      if (rng.chance(1, 2)) {
        const late = await randomMoments(rng, { name, vapic })
        if (late !== undefined) return late
      }
    }
    totals.interrupts += expected.interrupts
    totals.accesses += tprTraps
  },
  teardown() {
    const { interrupts, accesses, patched, setups: runs, moments } = totals
    console.error(
      `vapic: ${interrupts + accesses} events (${accesses} accesses, ${interrupts} interrupts); ` +
        `${patched} sites patched in ${runs} runs with a patcher; ${moments} looks at random moments`,
    )
  },
}
