import { turn } from '@retrap/device/test-machine'
import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { VirtioConsole, type VirtioConsoleOptions, VirtioPci } from '../src/index.ts'
import { PciDriver } from './support/pci-driver.ts'
import { SplitDriver } from './support/ring-drivers.ts'
import { VirtioMachine } from './support/virtio-machine.ts'

const MULTIPORT = 1

class TestStream implements ByteStreamBackend {
  client: ByteStreamClient | null = null
  sent = ''
  full = false
  readies = 0
  connect(client: ByteStreamClient): void {
    this.client = client
  }
  send(bytes: Uint8Array): boolean {
    this.sent += String.fromCharCode(...bytes)
    return !this.full
  }
  ready(): void {
    this.readies++
  }
  leaves = 0
  left(): void {
    this.leaves++
  }
}

const place = (
  queue: number,
): { size: number; descriptors: number; driver: number; device: number; eventIndex: boolean } => {
  const at = 0x1_0000 + 0x4000 * queue
  return { size: 16, descriptors: at, driver: at + 0x1000, device: at + 0x2000, eventIndex: false }
}

/** A driver with all queues of a console. */
class ConsoleDriver {
  readonly streams: readonly TestStream[]
  readonly model: VirtioPci
  readonly machine: VirtioMachine
  readonly driver: PciDriver
  readonly rings: SplitDriver[]
  #at = 0x8_0000

  constructor(ports: readonly Partial<VirtioConsoleOptions['ports'][number]>[], bits: readonly number[] = [MULTIPORT]) {
    this.streams = ports.map(() => new TestStream())
    const device = new VirtioConsole({ ports: ports.map((port, i) => ({ stream: this.streams[i]!, ...port })) })
    this.model = new VirtioPci(device, { device: 3 })
    this.machine = new VirtioMachine(this.model)
    this.driver = new PciDriver(this.machine)
    expect(this.driver.negotiate([32, ...bits])).toBe(true)
    this.rings = device.queues.map((_, queue) => {
      this.driver.setQueue(queue, place(queue))
      return new SplitDriver(this.machine.view, place(queue))
    })
    this.driver.start()
  }

