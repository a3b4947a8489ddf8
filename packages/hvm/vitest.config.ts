import { inTurn, togetherBut } from '@retrap/tooling/vitest'

export default inTurn(
  // One has all code compiled, by what modules read as they are loaded; the other replaces a module.
  togetherBut('test/compiled.test.ts', 'test/arm/fetch-race.test.ts'),
  3,
  ...['deterministic', 'saved-domain', 'compiled', 'page-copies', 'shared-guest-memory', 'arm/device-forms'],
  ...['arm/fetch-race', 'arm/granules', 'arm/traps', 'arm/late-pages', 'replay-oracle'],
)
