import { workerData } from 'node:worker_threads'
import { type GuestMemoryHandles, guestMemoryOptions } from '@retrap/hvm'
import type { SharedDeviceMemory } from '@retrap/device-hosting'
import { type ControllerDescription, serveControllers } from '../../src/index.ts'

const { memory, data } = workerData as {
  readonly memory: SharedDeviceMemory
  readonly data: { readonly controllers: ControllerDescription; readonly guest?: GuestMemoryHandles }
}
await serveControllers(memory, data.controllers, guestMemoryOptions(data.guest))
