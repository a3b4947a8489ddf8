import { guestMapOf, MapCache } from '@retrap/mapcache'
import { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m } from '@retrap/p2m'

const memory = MachineMemory.create({ bytes: 16 << 20 })
const counts = FrameCounts.create(memory)
const p2m = P2m.create(memory)
const cache = new MapCache({ memory, map: guestMapOf(p2m), references: counts })

const mfn = memory.frames.allocate()
counts.adopt(mfn, 1)
p2m.insert(0x100, mfn, 0, 0)
p2m.onRelease((_gfn, frame, order) => counts.drop(frame, 2 ** order))

const packet = cache.mapForWriting(0x10_0ff0, 0x20)
console.log(packet.segments.map(({ kind, length }) => `${length} bytes of ${kind}`).join(', '))
console.log(packet.write(0, new Uint8Array(0x20).fill(0x55)), 'bytes taken')

p2m.remove(0x100, mfn) // the guest balloons
const notice = cache.invalidate(0x100, 1)
notice.onDone(() => console.log('acknowledged; frame in use:', memory.frames.isAllocated(mfn)))
console.log('the device still writes; frame in use:', memory.frames.isAllocated(mfn))
packet.release()

// Output:
// 16 bytes of ram, 16 bytes of mmio
// 16 bytes taken
// the device still writes; frame in use: true
// acknowledged; frame in use: false
