// What an access to a device costs, `npm run -s bench -- io [GROUP] [--jit]`: 4 million in a guest's loop, on a whole PC of ours, on v86's
// (npm) and on QEMU's TCG; then the round trips of other transports against the least that the host can do. Times are
// processor time of all threads in the guest's loops and awaits, else the time of day; the best of several rounds.
// Ratios are speed against speed: more than 1 is faster than the peer. With `--jit` the guest's loops also run with hot
// code compiled, in turn with the same PC without: names of those lines end with -jit.
// @programs: qemu-system-x86_64
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Session } from 'node:inspector/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { defineDevice, type DeviceModel } from '@retrap/device'
import { TimerQueue } from '@retrap/device/host'
import { RealClock } from '@retrap/hvm'
import { DeviceHost, SharedTransport, type DevicePlatform } from '@retrap/device-hosting'
import { createIoRequest, STATUS_RETRY, IoDispatch, IOREQ_READ, IOREQ_TYPE_COPY } from '@retrap/ioreq'
import { startDeviceWorker } from '@retrap/device-hosting/node'
import { createPc, type PcOptions } from '@retrap/machine'
import { threadsTime } from '@retrap/tooling/processor-time'
import { al, dword, eax, imm8 } from '@retrap/x86-assembler'
import { V86 } from 'v86'
import { ACCESSES, buildImage, COM1, ROUNDS, Stopwatch, runQemu, type Loop } from './guest-loops.ts'

/** QEMU's debug console answers reads here, and v86 and we make a device that does. */
const PORT = 0xe9
const PASSES = 3

const LOOPS: readonly Loop[] = [
  { name: 'loop', what: 'nothing but the loop', access: () => undefined },
  { name: 'port', what: 'IN AL from a device’s handler', access: (asm) => void asm.in(al, imm8(PORT)) },
  { name: 'apic', what: 'MOV from the local APIC’s ID', access: (asm) => void asm.mov(eax, dword(0xfee0_0020)) },
]

/** Addresses of a device that answers at once, for what an access allocates. */
const MMIO_BASE = 0xfedb_0000
const ALLOCATION_LOOPS: readonly Loop[] = [
  ...LOOPS,
  { name: 'mmio', what: 'MOV from a device’s handler', access: (asm) => void asm.mov(eax, dword(MMIO_BASE)) },
]

/** Ports and addresses of a device that is an async function, for us alone. */
const ASYNC_PORT = 0xea
const ASYNC_BASE = 0xfed9_0000
const ASYNC_ACCESSES = 1_000_000
/** Hosts count processor time in steps of some milliseconds. */
const AWAITS = 2_000_000
const ASYNC_LOOPS: readonly Loop[] = [
  { name: 'guest-in', what: 'IN from an async function', access: (asm) => void asm.in(al, imm8(ASYNC_PORT)) },
  { name: 'guest-mov', what: 'MOV from an async function', access: (asm) => void asm.mov(eax, dword(ASYNC_BASE)) },
]
/** The same of a device in a Worker; in many short rounds: the best of each is one in which nothing else wanted the processors. */
const TRIPS = 250
const WORKER_ROUNDS = 200
const WORKER_BASE = 0xfeda_0000
const WORKER_LOOPS: readonly Loop[] = [
  {
    name: 'guest-worker',
    what: 'MOV from a device in a Worker',
    access: (asm) => void asm.mov(eax, dword(WORKER_BASE)),
  },
]

/** Run the guest's loops with hot code compiled as well. */
let withJit = false

let reads = 0

function stopwatchDevice(watch: Stopwatch): DeviceModel {
  return {
    name: 'stopwatch',
    attach(context) {
      // Each byte as it is written, without the serial port's batches.
      const marks = { read: () => 0xff, write: (_offset: number, _size: number, value: number) => watch.byte(value) }
      context.mapPorts(COM1, 1, marks, { priority: 1 })
      const handler = { read: () => reads++ & 0xff, write: () => undefined }
      context.mapPorts(PORT, 1, handler)
      context.mapMmio(MMIO_BASE, 16, handler)
    },
  }
}

