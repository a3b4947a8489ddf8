import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import { WebSocket as Client } from 'ws'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import * as N from '../src/index.ts'
import { captureToFile, listenWebSocket, StreamNetwork } from '../src/node/index.ts'
import { TestCard, testFrame, until } from './support/test-card.ts'
import { VirtualClock } from './support/virtual-clock.ts'

const folder = temporaryFolder('cables')

describe('a hub', () => {
  test('gives each frame to all others, once, and never back', () => {
    const clock = new VirtualClock()
    const hub = new N.Hub({ clock })
    const cards = [hub.port(), hub.port(), hub.port()].map((port) => new TestCard(port))
    const other = new N.Hub({ clock })
    const far = new TestCard(other.port())
    hub.attach(other.port())
    const frame = testFrame(60, 1)
    cards[0]!.network.send(frame)
    // The guest's buffer is used again at once.
    frame.fill(0)
    far.network.send(testFrame(60, 2))
    clock.settle()
    expect(cards.map(({ frames }) => frames)).toEqual([
      [testFrame(60, 2)],
      [testFrame(60, 1), testFrame(60, 2)],
      [testFrame(60, 1), testFrame(60, 2)],
    ])
    expect(far.frames).toEqual([testFrame(60, 1)])
  })

  test('a card that takes nothing loses frames in the end, and holds up no other', () => {
    const clock = new VirtualClock()
    const hub = new N.Hub({ clock })
    const [sender, slow, quick] = [hub.port(), hub.port(), hub.port()].map((port) => new TestCard(port))
    slow!.full = true
    for (let i = 0; i < 5000; i++) {
      sender!.network.send(testFrame(200, i))
      clock.settle()
    }
    expect(quick!.frames.length).toBe(5000)
    slow!.full = false
    slow!.network.ready()
    clock.settle()
    expect(slow!.frames.length).toBeGreaterThan(2000)
    expect(slow!.frames.length).toBeLessThan(4097)
    expect(slow!.frames.at(-1)).toEqual(testFrame(200, slow!.frames.length - 1))
  })
})

describe('two cards of one address', () => {
  test('speak with each other by translated addresses', () => {
    const clock = new VirtualClock()
    const hub = new N.Hub({ clock })
    const mac = (last: number): number[] => [0x52, 0x54, 0, 0, 0, last]
    const own = Uint8Array.from(mac(1))
    const cards = [2, 3].map((last) => new TestCard(N.translateAddress(hub.port(), own, Uint8Array.from(mac(last)))))
    const watch = new TestCard(hub.port())
    const everybody = [255, 255, 255, 255, 255, 255]
    // From 10.0.0.1: who has 10.0.0.2? And the answer to the address that the question came from.
    const head = [8, 6, 0, 1, 8, 0, 6, 4, 0]
    const [one, two] = [
      [10, 0, 0, 1],
      [10, 0, 0, 2],
    ]
    const frame = (to: number[], from: number[], kind: number, ends: number[][]): Uint8Array =>
      Uint8Array.from([...to, ...from, ...head, kind, ...ends.flat()])
    const nobody = [0, 0, 0, 0, 0, 0]
    cards[0]!.network.send(frame(everybody, mac(1), 1, [mac(1), one!, nobody, two!]))
    clock.settle()
    expect(cards[1]!.frames).toEqual([frame(everybody, mac(2), 1, [mac(2), one!, nobody, two!])])
    cards[1]!.network.send(frame(mac(2), mac(1), 2, [mac(1), two!, mac(2), one!]))
    clock.settle()
    expect(cards[0]!.frames).toEqual([frame(mac(1), mac(3), 2, [mac(3), two!, mac(1), one!])])
    expect(watch.frames.at(-1)).toEqual(frame(mac(2), mac(3), 2, [mac(3), two!, mac(2), one!]))
    // Other protocols have no addresses behind the header; and what is nobody's is left alone.
    const data = Uint8Array.from([...mac(3), ...mac(1), 8, 0, ...mac(1), ...mac(3), ...mac(1), ...mac(1)])
    cards[0]!.network.send(data)
    cards[0]!.network.send(testFrame(60, 9))
    clock.settle()
    expect(cards[1]!.frames.slice(1)).toEqual([
      Uint8Array.from([...mac(1), ...mac(2), ...data.subarray(12)]),
      testFrame(60, 9),
    ])
  })
})

