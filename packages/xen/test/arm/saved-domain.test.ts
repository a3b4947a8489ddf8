/** Arm domains with all that they have of Xen: in clones, in other machine memory, and at earlier instants. */
import { createHash } from 'node:crypto'
import { checkpointDomain, type DomainSnapshot, forkDomain } from '@retrap/hvm'
import { type ArmDomainState, restoreDomain, saveDomain } from '@retrap/hvm/arm'
import { numbers } from '@retrap/tooling/random'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { ARGUMENTS, RAM, RAM_FRAMES, XenArmTestGuest, type XenArmTestOptions } from '../support/arm-guest.ts'

const SEED = slicedSeed(20_281_126)
const GUESTS = slicedCount(40, 20)
/** Calls before an instant, and after it. */
const CALLS = 40
const SELF = 0x7ff0
const FIRST = RAM / 0x1000
const [MEMORY_OP, GRANT_TABLE_OP, VCPU_OP, EVENT_CHANNEL_OP] = [12, 20, 24, 32]

type Random = (below: number) => number

/** A call about frames, grants or events that is likely to do something; its arguments are in the guest's memory then. */
function prepare(guest: XenArmTestGuest, random: Random): readonly number[] {
  const frame = (): number => FIRST + 0x100 + random(random(4) === 0 ? 0x800 : 0x40)
  const port = random(12)
  const calls: readonly (() => readonly number[])[] = [
    // A page of Xen's, or RAM, gets another place.
    () => {
      guest.write32(ARGUMENTS, SELF, random(3))
      guest.write64(ARGUMENTS + 8, random(3) === 0 ? frame() : random(3), frame())
      return [MEMORY_OP, 7, ARGUMENTS]
    },
    // RAM goes, or comes.
    () => {
      guest.write64(ARGUMENTS + 64, frame(), frame(), frame())
      guest.write64(ARGUMENTS, ARGUMENTS + 64, 1 + random(3))
      guest.write32(ARGUMENTS + 16, 0, 0, SELF)
      return [MEMORY_OP, random(2) === 0 ? 1 : 6, ARGUMENTS]
    },
    // A frame is granted, where the table is in the map; and mapped.
    () => {
      const table = guest.xen.grants.gfnOf(0)
      const ref = 8 + random(4)
      if (table >= 0) guest.write32(table * 0x1000 + 8 * ref, 1 | (1 << 16), frame())
      guest.write64(ARGUMENTS, frame() * 0x1000)
      guest.write32(ARGUMENTS + 8, 2 | (random(2) << 2), ref, 1)
      return [GRANT_TABLE_OP, 0, ARGUMENTS, 1]
    },
    () => {
      guest.write64(ARGUMENTS, frame() * 0x1000, 0)
      guest.write32(ARGUMENTS + 16, random(4), 0)
      return [GRANT_TABLE_OP, 1, ARGUMENTS, 1]
    },
    // Ports are made, bound to themselves, sent to and closed.
    () => {
      guest.write32(ARGUMENTS, SELF | (SELF << 16), 0)
      return [EVENT_CHANNEL_OP, 6, ARGUMENTS]
    },
    () => {
      guest.write32(ARGUMENTS, SELF, port, 0)
      return [EVENT_CHANNEL_OP, 0, ARGUMENTS]
    },
    () => {
      guest.write32(ARGUMENTS, port)
      return [EVENT_CHANNEL_OP, [3, 4, 4, 9][random(4)]!, ARGUMENTS]
    },
    // The FIFO kind, and vcpu_info.
    () => {
      guest.write64(ARGUMENTS, frame())
      guest.write32(ARGUMENTS + 8, 8 * random(4), 0, 0, 0)
      return [EVENT_CHANNEL_OP, random(2) === 0 ? 11 : 12, ARGUMENTS]
    },
    () => {
      guest.write64(ARGUMENTS, frame(), 64)
      return [VCPU_OP, 10, 0, ARGUMENTS]
    },
  ]
  return calls[random(calls.length)]!()
}

/** All of a guest, and the same as text; undefined where it has given away what is mapped by a grant: that is not saved. */
async function saved({
  domain,
}: XenArmTestGuest): Promise<readonly [DomainSnapshot<ArmDomainState>, string] | undefined> {
  const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
  const short = (_key: string, value: unknown): unknown =>
    value instanceof Uint8Array ? digest(value) : typeof value === 'bigint' ? String(value) : value
  try {
    const snapshot = await saveDomain(domain, 1000)
    return [snapshot, JSON.stringify(snapshot, short, 1)]
  } catch (error) {
    expect(String(error)).toContain('its frame has left the guest')
    return undefined
  }
}

/** Makes random calls. @returns what they have come to, and all of the guest at the end */
async function calls(guest: XenArmTestGuest, seed: number): Promise<readonly unknown[]> {
  const random = numbers(seed)
  const results: unknown[] = []
  for (let i = 0; i < CALLS; i++) {
    const [number = 0, ...args] = prepare(guest, random)
    results.push(`${number}(${args.join(', ')}) = ${await guest.call(number, ...args)}`)
  }
  return [...results, ...((await saved(guest))?.[1].split('\n') ?? [])]
}

test(`guests go on in clones, in other memory, and from an earlier instant; seed ${SEED}`, async () => {
  const random = numbers(SEED)
  const made = (options: XenArmTestOptions = {}): XenArmTestGuest =>
    new XenArmTestGuest({ xen: { maxFrames: RAM_FRAMES + 100 }, ...options })
  let used = 0
  for (let guests = 0; used < GUESTS && guests < 10 * GUESTS; guests++) {
    const [before, after] = [random(2 ** 32), random(2 ** 32)]
    const guest = made()
    await calls(guest, before)
    const [snapshot, text] = (await saved(guest)) ?? []
    if (snapshot === undefined) continue
    used++
    const { domain } = guest
    const rest = await domain.rest(1000)
    const checkpoint = await checkpointDomain(domain, rest)
    const { state, memory: ram } = await forkDomain(domain, rest)
    rest.end()
    const clone = made({ origin: { guest, ram } })
    await ram.restoreDomain(clone.domain, state)
    ram.close()
    const expected = await calls(guest, after)

    const elsewhere = made({ taken: 3 })
    await restoreDomain(elsewhere.domain, snapshot)
    for (const other of [clone, elsewhere]) {
      expect((await saved(other))?.[1], SLICE_REPEAT).toBe(text)
      expect(await calls(other, after), SLICE_REPEAT).toEqual(expected)
    }
    await clone.domain.free(1000)

    await checkpoint.reset(undefined, { deadlineMs: 1000, accepted: () => undefined, returned: () => undefined })
    expect((await saved(guest))?.[1], SLICE_REPEAT).toBe(text)
    expect(await calls(guest, after), SLICE_REPEAT).toEqual(expected)
    checkpoint.close()
  }
  expect(used).toBe(GUESTS)
})
