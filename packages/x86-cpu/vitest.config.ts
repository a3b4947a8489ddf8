import { togetherBut } from '@retrap/tooling/vitest'

// They have all code compiled, by what modules read as they are loaded.
export default togetherBut('test/compiled.test.ts', 'test/contract/compiled.test.ts', 'test/semantics/compiled.test.ts')
