// What a device elsewhere costs, `npm run -s bench -- device-process`: a guest's MOV from a model that is a C or Python program behind a
// Unix socket, beside the same model in TypeScript as an async function of this process, in a Worker, and in a Node process; then DMA.
// A trip is the time of day from the access to the next instruction, seen by the dispatcher; all take turns in one process. The
// peer is the least that a program may cost: 56 bytes to it and 24 back over the same kind of socket, without any protocol.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Duplex } from 'node:stream'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineDevice } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { RealClock } from '@retrap/hvm'
import { DeviceHost, type DevicePlatform } from '@retrap/device-hosting'
import { startDeviceProcess, startDeviceProgram, startDeviceWorker } from '@retrap/device-hosting/node'
import { createIoRequest, IoDispatch, IOREQ_READ, IOREQ_TYPE_COPY, IOREQ_WRITE, STATUS_RETRY } from '@retrap/ioreq'

const ROUNDS = 20
const TRIPS = 500
const WARM_UP = 2000
const DMA_MIB = 256
const BASE = 0xfedc_0000

const nothing = (): void => undefined
const unmapped = (): never => {
  throw new Error('nothing is mapped here')
}
const ended = { done: true, onDone: (callback: () => void) => callback() }
const clock = new RealClock(() => performance.now() * 1e6)
const timers = new TimerQueue(clock)
const ram = new Uint8Array(4 << 20)
const platform: DevicePlatform = {
  clock,
  timer: (callback) => timers.create(callback),
  dma: {
    read: (gpa, into) => (into.set(ram.subarray(gpa, gpa + into.length)), true),
    write: (gpa, from) => (ram.set(from, gpa), true),
  },
  // As a machine has it: models of this process copy without frames.
  openMemory: () => ({
    read: (gpa, into) => platform.dma.read(gpa, into),
    write: (gpa, from) => platform.dma.write(gpa, from),
    readSome: (gpa, into) => (platform.dma.read(gpa, into), into.length),
    writeSome: (gpa, from) => (platform.dma.write(gpa, from), from.length),
    map: unmapped,
    mapForWriting: unmapped,
    invalidate: () => ended,
    revokeWrites: () => ended,
    close: nothing,
  }),
  interruptLine: () => ({ set: nothing, pulse: nothing }),
  signalMsi: nothing,
  powerOff: nothing,
  reset: nothing,
  exit: nothing,
}
const access = { ...createIoRequest(), type: IOREQ_TYPE_COPY, direction: IOREQ_READ, addressLo: BASE + 4, size: 4 }

/** A way to a device: makes one access. */
interface Way {
  readonly name: string
  readonly trip: () => Promise<void>
  readonly micros: number[]
  readonly close: () => Promise<unknown> | void
}

const way = (name: string, trip: Way['trip'], close: Way['close']): Way => ({ name, trip, micros: [], close })

/** A dispatcher with one server, whose vCPU waits on the event loop as a machine's does. */
async function dispatched(
  name: string,
  start: (dispatch: IoDispatch) => Promise<{ ready?: Promise<void>; close?: () => Promise<unknown> | void }>,
  moved: { write?: (offset: number, count: number) => Promise<void> } = {},
): Promise<Way> {
  let complete: () => void = nothing
  const dispatch = new IoDispatch({ vcpus: 1, onComplete: () => complete() })
  const { ready, close = nothing } = await start(dispatch)
  await ready
  const wake = (resolve: () => void): void => void (complete = resolve)
  const make = async (request: typeof access): Promise<void> => {
    let status = dispatch.submit(0, request)
    for (; status === STATUS_RETRY; status = dispatch.requests.take(0)) await new Promise<void>(wake)
  }
  moved.write = (offset, count) => make({ ...access, direction: IOREQ_WRITE, addressLo: BASE + offset, dataLo: count })
  return way(
    name,
    async () => {
      await make(access)
      if (dispatch.lo !== 4) throw new Error(`${name}: read ${dispatch.lo}, expected 4`)
    },
    close,
  )
}

/** The bare round trip. */
function bareTrips(program: string): Way {
  const child = spawn(program, ['echo'], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] })
  const socket = child.stdio[3] as Duplex
  const bytes = new Uint8Array(56)
  let [left, done] = [0, nothing as () => void]
  socket.on('data', (chunk: Uint8Array) => {
    left -= chunk.length
    if (left === 0) done()
  })
  return way(
    'bare',
    () =>
      new Promise<void>((resolve) => {
        ;[left, done] = [24, resolve]
        socket.write(bytes)
      }),
    () => void child.kill(),
  )
}

