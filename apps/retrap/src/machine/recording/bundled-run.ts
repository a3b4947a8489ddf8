import { plainLine } from '@retrap/basics'
import type { PcOptions } from '@retrap/machine'
import { CliError } from '@retrap/linux-guest/errors'
import type { SessionHost } from '../session/session-host.ts'
import type { MachineOptions, PcMachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { type MachineInside, machineInside, readRecordedRun } from './recorded-file.ts'
import { EXEC_PORTS } from '@retrap/linux-guest/linux/exec-initramfs'

type Device = NonNullable<PcOptions['virtio']>[number]
type Port = Extract<Device, { readonly kind: 'console' }>['ports'][number]

/**
 * Returns the command line with which a recording is replayed, and the machine if the recording has it inside.
 *
 * @param goesLive - whether the machine then continues live, with its command line's back ends
 * @throws CliError `ERR_INPUT`; `ERR_USAGE` for a machine that cannot go on here
 */
export async function replayOf(
  file: string,
  { stdout, stderr }: Pick<SessionHost, 'stderr' | 'stdout'>,
  goesLive: boolean,
): Promise<{ readonly arguments: readonly string[]; readonly machine: MachineInside | undefined }> {
  const { savedAt, arguments: recorded } = await readRecordedRun(file)
  if (recorded !== undefined)
    stderr.write(`retrap: as recorded ${plainLine(`${savedAt}, with: retrap ${recorded.join(' ')}`)}\n`)
  const ofProgram = outputsOfExec(recorded ?? [], { stdout, stderr })
  if (goesLive && (recorded === undefined || ofProgram !== undefined))
    throw new CliError('ERR_USAGE', '--go-live: the files of this program are not there; leave it out')
  const inside = goesLive ? undefined : await machineInside(file)
  if (inside === undefined) return { arguments: recorded!, machine: undefined }
  const heard = (port: Port, number: number): Port => {
    const output = ofProgram === undefined ? (port.console ?? number === 0) && stdout : ofProgram[number]
    if (!output) return port
    return { ...port, stream: { send: (bytes: Uint8Array) => void output.write(bytes) }, inReplays: true }
  }
  const virtio = inside.virtio?.map((device): Device =>
    device.kind === 'console' ? { ...device, ports: device.ports.map(heard) } : device,
  )
  // The kernel's own lines are none of a program's outputs.
  const serial = ofProgram === undefined ? [] : ['--serial', 'none']
  return {
    arguments: ['--memory', `${inside.memoryBytes / 1024}K`, ...serial],
    machine: { ...inside, ...(virtio !== undefined && { virtio }) },
  }
}

/** Returns options for replaying a machine from its recording. @param given - provides the host's options */
export function bundledOptions(machine: MachineInside, given: MachineOptions): PcMachineOptions {
  const { jit, screen, keyboard, mouse, speaker, trace, sampling, onSleep, onWarning, onDeviceFailure } = given
  return {
    ...(machine as PcMachineOptions),
    ...{ jit, screen, keyboard, mouse, speaker, trace, sampling, onSleep, onWarning, onDeviceFailure },
    // These options refuse a bundle whose machine has another memory size.
    ...{ memoryBytes: given.memoryBytes, clock: 'deterministic', devices: [], deviceServers: [] },
  } as PcMachineOptions
}

/** Receives the output of a console port. */
export interface PortOutput {
  write(bytes: Uint8Array): unknown
}

/**
 * Returns the receivers of the console ports of a replayed `retrap exec`.
 *
 * @param recorded - the recorded command line
 * @returns outputs by number; undefined: the recording is of another command
 */
export function outputsOfExec(
  recorded: readonly string[],
  { stdout, stderr }: { readonly [name in 'stdout' | 'stderr']: PortOutput },
): readonly (PortOutput | undefined)[] | undefined {
  if (recorded[0] !== 'exec' && recorded[0] !== 'cluster') return undefined
  const outputs: Partial<Record<string, PortOutput>> = { terminal: stdout, stdout, stderr }
  const names = Object.entries(EXEC_PORTS).toSorted(([, a], [, b]) => a - b)
  return names.map(([name]) => outputs[name])
}
