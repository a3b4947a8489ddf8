import { togetherBut } from '@retrap/tooling/vitest'

// It changes the class MachineMemory for all of its process.
export default togetherBut('test/high-memory.test.ts')
