import { openBundle, type PcOptions, type RecordingSource } from '@retrap/machine'
import { CliError } from '../errors.ts'
import type { MachineOptions, PcMachineOptions } from '../machine/machine-contract.ts'

/** Takes what a port of the guest's console puts out. */
export interface PortOutput {
  write(bytes: Uint8Array): unknown
}

/**
 * The options of a machine that its recording has inside, for a replay.
 *
 * @param given - what is the host's comes from here
 * @param ports - take what the guest sends by the ports of its console, in their order
 * @throws CliError `ERR_INPUT` for a recording without its machine; as `openBundle`
 */
export async function bundledOptions(
  path: string,
  source: RecordingSource,
  { jit, screen, keyboard, mouse, speaker, trace }: MachineOptions,
  ports: readonly (PortOutput | undefined)[],
): Promise<PcMachineOptions> {
  const { options } = await openBundle(source)
  if (options === null || options === undefined)
    throw new CliError('ERR_INPUT', `${path}: the recording lacks its machine`)
  const { virtio = [], ...others } = options
  type Device = NonNullable<PcOptions['virtio']>[number]
  const heard = (device: Device): Device => {
    if (device.kind !== 'console') return device
    const outputs = device.ports.map((port, i) => {
      const output = ports[i]
      return output === undefined
        ? port
        : { ...port, stream: { send: (bytes: Uint8Array) => void output.write(bytes) }, inReplays: true }
    })
    return { ...device, ports: outputs }
  }
  return {
    ...(others as PcMachineOptions),
    ...{ clock: 'deterministic', devices: [], deviceServers: [], virtio: virtio.map(heard) },
    ...{ jit, screen, keyboard, mouse, speaker, trace },
  } as PcMachineOptions
}
