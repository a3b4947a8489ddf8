// Saves a Linux guest that waits at its prompt, and goes on with it: retrap's `pc.save` and a machine made with the
// snapshot, v86's `save_state` and `restore_state`, QEMU's `savevm` and `loadvm`. All three run the same 32-bit kernel and
// initramfs with the same RAM. Times are the host's, from the call to its end. The guests of the others stand still meanwhile;
// retrap's does so for `pause`, and runs while the rest is saved. A restore of retrap ends with its first instruction:
// `restore` makes a machine, and `back` puts the one back that was saved, after a second, as the others do. The median of
// several counts. Ratios are their time by ours, and their bytes by ours: more is better for retrap. QEMU writes to a qcow2
// image in the page cache; the others keep the state in memory. Last, what a recording costs: boots on deterministic time, with
// and without.
// @programs: gcc as
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { provideDebianPrograms } from '@retrap/tooling/programs'
import { fetchSeabios } from './jit/peers.ts'
import { argumentsOf, type Figures, figuresOf, linuxGuest, median, QEMU } from './snapshot/peers.ts'
import { qemuFigures } from './snapshot/qemu-guest.ts'

/** Goals: a restore in a process that has made a machine, and what recording adds to a boot. */
const RESTORE_GOAL_MS = 20
const RECORD_GOAL_PERCENT = 10
const RETRAP_GUEST = fileURLToPath(new URL('snapshot/retrap-guest.ts', import.meta.url))
const V86_GUEST = fileURLToPath(new URL('snapshot/v86-guest.ts', import.meta.url))

/** @param args - how many times each saves and goes on (5) */
export async function run([rounds = '5']: readonly string[]): Promise<void> {
  await provideDebianPrograms({ table: [{ packages: ['qemu-system-x86'], programs: [QEMU] }] })
  const folder = await mkdtemp(join(tmpdir(), 'retrap-snapshot-'))
  try {
    const linux = await linuxGuest(folder)
    const { bios, vgaBios } = await fetchSeabios()
    const guest = [...argumentsOf(linux), rounds]
    const ours = await figuresOf(RETRAP_GUEST, guest)
    report('v86', ours, await figuresOf(V86_GUEST, [bios, vgaBios, ...guest]))
    report('QEMU', ours, await qemuFigures(folder, linux, Number(rounds)))
    const mib = (ours.bytes / 2 ** 20).toFixed(1)
    console.log(`snapshot-file: ${mib} MiB, compressed and written in ${Math.round(ours.write ?? NaN)} ms`)
    const cold = median(ours.restore).toFixed(1)
    console.log(`snapshot-cold: ${cold} ms to the first instruction of a new machine (goal ${RESTORE_GOAL_MS})`)
    const { plain = [], recorded = [] } = ours.boots ?? {}
    const cost = (100 * (median(recorded) / median(plain) - 1)).toFixed(1)
    const ms = `${median(recorded).toFixed(0)} ms against ${median(plain).toFixed(0)}`
    console.log(`snapshot-record: ${cost} % over a boot on deterministic time (${ms}; goal ${RECORD_GOAL_PERCENT} %)`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function report(peer: string, ours: Figures, theirs: Figures): void {
  const line = (what: string, mine: number, other: number, unit: string): void =>
    console.log(
      `snapshot-${what}: ${(other / mine).toFixed(2)} x ${peer} (${mine.toFixed(1)} ${unit} against ${other.toFixed(1)})`,
    )
  line('pause', median(ours.pause ?? ours.save), median(theirs.save), 'ms')
  line('save', median(ours.save), median(theirs.save), 'ms')
  line('restore', median(ours.restore), median(theirs.restore), 'ms')
  line('back', median(ours.back ?? ours.restore), median(theirs.back ?? theirs.restore), 'ms')
  line('size', ours.bytes / 2 ** 20, theirs.bytes / 2 ** 20, 'MiB')
}
