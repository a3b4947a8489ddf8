import { togetherBut } from '@retrap/tooling/vitest'

// They have all code compiled, by what modules read as they are loaded.
// Code of a region is not compiled in a process that has had some other test files before: not understood yet.
export default togetherBut(
  'test/jit/*.test.ts',
  'test/compiled.test.ts',
  'test/contract/compiled.test.ts',
  'test/semantics/compiled.test.ts',
)
