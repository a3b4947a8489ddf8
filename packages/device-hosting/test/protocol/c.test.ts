/** The C library of the device protocol, and its examples: `PROTOCOL.md`, and the machine's end of a session. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { encodeProtocolFrame, type MachineFrame, type ProtocolFrame } from '../../src/protocol/index.ts'
import { Client, compile, launch, SDK, serve, WARNINGS } from './c-client.ts'
import { endServers, hello, read, word, write } from './raw-client.ts'

/** Programs are started, and sessions broken: a run has a part of it. */
const test = sliceTests(2)

const compiles = hasProgram('gcc')
const CPP = 'g++'
const compilesCpp = hasProgram(CPP)
const MODEL = new URL('c-model.c', import.meta.url).pathname
const bytesOf = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 0xff)

describe.skipIf(!compiles)(`devices in C${skipNote(compiles, 'gcc is not installed')}`, () => {
  const folder = temporaryFolder('c')
  const programs = { thermometer: '', 'dma-copy': '', counter: '', model: '' }
  const start = (name: keyof typeof programs): ReturnType<typeof launch> => launch(programs[name])
  beforeAll(async () => {
    const sources = Object.keys(programs) as (keyof typeof programs)[]
    await Promise.all(
      sources.map(async (name) => {
        const source = name === 'model' ? MODEL : join(SDK, 'examples', `${name}.c`)
        programs[name] = await compile(source, join(folder, name), [name === 'thermometer' ? '-O2' : '-O0'])
      }),
    )
  })
  afterAll(endServers)

  test.skipIf(!compilesCpp)(
    `the header has no warnings as C99 and C++11, and README.md shows a model${skipNote(compilesCpp, 'g++ is not installed')}`,
    () => {
      const input = `#define RETRAP_DEVICE_IMPLEMENTATION\n#include "retrap-device.h"\nint main(void) { return 0; }\n`
      const flags = ['-fsyntax-only', '-I', SDK, ...WARNINGS]
      for (const source of [input, input.slice(input.indexOf('\n'))]) {
        execFileSync('gcc', [...flags, '-std=c99', '-x', 'c', '-'], { input: source })
        execFileSync(CPP, [...flags, '-std=c++11', '-x', 'c++', '-'], { input: source })
      }
      const [, shown = ''] = /```c\n(.*?)```/s.exec(readFileSync(join(SDK, 'README.md'), 'utf8')) ?? []
      expect(shown).toContain('retrap_run')
      execFileSync('gcc', [...flags, '-std=c99', '-Wno-unused-parameter', '-x', 'c', '-'], { input: shown })
    },
  )

  test('each example is below 60 lines, and says how it is compiled', () => {
    for (const name of ['thermometer', 'dma-copy', 'counter']) {
      const text = readFileSync(join(SDK, 'examples', `${name}.c`), 'utf8')
      expect(text.split('\n').length, name).toBeLessThanOrEqual(60)
      expect(text).toContain(`cc -O2 ${name}.c -o ${name}`)
    }
  })

  test('thermometer: the conversation of the document, and an end at bye', async () => {
    const { client, exited, errors } = start('thermometer')
    expect(await client.open()).toEqual([
      { kind: 'welcome', version: 5, flags: 0, session: word(0), received: 0, name: 'thermometer' },
      { kind: 'device', device: 1, flags: 1, name: 'thermometer' },
      {
        ...{ kind: 'range', region: 1, device: 1, space: 1, base: 0xfed90000, bytes: 4096 },
        ...{ maximum: 0, minimum: 4, flags: 0 },
      },
      { kind: 'ready' },
    ])
    expect(await client.ask(0)).toBe(20_000)
    expect(await client.ask(0, { now: word(1e9) })).toBe(20_500)
    expect(await client.ask(4)).toBe(2)
    const call = client.call()
    client.send({ kind: 'reset', call, device: 1, now: word(0) })
    await client.done(call)
    expect(await client.ask(4)).toBe(0)
    client.send({ kind: 'bye', why: '' })
    expect(await exited()).toBe(0)
    expect(errors()).toBe('')
  })

  test('dma-copy: a timer, then guest memory, then an interrupt', async () => {
    const { client } = start('dma-copy')
    const told = await client.open()
    expect(told.map(({ kind }) => kind)).toEqual(['welcome', 'device', 'function', 'bar', 'msi', 'ready'])
    const bytes = bytesOf(300_001, 5)
    for (const [offset, value, size] of [
      [0, 0x1234_5678, 8],
      [8, 0x2_0000_0000, 8],
      [16, bytes.length, 4],
    ] as const)
      await client.answered(client.write(offset, value, size))
    const begun = client.write(20, 1, 4, 5000)
    // It is armed before the guest's instruction ends.
    expect(await client.take('armTimer')).toMatchObject({ timer: 1, device: 1, deadline: word(5000 + bytes.length) })
    await client.answered(begun)
    expect(await client.ask(24)).toBe(1)
    const call = client.call()
    client.send({ kind: 'timer', call, timer: 1, deadline: word(305_001), now: word(305_001) })
    // A read that comes while the timer's call waits is answered behind it.
    const status = client.read(24)
    for (let at = 0; at < bytes.length;) {
      const { call: of, address, length, device } = await client.take('dmaRead')
      expect([device, address]).toEqual([1, 0x1234_5678 + at])
      client.send({ kind: 'dmaDone', call: of, ok: 1, bytes: bytes.subarray(at, at + length) })
      at += length
    }
    const written: Uint8Array[] = []
    for (let at = 0; at < bytes.length;) {
      const { call: of, address, bytes: piece } = await client.take('dmaWrite')
      expect(address).toBe(0x2_0000_0000 + at)
      written.push(piece)
      at += piece.length
      client.send({ kind: 'dmaDone', call: of, ok: 1, bytes: new Uint8Array(0) })
    }
    expect(Buffer.concat(written).equals(bytes)).toBe(true)
    expect(await client.take('interrupt')).toMatchObject({ function: 1, vector: 0, level: 1 })
    await client.done(call)
    expect((await client.answered(status)).lo).toBe(2)
    const taken = client.write(24, 0)
    expect(await client.take('interrupt')).toMatchObject({ level: 0 })
    await client.answered(taken)
    /** Begins again, and has the timer. @returns its call */
    const again = async (): Promise<number> => {
      const begins = client.write(20, 1)
      const { deadline } = await client.take('armTimer')
      await client.answered(begins)
      const due = client.call()
      client.send({ kind: 'timer', call: due, timer: 1, deadline, now: deadline })
      return due
    }
    // Memory that it may not reach.
    const refused = await again()
    for (const { call: of } of [await client.take('dmaRead'), await client.take('dmaRead')])
      client.send({ kind: 'dmaDone', call: of, ok: 0, bytes: new Uint8Array(0) })
    await client.take('interrupt')
    await client.done(refused)
    expect(await client.ask(24)).toBe(4)
    // An address that no frame holds is the guest's mistake, not the model's.
    client.send({ ...write(client.call(), 0, 0, 8), value: { lo: 0xffff_ffff, hi: 0xffff_ffff } })
    await client.take('answer')
    const far = await again()
    await client.take('interrupt')
    await client.done(far)
    expect(await client.ask(24)).toBe(4)
  })

  test('counter: a timer of its own period, and a state that another program goes on with', async () => {
    const one = start('counter').client
    await one.open()
    const put = async (client: Client, offset: number, value: number, now: number): Promise<ProtocolFrame> => {
      const call = client.write(offset, value, 4, now)
      await client.take('setLine')
      const armed = await client.take('armTimer')
      await client.answered(call)
      return armed
    }
    expect(await put(one, 4, 1000, 500)).toMatchObject({ deadline: word(1_000_500) })
    const tick = one.call()
    one.send({ kind: 'timer', call: tick, timer: 1, deadline: word(1_000_500), now: word(1_000_900) })
    expect(await one.take('setLine')).toMatchObject({ line: 1, level: 1 })
    expect(await one.take('armTimer')).toMatchObject({ deadline: word(2_000_500) })
    await one.done(tick)
    // Frames of a deadline that has been moved, and of one that has been: they have no effect.
    for (const stale of [1_000_500, 2_000_400]) {
      const call = one.call()
      one.send({ kind: 'timer', call, timer: 1, deadline: word(stale), now: word(2_000_450) })
      await one.done(call)
    }
    const calls = [one.call(), one.call()] as const
    one.send(
      { kind: 'quiesce', call: calls[0], device: 1, deadline: 1000 },
      { kind: 'save', call: calls[1], device: 1 },
    )
    await one.done(calls[0])
    const state = await one.done(calls[1])

    const { client: other } = start('counter')
    await other.open()
    const restore = other.call()
    other.send({ kind: 'restore', call: restore, device: 1, state, now: word(0) })
    expect(await other.take('setLine')).toMatchObject({ level: 1 })
    expect(await other.take('armTimer')).toMatchObject({ deadline: word(2_000_500) })
    await other.done(restore)
    expect(await other.ask(0)).toBe(1)
    const broken = other.call()
    other.send({ kind: 'restore', call: broken, device: 1, state: state.subarray(1), now: word(0) })
    await expect(other.done(broken)).rejects.toThrow('no state of version 1')
  })

  test('everything that can be declared, and every other call', async () => {
    const { client } = start('model')
    const told = await client.open()
    expect(told.slice(4)).toEqual([
      { kind: 'memory', memory: 1, device: 1, bytes: 65536, flags: 1, name: 'rom' },
      { kind: 'window', memory: 1, base: 0xfee00000 },
      { kind: 'device', device: 2, flags: 3, name: 'card' },
      {
        ...{ kind: 'function', function: 7, device: 2, address: 256, vendor: 0x1234, id: 0x5678, revision: 3 },
        ...{ class: 0x070002, subsystemVendor: 0xaaaa, subsystem: 0xbbbb, pin: 2, flags: 1, bus: 'port1' },
      },
      {
        ...{ kind: 'bar', region: 2, function: 7, index: 2, type: 2, bytes: 4096, maximum: 0, minimum: 0 },
        ...{ flags: 3, memory: 0 },
      },
      {
        ...{ kind: 'bar', region: 3, function: 7, index: 0, type: 1, bytes: 65536, maximum: 0, minimum: 0 },
        ...{ flags: 0, memory: 1 },
      },
      { kind: 'msi', function: 7, vectors: 4, flags: 1 },
      { kind: 'msix', function: 7, vectors: 16, bar: 4, offset: 64, pending: 1024 },
      {
        ...{ kind: 'capability', function: 7, id: 9, version: 1 },
        ...{ body: Buffer.of(1, 2, 3, 4, 5), writable: Buffer.of(0, 0, 255, 0, 0) },
      },
      { kind: 'ready' },
    ])
    // A late answer, in any order, and one that is cancelled first.
    const late = [client.read(16), client.read(16)] as const
    client.send({ kind: 'cancel', call: late[0] })
    expect((await client.take('log')).text).toBe(`cancel ${late[0]}`)
    const release = client.write(24, 40)
    expect(await client.answered(late[1])).toEqual(word(41))
    expect(await client.answered(late[0])).toEqual(word(40))
    await client.answered(release)
    // A buffered write has no answer.
    client.send({ kind: 'write', call: 0, region: 1, offset: 0, size: 8, value: word(9e15), vcpu: 0, now: word(0) })
    expect(await client.answered(client.read(0, { size: 8 }))).toEqual(word(9e15))
    // Posted memory comes before the interrupt behind it, and its bytes are whole.
    const posted = client.write(32, 600_000)
    for (let at = 0; at < 600_000;) {
      const { call, address, bytes } = await client.take('dmaWrite')
      expect([call, address, bytes.every((byte) => byte === 0x5a)]).toEqual([0, 0x200000 + at, true])
      at += bytes.length
    }
    expect(await client.take('interrupt')).toMatchObject({ function: 7, vector: 3 })
    await client.answered(posted)
    const own = client.write(40, 0)
    expect(await client.take('memoryWrite')).toMatchObject({
      call: 0,
      memory: 1,
      offset: 16,
      bytes: Buffer.from('posted'),
    })
    const written = await client.take('memoryWrite')
    client.send({ kind: 'dmaDone', call: written.call, ok: 1, bytes: new Uint8Array(0) })
    const read = await client.take('memoryRead')
    client.send({ kind: 'dmaDone', call: read.call, ok: 1, bytes: Buffer.from('12345') })
    expect(await client.take('setLine')).toMatchObject({ line: 4, level: 1 })
    await client.answered(own)
    // A log that is cut has whole characters, and no line's end.
    const logged = client.write(48, 1021)
    expect((await client.take('log')).text).toBe('7'.padStart(1021, '0'))
    await client.answered(logged)
    const garbled = client.write(48, 0)
    expect((await client.take('log')).text).toBe('a?é ???😀??')
    await client.answered(garbled)
    const calls: [MachineFrame, string?][] = [
      [{ kind: 'plug', call: 1001, device: 2, now: word(0) }, 'plug 2'],
      [{ kind: 'unplug', call: 1002, device: 2, now: word(0) }, 'unplug 2'],
      [{ kind: 'quiesce', call: 1003, device: 2, deadline: 1 }],
      [{ kind: 'resume', call: 1004, device: 2, now: word(123) }],
    ]
    for (const [frame, log] of calls) {
      client.send(frame)
      if (log !== undefined) expect((await client.take('log')).text).toBe(log)
      await client.done((frame as { call: number }).call)
    }
    expect(await client.ask(64, { size: 8, now: word(5_000) })).toBe(5_000)
    // One that takes its time, and one that cannot.
    client.send(
      { kind: 'quiesce', call: 2001, device: 1, deadline: 1000 },
      { kind: 'quiesce', call: 2002, device: 2, deadline: 0 },
    )
    await expect(client.done(2002)).rejects.toThrow('there is no time')
    const freed = client.write(24, 0)
    await client.done(2001)
    await client.answered(freed)
    client.send({ kind: 'save', call: 3001, device: 1 })
    expect((await client.done(3001)).every((byte) => byte === 1)).toBe(true)
    // A state stays in place while memory and other calls come.
    const state = new Uint8Array(1_000_000).fill(7)
    client.send({ kind: 'restore', call: 3002, device: 1, state, now: word(0) })
    const { call, length } = await client.take('memoryRead')
    const waiting = Array.from({ length: 200 }, () => client.read(0))
    client.send({ kind: 'dmaDone', call, ok: 1, bytes: new Uint8Array(length) })
    await client.done(3002)
    for (const each of waiting) await client.answered(each)
    const fault = client.write(56, 0)
    expect(await client.take('fault')).toMatchObject({ device: 2, message: 'it is on fire' })
    await client.answered(fault)
  })

  test('large transfers come whole while other calls wait, over each kind of connection', async () => {
    const unix = await serve(programs.model, `unix:${join(folder, 'large')}`)
    const tcp = await serve(programs.model, 'tcp:127.0.0.1:0', 'step')
    const connections = [
      () => Promise.resolve(start('model').client),
      async () => new Client(await unix.connect()),
      async () => new Client(await tcp.connect()),
    ]
    const memory = bytesOf(3 << 20, 1)
    const one = async (client: Client): Promise<void> => {
      await client.open()
      const begun = client.write(8, memory.length)
      const waiting: number[] = []
      const written: Uint8Array[] = []
      for (let at = 0; at < 2 * memory.length;) {
        const reads = at < memory.length
        const frame = reads ? await client.take('dmaRead') : await client.take('dmaWrite')
        waiting.push(client.read(0))
        const bytes = 'length' in frame ? memory.subarray(at, at + frame.length) : new Uint8Array(0)
        client.send({ kind: 'dmaDone', call: frame.call, ok: 1, bytes })
        if ('bytes' in frame) written.push(frame.bytes)
        at += 'length' in frame ? frame.length : frame.bytes.length
      }
      expect(Buffer.concat(written).equals(memory)).toBe(true)
      expect((await client.take('log')).text).toBe(`copied ${memory.length}: 1`)
      await client.answered(begun)
      for (const [i, call] of waiting.entries()) {
        expect((await client.answered(call)).lo).toBe(i)
      }
    }
    for (const connect of connections) await one(await connect())
  })

  test('stdin and stdout, where the model prints to stderr; the trace; and an address that is none', async () => {
    const child = spawn(programs.thermometer, ['stdio'], {
      env: { ...process.env, RETRAP_DEVICE_TRACE: '1' },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const frames = [hello({ session: word(77) }), { ...read(9, 0), now: word(5) }]
    child.stdin.end(Buffer.concat(frames.map((frame) => encodeProtocolFrame(frame))))
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    let taken = 0
    child.stdout.on('data', (chunk: Buffer) => (taken += chunk.length))
    const status = await new Promise((resolve) => child.on('close', resolve))
    expect(status).toBe(0)
    expect(taken).toBeGreaterThan(150)
    expect(said.split('\n')).toEqual([
      '<- hello version=5 flags=0 session=77 received=0 now=0',
      '-> welcome version=5 flags=0 session=0 received=0 name=thermometer',
      '-> device device=1 flags=1 name=thermometer',
      '-> range region=1 device=1 space=1 base=0xfed90000 bytes=0x1000 maximum=0 minimum=4 flags=0',
      '-> ready',
      '<- read call=9 region=1 offset=0 size=4 vcpu=0 now=5',
      '-> answer call=9 value=0x4e20',
      '',
    ])
    const none = spawnSync(programs.thermometer, ['nowhere:1'], { encoding: 'utf8' })
    expect(none.status).toBe(2)
    expect(none.stderr).toContain("thermometer: 'nowhere:1': expected unix:PATH, tcp:HOST:PORT or stdio")
  })
})
