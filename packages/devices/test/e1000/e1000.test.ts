import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { E1000Machine, MAC } from '../support/e1000-machine.ts'

const ICR = 0xc0
const IMS = 0xd0
const SOURCE = 0x8_0000
const OTHER = [0x52, 0x54, 0, 9, 9, 9]
const GROUP = [0x01, 0x00, 0x5e, 0x12, 0x34, 0x56]

const frameTo = (to: readonly number[], bytes = 60): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => to[i] ?? (i === 12 || i === 13 ? 0x12 : i))

function started(options?: Parameters<E1000Machine['start']>[0]): E1000Machine {
  const card = new E1000Machine()
  card.start(options)
  return card
}

/** The sum of 16-bit words with carries: 0xFFFF over data with its checksum (RFC 1071). */
function ones(...parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const part of parts) part.forEach((byte, i) => (sum += i % 2 === 0 ? byte << 8 : byte))
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}

/** A TCP packet over IPv4: Ethernet, 20 bytes each, and data; checksums are those that a driver leaves. */
function tcpPacket(data: number, { flags = 0x18, lengthInSum = false } = {}): Uint8Array {
  const bytes = Uint8Array.from({ length: 54 + data }, (_, i) => (i < 54 ? 0 : i * 7))
  bytes.set([...OTHER, ...MAC, 0x08, 0x00], 0)
  bytes.set([0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2], 14)
  bytes.set([0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 1, 0x50, flags, 0x10, 0x20], 34)
  const length = lengthInSum ? 20 + data : 0
  new DataView(bytes.buffer).setUint16(50, ones(bytes.slice(26, 34), Uint8Array.of(0, 6, length >> 8, length)))
  return bytes
}

const pseudo = (frame: Uint8Array, ip = 14): Uint8Array => {
  const length = frame.length - ip - 20
  return Uint8Array.from([...frame.slice(ip + 12, ip + 20), 0, 6, length >> 8, length & 0xff])
}

