import { workerData } from 'node:worker_threads'
import { type GuestMemoryHandles, openGuestMemory, openOwnedMemory } from '@retrap/hvm'
import type { SharedDeviceMemory } from '@retrap/ioreq'
import { type ControllerDescription, serveControllers } from '../../src/index.ts'

const { memory, data } = workerData as {
  readonly memory: SharedDeviceMemory
  readonly data: { readonly controllers: ControllerDescription; readonly guest: GuestMemoryHandles }
}
await serveControllers(memory, data.controllers, {
  openMemory: openGuestMemory(data.guest),
  ownedView: openOwnedMemory(data.guest),
})
