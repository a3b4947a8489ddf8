/** Models that take what they answer from the host: a recording has it, and a replay needs no model. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type BlockBackend, defineDevice, type DeviceContext } from '@retrap/device'
import { DebugExit } from '@retrap/devices'
import { RemoteServer, SharedTransport } from '@retrap/device-hosting'
import { startDeviceProcess, startDeviceWorker } from '@retrap/device-hosting/node'
import { TEST_LONG, withLong } from '@retrap/tooling/long'
import { MemoryShare, type Share } from '@retrap/virtio/p9'
import * as x86 from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import {
  createPc,
  type Pc,
  type PcOptions,
  type PcReplay,
  recordPc,
  replayPc,
  serveBoard,
  type StartBoardServer,
  type StartControllerServer,
} from '../src/index.ts'
import { kept } from './support/kept.ts'
import { firmwareImage, multibootKernel } from './support/kernels.ts'
import { medium } from './support/media.ts'
import { LAST, pollingKernel, pollingResult } from './support/polling-guest.ts'
import { asynchronous, COUNT, DEVICE, synchronous, WRITES } from './support/random-devices.ts'
import { boardInWorker, controllersInWorker } from './support/workers.ts'

const EXIT_PORT = 0x501
const COM1 = 0x3f8
const STATE = 0x20_0000
const MODULE = new URL('./support/random-module.ts', import.meta.url).href

/** Mixes what the device answers and writes, and its interrupt, into a hash with the time, until it has written often enough. */
const kernel = multibootKernel((asm: x86.Assembler) => {
  const mix = (): void => void asm.rol(x86.ebx, 5).xor(x86.ebx, x86.eax).rdtsc().rol(x86.ebx, 5).xor(x86.ebx, x86.eax)
  asm.xor(x86.ebx, x86.ebx)
  const poll = asm.here()
  asm.mov(x86.eax, x86.dword(DEVICE))
  mix()
  asm.mov(x86.eax, x86.dword(COUNT + 4))
  mix()
  asm.mov(x86.dword(DEVICE + 4), x86.eax)
  // OCW3: the next read is of the requests.
  asm.mov(x86.al, 0x0a).out(0x20, x86.al).in(x86.al, 0x20)
  mix()
  asm
    .inc(x86.dword(STATE + 4))
    .cmp(x86.dword(COUNT), WRITES)
    .jl(poll)
  asm.mov(x86.dword(STATE), x86.ebx).mov(x86.dx, x86.imm16(COM1)).mov(x86.al, 0x21).out(x86.dx, x86.al)
  asm.mov(x86.dx, x86.imm16(EXIT_PORT)).mov(x86.al, 0).out(x86.dx, x86.al).hlt()
})

const options = (more: Partial<PcOptions>): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  clock: 'deterministic',
  kernel,
  ...more,
  devices: [new DebugExit({ iobase: EXIT_PORT }), ...(more.devices ?? [])],
})

interface Run {
  readonly hash: number
  readonly polls: number
  readonly text: string
  readonly instructions: number
}

/** Runs a machine to its end. */
async function toEnd(pc: Pc, run: () => Promise<{ readonly reason: string }>): Promise<Run> {
  let text = ''
  pc.serial.onTransmit((bytes) => (text += String.fromCharCode(...bytes)))
  expect(await run()).toMatchObject({ reason: 'debug-exit' })
  const bytes = new Uint8Array(8)
  pc.domain.guestMemory.read(STATE, bytes)
  const view = new DataView(bytes.buffer)
  const { instructions } = pc.domain
  return { hash: view.getUint32(0, true), polls: view.getUint32(4, true), text, instructions }
}

async function record(more: Partial<PcOptions>, checkpointMs?: number): Promise<{ file: Uint8Array; run: Run }> {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options(more), (piece) => void pieces.push(piece.slice()), { checkpointMs })
  const { pc } = recorder
  kept(pc)
  const run = await toEnd(pc, () => pc.run({ timeoutMs: 100_000 }))
  await recorder.end()
  return { file: new Uint8Array(Buffer.concat(pieces)), run }
}

async function replayed(file: Uint8Array, more: Partial<PcOptions> = {}): Promise<PcReplay> {
  const source = { bytes: file.length, read: (offset: number, bytes: number) => file.subarray(offset, offset + bytes) }
  return kept(await replayPc(options(more), source))
}

/** As a Worker is, but for the thread: one takes long to start. */
const boardElsewhere: StartBoardServer = (dispatch, platform, { name, realTime, board, onMessage }) => {
  const transport = new SharedTransport(dispatch, platform, { name, realTime, onMessage })
  void serveBoard(transport.memory, board, { blockMs: 0 })
  return transport
}

