import { expect, test } from 'vitest'
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InPlace, isLocal } from '../src/node/in-place.ts'

/** Makes requests one after the other, each of which takes so long, for some time. @returns how long those in place took */
function inPlaceOf(tookMs: number, forMs: number): number {
  let now = 0
  let spent = 0
  const inPlace = new InPlace(() => now)
  while (now < forMs) {
    const begun = inPlace.begin()
    now += tookMs
    if (Number.isNaN(begun)) continue
    inPlace.end(begun)
    spent += tookMs
  }
  return spent
}

test.each([
  { what: 'quick ones leave the event loop a quarter of the time', tookMs: 0.01, least: 740, most: 760 },
  { what: 'those that wait for a disk hold the thread for a sixteenth of it', tookMs: 8, least: 40, most: 65 },
  { what: 'two that take long are followed by none', tookMs: 300, least: 600, most: 600 },
])('of requests in place, $what', ({ tookMs, least, most }) => {
  const spent = inPlaceOf(tookMs, 1000)
  expect(spent).toBeGreaterThanOrEqual(least)
  expect(spent).toBeLessThanOrEqual(most)
})

test('a single slow request among quick ones, of a thread that has waited for a processor, changes nothing', () => {
  let now = 0
  let elsewhere = 0
  const inPlace = new InPlace(() => now)
  for (let i = 0; i < 2000; i++) {
    const begun = inPlace.begin()
    if (Number.isNaN(begun)) elsewhere++
    now += i % 100 === 50 ? 5 : 0.001
    if (!Number.isNaN(begun)) inPlace.end(begun)
    now += 0.01
  }
  expect(elsewhere).toBe(0)
})

test('files of servers are never waited for in place', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-in-place-'))
  try {
    const disks = [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630]
    if (process.platform === 'linux' && disks.includes(statfsSync(folder).type >>> 0))
      expect(await isLocal(folder)).toBe(true)
    // /proc is no disk of the host's either.
    expect(await isLocal('/proc/self/status')).toBe(false)
    expect(await isLocal(join(folder, 'missing'))).toBe(false)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
