/** The program of a Worker whose device model owns memory: at once visible to the guest, and to the model in place. */
import { workerData } from 'node:worker_threads'
import { defineDevice, type OwnedMemory } from '@retrap/device'
import { serveSharedDevices, type SharedDeviceMemory } from '@retrap/device-hosting'
import { type GuestMemoryHandles, openGuestMemory, openOwnedMemory } from '../../src/index.ts'

const { memory, data } = workerData as { readonly memory: SharedDeviceMemory; readonly data: GuestMemoryHandles }

let owned: OwnedMemory
const dirty = new Uint32Array(1)
/** Ports 300H: read, a byte of the memory in place; write, where that is. 304H: read, dirty pages; write, a byte there. */
let at = 0
const model = defineDevice({
  name: 'owner',
  synchronous: true,
  stateless: true,
  ports: { base: 0x300, size: 8, maximumAccess: 1 },
  attach(context) {
    owned = context.ownMemory({ name: 'vram', bytes: 4 * 4096, executable: true })
    context.mapMemory(0x20_0000, owned)
    owned.logWrites(true)
  },
  read: (offset) => (offset === 0 ? (owned.view?.[at] ?? 0xee) : owned.takeDirty(0, owned.bytes, dirty)),
  write(offset, _size, value) {
    if (offset === 0) at = value
    else owned.write(at, Uint8Array.of(value))
  },
})

await serveSharedDevices(memory, (server) => server.attach(model), {
  openMemory: openGuestMemory(data),
  ownedView: openOwnedMemory(data),
})
