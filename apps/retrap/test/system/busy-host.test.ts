import { Apt } from '@retrap/debian'
import { expect, test } from 'vitest'
import { bootOnBusyHost, kernelOf } from '../support/busy-host.ts'

const hasApt = await Apt.isAvailable()
const DEADLINE_MS = 240_000

test.skipIf(!hasApt)(
  'a kernel finds its timer on a host that has a fifth of its time for it',
  async () => {
    expect(await bootOnBusyHost(await kernelOf(64), 20, DEADLINE_MS)).toBe(undefined)
  },
  DEADLINE_MS + 10_000,
)