describe('a hub between tabs', () => {
  test('gives each frame to all others, once, and passes over what is no frame', async () => {
    const name = `hub ${Math.random()}`
    const networks = [1, 2, 3].map(() => new N.ChannelNetwork(new BroadcastChannel(name) as unknown as N.FrameChannel))
    const cards = networks.map((network) => new TestCard(network))
    const stranger = new BroadcastChannel(name)
    for (const message of ['text', new Uint8Array(13), new Uint8Array(1519), { length: 60 }])
      stranger.postMessage(message)
    const frame = testFrame(60, 1)
    networks[0]!.send(frame)
    // The guest's buffer is used again at once.
    frame.fill(0)
    networks[0]!.send(testFrame(1519, 1))
    await until(() => cards.slice(1).every(({ frames }) => frames.length > 0))
    expect(cards.map(({ frames }) => frames)).toEqual([[], [testFrame(60, 1)], [testFrame(60, 1)]])
    networks[2]!.close()
    networks[0]!.send(testFrame(60, 2))
    await until(() => cards[1]!.frames.length === 2)
    expect(cards[2]!.frames.length).toBe(1)
    for (const one of [...networks, stranger]) one.close()
  })

  test('a guest that sends and sends waits', () => {
    const clock = new VirtualClock()
    let sent = 0
    const channel = { postMessage: () => sent++, addEventListener() {}, close() {} }
    const network = new N.ChannelNetwork(channel, { clock })
    expect(network.linkUp).toBe(true)
    const card = new TestCard(network)
    const burst = (): number => {
      const before = sent
      while (card.network.send(testFrame(1514, 0)));
      return sent - before
    }
    expect(burst()).toBe(Math.floor((1 << 20) / 1514))
    expect(card.drains).toBe(0)
    clock.advance(10)
    expect(card.drains).toBe(1)
    expect(burst()).toBe(Math.floor((1 << 20) / 1514))
  })
})

