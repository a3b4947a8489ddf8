// Debian on Xen balloons by half and back while a device makes DMA, with the device and the CPUs that a step draws.
// @programs: gcc as
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Soak } from '@retrap/tooling/soak'
import { BalloonGuest } from '../support/balloon.ts'

const DEADLINE_MS = 600_000

let folder = ''
let guest: BalloonGuest

export const soak: Soak = {
  name: 'balloon',
  count: 8,
  async setup() {
    folder = await mkdtemp(join(tmpdir(), 'retrap-balloon-'))
    guest = await BalloonGuest.build(folder, DEADLINE_MS)
  },
  async step(rng, index) {
    // Both kinds come in turn, so that a short soak has both.
    if (index % 2 === 0) {
      const transport = rng.pick(['inline', 'worker'])
      rng.note('device', transport)
      await guest.askedInGuest(transport)
    } else {
      const cpus = rng.between(1, 6)
      rng.note('CPUs', String(cpus))
      await guest.askedByBoth(cpus)
    }
  },
  async teardown() {
    await rm(folder, { recursive: true, force: true })
  },
}
