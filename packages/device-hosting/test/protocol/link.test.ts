/** Both ends of a session over connections that break: what is acknowledged, sent again, and refused. */
import { describe, expect, test } from 'vitest'
import type { IoreqError } from '@retrap/ioreq'
import { encodeProtocolFrame, ProtocolReader, type ProtocolFrame } from '../../src/protocol/index.ts'
import { type FrameLink, MachineLink, type ProtocolStream, ServerLink } from '../../src/protocol/link.ts'

const NOW = { lo: 0, hi: 0 }
const SESSION = { lo: 7, hi: 0 }
const model = (...bytes: readonly number[]): ProtocolFrame => ({ kind: 'model', bytes: Uint8Array.from(bytes) })

/** A connection whose other end is a test: it sees frames, and their counts of what has arrived. */
class Seen implements ProtocolStream {
  readonly backlog = 0
  readonly frames: ProtocolFrame[] = []
  readonly counts: number[] = []
  isClosed = false
  readonly #reader = new ProtocolReader()
  write(bytes: Uint8Array): void {
    this.#reader.push(Uint8Array.from(bytes), ({ frame, seen }) => {
      this.frames.push(frame)
      this.counts.push(seen)
    })
  }
  close(): void {
    this.isClosed = true
  }
  get kinds(): readonly string[] {
    return this.frames.map(({ kind }) => kind)
  }
}

/** A machine that is connected, and how many frames it has had and sent. */
function machine() {
  const taken: ProtocolFrame[] = []
  const failed: IoreqError[] = []
  const link = new MachineLink({
    ...{ session: SESSION, realTime: false, hostsModels: true },
    now: () => NOW,
    onFrame: (frame) => taken.push(frame),
    onFailed: (error) => failed.push(error),
  })
  return { link, taken, failed }
}

const welcome = { kind: 'welcome', version: 5, flags: 3, session: NOW, received: 0, name: 'x' } as const
const put = (link: FrameLink, frame: ProtocolFrame, seen = 0): void =>
  void link.receive(encodeProtocolFrame(frame, seen))

function connected() {
  const made = machine()
  const stream = new Seen()
  made.link.connect(stream)
  put(made.link, welcome)
  return { ...made, stream }
}

describe('frames of a session', () => {
  test('are acknowledged by the header of the next frame, and by a frame of its own after 64, or 64 KiB', () => {
    const { link, stream, taken } = connected()
    for (let i = 0; i < 63; i++) put(link, model(i))
    expect(stream.kinds).toEqual(['hello'])
    put(link, model(63))
    link.send(model(1))
    put(link, { kind: 'model', bytes: new Uint8Array(1 << 16) })
    expect([stream.kinds, stream.counts, taken.length]).toEqual([['hello', 'ack', 'model', 'ack'], [0, 64, 64, 65], 65])
  })

  test('that the other end lacks are sent again over the next connection, and no others', () => {
    const { link, failed } = connected()
    for (let i = 0; i < 5; i++) link.send(model(i))
    put(link, { kind: 'ack' }, 2)
    expect([link.acknowledged, link.disconnected(), link.isConnected]).toEqual([2, true, false])
    link.send(model(5))
    const stream = new Seen()
    link.connect(stream)
    put(link, { ...welcome, session: SESSION, received: 3 })
    expect(stream.frames.slice(1)).toEqual([model(3), model(4), model(5)])
    expect(failed).toEqual([])
  })

  test('wait from a mebibyte on, until they are acknowledged, or the session ends', async () => {
    const { link } = connected()
    const large = { kind: 'model', bytes: new Uint8Array(1 << 17) } as const
    let sent = 0
    for (; link.writable; sent++) link.send(large)
    let drained = false
    const end = link.drained().then(() => (drained = true))
    await Promise.resolve()
    expect([sent, drained]).toEqual([8, false])
    put(link, { kind: 'ack' }, sent)
    await end
    for (; link.writable;) link.send(large)
    const ended = link.drained()
    link.close()
    await ended
    expect(link.writable).toBe(false)
  })

  test('a ping has an ack for its reply, whatever is on its way', () => {
    const { link, stream } = connected()
    put(link, model(1))
    put(link, { kind: 'ping' })
    expect([stream.kinds, stream.counts]).toEqual([
      ['hello', 'ack'],
      [0, 1],
    ])
  })
})

describe('two ends', () => {
  /** Joins both ends by a connection that may be cut. */
  function join() {
    const near = machine()
    const taken: ProtocolFrame[] = []
    const failed: IoreqError[] = []
    const server = new ServerLink('x', {
      onFrame: (frame) => taken.push(frame),
      onFailed: (error) => failed.push(error),
    })
    const underWay: (() => void)[] = []
    const flush = (): void => {
      for (let go = underWay.shift(); go !== undefined; go = underWay.shift()) go()
    }
    /** Makes a connection. @returns cuts it: what is under way is lost */
    const dial = (): (() => void) => {
      const wire = (take: (bytes: Uint8Array) => unknown): ProtocolStream => ({
        ...{ backlog: 0, close: () => {} },
        write: (bytes) => void underWay.push(() => take(Uint8Array.from(bytes))),
      })
      const toMachine = wire((bytes) => near.link.receive(bytes))
      let isOpen = false
      const toServer = wire((bytes) => {
        if (isOpen) return void server.receive(bytes)
        isOpen = true
        new ProtocolReader().push(bytes, ({ frame }) => server.connect(toMachine, frame as ProtocolFrame<'hello'>))
      })
      near.link.connect(toServer)
      flush()
      return () => {
        underWay.length = 0
        near.link.disconnected()
        server.disconnected()
      }
    }
    return { near, server, taken, failed, dial, flush }
  }

  test('lose nothing and have nothing twice, wherever the connection is cut', () => {
    const { near, server, taken, failed, dial, flush } = join()
    let cut = dial()
    for (let i = 0; i < 200; i++) {
      near.link.send(model(i))
      server.send(model(i, 1))
      if (i % 3 === 0) flush()
      if (i % 7 === 3) cut()
      if (i % 7 === 5) cut = dial()
    }
    cut()
    dial()
    const numbers = (frames: readonly ProtocolFrame[]): number[] =>
      frames.map((frame) => (frame.kind === 'model' ? frame.bytes[0]! : -1))
    const all = Array.from({ length: 200 }, (_, i) => i)
    expect([numbers(taken), numbers(near.taken), failed, near.failed]).toEqual([all, all, [], []])
  })

  test.each([
    { what: 'another version', frame: { ...welcome, version: 6 }, why: /speaks version 6: expected 5/ },
    { what: 'devices that it declares', frame: { ...welcome, flags: 1 }, why: /give its address to --device$/ },
    { what: 'bye', frame: { kind: 'bye', why: 'full' } as const, why: /^full$/ },
  ])('a server with $what is told, and the machine as well', ({ frame, why }) => {
    const { link, failed } = machine()
    const stream = new Seen()
    link.connect(stream)
    put(link, frame)
    expect([failed.length, failed[0]?.message, link.hasSaidBye]).toEqual([
      1,
      expect.stringMatching(why),
      frame.kind === 'bye',
    ])
    expect(stream.frames.at(-1)).toEqual({ kind: 'bye', why: failed[0]!.message })
  })
})
