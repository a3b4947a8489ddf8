/** Servers of the caller's models are plugged in and taken out while a machine is recorded: a replay does the same without them. */
import { setImmediate as turn } from 'node:timers/promises'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { MemoryStorage, RawImage } from '@retrap/block'
import { defineDevice, type DeviceModel, type PacketClient } from '@retrap/device'
import { type FramePort, MessageTransport, serveMessages } from '@retrap/device-hosting'
import { al, type Assembler, ax, dword, dx, eax, ebx, imm16 } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Pc,
  type PcOptions,
  type PcRecorder,
  type PcReplay,
  type PluggedServer,
  recordPc,
  replayPc,
} from '../src/index.ts'
import { kept } from './support/kept.ts'
import { multibootKernel } from './support/kernels.ts'
import { Pieces } from './support/pieces.ts'
import { asynchronous, COUNT, DEVICE } from './support/random-devices.ts'
import { wholeState } from './support/whole-state.ts'

const COM1 = 0x3f8
const STATE = 0x20_0000
const MEMORY_BYTES = 4 << 20
/** The soft-off port of a PC: a write of the value switches it off. */
const [POWER, OFF] = [0x604, 0x2000]

/** Mixes what answers at the device's place, what it writes and its interrupt into a hash with the time, until a byte is typed. */
const kernel = multibootKernel((asm: Assembler) => {
  const mix = (): void => void asm.rol(ebx, 5).xor(ebx, eax).rdtsc().rol(ebx, 5).xor(ebx, eax)
  asm.xor(ebx, ebx)
  const poll = asm.here()
  asm.mov(eax, dword(DEVICE))
  mix()
  asm.mov(eax, dword(COUNT + 4))
  mix()
  asm.mov(dword(DEVICE + 4), eax)
  // OCW3: the next read is of the requests.
  asm.mov(al, 0x0a).out(0x20, al).in(al, 0x20)
  mix()
  asm.mov(dword(STATE), ebx).inc(dword(STATE + 4))
  asm
    .mov(dx, imm16(COM1 + 5))
    .in(al, dx)
    .test(al, 1)
    .jz(poll)
  asm.mov(dx, imm16(POWER)).mov(ax, imm16(OFF)).out(dx, ax).hlt()
})

const options: PcOptions = { memoryBytes: MEMORY_BYTES, codeCacheBytes: MEMORY_BYTES, clock: 'deterministic', kernel }

const stateOf = (pc: Pc): unknown => wholeState(pc, MEMORY_BYTES)

/** A run that is recorded. */
class Recorded {
  readonly file = new Pieces()
  recorder!: PcRecorder
  #running: Promise<unknown> = Promise.resolve()

  readonly #stop = new AbortController()
  readonly #options: PcOptions

  private constructor(more: Partial<PcOptions>) {
    this.#options = { ...options, ...more }
  }

