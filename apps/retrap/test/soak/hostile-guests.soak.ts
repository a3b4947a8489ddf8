/**
 * Guests that misuse the machine in every mode, with wrecked tables and every device, through the command line: no
 * uncaught error, no undocumented exit code, no growth of memory, no run that outlives its `--timeout`.
 */
import type { Rng, Soak } from '@retrap/tooling/soak'
import { hostileFirmware } from '../support/hostile-firmware.ts'
import { HostileRuns } from '../support/hostile-runs.ts'

const TIMEOUTS = [0.05, 0.1, 0.2] as const

let runs: HostileRuns | undefined

function options(rng: Rng): string[] {
  const some = (...args: readonly string[]): readonly string[] => (rng.chance(1, 3) ? args : [])
  return [
    ...some('--cpus', String(rng.between(2, 4))),
    ...some('--devices', 'async'),
    ...some('--deterministic'),
    ...some('--hypervisor', 'xen'),
    ...some('--vapic'),
    ...some('--check-mappings'),
    ...some('--device-failure', 'detach'),
  ]
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'hostile-guests',
  count: 10_000,
  async setup() {
    runs = new HostileRuns('hostile-guests')
    await runs.warmUp()
  },
  async step(rng) {
    if (runs === undefined) return 'not set up'
    const { image, mode, listing } = hostileFirmware(rng)
    const timeout = rng.pick(TIMEOUTS)
    const more = options(rng)
    rng.note('mode', mode)
    rng.note('options', more.join(' '))
    rng.note('listing', listing)
    const memory = rng.pick(['2M', '16M', '64M'])
    const args = [
      'run',
      '--firmware',
      runs.file('firmware.bin', image),
      '--memory',
      memory,
      '--timeout',
      String(timeout),
    ]
    return (await runs.run([...args, ...more], timeout)).violation
  },
  async teardown() {
    await runs?.close()
  },
}
