import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test, vi } from 'vitest'
import { statfsSync } from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { InPlace, isLocal } from '../src/node/file-storage.ts'

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
  const folder = temporaryFolder('in-place')
  const disks = [0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630]
  if (process.platform === 'linux' && disks.includes(statfsSync(folder).type >>> 0))
    expect(await isLocal(folder)).toBe(true)
  // /proc is no disk of the host's either.
  expect(await isLocal('/proc/self/status')).toBe(false)
  expect(await isLocal(join(folder, 'missing'))).toBe(false)
})

test.runIf(process.platform === 'linux')(
  'disks and memory of the host are local, by the numbers of statfs(2)',
  async () => {
    const local = [
      0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0xca451a4e, 0x2fc12fc1, 0x01021994, 0x858458f6, 0x794c7630,
    ]
    // NFS, CIFS, SMB2, FUSE, 9P, Ceph, and /proc
    const others = [0x6969, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400, 0x9fa0]
    const statfs = vi.spyOn(promises, 'statfs')
    syncBuiltinESMExports()
    try {
      for (const type of [...local, ...others]) {
        // Numbers above 2^31 come with a sign on some hosts.
        for (const told of [type, type | 0]) {
          statfs.mockResolvedValue({ type: told } as never)
          expect([type.toString(16), await isLocal('/')]).toEqual([type.toString(16), local.includes(type)])
        }
      }
    } finally {
      statfs.mockRestore()
      syncBuiltinESMExports()
    }
  },
)
