// A state with its memory is written to a file's bytes, and read again. Equal pages take room once.
import { bytesSource, readSnapshot, readSnapshotDescription, writeSnapshot } from '@retrap/snapshot'

const memory = new Uint8Array(3 * 4096)
memory.fill(0x90, 0, 8192) // two equal pages
memory.fill(0xcc, 8192)

const pieces: Uint8Array[] = []
await writeSnapshot(
  {
    description: { machine: 'example', cpus: 1 },
    state: { cpu: { rip: 0x7c00n, cr0: 0x10 }, vram: Uint8Array.of(1, 2, 3) },
    pages: { gfns: Uint32Array.of(0, 1, 7), bytes: memory },
  },
  (bytes) => pieces.push(bytes.slice()),
)
const file = Uint8Array.from(pieces.flatMap((piece) => [...piece]))

console.log(await readSnapshotDescription(bytesSource(file)))
const { state, pages } = await readSnapshot(bytesSource(file))
console.log(state)
console.log(pages.gfns, pages.bytes[4096], pages.bytes[8192])

file[40]! ^= 1
await readSnapshot(bytesSource(file)).catch((error: Error) => console.log(error.message))

// Output:
// { machine: 'example', cpus: 1 }
// { cpu: { rip: 31744n, cr0: 16 }, vram: Uint8Array(3) [ 1, 2, 3 ] }
// Uint32Array(3) [ 0, 1, 7 ] 144 204
// the snapshot is damaged in section DESC, at byte 16