describe('frames over a stream', () => {
  test('cut anywhere, they arrive whole', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1518), { maxLength: 20 }),
        fc.array(fc.integer({ min: 1, max: 3000 })),
        (sizes, cuts) => {
          const clock = new VirtualClock()
          const sent: Uint8Array[] = []
          const pipe = { write: (bytes: Uint8Array) => Boolean(sent.push(bytes)), pause() {}, resume() {}, close() {} }
          const [from, to] = [new N.FrameStream(clock), new N.FrameStream(clock)]
          from.attach(pipe)
          to.attach(pipe)
          const card = new TestCard(to)
          const frames = sizes.map((size, i) => testFrame(size, i))
          for (const frame of frames) from.send(frame)
          const stream = Buffer.concat(sent)
          let at = 0
          for (let i = 0; at < stream.length; i++) {
            const piece = cuts[i % Math.max(1, cuts.length)] ?? 1e9
            to.data(stream.subarray(at, at + piece))
            at += piece
          }
          clock.settle()
          expect(card.frames).toEqual(frames)
        },
      ),
    )
  })

  test('what is no stream of frames ends the connection', () => {
    const stream = new N.FrameStream(new VirtualClock())
    const card = new TestCard(stream)
    let closed = 0
    const pipe = { write: () => true, pause() {}, resume() {}, close: () => void closed++ }
    for (const cut of [1, 4]) {
      stream.attach(pipe)
      const text = Buffer.from('GET / HTTP/1.1\r\n')
      for (let at = 0; at < text.length && stream.linkUp; at += cut) stream.data(text.subarray(at, at + cut))
    }
    expect(closed).toBe(2)
    expect(card.links).toEqual([true, false, true, false])
  })

  test('a full pipe holds the card, and a full card the pipe', () => {
    const clock = new VirtualClock()
    const stream = new N.FrameStream(clock)
    const card = new TestCard(stream)
    let paused = false
    stream.attach({ write: () => false, pause: () => (paused = true), resume: () => (paused = false), close() {} })
    expect([stream.send(testFrame(60, 1)), stream.send(testFrame(60, 2)), card.drains]).toEqual([true, false, 0])
    stream.drained()
    expect(card.drains).toBe(1)
    card.full = true
    const bytes = new Uint8Array(4 + 1500)
    bytes.set([0, 0, 1500 >> 8, 1500 & 255])
    for (let i = 0; i < 1000 && !paused; i++) stream.data(bytes)
    expect(paused).toBe(true)
    card.full = false
    stream.ready()
    clock.settle()
    expect(paused).toBe(false)
    expect(card.frames.length).toBeGreaterThan(600)
  })

  test('over a Unix socket, with an end that goes and comes back', async () => {
    const at = { path: join(folder, 'cable') }
    const first = await StreamNetwork.listen(at)
    const second = await StreamNetwork.connect(at, { reconnectMs: 20 })
    const [here, there] = [new TestCard(first), new TestCard(second)]
    await until(() => first.linkUp)
    for (let i = 0; i < 500; i++) {
      const before = there.drains
      if (second.send(testFrame(1514, i))) continue
      await until(() => there.drains > before)
      i--
    }
    await until(() => here.frames.length === 500)
    expect(here.frames).toEqual(Array.from({ length: 500 }, (_, i) => testFrame(1514, i)))
    first.close()
    await until(() => !second.linkUp)
    const third = await StreamNetwork.listen(at)
    const again = new TestCard(third)
    await until(() => third.linkUp && second.linkUp)
    second.send(testFrame(60, 7))
    await until(() => again.frames.length === 1)
    expect(there.links).toEqual([false, true])
    second.close()
    third.close()
    await expect(StreamNetwork.connect({ path: join(folder, 'none') })).rejects.toThrow(N.NetworkError)
  })
})

test('over a WebSocket, each frame is a message; a lost connection is made anew', () => {
  const clock = new VirtualClock()
  const sockets: FakeSocket[] = []
  const network = new N.WebSocketNetwork(() => sockets[sockets.push(new FakeSocket()) - 1]!, {
    clock,
    reconnectMs: 100,
  })
  const card = new TestCard(network)
  expect([network.linkUp, network.send(testFrame(60, 0))]).toEqual([false, true])
  sockets[0]!.readyState = 1
  sockets[0]!.tell('open')
  network.send(testFrame(60, 1))
  sockets[0]!.tell('message', { data: testFrame(80, 2).buffer })
  sockets[0]!.tell('message', { data: 'text' })
  clock.settle()
  expect([sockets[0]!.sent, card.frames]).toEqual([[testFrame(60, 1)], [testFrame(80, 2)]])
  sockets[0]!.bufferedAmount = 2 << 20
  expect(network.send(testFrame(60, 3))).toBe(false)
  clock.advance(50)
  expect(card.drains).toBe(0)
  sockets[0]!.bufferedAmount = 0
  clock.advance(50)
  expect(card.drains).toBe(1)
  sockets[0]!.tell('close')
  clock.advance(200)
  expect([sockets.length, network.linkUp, card.links]).toEqual([2, false, [true, false]])
  network.close()
  sockets[1]!.tell('close')
  clock.advance(1000)
  expect(sockets.length).toBe(2)
})

test('a WebSocket that is lost is made anew after two seconds unless another time is asked for', () => {
  const clock = new VirtualClock()
  const sockets: FakeSocket[] = []
  const network = new N.WebSocketNetwork(() => sockets[sockets.push(new FakeSocket()) - 1]!, { clock })
  sockets[0]!.tell('close')
  clock.advance(1999)
  expect(sockets.length).toBe(1)
  clock.advance(1)
  expect(sockets.length).toBe(2)
  network.close()
})

