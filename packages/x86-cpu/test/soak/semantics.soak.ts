/**
 * Random instructions here and on the host CPU, for long: `npm run -s soak -- semantics`. A step is one random form in a few
 * random encodings, each with a few random operands; or a few sequences of instructions that depend on one another's flags.
 * @programs: gcc as
 */
import type { Soak } from '@retrap/tooling/soak'
import type { CodeInfo } from '@retrap/x86-decoder'
import { check, checkSequences } from '../semantics/check.ts'
import { describeMismatch } from '../semantics/compare.ts'
import { familiesOn } from '../semantics/families.ts'
import { TestMachine } from '../semantics/machine.ts'
import { nativeCpu } from '../semantics/native.ts'
import type { NativeCpu } from '../semantics/native.ts'

const CASES = 40
const ENCODINGS = 4

let native: NativeCpu
let forms: readonly CodeInfo[]
let machine: TestMachine

/** See the file's comment. */
export const soak: Soak = {
  name: 'semantics',
  count: 2000,
  setup() {
    const found = nativeCpu()
    if (typeof found === 'string') throw new Error(found)
    native = found
    forms = familiesOn(native).flatMap((family) => family.forms)
    machine = new TestMachine()
  },
  step(rng) {
    if (rng.chance(1, 3)) {
      const sequences = checkSequences(native, machine, rng, rng.pick(native.modes), ENCODINGS, CASES / ENCODINGS)
      const [failed] = sequences.mismatches
      return failed === undefined ? undefined : describeMismatch(failed)
    }
    const form = rng.pick(forms)
    rng.note('form', form.form)
    const { mismatches } = check(native, machine, rng, [form], CASES, ENCODINGS)
    const [first] = mismatches
    return first === undefined ? undefined : describeMismatch(first)
  },
}
