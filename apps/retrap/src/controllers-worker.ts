import { workerData } from 'node:worker_threads'
import { guestMemoryOptions, type GuestMemoryHandles } from '@retrap/hvm'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import type { ControllerDescription } from '@retrap/machine'

// The program of the Worker of `--controllers worker`.
const { memory, data } = workerData as {
  readonly memory: SharedDeviceMemory
  readonly data: { readonly controllers: ControllerDescription; readonly guest?: GuestMemoryHandles }
}
// Imported dynamically: a bundler would otherwise merge the module into this program, and run it twice.
const { serveControllers } = await import('@retrap/machine')
await serveControllers(memory, data.controllers, guestMemoryOptions(data.guest))