async function runRetrap(
  image: Uint8Array,
  watch = new Stopwatch(threadsTime, LOOPS.length),
  options: Pick<PcOptions, 'deviceServers' | 'jit'> = {},
): Promise<readonly number[]> {
  const ranges = { ports: { base: ASYNC_PORT, size: 1 }, mmio: { base: ASYNC_BASE, size: 16 } }
  const late = defineDevice({ name: 'late', ...ranges, read: async () => 1 })
  const devices = [stopwatchDevice(watch), late]
  const pc = await createPc({ memoryBytes: 32 << 20, firmware: image, devices, ...options })
  const stop = new AbortController()
  const running = pc.run({ signal: stop.signal })
  await watch.done
  stop.abort()
  await running
  pc.close()
  return watch.best
}

/** The part of v86's insides that a device of one's own needs. */
interface V86Inside {
  readonly v86: {
    readonly cpu: { readonly io: { register_read(port: number, device: object, read: () => number): void } }
  }
}

async function runV86(image: Uint8Array): Promise<readonly number[]> {
  const watch = new Stopwatch(threadsTime, LOOPS.length)
  const emulator = new V86({
    wasm_path: fileURLToPath(import.meta.resolve('v86').replace('libv86.mjs', 'v86.wasm')),
    bios: { buffer: image.slice().buffer },
    memory_size: 32 << 20,
    acpi: true,
    autostart: false,
  })
  emulator.add_listener('serial0-output-byte', (value: number) => watch.byte(value))
  await new Promise<void>((resolve) => emulator.add_listener('emulator-ready', () => resolve()))
  const { io } = (emulator as unknown as V86Inside).v86.cpu
  io.register_read(PORT, {}, () => reads++ & 0xff)
  await emulator.run()
  await watch.done
  await emulator.destroy()
  return watch.best
}

async function guestLoops(image: Uint8Array): Promise<void> {
  const ours = LOOPS.map(() => Infinity)
  const compiled = ours.slice()
  const v86 = ours.slice()
  let qemu: number[] | null = ours.slice()
  const keep = (best: number[], times: readonly number[]): void =>
    times.forEach((ns, i) => (best[i] = Math.min(best[i] ?? Infinity, ns)))
  // In turn, so that what else the host does meets all of them.
  for (let pass = 0; pass < PASSES; pass++) {
    keep(ours, await runRetrap(image))
    if (withJit) keep(compiled, await runRetrap(image, undefined, { jit: true }))
    keep(v86, await runV86(image))
    const times = qemu && (await runQemu(image, (clock_) => new Stopwatch(clock_, LOOPS.length)))
    if (times === null) qemu = null
    else keep(qemu!, times)
  }
  for (const [i, { name, what }] of LOOPS.entries()) {
    const lines = (suffix: string, own: number): void => {
      const line = (peer: string, ns: number): void =>
        console.log(
          `io-${name}${suffix}: ${(ns / own).toFixed(2)} x ${peer} (${what}: ${own.toFixed(1)} ns against ${ns.toFixed(1)} ns)`,
        )
      line('v86', v86[i] as number)
      // Two marks of a loop that takes a millisecond come through QEMU's pipe in one piece.
      if (qemu !== null && name !== 'loop') line('TCG', qemu[i] as number)
      if (suffix !== '') line('interpreter', ours[i] as number)
    }
    lines('', ours[i] as number)
    if (withJit) lines('-jit', compiled[i] as number)
  }
  if (qemu === null) console.log('SKIPPED: the comparison with TCG needs qemu-system-x86_64')
}

const nothing = (): void => undefined
const clock = new RealClock(() => performance.now() * 1e6)
const timers = new TimerQueue(clock)
const platform: DevicePlatform = {
  clock,
  timer: (callback) => timers.create(callback),
  dma: { read: () => false, write: () => false },
  interruptLine: () => ({ set: nothing, pulse: nothing }),
  signalMsi: nothing,
  powerOff: nothing,
  reset: nothing,
  exit: nothing,
}
const mmioRead = {
  ...createIoRequest(),
  type: IOREQ_TYPE_COPY,
  direction: IOREQ_READ,
  addressLo: 0x8004,
  size: 4,
}

