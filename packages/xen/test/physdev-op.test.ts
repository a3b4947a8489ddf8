import { describe, expect, test } from 'vitest'
import { E, SELF } from './support/headers.ts'
import { ARGUMENTS, type CallerMode, MODES, XenTestGuest } from './support/xen-guest.ts'

const PHYSDEV_OP = 33
const EVENT_CHANNEL_OP = 32
const OP = { status: 5, eoi: 12, map: 13, unmap: 14, free: 23, setupGsi: 21 }
const GSI = 1
const MSI = 0

const make = (mode: CallerMode, pirqs = true): XenTestGuest => new XenTestGuest(mode, { xen: { pirqs } })
const signed = (value: number): number => value | 0

async function map(guest: XenTestGuest, gsi: number, pirq = -1, domid = SELF, type = GSI): Promise<number> {
  guest.write32(ARGUMENTS, domid, type, gsi, pirq, 0, 0, 0)
  const result = await guest.call(PHYSDEV_OP, OP.map, ARGUMENTS)
  return result === 0 ? signed(guest.read32(ARGUMENTS + 12)) : result
}

async function bind(guest: XenTestGuest, pirq: number): Promise<number> {
  guest.write32(ARGUMENTS, pirq, 0, 0)
  const result = await guest.call(EVENT_CHANNEL_OP, 2, ARGUMENTS)
  return result === 0 ? guest.read32(ARGUMENTS + 8) : result
}

async function one(guest: XenTestGuest, op: number, value: number): Promise<number> {
  guest.write32(ARGUMENTS, value, 0)
  return guest.call(PHYSDEV_OP, op, ARGUMENTS)
}

async function unmap(guest: XenTestGuest, pirq: number, domid = SELF): Promise<number> {
  guest.write32(ARGUMENTS, domid, pirq)
  return guest.call(PHYSDEV_OP, OP.unmap, ARGUMENTS)
}

async function free(guest: XenTestGuest, type = MSI): Promise<number> {
  guest.write32(ARGUMENTS, type, 0)
  const result = await guest.call(PHYSDEV_OP, OP.free, ARGUMENTS)
  return result === 0 ? guest.read32(ARGUMENTS + 4) : result
}

const channelsOf = (guest: XenTestGuest) => guest.xen.events.channels

/** Whether an event is pending; then it is taken. */
function take(guest: XenTestGuest, port: number): boolean {
  const pending = channelsOf(guest).pending(port)
  guest.xen.events.info.clearPending(port)
  return pending
}

