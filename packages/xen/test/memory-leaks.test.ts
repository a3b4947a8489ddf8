import { numbers } from '@retrap/tooling/random'
import { TEST_LONG } from '@retrap/tooling/long'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { SELF } from './support/headers.ts'
import { ARGUMENTS, type CallerMode, RAM_BYTES, XenTestGuest } from './support/xen-guest.ts'

const MEMORY_OP = 12
const OP = { increase: 0, decrease: 1, populate: 6, add: 7, exchange: 11, remove: 15, batch: 23 }
const SEED = slicedSeed(20_261_120)
const STEPS = slicedCount(10_000, 5)
/** Guest frames that the calls are about: some RAM, some not; the caller's own are left alone. */
const FIRST = 0x200
const FRAMES = 0x800
/** And a few that are far away, with tables of their own. */
const FAR = [0x4_0000, 0x10_0000, 0x800_0000, 0xfff_fffe]
const LIST = ARGUMENTS + 0x1000

/** Makes one call, of any kind, about any frames. */
async function step(guest: XenTestGuest, random: (below: number) => number): Promise<void> {
  const long = guest.mode === '64' ? 8 : 4
  const frame = (): number => (random(12) === 0 ? (FAR[random(FAR.length)] as number) : FIRST + random(FRAMES))
  const count = random(6) === 0 ? random(200) : random(8)
  const order = random(4) === 0 ? random(11) : 0
  const reservation = (at: number, list: number, extents: number, size: number): void => {
    guest.writeLongs(list, ...Array.from({ length: extents }, () => frame() & ~(random(3) === 0 ? 0 : 2 ** size - 1)))
    guest.writeLongs(at, list, extents)
    guest.write32(at + 2 * long, size, 0, SELF)
  }
  const kind = random(12)
  if (kind < 7) {
    reservation(ARGUMENTS, LIST, count, order)
    const op = kind === 0 ? OP.increase : kind < 4 ? OP.decrease : OP.populate
    await guest.call(MEMORY_OP, op, ARGUMENTS)
  } else if (kind < 9) {
    const small = random(4)
    const larger = random(2) === 0
    const size = guest.mode === '64' ? 32 : 20
    const [from, to] = larger ? [0, small] : [small, 0]
    reservation(ARGUMENTS, LIST, count * 2 ** (small - from), from)
    reservation(ARGUMENTS + size, LIST + 0x4000, count * 2 ** (small - to), to)
    guest.writeLongs(ARGUMENTS + 2 * size, 0)
    await guest.call(MEMORY_OP, OP.exchange, ARGUMENTS)
  } else if (kind === 9) {
    const space = random(4)
    guest.write32(ARGUMENTS, SELF | (count << 16), space)
    guest.writeLongs(ARGUMENTS + 8, space === 1 ? random(70) : space === 0 ? 0 : frame(), frame())
    await guest.call(MEMORY_OP, OP.add, ARGUMENTS)
  } else if (kind === 10) {
    guest.write32(ARGUMENTS, SELF)
    guest.writeLongs(ARGUMENTS + long, frame())
    await guest.call(MEMORY_OP, OP.remove, ARGUMENTS)
  } else {
    guest.writeLongs(LIST, ...Array.from({ length: 2 * count }, frame))
    guest.write32(ARGUMENTS, SELF | (random(3) << 16), count)
    guest.writeLongs(ARGUMENTS + 8, LIST, LIST + count * long, LIST + 0x2000)
    await guest.call(MEMORY_OP, OP.batch, ARGUMENTS)
  }
}

describe.each(['64', '32'] as const)(
  `${STEPS / 2} random memory_ops of a %s caller, seed ${SEED}`,
  (mode: CallerMode) => {
    test('no frame is lost or used twice, and the limit holds', async () => {
      const limit = RAM_BYTES / 0x1000 + 300
      const guest = new XenTestGuest(mode, { memoryBytes: 16 << 20, xen: { maxFrames: limit } })
      // What the calls themselves stand on.
      const { domain } = guest
      const { xen } = guest
      const random = numbers(SEED + mode.length)
      const all = (): number => guest.spareFrames + xen.memory.current + xen.grants.machineFrames
      const total = all()
      let done = 0
      let changed = 0
      for (let i = 0; i < STEPS / 2; i++) {
        const before = domain.p2m.version
        await step(guest, random)
        if (domain.p2m.version !== before) changed++
        if (guest.exit.reason !== 'stopped') break
        if (all() !== total || xen.memory.current > limit) break
        done++
      }
      expect({ done, exit: guest.exit, frames: all(), over: xen.memory.current > limit }).toEqual({
        done: STEPS / 2,
        exit: { reason: 'stopped' },
        frames: total,
        over: false,
      })
      expect(changed).toBeGreaterThan(STEPS / (TEST_LONG ? 8 : 20))
      // Each machine frame is at one place.
      const seen = new Set<number>()
      for (const { mfn, order } of domain.p2m.leaves()) {
        for (let frame = mfn; frame < mfn + 2 ** order; frame++) {
          expect(seen.has(frame)).toBe(false)
          seen.add(frame)
          expect(guest.memory.frames.isAllocated(frame)).toBe(true)
        }
      }
      xen.reset()
      await guest.call(MEMORY_OP, 63)
      expect(xen.grants.machineFrames).toBe(0)
      expect(all()).toBe(total)
      // Tables are as many as what is left needs.
      const tables = domain.p2m.tableBytes
      domain.p2m.coalesce()
      expect(domain.p2m.tableBytes).toBe(tables)
    }, 60_000)
  },
)
