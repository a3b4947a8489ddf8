import { Instant } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { SELF } from './support/headers.ts'
import { ARGUMENTS, XenTestGuest } from './support/xen-guest.ts'

const TABLE = 0x300
const GRANTED = 0x200
const PLACE = 0x1000
const SECOND = 1e9

/** Makes something of everything that there is to save. */
async function use(guest: XenTestGuest): Promise<void> {
  const call = async (number: number, command: number, ...words: readonly number[]): Promise<number> => {
    guest.write32(ARGUMENTS, ...words)
    return guest.call(number, command, ARGUMENTS, 1)
  }
  // The grant table is placed, a frame granted and mapped.
  expect(await call(12, 7, SELF, 1, 0, 0, TABLE, 0)).toBe(0)
  guest.write32(TABLE * 0x1000 + 80, 1 | (1 << 16), GRANTED)
  expect(await call(20, 0, PLACE * 0x1000, 0, 2, 10, 1, 0, 0, 0)).toBe(0)
  // A frame that is mapped nowhere; a parameter; a watchdog; a device's interrupt.
  expect(await call(12, 0, 0, 0, 1, 0, 0, 0, SELF)).toBe(1)
  expect(await call(34, 0, SELF, 34, 0x1234, 0)).toBe(0)
  expect(await call(29, 6, 0, 60)).toBe(1)
  expect(await call(33, 13, SELF, 1, 9, -1, 0, 0, 0)).toBe(0)
  expect(await call(33, 23, 0)).toBe(0)
  expect(await call(29, 5, 3)).toBe(0)
}

const make = (): XenTestGuest => new XenTestGuest('64', { xen: { pirqs: true, maxFrames: 1200 } })

describe('what a guest has of Xen', () => {
  // A change of what is saved shows in the file.
  test('is what the file says, of a guest that has made no hypercall', async () => {
    const short = (_: string, each: unknown): unknown =>
      each instanceof Uint8Array ? `${each.length} bytes: ${String(each).replace(/(,0)+$/, '')}` : each
    const lines = Object.entries(make().xen.save()).map(([name, state]) => `${name} ${JSON.stringify(state, short)}\n`)
    await expect(lines.join('')).toMatchFileSnapshot('fresh-guest.txt')
  })

  test('is data, and goes on from there', async () => {
    const guest = make()
    await use(guest)
    const { xen } = guest
    xen.blocked.block(0, [3, 4], Instant.from(2n ** 62n + 1n))
    xen.memoryMap = Uint8Array.from({ length: 20 }, (_, i) => i)
    const saved = structuredClone(xen.save())
    expect(saved).toMatchObject({
      memory: { maximum: 1200, unmapped: [0] },
      grants: {
        mappings: [{ handle: 0, ref: 10, gfn: PLACE, write: true }],
        uses: [{ ref: 10, gfn: GRANTED, at: GRANTED, writers: 1 }],
      },
      blocked: { vcpus: [{ vcpu: 0, ports: [3, 4], deadline: { lo: 1, hi: 2 ** 30 } }] },
      pirqs: { sources: [{ pirq: 16, source: 9 }], reserved: [255] },
      shutdown: 3,
    })
    const [bites] = saved['watchdogs'] as { lo: number; hi: number }[]
    expect(new Instant().set(bites!).toNumber()).toBeGreaterThan(59 * SECOND)
    expect((saved['parameters'] as string[])[34]).toBe('1234')

    // Another view of the same machine memory, that has gone another way.
    xen.blocked.wake(0)
    xen.pirqs.reset()
    xen.parameters.reset()
    xen.watchdogs.reset()
    xen.memoryMap = new Uint8Array(0)
    xen.restore(saved)
    expect(xen.memoryMap[19]).toBe(19)
    expect(structuredClone(xen.save())).toEqual(saved)
    expect(() => xen.restore({ ...saved, version: 2 as 3 })).toThrow(/version is 2: expected a whole number from 3/)
    expect(guest.domain.vcpus[0]?.dormant).toBe(true)
    xen.blocked.pending(4)

    // The mapping ends as it would have.
    guest.write32(ARGUMENTS, PLACE * 0x1000, 0, 0, 0, 0, 0xffff)
    expect(await guest.call(20, 1, ARGUMENTS, 1)).toBe(0)
    expect(guest.read32(ARGUMENTS + 20) & 0xffff).toBe(0)
    expect(guest.domain.p2m.translate(PLACE * 0x1000)).toBe(-1)
    expect(guest.read32(TABLE * 0x1000 + 80) & 0xffff).toBe(1)
    // The watchdog bites, for the reason that was latched.
    guest.program((asm) => asm.sti().hlt())
    await guest.call(0)
    expect(guest.exit).toEqual({ reason: 'guest-shutdown', vcpu: 0, code: 'crash' })
  })

  test('a reset forgets the memory map that the guest has set', () => {
    const { xen } = new XenTestGuest('64', { xen: { memoryMap: [{ base: 0, size: 0x1000, type: 1 }] } })
    const first = xen.memoryMap
    xen.memoryMap = new Uint8Array(0)
    xen.reset()
    expect(xen.memoryMap).toEqual(first)
    expect(first).toHaveLength(20)
  })

  test('a guest that has used nothing is as it was made', () => {
    const saved = structuredClone(make().xen.save())
    const guest = make()
    guest.xen.restore(saved)
    expect(guest.xen.save()).toEqual(saved)
  })
})
