import { MemoryStorage, Overlay, RawImage } from '@retrap/block'

const disk = new Uint8Array(1 << 20)
const image = new RawImage(new MemoryStorage(disk), { serialNumber: 'EXAMPLE' })
const overlay = new Overlay(image)

await overlay.write(4096, new Uint8Array(512).fill(7))
const sector = new Uint8Array(512)
await overlay.read(4096, sector)
console.log(`through the overlay: ${sector[0]}; on the disk: ${disk[4096]}; held: ${overlay.heldBytes >> 10} KiB`)

// Output:
// through the overlay: 7; on the disk: 0; held: 64 KiB
