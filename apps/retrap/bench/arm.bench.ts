// Compares the speed of the Arm machine with that of QEMU's TCG, by the method and the programs of the jit bench: see
// jit.bench.ts.
//
// npm run -s bench -- arm [--only NAME,...] [--rounds N] [--jit on|off]
// @programs: qemu-system-aarch64 aarch64-linux-gnu-gcc aarch64-linux-gnu-as
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { retrapCommand, tcgCommand, withArmGuest } from './arm/guest.ts'
import { compareEmulators } from './jit/compare.ts'
import { ARM_PROGRAMS } from './jit/programs.ts'
import { runMarked } from './marked-guest.ts'

const DEADLINE_MS = 1_800_000

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      jit: { type: 'string', default: 'on' },
    },
  })
  const only = values.only?.split(',')
  const programs = ARM_PROGRAMS.filter(({ name }) => only?.includes(name) ?? true)
  const version = execFileSync('qemu-system-aarch64', ['--version'], { encoding: 'utf8' }).split('\n')[0]
  console.error(`peer: ${version}`)
  await withArmGuest(programs, async (guest) => {
    await compareEmulators('arm', programs, ['tcg'], Number(values.rounds), (emulator) => {
      const [program, words] = emulator === 'retrap' ? retrapCommand(guest, values.jit === 'on') : tcgCommand(guest)
      return runMarked(program, words, DEADLINE_MS)
    })
  })
}
