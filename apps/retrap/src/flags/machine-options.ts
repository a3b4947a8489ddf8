import type { DeviceFailure } from '@retrap/ioreq'
import { type Command, Option } from 'commander'
import { describeThrown } from '@retrap/machine'
import { archOption, ARM_BOARDS, gicOf } from './arm-options.ts'
import { parseCpu } from './cpu-option.ts'
import { isModuleBehindPort, runsInWorker, startBoardWorker, startControllerWorker } from '../devices/device-modules.ts'
import { type DeviceHost, deviceOption, prepareDevices } from '../devices/devices.ts'
import {
  deviceServerOption,
  startRemoteDevices,
  type DeviceServerAddress,
  type NamedDevices,
} from '../devices/device-servers.ts'
import { displayOptions, displaySettings, type DisplayFlags } from '../display/display-option.ts'
import { type DriveArgument, driveOptions } from '../drives/drives.ts'
import { parseGdb, type GdbOption } from '../gdb/session-gdb.ts'
import { imageOptions, withOptionRoms } from './images.ts'
import { jitDump } from '../machine/jit-dump.ts'
import type { MigrationAddress } from '../migration/socket-channel.ts'
import { devicesBehindPorts } from '../monitor/hot-devices.ts'
import { networkOptions, listNetworks, type NetworkFlags } from '../network/networks.ts'
import { rootPorts, usbController } from '../devices/pci-devices.ts'
import { GuestProfile } from '../profile/guest-profile.ts'
import { readSymbolFiles } from '../profile/symbol-file.ts'
import type { InputPolicy } from '../session/serial-input.ts'
import { serialOptions, serialTargets, type ChardevArgument, type SerialFlags } from '../serial/serial-options.ts'
import type { SessionSettings } from '../session/session-settings.ts'
import { listVsock, vsockOption, type VsockFlags } from '../network/vsock-option.ts'
import { shareOptions, listShares, type ShareFlags } from '../share/share-options.ts'
import { listSound, type SoundFlags, soundOptions } from '../devices/sound.ts'
import { UnitCache } from '../unit-cache/unit-cache.ts'
import { traceOf, traceOptions, type TraceFlags } from '../trace/trace-option.ts'
import { parseCpus, parseMemory, parseSeconds, usage, type DeviceArgument } from '../options/values.ts'
import { listConsoles } from '../serial/console-devices.ts'

/** Options that every machine takes. */
export interface MachineFlags extends DisplayFlags, BackEndFlags, SoundFlags, TraceFlags {
  readonly memory: number
  readonly cpu?: string
  readonly cpus: number
  readonly machine: string
  readonly reboot?: boolean
  readonly jit?: 'on' | 'off'
  readonly jitDump?: string
  readonly unitCache?: string
  readonly profile?: string
  readonly symbols?: readonly string[]
  readonly hypervisor?: 'none' | 'xen'
  readonly console?: 'serial' | 'xen'
  readonly device?: readonly DeviceArgument[]
  readonly deviceServer?: readonly (DeviceServerAddress | NamedDevices)[]
  readonly devices?: 'inline' | 'async' | 'worker'
  readonly controllers?: 'inline' | 'worker'
  readonly deviceFailure?: 'crash' | 'detach'
  readonly deviceDeadline?: number
  readonly checkMappings?: boolean
  readonly timeout?: number
  readonly saveOnExit?: string
  readonly control?: string
  readonly incoming?: MigrationAddress
  readonly gdb?: GdbOption
  readonly record?: string
  readonly recordCheckpoints?: 'on' | 'off'
  readonly replay?: string
  readonly stats?: 'json' | 'text'
  readonly deterministic?: boolean
  readonly pace?: 'on' | 'off'
  readonly vapic?: boolean
  readonly optionRom?: readonly string[]
}

/**
 * Gives a command the options that every machine takes, in the groups that its help shows.
 *
 * @param memory - default of `--memory`
 */
