/** The program of a Worker whose device model maps the guest's memory itself. */
import { workerData } from 'node:worker_threads'
import { defineDevice, serveSharedDevices } from '@retrap/ioreq'
import type { DeviceContext, SharedDeviceMemory, WritableGuestMapping } from '@retrap/ioreq'
import { guestMapOf, MapCache } from '@retrap/mapcache'
import { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m } from '@retrap/p2m'

/** What the domain's thread posts: where to find the guest's memory. */
export interface GuestMemoryHandles {
  readonly memory: WebAssembly.Memory
  /** `P2m.ma` and `FrameCounts.ma`. */
  readonly p2m: number
  readonly frameCounts: number
}

const { memory: page, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: GuestMemoryHandles }
const memory = MachineMemory.attach(data.memory)
const p2m = P2m.attach(memory, data.p2m)
const references = FrameCounts.attach(memory, data.frameCounts)

/** Ports 300H: a page number to map; 304H: a byte to write to all that is mapped; a message lets go. */
let context: DeviceContext
const held: WritableGuestMapping[] = []
const model = defineDevice({
  name: 'mapper',
  synchronous: true,
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

await serveSharedDevices(page, (server) => server.attach(model), {
  openMemory: (modified) => new MapCache({ memory, map: guestMapOf(p2m, modified), references }),
  onMessage: () => {
    for (const mapping of held.splice(0)) mapping.release()
  },
})
