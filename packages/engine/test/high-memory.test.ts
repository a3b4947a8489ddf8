// The tests of machine addresses once more, above 2 GiB.
import { MachineMemory } from '@retrap/memory'
import { placeHigh } from '@retrap/tooling/high-memory'

placeHigh(MachineMemory)
await import('./code-cache.test.ts')
await import('./tlb.test.ts')
await import('./toy-rules.test.ts')
await import('./jit/units.test.ts')
await import('./jit/unit-exits.test.ts')
await import('./jit/jit-statistics.test.ts')
await import('./jit/computed-targets.test.ts')