export function machineOptions(command: Command, memory: string): Command {
  boardOptions(command.optionsGroup('Machine:'), memory)
  deviceOptions(command.optionsGroup('Devices:'))
  soundOptions(displayOptions(command.optionsGroup('Screen and sound:')))
  serialOptions(command.optionsGroup('Serial ports and consoles:'))
  consoleOption(command)
  vsockOption(shareOptions(networkOptions(command.optionsGroup('Networks and folders:'))))
  runOptions(command.optionsGroup('The run:'))
  traceOptions(debugOptions(command.optionsGroup('What happens inside:')))
  return command.allowExcessArguments(false)
}

function boardOptions(command: Command, memory: string): Command {
  return command
    .addOption(
      new Option('--memory <size>', 'guest RAM: 512M, 1G, 512MiB')
        .argParser(parseMemory)
        .default(parseMemory(memory), memory),
    )
    .option(
      '--cpu <model>',
      'processor: a model, and features to add or remove, such as core2,-sse4_1; --cpu help lists them (default: max)',
      parseCpu(
        (text) => command.configureOutput().writeOut?.(text),
        (text) => command.configureOutput().writeErr?.(text),
      ),
    )
    .option('--cpus <count>', 'virtual CPUs', parseCpus, 1)
    .addOption(
      new Option(
        '--machine <name>',
        'board: pc (i440FX, PIIX3), or q35 (ICH9, PCI Express); with smm=on it has system-management mode; virt for arm64, with gic-version=2 for an interrupt controller of at most 8 CPUs',
      )
        .choices(['pc', 'q35', 'pc,smm=on', 'q35,smm=on', 'pc,smm=off', 'q35,smm=off', ...ARM_BOARDS])
        .default('pc'),
    )
    .addOption(
      new Option('--hypervisor <name>', 'what the guest sees itself run on').choices(['none', 'xen']).default('none'),
    )
    .addOption(
      new Option('--jit <switch>', 'compile hot guest code to WebAssembly').choices(['on', 'off']).default('on'),
    )
    .addOption(
      new Option(
        '--unit-cache <where>',
        'folder where compiled code is kept for later runs, or off; default: units in the cache folder',
      ).env('RETRAP_UNIT_CACHE'),
    )
}

function deviceOptions(command: Command): Command {
  return command
    .option(
      '--device <name,key=value>',
      'add a device, or a module with devices of your own; help, or NAME,help, lists what there is (repeatable)',
      deviceOption((text) => command.configureOutput().writeOut?.(text)),
    )
    .option(
      '--device-server <address>',
      'devices of another host, which runs retrap device-server: tls://HOST:PORT?cert=FILE&key=FILE&ca=FILE, or nats://HOST:PORT/NAME?… to find it (repeatable)',
      deviceServerOption,
    )
    .addOption(
      new Option('--devices <how>', "where the board's devices run: at once, each access in a later turn, in a Worker")
        .choices(['inline', 'async', 'worker'])
        .default('inline'),
    )
    .addOption(
      new Option('--controllers <how>', 'where controllers of disks and network cards run: here, or in a Worker')
        .choices(['inline', 'worker'])
        .default('inline'),
    )
    .addOption(
      new Option('--device-failure <policy>', 'a device that breaks its contract ends the machine, or is taken out')
        .choices(['crash', 'detach'])
        .default('crash'),
    )
    .option(
      '--device-deadline <seconds>',
      'a device that answers later than this has failed (default: none; 30 with --deterministic)',
      parseSeconds('--device-deadline', '5 or 0.5'),
    )
}

function consoleOption(command: Command): Command {
  return command.addOption(
    new Option('--console <which>', 'where keys go: the serial port, or the console that Xen gives its guests')
      .choices(['serial', 'xen'])
      .default('serial'),
  )
}

function runOptions(command: Command): Command {
  return command
    .option(
      '--timeout <seconds>',
      'end after this time, with exit code 124; a machine that has arrived (--incoming) has it anew',
      parseSeconds('--timeout'),
    )
    .option('--no-reboot', 'end when the guest resets its machine, with exit code 0')
    .option('--deterministic', 'derive time from instructions, so that runs agree')
    .addOption(
      new Option(
        '--pace <switch>',
        'with --deterministic and --record: a guest that waits for a timer waits as long for the host (default: on at a terminal, and for --record with a network)',
      ).choices(['on', 'off']),
    )
    .option('--save-on-exit <file>', 'save the machine when you end the run, for retrap restore FILE')
    .option('--record <file>', 'record the run, for retrap replay FILE; time is derived from instructions')
    .addOption(
      new Option(
        '--record-checkpoints <switch>',
        'keep checkpoints in the recording, by which a replay opens at its end',
      )
        .choices(['on', 'off'])
        .default('on'),
    )
    .option('--replay <file>', 'run what was recorded again; retrap replay FILE has its options from the recording')
    .option('--control <path>', 'take commands of the monitor by a Unix socket: retrap migrate PATH')
}