/** A replay has none of the threads that the recording had. */
const gone = (): never => {
  throw new Error('a replay starts no models')
}

interface Case {
  readonly what: string
  readonly recorded: Partial<PcOptions>
  /** What a replay has instead; default nothing. */
  readonly again?: Partial<PcOptions>
}

const SHORT: readonly Case[] = [
  { what: 'a model that answers at once', recorded: { devices: [synchronous()] } },
  { what: 'a model that takes its time', recorded: { devices: [asynchronous()] } },
  {
    what: 'a model, beside a board that answers later',
    recorded: { devices: [asynchronous()], devicePlacement: 'deferred' },
    again: { devicePlacement: 'deferred' },
  },
  {
    what: 'a model in a Worker',
    recorded: {
      deviceServers: [
        (dispatch, platform, realTime) =>
          startDeviceWorker(dispatch, platform, { name: 'random', realTime, modules: [MODULE] }),
      ],
    },
  },
]

const LONG: readonly Case[] = [
  {
    what: 'a model in another process',
    recorded: {
      deviceServers: [
        (dispatch, platform, realTime) =>
          startDeviceProcess(dispatch, platform, { name: 'random', realTime, modules: [MODULE] }),
      ],
    },
  },
  {
    what: 'a model, and a board in a Worker',
    recorded: { devices: [asynchronous()], devicePlacement: boardInWorker },
    again: { devicePlacement: gone },
  },
]

test.each(withLong(SHORT, LONG))('$what is recorded', async ({ recorded, again }) => {
  const { file, run } = await record(recorded)
  expect(run.text).toBe('!')
  const replay = await replayed(file, again)
  expect(await toEnd(replay.pc, () => replay.run({ timeoutMs: 100_000 }))).toEqual(run)
})

/** Reaches the timer by its first instruction, then hashes what it counts. The function beside it has an interrupt pin. */
const firstKernel = multibootKernel((asm: x86.Assembler) => {
  asm.in(x86.al, 0x40).xor(x86.ebx, x86.ebx).mov(x86.ecx, x86.imm32(50))
  const again = asm.here()
  asm.in(x86.al, 0x40).rol(x86.ebx, 5).xor(x86.ebx, x86.eax).dec(x86.ecx).jne(again)
  asm.mov(x86.dword(STATE), x86.ebx).mov(x86.dx, x86.imm16(EXIT_PORT)).mov(x86.al, 0).out(x86.dx, x86.al).hlt()
})

interface Placement {
  readonly placement: string
  readonly machine: 'pc' | 'q35'
  readonly recorded: Partial<PcOptions>
  readonly again: Partial<PcOptions>
}

const [HERE, DEFERRED, ELSEWHERE, WORKER] = [
  { placement: 'in process', recorded: {}, again: {} },
  { placement: 'deferred', recorded: { devicePlacement: 'deferred' }, again: { devicePlacement: 'deferred' } },
  { placement: 'elsewhere', recorded: { devicePlacement: boardElsewhere }, again: { devicePlacement: gone } },
  { placement: 'in a Worker', recorded: { devicePlacement: boardInWorker }, again: { devicePlacement: gone } },
] as const

test.each<Placement>([
  ...[HERE, DEFERRED, ELSEWHERE].map((one) => ({ machine: 'pc', ...one }) as const),
  ...[DEFERRED, ELSEWHERE].map((one) => ({ machine: 'q35', ...one }) as const),
  ...withLong<Placement>([], [{ machine: 'pc', ...WORKER }]),
])('$machine, board $placement: what its first instruction asks is replayed', async ({ machine, recorded, again }) => {
  const more: Partial<PcOptions> = { kernel: firstKernel, machine, virtio: [{ kind: 'keyboard' }] }
  const { file, run } = await record({ ...more, ...recorded })
  expect(run.hash).not.toBe(0)
  const replay = await replayed(file, { ...more, ...again })
  // A stop on the way, and a way back, change nothing.
  for (const part of [2, 3]) expect(await replay.goto(Math.floor(replay.end / part))).toEqual({ reason: 'arrived' })
  expect(await toEnd(replay.pc, () => replay.run({ timeoutMs: 100_000 }))).toEqual(run)
})

