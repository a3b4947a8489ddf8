import { NETWORK_MAC, TestNetwork, turn } from '@retrap/device/test-machine'
import { describe, expect, test } from 'vitest'
import { VirtioNet, VirtioPci } from '../src/index.ts'
import { PciDriver } from './support/pci-driver.ts'
import { SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const place = (
  queue: number,
): { size: number; descriptors: number; driver: number; device: number; eventIndex: boolean } => {
  const at = 0x1_0000 * (queue + 1)
  return { size: 16, descriptors: at, driver: at + 0x2000, device: at + 0x3000, eventIndex: false }
}
const BUFFERS = 0x8_0000
const CHECKSUM = 0
const TSO4 = 11
const TSO6 = 12
const MERGEABLE = 15
const CONTROL = 17
const ALL = [5, 16, CHECKSUM, TSO4, TSO6, MERGEABLE, CONTROL, 18, 23]

/** A driver with three queues. */
class NetDriver {
  readonly network = new TestNetwork()
  readonly model = new VirtioPci(new VirtioNet({ network: this.network, queueSize: 16 }), { device: 3 })
  readonly machine = new VirtioMachine(this.model)
  readonly driver = new PciDriver(this.machine)
  readonly rings: readonly SplitDriver[]
  #at = BUFFERS

  constructor(bits: readonly number[] = ALL) {
    expect(this.driver.negotiate([32, ...bits])).toBe(true)
    this.rings = [0, 1, 2].map((queue) => {
      this.driver.setQueue(queue, place(queue))
      return new SplitDriver(this.machine.view, place(queue))
    })
    this.driver.start()
  }

  #room(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    return at
  }

  /** Gives the card buffers of these sizes. @returns where they are */
  give(...sizes: number[]): number[] {
    const at = sizes.map((length) => {
      const gpa = this.#room(length)
      this.rings[0]!.add([{ gpa, length, write: true }], gpa)
      return gpa
    })
    this.rings[0]!.publish()
    this.driver.notify(0)
    return at
  }

  send(header: readonly number[], frame: Uint8Array): void {
    const gpa = this.#room(12 + frame.length)
    this.machine.ram.set([...header, ...Array.from({ length: 12 - header.length }, () => 0)], gpa)
    this.machine.ram.set(frame, gpa + 12)
    // Header and frame in pieces of the driver's choice.
    const pieces = [
      { gpa, length: 7, write: false },
      { gpa: gpa + 7, length: 12 + frame.length - 7, write: false },
    ]
    this.rings[1]!.add(pieces, gpa)
    this.rings[1]!.publish()
    this.driver.notify(1)
  }

  /** A command of the control queue. @returns its answer */
  command(...bytes: number[]): number {
    const gpa = this.#room(bytes.length + 1)
    this.machine.ram.set([...bytes, 0xee], gpa)
    const pieces = [
      { gpa, length: bytes.length, write: false },
      { gpa: gpa + bytes.length, length: 1, write: true },
    ]
    this.rings[2]!.add(pieces, gpa)
    this.rings[2]!.publish()
    this.driver.notify(2)
    this.rings[2]!.reap()
    return this.machine.ram[gpa + bytes.length]!
  }
}

const frameTo = (to: readonly number[], bytes = 60): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => to[i] ?? i)

