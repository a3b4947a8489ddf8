/** Domains with all that they have of Xen: in clones, in other machine memory, and at earlier instants. */
import { createHash } from 'node:crypto'
import * as hvm from '@retrap/hvm'
import { numbers } from '@retrap/tooling/random'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { RandomCaller } from './support/random-hypercalls.ts'
import type { CallerMode } from './support/xen-guest.ts'

const SEED = slicedSeed(20_271_126)
const GUESTS = slicedCount(40, 20)
const MODES: readonly CallerMode[] = ['64', '32']
/** Where `XenTestGuest` has them. */
const [TABLES, TABLES_BYTES] = [0x2_0000, 0x4000]
/** Calls before an instant, and after it. */
const CALLS = 40

/** All of a guest, and the same as text; undefined where it has given away what is mapped by a grant: that is not saved. */
async function saved({
  guest,
}: RandomCaller): Promise<readonly [hvm.DomainSnapshot<hvm.X86DomainState>, string] | undefined> {
  const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')
  const short = (_key: string, value: unknown): unknown => (value instanceof Uint8Array ? digest(value) : value)
  try {
    const snapshot = await hvm.saveDomain(guest.domain, 1000)
    return [snapshot, JSON.stringify(snapshot, short, 1)]
  } catch (error) {
    expect(String(error)).toContain('its frame has left the guest')
    return undefined
  }
}

/** The guest's page tables, without their bits for accessed and dirty. */
function tablesOf({ guest }: RandomCaller): string {
  const bytes = new Uint8Array(TABLES_BYTES)
  if (!guest.domain.guestMemory.read(TABLES, bytes)) return ''
  for (let i = 0; i < bytes.length; i += 8) bytes[i]! &= ~0x60
  return createHash('sha1').update(bytes).digest('hex')
}

/** Makes random calls. @returns what they have come to, and all of the guest at the end */
async function calls(caller: RandomCaller, seed: number): Promise<readonly unknown[]> {
  const random = numbers(seed)
  const results: unknown[] = []
  const tables = tablesOf(caller)
  for (let i = 0; i < CALLS && caller.usable; i++) {
    await caller.call(random)
    // From there on, what processors remember of page tables decides: that is no part of any state.
    if (tablesOf(caller) !== tables) return results
    results.push(caller.told, caller.guest.exit.reason)
  }
  return [...results, ...((await saved(caller))?.[1].split('\n') ?? [])]
}

test.each(MODES)(
  `guests of a %s caller go on in clones, in other memory, and from an earlier instant; seed ${SEED}`,
  async (mode) => {
    const random = numbers(SEED + mode.length)
    let used = 0
    for (let guests = 0; used < GUESTS && guests < 10 * GUESTS; guests++) {
      const [before, after] = [random(2 ** 32), random(2 ** 32)]
      const caller = new RandomCaller(mode)
      await calls(caller, before)
      const [snapshot, text] = (caller.usable ? await saved(caller) : undefined) ?? []
      if (snapshot === undefined) continue
      used++
      const { domain } = caller.guest
      const rest = await domain.rest(1000)
      const checkpoint = await hvm.checkpointDomain(domain, rest)
      rest.end()
      const ending = await domain.rest(1000)
      const { state, memory: ram } = await hvm.forkDomain(domain, ending)
      ending.end()
      const clone = new RandomCaller(mode, { origin: { guest: caller.guest, ram } })
      await ram.restoreDomain(clone.guest.domain, state)
      ram.close()
      const expected = await calls(caller, after)

      expect((await saved(clone))?.[1], SLICE_REPEAT).toBe(text)
      expect(await calls(clone, after), SLICE_REPEAT).toEqual(expected)
      await clone.guest.domain.free(1000)

      const elsewhere = new RandomCaller(mode, { taken: 3 })
      await hvm.restoreDomain(elsewhere.guest.domain, snapshot)
      expect((await saved(elsewhere))?.[1], SLICE_REPEAT).toBe(text)
      expect(await calls(elsewhere, after), SLICE_REPEAT).toEqual(expected)

      caller.guest.exit = { reason: 'stopped' }
      await checkpoint.reset(undefined, { deadlineMs: 1000, accepted: () => undefined, returned: () => undefined })
      expect((await saved(caller))?.[1], SLICE_REPEAT).toBe(text)
      expect(await calls(caller, after), SLICE_REPEAT).toEqual(expected)
      checkpoint.close()
    }
    expect(used).toBe(GUESTS)
  },
)
