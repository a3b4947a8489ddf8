import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DeviceModel } from '@retrap/device'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { afterAll } from 'vitest'
import {
  MessageTransport,
  serveMessages,
  type DeviceHostState,
  type FramePort,
  type RemoteServer,
} from '../../src/index.ts'
import { IoreqError, type IoRequest, STATUS_RETRY } from '@retrap/ioreq'
import {
  connectDeviceServer,
  type DeviceService,
  serveDeviceModules,
  serveDevices,
  startDeviceProcess,
  startDeviceWorker,
} from '../../src/node/index.ts'
import { startDeviceProgram } from '../../src/node/device-program.ts'
import { compile } from '../protocol/c-client.ts'
import { LACK, PYTHON, SDK, there } from '../protocol/python-programs.ts'
import { makeMachine } from '../machine.ts'
import { badNetwork, type Weather } from './bad-network.ts'
import { authority, devices, machine as machineCertificate } from '@retrap/tooling/certificates'
import { contractModels } from './models.ts'

type Machine = ReturnType<typeof makeMachine>
type MachineOptions = NonNullable<Parameters<typeof makeMachine>[0]>

/** A machine whose models are reached in one way, and how a vCPU waits in it. */
export interface World extends Machine {
  /** Makes an access from a logged pass and waits for its answer; the status, with the answer in `dispatch`. */
  access(vcpu: number, request: IoRequest): Promise<number>
  /** Waits a little, and handles what the models have sent. */
  turn(): Promise<void>
  save(): Promise<DeviceHostState>
  restore(state: DeviceHostState): Promise<void>
  resetModels(): Promise<void>
  readonly remote: RemoteServer | null
  stop(): Promise<void>
}

/** What a transport can do. */
export interface Kind {
  readonly name: string
  /** The models' thread can be stopped, and can end by itself. */
  readonly separate?: boolean
  /** `dma.read` answers at once. */
  readonly synchronousDma?: boolean
  /** Every access is one call, from the vCPU's own thread. */
  readonly direct?: boolean
  /**
   * Language of a program that speaks the device protocol. The protocol has no notices of the guest's time and frames, and for
   * owned memory neither contents, windows on a part, `unmap`, modes nor logs.
   */
  readonly program?: 'C' | 'Python'
  /** The host has no compiler or interpreter for it. */
  readonly isMissing?: boolean
  make(options?: MachineOptions): Promise<World>
}

const HERE = fileURLToPath(new URL('.', import.meta.url))
const SYNCHRONOUS = new URL('./synchronous-models.ts', import.meta.url).href
const ASYNCHRONOUS = new URL('./asynchronous-models.ts', import.meta.url).href

const tick = (ms = 0): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

/** The host of this process stays, without models; the models are behind `attach`. */
async function world(
  options: MachineOptions,
  models: readonly DeviceModel[],
  hostOptions: NonNullable<Parameters<typeof makeMachine>[2]>,
  connect?: (machine: Machine) => Promise<{
    readonly remote: RemoteServer
    readonly block?: (ms: number) => boolean
    readonly stop: () => Promise<void>
  }>,
): Promise<World> {
  const machine = makeMachine({ deadlineMs: 10_000, ...options }, [...models], hostOptions)
  const far = await connect?.(machine)
  const { dispatch, host } = machine
  const turn = async (): Promise<void> => {
    if (far?.block === undefined) await tick(1)
    // The Worker's end is told to the thread that has made it, on its event loop.
    else if (!far.block(5)) await tick()
    machine.timers.expire()
    dispatch.requests.expire(performance.now())
  }
  return {
    ...machine,
    remote: far?.remote ?? null,
    turn,
    async access(vcpu, request) {
      let status = dispatch.submit(vcpu, request)
      while (status === STATUS_RETRY) {
        await turn()
        status = dispatch.requests.take(vcpu)
      }
      return status
    },
    async save() {
      return far === undefined ? host.save() : polled(far.remote.save(), turn)
    },
    async restore(state) {
      if (far === undefined) await host.restore(state)
      else await polled(far.remote.restore(state), turn)
    },
    async resetModels() {
      if (far === undefined) return host.reset()
      far.remote.reset()
      await polled(far.remote.settle(), turn)
    },
    async stop() {
      await far?.stop()
    },
  }
}