function debugOptions(command: Command): Command {
  return command
    .option(
      '--gdb <where>',
      'let gdb attach: tcp:[HOST:]PORT[,wait][,arch=i386]; wait: the machine does not start before (default host: 127.0.0.1)',
      parseGdb,
    )
    .addOption(
      new Option('--stats <form>', 'print what the run cost, and what compiled code did, to stderr').choices([
        'json',
        'text',
      ]),
    )
    .option(
      '--jit-dump <folder>',
      'write the WebAssembly of compiled code as text, with each guest instruction before what it became',
    )
    .option(
      '--profile <file>',
      "write where the guest spends its time, a sample each ms, as a .cpuprofile for Chrome's DevTools or speedscope",
    )
    .option(
      '--symbols <file>',
      'with --profile: names of the functions of a program or library of the guest, an ELF file with symbols (repeatable)',
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), path],
    )
    .option('--check-mappings', 'find devices that keep views of guest memory which they have released (slow)')
}

/** Gives a command the options of adapters' firmware. */
export function romOptions(command: Command): Command {
  return command
    .optionsGroup('Devices:')
    .option('--vapic', 'patch the task-priority accesses of 32-bit guests into calls of an option ROM')
    .option(
      '--option-rom <file>',
      "adapter's firmware, initialised as a BIOS would (repeatable); kvmvapic.bin patches as --vapic does",
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), path],
    )
}

/** Gives a command the options of a machine that boots what its user names. */
export function systemOptions(command: Command): Command {
  return romOptions(machineOptions(archOption(driveOptions(imageOptions(command))), '512M')).allowExcessArguments()
}

/** The session that a command's options ask for. */
export async function settingsFor(
  flags: MachineFlags,
  images: SessionSettings['images'],
  input: InputPolicy,
  host: DeviceHost,
  card: 'std' | 'ramfb' | 'none' = 'none',
  drives: readonly DriveArgument[] = [],
): Promise<SessionSettings> {
  const usb = usbController(flags.device, drives)
  if (flags.console === 'xen' && flags.hypervisor !== 'xen') throw usage('--console xen needs --hypervisor xen')
  const ports = rootPorts(flags.device)
  const [board, smm] = flags.machine.split(',')
  const gic = gicOf(flags.machine)
  const trace = await traceOf(flags, host.stderr)
  const unitCache = unitCacheOf(flags, host)
  const profile = await profileOf(flags)
  return {
    machine: {
      memoryBytes: flags.memory,
      cpus: flags.cpus,
      ...(board === 'q35' && { machine: board }),
      ...(smm === 'smm=on' && { smm: true }),
      ...(gic !== undefined && { gic }),
      ...(flags.cpu !== undefined && { cpu: flags.cpu }),
      ...jitSettings(flags, unitCache, host),
      ...(profile !== undefined && { sampling: profile }),
      clock: flags.deterministic === true ? 'deterministic' : 'real',
      ...(flags.hypervisor === 'xen' && { hypervisor: flags.hypervisor }),
      ...(flags.devices === 'async' && { devicePlacement: 'deferred' as const }),
      ...(flags.devices === 'worker' && { devicePlacement: startBoardWorker }),
      ...(flags.controllers === 'worker' && { controllerPlacement: startControllerWorker }),
      ...(flags.deviceFailure === 'detach' && {
        devicePolicy: flags.deviceFailure,
        onDeviceFailure: (failure: DeviceFailure) => void host.stderr.write(formatDeviceFailure(failure)),
      }),
      ...(flags.deviceDeadline !== undefined && { deviceDeadlineMs: flags.deviceDeadline }),
      ...(flags.device?.some(runsInWorker) === true && { sharedMemory: true }),
      ...(flags.checkMappings === true && { checkMappings: true }),
      ...(trace?.access && { trace: trace.access }),
      ...(flags.vapic === true && { vapic: true }),
      ...(flags.vga !== undefined && { vga: flags.vga }),
      ...(flags.preferredMode !== undefined && { preferredMode: flags.preferredMode }),
      ...(usb !== undefined && { usb }),
      ...(ports.length > 0 && { rootPorts: ports }),
    },
    portDevices: devicesBehindPorts(flags.device),
    ...backEndsOf(flags),
    ...listSound(flags),
    modules: (flags.device ?? []).filter(isModuleBehindPort),
    images: async () => withOptionRoms(await images(), flags.optionRom),
    devices: prepareDevices(
      flags.device ?? [],
      host,
      flags.deviceServer?.map((address) =>
        startRemoteDevices(address, (text) => void host.stderr.write(`retrap: ${text}\n`)),
      ),
    ),
    ...displaySettings(flags, card),
    serial: serialTargets(flags),
    ...(flags.reboot === false && { noReboot: true }),
    console: flags.console ?? 'serial',
    snapshots: { arguments: [], onExit: flags.saveOnExit },
    ...(flags.control !== undefined && { control: flags.control }),
    ...(flags.incoming !== undefined && { incoming: flags.incoming }),
    // A recorded machine waits for gdb.
    ...(flags.gdb !== undefined && { gdb: { ...flags.gdb, wait: flags.gdb.wait || flags.record !== undefined } }),
    recording: {
      arguments: [],
      record: flags.record,
      ...(flags.pace !== undefined && { keepsPace: flags.pace === 'on' }),
      keepsCheckpoints: flags.recordCheckpoints !== 'off',
      replay: flags.replay,
    },
    input,
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
    ...(trace !== undefined && { trace }),
    ...(profile !== undefined && { profile }),
    ...(unitCache !== undefined && { unitCache }),
    ...(flags.stats === undefined ? {} : { stats: flags.stats }),
  }
}