test('a relay lets programs into a hub, and pages of the origins that were named', async () => {
  const hub = new N.Hub()
  const card = new TestCard(hub.port())
  const relay = await listenWebSocket(hub, { port: 0, origins: ['https://good.test'] })
  const url = `ws://127.0.0.1:${relay.port}`
  const network = new N.WebSocketNetwork(() => new WebSocket(url), { reconnectMs: Infinity })
  const far = new TestCard(network)
  await until(() => network.linkUp)
  network.send(testFrame(1514, 1))
  await until(() => card.frames.length === 1)
  card.network.send(testFrame(60, 2))
  await until(() => far.frames.length === 1)
  expect([card.frames, far.frames]).toEqual([[testFrame(1514, 1)], [testFrame(60, 2)]])
  const states = ['https://good.test', 'https://bad.test'].map((origin) => {
    const socket = new Client(url, { origin })
    return new Promise<string>((resolve) =>
      socket.on('open', () => resolve('open')).on('error', () => resolve('refused')),
    )
  })
  expect(await Promise.all(states)).toEqual(['open', 'refused'])
  const rebound = new Client(url, { headers: { host: `evil.test:${relay.port}` } })
  expect(await new Promise((resolve) => void rebound.on('error', ({ message }) => resolve(message)))).toMatch(/\b421$/)
  await expect(listenWebSocket(hub, { port: relay.port })).rejects.toThrow(N.NetworkError)
  relay.close()
  await until(() => !network.linkUp)
})

