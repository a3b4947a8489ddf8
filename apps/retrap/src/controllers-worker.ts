import { workerData } from 'node:worker_threads'
import { guestMemoryOptions, type GuestMemoryHandles } from '@retrap/hvm'
import type { SharedDeviceMemory } from '@retrap/ioreq'
import { type ControllerDescription, serveControllers } from '@retrap/machine'

// The program of the Worker of `--controllers worker`.
const { memory, data } = workerData as {
  readonly memory: SharedDeviceMemory
  readonly data: { readonly controllers: ControllerDescription; readonly guest?: GuestMemoryHandles }
}
await serveControllers(memory, data.controllers, guestMemoryOptions(data.guest))