/** Waits for a promise on a thread whose events have to be fetched. */
async function polled<T>(promise: Promise<T>, turn: () => Promise<void>): Promise<T> {
  let open = true
  const done = promise.finally(() => (open = false))
  done.catch(() => {})
  while (open) {
    await turn()
    await tick()
  }
  return done
}

/** As a guest's driver would: it goes on when the models are there. */
async function readied(remote: RemoteServer): Promise<void> {
  await Promise.race([remote.ready, tick(20_000).then(() => Promise.reject(new IoreqError('ERR_BUSY', 'not ready')))])
}

function inWorker(module: string, blocks: boolean): Kind['make'] {
  return (options = {}) =>
    world(options, [], {}, async ({ dispatch, platform }) => {
      const transport = startDeviceWorker(dispatch, platform, { name: 'far', modules: [module], realTime: false })
      const watched = transport.watch()
      await readied(transport.remote)
      return {
        remote: transport.remote,
        // What a vCPU does that has a thread of its own.
        ...(blocks && { block: (ms: number) => transport.waitSync(ms) }),
        stop: async () => {
          transport.close()
          await watched
        },
      }
    })
}

const bySocket = (address: { readonly path: string } | { readonly port: number }, synchronous: boolean): Kind['make'] =>
  byService((options) => serveModels({ token: options.token!, address }, synchronous))

/** Serves the models of the contract in this thread. */
const serveModels = (options: Parameters<typeof serveDevices>[0], synchronous: boolean): Promise<DeviceService> =>
  serveDevices(options, (server) => {
    for (const model of contractModels(synchronous)) server.attach(model)
  })

/** To a service of devices, which makes models for each machine. @param tls - by TLS */
function byService(
  serve: (options: Parameters<typeof serveDevices>[0]) => Promise<DeviceService>,
  weather?: Weather,
  tls = false,
) {
  return (options: MachineOptions = {}): Promise<World> =>
    world(options, [], {}, async ({ dispatch, platform }) => {
      const ours = tls && { tls: { ...devices, ca: authority } }
      const service = await serve({ address: { port: 0 }, token: 'secret', ...ours })
      const network =
        weather === undefined
          ? null
          : await badNetwork((service.address as { readonly port: number }).port, weather, seed++)
      const transport = await connectDeviceServer(dispatch, platform, {
        address: network === null ? service.address : { port: network.port },
        token: 'secret',
        ...(tls && { tls: { ...machineCertificate, ca: authority } }),
        name: 'far',
        realTime: false,
        // What is silent is found out within a second.
        ...(weather !== undefined && { aliveMs: 600, openMs: 2000 }),
      })
      await readied(transport.remote)
      return {
        remote: transport.remote,
        stop: async () => {
          transport.close()
          await network?.close()
          await service.close()
        },
      }
    })
}

/** A program that speaks the device protocol, whose `registers` save JSON. */
function byProgram(command: () => string | Promise<string>): Kind['make'] {
  return async (options = {}) => {
    const made = await world(options, [], {}, async ({ dispatch, platform }) => {
      const devices = startDeviceProgram(dispatch, platform, {
        ...{ name: 'far', command: `exec ${await command()}`, realTime: false },
      })
      await readied(devices.remote)
      return { remote: devices.remote, stop: async () => devices.close() }
    })
    const save = async (): Promise<DeviceHostState> => {
      const state = await made.save()
      const registers = state.devices['registers'] as { readonly bytes: Uint8Array } | undefined
      if (registers === undefined) return state
      const { log } = JSON.parse(new TextDecoder().decode(registers.bytes)) as { readonly log: readonly string[] }
      return { ...state, devices: { ...state.devices, registers: { ...registers, log } } }
    }
    return { ...made, save }
  }
}

