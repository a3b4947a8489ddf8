import { inTurn, togetherBut } from '@retrap/tooling/vitest'

// One imports another test file, with memory elsewhere.
export default inTurn(togetherBut('test/high-memory.test.ts'), 2, 'high-memory', 'fuzz', 'handlers', 'reference')
