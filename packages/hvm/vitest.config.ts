import { togetherBut } from '@retrap/tooling/vitest'

// One has all code compiled, by what modules read as they are loaded; the other replaces a module.
export default togetherBut('test/compiled.test.ts', 'test/arm/fetch-race.test.ts')