  static async begin(more: Partial<PcOptions> = {}): Promise<Recorded> {
    const run = new Recorded(more)
    run.recorder = await recordPc(run.#options, run.file.write, { checkpointMs: 1 })
    const { pc } = run.recorder
    kept(pc)
    run.#running = pc.run({ timeoutMs: 100_000, signal: run.#stop.signal })
    return run
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  goOn(): void {
    this.#running = this.recorder.pc.run({ timeoutMs: 100_000 })
  }

  /** Lets the guest go through its loop so often. */
  async polls(more: number): Promise<void> {
    const until = this.#polls + more
    while (this.#polls < until) await turn()
  }

  get #polls(): number {
    const bytes = new Uint8Array(4)
    this.recorder.pc.domain.guestMemory.read(STATE + 4, bytes)
    return new DataView(bytes.buffer).getUint32(0, true)
  }

  /** Plugs in a model behind a message port; null: it never comes. @returns the port's other end with the server */
  async plug(model: DeviceModel | null, readyMs?: number): Promise<PluggedServer & { readonly port: MessagePort }> {
    const { port1, port2 } = new MessageChannel()
    kept(port1)
    kept(port2)
    const plugged = await this.recorder.plugServer((dispatch, platform, realTime) => {
      const limits = { name: 'plugged', realTime, policy: 'detach', ...(readyMs !== undefined && { readyMs }) } as const
      const { remote } = new MessageTransport(dispatch, platform, port1 as unknown as FramePort, limits)
      return { remote, close: () => remote.close() }
    })
    if (model !== null) void serveMessages(port2 as unknown as FramePort, (server) => server.attach(model))
    return { ...plugged, port: port2 }
  }

  /** Has the guest end. @returns its last state, and how many instructions that were */
  async end(): Promise<{ readonly state: unknown; readonly instructions: number }> {
    const { recorder } = this
    recorder.pc.serial.receive(Uint8Array.of(33))
    expect(await this.#running).toMatchObject({ reason: 'power-off' })
    const { instructions } = recorder
    await recorder.end()
    return { state: stateOf(recorder.pc), instructions }
  }

  async replay(checkpointMs?: number): Promise<PcReplay> {
    return kept(await replayPc(this.#options, this.file.source, { checkpointMs }))
  }

  /** Has the guest end, and compares that with a replay straight on, and what is at places with one from checkpoint to checkpoint. */
  async retraced(given: readonly number[]): Promise<void> {
    const end = await this.end()
    const places = [...new Set(given)].filter((at) => at < end.instructions).sort((a, b) => a - b)
    const straight = await this.replay(Infinity)
    const states: unknown[] = []
    for (const place of places) {
      expect(await straight.goto(place)).toEqual({ reason: 'arrived' })
      states.push(stateOf(straight.pc))
    }
    expect(await straight.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'power-off' })
    expect([stateOf(straight.pc), straight.instructions]).toEqual([end.state, end.instructions])
    const replay = await this.replay()
    for (const [i, place] of [...places.entries()].reverse()) {
      expect(await replay.goto(place)).toEqual({ reason: 'arrived' })
      expect(stateOf(replay.pc)).toEqual(states[i])
    }
  }
}

test(
  'plugged in and taken out at any instants, they are in the replay, and on the way back',
  { timeout: 60_000 },
  async () => {
    const polls = fc.integer({ min: 1, max: 400 })
    await fc.assert(
      fc.asyncProperty(
        fc.array(polls, { minLength: 2, maxLength: 4 }),
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        async (waits, parts) => {
          const run = await Recorded.begin()
          let plugged: PluggedServer | undefined
          const instants: number[] = []
          for (const wait of waits) {
            await run.polls(wait)
            if (plugged === undefined) {
              plugged = await run.plug(asynchronous())
              // Now and then it is taken out before its models are there.
              if (wait % 4 !== 0) await plugged.server.remote.ready
            } else {
              plugged.unplug()
              plugged = undefined
            }
            instants.push(run.recorder.instructions)
          }
          await run.polls(50)
          await run.retraced(
            instants.flatMap((at) => [at - 1, at + 1, Math.floor(at * (parts.next().value as number))]),
          )
        },
      ),
      { numRuns: 2 },
    )
  },
)

/** A model that answers as often as it is told, and no more. */
function mute(answers: number): { readonly model: DeviceModel; readonly asked: Promise<void> } {
  const { promise: asked, resolve } = Promise.withResolvers<void>()
  let left = answers
  const model = defineDevice({
    name: 'mute',
    mmio: { base: DEVICE, size: 16 },
    read() {
      if (left-- > 0) return left
      resolve()
      return new Promise(() => undefined)
    },
    write: () => undefined,
  })
  return { model, asked }
}

interface End {
  readonly how: string
  readonly options?: Partial<PcOptions>
  /** It answers so often. Default always. */
  readonly answers?: number
  readonly readyMs?: number
  /** Ends it, when the guest waits for an answer that does not come. */
  readonly act?: (plugged: PluggedServer & { readonly port: MessagePort }) => void
}

const ENDS: readonly End[] = [
  { how: 'is taken out while the guest waits for it', answers: 30, act: ({ unplug }) => unplug() },
  { how: 'breaks the protocol', act: ({ port }) => port.postMessage('no frame') },
  { how: 'breaks it while the guest waits for it', answers: 30, act: ({ port }) => port.postMessage('no frame') },
  { how: 'is late with an answer', options: { deviceDeadlineMs: 20 }, answers: 30 },
  { how: 'is late with its models', readyMs: 1 },
]

test.each(ENDS)('one that $how', { timeout: 60_000 }, async ({ options: more = {}, answers, readyMs, act }) => {
  const run = await Recorded.begin(more)
  await run.polls(20)
  const { model, asked } = mute(answers ?? Infinity)
  const plugged = await run.plug(readyMs === undefined ? model : null, readyMs)
  const ended = new Promise<void>((resolve) => plugged.server.remote.onClosed(resolve))
  if (answers !== undefined && act !== undefined) await asked
  else if (act !== undefined) await run.polls(20)
  else if (readyMs !== undefined) await expect(plugged.server.remote.ready).rejects.toThrow(/not there within 1 ms/)
  act?.(plugged)
  await ended
  await run.polls(20)
  const end = await run.end()
  const replay = await run.replay()
  expect(await replay.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'power-off' })
  expect([stateOf(replay.pc), replay.instructions]).toEqual([end.state, end.instructions])
})

test('models that act in each turn of the event loop leave the guest some', { timeout: 60_000 }, async () => {
  const run = await Recorded.begin()
  let isOver = false
  const busy = defineDevice({
    name: 'busy',
    mmio: { base: DEVICE, size: 16 },
    read: () => 7,
    write: () => undefined,
    attach(context) {
      const line = context.interruptLine(5)
      void (async () => {
        for (let level = true; !isOver; level = !level) await turn().then(() => line.set(level))
      })()
    },
  })
  const plugged = await run.plug(busy)
  await plugged.server.remote.ready
  await run.polls(100)
  isOver = true
  const end = await run.end()
  const replay = await run.replay()
  expect(await replay.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'power-off' })
  expect([stateOf(replay.pc), replay.instructions]).toEqual([end.state, end.instructions])
})

test('the machine itself goes back over the plug, and on', { timeout: 60_000 }, async () => {
  const run = await Recorded.begin()
  const { recorder, file } = run
  await run.polls(100)
  const before = recorder.instructions - 1
  const plugged = await run.plug(asynchronous())
  await plugged.server.remote.ready
  await run.polls(100)
  await run.stop()
  const debug = await recorder.debugger({ read: file.read })
  // An instruction may wait for the model.
  await debug.goto(recorder.instructions + 1)
  const [now, here] = [recorder.instructions, stateOf(recorder.pc)]
  const serversOf = (pc: Pc): boolean => pc.domain.hasRecordedModels
  expect(await debug.stepBack()).toEqual({ reason: 'step' })
  expect([debug.instructions, serversOf(debug.pc)]).toEqual([now - 1, true])
  await debug.goto(before)
  expect(serversOf(debug.pc)).toBe(false)
  await debug.goto(now - 1)
  await debug.step()
  expect(stateOf(debug.pc)).toEqual(here)
  // Taken out where it stands still, it is there until the machine runs on.
  plugged.unplug()
  expect(serversOf(recorder.pc)).toBe(true)
  await debug.goto(now + 5000)
  expect(serversOf(recorder.pc)).toBe(false)
  expect(await debug.stepBack()).toEqual({ reason: 'step' })
  await debug.goto(now + 1)
  await debug.goto(now + 4999)
  expect(serversOf(debug.pc)).toBe(false)
  await recorder.end()
})

/** Slot control and status of the port at 00:03.0, which the firmware of a q35 gives bus 1. */
const [PORT, CARD, SLOT] = [0x8000_1800, 0x8001_0000, 0x68]
/** Gives and takes power, and clears what the slot's status says. */
const [GIVES_POWER, TAKES_POWER] = [0xffff_01f1, 0xffff_07f1]

/** Does what the driver of a root port does when its button is pressed, and mixes what is there into a hash, until a byte is typed. */
const plugKernel = multibootKernel((asm: Assembler) => {
  const config = (register: number): void =>
    void asm.mov(eax, register).mov(dx, imm16(0xcf8)).out(dx, eax).mov(dx, imm16(0xcfc))
  config(PORT + 0x18)
  asm.mov(eax, 0x0001_0100).out(dx, eax).xor(ebx, ebx)
  const poll = asm.here()
  const [takes, told] = [asm.label(), asm.label()]
  config(PORT + SLOT)
  asm
    .in(eax, dx)
    .rol(ebx, 5)
    .xor(ebx, eax)
    .test(eax, 1 << 16)
    .jz(told)
  asm
    .test(eax, 1 << 10)
    .mov(eax, GIVES_POWER)
    .jnz(takes)
    .mov(eax, TAKES_POWER)
    .bind(takes)
    .out(dx, eax)
    .bind(told)
  config(CARD)
  asm
    .in(eax, dx)
    .rol(ebx, 5)
    .xor(ebx, eax)
    .rdtsc()
    .xor(ebx, eax)
    .mov(dword(STATE), ebx)
    .inc(dword(STATE + 4))
  asm
    .mov(dx, imm16(COM1 + 5))
    .in(al, dx)
    .test(al, 1)
    .jz(poll)
  asm.mov(dx, imm16(POWER)).mov(ax, imm16(OFF)).out(dx, ax).hlt()
})

test('devices come and go at a root port while it is recorded, and on the way back', { timeout: 60_000 }, async () => {
  const rng = { kind: 'rng', port: 'rp' } as const
  const run = await Recorded.begin({ kernel: plugKernel, machine: 'q35', rootPorts: [{ id: 'rp' }], virtio: [rng] })
  const [recorder, pc] = [run.recorder, run.recorder.pc]
  let client!: PacketClient
  const network = { linkUp: true, maximumBytes: 1514, connect: (its: PacketClient) => void (client = its), ready() {} }
  const medium = new RawImage(new MemoryStorage(new Uint8Array(1 << 20)), { readOnly: false })
  const steps: (() => unknown)[] = [
    () => pc.unplug('rp'),
    () => pc.plug({ networkCard: { model: 'e1000', network: { ...network, send: () => true }, port: 'rp' } }),
    () => client.receive(new Uint8Array(60)),
    () => pc.unplug('rp', { force: true }),
    () => pc.plug({ drive: { medium, interface: 'nvme', nvme: { port: 'rp' } } }),
    () => expect(pc.plug({ virtio: rng })).rejects.toThrow('it has a device already'),
  ]
  const instants: number[] = []
  for (const step of steps) {
    await run.polls(20)
    instants.push(recorder.instructions)
    await step()
  }
  await run.polls(20)
  await run.stop()
  const debug = await recorder.debugger({ read: run.file.read })
  const [now, here] = [recorder.instructions, stateOf(pc)]
  for (const [i, model] of ['e1000-rp', 'virtio-rng-rp', 'nvme-rp'].entries()) {
    await debug.goto([instants[3]!, instants[0]!, now][i]! - 1)
    const models = debug.pc.domain.devices.models().map(({ name }) => name)
    expect(models.filter((name) => name.endsWith('-rp'))).toEqual(['pcie-root-port-rp', model])
  }
  expect([recorder.instructions, stateOf(pc)]).toEqual([now, here])
  run.goOn()
  await run.retraced(instants)
})
