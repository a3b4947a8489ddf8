import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { Apt } from '@retrap/debian'
import { withLong } from '@retrap/tooling/long'
import { BalloonGuest, hasCompiler } from '../support/balloon.ts'

const DEADLINE_MS = 240_000

const canRun = (await Apt.isAvailable()) && hasCompiler()
if (!canRun) console.warn('SKIPPED: ballooning Debian needs apt and gcc')

// `npm run -s soak -- balloon` has the other placements and numbers of CPUs.
describe.skipIf(!canRun)("Debian's kernel balloons by half and back, while a device makes DMA,", () => {
  let folder = ''
  let guest: BalloonGuest

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'retrap-balloon-'))
    guest = await BalloonGuest.build(folder, DEADLINE_MS)
  }, DEADLINE_MS)
  afterAll(async () => rm(folder, { recursive: true, force: true }))

  test.each(withLong([], ['worker']))(
    'asked for in the guest; the device is a module in a %s, and maps the guest where it is',
    (transport) => guest.askedInGuest(transport),
    DEADLINE_MS,
  )

  test(
    'asked for in the guest, then by the host in memory/target, with 4 CPUs; no mapping shows a frame that left',
    () => guest.askedByBoth(4),
    DEADLINE_MS,
  )
})
