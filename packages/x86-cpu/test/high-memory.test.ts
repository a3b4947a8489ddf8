// Tests of accesses once more, with state, decoded code and RAM above 2 GiB.
import { MachineMemory } from '@retrap/memory'
import { placeHigh } from '@retrap/tooling/high-memory'

placeHigh(MachineMemory)
await import('./kernel-entry.test.ts')
await import('./repeated-ports.test.ts')
await import('./jit/shared-code.test.ts')
