// Sequences of instructions, one after another: `npm run -s soak -- sequences` does more.
import { EAGER_JIT } from '@retrap/tooling/jit'
import { SLICE_REPEAT, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { hostNote } from './families.ts'
import { SequenceCheck } from './long-sequences.ts'
import { TestMachine } from './machine.ts'
import { nativeCpu } from './native.ts'
import { Random } from './random.ts'

const SEQUENCES = slicedCount(300, 5)
/** Part of the sequences that may end with an accepted difference, behind which nothing is compared. */
const MOST_ACCEPTED = 0.25

const native = nativeCpu()

test.skipIf(typeof native === 'string')(
  `instructions that follow one another do what the host CPU does${hostNote(native)}`,
  { timeout: 120_000 },
  () => {
    const random = new Random(slicedSeed(0x5e9))
    const compiler = new TestMachine(EAGER_JIT)
    const check = new SequenceCheck(random, native as Exclude<typeof native, string>, new TestMachine(false), compiler)
    const report = check.run(random, SEQUENCES, 2)
    expect(report.mismatches.slice(0, 2).join('\n\n'), SLICE_REPEAT).toBe('')
    const accepted = [...report.accepted.values()].reduce((sum, one) => sum + one, 0)
    expect(accepted / report.sequences).toBeLessThan(MOST_ACCEPTED)
    const counts = compiler.vcpu.engine.jitCounts!
    expect(counts.failures, counts.firstFailure).toBe(0)
    expect(counts.executed / report.instructions).toBeGreaterThan(0.1)
  },
)
