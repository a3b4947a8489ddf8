import { togetherBut } from '@retrap/tooling/vitest'

// Its costs differ by one in a process that has had some other test files before: not understood yet.
export default togetherBut('test/jit/toy-units.test.ts')
