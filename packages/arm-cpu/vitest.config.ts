import { inTurn, togetherBut } from '@retrap/tooling/vitest'

export default inTurn(
  // One replaces a module; the other changes the class MachineMemory for all of its process.
  togetherBut('test/without-fused.test.ts', 'test/high-memory.test.ts'),
  3,
  ...['high-memory', 'compiled', 'without-fused', 'thumb', 'instructions', 'landings'],
)
