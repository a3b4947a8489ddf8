/** The Python library of the device protocol, and its examples, from the machine's end of the wire. */
import { sliceTests } from '@retrap/tooling/slice'
import { afterAll, describe, expect } from 'vitest'
import { encodeProtocolFrame, type ProtocolFrame } from '../../src/protocol/index.ts'
import { BUFFERED, ENV, example, LACK, program, PYTHON, RANGE, start, there } from './python-programs.ts'
import {
  endServers,
  hello,
  numberOf,
  RawClient,
  read,
  startPiped,
  startServer,
  timer,
  word,
  write,
} from './raw-client.ts'

/** Programs are started, and sessions broken: a run has a part of it. */
const test = sliceTests(4)

afterAll(endServers)

describe.runIf(there)(`the Python library of the device protocol${LACK}`, () => {
  test("holds the document's conversation over descriptor 3, and ends with it", async () => {
    const { client, exited, errors } = startServer(PYTHON, example('thermometer'), ENV)
    client.send(hello())
    expect(await client.take('welcome')).toMatchObject({ version: 5, flags: 0, session: word(0), received: 0 })
    expect(await client.take('device')).toEqual({ kind: 'device', device: 1, flags: 1, name: 'thermometer' })
    expect(await client.take('range')).toMatchObject({ region: 1, device: 1, space: 1, base: 0xfed9_0000, bytes: 4096 })
    await client.take('ready')
    client.send(read(1, 0))
    expect(await client.take('answer')).toEqual({ kind: 'answer', call: 1, value: word(21) })
    client.send({ kind: 'bye', why: '' })
    await client.closed()
    expect(await exited()).toBe(0)
    expect(errors()).toBe('')
  })

  test('speaks over standard input and output, where the model prints elsewhere', async () => {
    const lines = [RANGE, 'def read(self, *_): print("a reading"); return 7']
    const env = { ...ENV, RETRAP_DEVICE_TRACE: '1' }
    const { input, output, errors, exited } = startPiped(PYTHON, program(...lines), env)
    const client = new RawClient(output)
    input.write(encodeProtocolFrame(hello()))
    await client.through('ready')
    input.write(encodeProtocolFrame(read(1, 0)))
    expect(await client.take('answer')).toMatchObject({ value: word(7) })
    input.end()
    expect(await exited()).toBe(0)
    expect(errors()).toContain(
      '<- read call=1 region=1 offset=0 size=4 vcpu=0 now=0\na reading\n  -> answer call=1 value=7\n',
    )
  })

  test('copies guest memory after a timer, and interrupts behind the bytes', async () => {
    const { client } = startServer(PYTHON, example('dma_copy'), ENV)
    const told = await client.open()
    expect(told).toContainEqual(
      expect.objectContaining({ kind: 'function', vendor: 0x1234, address: 256, class: 0x08_8000, pin: 1 }),
    )
    expect(told).toContainEqual(expect.objectContaining({ kind: 'bar', region: 1, function: 1, index: 0, maximum: 8 }))
    expect(told).toContainEqual({ kind: 'msi', function: 1, vectors: 1, flags: 0 })
    // More than one frame moves.
    const bytes = Uint8Array.from({ length: (1 << 19) + 1000 }, (_, at) => at * 7)
    client.send(write(1, 0, 0x10_0000, 8), write(2, 8, 0x20_0000, 8), write(3, 16, bytes.length))
    client.send(write(4, 20, 1, 4, 5000))
    for (const call of [1, 2, 3]) expect(await client.take('answer')).toMatchObject({ call })
    expect(await client.take('armTimer')).toEqual({ kind: 'armTimer', timer: 1, device: 1, deadline: word(15_000) })
    await client.take('answer')

    client.send(timer(5, 15_000))
    for (const [address, length] of [
      [0x10_0000, 1 << 19],
      [0x18_0000, 1000],
    ] as const) {
      const asked = await client.take('dmaRead')
      expect(asked).toMatchObject({ device: 1, address, length })
      const part = bytes.subarray(address - 0x10_0000, address - 0x10_0000 + length)
      client.send({ kind: 'dmaDone', call: asked.call, ok: 1, bytes: part })
    }
    const parts = [await client.take('dmaWrite'), await client.take('dmaWrite')]
    expect(parts.map(({ address }) => address)).toEqual([0x20_0000, 0x28_0000])
    expect(Buffer.concat(parts.map((part) => part.bytes)).equals(bytes)).toBe(true)
    for (const { call } of parts) client.send({ kind: 'dmaDone', call, ok: 1, bytes: new Uint8Array(0) })
    expect(await client.take('interrupt')).toEqual({ kind: 'interrupt', function: 1, vector: 0, level: 1 })
    expect(await client.take('done')).toMatchObject({ call: 5, error: '' })

    // A transfer that may not be is the device's error.
    client.send(write(6, 20, 1), timer(7, 10_000))
    await client.through('answer')
    const { call } = await client.take('dmaRead')
    const second = await client.take('dmaRead')
    for (const refused of [call, second.call])
      client.send({ kind: 'dmaDone', call: refused, ok: 0, bytes: new Uint8Array(0) })
    await client.through('done')
    client.send(read(8, 24))
    expect(await client.take('answer')).toMatchObject({ value: word(2) })
  })

  test('saves its state, and another process goes on with it', async () => {
    const first = startServer(PYTHON, example('counter'), ENV)
    const { client } = startServer(PYTHON, example('counter'), ENV)
    await first.client.open()
    first.client.send(write(1, 0, 41))
    expect(numberOf((await first.client.take('armTimer')).deadline)).toBe(1_000_000)
    await first.client.take('answer')
    first.client.send(timer(2, 1_000_000))
    expect(await first.client.take('setLine')).toEqual({ kind: 'setLine', line: 1, level: 1 })
    await first.client.through('done')
    first.client.send({ kind: 'quiesce', call: 3, device: 1, deadline: 1000 }, { kind: 'save', call: 4, device: 1 })
    expect(await first.client.take('done')).toMatchObject({ call: 3, error: '' })
    const { result: state } = await first.client.take('done')

    await client.open()
    client.send({ kind: 'restore', call: 1, device: 1, state, now: word(1_500_000) })
    expect(await client.take('setLine')).toMatchObject({ level: 1 })
    expect(await client.take('armTimer')).toMatchObject({ timer: 1, deadline: word(2_000_000) })
    expect(await client.take('done')).toMatchObject({ call: 1, error: '' })
    client.send({ kind: 'resume', call: 2, device: 1, now: word(1_500_000) }, timer(3, 2_000_000), read(4, 0))
    expect(await client.through('answer')).toMatchObject([
      { kind: 'done', call: 2 },
      { kind: 'setLine' },
      { kind: 'armTimer', deadline: word(3_000_000) },
      { kind: 'done', call: 3 },
      { kind: 'answer', value: word(43) },
    ])

    // It is the call that fails, and not the device.
    client.send({ kind: 'restore', call: 5, device: 1, state: Uint8Array.of(1, 2), now: word(0) }, read(6, 0))
    expect((await client.take('done')).error).toMatch(/^error: unpack requires a buffer/)
    await client.take('answer')
    client.send({ kind: 'reset', call: 7, device: 1, now: word(0) }, timer(8, 3_000_000), read(9, 0))
    const frames = await client.through('answer')
    // The timer that was on its way at the reset does nothing.
    expect(frames.map(({ kind }) => kind)).toEqual(['setLine', 'done', 'done', 'answer'])
    expect(frames.at(-1)).toMatchObject({ value: word(0) })
  })

  test('a handler that throws is a fault, and its call is answered', async () => {
    const fails = "  if offset == 8: raise LookupError(f'no register {offset:#x}')"
    const { client, errors, child } = start(RANGE, 'async def read(self, region, offset, size):', fails, '  return 0')
    await client.open()
    client.send(read(1, 8), read(2, 0))
    const text = 'LookupError: no register 0x8'
    expect(await client.take('fault')).toEqual({ kind: 'fault', device: 1, message: text })
    for (const call of [1, 2])
      expect(await client.take('answer')).toEqual({ kind: 'answer', call, value: { lo: 0xffff_ffff, hi: 0xffff_ffff } })
    await expect.poll(errors).toContain(text)
    expect(errors()).toContain('Traceback')
    expect(child.exitCode).toBeNull()
  })

  test('a slow read does not hold up a timer, and a cancelled one ends early only where the device says so', async () => {
    const slow = ['async def read(self, region, offset, size):', '  await self.call.cancelled.wait(); return 5']
    const kinds = async (...lines: readonly string[]): Promise<ProtocolFrame[]> => {
      const { client } = start(...lines)
      await client.open()
      client.send(write(1, 0, 0), read(2, 0), timer(3, 0))
      expect(await client.through('done')).toMatchObject([
        { kind: 'armTimer' },
        { kind: 'answer', call: 1 },
        { kind: 'log', text: 'it ticks' },
        { kind: 'done', call: 3 },
      ])
      client.send({ kind: 'cancel', call: 2 }, { kind: 'cancel', call: 99 })
      return client.through('answer')
    }
    const ticking = [
      'def __init__(self): self.mmio(0x1000, 0x1000); self.t = self.timer(self.tick)',
      'async def tick(self): await asyncio.sleep(0); self.log("it ticks")',
      'def write(self, *_): self.t.arm(0)',
    ]
    const never = ['async def read(self, *_): await asyncio.Event().wait()']
    const [deaf, cancellable] = await Promise.all([
      kinds(...ticking, ...slow),
      kinds('cancellable = True', ...ticking, ...never),
    ])
    expect(deaf).toMatchObject([{ call: 2, value: word(5) }])
    expect(cancellable).toMatchObject([{ call: 2, value: word(0) }])
  })

  test('buffered writes happen in order, and before the read behind them', async () => {
    const { client } = start(
      BUFFERED,
      'seen = b""',
      'async def write(self, region, offset, size, value):',
      '  await asyncio.sleep(0.002 * (3 - value)); self.seen += bytes([value])',
      'def read(self, *_): return int.from_bytes(self.seen, "big")',
    )
    await client.open()
    client.send(write(0, 0, 1), write(0, 0, 2), write(0, 0, 3), read(1, 0))
    expect(await client.take('answer')).toMatchObject({ call: 1, value: word(0x01_0203) })
  })

  test('calls begin in order behind a slow start, and behind a buffered write', async () => {
    const { client } = start(
      'def __init__(self): self.mmio(0x1000, 8); self.mmio(0x2000, 8, buffered=True); self.seen = 0',
      'async def start(self): await self.dma_read(0, 8)',
      'async def write(self, region, offset, size, value):',
      '  self.seen = self.seen * 16 + value',
      '  if region.id == 2: await self.dma_read(0, 8)',
      'def read(self, *_): return self.seen',
    )
    await client.open()
    const begun = await client.take('dmaRead')
    client.send(write(1, 0, 1), write(2, 0, 2), read(3, 0))
    const done = { kind: 'dmaDone', ok: 1, bytes: new Uint8Array(8) } as const
    client.send({ ...done, call: begun.call }, read(4, 0), { ...write(0, 0, 3), region: 2 }, read(5, 0))
    const frames = await client.through('dmaRead')
    expect(frames.filter(({ kind }) => kind === 'answer')).toMatchObject([
      { call: 1 },
      { call: 2 },
      { call: 3, value: word(0x12) },
      { call: 4, value: word(0x12) },
    ])
    const { call } = frames.at(-1) as ProtocolFrame<'dmaRead'>
    client.send({ ...done, call })
    expect(await client.take('answer')).toMatchObject({ call: 5, value: word(0x123) })
  })

  test('acts of its own, memory of its own, and all that it may tell', async () => {
    const { client } = start(
      'offered = True',
      'stateless = True',
      'def __init__(self):',
      '  self.vram = self.memory("vram", 8192, saved=False).window(0xe0000000)',
      '  self.f = self.pci(1, 2, class_code=3, slot=5, pin=0)',
      '  self.f.bar(2, 8192, type="mem64", prefetchable=True, memory=self.vram)',
      '  self.f.msix(4, bar=4).capability(9, b"abc", writable=b"\\xff")',
      'def start(self): self.spawn(self.later())',
      'async def later(self):',
      '  await self.vram.write(4, b"pixels")',
      '  self.interrupt(3)',
      '  raise OSError("the sensor is gone")',
    )
    const told = await client.open()
    expect(told.slice(1, -1)).toMatchObject([
      { kind: 'device', flags: 3 },
      { kind: 'memory', memory: 1, bytes: 8192, flags: 4, name: 'vram' },
      { kind: 'window', memory: 1, base: 0xe000_0000 },
      { kind: 'function', address: 40, vendor: 1, id: 2, class: 3, pin: 0, bus: '' },
      { kind: 'bar', index: 2, type: 2, bytes: 8192, flags: 2, memory: 1 },
      { kind: 'msix', vectors: 4, bar: 4, offset: 0, pending: 0 },
      { kind: 'capability', id: 9, version: 0 },
    ])
    const { call, bytes } = await client.take('memoryWrite')
    expect(Buffer.from(bytes).toString()).toBe('pixels')
    client.send({ kind: 'dmaDone', call, ok: 1, bytes: new Uint8Array(0) })
    expect(await client.take('interrupt')).toMatchObject({ vector: 3, level: 1 })
    expect(await client.take('fault')).toMatchObject({ message: 'OSError: the sensor is gone' })
  })
})
