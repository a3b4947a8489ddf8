/** Sessions of the Python library of the device protocol: connections one after another, and machines that do as they should not. */
import { join } from 'node:path'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { encodeProtocolFrame, type ProtocolFrame } from '../../src/protocol/index.ts'
import { BUFFERED, ENV, example, LACK, program, PYTHON, RANGE, start, there } from './python-programs.ts'
import { endServers, hello, read, startListening, startServer, word, write } from './raw-client.ts'

/** Programs are started, and sessions broken: a run has a part of it. */
const test = sliceTests(4)

const folder = temporaryFolder('python')
afterAll(endServers)

describe.runIf(there)(`sessions of the Python library${LACK}`, () => {
  test('a machine that takes nothing ends the session, and the program', async () => {
    const { client, errors, exited } = start(
      RANGE,
      'async def read(self, *_):',
      '  for _ in range(200): self.dma_write(0, bytes(1 << 19))',
    )
    await client.open()
    client.stream.pause()
    client.send(read(1, 0))
    expect(await exited()).toBe(1)
    expect(errors()).toMatch(/^-c: the machine has not taken the last \d+ bytes\n$/)
  })

  test('a session goes on over another connection, with nothing lost or twice', async () => {
    const path = join(folder, 'again')
    const lines = [
      'def __init__(self): self.mmio(0x1000, 0x1000); self.n = 0',
      'async def read(self, region, offset, size):',
      '  self.n += 1; n = self.n',
      '  await asyncio.sleep(0.001)',
      '  self.log(str(n)); return n',
    ]
    const server = await startListening(PYTHON, [...program(...lines), `unix:${path}`], { path }, ENV)
    let client = await server.connect()
    await client.open()
    const got: ProtocolFrame[] = []
    const sent: ProtocolFrame<'read'>[] = []
    let asked = client.frames.length
    // Breaks at any place: with frames on their way in both directions, and more than 64 without a word of ours. A round
    // is sure of 200 frames, as all of the rounds before may have come already.
    for (let round = 0; round < 8; round++) {
      const fresh = Array.from({ length: 100 }, (_, n) => read(round * 100 + n + 1, 0))
      sent.push(...fresh)
      client.send(...fresh)
      for (let n = 0; n < round * 28; n++) await client.next()
      client.break()
      await client.closed()
      got.push(...client.frames.slice(asked))
      const before = client.received
      client = await server.connect()
      client.received = before
      client.send(hello({ received: before }))
      const welcome = await client.take('welcome')
      expect(welcome).toMatchObject({ flags: 1, session: hello().session })
      asked = 1
      client.send(...sent.slice(welcome.received))
    }
    const isNew = ({ kind }: ProtocolFrame): boolean => kind === 'answer' || kind === 'log'
    const all = (): ProtocolFrame[] => [...got, ...client.frames.slice(asked)].filter(isNew)
    while (all().length < 1600) await client.next()
    const answers = all().filter(({ kind }) => kind === 'answer') as ProtocolFrame<'answer'>[]
    expect(answers.map(({ call }) => call).toSorted((a, b) => a - b)).toEqual(sent.map(({ call }) => call))
    expect(answers.map(({ value }) => value.lo).toSorted((a, b) => a - b)).toEqual(sent.map(({ call }) => call))
    expect(all()).toHaveLength(1600)
    // One that says it has what was never sent is refused, and the session stays.
    const liar = await server.connect()
    liar.send(hello({ received: 9999 }))
    expect((await liar.take('bye')).why).toMatch(/^the machine has got \d+ frames more, and \d+ were on their way$/)
    // Another session is another machine, with a device of its own; a bye ends one, which then is not known any more.
    const other = await server.connect()
    await other.open({ session: word(9) })
    other.send(read(1, 0))
    expect((await other.through('answer')).at(-1)).toMatchObject({ value: word(1) })
    client.send({ kind: 'bye', why: 'enough' })
    await client.closed()
    const late = await server.connect()
    late.send(hello({ received: 5 }))
    expect(await late.take('welcome')).toMatchObject({ session: word(0), received: 0 })
    expect(server.errors().match(/Traceback/g)).toBeNull()
  })

  test('frames that ask for nothing are acknowledged', async () => {
    const path = join(folder, 'acks')
    const server = await startListening(PYTHON, [...program(BUFFERED), `unix:${path}`], { path }, ENV)
    const client = await server.connect()
    await client.open()
    client.send(...Array.from({ length: 64 }, () => write(0, 0, 1)))
    await expect.poll(() => [client.acks, client.seen]).toEqual([1, 64])
  })

  test('an object serves one machine at a time, and is reset for the next', async () => {
    const path = join(folder, 'shared')
    const lines = [RANGE, 'n = 40', 'def read(self, *_): self.n += 1; return self.n', 'def reset(self): self.n = 0']
    const args = program(...lines).map((line) => line.replace('serve(D)', 'serve(D())'))
    const server = await startListening(PYTHON, [...args, `unix:${path}`], { path }, ENV)
    const first = await server.connect()
    await first.open()
    first.send(read(1, 0))
    expect(await first.take('answer')).toMatchObject({ value: word(41) })
    const refused = await server.connect()
    refused.send(hello({ session: word(2) }))
    expect((await refused.take('bye')).why).toContain('serve another machine')
    await refused.closed()
    first.break()
    await first.closed()
    // The server may not have seen it yet.
    let next = await server.connect()
    next.send(hello({ session: word(2) }))
    while ((await next.next()).kind === 'bye') {
      next = await server.connect()
      next.send(hello({ session: word(2) }))
    }
    await next.through('ready')
    next.send(read(1, 0))
    expect(await next.take('answer')).toMatchObject({ value: word(1) })
  })

  describe('a machine that does not keep to the protocol', () => {
    const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)
    const cut = encodeProtocolFrame(read(1, 0)).slice(0, 48)
    cut[0] = 48
    const large = encodeProtocolFrame(read(1, 0))
    large[23] = 0xff
    const badText = encodeProtocolFrame({ kind: 'bye', why: 'x' })
    badText[16] = 0xff
    const long = encodeProtocolFrame({ kind: 'dmaDone', call: 1, ok: 1, bytes: bytes(1) })
    long[24] = 200
    // One server for all of them: it serves on.
    let server: Awaited<ReturnType<typeof startListening>>
    beforeAll(async () => {
      const path = join(folder, 'bad')
      server = await startListening(PYTHON, [...example('thermometer'), `unix:${path}`], { path }, ENV)
    })
    test.each([
      ['a length below a header', bytes(0, 0, 0, 0, 1, 0, 0, 0), 'a frame of 0 bytes: expected a multiple of 8'],
      ['a length of no multiple of 8', bytes(9, 0, 0, 0, 1, 0, 0, 0), 'a frame of 9 bytes'],
      ['a length of 2 GiB', bytes(0, 0, 0, 128, 1, 0, 0, 0), 'a frame of 2147483648 bytes'],
      ['a kind that there is not', bytes(8, 0, 0, 0, 99, 0, 0, 0), 'a frame of kind 99, which there is not'],
      ["a server's kind", encodeProtocolFrame({ kind: 'ready' }), 'a ready frame, which a machine does not send here'],
      ['a second hello', encodeProtocolFrame(hello()), 'a hello frame, which a machine does not send here'],
      ['fields that are cut off', cut, 'a read frame of 48 bytes: its fields take 56'],
      ['a number above 2^53', large, 'region of a read frame is'],
      ['text that is no UTF-8', badText, 'why of a bye frame is no UTF-8'],
      ['bytes beyond the frame', long, 'a dmaDone frame ends within bytes'],
      ['a region that there is not', encodeProtocolFrame(read(1, 0, 7)), 'a read of region 7, which there is not'],
      ['an access beyond its region', encodeProtocolFrame(read(1, 4094)), 'a read of 4 bytes at 4094 of region 1'],
      ['a read with call 0', encodeProtocolFrame(read(0, 0)), 'a read with call 0'],
      [
        'a dmaDone of nothing',
        encodeProtocolFrame({ kind: 'dmaDone', call: 4, ok: 1, bytes: bytes() }),
        'a dmaDone of call 4, which is not open',
      ],
    ])('%s ends the session with a sentence', async (_, frame, sentence) => {
      const client = await server.connect()
      await client.open()
      client.sendBytes(frame)
      expect((await client.take('bye')).why).toContain(sentence)
      await client.closed()
    })

    test('one of another version, and one that begins otherwise', async () => {
      const old = await server.connect()
      old.send(hello({ version: 4 }))
      expect((await old.take('bye')).why).toBe('the machine speaks version 4: expected 5')
      const other = await server.connect()
      other.send(read(1, 0))
      expect((await other.take('bye')).why).toBe('the first frame is of kind 3: expected hello')
      const third = await server.connect()
      await third.open()
      expect(server.errors()).not.toContain('Traceback')
    })

    test('a program that it has started ends with status 1', async () => {
      const { client, exited, errors } = startServer(PYTHON, example('thermometer'), ENV)
      await client.open()
      client.sendBytes(bytes(8, 0, 0, 0, 99, 0, 0, 0))
      await client.closed()
      expect(await exited()).toBe(1)
      expect(errors()).toBe('thermometer.py: a frame of kind 99, which there is not\n')
    })
  })
})
