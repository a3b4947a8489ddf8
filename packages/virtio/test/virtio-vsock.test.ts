import { turn } from '@retrap/device/test-machine'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { VirtioVsock, VsockPorts } from '../src/vsock.ts'
import { type Accepted, Noted, OP, type Sent, VsockDriver } from './support/vsock-driver.ts'

/** A guest with buffers, and a host that listens at port 1. */
function started(buffers = 64) {
  const ports = new VsockPorts()
  const accepted: Accepted[] = []
  ports.listen(1, (stream) => {
    const client = new Noted()
    accepted.push({ stream, client })
    return client
  })
  const guest = new VsockDriver(ports).start()
  guest.give(buffers)
  return { ports, accepted, guest }
}

/** The same with a connection of the guest. */
function connected(room = 0x4_0000) {
  const all = started()
  all.guest.send({ op: OP.request, room })
  expect(all.guest.ops()).toEqual([OP.response])
  return { ...all, ...all.accepted[0]! }
}

const text = (word: string): Uint8Array => new TextEncoder().encode(word)

describe('virtio-vsock (VIRTIO 1.2, §5.10)', () => {
  test('the guest reads its CID', () => {
    const { guest } = started()
    expect([guest.driver.config(0, 4), guest.driver.config(4, 4)]).toEqual([3, 0])
  })

  test.each([2, 0xffff_ffff, 3.5])('a CID of %d is an error', (cid) => {
    expect(() => new VirtioVsock({ cid })).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
  })

  test('a connection of the guest: data, half-close in each direction, and the RST of its end', () => {
    const { guest, stream, client } = connected()
    guest.send({ op: OP.rw, payload: text('from the guest') })
    guest.send({ op: OP.shutdown, flags: 2 })
    expect(client.bytes.toString()).toBe('from the guest')
    expect(client.log).toEqual(['ended'])
    expect(stream.write(text('to the guest'))).toBe(true)
    stream.end()
    expect(guest.got()).toMatchObject([
      { op: OP.rw, guestPort: 1000, hostPort: 1, payload: text('to the guest'), forwarded: 14, room: 0x2_0000 },
      { op: OP.shutdown, flags: 3 },
    ])
    expect(client.log).toEqual(['ended', 'finished'])
    guest.send({ op: OP.rst })
    expect(guest.got()).toEqual([])
  })

  test('the host ends first, the guest closes, and is answered by an RST', () => {
    const { guest, stream, client } = connected()
    stream.end()
    expect(guest.got()).toMatchObject([{ op: OP.shutdown, flags: 2 }])
    guest.send({ op: OP.rw, payload: text('late') })
    guest.send({ op: OP.shutdown, flags: 3 })
    expect(client.bytes.toString()).toBe('late')
    expect(client.log).toEqual(['ended', 'finished'])
    expect(guest.ops()).toEqual([OP.rst])
    // The ports are free.
    guest.send({ op: OP.request })
    expect(guest.ops()).toEqual([OP.response])
  })

  test('a guest that closes has what a paused host has not taken yet delivered, and then its RST', () => {
    const { guest, stream, client } = connected()
    stream.pause()
    guest.send({ op: OP.rw, payload: text('kept') })
    guest.send({ op: OP.shutdown, flags: 3 })
    expect([client.bytes.length, client.log, guest.ops()]).toEqual([0, [], []])
    stream.resume()
    expect([client.bytes.toString(), client.log, guest.ops()]).toEqual(['kept', ['ended', 'finished'], [OP.rst]])
  })

  test('a port without a listener, and a device without a host, refuse', () => {
    const { guest } = started()
    guest.send({ op: OP.request, hostPort: 2 })
    expect(guest.got()).toMatchObject([{ op: OP.rst, hostPort: 2, guestPort: 1000 }])
    const alone = new VsockDriver().start()
    alone.give(4)
    alone.send({ op: OP.request })
    expect(alone.ops()).toEqual([OP.rst])
  })

  test('a connection of the host is accepted, or refused, or cannot be made', async () => {
    const { guest, ports } = started()
    const [first, second, third] = [new Noted(), new Noted(), new Noted()]
    const stream = ports.connect(22, first)
    stream.write(text('early'))
    ports.connect(23, second)
    await turn()
    const asked = guest.got()
    expect(asked).toMatchObject([
      { op: OP.request, guestPort: 22, hostPort: stream.hostPort },
      { op: OP.request, guestPort: 23 },
    ])
    guest.send({ op: OP.response, guestPort: 22, hostPort: stream.hostPort })
    guest.send({ op: OP.rst, guestPort: 23, hostPort: asked[1]!.hostPort })
    expect(guest.got()).toMatchObject([{ op: OP.rw, payload: text('early') }])
    expect([first.log, second.log]).toEqual([['connected'], ['refused']])
    guest.driver.status = 0
    expect(first.log).toEqual(['connected', 'reset'])
    ports.connect(22, third)
    expect(third.log).toEqual([])
    await turn()
    expect(third.log).toEqual(['unreachable'])
    expect(() => ports.connect(2 ** 32, third)).toThrow(expect.objectContaining({ code: 'ERR_OPTION' }))
    expect(() => ports.listen(1, () => third)).toThrow(expect.objectContaining({ code: 'ERR_EXISTS' }))
    expect(() => new VsockPorts().connect(1, third)).toThrow(expect.objectContaining({ code: 'ERR_DETACHED' }))
  })

  test('the host sends what the guest has room for, asks for more, and goes on', () => {
    const { guest, stream, client } = connected(10)
    let drained = 0
    client.onDrained = () => drained++
    expect(stream.write(text('0123456789abcdef'))).toBe(true)
    expect(guest.got().map(({ op, payload }) => [op, String.fromCharCode(...payload)])).toEqual([
      [OP.rw, '0123456789'],
      [OP.creditRequest, ''],
    ])
    expect(stream.write(new Uint8Array(0x1_0000))).toBe(false)
    guest.send({ op: OP.creditUpdate, room: 10, forwarded: 0 })
    expect(guest.ops()).toEqual([])
    guest.send({ op: OP.creditUpdate, room: 10, forwarded: 4 })
    expect(guest.got().map(({ payload }) => String.fromCharCode(...payload))).toEqual(['abcd', ''])
    expect(drained).toBe(0)
    guest.send({ op: OP.creditUpdate, room: 0x2_0000, forwarded: 14 })
    expect(drained).toBe(1)
  })

  test('a guest is told of its room when it asks, and when much has become free', () => {
    const { guest, stream } = connected()
    guest.send({ op: OP.creditRequest })
    expect(guest.got()).toMatchObject([{ op: OP.creditUpdate, room: 0x2_0000, forwarded: 0 }])
    guest.send({ op: OP.rw, payload: new Uint8Array(0x7fff) })
    expect(guest.got()).toEqual([])
    guest.send({ op: OP.rw, payload: new Uint8Array(1) })
    expect(guest.got()).toMatchObject([{ op: OP.creditUpdate, forwarded: 0x8000 }])
    stream.pause()
    for (let i = 0; i < 4; i++) guest.send({ op: OP.rw, payload: new Uint8Array(0x8000) })
    expect(guest.got()).toEqual([])
    stream.resume()
    expect(guest.got().at(-1)).toMatchObject({ op: OP.creditUpdate, forwarded: 0x2_8000 })
  })

  test('restored, the guest is told that its connections are no more', () => {
    const { guest, client } = connected()
    const saved = guest.model.save()
    guest.model.restore(saved)
    expect(client.log).toEqual(['reset'])
    guest.give(1, 2, 4)
    guest.model.resume()
    expect(guest.rings[2]!.reap()).toMatchObject([{ written: 4 }])
    guest.send({ op: OP.rw, payload: text('stale') })
    expect(guest.ops()).toEqual([OP.rst])
    expect(guest.model.isAtRest()).toBe(true)
  })
})

