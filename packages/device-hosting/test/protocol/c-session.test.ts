/** The C library where the machine or the connection misbehaves. Its programs end at any memory error. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PATIENCE_MS } from '@retrap/tooling/patience'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import fc from 'fast-check'
import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, beforeAll, describe, expect, vi } from 'vitest'
import { encodeProtocolFrame, type MachineFrame, type ProtocolFrame, ProtocolReader } from '../../src/protocol/index.ts'
import { ProtocolSession } from '../../src/protocol/session.ts'
import { Client, compile, launch, SANITIZERS, SDK, serve } from './c-client.ts'
import { endServers, hello, read as reads, word, write } from './raw-client.ts'

/** Programs are started, and sessions broken: a run has a part of it. */
const test = sliceTests(4)

const compiles = hasProgram('gcc')
const NOTHING = new Uint8Array(0)
/** A read of 4 bytes, or of another region, size or offset. */
const read = (call: number, fields: Partial<ProtocolFrame<'read'>> = {}): ProtocolFrame<'read'> => ({
  ...{ ...reads(call, 0), ...fields },
})

const restore = (state: Uint8Array): MachineFrame => ({ kind: 'restore', call: 1, device: 1, state, now: word(0) })

/** A frame with some of its bytes changed. */
function changed(
  frame: MachineFrame,
  ...changes: readonly (readonly [at: number, bytes: readonly number[]])[]
): Uint8Array {
  const bytes = encodeProtocolFrame(frame)
  for (const [at, to] of changes) bytes.set(to, at)
  return bytes
}

