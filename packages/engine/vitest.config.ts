import { inTurn, togetherBut } from '@retrap/tooling/vitest'

// One changes the class MachineMemory for all of its process.
export default inTurn(togetherBut('test/high-memory.test.ts'), 3, 'jit/toy-units', 'high-memory', 'interpreter')
