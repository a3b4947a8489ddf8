import { describe, expect, test } from 'vitest'
import { numbers } from '../support/random.ts'
import { ARGUMENTS, type CallerMode, XenTestGuest } from '../support/xen-guest.ts'

const SEED = 517
const CALLS = 2000
/** Hypercalls that there are; others come too. */
const KNOWN = [12, 13, 15, 17, 18, 20, 24, 29, 32, 33, 34]
const MULTICALL = 13n
const CONSOLE_IO = 18n
const PATIENCE_NS = 1e9
const MODES: readonly CallerMode[] = ['64', '32', 'compatibility']

const EXITS = ['stopped', 'power-off', 'reset', 'guest-shutdown', 'triple-fault']

type Random = (below: number) => number

/** A number as guests would use it, or as they should not. */
function value(random: Random): bigint {
  switch (random(12)) {
    case 0:
      return BigInt(ARGUMENTS + random(0x2000))
    case 1:
      return BigInt(random(0x800))
    case 2:
      return 0x7ff0n
    case 3:
      return BigInt(random(2 ** 32))
    case 4:
      return (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))
    case 5:
      return 0xffff_ffff_ffff_ffffn >> BigInt(random(64))
    case 6:
      return 1n << BigInt(random(64))
    case 7:
      return BigInt(ARGUMENTS + random(0x20) * 8)
    default:
      return BigInt(random(8))
  }
}

/** Fills the memory that pointers are likely to point to. */
function fill(guest: XenTestGuest, random: Random): void {
  const words = new BigUint64Array(64)
  for (let i = 0; i < words.length; i++)
    words[i] = random(3) === 0 ? value(random) | (value(random) << 32n) : value(random)
  const bytes = new Uint8Array(words.buffer)
  guest.write(ARGUMENTS, bytes)
  if (random(4) === 0) guest.write(ARGUMENTS + 0x1000 + random(0x1000), bytes)
}

function make(mode: CallerMode): XenTestGuest {
  return new XenTestGuest(mode, { xen: { maxFrames: 1200, console: () => undefined } })
}

describe.each(MODES)(`${CALLS} random hypercalls of a %s caller, seed ${SEED}`, (mode) => {
  test('nothing throws, nothing hangs, no frame is lost', async () => {
    const random = numbers(SEED + mode.length)
    let guest = make(mode)
    const frames = (): number => {
      const { xen } = guest.domain
      return guest.spareFrames + (xen?.memory.current ?? 0) + (xen?.grants.frames ?? 0)
    }
    const total = frames()
    let guests = 1
    let lost = false
    for (let i = 0; i < CALLS; i++) {
      const { domain } = guest
      // It may have given away what the calls stand on.
      const usable = domain.p2m.translateWrite(ARGUMENTS) >= 0 && domain.p2m.translateWrite(ARGUMENTS + 0x2fff) >= 0
      if (!usable || lost || guest.exit.reason !== 'stopped') {
        lost = false
        guest = make(mode)
        guests++
        i--
        continue
      }
      fill(guest, random)
      const number = random(10) === 0 ? value(random) : BigInt(KNOWN[random(KNOWN.length)] as number)
      const args = [BigInt(random(random(4) === 0 ? 256 : 34)), ...Array.from({ length: 5 }, () => value(random))]
      // Long lists are cut into parts, but all of RAM is one for a while.
      if (number === MULTICALL || number === CONSOLE_IO) args[1] = (args[1] as bigint) & 0xffn
      // A vCPU that waits is left alone after a while.
      const timer = domain.timers.create(() => {
        // One that does not wait has lost its code.
        lost = domain.xen?.blocked.has(0) !== true
        domain.stop({ reason: 'stopped' })
      })
      timer.arm(domain.clock.now() + PATIENCE_NS)
      const result = await guest.call(number, ...args)
      timer.cancel()
      domain.xen?.blocked.wake(0)
      const what = { call: i, number, args, result, exit: guest.exit }
      expect(
        EXITS,
        String(JSON.stringify(what, (_, each) => (typeof each === 'bigint' ? `0x${each.toString(16)}` : each))),
      ).toContain(guest.exit.reason)
      if (frames() !== total) expect({ ...what, frames: frames() }).toEqual({ ...what, frames: total })
    }
    // Most calls do no harm.
    expect(guests).toBeLessThan(CALLS / 4)
    guest.domain.reset()
    expect(frames()).toBe(total)
  }, 120_000)
})