describe('EEPROM and transceiver (317453, §5, §13.4.3, §13.4.6)', () => {
  test('its words come to 0xBABA and begin with the address, over EERD', () => {
    const card = new E1000Machine()
    const words = Array.from({ length: 64 }, (_, i) => {
      card.write(0x14, (i << 8) | 1)
      expect(card.read(0x14) & 0x10).toBe(0x10)
      return card.read(0x14) >>> 16
    })
    expect(words.reduce((sum, word) => sum + word, 0) & 0xffff).toBe(0xbaba)
    expect(words.slice(0, 3)).toEqual([0x5452, 0x0100, 0x0302])
  })

  /** Shifts bits in, the highest first. */
  const shiftIn = (card: E1000Machine, bits: number, count: number): void => {
    for (let i = count - 1; i >= 0; i--) {
      const data = ((bits >>> i) & 1) << 2
      card.write(0x10, 0x42 | data)
      card.write(0x10, 0x43 | data)
      card.write(0x10, 0x42 | data)
    }
  }
  const shiftOut = (card: E1000Machine, count: number): number => {
    let value = 0
    for (let i = 0; i < count; i++) {
      card.write(0x10, 0x43)
      value = (value << 1) | ((card.read(0x10) >>> 3) & 1)
      card.write(0x10, 0x42)
    }
    return value
  }
  const select = (card: E1000Machine): void => {
    card.write(0x10, 0x40)
    card.write(0x10, 0x42)
  }

  test('a driver that asks for it shifts words out, one after the other', () => {
    const card = new E1000Machine()
    card.write(0x10, 0x40)
    expect(card.read(0x10) & 0x3c0).toBe(0x1c0)
    select(card)
    shiftIn(card, 0b110_000000, 9)
    expect([shiftOut(card, 16), shiftOut(card, 16), shiftOut(card, 16)]).toEqual([0x5452, 0x0100, 0x0302])
  })

  test('an instruction that is not selected to its end is forgotten', () => {
    const card = new E1000Machine()
    select(card)
    shiftIn(card, 0b110_0001, 7)
    // The next one begins with its own start bit, and is read from word 0 on.
    select(card)
    shiftIn(card, 0b110_000000, 9)
    expect(shiftOut(card, 16)).toBe(0x5452)
    // What is read ends as well; the output is high then: ready.
    shiftOut(card, 5)
    select(card)
    expect(card.read(0x10) & 8).toBe(8)
    shiftIn(card, 0b110_000001, 9)
    expect(shiftOut(card, 16)).toBe(0x0100)
  })

  test('the clock does nothing while it is not selected', () => {
    const card = new E1000Machine()
    for (let i = 8; i >= 0; i--) {
      const data = ((0b110_000001 >>> i) & 1) << 2
      card.write(0x10, 0x40 | data)
      card.write(0x10, 0x41 | data)
    }
    expect(card.read(0x10) & 8).toBe(8)
    select(card)
    shiftIn(card, 0b110_000010, 9)
    expect(shiftOut(card, 16)).toBe(0x0302)
  })

  test('a word is written only after writing was allowed', () => {
    const card = new E1000Machine()
    const write = (): void => {
      select(card)
      shiftIn(card, 0b101_000011, 9)
      shiftIn(card, 0xbeef, 16)
      card.write(0x10, 0x40)
    }
    const word = (): number => {
      card.write(0x14, (3 << 8) | 1)
      return card.read(0x14) >>> 16
    }
    write()
    expect(word()).toBe(0)
    select(card)
    shiftIn(card, 0b100_110000, 9)
    write()
    expect(word()).toBe(0xbeef)
  })

  test('the transceiver is an 88E1011 whose link is up at 1000 Mbit/s', () => {
    const card = new E1000Machine()
    expect([card.readPhy(2), card.readPhy(3)]).toEqual([0x0141, 0x0c20])
    expect(card.readPhy(1) & 0x24).toBe(0x24)
    expect(card.readPhy(17) & 0xec00).toBe(0xac00)
    // A register of another transceiver is an error.
    card.write(0x20, (2 << 26) | (2 << 21))
    expect(card.read(0x20) >>> 28).toBe(5)
  })

  test('negotiation takes the link away for a while; both ends are interrupts', () => {
    const card = started()
    expect(card.read(8)).toBe(0x283)
    card.write(IMS, 4)
    card.writePhy(0, 0x1340)
    expect(card.pin).toBe(true)
    expect(card.read(ICR)).toBe(4)
    expect(card.read(8)).toBe(0x281)
    expect(card.readPhy(1) & 0x24).toBe(0)
    card.machine.advance(10e6)
    expect(card.read(ICR)).toBe(4)
    expect(card.read(8)).toBe(0x283)
  })

  test('a cable that is pulled is a change of the link, and frames are lost', () => {
    const card = started()
    card.give(8)
    card.network.linkUp = false
    card.network.client!.linkChanged(false)
    expect(card.read(8)).toBe(0x281)
    expect(card.network.client!.receive(frameTo(MAC))).toBe(true)
    card.sendLegacy(SOURCE, 60)
    expect(card.network.sent).toEqual([])
    expect(card.done(0)).toBe(1)
    expect(card.received(0).status).toBe(0)
  })
})

