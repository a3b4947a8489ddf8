/** The Ethernet side of the gateway: packets that wait for an address, and addresses that are known. */
import { expect, test } from 'vitest'
import { parseIpv4, parseSubnet } from '../src/addresses.ts'
import { FrameQueue } from '../src/frame-queue.ts'
import { readArp, readEthernet, TYPE_IPV4 } from '../src/frames/ethernet.ts'
import { PROTOCOL_UDP, readIpv4Packet } from '../src/frames/ipv4.ts'
import { Link } from '../src/user/link.ts'
import { VirtualClock } from './support/virtual-clock.ts'

const GATEWAY = parseIpv4('10.0.2.2')
const guest = (index: number): number => parseIpv4('10.0.0.0') + 1000 + index
const macOf = (index: number): number => 0x5254_0000_0000 + index

/** A gateway whose frames are kept. */
function gateway() {
  const clock = new VirtualClock()
  const frames: Uint8Array[] = []
  const queue = new FrameQueue(clock)
  queue.push = (frame: Uint8Array): boolean => frames.push(frame) > 0
  const link = new Link(clock, queue, parseSubnet('10.0.0.0/16'), [GATEWAY])
  const send = (index: number): void =>
    link.send({ source: GATEWAY, destination: guest(index), protocol: PROTOCOL_UDP }, new Uint8Array(8))
  /** The guests that have been sent packets since the last look, and those that have been asked for. */
  const taken = () => {
    const all = frames.splice(0)
    const packets = all.filter((frame) => readEthernet(frame)!.type === TYPE_IPV4)
    return {
      asked: all.flatMap((frame) => readArp(frame)?.target ?? []).map((address) => address - guest(0)),
      sent: packets.map((frame) => [readIpv4Packet(frame)!.destination - guest(0), readEthernet(frame)!.destination]),
    }
  }
  return { clock, link, send, taken }
}

test('16 packets wait for an address each, and the oldest gives way', () => {
  const { link, send, taken } = gateway()
  const indices = Array.from({ length: 17 }, (_, i) => i)
  for (const i of indices) send(i)
  expect(taken()).toEqual({ asked: indices, sent: [] })
  for (const i of indices) link.learn(guest(i), macOf(i))
  expect(taken()).toEqual({ asked: [], sent: indices.slice(1).map((i) => [i, macOf(i)]) })
})

test('an address is asked for once a second', () => {
  const { clock, send, taken } = gateway()
  send(1)
  send(1)
  clock.advance(999)
  send(1)
  expect(taken().asked).toEqual([1])
  clock.advance(1)
  send(1)
  expect(taken().asked).toEqual([1])
})

test('256 addresses are known, and the oldest is forgotten; ours and those beyond the network are never learned', () => {
  const { link, send, taken } = gateway()
  for (let i = 0; i < 257; i++) link.learn(guest(i), macOf(i))
  for (const i of [0, 1, 256]) send(i)
  expect(taken()).toEqual({
    asked: [0],
    sent: [
      [1, macOf(1)],
      [256, macOf(256)],
    ],
  })
  link.learn(GATEWAY, macOf(1))
  const far = parseIpv4('10.1.0.1')
  link.learn(far, macOf(2))
  link.send({ source: GATEWAY, destination: far, protocol: PROTOCOL_UDP }, new Uint8Array(8))
  expect(taken()).toEqual({ asked: [], sent: [] })
})