describe('a guest that breaks rules', () => {
  test.each<{ name: string; sent: Sent }>([
    { name: 'more than its room', sent: { op: OP.rw, payload: new Uint8Array(0x2_0001) } },
    { name: 'a length beyond its packet', sent: { op: OP.rw, payload: text('x'), length: 2 } },
    { name: 'a length of 4 GiB', sent: { op: OP.rw, length: 0xffff_ffff } },
    { name: 'credit for bytes that were not sent', sent: { op: OP.creditUpdate, forwarded: 1 } },
    { name: 'credit that goes back', sent: { op: OP.creditUpdate, forwarded: 0xffff_ffff } },
    { name: 'an operation that is none', sent: { op: 8 } },
    { name: 'operation 0', sent: { op: 0 } },
    { name: 'a second request', sent: { op: OP.request } },
    { name: 'an answer to nothing', sent: { op: OP.response } },
  ])('$name: an RST ends that connection, and no other', ({ sent }) => {
    const { guest, client, accepted } = connected()
    guest.send({ op: OP.request, guestPort: 1001 })
    expect(guest.ops()).toEqual([OP.response])
    guest.send(sent)
    expect(client.log).toEqual(['reset'])
    expect(guest.got()).toMatchObject([{ op: OP.rst, guestPort: 1000 }])
    guest.send({ op: OP.rw, guestPort: 1001, payload: text('well') })
    expect(accepted[1]!.client.bytes.toString()).toBe('well')
  })

  test('data behind its own end is an RST', () => {
    const { guest, client } = connected()
    guest.send({ op: OP.shutdown, flags: 2 })
    guest.send({ op: OP.rw, payload: text('x') })
    expect(client.log).toEqual(['ended', 'reset'])
    expect(guest.ops()).toEqual([OP.rst])
  })

  test('packets for other CIDs and of other types are refused; those of other CIDs are none', () => {
    const { guest } = started()
    guest.send({ op: OP.request, destinationCid: 4 })
    guest.send({ op: OP.request, type: 2 })
    expect(guest.ops()).toEqual([OP.rst, OP.rst])
    guest.send({ op: OP.request, sourceCid: 4 })
    guest.send({ op: OP.request, sourceCid: 2 ** 32 + 3 })
    guest.send({ op: OP.request, destinationCid: 2 ** 32 + 2 })
    guest.send({ op: OP.rst, hostPort: 9 })
    expect(guest.ops()).toEqual([])
  })

  test('packets that need an answer wait where there is no room for it; nothing is lost', () => {
    const { guest } = started(0)
    for (let i = 0; i < 100; i++) guest.send({ op: OP.rw, guestPort: i })
    // 64 RSTs wait, and the others are with the guest.
    expect(guest.model.isAtRest()).toBe(true)
    const answered: number[] = []
    for (let i = 0; i < 4; i++) {
      guest.give(32)
      guest.machine.advance(10_000)
      answered.push(...guest.got().map(({ guestPort }) => guestPort))
    }
    expect(answered).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })

  test('a flood of connections has a limit, which those that are over make room below', () => {
    const { guest, accepted } = started()
    const answers: number[] = []
    for (let guestPort = 0; guestPort < 600; guestPort++) {
      guest.send({ op: OP.request, guestPort })
      answers.push(...guest.ops())
    }
    expect(answers).toEqual(Array.from({ length: 600 }, (_, i) => (i < 512 ? OP.response : OP.rst)))
    // The guest never answers the end of the first one.
    guest.send({ op: OP.shutdown, flags: 2, guestPort: 0 })
    accepted[0]!.stream.end()
    expect(guest.ops()).toEqual([OP.shutdown])
    guest.send({ op: OP.request, guestPort: 999 })
    expect(guest.ops()).toEqual([OP.response])
  })

  test('a buffer without room for a packet stops the device', () => {
    const { guest } = started(0)
    guest.give(1, 0, 44)
    guest.send({ op: OP.rw })
    expect(guest.driver.status & 0x40).toBe(0x40)
  })
})

