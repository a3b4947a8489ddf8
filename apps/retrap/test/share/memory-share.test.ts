import { numbers } from '@retrap/tooling/random'
import { hasProc, skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { compareShares } from '../support/share-calls.ts'

const SEQUENCES = 30
const isRoot = hasProc && process.getuid?.() === 0

// `npm run -s soak -- exec-share` draws more.
test.skipIf(!isRoot)(
  `a memory share does what a folder of the host does${skipNote(isRoot, 'only root gives files away')}`,
  async () => {
    for (let seed = 1; seed <= SEQUENCES; seed++)
      expect(await compareShares(temporaryFolder('memory-share'), numbers(seed)), `seed ${seed}`).toBeUndefined()
  },
)
