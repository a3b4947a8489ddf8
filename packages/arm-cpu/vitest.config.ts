import { togetherBut } from '@retrap/tooling/vitest'

// Replaces a module.
export default togetherBut('test/without-fused.test.ts')