/** What a random peer does next. */
const step = fc.oneof(
  fc.record({ kind: fc.constant('host' as const), bytes: fc.integer({ min: 1, max: 70_000 }) }),
  fc.record({ kind: fc.constant('guest' as const), bytes: fc.integer({ min: 1, max: 60_000 }) }),
  fc.record({ kind: fc.constant('read' as const), bytes: fc.integer({ min: 1, max: 90_000 }) }),
  fc.record({ kind: fc.constant('pause' as const), bytes: fc.constant(0) }),
  fc.record({ kind: fc.constant('resume' as const), bytes: fc.constant(0) }),
)

test('both streams arrive whole, and no end sends beyond the room of the other', () => {
  const property = fc.property(
    fc.integer({ min: 2000, max: 100_000 }),
    fc.array(step, { maxLength: 40 }),
    (room, steps) => {
      const { guest, stream, client } = connected(room)
      const [sent, received]: [Buffer[], Buffer[]] = [[], []]
      const written: Buffer[] = []
      let [counter, unread, forwarded, guestSent, hostForwarded] = [0, 0, 0, 0, 0]
      const fill = (bytes: number): Uint8Array<ArrayBuffer> =>
        Uint8Array.from({ length: bytes }, () => counter++ & 0xff)
      const take = (): void => {
        for (let packets = guest.got(); packets.length > 0; packets = guest.got()) {
          for (const { op, payload, forwarded: host } of packets) {
            expect(op === OP.rw ? payload.length > 0 : payload.length === 0).toBe(true)
            received.push(Buffer.from(payload))
            unread += payload.length
            hostForwarded = host
          }
          expect(unread).toBeLessThanOrEqual(room)
          guest.give(packets.length)
        }
      }
      const read = (bytes: number): void => {
        const count = Math.min(bytes, unread)
        unread -= count
        forwarded += count
        guest.send({ op: OP.creditUpdate, room, forwarded })
        take()
      }
      for (const { kind, bytes } of steps) {
        if (kind === 'host') {
          const part = fill(bytes)
          written.push(Buffer.from(part))
          stream.write(part)
        } else if (kind === 'guest') {
          const part = fill(Math.min(bytes, 0x2_0000 - (guestSent - hostForwarded)))
          guestSent += part.length
          sent.push(Buffer.from(part))
          guest.send({ op: OP.rw, room, forwarded, payload: part })
        } else if (kind === 'read') read(bytes)
        else stream[kind]()
        take()
      }
      stream.resume()
      stream.end()
      take()
      for (let i = 0; i < 100_000 && unread > 0; i++) read(room)
      expect(client.bytes.equals(Buffer.concat(sent))).toBe(true)
      expect(Buffer.concat(received).equals(Buffer.concat(written))).toBe(true)
      guest.send({ op: OP.shutdown, flags: 3, room, forwarded })
      expect(client.log).toEqual(['ended', 'finished'])
    },
  )
  fc.assert(property, { numRuns: 30, examples: [[1, [{ kind: 'host', bytes: 300 }]]] })
})
