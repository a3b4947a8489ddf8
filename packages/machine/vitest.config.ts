import { togetherBut } from '@retrap/tooling/vitest'

// It replaces a module.
export default togetherBut('test/exact-time.test.ts')