describe('transmission (317453, §3.3 to §3.6)', () => {
  test('legacy descriptors gather a packet; short ones are padded, and the last reports', () => {
    const card = started()
    card.machine.ram.set(frameTo(OTHER, 40), SOURCE)
    card.sendLegacy(SOURCE, 10, 0)
    expect(card.network.sent).toEqual([])
    card.sendLegacy(SOURCE + 10, 30, 0x0b)
    expect(card.network.sent).toEqual([Uint8Array.from({ length: 60 }, (_, i) => frameTo(OTHER, 40)[i] ?? 0)])
    expect([card.done(0), card.done(1), card.read(0x3810)]).toEqual([0, 1, 2])
    expect(card.read(ICR) & 3).toBe(3)
  })

  test('a legacy descriptor inserts a checksum', () => {
    const card = started()
    const packet = tcpPacket(13, { lengthInSum: true })
    card.machine.ram.set(packet, SOURCE)
    card.sendLegacy(SOURCE, packet.length, 0x0f, { start: 34, offset: 50 })
    const [frame] = card.network.sent
    expect(ones(frame!.slice(34), pseudo(frame!))).toBe(0xffff)
  })

  test('contexts for checksums and for segments are two', () => {
    const card = started()
    card.sendContext([14, 24, 33, 0, 34, 50, 0, 0], 0x03)
    card.sendContext([14, 24, 0, 0, 34, 17, 0, 0], 0x07, 54, 100)
    const packet = tcpPacket(13, { lengthInSum: true })
    card.machine.ram.set(packet, SOURCE)
    card.sendData({ gpa: SOURCE, bytes: packet.length, options: 3 })
    const [frame] = card.network.sent
    // The driver has written the length of no packet that is not cut: as it is in memory.
    expect(ones(frame!.slice(14, 34))).toBe(0xffff)
    expect(ones(frame!.slice(34), pseudo(frame!))).toBe(0xffff)
  })

  test.each([
    { data: 3000, segment: 1448, flags: 0x19, sizes: [1448, 1448, 104] },
    { data: 2896, segment: 1448, flags: 0x19, sizes: [1448, 1448] },
    { data: 5, segment: 1448, flags: 0x18, sizes: [5] },
  ])('$data bytes of TCP are cut into $sizes', ({ data, segment, flags, sizes }) => {
    const card = started()
    const packet = tcpPacket(data, { flags })
    card.machine.ram.set(packet, SOURCE)
    card.sendContext([14, 24, 33, 0, 34, 50, 0, 0], 0x0f, 54, segment, data)
    // Header and data in pieces of the driver's choice.
    card.sendData({ gpa: SOURCE, bytes: 54, command: 0x04, options: 3 })
    card.sendData({ gpa: SOURCE + 54, bytes: data, command: 0x0d })
    const { sent } = card.network
    expect(sent.map(({ length }) => length)).toEqual(sizes.map((size) => Math.max(54 + size, 60)))
    let before = 0
    sent.forEach((padded, i) => {
      const frame = padded.slice(0, 54 + sizes[i]!)
      const view = new DataView(frame.buffer)
      expect(view.getUint16(16)).toBe(40 + sizes[i]!)
      expect(view.getUint16(18)).toBe((0xffff + i) & 0xffff)
      expect(view.getUint32(38)).toBe((0xffff_ff00 + before) >>> 0)
      expect(frame[47]).toBe(i === sizes.length - 1 ? flags : flags & ~9)
      expect(ones(frame.slice(14, 34))).toBe(0xffff)
      expect(ones(frame.slice(34), pseudo(frame))).toBe(0xffff)
      expect(frame.slice(54)).toEqual(packet.slice(54 + before, 54 + before + sizes[i]!))
      before += sizes[i]!
    })
    expect(card.read(0x40f8)).toBe(1)
    expect(card.read(0x40d4)).toBe(sizes.length)
  })

  test('a tag is inserted while VLANs are on', () => {
    const card = started()
    card.machine.ram.set(frameTo(OTHER), SOURCE)
    card.sendLegacy(SOURCE, 60, 0x4b, { tag: 0x6123 })
    card.write(0, card.read(0) | 0x4000_0000)
    card.sendLegacy(SOURCE, 60, 0x4b, { tag: 0x6123 })
    const [plain, tagged] = card.network.sent
    expect(plain).toEqual(frameTo(OTHER))
    expect([...tagged!.slice(10, 18)]).toEqual([...frameTo(OTHER).slice(10, 12), 0x81, 0, 0x61, 0x23, 0x12, 0x12])
  })

  test('a full network keeps the packet; a reset loses it', () => {
    const card = started()
    card.network.room = 1
    const packet = tcpPacket(3000)
    card.machine.ram.set(packet, SOURCE)
    card.sendContext([14, 24, 33, 0, 34, 50, 0, 0], 0x0f, 54, 1448, 3000)
    card.sendData({ gpa: SOURCE, bytes: packet.length, command: 0x0d, options: 3 })
    expect(card.network.sent.length).toBe(1)
    card.network.room = 1
    card.network.client!.drained()
    expect(card.network.sent.length).toBe(2)
    card.write(0, 0x0400_0000)
    card.network.room = Infinity
    card.network.client!.drained()
    card.start()
    expect(card.network.sent.length).toBe(2)
  })

  test('nothing is read while the card may not master the bus', () => {
    const card = started()
    card.master(false)
    card.machine.ram.set(frameTo(OTHER), SOURCE)
    card.sendLegacy(SOURCE, 60)
    expect(card.network.sent).toEqual([])
    card.master(true)
    expect(card.network.sent).toEqual([frameTo(OTHER)])
  })

  test('interrupts of descriptors may be delayed, each anew, up to a limit', () => {
    const card = started()
    card.write(0x3820, 100)
    card.write(0x382c, 150)
    card.sendLegacy(SOURCE, 60, 0x8b)
    card.machine.advance(90 * 1024)
    card.sendLegacy(SOURCE, 60, 0x8b)
    card.machine.advance(59 * 1024)
    expect(card.read(ICR) & 1).toBe(0)
    card.machine.advance(2 * 1024)
    expect(card.read(ICR) & 1).toBe(1)
  })
})

