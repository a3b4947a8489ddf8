// Compares the speed of retrap with that of QEMU's TCG, and of v86 where the guest is 32-bit. Each boots the same Linux
// kernel and initramfs on one CPU, whose first process runs C programs one after another, each once. A program's time is
// the processor time of all threads of the emulator, compilation included, between the marks that the guest prints before
// and after it; the time by the host's clock and by the guest's own stands beside it. The boot is measured from the
// emulator's start to the first process. Programs that compute, and those for which the guest's kernel works (system
// calls, page faults, pipes, sockets, threads, forks), have a mean of their own each. The emulators run in turn, and the
// median of their runs counts. All must print the same results. Ratios are speed against speed: more is better for retrap.
//
// npm run -s bench -- jit [--width 64|32] [--only NAME,...] [--rounds N] [--peers tcg,v86] [--retrap=OPTION...]
//
// Options are added to retrap's: `--retrap=--jit=off` compares its interpreter.
// @programs: gcc as
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { provideDebianPrograms, type ProgramTable } from '@retrap/tooling/programs'
import { compareEmulators } from './jit/compare.ts'
import { COMPILERS_OF_GUESTS, commandOf, type Guest, type PeerName, withGuest } from './jit/peers.ts'
import { PROGRAMS, type Program } from './jit/programs.ts'
import { type Run, runMarked } from './marked-guest.ts'

/** What no test needs is fetched here. */
const PEERS_AND_COMPILERS: ProgramTable = [
  ...COMPILERS_OF_GUESTS,
  { packages: ['qemu-system-x86'], programs: ['qemu-system-x86_64', 'qemu-system-i386'] },
]
type Peer = Exclude<PeerName, 'retrap'>

const DEADLINE_MS = 1_800_000

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      width: { type: 'string' },
      only: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      peers: { type: 'string', default: 'tcg,v86' },
      retrap: { type: 'string', multiple: true, default: [] },
    },
  })
  await provideDebianPrograms({ table: PEERS_AND_COMPILERS })
  const only = values.only?.split(',')
  const version = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0]
  console.error(`peer: ${version}`)
  for (const width of [64, 32] as const) {
    if (values.width !== undefined && Number(values.width) !== width) continue
    const programs = PROGRAMS.filter(
      ({ name, widths }) => (widths?.includes(width) ?? true) && (only?.includes(name) ?? true),
    )
    const peers = (values.peers.split(',').filter((peer) => peer !== '') as Peer[]).filter(
      (peer) => peer !== 'v86' || width === 32,
    )
    await withGuest(width, programs, (guest) => compare(guest, programs, peers, Number(values.rounds), values.retrap))
  }
}

async function compare(
  guest: Guest,
  programs: readonly Program[],
  peers: readonly Peer[],
  rounds: number,
  options: readonly string[],
): Promise<void> {
  const measure = (peer: PeerName): Promise<Run> => {
    const [program, args] = commandOf(peer, guest, options)
    return runMarked(program, args, DEADLINE_MS)
  }
  const comparisons = await compareEmulators(`jit${guest.width}`, programs, peers, rounds, measure)
  const floats = programs.filter(({ isFloat }) => isFloat === true)
  if (floats.length === 0 || guest.width !== 64) return
  for (const { title, meanOf } of comparisons) {
    console.log(
      `jit fp: ${meanOf(floats)} x ${title} (geometric mean of ${floats.length} programs with SSE floating point)`,
    )
  }
}