  give(queue: number, ...sizes: number[]): void {
    for (const length of sizes) {
      this.rings[queue]!.add([{ gpa: this.#at, length, write: true }], this.#at)
      this.#at += length
    }
    this.rings[queue]!.publish()
    this.driver.notify(queue)
  }

  /** What came into the buffers of a queue. */
  got(queue: number): string[] {
    const { ram } = this.machine
    return this.rings[queue]!.reap().map(({ token, written }) =>
      String.fromCharCode(...ram.subarray(token, token + written)),
    )
  }

  send(queue: number, text: string): void {
    this.machine.ram.set(Buffer.from(text, 'latin1'), this.#at)
    this.rings[queue]!.add([{ gpa: this.#at, length: text.length, write: false }], this.#at)
    this.#at += text.length
    this.rings[queue]!.publish()
    this.driver.notify(queue)
  }

  control(id: number, event: number, value: number): void {
    this.send(3, String.fromCharCode(id, 0, 0, 0, event, 0, value, 0))
  }
}

const message = (id: number, event: number, value: number, data = ''): string =>
  String.fromCharCode(id, 0, 0, 0, event, 0, value, 0) + data

describe('a console of one port (VIRTIO 1.2, §5.3.6)', () => {
  test('bytes go both ways; what there is no buffer for stays with the stream', () => {
    const console = new ConsoleDriver([{}], [])
    const [stream] = console.streams
    console.send(1, 'hello')
    expect(stream!.sent).toBe('hello')
    console.give(0, 4, 4)
    expect(stream!.client!.receive(Buffer.from('abcdefghij'))).toBe(8)
    expect(console.got(0)).toEqual(['abcd', 'efgh'])
    console.give(0, 4)
    expect(stream!.readies).toBe(1)
    expect([console.driver.config(0, 2), console.driver.config(2, 2), console.driver.config(4, 4)]).toEqual([80, 25, 1])
  })

  test('a chain of more bytes than the machine has is sent a few megabytes at a time', () => {
    const console = new ConsoleDriver([{}], [])
    let sent = 0
    console.streams[0]!.send = (bytes) => (sent += bytes.length) > 0
    const length = 0x8_0000
    console.rings[1]!.add(
      Array.from({ length: 15 }, () => ({ gpa: 0, length, write: false })),
      1,
    )
    console.rings[1]!.publish()
    console.driver.notify(1)
    expect(sent).toBe(16 * 0x1_0000)
    for (let i = 0; i < 10; i++) console.machine.advance(1000)
    expect([sent, console.rings[1]!.reap().length]).toEqual([15 * length, 1])
  })

  test('a stream that is full stops the driver', () => {
    const console = new ConsoleDriver([{}], [])
    const stream = console.streams[0]!
    stream.full = true
    console.send(1, 'one')
    console.send(1, 'two')
    expect([stream.sent, console.rings[1]!.reap().length]).toEqual(['one', 1])
    stream.full = false
    stream.client!.drained()
    expect([stream.sent, console.rings[1]!.reap().length]).toEqual(['onetwo', 1])
  })
})

describe('several ports (§5.3.6.2)', () => {
  test('each side is told that the other has closed its end, behind what was sent before', () => {
    const console = new ConsoleDriver([{}, {}])
    const stream = console.streams[1]!
    console.give(2, 80, 80, 80)
    console.control(1, 6, 1)
    stream.client!.ended?.()
    expect(console.got(2)).toEqual([message(1, 6, 0)])
    stream.full = true
    console.send(5, 'one')
    console.send(5, 'two')
    console.control(1, 6, 0)
    expect([stream.sent, stream.leaves]).toEqual(['one', 0])
    stream.full = false
    stream.client!.drained()
    expect([stream.sent, stream.leaves]).toEqual(['onetwo', 1])
    // A driver that asks again is told so again.
    console.control(1, 3, 1)
    expect(console.got(2)).toEqual([message(1, 6, 0)])
  })

  test('the driver is told of ports, names and ends', () => {
    const console = new ConsoleDriver([{}, { name: 'org.test' }, { console: true }])
    console.give(2, 80, 80, 80)
    console.control(0, 0, 1)
    expect(console.got(2)).toEqual([message(0, 1, 1), message(1, 1, 1), message(2, 1, 1)])
    console.control(1, 3, 1)
    console.control(2, 3, 1)
    // Messages wait for buffers.
    expect(console.got(2)).toEqual([])
    console.give(2, 80, 80, 80, 80, 80)
    expect(console.got(2)).toEqual([message(1, 7, 1, 'org.test'), message(1, 6, 1), message(2, 4, 1), message(2, 6, 1)])
  })

  test('a port takes bytes when the driver has opened it', () => {
    const console = new ConsoleDriver([{}, { name: 'org.test' }])
    const stream = console.streams[1]!
    console.give(4, 4, 4)
    expect(stream.client!.receive(Buffer.from('abcdef'))).toBe(0)
    console.control(1, 6, 1)
    expect(stream.readies).toBe(1)
    expect(stream.client!.receive(Buffer.from('abcdefghij'))).toBe(8)
    expect(console.got(4)).toEqual(['abcd', 'efgh'])
    console.give(4, 4)
    expect(stream.readies).toBe(2)
    console.control(1, 6, 0)
    expect(stream.client!.receive(Buffer.from('k'))).toBe(0)
    console.send(5, 'out')
    expect(stream.sent).toBe('out')
    expect(console.streams[0]!.sent).toBe('')
  })

  test.each([
    [99, 3, 1],
    [1, 3, 0],
    [0, 77, 1],
  ])('a message that means nothing is taken: %i %i %i', (id, event, value) => {
    const console = new ConsoleDriver([{}, {}])
    console.give(2, 80)
    console.control(id, event, value)
    expect(console.got(2)).toEqual([])
    expect(console.rings[3]!.reap().length).toBe(1)
  })

  test.each([
    { ports: [], text: '0 ports' },
    { ports: Array.from({ length: 32 }, () => ({})), text: '32 ports' },
    { ports: [{ name: 'a b' }], text: "a port named 'a b'" },
  ])('a console that cannot be is refused: $text', ({ ports, text }) => {
    expect(() => new ConsoleDriver(ports)).toThrow(text)
  })
})

test('a console is at rest while all that was given is sent, and nothing waits for buffers that are there', () => {
  const one = new ConsoleDriver([{}, {}])
  expect(one.model.isAtRest()).toBe(true)
  one.rings[5]!.add([{ gpa: 0x1_0000, length: 64, write: false }], 7)
  one.rings[5]!.publish()
  expect(one.model.isAtRest()).toBe(false)
  const two = new ConsoleDriver([{}, {}])
  for (let i = 0; i < 64; i++) two.control(0, 0, 1)
  expect(two.model.isAtRest()).toBe(true)
  two.rings[2]!.add([{ gpa: 0x1_0000, length: 64, write: true }], 7)
  two.rings[2]!.publish()
  expect(two.model.isAtRest()).toBe(false)
  // A stream that has bytes for which there is no room.
  const three = new ConsoleDriver([{}, {}])
  three.control(1, 6, 1)
  expect(three.streams[1]!.client!.receive(Uint8Array.of(1))).toBe(0)
  expect(three.model.isAtRest()).toBe(true)
  three.rings[4]!.add([{ gpa: 0x1_0000, length: 64, write: true }], 7)
  three.rings[4]!.publish()
  expect(three.model.isAtRest()).toBe(false)
  // A port that the driver has closed takes none of them.
  three.control(1, 6, 0)
  expect(three.model.isAtRest()).toBe(true)
})

test('a console that was saved goes on elsewhere: a chain that is half sent, messages, open ports', async () => {
  const one = new ConsoleDriver([{}, {}])
  one.control(1, 6, 1)
  one.control(0, 0, 1)
  one.streams[1]!.full = true
  one.send(5, 'x'.repeat(0x1_0000 + 5))
  expect(one.streams[1]!.sent.length).toBe(0x1_0000)
  await one.model.quiesce(1000)
  const saved: unknown = structuredClone(one.model.save())
  const two = new ConsoleDriver([{}, {}])
  two.machine.ram.set(one.machine.ram)
  two.model.restore(saved)
  two.model.resume()
  await turn()
  one.rings.forEach((ring, i) => {
    ring.move(two.machine.view)
    two.rings[i] = ring
  })
  expect(two.streams[1]!.sent).toBe('xxxxx')
  expect(two.rings[5]!.reap().length).toBe(1)
  two.give(2, 80, 80)
  expect(two.got(2)).toEqual([message(0, 1, 1), message(1, 1, 1)])
  two.give(4, 9)
  expect(two.streams[1]!.client!.receive(Buffer.from('abc'))).toBe(3)
})
