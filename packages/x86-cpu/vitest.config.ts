import { togetherBut } from '@retrap/tooling/vitest'

// `compiled.test.ts` have all code compiled, by what modules read as they are loaded; the last one changes the class
// MachineMemory for all of its process.
export default togetherBut(
  'test/compiled.test.ts',
  'test/contract/compiled.test.ts',
  'test/semantics/compiled.test.ts',
  'test/high-memory.test.ts',
)