describe('reception (317453, §3.2)', () => {
  test('a frame is padded, with its check sequence unless that is stripped', () => {
    const card = started({ receive: 0x8002 })
    card.give(15)
    card.write(IMS, 0x80)
    card.read(ICR)
    card.network.client!.receive(frameTo(MAC, 50))
    const { bytes, status } = card.received(0)
    const padded = Uint8Array.from({ length: 60 }, (_, i) => frameTo(MAC, 50)[i] ?? 0)
    expect(bytes.slice(0, 60)).toEqual(padded)
    expect(new DataView(bytes.buffer).getUint32(60, true)).toBe(crc32(padded))
    expect(status).toBe(0x07)
    expect(card.pin).toBe(true)
    expect(card.read(ICR)).toBe(0x80)
    expect(card.pin).toBe(false)
  })

  test('a frame takes several descriptors', () => {
    // 256 bytes each.
    const card = started({ receive: 0x0403_8002 })
    card.give(8)
    card.network.client!.receive(frameTo(MAC, 600))
    expect([0, 1, 2].map((i) => card.received(i).bytes.length)).toEqual([256, 256, 88])
    expect([0, 1, 2].map((i) => card.received(i).status)).toEqual([1, 1, 7])
    expect(card.read(0x2810)).toBe(3)
  })

  test('without descriptors the network keeps the frame; RDT lets it come', () => {
    const card = started()
    const { client } = card.network
    expect(client!.receive(frameTo(MAC))).toBe(false)
    card.give(1)
    expect(card.network.readies).toBe(1)
    expect(client!.receive(frameTo(MAC))).toBe(true)
    expect(client!.receive(frameTo(MAC))).toBe(false)
    expect(card.read(0x2810)).toBe(1)
    // A ring that will never have room loses it.
    card.write(0x2808, 0)
    expect(client!.receive(frameTo(MAC))).toBe(true)
    expect(card.read(ICR) & 0x40).toBe(0x40)
    expect(card.read(0x4010)).toBe(1)
  })

  test.each([
    { share: 0, at: 8 },
    { share: 1, at: 4 },
    { share: 2, at: 2 },
  ])('RXDMT0 comes with $at of 16 descriptors left', ({ share, at }) => {
    const card = started({ receive: 0x0400_8002 | (share << 8) })
    card.give(15)
    const left: number[] = []
    for (let free = 14; free > 0; free--) {
      card.network.client!.receive(frameTo(MAC))
      if ((card.read(ICR) & 0x10) !== 0) left.push(free)
    }
    expect(left[0]).toBe(at)
  })

  test.each([
    { what: 'its own address', to: MAC, control: 0, taken: true },
    { what: 'another one', to: OTHER, control: 0, taken: false },
    { what: 'another one, all wanted', to: OTHER, control: 0x08, taken: true },
    { what: 'all', to: [255, 255, 255, 255, 255, 255], control: 0x8000, taken: true },
    { what: 'all, not wanted', to: [255, 255, 255, 255, 255, 255], control: 0, taken: false },
    { what: 'a group', to: GROUP, control: 0, taken: false },
    { what: 'a group, all wanted', to: GROUP, control: 0x10, taken: true },
  ])('a frame to $what is taken: $taken', ({ to, control, taken }) => {
    const card = started({ receive: 0x0400_0002 | control })
    card.give(8)
    card.network.client!.receive(frameTo(to))
    expect(card.received(0).status & 1).toBe(taken ? 1 : 0)
    expect(card.read(0x4074)).toBe(taken ? 1 : 0)
    expect(card.read(0x40d0)).toBe(1)
  })

  test.each([
    // The manual's bits of the last two bytes, 0x34 and 0x56: 0x5634 moved by 4, 3, 2 and 0.
    { offset: 0, hash: 0x563 },
    { offset: 1, hash: 0xac6 },
    { offset: 2, hash: 0x58d },
    { offset: 3, hash: 0x634 },
  ])('with multicast offset $offset the bit is $hash', ({ offset, hash }) => {
    const card = started({ receive: 0x0400_0002 | (offset << 12) })
    card.give(8)
    card.write(0x5200 + 4 * (hash >>> 5), 1 << (hash & 31))
    card.network.client!.receive(frameTo([1, 0, 0x5e, 0x12, 0x34, 0x56]))
    expect(card.received(0).status).toBe(0x87)
  })

  test('further addresses are exact ones', () => {
    const card = started()
    card.give(8)
    card.write(0x5408, 0x0900_5452 & 0xffff_ffff)
    card.write(0x540c, 0x8000_0909)
    expect(card.network.told).toMatchObject({ promiscuous: true })
    card.network.client!.receive(frameTo(OTHER))
    expect(card.received(0).status & 1).toBe(1)
  })

  const tagged = (tag: number): Uint8Array => {
    const frame = frameTo(MAC, 64)
    frame.set([0x81, 0, tag >> 8, tag & 0xff], 12)
    return frame
  }

  test('a tag is taken out while VLANs are on, and filtered by its number', () => {
    const card = started({ receive: 0x0404_8002 })
    card.give(8)
    card.write(0, card.read(0) | 0x4000_0000)
    card.network.client!.receive(tagged(0x6123))
    expect(card.received(0).status).toBe(0)
    card.write(0x5600 + 4 * (0x123 >>> 5), 1 << (0x123 & 31))
    card.network.client!.receive(tagged(0x6123))
    const { bytes, status, tag } = card.received(0)
    expect([status, tag, bytes.length]).toEqual([0x0f, 0x6123, 60])
    expect(bytes.slice(12)).toEqual(frameTo(MAC, 64).slice(16))
    // Untagged frames pass.
    card.network.client!.receive(frameTo(MAC))
    expect(card.received(1).status).toBe(0x07)
  })

  test('longer frames come only to a driver that wants them', () => {
    const card = started()
    card.give(8)
    card.network.client!.receive(frameTo(MAC, 1600))
    expect([card.received(0).status, card.read(0x40ac)]).toEqual([0, 1])
    card.write(0x100, card.read(0x100) | 0x20)
    card.network.client!.receive(frameTo(MAC, 1600))
    expect(card.received(0).bytes.length).toBe(1600)
  })

  test.each([
    { what: 'right', change: -1, status: 0x63, errors: 0 },
    { what: 'wrong in the IP header', change: 22, status: 0x63, errors: 0x40 },
    { what: 'wrong in the data', change: 60, status: 0x63, errors: 0x20 },
    { what: 'none: it is a fragment', change: 20, status: 0x43, errors: 0x40 },
  ])('checksums are looked at: $what', ({ change, status, errors }) => {
    const card = started()
    card.give(8)
    card.write(0x5000, 0x300)
    const packet = tcpPacket(40, { lengthInSum: true })
    const view = new DataView(packet.buffer)
    packet.set(MAC)
    view.setUint16(16, 80)
    view.setUint16(24, 0xffff & ~ones(packet.slice(14, 34)))
    view.setUint16(50, 0xffff & ~ones(packet.slice(34)))
    if (change >= 0) packet[change]! ^= 0x20
    card.network.client!.receive(packet)
    expect(card.received(0)).toMatchObject({ status, errors })
    expect(card.received(0).checksum).toBe(0xffff & ~ones(packet))
  })
})