let seed = 20_261_125

function byMessages(synchronous: boolean): Kind['make'] {
  return (options = {}) =>
    world(options, [], {}, async ({ dispatch, platform }) => {
      const { port1, port2 } = new MessageChannel()
      const [near, far] = [port1, port2] as unknown as [FramePort, FramePort]
      const transport = new MessageTransport(dispatch, platform, near, { name: 'far', realTime: false })
      await serveMessages(far, (server) => {
        for (const model of contractModels(synchronous)) server.attach(model)
      })
      await readied(transport.remote)
      return {
        remote: transport.remote,
        stop: async () => {
          transport.close()
          port2.close()
        },
      }
    })
}

let sockets = 0
const unixPath = (): string =>
  process.platform === 'win32'
    ? `\\\\.\\pipe\\retrap-test-${process.pid}-${sockets++}`
    : `/tmp/retrap-test-${process.pid}-${sockets++}.sock`

const folder = mkdtempSync(join(tmpdir(), 'retrap-contract-'))
afterAll(() => rmSync(folder, { recursive: true }))
let compiled: Promise<string> | undefined
const compiles = hasProgram('gcc')

/** Every way that there is. */
export const KINDS: readonly Kind[] = [
  {
    name: 'in process, synchronous',
    synchronousDma: true,
    direct: true,
    make: (options = {}) => world(options, contractModels(true), {}),
  },
  {
    name: 'in process, asynchronous',
    synchronousDma: true,
    make: (options = {}) => world(options, contractModels(false), {}),
  },
  {
    name: 'in process, every access deferred',
    synchronousDma: true,
    make: (options = {}) => world(options, contractModels(true), { defer: (callback) => void setImmediate(callback) }),
  },
  { name: 'Worker, the vCPU awaits', separate: true, synchronousDma: true, make: inWorker(SYNCHRONOUS, false) },
  {
    name: 'Worker with asynchronous models, the vCPU awaits',
    separate: true,
    synchronousDma: true,
    make: inWorker(ASYNCHRONOUS, false),
  },
  { name: 'Worker, the vCPU blocks', separate: true, synchronousDma: true, make: inWorker(SYNCHRONOUS, true) },
  { name: 'Unix socket', make: (options) => bySocket({ path: unixPath() }, true)(options) },
  { name: 'TCP socket with asynchronous models', make: bySocket({ port: 0 }, false) },
  { name: 'message port', make: byMessages(true) },
  { name: 'message port with asynchronous models', make: byMessages(false) },
  { name: 'TLS socket', make: byService((options) => serveModels(options, true), undefined, true) },
  {
    name: 'TLS socket over a bad network to models in a Worker',
    separate: true,
    make: byService(
      (options) => serveDeviceModules(options, [ASYNCHRONOUS]),
      { late: 4, cut: 40, halfClose: 80, silence: 300 },
      true,
    ),
  },
  {
    name: 'process',
    separate: true,
    make: (options = {}) =>
      world(options, [], {}, async ({ dispatch, platform }) => {
        const transport = await startDeviceProcess(dispatch, platform, {
          name: 'far',
          modules: [SYNCHRONOUS],
          realTime: false,
        })
        await readied(transport.remote)
        return { remote: transport.remote, stop: async () => transport.close() }
      }),
  },
  {
    name: `program in C${skipNote(compiles, 'gcc is not installed')}`,
    separate: true,
    // `retrap_dma_read` waits.
    synchronousDma: true,
    program: 'C',
    isMissing: !compiles,
    make: byProgram(() => (compiled ??= compile(`${HERE}contract-models.c`, join(folder, 'models')))),
  },
  {
    name: `program in Python${LACK}`,
    separate: true,
    program: 'Python',
    isMissing: !there,
    make: byProgram(() => `env PYTHONPATH='${SDK}' '${PYTHON}' -W error '${HERE}contract_models.py'`),
  },
]