/** A request to a Worker and its answer, with the vCPU's thread blocked, against a bare wait and notify each way. */
async function workerRoundTrip(): Promise<void> {
  const trips = TRIPS
  const dispatch = new IoDispatch({ vcpus: 1 })
  const transport = new SharedTransport(dispatch, platform, { name: 'far' })
  const worker = new Worker(new URL('./io-worker.ts', import.meta.url), {
    workerData: { memory: transport.memory },
  })
  const watched = transport.watch()
  await transport.remote.ready
  let bare = Infinity
  let ours = Infinity
  for (let round = 0; round < 400; round++) {
    const words = new Int32Array(new SharedArrayBuffer(8))
    worker.postMessage({ words, rounds: trips })
    await once(worker, 'message')
    let started = performance.now()
    for (let i = 0; i < trips; i++) {
      Atomics.store(words, 0, i + 1)
      Atomics.notify(words, 0)
      Atomics.wait(words, 1, i)
    }
    bare = Math.min(bare, ((performance.now() - started) * 1e3) / trips)
    started = performance.now()
    for (let i = 0; i < trips; i++) {
      let status = dispatch.submit(0, mmioRead)
      for (; status === STATUS_RETRY; status = dispatch.requests.take(0)) transport.waitSync()
    }
    ours = Math.min(ours, ((performance.now() - started) * 1e3) / trips)
  }
  transport.close()
  await watched
  await worker.terminate()
  console.log(
    `io-worker: ${(bare / ours).toFixed(2)} x ping-pong (a request to a Worker and its answer: ${ours.toFixed(2)} µs, ` +
      `Atomics.wait and notify each way: ${bare.toFixed(2)} µs)`,
  )
  // The same from a guest, whose vCPU's thread waits blocked.
  const watch = new Stopwatch(() => performance.now() * 1e6, WORKER_LOOPS.length, TRIPS, WORKER_ROUNDS)
  const image = buildImage(WORKER_LOOPS, TRIPS, WORKER_ROUNDS)
  const program = new URL('./io-worker.ts', import.meta.url)
  const [guest = Infinity] = await runRetrap(image, watch, {
    deviceServers: [
      (dispatchOfGuest, platformOfGuest, realTime) =>
        startDeviceWorker(dispatchOfGuest, platformOfGuest, {
          name: 'far',
          modules: [],
          program,
          realTime,
          patienceMs: 5,
        }),
    ],
  })
  console.log(
    `io-guest-worker: ${((bare * 1e3) / guest).toFixed(2)} x ping-pong (a guest's MOV from a device in a Worker: ` +
      `${(guest / 1e3).toFixed(2)} µs, Atomics.wait and notify each way: ${bare.toFixed(2)} µs)`,
  )
}

