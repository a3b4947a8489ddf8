import { MachineMemory } from '@retrap/memory'
import { P2m, P2mEntry, P2mType } from '@retrap/p2m'

const memory = MachineMemory.create({ bytes: 64 << 20 })
const p2m = P2m.create(memory)
p2m.onRelease((gfn, _mfn, order) => console.log(`released: guest frame 0x${gfn.toString(16)}, order ${order}`))

p2m.populate(0x200, 0x400) // 4 MiB of RAM at 2 MiB
const ma = p2m.translateWrite(0x20_1234)
memory.write(ma, Uint8Array.of(1, 2, 3))

p2m.setType(0x210, 1, P2mType.RAM_RO)
const entry = new P2mEntry()
p2m.lookup(0x210, entry)
console.log(`writable: ${p2m.translateWrite(0x21_0000) >= 0}, leaf of order ${entry.order}`)

p2m.remove(0x400, p2m.translate(0x40_0000) / 4096, 0x200)
console.log(p2m.translate(0x40_0000))

// Output:
// writable: false, leaf of order 0
// released: guest frame 0x400, order 9
// -1
