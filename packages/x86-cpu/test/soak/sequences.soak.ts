/**
 * Random sequences of instructions on the host CPU and here, interpreted and compiled: `npm run -s soak -- sequences`. A step is 100
 * sequences, each executed three times with other operands, in a random order: 1000 steps are 100,000 sequences.
 * @programs: gcc as
 */
import { EAGER_JIT } from '@retrap/tooling/jit'
import type { Soak } from '@retrap/tooling/soak'
import { SequenceCheck } from '../semantics/long-sequences.ts'
import { TestMachine } from '../semantics/machine.ts'
import { nativeCpu, type NativeCpu } from '../semantics/native.ts'

const SEQUENCES = 100
const TIMES = 3
/** Steps after which the compiling machine is a new one: code that has been written is compiled again ever more rarely. */
const STEPS_OF_A_MACHINE = 4

let native: NativeCpu
let interpreter: TestMachine
let compiler: TestMachine
let [sequences, instructions, executed] = [0, 0, 0]
const accepted = new Map<string, number>()

function takeCompiler(): void {
  const counts = (compiler as TestMachine | undefined)?.vcpu.engine.jitCounts
  executed += counts?.executed ?? 0
  if ((counts?.failures ?? 0) > 0) throw new Error(`a unit could not be compiled: ${counts!.firstFailure}`)
  compiler = new TestMachine(EAGER_JIT)
}

/** See the file's comment. */
export const soak: Soak = {
  name: 'sequences',
  count: 20,
  setup() {
    const found = nativeCpu()
    if (typeof found === 'string') throw new Error(found)
    native = found
    interpreter = new TestMachine()
  },
  step(rng, index) {
    if (index % STEPS_OF_A_MACHINE === 0 || (compiler as TestMachine | undefined) === undefined) takeCompiler()
    const report = new SequenceCheck(rng, native, interpreter, compiler).run(rng, SEQUENCES, TIMES)
    sequences += report.sequences
    instructions += report.instructions
    for (const [name, count] of report.accepted) accepted.set(name, (accepted.get(name) ?? 0) + count)
    return report.mismatches[0]
  },
  summary() {
    executed += compiler.vcpu.engine.jitCounts!.executed
    const lines = [...accepted].toSorted(([, a], [, b]) => b - a).map(([name, count]) => `  accepted ${count}: ${name}`)
    return [`${sequences} sequences of ${instructions} instructions, ${executed} of them compiled`, ...lines].join('\n')
  },
}
