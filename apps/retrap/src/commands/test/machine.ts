import { defined } from '@retrap/basics'
import { Command, CommanderError } from 'commander'
import type { PcForkOptions, PcOptions } from '@retrap/machine'
import type { ArmMachineOptions } from '@retrap/machine/arm'
import { BackEnds } from '../../machine/back-ends/back-ends.ts'
import { withCardDevice } from '../../machine/display/display-option.ts'
import { connectDrives } from '../../machine/devices/disk-devices.ts'
import { type DriveFlags, listDrives } from '../../machine/drives/drives.ts'
import { takeKernel } from '../../machine/drives/image-file.ts'
import { CliError } from '@retrap/linux-guest/errors'
import { checkArmFlags, checkArmImages } from '../../flags/arm-options.ts'
import { loadArm } from '@retrap/linux-guest/machine/arm-machine'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import { applyMachine } from '../../flags/machine-file/machine-file.ts'
import { checkImages, type ImageFlags, networkBootOf, readImages, usualVga } from '../../flags/images.ts'
import { type MachineFlags, settingsFor } from '../../flags/machine-options.ts'
import { systemOptions } from '../../flags/machine-table.ts'
import { Chardevs } from '../../machine/serial/chardevs.ts'
import type { SessionOutput } from '../../machine/session/session-host.ts'

/** The machine of a file of tests. Paths are whole. */
export interface PlannedMachine {
  /** The machine's options, as for `run`. */
  readonly flags: MachineFlags & ImageFlags & DriveFlags & { readonly arch: 'amd64' | 'arm64' }
  readonly images: readonly string[]
}

const RUN = 'it is of a run, and not of its machine'

/** Options of `run` that machines of tests do not have, and why. */
const REFUSED: readonly (readonly [keys: string, why: string])[] = [
  ['serial console chardev display screenshot-on-exit audio', "a test's machine has one output, its first serial port"],
  ['share virtfs fsdev vsock device-server', 'a test begins anew, and what it shares with the host would not'],
  ['devices controllers', "a test's machine has its devices in one thread"],
  ['device-failure device-deadline timeout reboot deterministic pace save-on-exit control gdb stats', RUN],
  [
    'record record-checkpoints record-bundle record-images replay jit-dump unit-cache profile symbols check-mappings trace trace-to',
    RUN,
  ],
]

/**
 * Reads the machine of a test file: its options have the same names as in a machine file.
 *
 * @param part - the object's place in the file
 * @param disks - further disk images
 * @throws CliError `ERR_INPUT` that names the file, and the place in it
 */
export function readMachine(
  path: string,
  part: string,
  described: Readonly<Record<string, unknown>>,
  disks: readonly string[] = [],
): PlannedMachine {
  const wrong = (place: string, why: string): CliError => new CliError('ERR_INPUT', `${path}: ${place}: ${why}`)
  for (const key of Object.keys(described)) {
    const why = REFUSED.find(([keys]) => keys.split(' ').includes(key))?.[1]
    if (why !== undefined) throw wrong(`${part}.${key}`, `${why}; leave it out`)
  }
  const quiet = { writeOut: () => undefined, writeErr: () => undefined }
  const command = systemOptions(new Command().configureOutput(quiet))
  try {
    const images = [...disks, ...applyMachine(path, part, described, command)]
    const flags = { ...command.opts<PlannedMachine['flags']>(), snapshot: true, unitCache: 'off' }
    const drives = listDrives(flags, images)
    if (flags.arch === 'arm64') {
      checkArmFlags(command)
      checkArmImages(flags, drives)
    } else checkImages(flags, drives)
    return { flags, images }
  } catch (error) {
    if (error instanceof CommanderError) throw wrong(part, "help is not there; see 'retrap run --help'")
    throw error instanceof CliError && error.code === 'ERR_USAGE' ? wrong(part, error.message) : error
  }
}

/** A machine whose files and networks are open. */
export interface OpenTestMachine {
  readonly options: { readonly pc: PcOptions } | { readonly arm: ArmMachineOptions }
  /** The same for either board. */
  readonly machine: MachineOptions
  /** Makes models for the next clone, and cards that take the networks over from the clone before. */
  renew(): Promise<PcForkOptions>
  close(): Promise<void>
}

/**
 * Reads and opens the files and networks of a machine. Writes to disks are kept in memory.
 *
 * @param isReplay - networks reach nothing
 * @throws CliError, ImageError, NetworkError for unusable options
 */
export async function openMachine(
  { flags: given, images }: PlannedMachine,
  { stderr, isReplay }: { readonly stderr: SessionOutput; readonly isReplay: boolean },
): Promise<OpenTestMachine> {
  const { kernel, files } = await takeKernel(images, given.kernel)
  const flags = withCardDevice({ ...given, ...(kernel !== undefined && { kernel }) })
  const drives = connectDrives(listDrives(flags, files), flags.device)
  // Firmware of the user's need not know our graphics card's.
  const isArm = flags.arch === 'arm64'
  const vga = flags.vga ?? (isArm || flags.firmware === undefined ? usualVga(flags, drives) : undefined)
  const tell = (text: string): void => void stderr.write(`retrap: ${text}\n`)
  const read = (): ReturnType<typeof readImages> => readImages({ ...flags, vga: vga ?? 'none' }, drives, tell)
  // Reports are on stdout.
  const host = { stdout: stderr, stderr }
  const settings = await settingsFor(flags, read, { kind: 'pass' }, host, vga, drives)
  const networkBoot = networkBootOf(flags, drives)
  const backEnds = await BackEnds.open({ ...settings, drives, networkBoot, isReplay }, new Chardevs())
  try {
    const { behindPorts, ...ends } = await backEnds.forMachine()
    const { models, servers } = await settings.devices(Infinity)
    const { virtio = [], networkCards = [] } = ends
    const options: Readonly<Record<string, unknown>> = {
      ...settings.machine,
      ...(await settings.images()),
      ...ends,
      ...defined({ vga, boot: flags.boot }),
      jit: flags.jit !== 'off',
      clock: 'deterministic',
      // The guest's own time must allow for the network's other end.
      keepsPace: networkCards.length > 0 || virtio.some(({ kind }) => kind === 'net'),
      devices: [...models, ...behindPorts],
      ...(servers.length > 0 && { deviceServers: servers }),
    }
    return {
      machine: { ...(options as unknown as MachineOptions), architecture: flags.arch },
      options: isArm
        ? { arm: (await loadArm(options as unknown as MachineOptions)).given }
        : { pc: options as unknown as PcOptions },
      async renew() {
        const { behindPorts: behind, virtio: devices, networkCards: cards } = await backEnds.forMachine()
        const { models: others } = await settings.devices(Infinity)
        return {
          devices: [...others, ...behind],
          ...defined({ virtio: devices, networkCards: cards }),
        }
      },
      close: async () => void (await backEnds.close()),
    }
  } catch (error) {
    await backEnds.close()
    throw error
  }
}
