/**
 * Replaces `fast-check` in tests (see `vitest.ts`). A property without a seed draws the cases of the slice, so that
 * `RETRAP_SLICE` repeats a failure and a commit draws the same cases on each host. A long run draws other cases each time;
 * the message of a failure has their seed.
 */
import fc from 'fast-check'
import { TEST_LONG } from './long.ts'
import { sliceNumber } from './run/slice-number.ts'

if (!TEST_LONG) fc.configureGlobal({ seed: sliceNumber() | 0 })

export * from 'fast-check'
// oxlint-disable-next-line import/no-default-export -- fast-check has one
export default fc
