// Forks a Linux guest of 256 MiB that waits at its prompt, and has it go back to a checkpoint after 50 frames were written.
// Processor time of the process counts, and the median of many. v86 and QEMU fork no machine: beside a fork stands the time in
// which v86 saves a state and restores it, and QEMU does `savevm` and `loadvm`; beside a reset that of going back alone. All of
// them run the same 32-bit kernel and initramfs, retrap and v86 with Node's own young generation: programs that fork machines are
// others than the retrap command, which has a smaller one. At the end stands the round trip of a command by the guest's agent.
// Ratios are their time of day by ours: more is better for retrap.
// @programs: gcc as
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { provideDebianPrograms } from '@retrap/tooling/programs'
import { AGENT_IN_GUEST, qemuRoundTrips, retrapRoundTrips } from './fork/round-trips.ts'
import { fetchSeabios } from './jit/peers.ts'
import { argumentsOf, type Figures, figuresOf, linuxGuest, median, QEMU } from './snapshot/peers.ts'
import { qemuFigures } from './snapshot/qemu-guest.ts'

const RETRAP_GUEST = fileURLToPath(new URL('fork/retrap-guest.ts', import.meta.url))
const V86_GUEST = fileURLToPath(new URL('snapshot/v86-guest.ts', import.meta.url))
/** How often each of the peers saves and goes on. */
const PEER_ROUNDS = 5
/** Node's default, in MiB. */
const YOUNG_GENERATION = '--max-semi-space-size=16'
/** Commands whose round trips are measured. */
const EXEC_ROUNDS = 100

interface Times {
  readonly cpu: number
  readonly wall: number
}

/** What retrap took, in milliseconds and bytes. */
interface ForkFigures {
  readonly fork: readonly Times[]
  readonly cloneBytes: number
  readonly reset: readonly Times[]
  readonly resetsPerSecond: number
}

/** @param args - how many forks and resets are made (1000) */
export async function run([rounds = '1000']: readonly string[]): Promise<void> {
  await provideDebianPrograms({ table: [{ packages: ['qemu-system-x86'], programs: [QEMU] }] })
  const folder = await mkdtemp(join(tmpdir(), 'retrap-fork-'))
  try {
    const guest = await linuxGuest(folder)
    const { bios, vgaBios } = await fetchSeabios()
    const ours = await figuresOf<ForkFigures>(
      RETRAP_GUEST,
      [...argumentsOf(guest), rounds],
      ['--expose-gc', YOUNG_GENERATION],
    )
    const v86 = await figuresOf(
      V86_GUEST,
      [bios, vgaBios, ...argumentsOf(guest), String(PEER_ROUNDS)],
      [YOUNG_GENERATION],
    )
    report('v86', ours, v86)
    report('QEMU', ours, await qemuFigures(folder, guest, PEER_ROUNDS))
    const fork = median(ours.fork.map(({ cpu }) => cpu))
    console.log(`fork-cpu: ${fork.toFixed(2)} ms of processor time a fork (goal 1, floor 5)`)
    console.log(
      `fork-memory: ${(ours.cloneBytes / 2 ** 20).toFixed(2)} MiB a clone that has not run (goal 0.3, floor 1)`,
    )
    const reset = median(ours.reset.map(({ cpu }) => cpu))
    console.log(`fork-reset-cpu: ${(1000 * reset).toFixed(0)} us of processor time a reset (goal 100, floor 500)`)
    console.log(`fork-resets: ${ours.resetsPerSecond.toFixed(0)} resets a second`)
    const withAgent = await linuxGuest(folder, AGENT_IN_GUEST)
    const exec = median(await retrapRoundTrips(withAgent, EXEC_ROUNDS))
    const theirs = median(await qemuRoundTrips(folder, withAgent, EXEC_ROUNDS))
    console.log(`fork-exec: ${(theirs / exec).toFixed(2)} x QEMU (${exec.toFixed(1)} ms against ${theirs.toFixed(1)})`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function report(peer: string, ours: ForkFigures, theirs: Figures): void {
  const line = (what: string, mine: number, other: number): void =>
    console.log(`${what}: ${(other / mine).toFixed(1)} x ${peer} (${mine.toFixed(2)} ms against ${other.toFixed(1)})`)
  const back = median(theirs.back ?? theirs.restore)
  line('fork', median(ours.fork.map(({ wall }) => wall)), median(theirs.save) + back)
  line('fork-reset', median(ours.reset.map(({ wall }) => wall)), back)
}