const PYTHON = `
import sys
sys.path.insert(0, sys.argv[1])
from retrap_device import Device, serve
class Echo(Device):
    name = 'python'
    stateless = True
    def __init__(self):
        super().__init__()
        self.mmio(${BASE}, 4096)
    def read(self, region, offset, size):
        return offset
    def write(self, region, offset, size, value):
        pass
serve(Echo())
`

/** Prints medians, 99th percentiles and ratios. */
export async function run(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-bench-'))
  const program = join(folder, 'model')
  const source = fileURLToPath(new URL('device-model.c', import.meta.url))
  const compiled = spawnSync('cc', ['-O2', source, '-o', program], { stdio: 'inherit' })
  if (compiled.status !== 0) {
    console.log('SKIPPED: there is no C compiler here')
    return
  }
  const model = defineDevice({
    name: 'typescript',
    stateless: true,
    mmio: { base: BASE, size: 4096 },
    read: async (offset) => offset,
  })
  const module = join(folder, 'model.mjs')
  const deviceUrl = import.meta.resolve('@retrap/device')
  writeFileSync(
    module,
    `import { defineDevice } from ${JSON.stringify(deviceUrl)}
export const model = defineDevice({ name: 'far', stateless: true, mmio: { base: ${BASE}, size: 4096 }, read: async (offset) => offset })`,
  )
  const modules = [new URL(`file://${module}`).href]
  const c: { write?: (offset: number, count: number) => Promise<void> } = {}
  const started = (dispatch: IoDispatch, command: string): { ready: Promise<void>; close(): void } => {
    const devices = startDeviceProgram(dispatch, platform, {
      name: 'program',
      command,
      onOutput: (bytes) => void process.stderr.write(bytes),
    })
    return { ready: devices.remote.ready, close: () => devices.close() }
  }
  const ways = [
    bareTrips(program),
    await dispatched('in process', async (dispatch) => {
      new DeviceHost(dispatch, platform).attach(model)
      return {}
    }),
    await dispatched('Worker', async (dispatch) => {
      const transport = startDeviceWorker(dispatch, platform, { name: 'far', modules })
      void transport.watch()
      return { ready: transport.remote.ready, close: () => transport.close() }
    }),
    await dispatched('Node process', async (dispatch) => {
      const transport = await startDeviceProcess(dispatch, platform, { name: 'far', modules })
      return { ready: transport.remote.ready, close: () => transport.close() }
    }),
    await dispatched('C', async (dispatch) => started(dispatch, program), c),
    ...(spawnSync('python3', ['--version']).status === 0
      ? [
          await dispatched('Python', async (dispatch) => {
            const script = join(folder, 'model.py')
            writeFileSync(script, PYTHON)
            const sdk = fileURLToPath(new URL('../../device-hosting/sdk/python', import.meta.url))
            return started(dispatch, `python3 ${script} ${sdk}`)
          }),
        ]
      : []),
  ]
  for (const { trip } of ways) for (let i = 0; i < WARM_UP; i++) await trip()
  for (let round = 0; round < ROUNDS; round++)
    for (const { trip, micros } of ways)
      for (let i = 0; i < TRIPS; i++) {
        const at = performance.now()
        await trip()
        micros.push((performance.now() - at) * 1e3)
      }
  const of = (micros: readonly number[], part: number): number =>
    micros.toSorted((a, b) => a - b)[Math.floor(part * (micros.length - 1))]!
  const [bare] = ways
  const least = of(bare!.micros, 0.5)
  for (const { name, micros } of ways)
    console.log(
      `device-${name.toLowerCase().replace(' ', '-')}: ${(least / of(micros, 0.5)).toFixed(2)} x bare round trip (` +
        `${of(micros, 0.5).toFixed(1)} µs an access, median; ${of(micros, 0.99).toFixed(1)} µs the 99th percentile)`,
    )
  // The same bytes again and again: a goal of 500 MB/s.
  for (const [what, offset] of [
    ['into', 16],
    ['out of', 20],
  ] as const) {
    let best = 0
    for (let round = 0; round < 5; round++) {
      const at = performance.now()
      await c.write!(offset, DMA_MIB)
      best = Math.max(best, (DMA_MIB * 2 ** 20) / 1e6 / ((performance.now() - at) / 1e3))
    }
    console.log(`device-dma: ${(best / 500).toFixed(2)} x 500 MB/s (${best.toFixed(0)} MB/s ${what} guest memory, C)`)
  }
  for (const { close } of ways) await close()
  rmSync(folder, { recursive: true })
  process.exit(0)
}