/** An access to an async function of this process, by a guest and through the dispatcher alone, against a bare await of it. */
async function asyncInProcess(): Promise<void> {
  const read = async (offset: number): Promise<number> => offset
  let bare = Infinity
  let sum = 0
  const awaits = async (): Promise<void> => {
    const started = threadsTime()
    for (let i = 0; i < AWAITS; i++) sum += await read(4)
    bare = Math.min(bare, (threadsTime() - started) / AWAITS)
  }
  const image = buildImage(ASYNC_LOOPS, ASYNC_ACCESSES)
  const machines = [{ suffix: '', jit: false }, ...(withJit ? [{ suffix: '-jit', jit: true }] : [])].map((machine) => ({
    ...machine,
    best: ASYNC_LOOPS.map(() => Infinity),
  }))
  for (let pass = 0; pass < PASSES; pass++) {
    for (const { jit, best } of machines) {
      const times = await runRetrap(image, new Stopwatch(threadsTime, ASYNC_LOOPS.length, ASYNC_ACCESSES), { jit })
      times.forEach((ns, i) => (best[i] = Math.min(best[i] ?? Infinity, ns)))
    }
    await awaits()
  }
  let complete: () => void = nothing
  const dispatch = new IoDispatch({ vcpus: 1, onComplete: () => complete() })
  const host = new DeviceHost(dispatch, platform)
  host.attach(defineDevice({ name: 'slow', mmio: { base: 0x8000, size: 64 }, read }))
  const wake = (resolve: () => void): void => void (complete = resolve)
  let ours = Infinity
  for (let round = 0; round < ROUNDS; round++) {
    await awaits()
    const started = threadsTime()
    for (let i = 0; i < AWAITS / 4; i++) {
      let status = dispatch.submit(0, mmioRead)
      for (; status === STATUS_RETRY; status = dispatch.requests.take(0)) await new Promise<void>(wake)
      sum += dispatch.lo
    }
    ours = Math.min(ours, (threadsTime() - started) / (AWAITS / 4))
  }
  if (sum === 0) throw new Error('unreachable: keeps the sum alive')
  const line = (name: string, what: string, ns: number): void =>
    console.log(
      `io-${name}: ${(bare / ns).toFixed(3)} x await (${what}: ${ns.toFixed(0)} ns, a bare await of one: ` +
        `${bare.toFixed(0)} ns)`,
    )
  for (const [i, { name, what }] of ASYNC_LOOPS.entries())
    for (const { suffix, best } of machines) line(`${name}${suffix}`, `a guest's ${what}`, best[i] as number)
  line('async', 'an access to an async function, awaited', ours)
}

const ON_THE_WAY =
  /^(portRead|mmioRead|find|physicalRead|mmioReadOrSend|#readApic|at|port|access|generatedAccess|isAgain|addressAgain|make|#readDevice|#readDirectly|read|run|systemAccess|#perform|#system|system)$/

/** What the heap profiler sees of a guest's synchronous accesses. */
async function allocation(): Promise<void> {
  const image = buildImage(ALLOCATION_LOOPS)
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.enable')
  const options = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true }
  await session.post('HeapProfiler.startSampling', { samplingInterval: 4096, ...options })
  await runRetrap(image, new Stopwatch(threadsTime, ALLOCATION_LOOPS.length))
  const { profile } = await session.post('HeapProfiler.stopSampling')
  session.disconnect()
  let bytes = 0
  const visit = (node: (typeof profile)['head']): void => {
    // The machine's own making is not what is asked for: only the functions on an access's way.
    if (ON_THE_WAY.test(node.callFrame.functionName)) {
      bytes += node.selfSize
    }
    node.children.forEach(visit)
  }
  visit(profile.head)
  const accesses = (ALLOCATION_LOOPS.length - 1) * ROUNDS * ACCESSES
  console.log(
    `io-allocation: ${(bytes / accesses).toFixed(3)} bytes an access (heap profile of ${accesses / 1e6} million ` +
      `synchronous accesses: ${bytes} bytes in the functions on their way)`,
  )
}

const GROUPS: Readonly<Record<string, () => Promise<void>>> = {
  guest: () => guestLoops(buildImage(LOOPS)),
  worker: workerRoundTrip,
  async: asyncInProcess,
  allocation,
}

/** Prints the ratios of one group, or of all, each in a process of its own: V8 compiles for what it has seen in one. */
export async function run(args: readonly string[]): Promise<void> {
  withJit = args.includes('--jit')
  const [name] = args.filter((arg) => arg !== '--jit')
  const group = GROUPS[name ?? '']
  if (group === undefined) {
    if (name !== undefined) throw new Error(`no group ${name}: expected one of ${Object.keys(GROUPS).join(', ')}`)
    for (const each of Object.keys(GROUPS)) {
      const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1), each], { stdio: 'inherit' })
      const [code] = await once(child, 'exit')
      if (code !== 0) throw new Error(`the group ${each} ended with ${code}`)
    }
    return
  }
  await group()
  // v86 leaves timers behind.
  process.exit(0)
}
