/**
 * Every instruction of other people's programs is decoded and assembled again: `npm run -s soak -- reassembly`. A step is one
 * program. The packages are fetched from Debian once.
 */
import { debianMembers } from '@retrap/tooling/debian'
import type { Soak } from '@retrap/tooling/soak'
import { codeOf, programs } from '../support/programs.ts'
import { survive } from '../support/survival.ts'

let folders: readonly string[] = []
let taken = 0
let identical = 0

/** See the file's comment. */
export const soak: Soak = {
  name: 'reassembly',
  count: programs.length,
  async setup() {
    const found = await debianMembers(programs)
    if (found === undefined) throw new Error('this needs apt-get, to fetch programs from Debian')
    folders = found
  },
  step(rng, index) {
    const at = index % programs.length
    const program = programs[at]
    if (program === undefined) return undefined
    rng.note('program', program.name)
    const outcome = { taken: 0, identical: 0, wrong: [] as string[] }
    for (const section of codeOf(program, folders[at] ?? '')) {
      survive(section, program.bits, 1, Number.POSITIVE_INFINITY, outcome)
    }
    taken += outcome.taken
    identical += outcome.identical
    const share = ((100 * outcome.identical) / outcome.taken).toFixed(1)
    console.log(`${program.name.padEnd(16)} ${outcome.taken} instructions, ${share} % the same bytes`)
    return outcome.wrong.length === 0 ? undefined : outcome.wrong.slice(0, 50).join('\n')
  },
  teardown() {
    console.log(`${taken} instructions, ${identical} the same bytes`)
  },
}
