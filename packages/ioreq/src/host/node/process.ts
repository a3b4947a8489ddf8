import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { IoDispatch } from '../../dispatch.ts'
import { IoreqError } from '../../errors.ts'
import type { DevicePlatform } from '../index.ts'
import type { SharedTransportOptions } from '../shared-transport.ts'
import { DeviceListener, type DeviceListenerOptions } from './listener.ts'
import { programOf, sourceFlags } from './programs.ts'
import type { SocketTransport } from './socket-transport.ts'
import { Worker } from 'node:worker_threads'
import { SharedTransport } from '../shared-transport.ts'

/** The options of {@link startDeviceProcess}. */
export interface DeviceProcessOptions extends Pick<DeviceListenerOptions, 'reconnectMs' | 'realTime' | 'mayOverlap'> {
  /** Names the server. */
  readonly name: string
  /** Modules whose exported device models the process runs: URLs, as `import` takes them. */
  readonly modules: readonly string[]
  /** Takes what the models send to the machine's maker. */
  onMessage?(bytes: Uint8Array): void
  /** Default: a Unix socket of its own, or a named pipe on Windows. */
  readonly address?: DeviceListenerOptions['address']
}

/**
 * Runs device models in a Node process of their own, connected by a socket. A process that ends fails its server; a
 * server that is closed ends its process.
 */
export async function startDeviceProcess(
  dispatch: IoDispatch,
  platform: DevicePlatform,
  options: DeviceProcessOptions,
): Promise<SocketTransport> {
  const token = randomUUID()
  const folder = await mkdtemp(join(tmpdir(), 'retrap-devices-'))
  const path = process.platform === 'win32' ? `\\\\.\\pipe\\retrap-${token}` : join(folder, 'socket')
  const listener = await DeviceListener.listen(dispatch, platform, {
    address: options.address ?? { path },
    token,
    ...(options.reconnectMs !== undefined && { reconnectMs: options.reconnectMs }),
    ...(options.realTime !== undefined && { realTime: options.realTime }),
    ...(options.mayOverlap !== undefined && { mayOverlap: options.mayOverlap }),
    onMessage: (_transport, bytes) => options.onMessage?.(bytes),
  })
  const program = fileURLToPath(programOf('device-process', import.meta.url))
  const child = spawn(process.execPath, [...sourceFlags(import.meta.url), program], {
    // The token is not for the command line, which others can read.
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  child.stdin.on('error', () => {})
  const { name, modules } = options
  const { pid: parent } = process
  child.stdin.end(JSON.stringify({ address: listener.address, token, name, modules, parent, folder }))
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`cannot be started: ${error.message}`))
    child.once('exit', (code, signal) => resolve(`ended with ${code ?? signal}`))
  })
  const clean = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await listener.close()
    await rm(folder, { recursive: true, force: true })
  }
  const first = await Promise.race([listener.accept(), ended])
  if (typeof first === 'string') {
    await clean()
    throw new IoreqError('ERR_DEVICE', `the process of server ${options.name} ${first}`)
  }
  void ended.then((how) => {
    first.remote.failed(new IoreqError('ERR_DEVICE', `the process of server ${options.name} ${how}`))
    return clean()
  })
  // A server that is closed, for whatever reason, needs no process.
  first.remote.onClosed(() => void child.kill('SIGKILL'))
  return first
}

/** The options of {@link startDeviceWorker} beside those of a `SharedTransport`. */
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
