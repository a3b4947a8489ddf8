import { inTurn, togetherBut } from '@retrap/tooling/vitest'

// It changes the class MachineMemory for all of its process.
export default inTurn(togetherBut('test/high-memory.test.ts'), 4, 'high-memory', 'races', 'types-model', 'model')