test('a recording that ended before its models were there is replayed as that', async () => {
  const pieces: Uint8Array[] = []
  const never: StartBoardServer = (dispatch, platform, { name }) => {
    const nothing = (): void => undefined
    const link = { send: nothing, notify: nothing, notifyBuffered: nothing, close: nothing }
    const remote = new RemoteServer(dispatch, platform, link, { name, realTime: false, readyMs: 1 })
    return { remote, close: () => remote.close() }
  }
  const recording = recordPc(options({ devicePlacement: never }), (piece) => void pieces.push(piece.slice()))
  await expect(recording).rejects.toMatchObject({ code: 'ERR_DEVICES' })
  const replaying = replayed(new Uint8Array(Buffer.concat(pieces)), { devicePlacement: gone })
  const message = expect.stringContaining('the recording ended before they were there')
  await expect(replaying).rejects.toMatchObject({ code: 'ERR_DEVICES', message })
})

/** The first free slot of a PC, and where BAR 0 of a legacy virtio device is put, which has its registers. */
const SLOT = 3
const BASE = 0xc000
/** Queue 0 of 128 descriptors, as the legacy interface wants it: "Virtqueues" of VIRTIO 1.2, section 2.7.2. */
const QUEUE = 0x30_0000
const [AVAILABLE, USED] = [QUEUE + 16 * 128, QUEUE + 0x1000]
const [MESSAGE, REPLY] = [0x31_0000, 0x31_1000]

