// Keeps translations of two address spaces, as a processor does whose page tables have numbers (PCIDs, ASIDs).
import { TLB_READ, TLB_WRITE, Tlb, tlbBytes } from '@retrap/engine'
import { MachineMemory } from '@retrap/memory'

const memory = MachineMemory.create({ bytes: 4 << 20 })
const [USER, SUPERVISOR] = [0, 1]
const tlb = new Tlb(memory, memory.allocate(tlbBytes(2), 64, 'TLB'), 2)

const page = { global: false, pageBytes: 4096, key: 0 }
tlb.fill(USER, TLB_READ, 0x40_0000, 0, 0x5_0000, page)
console.log(tlb.lookup(USER, TLB_READ, 0x40_0123, 0).toString(16), tlb.lookup(USER, TLB_WRITE, 0x40_0123, 0))

tlb.exchange(1, 2)
tlb.fill(SUPERVISOR, TLB_READ, 0xffff_f000, 0xffff_ffff, 0x6_0000, { ...page, global: true })
console.log(tlb.lookup(USER, TLB_READ, 0x40_0123, 0))

tlb.exchange(2, 1)
console.log(tlb.lookup(USER, TLB_READ, 0x40_0123, 0).toString(16))
console.log(tlb.lookup(SUPERVISOR, TLB_READ, 0xffff_ffff, 0xffff_ffff).toString(16))

// Output:
// 50000 -1
// -1
// 50000
// 60000
