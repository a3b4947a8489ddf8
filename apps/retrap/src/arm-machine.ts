import type { Command } from 'commander'
import type { Machine, MachineOptions } from './machine-contract.ts'
import { usage } from './values.ts'

/** Options that an Arm machine takes, by the names of their attributes. */
const TAKEN: ReadonlySet<string> = new Set([
  'append',
  'arch',
  'checkMappings',
  'command',
  'cpus',
  'deterministic',
  'device',
  'deviceDeadline',
  'deviceFailure',
  'devices',
  'installer',
  'jit',
  'memory',
  'mirror',
  'package',
  'reboot',
  'refresh',
  'serial',
  'stats',
  'timeout',
  'trace',
])

/** Refuses options that are a PC's. @throws CliError `ERR_USAGE` */
export function checkArmFlags(command: Command): void {
  for (const option of command.options) {
    const name = option.attributeName()
    const isGiven = command.getOptionValueSource(name) === 'cli'
    if (isGiven && !TAKEN.has(name)) throw usage(`${option.long ?? name} is not there for --arch arm64`)
    if (isGiven && name === 'devices' && command.getOptionValue(name) === 'worker') {
      throw usage('--devices worker is not there for --arch arm64; --devices async is')
    }
  }
}

/** Parts of a PC that options such as `--device` put into a machine. */
const PC_PARTS = ['drives', 'flash', 'virtio', 'rootPorts', 'sound', 'networkCards', 'usb'] as const

/** Makes an Arm machine. @throws CliError `ERR_USAGE` for devices that only a PC has */
export async function createArm(options: MachineOptions): Promise<Machine> {
  for (const part of PC_PARTS) {
    const given = options[part]
    if (given !== undefined && !(Array.isArray(given) && given.length === 0)) {
      throw usage(`--arch arm64 takes device modules, and none of a PC's devices (${part})`)
    }
  }
  const { createArmMachine } = await import('@retrap/machine/arm')
  const { memoryBytes, cpus, initrd, commandLine, devices, deviceServers, clock, trace } = options
  return createArmMachine({
    ...{ memoryBytes, cpus, initrd, commandLine, devices, deviceServers, clock, trace },
    kernel: options.kernel ?? new Uint8Array(0),
    jit: options.jit !== undefined && options.jit !== false,
    devicePolicy: options.devicePolicy,
    deviceDeadlineMs: options.deviceDeadlineMs,
    onDeviceFailure: options.onDeviceFailure,
    ...(options.devicePlacement === 'deferred' && { devicePlacement: options.devicePlacement }),
  })
}
