/** A recorded machine is run again, and its programs' lines are heard. */
import { type ClusterEvent, MOST_LINE } from '@retrap/cluster'
import { describeDivergence } from '@retrap/machine/debug'
import { CliError } from '../../errors.ts'
import { EXEC_PORTS } from '../../guests/linux/exec-initramfs.ts'
import type { MachineOptions, ReplayedRun } from '../../machine/machine-contract.ts'
import { fileSource, machineInside } from '../../machine/recording/recorded-file.ts'
import { replayRun } from '../../machine/recording/recorded-run.ts'
import { lines } from '../exec/guest.ts'

/** A line of a machine. */
export interface HeardLine extends Pick<ClusterEvent, 'kind' | 'text'> {
  /** The instant of the machine's clock. */
  readonly ns: number
}

/** The ports whose lines are events. */
const KINDS: Readonly<Record<string, HeardLine['kind']>> = { stdout: 'output', stderr: 'output', report: 'report' }

/** Runs a recorded machine again. @throws CliError `ERR_INPUT` for a recording that cannot be read, or leads elsewhere */
export async function linesOfRecording(path: string): Promise<readonly HeardLine[]> {
  const inside = await machineInside(path)
  if (inside === undefined) throw new CliError('ERR_INPUT', `${path}: the recording has no machine inside`)
  const heard: HeardLine[] = []
  let clock: { now(): number } | undefined
  const kinds = Object.entries(EXEC_PORTS)
    .toSorted(([, one], [, other]) => one - other)
    .map(([name]) => KINDS[name])
  const virtio = inside.virtio?.map((device) => {
    if (device.kind !== 'console') return device
    const ports = device.ports.map((port, number) => {
      const kind = kinds[number]
      if (kind === undefined) return { ...port, inReplays: false }
      const hear = (line: string): void =>
        void heard.push({ kind, ns: clock!.now(), text: Buffer.from(line, 'latin1').toString() })
      return { ...port, stream: lines(hear, MOST_LINE), inReplays: true }
    })
    return { ...device, ports }
  })
  const options = {
    ...(inside as MachineOptions),
    ...(virtio && { virtio }),
    ...{ clock: 'deterministic' as const, devices: [], deviceServers: [] },
  }
  const file = await fileSource(path)
  let replay: ReplayedRun | undefined
  try {
    replay = await replayRun(options, file, { onMachine: (made) => (clock = made.domain.clock) })
    const exit = await replay.run({})
    if (exit.reason === 'diverged') throw new CliError('ERR_INPUT', `${path}: ${describeDivergence(exit)}`)
    return heard
  } finally {
    replay?.close()
    await file.close()
  }
}
