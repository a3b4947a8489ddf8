/**
 * The instruction contract with random instructions, for long: `npm run -s soak -- contract`. A step is one random form with
 * random operands: whichever of its accesses meets a device that answers later, it ends as if all had been RAM.
 */
import { formatIntel } from '@retrap/x86-decoder'
import type { Soak } from '@retrap/tooling/soak'
import { ContractMachine, WINDOW_GPA } from '../contract/machine.ts'
import { checkReplay, readsOverlap } from '../contract/replay.ts'
import { CaseBuilder } from '../semantics/cases.ts'
import { encode, modesOf } from '../semantics/encode.ts'
import { families } from '../semantics/families.ts'
import { CODE, IN_BYTES } from '../semantics/layout.ts'

const forms = families().flatMap((family) => family.forms)
const machine = new ContractMachine()
/** Offset of the instruction; INT3 is around it. */
const PLACE = 0x140

/** See the file's comment. */
export const soak: Soak = {
  name: 'contract',
  count: 5000,
  step(rng) {
    const form = rng.pick(forms)
    rng.note('form', form.form)
    const modes = modesOf(form)
    if (modes.length === 0) return
    const mode = rng.pick(modes)
    const encoding = encode(rng, form, mode, CODE + PLACE)
    if (encoding === undefined) return
    rng.note('instruction', () => formatIntel(encoding.insn))
    const code = new Uint8Array(0x1000).fill(0xcc)
    code.set(encoding.bytes, PLACE)
    machine.setCode(code)
    const input = new Uint8Array(IN_BYTES)
    new CaseBuilder(rng, encoding, input).build()
    const start = {
      input,
      supervisor: false,
      narrow: mode !== 64 && rng.chance(),
      length: encoding.bytes.length,
      used: false,
    }
    const report = checkReplay(machine, start, [WINDOW_GPA, WINDOW_GPA + 0x1000])
    const { violations } = report
    return violations.length === 0 || readsOverlap(form, report) ? undefined : violations.join('\n')
  },
}