class FakeSocket implements N.FrameSocket {
  binaryType = ''
  bufferedAmount = 0
  readyState = 0
  readonly sent: Uint8Array[] = []
  readonly #listeners: [string, (event: { readonly data: unknown }) => void][] = []
  send(message: Uint8Array): void {
    this.sent.push(message)
  }
  close(): void {}
  addEventListener(type: string, listener: (event: { readonly data: unknown }) => void): void {
    this.#listeners.push([type, listener])
  }
  tell(type: string, event: { readonly data: unknown } = { data: null }): void {
    for (const [name, listener] of this.#listeners) if (name === type) listener(event)
  }
}

describe('a capture (pcap-savefile(5))', () => {
  test('has what was sent and what the card took, with times and cut lengths', () => {
    const clock = new VirtualClock()
    const hub = new N.Hub({ clock })
    const pieces: Uint8Array[] = []
    let now = 1_700_000_000_000_000_000n
    const network = N.capturePackets(hub.port(), (bytes) => pieces.push(bytes), {
      snapBytes: 64,
      now: () => (now += 1001n),
    })
    const [card, other] = [new TestCard(network), new TestCard(hub.port())]
    card.network.send(testFrame(100, 1))
    card.full = true
    other.network.send(testFrame(60, 2))
    clock.settle()
    card.full = false
    card.network.ready()
    clock.settle()
    const view = new DataView(new Uint8Array(Buffer.concat(pieces)).buffer)
    const words = (at: number, count: number): number[] =>
      Array.from({ length: count }, (_, i) => view.getUint32(at + 4 * i, true))
    expect(words(0, 6)).toEqual([0xa1b23c4d, 0x0004_0002, 0, 0, 64, 1])
    expect(words(24, 4)).toEqual([1_700_000_000, 1001, 64, 100])
    expect(words(24 + 16 + 64, 4)).toEqual([1_700_000_000, 2002, 60, 60])
    expect(view.byteLength).toBe(24 + 16 + 64 + 16 + 60)
    expect(() => N.capturePackets(hub.port(), () => {}, { snapBytes: 0 })).toThrow(N.NetworkError)
  })

  test('keeps 65,535 bytes of a frame unless others are asked for', () => {
    const pieces: Uint8Array[] = []
    N.capturePackets(new N.Hub({ clock: new VirtualClock() }).port(), (bytes) => pieces.push(bytes))
    expect(Buffer.from(pieces[0]!).readUInt32LE(16)).toBe(65_535)
  })

  test('holds less than 1 MiB, also while the event loop is kept busy', () => {
    const path = join(folder, 'busy.pcap')
    const capture = captureToFile(new N.Hub().port(), path)
    for (let i = 0; i < 1000; i++) capture.network.send(testFrame(1514, i))
    const all = 24 + 1000 * (16 + 1514)
    const written = readFileSync(path).length
    expect(written).toBeGreaterThan(all - (1 << 20))
    // Not each by itself.
    expect(written).toBeLessThan(all)
    capture.close()
    expect(readFileSync(path).length).toBe(all)
  })

  test('is in the file after a turn of the event loop, frame by frame', async () => {
    const path = join(folder, 'slow.pcap')
    const capture = captureToFile(new N.Hub().port(), path)
    const bytes = async (): Promise<number> => {
      await setImmediate()
      return readFileSync(path).length
    }
    expect(await bytes()).toBe(24)
    capture.network.send(testFrame(60, 0))
    expect(await bytes()).toBe(24 + 16 + 60)
    capture.network.send(testFrame(60, 1))
    expect(await bytes()).toBe(24 + 2 * (16 + 60))
    capture.close()
  })

  test('goes to a file', async () => {
    const path = join(folder, 'cable.pcap')
    const capture = captureToFile(new N.Hub().port(), path)
    const { network } = capture
    for (let i = 0; i < 1000; i++) network.send(testFrame(1514, i))
    capture.close()
    network.send(testFrame(60, 0))
    expect(readFileSync(path).length).toBe(24 + 1000 * (16 + 1514))
    expect(() => captureToFile(new N.Hub().port(), join(folder, 'no', 'folder'))).toThrow(N.NetworkError)
    // Options that cannot be leave the capture as it is.
    const before = readFileSync(path)
    expect(() => captureToFile(new N.Hub().port(), path, { snapBytes: 0 })).toThrow('snapBytes 0')
    expect(readFileSync(path)).toEqual(before)
  })

  test.each([
    { given: 'nothing', hex: '' },
    { given: 'microseconds', hex: 'd4c3b2a1 0200' },
    { given: 'microseconds of a big-endian host', hex: 'a1b2c3d4 0002' },
    { given: 'nanoseconds', hex: '4d3cb2a1 0200' },
    { given: 'nanoseconds of a big-endian host', hex: 'a1b23c4d 0002' },
    { given: 'pcapng', hex: '0a0d0d0a 1c00' },
  ])('is written over one with $given', ({ hex }) => {
    const path = join(folder, 'again.pcap')
    writeFileSync(path, Buffer.from(hex.replace(' ', ''), 'hex'))
    captureToFile(new N.Hub().port(), path).close()
    expect(readFileSync(path).length).toBe(24)
  })

  test.each(['QFI\u00fb and a disk', 'a1b', '#!/bin/sh'])('is not written over %j', (content) => {
    const path = join(folder, 'disk.img')
    writeFileSync(path, content, 'latin1')
    expect(() => captureToFile(new N.Hub().port(), path)).toThrow(
      `${path}: it is there and is no capture; it is not overwritten`,
    )
    expect(readFileSync(path, 'latin1')).toBe(content)
  })

  test.each([
    { given: 'another capture', content: 'd4c3b2a1', says: /is a symbolic link to .*target\.pcap; give the name/ },
    { given: 'an empty file', content: '', says: /is a symbolic link to .*target\.pcap; give the name/ },
    { given: 'nothing', content: null, says: 'is a symbolic link to a file that is not there; give the name' },
  ])('does not go through a link to $given', ({ content, says }) => {
    const [target, link] = [join(folder, 'target.pcap'), join(folder, 'link.pcap')]
    rmSync(target, { force: true })
    rmSync(link, { force: true })
    if (content !== null) writeFileSync(target, Buffer.from(content, 'hex'))
    symlinkSync(target, link)
    expect(() => captureToFile(new N.Hub().port(), link)).toThrow(says)
    if (content === null) expect(existsSync(target)).toBe(false)
    else expect(readFileSync(target, 'hex')).toBe(content)
  })

  test('goes through a link to what is no file', () => {
    const link = join(folder, 'null.pcap')
    symlinkSync('/dev/null', link)
    captureToFile(new N.Hub().port(), link).close()
  })
})
