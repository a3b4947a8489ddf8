import { expect, test } from 'vitest'
import { wallSeconds } from '../src/life/host.ts'
import { catchUp } from '../src/snapshot/catch-up.ts'

/** A guest that was saved so many seconds ago, and what it sees. */
function guest(seconds: number) {
  const devices = { mc146818: { wallSeconds: wallSeconds() - seconds } }
  const { begin } = catchUp({ domain: { devices: { local: { devices } } } })
  const pauses: number[] = []
  const waits: number[] = []
  const vcpus = [{ dormant: false }, { dormant: true }]
  let look = (): void => undefined
  const domain = {
    ...{ vcpus, instructions: 1000 },
    clock: { hold: (ns: number) => void pauses.push(-ns / 1e9) },
    timers: {
      create: (callback: () => void) => ((look = callback), { armAfter: (ns: number) => void waits.push(ns / 1e6) }),
    },
  }
  begin({ domain } as never)
  return { domain, pauses, waits, look: () => look() }
}

test('a pause waits until the guest has done what was due after the one before', () => {
  const { domain, pauses, waits, look } = guest(1000)
  expect(pauses).toEqual([9])
  // It waits for its memory.
  look()
  domain.instructions += 10
  look()
  expect(pauses).toEqual([9])
  domain.vcpus[0]!.dormant = true
  look()
  expect(pauses).toEqual([9, 9])
  // It has stopped for good.
  domain.vcpus[0]!.dormant = false
  for (let i = 0; i < 19; i++) look()
  expect(pauses).toEqual([9, 9])
  look()
  expect(pauses).toEqual([9, 9, 9])
  // A guest that wakes every 200 ms is not met each time as it does.
  expect(waits.slice(0, 5)).toEqual([200, 37, 37, 200, 37])
})

test('a guest that never waits has its pauses, too', () => {
  const { domain, pauses, look } = guest(40)
  for (let i = 0; i < 4; i++) {
    look()
    domain.instructions += 60e6
    look()
  }
  expect(pauses.slice(0, 2)).toEqual([9, 9])
  expect(pauses.reduce((sum, each) => sum + each)).toBeCloseTo(40, 0)
})
