import { togetherBut } from '@retrap/tooling/vitest'

// Replaces a module.
export default togetherBut('test/fetch-race.test.ts')
