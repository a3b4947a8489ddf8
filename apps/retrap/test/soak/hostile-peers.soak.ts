/**
 * Device processes, Workers and models that lie to a machine, and hypervisors that lie to device processes: no uncaught
 * error, no undocumented exit code, no growth of memory, no run that outlives its `--timeout`, and nobody who waits for
 * ever.
 */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { createPc, type Pc, type PcOptions, type StartDeviceServer } from '@retrap/machine'
import { encodeFrame, SharedTransport, type DevicePlatform, type RemoteServer } from '@retrap/device-hosting'
import type { IoDispatch } from '@retrap/ioreq'
import { connectDeviceServer, serveDevices } from '@retrap/device-hosting/node'
import { resolvesWithin } from '@retrap/tooling/processor-time'
import type { Rng, Soak } from '@retrap/tooling/soak'
import type { CliHost } from '../../src/cli.ts'
import { ExitCode } from '../../src/exit-codes.ts'
import { HostileRuns } from '../support/hostile-runs.ts'
import { anyFrame, introduction } from '../support/lying-frames.ts'
import { drawModel } from '../support/lying-models.ts'
import { describePlan, drawPlan, LyingDevices, LyingHypervisor } from '../support/lying-peers.ts'
import { pokingFirmware } from '../support/poking-firmware.ts'

const TIMEOUTS = [0.03, 0.06, 0.1] as const
/** How long an end may take to see that the other has gone. */
const PATIENCE_SECONDS = 2
/** The stream of events in a SharedTransport's memory, and where its data begins. */
const EVENTS_AT = 3 * 4096 + 2 * 65_536
const STREAM_HEADER_BYTES = 64

let runs: HostileRuns | undefined
let sockets = 0

type Stop = () => Promise<void> | void

/** What is to be ended with a run; what comes after that is ended at once. */
class Ends {
  readonly #stops: Stop[] = []
  #isOver = false