async function profileOf({ profile, symbols = [], cpus }: MachineFlags): Promise<GuestProfile | undefined> {
  if (profile !== undefined) return new GuestProfile(profile, cpus, await readSymbolFiles(symbols))
  if (symbols.length > 0) throw usage('--symbols needs --profile FILE')
  return undefined
}

/** Where the session keeps compiled code. */
function unitCacheOf({ jit, jitDump, unitCache }: MachineFlags, host: DeviceHost): UnitCache | undefined {
  // Code that comes from there is not compiled, and would be missing from a dump.
  if (jit !== 'on' || jitDump !== undefined || unitCache === 'off') return undefined
  if (unitCache === '') throw usage('--unit-cache needs a folder, or off')
  return new UnitCache(unitCache, (message) => void host.stderr.write(`retrap: ${message}\n`))
}

function jitSettings(
  flags: MachineFlags,
  keep: UnitCache | undefined,
  host: DeviceHost,
): Pick<SessionSettings['machine'], 'jit'> {
  if (flags.jitDump === undefined) return flags.jit === 'on' ? { jit: keep === undefined ? true : { keep } } : {}
  if (flags.jit !== 'on') throw usage('--jit-dump needs --jit on')
  return { jit: { onCode: jitDump(flags.jitDump, (message) => void host.stderr.write(`retrap: ${message}\n`)) } }
}

/** Options that name networks, directories and streams. */
interface BackEndFlags extends NetworkFlags, ShareFlags, SerialFlags, VsockFlags {}

/** Networks and their cards, virtio devices with directories and consoles, and what these lead to. @throws CliError `ERR_USAGE` */
function backEndsOf(
  flags: BackEndFlags,
): ReturnType<typeof listNetworks> & { readonly chardevs: readonly ChardevArgument[] } {
  const listed = listNetworks(flags)
  const virtio = [...listed.virtio, ...listShares(flags), ...listVsock(flags), ...listConsoles(flags)]
  return { ...listed, virtio, chardevs: flags.chardev ?? [] }
}

/** Returns the message about a device that was taken out. */
function formatDeviceFailure({ serverName, device, request, cause }: DeviceFailure): string {
  return `retrap: device ${device} of server ${serverName} failed at ${request} and was taken out: ${describeThrown(cause)}\n`
}
