import { togetherBut } from '@retrap/tooling/vitest'

// Replaces a module.
export default togetherBut('test/exact-time.test.ts')
