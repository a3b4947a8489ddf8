import { TestDisk } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { StorageGuest } from './support/storage-guest.ts'

const OUT = 4

/** Upper words of addresses, to the last below 2^52. */
describe.each([1, 0x8000, 0xf_ffff])('all structures of the controller from %s × 4 GiB on', (high) => {
  test('a stick is found, and its blocks are read and written', async () => {
    const disk = new TestDisk(1 << 16)
    const guest = await StorageGuest.ready(disk, { high })
    const block = Uint8Array.from({ length: 512 }, (_, i) => i * 3)
    // Rings of commands, transfers and events begin anew several times.
    for (let i = 1; i <= 40; i++) {
      block[0] = i
      expect(await guest.command([0x2a, 0, 0, 0, 0, i, 0, 0, 1], { out: block })).toMatchObject({ status: 0 })
      expect((await guest.command([0x28, 0, 0, 0, 0, i, 0, 0, 1], { toHost: 512 })).data).toEqual(block)
      expect(disk.bytes.slice(i * 512, i * 512 + 512)).toEqual(block)
    }
  })

  test('an endpoint that has halted goes on at a ring that the driver gives', async () => {
    const guest = await StorageGuest.ready(new TestDisk(1 << 16), { high })
    const { driver } = guest
    // No command block: the stick halts both endpoints.
    expect(guest.sendRaw(new Uint8Array(7))).toBe(6)
    guest.clearHalt()
    // The context shows where the ring is worked off to, and the cycle bit: xHCI 1.2, §6.2.3, "Endpoint Context".
    expect([driver.output(1, OUT, 2), driver.output(1, OUT, 3)]).toEqual([0x2_4001, high])
  })
})
