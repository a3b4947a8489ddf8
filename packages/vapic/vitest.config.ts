import { togetherBut } from '@retrap/tooling/vitest'

// It imports another test file, with memory elsewhere.
export default togetherBut('test/high-memory.test.ts')