describe.each(MODES)('physdev_op, %s caller', (mode) => {
  test('without XENFEAT_hvm_pirqs there is none of it', async () => {
    const guest = make(mode, false)
    for (const op of Object.values(OP)) expect(await one(guest, op, 0)).toBe(E.NOSYS)
    expect(await bind(guest, 20)).toBe(E.INVAL)
    guest.write32(ARGUMENTS, 0)
    await guest.call(17, 6, ARGUMENTS)
    expect(guest.read32(ARGUMENTS + 4) & (1 << 10)).toBe(0)
  })

  test('numbers: of the I/O APIC’s inputs, and others for messages', async () => {
    const guest = make(mode)
    guest.write32(ARGUMENTS, 0)
    await guest.call(17, 6, ARGUMENTS)
    expect(guest.read32(ARGUMENTS + 4) & (1 << 10)).toBe(1 << 10)
    expect([await map(guest, 16), await map(guest, 4), await map(guest, 9, 9)]).toEqual([16, 17, 9])
    // A number or an input that is connected already stays so.
    expect([await map(guest, 5, 9), await map(guest, 16, 40)]).toEqual([9, 40])
    expect([await one(guest, OP.status, 9), guest.read32(ARGUMENTS + 4)]).toEqual([0, 1])
    expect([await one(guest, OP.status, 40), await one(guest, OP.status, 300)]).toEqual([E.INVAL, E.INVAL])
    expect([await free(guest), await free(guest), await free(guest, GSI)]).toEqual([255, 254, 18])
    expect([await unmap(guest, 16), await unmap(guest, 255), await free(guest, GSI)]).toEqual([0, 0, 16])
    expect([await unmap(guest, 9999), await unmap(guest, -1)]).toEqual([0, 0])
  })

  test.each([
    { given: 'an input that there is none of', gsi: 24, is: E.INVAL },
    { given: 'a negative one', gsi: -1, is: E.INVAL },
    { given: 'a number that there is none of', gsi: 16, pirq: 256, is: E.INVAL },
    { given: 'messages', gsi: 16, type: MSI, is: E.INVAL },
    { given: 'its own domain, by number', gsi: 16, domid: 1, is: E.PERM },
    { given: 'the toolstack', gsi: 16, domid: 0, is: E.PERM },
    { given: 'another domain', gsi: 16, domid: 9, is: E.SRCH },
  ])('map_pirq of $given', async ({ gsi, pirq = -1, domid = SELF, type = GSI, is }) => {
    expect(await map(make(mode), gsi, pirq, domid, type)).toBe(is)
  })

  test('bad pointers, and what is not for guests', async () => {
    const guest = make(mode)
    for (const op of [OP.status, OP.eoi, OP.map, OP.unmap, OP.free]) {
      expect(await guest.call(PHYSDEV_OP, op, 0x7000_0000)).toBe(E.FAULT)
    }
    expect([await one(guest, OP.setupGsi, 0), await one(guest, OP.eoi, 256)]).toEqual([E.NOSYS, E.INVAL])
    expect([await bind(guest, 256), await unmap(guest, 16, 0)]).toEqual([E.INVAL, E.PERM])
  })

  test('no number is left', async () => {
    const guest = make(mode)
    for (let i = 255; i >= 24; i--) guest.xen.pirqs.reserve(MSI)
    expect(await free(guest)).toBe(E.NOSPC)
    expect(await free(guest, GSI)).toBe(16)
  })

  test('an interrupt is an event, and not the I/O APIC’s, while its number is bound; a level comes again until it falls', async () => {
    const guest = make(mode)
    const { ioApic } = guest.domain.interrupts
    const line = guest.domain.interrupts.line(18)
    // Unmasked, vector 40H, level.
    ioApic.write(0, 0x10 + 2 * 18)
    ioApic.write(0x10, 0x8040)
    const remoteIrr = (): boolean => {
      ioApic.write(0, 0x10 + 2 * 18)
      return (ioApic.read(0x10) & 0x4000) !== 0
    }
    guest.domain.vcpus[0]?.apic.write(0xf0, 0x1ff)
    const pirq = await map(guest, 18)
    line.set(true)
    expect(remoteIrr()).toBe(true)
    line.set(false)
    guest.domain.interrupts.reset()
    ioApic.write(0, 0x10 + 2 * 18)
    ioApic.write(0x10, 0x8040)
    guest.domain.vcpus[0]?.apic.write(0xf0, 0x1ff)

    const port = await bind(guest, pirq)
    expect(await bind(guest, pirq)).toBe(E.EXIST)
    expect(take(guest, port)).toBe(false)
    line.set(true)
    expect([take(guest, port), remoteIrr()]).toEqual([true, false])
    expect([await one(guest, OP.eoi, pirq), take(guest, port)]).toEqual([0, true])
    line.set(false)
    expect([await one(guest, OP.eoi, pirq), take(guest, port)]).toEqual([0, false])
    guest.domain.interrupts.line(18).pulse()
    expect(take(guest, port)).toBe(true)
    // Which number it is, as the guest may ask.
    guest.write32(ARGUMENTS, SELF, port)
    expect(await guest.call(EVENT_CHANNEL_OP, 5, ARGUMENTS)).toBe(0)
    expect([guest.read32(ARGUMENTS + 8), guest.read32(ARGUMENTS + 16)]).toEqual([3, pirq])
    guest.write32(ARGUMENTS, port)
    expect(await guest.call(EVENT_CHANNEL_OP, 3, ARGUMENTS)).toBe(0)
    line.set(true)
    expect(remoteIrr()).toBe(true)
  })

  test('a message of vector 0 is an event', async () => {
    const guest = make(mode)
    const pirq = await free(guest)
    const port = await bind(guest, pirq)
    const { platform } = guest.domain
    platform.signalMsi(0xfee0_0000 + pirq * 0x1000, 0, 0)
    expect(take(guest, port)).toBe(true)
    // It is a message's from now on.
    expect([await one(guest, OP.status, pirq), await map(guest, 20, pirq)]).toEqual([0, pirq])
    expect(guest.xen.pirqs.assert(20)).toBe(false)
    platform.signalMsi(0xfee0_0000 + pirq * 0x1000, 0x41, 0)
    expect(take(guest, port)).toBe(false)
    // No such number: nobody's.
    platform.signalMsi(0xfee0_0000 + 0x100 * 0x1_0000_0000, 0, 0)
    guest.domain.reset()
    expect(guest.xen.pirqs.isMapped(pirq)).toBe(false)
  })
})
