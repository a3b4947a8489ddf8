/** A recorded machine is run again, and its programs' lines are heard. */
import { type ClusterEvent, MOST_LINE } from '@retrap/cluster'
import { describeDivergence } from '@retrap/machine/debug'
import { CliError } from '@retrap/linux-guest/errors'
import { EXEC_PORTS } from '@retrap/linux-guest/linux/exec-initramfs'
import type { Machine, MachineOptions, ReplayedRun } from '@retrap/linux-guest/machine/machine-contract'
import { fileSource, machineInside } from '../../machine/recording/recorded-file.ts'
import { replayRun } from '../../machine/recording/recorded-run.ts'
import { CONTAINER_STREAMS } from '@retrap/linux-guest/jobs/machine'
import { LinePort } from '@retrap/linux-guest/jobs/ports'
import { ownPorts } from '../../jobs/own-guest.ts'

export interface HeardLine extends Pick<ClusterEvent, 'kind' | 'text'> {
  /** The instant of the machine's clock; NaN: the line came by a serial port, where a byte may wait for others. */
  readonly ns: number
}

/** The ports whose lines are events. */
const KINDS: Readonly<Record<string, HeardLine['kind']>> = { stdout: 'output', stderr: 'output', report: 'report' }
const CONTAINER_KINDS = CONTAINER_STREAMS.map((name) => KINDS[name])

/**
 * Runs a recorded machine again.
 *
 * @param isOwn - it is a machine of its own
 * @throws CliError `ERR_INPUT` for a recording that cannot be read, or leads elsewhere
 */
export async function linesOfRecording(path: string, isOwn: boolean): Promise<readonly HeardLine[]> {
  const inside = await machineInside(path)
  if (inside === undefined) throw new CliError('ERR_INPUT', `${path}: the recording has no machine inside`)
  const heard: HeardLine[] = []
  let clock: { now(): number } | undefined
  const kinds = Object.entries(EXEC_PORTS)
    .toSorted(([, one], [, other]) => one - other)
    .map(([name]) => KINDS[name])
  const hears =
    (kind: HeardLine['kind']) =>
    (ns: number, text: string): void =>
      void heard.push({ kind, ns, text })
  const own = { line: hears('output'), report: hears('report') }
  const { serial } = ownPorts(() => Number.NaN, own)
  const { report } = ownPorts(() => clock!.now(), own)
  const virtio = inside.virtio?.map((device, i, { length }) => {
    if (device.kind !== 'console') return device
    if (isOwn) return i === length - 1 ? { ...device, ports: [{ ...device.ports[0]!, stream: report }] } : device
    // A console behind the first is that of a container.
    const known = device === inside.virtio!.find((one) => one.kind === 'console') ? kinds : CONTAINER_KINDS
    const ports = device.ports.map((port, number) => {
      const kind = known[number]
      if (kind === undefined) return { ...port, inReplays: false }
      const hear = (line: string): void =>
        void heard.push({ kind, ns: clock!.now(), text: Buffer.from(line, 'latin1').toString() })
      return { ...port, stream: new LinePort(hear, MOST_LINE), inReplays: true }
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
    const onMachine = ({ domain, serialPorts }: Pick<Machine, 'domain' | 'serialPorts'>): void => {
      clock = domain.clock
      if (isOwn) serialPorts[0]?.onTransmit((bytes) => void serial.send(bytes))
    }
    replay = await replayRun(options, file, { onMachine })
    const exit = await replay.run({})
    if (exit.reason === 'diverged') throw new CliError('ERR_INPUT', `${path}: ${describeDivergence(exit)}`)
    return heard
  } finally {
    replay?.close()
    await file.close()
  }
}
