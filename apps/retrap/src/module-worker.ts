import { workerData } from 'node:worker_threads'
import { guestMemoryOptions, type GuestMemoryHandles } from '@retrap/hvm'
import { serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'
import { importModels } from '@retrap/device-hosting/node'

// The program of the Worker of `--device FILE,transport=worker`.
const { memory, modules, data } = workerData as {
  readonly memory: SharedDeviceMemory
  readonly modules: readonly string[]
  readonly data?: GuestMemoryHandles
}
await serveSharedDevices(
  memory,
  async (server) => {
    for (const model of await importModels(modules)) server.attach(model)
  },
  guestMemoryOptions(data),
)