/** Attaches to a share by 9P, as `Tversion` and `Tattach` say it, and hashes what the share replies. */
const shareKernel = multibootKernel((asm: x86.Assembler) => {
  const text = (value: string): number[] => [value.length, 0, ...Buffer.from(value)]
  const messages = [
    [21, 0, 0, 0, 100, 0xff, 0xff, 0, 0x10, 0, 0, ...text('9P2000.L')],
    [23, 0, 0, 0, 104, 1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
  ]
  const register = (at: number): x86.Assembler => asm.mov(x86.dx, x86.imm16(BASE + at))
  const config = (at: number): x86.Assembler =>
    asm
      .mov(x86.dx, x86.imm16(0xcf8))
      .mov(x86.eax, x86.imm32(0x8000_0000 | (SLOT << 11) | at))
      .out(x86.dx, x86.eax)
      .mov(x86.dx, x86.imm16(0xcfc))
  config(0x10).mov(x86.eax, x86.imm32(BASE)).out(x86.dx, x86.eax)
  config(4).mov(x86.eax, x86.imm32(7)).out(x86.dx, x86.eax)
  for (const status of [1, 3]) register(18).mov(x86.al, status).out(x86.dx, x86.al)
  register(14).xor(x86.eax, x86.eax).out(x86.dx, x86.ax)
  register(8)
    .mov(x86.eax, x86.imm32(QUEUE >> 12))
    .out(x86.dx, x86.eax)
  register(18).mov(x86.al, 7).out(x86.dx, x86.al)
  asm.xor(x86.ebx, x86.ebx)
  for (const [i, message] of messages.entries()) {
    const bytes = Buffer.from([...message, 0, 0, 0])
    for (let at = 0; at < message.length; at += 4) asm.mov(x86.dword(MESSAGE + at), x86.imm32(bytes.readInt32LE(at)))
    // Two descriptors: what the device reads, with a next one (1), and what it writes (2).
    for (const [at, value] of [MESSAGE, 0, message.length, 0x1_0001, REPLY, 0, 256, 2].entries())
      asm.mov(x86.dword(QUEUE + 4 * at), x86.imm32(value))
    asm.mov(x86.dword(AVAILABLE + 4), x86.imm32(0)).mov(x86.word(AVAILABLE + 2), x86.imm16(i + 1))
    register(16).xor(x86.eax, x86.eax).out(x86.dx, x86.ax)
    const wait = asm.here()
    asm.cmp(x86.word(USED + 2), i + 1).jne(wait)
    for (let at = 0; at < 24; at += 4)
      asm
        .mov(x86.eax, x86.dword(REPLY + at))
        .rol(x86.ebx, 5)
        .xor(x86.ebx, x86.eax)
    asm.rdtsc().rol(x86.ebx, 5).xor(x86.ebx, x86.eax)
  }
  // A turn ends at a branch, and so among accesses that are no longer within it.
  register(18).mov(x86.ecx, x86.imm32(40))
  const again = asm.here()
  for (let i = 0; i < 300; i++) void (i % 10 === 0 ? asm.in(x86.al, x86.dx) : asm.inc(x86.esi))
  asm
    .rdtsc()
    .rol(x86.ebx, 5)
    .xor(x86.ebx, x86.eax)
    .mov(x86.dx, x86.imm16(BASE + 18))
    .dec(x86.ecx)
    .jne(again)
  asm
    .mov(x86.dword(STATE), x86.ebx)
    .mov(x86.eax, x86.dword(REPLY + 4))
    .mov(x86.dword(STATE + 4), x86.eax)
  asm.mov(x86.dx, x86.imm16(EXIT_PORT)).mov(x86.al, 0).out(x86.dx, x86.al).hlt()
})

test.each(['inline', 'deferred'] as const)('files of the host are recorded, board %s', async (devicePlacement) => {
  const files = new MemoryShare()
  const id = BigInt(Math.floor(Math.random() * 2 ** 32))
  /** Its directory is another one in each test, and comes when the host has it. */
  const share: Share = {
    async root() {
      await sleep(1)
      const root = files.root()
      return Object.assign(Object.create(root) as typeof root, { stat: async () => ({ ...(await root.stat()), id }) })
    },
  }
  const more = (given: Share): Partial<PcOptions> => ({
    kernel: shareKernel,
    devicePlacement,
    virtio: [{ kind: 'share', share: given, tag: 'host' }],
  })
  const { file, run } = await record(more(share))
  // The type of the second reply, 105, and its tag.
  expect(run.polls & 0xff_ffff).toBe(0x1_69)
  const replay = await replayed(file, more({ root: gone }))
  expect(await toEnd(replay.pc, () => replay.run({ timeoutMs: 100_000 }))).toEqual(run)
  const unrecorded = kept(await createPc(options(more(share))))
  expect(await toEnd(unrecorded, () => unrecorded.run({ timeoutMs: 100_000 }))).toEqual(run)
})

/** The ring of Xen's console (`struct xencons_interface` of public/io/console.h): the guest's place in it, and the host's. */
const [RING, IN_CONS, IN_PROD] = [0xfeff_f000, 0xfeff_fc00, 0xfeff_fc04]

/** Mixes bytes of Xen's console into a hash with the time that they have come at, until it is a q. */
const xenKernel = multibootKernel((asm: x86.Assembler) => {
  asm.xor(x86.ebx, x86.ebx)
  const poll = asm.here()
  asm.inc(x86.dword(STATE + 4))
  asm.mov(x86.ecx, x86.dword(IN_CONS)).cmp(x86.ecx, x86.dword(IN_PROD)).je(poll)
  asm.rdtsc().rol(x86.ebx, 5).xor(x86.ebx, x86.eax)
  asm
    .mov(x86.edx, x86.ecx)
    .and(x86.edx, x86.imm32(1023))
    .add(x86.edx, x86.imm32(RING))
    .movzx(x86.eax, x86.byte(x86.edx))
  asm
    .inc(x86.ecx)
    .mov(x86.dword(IN_CONS), x86.ecx)
    .rol(x86.ebx, 5)
    .xor(x86.ebx, x86.eax)
    .cmp(x86.eax, 'q'.charCodeAt(0))
    .jne(poll)
  asm.mov(x86.dword(STATE), x86.ebx).mov(x86.dx, x86.imm16(EXIT_PORT)).mov(x86.al, 0).out(x86.dx, x86.al).hlt()
})

test('what a guest of Xen is typed on its console is recorded', async () => {
  const more: Partial<PcOptions> = { hypervisor: 'xen', kernel: xenKernel }
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options(more), (piece) => void pieces.push(piece.slice()))
  const { pc } = recorder
  kept(pc)
  const running = toEnd(pc, () => pc.run({ timeoutMs: 100_000 }))
  for (const text of ['one', 'two', 'q']) {
    await sleep(2)
    expect(pc.xenConsole.receive(Buffer.from(text))).toBe(true)
  }
  const run = await running
  await recorder.end()
  expect(run.polls).toBeGreaterThan(7)
  const replay = await replayed(new Uint8Array(Buffer.concat(pieces)), more)
  expect(await toEnd(replay.pc, () => replay.run({ timeoutMs: 100_000 }))).toEqual(run)
})