  add(stop: Stop): void {
    if (this.#isOver) void stop()
    else this.#stops.push(stop)
  }

  async end(): Promise<void> {
    this.#isOver = true
    for (const stop of this.#stops.splice(0).toReversed()) await stop()
  }
}

/** What lies to one machine: further options for it, and how to end the liars. */
interface Liars {
  options(): Partial<PcOptions>
  stop(): Promise<void>
}

/** Asks of a server whatever a machine's maker may ask, one thing every few milliseconds. */
function pester(remote: RemoteServer, wishes: readonly (keyof typeof WISHES)[]): Stop {
  let isStopped = false
  void (async () => {
    for (const wish of wishes) {
      await setTimeout(4)
      if (isStopped) return
      // A liar's answer may be an error; what counts is that nothing else comes of it.
      void WISHES[wish](remote)?.catch(() => undefined)
    }
  })()
  return () => void (isStopped = true)
}

const WISHES = {
  post: (remote: RemoteServer): undefined => remote.post(new Uint8Array(100)) as undefined,
  reset: (remote: RemoteServer): undefined => remote.reset() as undefined,
  resume: (remote: RemoteServer): undefined => remote.resume() as undefined,
  save: (remote: RemoteServer) => remote.save(),
  quiesce: (remote: RemoteServer) => remote.quiesce(1),
  settle: (remote: RemoteServer) => remote.settle(),
  restore: (remote: RemoteServer) => remote.restore({ devices: { liar: 1 } } as never),
} as const

const drawWishes = (rng: Rng): (keyof typeof WISHES)[] =>
  Array.from({ length: rng.pick([0, 0, 1, 3]) }, () => rng.pick(Object.keys(WISHES) as (keyof typeof WISHES)[]))

/** Processes behind a socket. */
function drawProcesses(rng: Rng, folder: string): Liars {
  const token = rng.pick(['', 'a token'])
  const truthful = !rng.chance(1, 8)
  const plan = drawPlan(rng, 'event', truthful)
  const wishes = drawWishes(rng)
  rng.note('process', () => `${plan.welcome}: ${describePlan(plan)}`)
  rng.note('asked', wishes.join(', '))
  const ends = new Ends()
  const start: StartDeviceServer = async (dispatch, platform, realTime) => {
    const path = join(folder, `socket-${sockets++}`)
    const liar = new LyingDevices(plan, !truthful)
    await liar.listen(path)
    ends.add(() => liar.close())
    const transport = await connectDeviceServer(dispatch, platform, {
      ...{ address: { path }, token, realTime, name: 'liar', reconnectMs: 20, openMs: 20 },
      onMessage: (bytes) => transport.remote.post(bytes),
    })
    ends.add(pester(transport.remote, wishes))
    return transport
  }
  return { options: () => ({ deviceServers: [start] }), stop: () => ends.end() }
}

/** A Worker that scribbles over all that it shares with the machine. */
function drawScribbler(rng: Rng): Liars {
  const scribbles = Array.from({ length: rng.between(1, 60) }, () => ({
    // The page of words, the request page, the ring, the heads of both streams, or anywhere.
    at: rng.pick([0, 1024, 2048, 3 * 1024, EVENTS_AT / 4, EVENTS_AT / 4]) + rng.below(rng.pick([16, 1024])),
    value: rng.chance() ? rng.below(300) : rng.u32(),
    rings: rng.chance(2, 3),
  }))
  const frames = [
    ...introduction('scribbler'),
    ...Array.from({ length: rng.below(10) }, () => anyFrame(rng, 'event', 30)),
  ]
  rng.note('Worker', () => JSON.stringify([frames.map(({ kind }) => kind), scribbles]))
  const ends = new Ends()
  const start: StartDeviceServer = (dispatch: IoDispatch, platform: DevicePlatform, realTime: boolean) => {
    const transport = new SharedTransport(dispatch, platform, { name: 'scribbler', realTime })
    const { buffer, doorbell, doorbellIndex } = transport.memory
    const words = new Int32Array(buffer)
    const ring = (): void => {
      Atomics.add(doorbell, doorbellIndex, 1)
      Atomics.notify(doorbell, doorbellIndex)
    }
    let at = 0
    for (const bytes of frames.map((frame) => encodeFrame(frame))) {
      if (at + bytes.length > 65_536) break
      new Uint8Array(buffer).set(bytes, EVENTS_AT + STREAM_HEADER_BYTES + at)
      at += bytes.length
    }
    words[EVENTS_AT / 4] = at
    ring()
    let isStopped = false
    ends.add(() => void (isStopped = true))
    void (async () => {
      await transport.remote.ready.catch(() => undefined)
      for (const scribble of scribbles) {
        await setTimeout(1)
        if (isStopped) return
        words[scribble.at] = scribble.value
        if (scribble.rings) ring()
      }
    })()
    // A machine waits for its servers before it lets events in; nobody rings for what has come.
    transport.pump()
    return transport
  }
  return { options: () => ({ deviceServers: [start] }), stop: () => ends.end() }
}

/** Models of the machine's own process. */
function drawModels(rng: Rng): Liars {
  const drawn = Array.from({ length: rng.between(1, 2) }, (_, i) => drawModel(rng, i))
  rng.note('models', drawn.map(({ text }) => text).join('\n  '))
  const placement = rng.pick(['inline', 'deferred'] as const)
  return {
    options: () => ({ devices: drawn.map(({ model }) => model), devicePlacement: placement }),
    stop: async () => undefined,
  }
}

/** Exit codes and messages that only a liar can be the cause of. */
function isDocumented(code: number, errors: string): boolean {
  // `DeviceContext.requestExit` takes any code; the command line says which codes a device has requested.
  if (code !== ExitCode.InternalError) return code < 256
  return /device|server/.test(errors)
}

async function lieToMachine(rng: Rng, all: HostileRuns): Promise<string | undefined> {
  const draw = rng.pick([drawProcesses, drawProcesses, drawProcesses, drawScribbler, drawModels])
  const liars = draw(rng, all.folder)
  const firmware = pokingFirmware(rng)
  const timeout = rng.pick(TIMEOUTS)
  const some = (...args: readonly string[]): readonly string[] => (rng.chance(1, 4) ? args : [])
  const options = [
    ...(rng.chance(3, 4) ? ['--device-failure', 'detach'] : []),
    ...some('--cpus', '2'),
    ...some('--deterministic'),
    ...some('--hypervisor', 'xen'),
    ...some('--check-mappings'),
    ...some('--device-deadline', '0.01'),
  ]
  rng.note('options', options.join(' '))
  rng.note('firmware', () => firmware.listing)
  const line = ['run', '--firmware', all.file('firmware.bin', firmware.image), '--memory', '2M', ...options]
  const createMachine = async (given: PcOptions): Promise<Pc> => createPc({ ...given, ...liars.options() })
  const { violation } = await all.run([...line, '--timeout', String(timeout)], timeout, {
    createMachine: createMachine as unknown as CliHost['createMachine'],
    isDocumented,
  })
  const ended = await resolvesWithin(PATIENCE_SECONDS, liars.stop())
  return violation ?? (ended ? undefined : `its liars do not end within ${PATIENCE_SECONDS} s`)
}

async function lieToProcess(rng: Rng, all: HostileRuns): Promise<string | undefined> {
  const token = rng.pick(['', 'a token'])
  const plans = Array.from({ length: 1 + rng.pick([0, 0, 1, 3, 30]) }, () => drawPlan(rng, 'command', false))
  const models = Array.from({ length: rng.between(1, 2) }, (_, i) => drawModel(rng, i))
  rng.note('hypervisors', () => plans.map(describePlan).join('\n  '))
  rng.note('models', models.map(({ text }) => text).join('\n  '))
  const address = { path: join(all.folder, `socket-${sockets++}`) }
  return all.watch(PATIENCE_SECONDS, async () => {
    const service = await serveDevices({ address, token, reconnectMs: 30, openMs: 30 }, (server) => {
      // Each machine has models of its own.
      for (const { model } of models.splice(0)) server.attach(model)
    })
    const hypervisors = plans.map((plan) => new LyingHypervisor(plan, address.path, token))
    try {
      for (const hypervisor of hypervisors) void hypervisor.start().catch(() => undefined)
      await setTimeout(20)
      for (const hypervisor of hypervisors) hypervisor.stop()
      for (let waited = 0; service.machines > 0; waited++) {
        if (waited === 100) return 'a device process does not see that its hypervisor has gone'
        await setTimeout(10)
      }
    } finally {
      for (const hypervisor of hypervisors) hypervisor.stop()
      await service.close()
    }
    return undefined
  })
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'hostile-peers',
  count: 10_000,
  async setup() {
    runs = new HostileRuns('hostile-peers')
    await runs.warmUp()
  },
  async step(rng) {
    if (runs === undefined) return 'not set up'
    return rng.chance(1, 4) ? lieToProcess(rng, runs) : lieToMachine(rng, runs)
  },
  async teardown() {
    await runs?.close()
  },
}
