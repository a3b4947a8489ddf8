import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type IoDispatch, IoreqError } from '@retrap/ioreq'
import { timeOf } from '../frames.ts'
import type { DevicePlatform } from '../index.ts'
import { MachineLink, randomSession } from '../protocol/link.ts'
import { FrameSocket } from './frame-socket.ts'
import { DEVICE_FD } from './program-group.ts'
import { programOf, sourceFlags } from './programs.ts'
import { SocketTransport } from './socket-transport.ts'
import { Worker } from 'node:worker_threads'
import { SharedTransport, type SharedTransportOptions } from '../shared-transport.ts'

/** The options of {@link startDeviceProcess}. */
export interface DeviceProcessOptions extends Pick<SharedTransportOptions, 'name' | 'realTime' | 'mayOverlap'> {
  /** Modules whose exported device models the process runs: URLs, as `import` takes them. */
  readonly modules: readonly string[]
  /** Takes the messages of the models to the machine's maker. */
  onMessage?(bytes: Uint8Array): void
}

/** Time to learn how a process has ended that has closed its socket. */
const ENDED_MS = 1000

/**
 * Runs device models in a Node process of their own, which speaks the device protocol on descriptor 3. A process that ends fails
 * its server; a server that is closed ends its process.
 *
 * @throws IoreqError `ERR_DEVICE` for a process that ends before its models are loaded, `ERR_NO_SPACE` where the domain has no
 *   room for a server
 */
export async function startDeviceProcess(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceProcessOptions,
): Promise<SocketTransport> {
  const { name, modules, realTime = true } = options
  const program = fileURLToPath(programOf('device-process', import.meta.url))
  const child = spawn(process.execPath, [...sourceFlags(import.meta.url), program], {
    stdio: ['pipe', 'inherit', 'inherit', 'pipe'],
  })
  // A module may be a data: URL of any length: a command line has too little room.
  child.stdin?.on('error', () => {}).end(JSON.stringify({ name, modules, parent: process.pid }))
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`cannot be started: ${error.message}`))
    child.once('exit', (code, signal) => resolve(`ended with ${code ?? signal}`))
  })
  const first = Promise.withResolvers<SocketTransport>()
  let transport: SocketTransport | undefined
  const failed = (error: IoreqError): void => {
    child.kill('SIGKILL')
    transport?.remote.failed(error)
    first.reject(error)
  }
  const gone = (how: string): void => failed(new IoreqError('ERR_DEVICE', `the process of server ${name} ${how}`))
  void ended.then(gone)
  const link = new MachineLink({
    ...{ session: randomSession(), realTime, hostsModels: true },
    now: () => timeOf(platform.clock),
    onFrame: (frame) => transport?.receive(frame),
    onFailed: failed,
    onOpen: () => {
      // A server that is closed, for whatever reason, needs no process.
      const onClosed = (): void => void child.kill('SIGKILL')
      transport = new SocketTransport(dispatch, platform, link, { ...options, onClosed })
      first.resolve(transport)
    },
  })
  const socket = child.stdio[DEVICE_FD] as Socket | null | undefined
  if (socket) {
    const frames = new FrameSocket(socket)
    frames.onBytes = (bytes) => link.receive(bytes)
    // The status of the process says more.
    frames.onEnd = () => void setTimeout(gone, ENDED_MS, 'has closed its connection').unref()
    link.connect(frames)
  }
  return first.promise
}

/** The options of {@link startDeviceWorker} beside the options of a `SharedTransport`. */
export interface DeviceWorkerOptions extends SharedTransportOptions {
  /** Modules whose exported device models the Worker runs: URLs, as `import` takes them. */
  readonly modules: readonly string[]
  /**
   * A program of your own for the Worker, instead of the one that imports `modules`. It gets `workerData.memory` for
   * `serveSharedDevices`, and `data`.
   */
  readonly program?: URL
  /** `workerData.data` of that program. */
  readonly data?: unknown
}

/**
 * Runs device models in a Worker of their own. A Worker that ends, or fails to load its modules, fails the server;
 * a server that is closed ends the Worker.
 */
export function startDeviceWorker(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceWorkerOptions,
): SharedTransport {
  let worker: Worker | null = null
  const transport = new SharedTransport(dispatch, platform, {
    ...options,
    onClosed: () => {
      // A Worker that hangs in a handler does not see that it is to end.
      void worker?.terminate()
      options.onClosed?.()
    },
  })
  worker = new Worker(options.program ?? programOf('device-worker', import.meta.url), {
    workerData: { memory: transport.memory, modules: options.modules, data: options.data },
    execArgv: sourceFlags(import.meta.url),
    name: `retrap devices ${options.name}`,
  })
  worker.on('error', (error) => transport.remote.failed(error))
  worker.on('exit', (code) => {
    transport.remote.failed(new IoreqError('ERR_DEVICE', `the Worker of server ${options.name} ended with ${code}`))
  })
  return transport
}
