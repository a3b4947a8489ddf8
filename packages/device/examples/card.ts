// A network card that sends straight out of the guest's memory: a ring of 16 addresses and lengths, and a doorbell.
import { defineDevice, type DeviceContext, type GuestMapping } from '@retrap/device'

const RING = 0 // write: where the ring is
const DOORBELL = 4 // write: which of its entries is to be sent

let context: DeviceContext
let ring: GuestMapping | undefined

export const card = defineDevice({
  name: 'card',
  mmio: { base: 0xfed9_1000, size: 0x1000, minimumAccess: 4 },
  attach(given) {
    context = given
  },
  async write(offset, _size, value) {
    if (offset === RING) {
      ring?.release()
      ring = context.dma.map(value, 16 * 8) // kept from one request to the next
    }
    if (offset !== DOORBELL || ring === undefined) return
    const entry = new DataView(new ArrayBuffer(8))
    ring.read((value % 16) * 8, new Uint8Array(entry.buffer))
    // While this block runs the packet's frames are nobody else's, whatever the guest does with its memory.
    using packet = context.dma.map(entry.getUint32(0, true), entry.getUint32(4, true))
    for (const { bytes } of packet.segments) if (bytes !== null) await send(bytes)
  },
  invalidate() {
    // RAM has left the guest, and it waits: what is kept goes. The driver sets the ring up again if it was that.
    ring?.release()
    ring = undefined
  },
})

async function send(bytes: Iterable<number>): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, [...bytes].length / 1000))
}
// Output:
