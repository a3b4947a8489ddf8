import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Reassembly } from '../src/frames/reassembly.ts'
import { fragmentIpv4, readIpv4Packet } from '../src/frames/ipv4.ts'
import { HostileGuest } from './support/hostile-guest.ts'
import { VirtualClock } from './support/virtual-clock.ts'

test('guests that send anything cause no exception, and hold no more than a bound', async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat(0xffff)), fc.integer({ min: 1, max: 150 }), async (stream, steps) => {
      const choices = stream[Symbol.iterator]()
      const hostile = await HostileGuest.create((bound) => (choices.next().value as number) % bound)
      for (let i = 0; i < steps; i++) expect(hostile.act()).toBe(undefined)
      hostile.guest.network.close()
      expect(hostile.guest.clock.timers).toBeLessThan(3)
    }),
    { numRuns: 150 },
  )
})

test('a guest that opens connections without end is refused, and the host has a bounded number', async () => {
  const hostile = await HostileGuest.create(() => 0)
  const { guest } = hostile
  for (let port = 1; port < 3000; port++) guest.tcp(port, 80)
  for (let port = 1; port < 3000; port++) guest.sendUdp(port, 80, new Uint8Array(1))
  expect(guest.network.openConnections).toEqual({ tcp: 1024, udp: 256 })
  expect(guest.host.tcp.length).toBe(1024)
  expect(guest.host.udp.filter(({ open }) => open).length).toBe(256)
})

describe('fragments', () => {
  const fields = { source: 1, destination: 2, protocol: 17 }
  const packets = (length: number) =>
    fragmentIpv4(
      fields,
      Uint8Array.from({ length }, (_, i) => i * 31),
      9,
    ).map((frame) => readIpv4Packet(frame)!)

  test('in any order, and one twice, are one packet', () => {
    const lengths = fc.integer({ min: 1481, max: 65_000 })
    fc.assert(
      fc.property(lengths, fc.infiniteStream(fc.nat(0xffff)), (length, stream) => {
        const order = stream[Symbol.iterator]()
        const parts = packets(length)
        const shuffled = [...parts, parts[0]!]
          .map((part) => ({ part, at: order.next().value as number }))
          .toSorted((a, b) => a.at - b.at)
        const reassembly = new Reassembly(new VirtualClock())
        const whole = shuffled.map(({ part }) => reassembly.add(part)).filter((packet) => packet !== null)
        expect(whole.length).toBe(1)
        expect(whole[0]!.payload).toEqual(Uint8Array.from({ length }, (_, i) => i * 31))
      }),
      { numRuns: 50 },
    )
  })

  test('that overlap, or lie behind the end, are no packet', () => {
    const [first, second, third] = packets(4000)
    for (const bad of [
      { ...second!, offset: 1472 },
      { ...second!, offset: 4000 - 8 },
    ]) {
      const reassembly = new Reassembly(new VirtualClock())
      expect([first!, third!, bad, second!].map((part) => reassembly.add(part))).toEqual([null, null, null, null])
    }
  })

  test('of a packet that is never complete are forgotten, after a minute or for newer ones', () => {
    const clock = new VirtualClock()
    const reassembly = new Reassembly(clock)
    const [first, second, third] = packets(4000)
    reassembly.add(first!)
    clock.advance(61_000)
    expect([second!, third!].map((part) => reassembly.add(part))).toEqual([null, null])
    expect(reassembly.add(first!)?.payload.length).toBe(4000)
    reassembly.add(first!)
    for (let i = 100; i < 120; i++) reassembly.add({ ...first!, identification: i })
    expect([second!, third!].map((part) => reassembly.add(part))).toEqual([null, null])
  })
})
