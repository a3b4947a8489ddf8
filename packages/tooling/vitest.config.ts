import { inTurn, withMadeOnce } from './src/vitest.ts'

// These files start vitest, apt and npm.
export default inTurn(withMadeOnce, 2, 'mutation', 'programs', 'root-scripts', 'kept-results')