describe('interrupts (317453, §13.4.17 to §13.4.21)', () => {
  test('the pin follows causes that are enabled', () => {
    const card = new E1000Machine()
    card.write(0xc8, 0x10)
    expect(card.pin).toBe(false)
    card.write(IMS, 0x10)
    expect(card.pin).toBe(true)
    card.write(0xd8, 0x10)
    expect([card.pin, card.read(IMS)]).toEqual([false, 0])
    card.write(IMS, 0x90)
    card.write(ICR, 0x10)
    expect([card.pin, card.read(ICR)]).toEqual([false, 0])
  })

  test('the next interrupt waits for the end of the interval', () => {
    const card = new E1000Machine()
    card.write(IMS, 0x10)
    card.write(0xc4, 1000)
    card.write(0xc8, 0x10)
    expect([card.pin, card.read(ICR), card.pin]).toEqual([true, 0x10, false])
    card.write(0xc8, 0x10)
    card.machine.advance(255_000)
    expect(card.pin).toBe(false)
    card.machine.advance(2_000)
    expect(card.pin).toBe(true)
  })
})

test('the I/O window reaches the same registers', () => {
  const card = new E1000Machine()
  void card.io.write(0, 4, 0x5400)
  expect(card.io.read(4, 4)).toBe(card.read(0x5400))
  void card.io.write(0, 4, 0xd0)
  void card.io.write(4, 4, 0x15)
  expect(card.read(IMS)).toBe(0x15)
})

