// A toolstack takes a page away from a guest while a device model is sending it.
import { DeterministicClock, X86Domain } from '@retrap/hvm'
import { defineDevice, type DeviceDma } from '@retrap/device'
import { MachineMemory } from '@retrap/memory'
import { INVALID_MFN, P2mType } from '@retrap/p2m'

const domain = new X86Domain({
  memory: MachineMemory.create({ bytes: 8 << 20 }),
  vcpus: 1,
  clock: new DeterministicClock(),
  random: () => 4,
  sleeper: { sleep: () => Promise.resolve(), wake: () => {} },
  codeCacheBytes: 1 << 20,
})
domain.p2m.populate(0, 16)
const cards: DeviceDma[] = []
domain.attach(defineDevice({ name: 'card', attach: ({ dma }) => void cards.push(dma) }))

const packet = cards[0]?.map(0x3000, 64)
const taken = domain.changeMemory((p2m) => p2m.insert(3, INVALID_MFN, 0, P2mType.INVALID))
void taken.then(() => console.log('the frame is free'))
await Promise.resolve()
console.log('the guest has it:', domain.guestMemory.read(0x3000, new Uint8Array(1)))
console.log('the card has it:', packet?.read(0, new Uint8Array(64)), 'bytes; wanted back:', packet?.orphaned)
packet?.release()
await taken
// Output:
// the guest has it: false
// the card has it: 64 bytes; wanted back: true
// the frame is free
