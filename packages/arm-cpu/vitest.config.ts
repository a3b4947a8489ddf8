import { togetherBut } from '@retrap/tooling/vitest'

// One replaces a module; the other changes the class MachineMemory for all of its process.
export default togetherBut('test/without-fused.test.ts', 'test/high-memory.test.ts')