describe.skipIf(!compiles)(`sessions in C${skipNote(compiles, 'gcc is not installed')}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-c-'))
  let model = ''
  let thermometer = ''
  beforeAll(async () => {
    const made = (source: string, name: string): Promise<string> =>
      // A compiler without sanitizers still shows what the machine sees.
      compile(source, join(folder, name), ['-O0', ...SANITIZERS]).catch(() => compile(source, join(folder, name)))
    ;[model, thermometer] = await Promise.all([
      made(new URL('c-model.c', import.meta.url).pathname, 'model'),
      made(join(SDK, 'examples/thermometer.c'), 'thermometer'),
    ])
  })
  afterAll(async () => {
    await endServers()
    rmSync(folder, { recursive: true })
  })

  const HELLO = encodeProtocolFrame(hello())
  test.each<[name: string, sent: Uint8Array | MachineFrame, says: RegExp, opens?: boolean]>([
    [
      'a length below the header',
      Uint8Array.of(4, 0, 0, 0, 3, 0, 0, 0),
      /a frame of 4 bytes: expected a multiple of 8/,
    ],
    ['a length that is odd', changed(read(1), [0, [57]]), /a frame of 57 bytes/],
    ['a length above 1 MiB', changed(read(1), [0, [8, 0, 16, 0]]), /a frame of 1048584 bytes/],
    [
      'a length that ends within its fields',
      changed(read(1), [0, [24]]),
      /read frame of 24 bytes ends within its fields/,
    ],
    ['a length beyond its fields', changed(read(1), [0, [64]]).subarray(0, 56), /ended within a frame/],
    [
      'bytes behind its fields',
      Buffer.concat([changed(read(1), [0, [64]]), new Uint8Array(8)]),
      /read frame of 64 bytes: its fields take 56/,
    ],
    ['an unknown kind', changed(read(1), [4, [200]]), /a frame of kind 200/],
    ['kind 0', changed(read(1), [4, [0]]), /a frame of kind 0/],
    ['a frame of a server', changed(read(1), [4, [44]]), /a frame of kind 44/],
    ['a second hello', HELLO, /hello a second time/],
    ['a number above 2^53 - 1', changed(read(1), [16 + 6, [0x20]]), /0x20000000000001 in a read frame/],
    ['a region that there is not', read(1, { region: 9 }), /read frame names region 9/],
    ['an offset behind the region', read(1, { offset: 4096 }), /4 bytes at offset 0x1000 of region 1/],
    ['an end behind the region', read(1, { offset: 4093 }), /offset 0xffd of region 1, which has 0x1000/],
    ['a size that is none', read(1, { size: 3 }), /an access of 3 bytes/],
    ['a read with call 0', read(0), /a read frame has call 0/],
    ['a device that there is not', { kind: 'save', call: 1, device: 5 }, /save frame names device 5/],
    [
      'a timer that there is not',
      { kind: 'timer', call: 1, timer: 5, deadline: word(0), now: word(0) },
      /timer frame names timer 5/,
    ],
    ['dmaDone of nothing', { kind: 'dmaDone', call: 3, ok: 1, bytes: NOTHING }, /call 3, which is not open/],
    [
      'a state longer than its frame',
      changed(restore(new Uint8Array(16)), [24, [200]]),
      /restore frame of 56 bytes has 200 in a field/,
    ],
    [
      'a state of nearly 2^53 bytes',
      changed(restore(NOTHING), [24, [255, 255, 255, 255, 255, 255, 31]]),
      /has 9007199254740991 in a field/,
    ],
    [
      'bytes that are not zero behind a state',
      changed(restore(new Uint8Array(3)), [36, [1]]),
      /no zeros behind its bytes/,
    ],
    ['a frame that ends', encodeProtocolFrame(read(1)).subarray(0, 30), /ended within a frame/],
    ['no hello', read(1), /first frame is of kind 3: expected hello/, false],
    ['another version', hello({ version: 4 }), /speaks version 4: expected 5/, false],
    ['a hello that ends', HELLO.subarray(0, 20), /ended within hello/, false],
    ['session 0', hello({ session: word(0) }), /has a session of 0/, false],
    ['a hello that is longer', changed(hello(), [0, [56]]), /hello frame of 56 bytes: its fields take 48/, false],
  ])('%s ends it with a sentence', async (_name, sent, says, opens = true) => {
    const { client, exited, errors } = launch(model)
    if (opens) await client.open()
    client.stream.write(sent instanceof Uint8Array ? sent : encodeProtocolFrame(sent))
    client.stream.end()
    expect(await exited()).toBe(1)
    expect(errors()).toMatch(says)
    expect(errors().trimEnd().split('\n')).toHaveLength(1)
  })

  test.each<[name: string, done: Omit<ProtocolFrame<'dmaDone'>, 'kind' | 'call'>, says: string]>([
    ['fewer bytes', { ok: 1, bytes: new Uint8Array(63) }, 'a dmaDone frame has 63 bytes: expected 64'],
    ['more bytes', { ok: 1, bytes: new Uint8Array(500_000) }, 'a dmaDone frame has 500000 bytes: expected 64'],
    ['bytes that were refused', { ok: 0, bytes: new Uint8Array(64) }, 'a dmaDone frame has 64 bytes: expected 0'],
    ['another yes', { ok: 2, bytes: new Uint8Array(64) }, 'a dmaDone frame has 64 bytes: expected 64, and ok 0 or 1'],
  ])('dmaDone with %s ends it', async (_name, done, says) => {
    const { client, exited, errors } = launch(model)
    await client.open()
    client.write(8, 64)
    client.send({ kind: 'dmaDone', call: (await client.take('dmaRead')).call, ...done })
    expect((await client.take('bye')).why).toContain(says)
    expect(await exited()).toBe(1)
    expect(errors()).toContain(says)
  })

  test('a model that names what it has not declared is told, and so is the machine', async () => {
    const { client, exited, errors } = launch(model)
    await client.open()
    client.write(72, 0)
    expect((await client.take('bye')).why).toBe('retrap_interrupt names function 99, which is not declared')
    expect(await exited()).toBe(1)
    expect(errors()).toContain('function 99')
    const stops = launch(model)
    await stops.client.open()
    stops.client.write(80, 0)
    expect((await stops.client.take('bye')).why).toBe('it has had enough')
    expect(await stops.exited()).toBe(0)
    // A machine that is gone without a word.
    const left = launch(model)
    await left.client.open()
    left.client.break()
    expect(await left.exited()).toBe(0)
  })

  test('any bytes leave a server that listens ready for the next machine', async () => {
    const server = await serve(model, `unix:${join(folder, 'any')}`)
    const frames: readonly MachineFrame[] = [
      hello(),
      ...[
        read(1),
        write(2, 8, 100_000),
        read(3, { offset: 16 }),
        write(0, 0, 5),
        write(4, 40, 0),
        write(5, 32, 40_000),
      ],
      { kind: 'restore', call: 6, device: 1, state: new Uint8Array(40).fill(7), now: word(0) },
      { kind: 'quiesce', call: 7, device: 1, deadline: 5 },
      { kind: 'save', call: 8, device: 2 },
      { kind: 'timer', call: 9, timer: 1, deadline: word(3), now: word(4) },
      { kind: 'reset', call: 10, device: 1, now: word(4) },
      { kind: 'cancel', call: 3 },
      { kind: 'bye', why: 'so long' },
    ]
    const conversation = frames.map((frame) => encodeProtocolFrame(frame))
    let session = 1000
    const change = fc.record({ frame: fc.nat(frames.length), at: fc.nat(80), to: fc.nat(255) })
    const machine = fc.record({ changes: fc.array(change, { maxLength: 3 }), cut: fc.nat(400), moved: fc.nat(3) })
    await fc.assert(
      fc.asyncProperty(machine, async ({ changes, cut, moved }) => {
        const change = (bytes: Uint8Array, index: number): Uint8Array => {
          for (const { frame, at, to } of changes) if (frame === index) bytes[at % bytes.length] = to
          return bytes
        }
        const parts = [encodeProtocolFrame(hello({ session: word(session++) })), ...conversation.slice(1)]
        const sent = parts.map((bytes, i) => change(Uint8Array.from(bytes), i))
        // Frames in another order, and an end within one.
        const bytes = Buffer.concat([...sent.slice(0, 1), ...sent.slice(1 + moved), ...sent.slice(1, 1 + moved)])
        const socket = await server.connect()
        const reader = new ProtocolReader()
        const closed = new Promise<void>((resolve) => socket.on('error', () => {}).on('close', () => resolve()))
        socket.on('data', (chunk) =>
          reader.push(chunk, ({ frame }) => {
            if (!('call' in frame) || frame.call === 0 || frame.kind === 'answer' || frame.kind === 'done') return
            const moves = new Uint8Array('length' in frame ? frame.length : 0)
            socket.write(
              change(encodeProtocolFrame({ kind: 'dmaDone', call: frame.call, ok: 1, bytes: moves }), frames.length),
            )
          }),
        )
        socket.write(cut < 200 ? bytes : bytes.subarray(0, Math.floor((bytes.length * (cut - 200)) / 200)))
        // It answers, or has closed.
        if (cut < 200) await Promise.race([closed, once(socket, 'data').catch(() => {})])
        socket.end()
        await closed
      }),
      { numRuns: 200 },
    )
    expect(server.child.exitCode, server.errors()).toBe(null)
    const client = new Client(await server.connect())
    await client.open({ session: word(9) })
    // As for any machine but the first, its devices have been reset.
    expect((await client.take('armTimer')).device).toBe(1)
    expect((await client.take('armTimer')).device).toBe(2)
    await client.ask(0)
  })

  test.each([
    { loop: 'the library', args: [], rounds: 50 },
    { loop: 'the program', args: ['poll'], rounds: 25 },
  ])('a session goes on over other connections, with nothing lost or done twice; the loop is of $loop', async (row) => {
    const server = await serve(model, 'tcp:127.0.0.1:0', ...row.args)
    const posted: number[] = []
    const failed: Error[] = []
    const memory = new Uint8Array(200_000).map((_, i) => i * 7)
    let interrupts = 0
    let copied = 0
    const session: ProtocolSession = new ProtocolSession({
      session: word(4242),
      realTime: false,
      now: () => word(0),
      onFailed: (error) => failed.push(error),
      onFrame: (frame) => {
        if (frame.kind === 'interrupt') interrupts++
        if (frame.kind === 'dmaRead')
          session.send({ kind: 'dmaDone', call: frame.call, ok: 1, bytes: memory.subarray(0, frame.length) })
        if (frame.kind === 'dmaWrite' && frame.call !== 0) {
          if (Buffer.from(frame.bytes).equals(memory.subarray(0, frame.bytes.length))) copied++
          session.send({ kind: 'dmaDone', call: frame.call, ok: 1, bytes: NOTHING })
        } else if (frame.kind === 'dmaWrite') posted.push(frame.bytes.length)
      },
    })
    let socket: Socket | undefined
    const connect = async (): Promise<void> => {
      const made = await server.connect()
      socket = made
      made.on('error', () => {})
      made.on('data', (chunk) => socket === made && session.receive(Uint8Array.from(chunk)))
      session.connect({
        get backlog() {
          return made.writableLength
        },
        write: (bytes) => void made.write(bytes),
        close: () => made.end(),
      })
    }
    await connect()
    let draw = 12345
    const below = (bound: number): number => (draw = (Math.imul(draw, 1103515245) + 12345) >>> 0) % bound
    const call = { region: 1, size: 4, vcpu: 0, now: word(0) } as const
    let asked = 0
    for (let round = 0; round < row.rounds; round++) {
      const calls: Promise<unknown>[] = []
      for (let i = 0; i < 40; i++) {
        const expected = asked++
        calls.push(session.access({ kind: 'read', offset: 0, ...call }).then(({ lo }) => expect(lo).toBe(expected)))
      }
      calls.push(session.access({ kind: 'write', offset: 8, value: word(memory.length), ...call }))
      calls.push(session.access({ kind: 'write', offset: 32, value: word(70_000), ...call }))
      // It breaks before, within and behind the frames of either side; the old one may seem to be there still.
      for (let breaks = below(3); breaks > 0; breaks--) {
        for (let turns = below(12); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
        session.disconnected()
        const old = socket!
        if (below(2) === 0) old.destroy()
        await connect()
        old.destroy()
      }
      await Promise.all(calls)
    }
    expect(failed).toEqual([])
    expect(asked).toBe(40 * row.rounds)
    expect([copied, posted.length, interrupts]).toEqual([row.rounds, row.rounds, row.rounds])
    expect(server.errors()).toContain('the session goes on')
    // Another machine is refused meanwhile, and has its turn, with devices in their state at power-on, when this one is gone.
    const second = new Client(await server.connect())
    second.send(hello({ session: word(5) }))
    expect((await second.take('bye')).why).toBe('it serves another machine')
    session.close()
    await vi.waitUntil(() => server.errors().includes('the machine has left'), { timeout: PATIENCE_MS })
    const third = new Client(await server.connect())
    expect((await third.open({ session: word(6) }))[0]).toMatchObject({ session: word(0), received: 0, flags: 1 })
    expect(await third.take('armTimer')).toMatchObject({ timer: 11, device: 1 })
  })

  test('a session that the server does not know is new to it', async () => {
    const server = await serve(thermometer, `unix:${join(folder, 'anew')}`)
    const client = new Client(await server.connect())
    client.send(hello({ received: 500 }))
    expect(await client.take('welcome')).toMatchObject({ session: word(0), received: 0 })
    // What the machine has got of it cannot be more than was sent.
    const told = await (async () => {
      client.stream.destroy()
      const again = new Client(await server.connect())
      again.send(hello({ received: 500 }))
      return again.take('bye')
    })()
    expect(told.why).toMatch(/has got 500 frames of \d+/)
  })

  test('calls without bound while a callback waits end the session, not the memory', async () => {
    const { client, exited, errors } = launch(model)
    await client.open()
    client.write(8, 64)
    const flood = Buffer.concat(Array.from({ length: 1000 }, () => encodeProtocolFrame(write(0, 0, 1))))
    for (let i = 0; i < 60; i++) client.stream.write(flood)
    expect(await exited()).toBe(1)
    expect(errors()).toContain('raise RETRAP_QUEUE_BYTES')
  })

  test('a machine that reads slowly makes the model wait, and gets everything', async () => {
    const { client } = launch(model)
    await client.open()
    client.stream.pause()
    const calls = Array.from({ length: 12 }, () => client.write(32, 3 << 20))
    await new Promise((resolve) => setTimeout(resolve, 20))
    client.stream.resume()
    for (const call of calls) {
      for (let at = 0; at < 3 << 20;) {
        const { bytes } = await client.take('dmaWrite')
        at += bytes.length
      }
      await client.take('interrupt')
      await client.answered(call)
    }
  })
})
