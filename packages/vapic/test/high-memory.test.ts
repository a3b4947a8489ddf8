// Tests of accesses once more, with state, decoded code and RAM above 2 GiB.
import { MachineMemory } from '@retrap/memory'
import { placeHigh } from '@retrap/tooling/high-memory'

process.env['RETRAP_TEST_PARTS'] = '5'
placeHigh(MachineMemory)
await import('./handlers.test.ts')
