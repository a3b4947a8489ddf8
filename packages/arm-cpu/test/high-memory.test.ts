// Compiled code once more, with state, decoded code and RAM above 2 GiB.
import { MachineMemory } from '@retrap/memory'
import { placeHigh } from '@retrap/tooling/high-memory'

placeHigh(MachineMemory)
await import('./compiled.test.ts')