test.runIf(TEST_LONG)('a disk and its controller in a Worker are recorded', async () => {
  const image = Uint8Array.from({ length: 1 << 16 }, () => Math.random() * 256)
  const more = (start: StartControllerServer, disk: BlockBackend): Partial<PcOptions> => ({
    kernel: pollingKernel(1),
    drives: [{ medium: disk }],
    controllerPlacement: start,
  })
  const pieces: Uint8Array[] = []
  const slow = medium(image, () => sleep(Math.random() < 0.5 ? 0 : 1))
  const recorder = await recordPc(options(more(controllersInWorker, slow)), (piece) => void pieces.push(piece.slice()))
  const { pc } = recorder
  kept(pc)
  const running = pc.run({ timeoutMs: 100_000 })
  while (pollingResult(pc).count < 10) await sleep(1)
  pc.serial.receive(Buffer.from(LAST))
  expect(await running).toMatchObject({ reason: 'debug-exit' })
  await recorder.end()
  const unread = medium(image, () => Promise.reject(new Error('a replay reads no disk')))
  const replay = await replayed(new Uint8Array(Buffer.concat(pieces)), more(gone, unread))
  expect(await replay.run({ timeoutMs: 100_000 })).toMatchObject({ reason: 'debug-exit' })
  expect([pollingResult(replay.pc), replay.instructions]).toEqual([pollingResult(pc), recorder.instructions])
})

test('a replay of such models goes back, from checkpoints of both', async () => {
  const { file, run } = await record({ devices: [asynchronous()] }, 1)
  const replay = await replayed(file)
  const middle = Math.floor(replay.end / 2)
  const at = async (instruction: number): Promise<unknown> => {
    expect(await replay.goto(instruction)).toEqual({ reason: 'arrived' })
    const bytes = new Uint8Array(0x2000)
    replay.pc.domain.guestMemory.read(STATE, bytes)
    return bytes
  }
  const seen = await at(middle)
  await at(replay.end - 1)
  expect(await at(middle)).toEqual(seen)
  // What it prints has come on the way to the end.
  expect(await toEnd(replay.pc, () => replay.run({ timeoutMs: 100_000 }))).toEqual({ ...run, text: '' })
})

test('a controller that drives its wire when a checkpoint is over is waited for by nobody', async () => {
  const more: Partial<PcOptions> = {
    machine: 'q35',
    usb: {},
    virtio: [{ kind: 'keyboard' }],
    devices: [asynchronous()],
  }
  const { file, run } = await record({ ...more, devicePlacement: boardElsewhere }, 0.01)
  const replay = await replayed(file, { ...more, devicePlacement: gone })
  expect(await replay.goto(Math.floor(replay.end / 3))).toEqual({ reason: 'arrived' })
  expect(await toEnd(replay.pc, () => replay.run({ timeoutMs: 100_000 }))).toEqual(run)
})

test('a model that writes without end to a machine that stands still fails, and nothing else', async () => {
  let context: DeviceContext | undefined
  const flood = defineDevice({ name: 'flood', attach: (given) => void (context = given) })
  const failed: string[] = []
  const onDeviceFailure = ({ cause }: { readonly cause: unknown }): void => void failed.push(String(cause))
  const { pc } = await recordPc(options({ devices: [flood], onDeviceFailure }), () => undefined)
  kept(pc)
  const piece = new Uint8Array(1 << 16)
  const write = (): void => {
    for (let i = 0; i < 2000; i++) context!.dma.write(STATE, piece)
  }
  expect(write).toThrow()
  expect(failed).toEqual([expect.stringContaining('stands still')])
})

test.each([
  ['before', 4005],
  ['behind', 4030],
])('elements that a device took as one request are one in a replay that stops %s them', async (_where, place) => {
  const firmware = firmwareImage((asm) => {
    asm.mov(x86.ecx, 2000)
    const wait = asm.here()
    asm.dec(x86.ecx).jnz(wait)
    // To the serial port.
    asm.mov(x86.esi, 0x5000).mov(x86.ecx, 64).mov(x86.dx, 0x3f8).rep().outsb()
    for (let i = 0; i < 50; i++) asm.inc(x86.eax)
    asm.jmp(asm.here())
  })
  const pieces: Uint8Array[] = []
  const options: PcOptions = {
    ...{ memoryBytes: 4 << 20, codeCacheBytes: 2 << 20, jit: false, clock: 'deterministic' },
    ...{ firmware, devicePlacement: 'deferred' },
  }
  const recorder = await recordPc(options, (piece) => void pieces.push(piece.slice()))
  const stop = new AbortController()
  recorder.pc.domain.timers.create(() => stop.abort()).armAfter(30_000)
  await recorder.pc.run({ signal: stop.signal })
  await recorder.end()
  recorder.pc.close()
  const bytes = Buffer.concat(pieces)
  const source = { bytes: bytes.length, read: (from: number, count: number) => bytes.subarray(from, from + count) }
  const replay = await replayPc(options, source)
  await replay.goto(place)
  await replay.goto(26_000)
  expect(replay.pc.domain.clock.now()).toBe(20_000)
  replay.close()
})