/** The sum of 16-bit words, which is 0xFFFF over data with its checksum (RFC 1071). */
function ones(...parts: Uint8Array[]): number {
  let sum = 0
  for (const part of parts) for (let i = 0; i < part.length; i += 2) sum += part[i]! * 256 + (part[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum % 65536) + Math.floor(sum / 65536)
  return sum
}

describe('receiving (VIRTIO 1.2, §5.1.6.4)', () => {
  test('a frame goes into a buffer behind a header that says how many buffers', () => {
    const net = new NetDriver()
    const [at] = net.give(1526)
    const frame = frameTo(NETWORK_MAC)
    expect(net.network.client!.receive(frame)).toBe(true)
    expect(net.rings[0]!.reap()).toEqual([{ token: at, written: 72 }])
    expect([...net.machine.ram.subarray(at!, at! + 12)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    expect(net.machine.ram.slice(at! + 12, at! + 72)).toEqual(frame)
    expect(net.driver.isr()).toBe(1)
  })

  test('a frame is spread over mergeable buffers, and the driver sees all or none', () => {
    const net = new NetDriver()
    const at = net.give(40, 30)
    const frame = frameTo(NETWORK_MAC, 100)
    expect(net.network.client!.receive(frame)).toBe(false)
    expect(net.rings[0]!.reap()).toEqual([])
    at.push(...net.give(64))
    expect(net.network.readies).toBe(1)
    expect(net.network.client!.receive(frame)).toBe(true)
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([40, 30, 42])
    expect(net.machine.ram[at[0]! + 10]).toBe(3)
    const got = [40, 30, 42].flatMap((length, i) => [...net.machine.ram.subarray(at[i], at[i]! + length)])
    expect(Uint8Array.from(got.slice(12))).toEqual(frame)
  })

  test('without mergeable buffers a frame that does not fit is lost, and its buffer is not', () => {
    const net = new NetDriver([5])
    net.give(64, 200)
    expect(net.network.client!.receive(frameTo(NETWORK_MAC, 100))).toBe(true)
    expect(net.rings[0]!.reap()).toEqual([])
    expect(net.network.client!.receive(frameTo(NETWORK_MAC, 52))).toBe(true)
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([64])
  })

  test('before the driver is there frames are lost', () => {
    const network = new TestNetwork()
    void new VirtioMachine(new VirtioPci(new VirtioNet({ network }), { device: 3 }))
    expect(network.client!.receive(frameTo(NETWORK_MAC))).toBe(true)
  })
})

describe('TCP segments that come together', () => {
  /** Segment number `index` of a connection, of `bytes` bytes, without checksum errors. */
  const segment = (index: number, bytes = 500): Uint8Array => {
    const frame = new Uint8Array(54 + bytes).fill(index + 1, 54)
    const view = new DataView(frame.buffer)
    frame.set(NETWORK_MAC)
    view.setUint16(12, 0x0800)
    frame.set([0x45, 0, (bytes + 40) >> 8, bytes + 40, 0, index, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15], 14)
    view.setUint16(24, 0xffff - ones(frame.subarray(14, 34)))
    view.setUint32(38, index * 500)
    frame.set([0x50, 0x10], 46)
    view.setUint16(50, 0xffff - ones(frame.subarray(26), Uint8Array.of(0, 6, (bytes + 20) >> 8, bytes + 20)))
    return frame
  }
  const GUEST = [...ALL, 1, 7]

  test('are one packet for a driver that takes it', async () => {
    const net = new NetDriver(GUEST)
    const [at = 0] = net.give(1526, 1526)
    for (let i = 0; i < 3; i++) expect(net.network.client!.receive(segment(i))).toBe(true)
    expect(net.rings[0]!.reap()).toEqual([])
    await turn()
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([1526, 40])
    // Its checksum is not complete; TCP over IPv4 in segments of 500 bytes.
    expect([...net.machine.ram.subarray(at, at + 12)]).toEqual([1, 1, 54, 0, 0xf4, 1, 34, 0, 16, 0, 2, 0])
    expect(net.machine.ram[at + 12 + 54]).toBe(1)
    expect(net.machine.ram[at + 12 + 54 + 500]).toBe(2)
  })

  test('stay what they are for another driver', () => {
    const net = new NetDriver()
    net.give(600, 600)
    for (let i = 0; i < 2; i++) net.network.client!.receive(segment(i))
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([566, 566])
  })

  test('come before the frame that follows them, and wait for buffers', async () => {
    const net = new NetDriver(GUEST)
    net.network.client!.receive(segment(0))
    expect(net.network.client!.receive(frameTo(NETWORK_MAC))).toBe(false)
    await turn()
    net.give(600)
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([566])
    expect(net.network.readies).toBe(1)
    net.give(100)
    expect(net.network.client!.receive(frameTo(NETWORK_MAC))).toBe(true)
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([72])
  })

  test('that are more than all of the ring holds are lost, and the card goes on', async () => {
    const net = new NetDriver(GUEST)
    net.give(...Array.from({ length: 16 }, () => 40))
    for (let i = 0; i < 2; i++) expect(net.network.client!.receive(segment(i))).toBe(true)
    await turn()
    expect(net.rings[0]!.reap()).toEqual([])
    expect(net.network.client!.receive(frameTo(NETWORK_MAC))).toBe(true)
    expect(net.rings[0]!.reap().map(({ written }) => written)).toEqual([40, 32])
  })

  test('are lost with a reset', async () => {
    const net = new NetDriver(GUEST)
    net.give(600)
    net.network.client!.receive(segment(0))
    net.driver.status = 0
    await turn()
    expect(net.rings[0]!.reap()).toEqual([])
  })

  test('need a driver that takes incomplete checksums', () => {
    const network = new TestNetwork()
    const machine = new VirtioMachine(new VirtioPci(new VirtioNet({ network }), { device: 3 }))
    expect(new PciDriver(machine).negotiate([32, 5, 7])).toBe(false)
  })
})

describe('filters (§5.1.6.5)', () => {
  const GROUP = [1, 0, 0x5e, 0, 0, 5]
  const OTHER = [0x52, 0, 0, 0, 0, 9]
  const takes = (net: NetDriver, to: readonly number[]): boolean => {
    net.give(100)
    net.network.client!.receive(frameTo(to))
    return net.rings[0]!.reap().length === 1
  }

  test('a card begins with all frames, and then takes what the commands say', () => {
    const net = new NetDriver()
    expect(takes(net, OTHER)).toBe(true)
    expect(net.command(0, 0, 0)).toBe(0)
    expect([NETWORK_MAC, OTHER, GROUP, [255, 255, 255, 255, 255, 255]].map((to) => takes(net, to))).toEqual([
      true,
      false,
      false,
      true,
    ])
    expect(net.command(1, 0, 1, 0, 0, 0, ...OTHER, 1, 0, 0, 0, ...GROUP)).toBe(0)
    expect([OTHER, GROUP].map((to) => takes(net, to))).toEqual([true, true])
    expect(net.network.told).toEqual({
      promiscuous: true,
      unicast: Uint8Array.from(NETWORK_MAC),
      multicast: [Uint8Array.from(GROUP)],
    })
    expect(net.command(1, 0, 0, 0, 0, 0, 0, 0, 0, 0)).toBe(0)
    expect(net.command(0, 1, 1)).toBe(0)
    expect([OTHER, GROUP].map((to) => takes(net, to))).toEqual([false, true])
    expect(net.command(1, 1, ...OTHER)).toBe(0)
    expect([OTHER, NETWORK_MAC].map((to) => takes(net, to))).toEqual([true, false])
    expect(net.driver.config(0, 1)).toBe(OTHER[0])
  })

  test.each([
    [[0]],
    [[0, 0]],
    [[0, 9, 1]],
    [[9, 0, 1]],
    [[1, 0, 1, 0, 0, 0]],
    [[1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]],
    [[1, 1, 1, 2, 3]],
  ])('a command that is none is refused: %j', (bytes) => {
    expect(new NetDriver().command(...bytes)).toBe(1)
  })
})

describe('transmitting (§5.1.6.2)', () => {
  test('a frame goes out as it is', () => {
    const net = new NetDriver()
    net.send([], frameTo([1, 2, 3], 99))
    expect(net.network.sent).toEqual([frameTo([1, 2, 3], 99)])
    expect(net.rings[1]!.reap().length).toBe(1)
  })

  test('a network without room has the packet when it has some', () => {
    const net = new NetDriver()
    net.network.room = 1
    for (let i = 0; i < 3; i++) net.send([], frameTo([i]))
    expect(net.rings[1]!.reap().length).toBe(1)
    net.network.room = 9
    net.network.client!.drained()
    expect(net.network.sent.map(([first]) => first)).toEqual([0, 1, 2])
    expect(net.rings[1]!.reap().length).toBe(2)
  })

  test.each([60, 61])('a checksum is completed over %i bytes', (bytes) => {
    const net = new NetDriver()
    const frame = frameTo(NETWORK_MAC, bytes)
    // The field has the sum of the pseudo-header.
    const pseudo = Uint8Array.of(10, 0, 2, 15, 10, 0, 2, 2, 0, 17, 0, bytes - 34)
    frame.set([ones(pseudo) >> 8, ones(pseudo) & 255], 40)
    net.send([1, 0, 0, 0, 0, 0, 34, 0, 6, 0], frame)
    const [sent] = net.network.sent
    expect(ones(pseudo, sent!.subarray(34))).toBe(0xffff)
  })

  test('a checksum of 0, which says that there is none, becomes its other form', () => {
    const net = new NetDriver()
    const frame = new Uint8Array(60)
    frame.set([0xff, 0xff], 40)
    net.send([1, 0, 0, 0, 0, 0, 34, 0, 6, 0], frame)
    expect([...net.network.sent[0]!.subarray(40, 42)]).toEqual([0xff, 0xff])
  })

  test.each([false, true])('a long TCP segment is cut, IPv6 %s', (v6) => {
    const net = new NetDriver()
    const ip = 14
    const tcp = ip + (v6 ? 40 : 24)
    const data = tcp + 24
    const frame = Uint8Array.from({ length: data + 3000 }, (_, i) => i * 7)
    frame.set(v6 ? [0x86, 0xdd, 0x60] : [8, 0, 0x46, 0, 0, 0, 0x12, 0xff, 0x40, 0, 64, 6], 12)
    frame[tcp + 12] = 6 << 4
    frame.set([0xff, 0xff, 0xfe, 0x00], tcp + 4)
    frame[tcp + 13] = 0x80 | 0x19
    const size = 1400
    net.send([1, v6 ? 4 : 1, 0, 0, size & 255, size >> 8, tcp, 0, 16, 0], frame)
    const { sent } = net.network
    expect(sent.map((part) => part.length - data)).toEqual([1400, 1400, 200])
    expect(Uint8Array.from(sent.flatMap((part) => [...part.subarray(data)]))).toEqual(frame.subarray(data))
    sent.forEach((part, i) => {
      const view = new DataView(part.buffer)
      expect(view.getUint32(tcp + 4)).toBe((0xffff_fe00 + 1400 * i) % 2 ** 32)
      // FIN and PSH with the last one, CWR with the first.
      expect(part[tcp + 13]).toBe([0x90, 0x10, 0x19][i])
      const length = part.length - tcp
      const pseudo = v6
        ? Uint8Array.of(...part.subarray(ip + 8, ip + 40), 0, 0, length >> 8, length & 255, 0, 0, 0, 6)
        : Uint8Array.of(...part.subarray(ip + 12, ip + 20), 0, 6, length >> 8, length & 255)
      expect(ones(pseudo, part.subarray(tcp))).toBe(0xffff)
      if (v6) expect(view.getUint16(ip + 4)).toBe(part.length - ip - 40)
      else {
        expect(ones(part.subarray(ip, tcp))).toBe(0xffff)
        expect([view.getUint16(ip + 2), view.getUint16(ip + 4)]).toEqual([part.length - ip, 0x12ff + i])
      }
    })
  })

  test.each([
    { name: 'a checksum beyond the end', header: [1, 0, 0, 0, 0, 0, 60, 0, 0, 0] },
    { name: 'segments without a checksum', header: [0, 1, 0, 0, 0, 2, 34, 0, 16, 0] },
    { name: 'segments of UDP', header: [1, 3, 0, 0, 0, 2, 34, 0, 16, 0] },
    { name: 'segments of a byte', header: [1, 1, 0, 0, 1, 0, 34, 0, 16, 0] },
    { name: 'IPv6 that is IPv4', header: [1, 4, 0, 0, 0, 2, 54, 0, 16, 0] },
    { name: 'TCP within IP', header: [1, 1, 0, 0, 0, 2, 20, 0, 16, 0] },
    { name: 'options between IP and TCP', header: [1, 1, 0, 0, 0, 2, 38, 0, 16, 0], bytes: 100 },
    { name: 'TCP beyond the end', header: [1, 1, 0, 0, 0, 2, 0xff, 0xff, 16, 0] },
  ])('a packet that contradicts its header is lost: $name', ({ header, bytes = 60 }) => {
    const net = new NetDriver()
    const frame = frameTo(NETWORK_MAC, bytes)
    frame[14] = 0x45
    // A TCP header without options, wherever it is.
    frame[50] = 0x50
    net.send(header, frame)
    expect(net.network.sent).toEqual([])
    expect(net.rings[1]!.reap().length).toBe(1)
  })
})

describe('features and configuration', () => {
  test.each([
    { bits: [TSO4], accepted: false },
    { bits: [TSO4, CHECKSUM], accepted: true },
    { bits: [18], accepted: false },
    { bits: [23, CONTROL], accepted: true },
  ])('$bits: $accepted', ({ bits, accepted }) => {
    const network = new TestNetwork()
    const machine = new VirtioMachine(new VirtioPci(new VirtioNet({ network }), { device: 3 }))
    expect(new PciDriver(machine).negotiate([32, ...bits])).toBe(accepted)
  })

  test('a packet with headers of 30 KB, which each of its segments would have, is lost', () => {
    const net = new NetDriver()
    const frame = frameTo(NETWORK_MAC, 60_000)
    frame[14] = 0x60
    const tcp = 30_000
    frame[tcp + 12] = 0x50
    net.network.maximumBytes = 1 << 20
    net.send([1, 4, 0, 0, 0, 1, tcp & 255, tcp >> 8, 16, 0], frame)
    expect(net.network.sent).toEqual([])
    expect(net.rings[1]!.reap().length).toBe(1)
  })

  test('a cable that is pulled is told', () => {
    const net = new NetDriver()
    expect(net.driver.config(6, 2)).toBe(1)
    net.network.client!.linkChanged(false)
    expect([net.driver.config(6, 2), net.driver.isr()]).toEqual([0, 2])
  })

  test('another MTU is offered', () => {
    const network = new TestNetwork()
    network.maximumBytes = 9014
    const driver = new PciDriver(new VirtioMachine(new VirtioPci(new VirtioNet({ network }), { device: 3 })))
    expect([driver.features(0) & 8, driver.config(10, 2)]).toEqual([8, 9000])
  })

  test.each([1514, 1518])('frames of %i bytes: packets of 1500, which nobody needs to be told', (bytes) => {
    const network = new TestNetwork()
    network.maximumBytes = bytes
    const driver = new PciDriver(new VirtioMachine(new VirtioPci(new VirtioNet({ network }), { device: 3 })))
    expect(driver.features(0) & 8).toBe(0)
  })

  test('an address of a group is refused', () => {
    expect(() => new VirtioNet({ network: new TestNetwork(), macAddress: Uint8Array.of(1, 2, 3, 4, 5, 6) })).toThrow(
      'not that of a group',
    )
  })
})

test('a card that was saved goes on elsewhere: buffers that it holds, filters, a packet under way', async () => {
  const one = new NetDriver()
  one.command(0, 0, 0)
  const at = one.give(40, 30)
  one.network.client!.receive(frameTo(NETWORK_MAC, 100))
  one.network.room = 0
  one.send([], frameTo([9], 77))
  await one.model.quiesce(1000)
  const saved: unknown = structuredClone(one.model.save())
  const two = new NetDriver()
  two.machine.ram.set(one.machine.ram)
  two.model.restore(saved)
  two.model.resume()
  await turn()
  for (const [i, ring] of one.rings.entries()) {
    ring.move(two.machine.view)
    Object.assign(two.rings, { [i]: ring })
  }
  expect(two.network.sent).toEqual([frameTo([9], 77)])
  two.network.client!.receive(frameTo([0x52, 0, 0, 0, 0, 9]))
  expect(two.rings[0]!.reap()).toEqual([])
  two.network.client!.receive(frameTo(NETWORK_MAC, 58))
  expect(two.rings[0]!.reap()).toEqual([
    { token: at[0], written: 40 },
    { token: at[1], written: 30 },
  ])
})

test('a card is at rest while no packet waits: for the network, or for buffers that are there', () => {
  const one = new NetDriver()
  expect(one.model.isAtRest()).toBe(true)
  expect(one.network.client!.receive(frameTo(NETWORK_MAC, 100))).toBe(false)
  // Without buffers, nothing comes of another look.
  expect(one.model.isAtRest()).toBe(true)
  one.rings[0]!.add([{ gpa: 0x1_0000, length: 2000, write: true }], 7)
  one.rings[0]!.publish()
  expect(one.model.isAtRest()).toBe(false)
  one.driver.notify(0)
  expect(one.model.isAtRest()).toBe(true)
  one.network.room = 0
  one.send([], frameTo([9], 77))
  expect(one.model.isAtRest()).toBe(false)
  one.network.room = 1
  one.network.client!.drained()
  expect(one.model.isAtRest()).toBe(true)
  one.rings[1]!.add([{ gpa: 0x1_0000, length: 64, write: false }], 7)
  one.rings[1]!.publish()
  expect(one.model.isAtRest()).toBe(false)
})

test('a card that was saved while the network waits for buffers calls it when they come, and not before', async () => {
  const [one, two] = [new NetDriver(), new NetDriver()]
  expect(one.network.client!.receive(frameTo(NETWORK_MAC, 100))).toBe(false)
  await one.model.quiesce(1000)
  two.model.restore(structuredClone(one.model.save()))
  two.model.resume()
  expect(two.network.readies).toBe(0)
  two.give(2000)
  expect(two.network.readies).toBe(1)
})

test('a card that goes on where the cable is pulled tells its driver, once', async () => {
  const one = new NetDriver()
  await one.model.quiesce(1000)
  const saved: unknown = structuredClone(one.model.save())
  const two = new NetDriver()
  two.network.linkUp = false
  two.model.restore(saved)
  two.model.resume()
  expect([two.driver.config(6, 2), two.driver.isr()]).toEqual([0, 2])
  await two.model.quiesce(1000)
  two.model.resume()
  expect(two.driver.isr()).toBe(0)
})
