import { MachineMemory } from '@retrap/memory'

const memory = MachineMemory.create({ bytes: 16 << 20 })

// A region for a structure of the hypervisor, and a frame for a guest.
const ring = memory.allocate(4096, 4096, 'event ring')
const frame = memory.frames.allocate()
memory.write(frame * 4096, Uint8Array.of(0x0f, 0x0b)) // UD2

// The code of that frame has been decoded: writes that are not the CPU's own must be heard of.
memory.frameBits.addOwner(frame)
memory.onCodeWrite((written) => {
  memory.frameBits.removeOwner(written)
  console.log(`code in the guest's frame was overwritten: ${written === frame}`)
})
memory.writeU16(frame * 4096, 0x9090)

console.log(`ring aligned: ${ring % 4096 === 0}, generation ${memory.generation[frame]}`)

// Output:
// code in the guest's frame was overwritten: true
// ring aligned: true, generation 2
