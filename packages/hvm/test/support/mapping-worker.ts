/** The program of a Worker whose device model maps the guest's memory itself. */
import { workerData } from 'node:worker_threads'
import { defineDevice, type DeviceContext, type WritableGuestMapping } from '@retrap/device'
import { serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'
import { type GuestMemoryHandles, openGuestMemory } from '../../src/index.ts'

const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: GuestMemoryHandles }

/** Ports 300H: a page number to map; 304H: a byte to write to all that is mapped; a message lets go. */
let context: DeviceContext
const held: WritableGuestMapping[] = []
const model = defineDevice({
  name: 'mapper',
  synchronous: true,
  stateless: true,
  ports: { base: 0x300, size: 8 },
  attach: (given) => {
    context = given
  },
  read: () => held.length,
  write: (offset, _size, value) => {
    if (offset === 0) held.push(context.dma.mapForWriting(value << 12, 0x1000))
    else for (const mapping of held) mapping.write(0, Uint8Array.of(value))
  },
})

await serveSharedDevices(memory, (server) => server.attach(model), {
  openMemory: openGuestMemory(data),
  onMessage: () => {
    for (const mapping of held.splice(0)) mapping.release()
  },
})