test('what is sent comes back in loopback, and does not reach the network', () => {
  const card = started({ receive: 0x0400_80c2 })
  card.give(8)
  card.machine.ram.set(frameTo(MAC), SOURCE)
  card.sendLegacy(SOURCE, 60)
  expect(card.received(0).bytes).toEqual(frameTo(MAC))
  expect(card.network.sent).toEqual([])
})

test('counters are cleared by reading; those of 64 bits with their upper half', () => {
  const card = started()
  card.give(8)
  card.network.client!.receive(frameTo(MAC, 996))
  expect([card.read(0x4088), card.read(0x4088), card.read(0x408c), card.read(0x4088)]).toEqual([1000, 1000, 0, 0])
  expect([card.read(0x406c), card.read(0x406c)]).toEqual([1, 0])
})

test('a reset returns registers to what they were, with the address of the EEPROM', () => {
  const card = started()
  card.write(0x5400, 0)
  card.write(IMS, 0xff)
  card.write(0, 0x0400_0000)
  expect([card.read(0x100), card.read(0x400), card.read(IMS), card.read(0x2808)]).toEqual([0, 0, 0, 0])
  expect([card.read(0x5400), card.read(0x5404)]).toEqual([0x0100_5452, 0x8000_0302])
})

test.each([
  { options: { macAddress: Uint8Array.of(1, 2, 3, 4, 5, 6) }, text: 'not that of a group' },
  { options: { device: 0 }, text: 'expected an integer from 1 to 31' },
  { options: { rom: new Uint8Array(2 ** 20 + 1) }, text: 'expected at most 1048576' },
])('an option is refused: $text', ({ options, text }) => {
  expect(() => new E1000Machine(options)).toThrow(text)
})
