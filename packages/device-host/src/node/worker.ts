import { Worker } from 'node:worker_threads'
import type { DevicePlatform, SharedTransportOptions } from '../index.ts'
import { type IoDispatch, IoreqError } from '@retrap/ioreq'
import { SharedTransport } from '../shared-transport.ts'
import { programOf, sourceFlags } from './program.ts'

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
