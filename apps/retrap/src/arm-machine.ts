import { type Command, Option } from 'commander'
import { MemoryStorage, RawImage } from '@retrap/block'
import type { DriveArgument } from './drives.ts'
import type { ImageFlags } from './images.ts'
import type { Machine, MachineOptions } from './machine-contract.ts'
import { usage } from './values.ts'

/** Options that an Arm machine takes, by the names of their attributes. */
const TAKEN: ReadonlySet<string> = new Set([
  'append',
  'arch',
  'audio',
  'cdrom',
  'chardev',
  'checkMappings',
  'command',
  'cpus',
  'deterministic',
  'device',
  'deviceDeadline',
  'deviceFailure',
  'devices',
  'drive',
  'firmware',
  'firmwareVars',
  'fsdev',
  'hda',
  'hdb',
  'hdc',
  'hdd',
  'initrd',
  'installer',
  'jit',
  'kernel',
  'memory',
  'mirror',
  'netdev',
  'nic',
  'package',
  'reboot',
  'refresh',
  'schema',
  'serial',
  'share',
  'snapshot',
  'stats',
  'timeout',
  'trace',
  'virtfs',
])

/** Gives a command the option of an architecture. */
export function archOption(command: Command): Command {
  const option = new Option('--arch <name>', 'architecture of the machine')
  return command.addOption(option.choices(['amd64', 'arm64']).default('amd64'))
}

/** Refuses options that are a PC's. @throws CliError `ERR_USAGE` */
export function checkArmFlags(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName()
    const isGiven = ![undefined, 'default'].includes(command.getOptionValueSource(name))
    if (isGiven && !TAKEN.has(name)) throw usage(`${option.long ?? name} is not there for --arch arm64`)
    if (isGiven && name === 'devices' && command.getOptionValue(name) === 'worker') {
      throw usage('--devices worker is not there for --arch arm64; --devices async is')
    }
  }
}

/** Makes an Arm machine. @throws CliError `ERR_USAGE` for what only a PC has */
export async function createArm(options: MachineOptions): Promise<Machine> {
  if (options.modules !== undefined && options.modules.length > 0) throw usage('--module is not there for --arch arm64')
  const { createArmMachine } = await import('@retrap/machine/arm')
  const { memoryBytes, cpus, initrd, commandLine, devices, deviceServers, clock, trace } = options
  const { drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse } = options
  return createArmMachine({
    ...{ memoryBytes, cpus, initrd, commandLine, devices, deviceServers, clock, trace },
    ...{ drives, virtio, rootPorts, sound, networkCards, usb, keyboard, mouse },
    kernel: options.kernel,
    flash: options.flash ?? flashOf(options.firmware),
    jit: options.jit !== undefined && options.jit !== false,
    devicePolicy: options.devicePolicy,
    deviceDeadlineMs: options.deviceDeadlineMs,
    onDeviceFailure: options.onDeviceFailure,
    ...(options.devicePlacement === 'deferred' && { devicePlacement: options.devicePlacement }),
  })
}

/** A firmware image as a flash that keeps nothing. */
function flashOf(firmware: Uint8Array | undefined): MachineOptions['flash'] {
  if (firmware === undefined) return undefined
  return [{ medium: new RawImage(new MemoryStorage(firmware, { readOnly: true })), readOnly: true }]
}

/** Refuses disks with nothing that starts them: SeaBIOS is a PC's. @throws CliError `ERR_USAGE` */
export function checkArmImages(flags: ImageFlags, drives: readonly DriveArgument[]): void {
  const starts = flags.kernel ?? flags.firmware ?? drives.find(({ flash }) => flash !== undefined)
  if (starts === undefined)
    throw usage('nothing that starts an Arm machine; give --kernel FILE, or UEFI firmware with --firmware FILE')
}
