import { readFileSync } from 'node:fs'
import type { DeviceFailure } from '@retrap/ioreq'
import { type Command, Option } from 'commander'
import { newProgram, runProgram } from './command-line.ts'
import { runsInWorker, startBoardWorker, startControllerWorker } from './device-modules.ts'
import { formatDeviceFailure, openTrace } from './device-reports.ts'
import { deviceHelp, deviceOption, prepareDevices } from './devices.ts'
import { addDisasm } from './disasm/command.ts'
import { driveOptions, listDrives, type DriveArgument, type DriveFlags } from './drives.ts'
import { addEsr } from './esr/command.ts'
import { EXIT_CODES_HELP, ExitCode } from './exit-codes.ts'
import { showFetchProgress, type FetchProgress } from './fetch-progress.ts'
import { displayOptions, displaySettings, type DisplayFlags, withCardDevice } from './display/display-option.ts'
import { readBytes } from './files.ts'
import {
  checkImages,
  namingKernel,
  networkBootOf,
  readImages,
  usualVga,
  withOptionRoms,
  type ImageFlags,
} from './images.ts'
import { jitDump } from './jit-dump.ts'
import { imagesOf } from './machine-file/machine-file.ts'
import { machineSchema } from './machine-file/schema.ts'
import { fetchInstaller, fetchLinux, type DebianOptions, type InstallerArchitecture } from './linux/debian.ts'
import { buildInitramfs, SHELL_PROMPT } from './linux/initramfs.ts'
import { addP2m, type MapImageFlags } from './p2m/command.ts'
import { rootPorts } from './pci-devices.ts'
import type { ListingOutput } from './print-lines.ts'
import type { InputPolicy } from './serial-input.ts'
import type { SessionHost } from './host.ts'
import { addImage } from './image/command.ts'
import { backEndsOf, type BackEndFlags } from './back-end-options.ts'
import { networkOptions } from './networks.ts'
import { serialOptions, serialTargets } from './serial/serial-options.ts'
import { shareOptions } from './share/share-options.ts'
import { GuestProfile } from './profile/guest-profile.ts'
import { parseCpu } from './cpu-option.ts'
import { listSound, type SoundFlags, soundOptions } from './sound.ts'
import { runSession, type MachineImages, type SessionSettings } from './session.ts'
import { parseCpus, parseMemory, parseModule, parseSeconds, parseTrace, usage } from './values.ts'
import type { DeviceArgument, ModuleArgument, TraceTarget } from './values.ts'
import { connectDrives } from './disk-devices.ts'
import { usbController } from './usb-devices.ts'
import { addWalk } from './walk/command.ts'

/** The process around the command line. */
export interface CliHost extends SessionHost {
  readonly stdout: SessionHost['stdout'] & ListingOutput
  /** The firmware image that runs where no other system is asked for. */
  embeddedGuest(): Uint8Array | Promise<Uint8Array>
}

/** Options that every machine takes. */
interface MachineFlags extends DisplayFlags, BackEndFlags, SoundFlags {
  readonly memory: number
  readonly cpu?: string
  readonly cpus: number
  readonly machine: string
  readonly reboot?: boolean
  readonly jit?: 'on' | 'off'
  readonly jitDump?: string
  readonly profile?: string
  readonly hypervisor?: 'none' | 'xen'
  readonly console?: 'serial' | 'xen'
  readonly device?: readonly DeviceArgument[]
  readonly devices?: 'inline' | 'async' | 'worker'
  readonly controllers?: 'inline' | 'worker'
  readonly deviceFailure?: 'crash' | 'detach'
  readonly deviceDeadline?: number
  readonly checkMappings?: boolean
  readonly trace?: TraceTarget
  readonly timeout?: number
  readonly stats?: 'json' | 'text'
  readonly deterministic?: boolean
  readonly vapic?: boolean
  readonly optionRom?: readonly string[]
}

type RunFlags = MachineFlags & ImageFlags & DriveFlags & { readonly schema?: boolean }

interface LinuxFlags extends MachineFlags {
  readonly package: string
  readonly installer?: InstallerArchitecture
  readonly append?: string
  readonly command?: string
  readonly refresh?: boolean
  readonly mirror?: string
}

/** What the embedded guest prints when it waits for a command (guest/shell.ts). */
const GUEST_PROMPT = /retrap> $/

const DEBIAN_KERNEL = 'linux-image-cloud-amd64'
const INSTALLER_MEMORY_BYTES = 1024 ** 3

/**
 * Runs the command line.
 *
 * @param args - what follows the program's name
 * @returns the exit code for the process
 */
export async function runCli(args: readonly string[], host: CliHost): Promise<number> {
  let result: number = ExitCode.PowerOff
  const finish = async (settings: SessionSettings): Promise<void> => {
    result = await runSession(settings, host)
  }
  const report = (code: number): void => {
    result = code
  }
  const code = await runProgram(createProgram(host, finish, report), args, host)
  return code === ExitCode.PowerOff ? result : code
}

type Finish = (settings: SessionSettings) => Promise<void>

function createProgram(host: CliHost, finish: Finish, report: (code: number) => void): Command {
  const program = newProgram(host)
    .version(packageVersion())
    .description('Boots unmodified x86 systems on an emulated PC. Without a command, a small guest of its own.')
    // Options after a command's name are the command's.
    .enablePositionalOptions()
    .helpCommand('help [command]', 'Show the help of a command')
    .addHelpText('after', EXIT_CODES_HELP)
  machineOptions(program, '64M')
    .allowExcessArguments()
    .action(async (flags: MachineFlags) => {
      const [unknown] = program.args
      if (unknown !== undefined)
        throw usage(`there is no command '${unknown}'; there are run, linux, image, disasm, walk, esr and p2m`)
      const input: InputPolicy = { kind: 'shell', prompt: GUEST_PROMPT }
      const images = async (): Promise<MachineImages> => ({ firmware: await host.embeddedGuest() })
      await finish(settingsFor(withCardDevice(flags), images, input, host))
    })

  const run = program
    .command('run')
    .description('Boot a disk or CD image, a kernel (Linux bzImage, PVH or multiboot ELF) or a firmware image')
    .argument('[image...]', 'disk images, discs with ISO 9660, or a machine.json with these options by name')
    .option('--kernel <file>', 'kernel to start')
    .option('--initrd <file>', "the kernel's initial RAM disk")
    .option(
      '--module <file text>',
      'further file for a multiboot or PVH kernel, and a text for it (repeatable)',
      (text: string, before: readonly ModuleArgument[] | undefined) => [...(before ?? []), parseModule(text)],
    )
    .option('--append <text>', "the kernel's command line")
    .option('--schema', 'print the JSON schema of machine.json, and run nothing')
    .option('--firmware <file>', 'firmware image, mapped to end at 4 GiB and at 1 MiB')
    .addHelpText('after', `\n${deviceHelp()}`)
  romOptions(driveOptions(machineOptions(run, '512M')))
    .allowExcessArguments()
    .action(async (named: readonly string[]) => {
      const files = imagesOf(named, run)
      const flags = withCardDevice(run.opts<RunFlags>())
      if (flags.schema === true) return void host.stdout.write(`${JSON.stringify(machineSchema(run), null, 2)}\n`)
      const drives = connectDrives(listDrives(flags, files), flags.device)
      checkImages(flags, drives)
      const images = (): Promise<MachineImages> => readImages(flags, drives)
      const settings = settingsFor(flags, images, { kind: 'pass' }, host, usualVga(flags, drives), drives)
      const boot = flags.boot === undefined ? {} : { boot: flags.boot }
      const machine = { ...settings.machine, vga: flags.vga ?? usualVga(flags, drives), ...boot }
      await namingKernel(flags, finish({ ...settings, machine, drives, networkBoot: networkBootOf(flags, drives) }))
    })

  const linux = program
    .command('linux')
    .description("Boot Debian's kernel to a busybox shell; fetched once, by package name, through apt")
    .option('--package <name>', 'kernel package', DEBIAN_KERNEL)
    .addOption(
      new Option('--installer <architecture>', "boot Debian's installer instead")
        .choices(['amd64', 'i386'])
        .conflicts(['package', 'command']),
    )
    .option('--append <text>', "more for the kernel's command line")
    .option('--command <text>', 'type this into the shell, then power off')
    .option('--refresh', 'look for a newer package even if one is kept')
    .option('--mirror <url>', 'Debian mirror to use')
  romOptions(machineOptions(linux, '512M')).action(async (flags: LinuxFlags) => {
    const { images, input } = await linuxImages(flags)
    // With less the installer starts in a mode that is short of nearly everything.
    const least = flags.installer !== undefined && linux.getOptionValueSource('memory') === 'default'
    const memory = least ? INSTALLER_MEMORY_BYTES : flags.memory
    await finish(settingsFor({ ...withCardDevice(flags), memory }, images, input, host))
  })
  addImage(program, host, report)
  addDisasm(program, host.stdout, host.stderr, process.env)
  addWalk(program, host.stdout)
  addEsr(program, host.stdout)
  addP2m(program, { ...host, images: (flags) => mapImages(flags, host) })
  return program
}

function packageVersion(): string {
  const description: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return (description as { version: string }).version
}

function machineOptions(command: Command, memory: string): Command {
  return serialOptions(shareOptions(soundOptions(networkOptions(displayOptions(command)))))
    .addOption(
      new Option('--memory <size>', 'guest RAM: 512M, 1G, 512MiB')
        .argParser(parseMemory)
        .default(parseMemory(memory), memory),
    )
    .option(
      '--cpu <model>',
      'processor: a model, and features to add or remove, such as core2,-sse4_1; --cpu help lists them (default: max)',
      parseCpu((text) => command.configureOutput().writeOut?.(text)),
    )
    .option('--cpus <count>', 'virtual CPUs', parseCpus, 1)
    .addOption(
      new Option(
        '--machine <name>',
        'board: pc (i440FX, PIIX3), or q35 (ICH9, PCI Express); with smm=on it has system-management mode',
      )
        .choices(['pc', 'q35', 'pc,smm=on', 'q35,smm=on', 'pc,smm=off', 'q35,smm=off'])
        .default('pc'),
    )
    .addOption(
      new Option('--hypervisor <name>', 'what the guest sees itself run on').choices(['none', 'xen']).default('none'),
    )
    .addOption(
      new Option('--console <which>', 'where keys go: the serial port, or the console that Xen gives its guests')
        .choices(['serial', 'xen'])
        .default('serial'),
    )
    .option(
      '--device <name,key=value>',
      'add a device, or a module with devices of your own; help, or NAME,help, lists what there is (repeatable)',
      deviceOption((text) => command.configureOutput().writeOut?.(text)),
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
    .option('--check-mappings', 'find devices that keep views of guest memory which they have released (slow)')
    .option('--trace <what>', 'print every access to a device: ioreq, or ioreq:FILE', parseTrace)
    .option('--timeout <seconds>', 'end after this time, with exit code 124', parseSeconds('--timeout'))
    .option('--no-reboot', 'end when the guest resets its machine, with exit code 0')
    .addOption(
      new Option('--stats <form>', 'print what the run cost, and what compiled code did, to stderr').choices([
        'json',
        'text',
      ]),
    )
    .addOption(
      new Option('--jit <switch>', 'compile hot guest code to WebAssembly').choices(['on', 'off']).default('on'),
    )
    .option('--jit-dump <folder>', 'write the WebAssembly of compiled code, and the guest code it is made of, as text')
    .option(
      '--profile <file>',
      "write where the guest spends its time, a sample each ms, as a .cpuprofile for Chrome's DevTools or speedscope",
    )
    .option('--deterministic', 'derive time from instructions, so that runs agree')
    .allowExcessArguments(false)
}

function romOptions(command: Command): Command {
  return command
    .option('--vapic', 'patch the task-priority accesses of 32-bit guests into calls of an option ROM')
    .option(
      '--option-rom <file>',
      "adapter's firmware, initialised as a BIOS would (repeatable); kvmvapic.bin patches as --vapic does",
      (path: string, before: readonly string[] | undefined) => [...(before ?? []), path],
    )
}

function settingsFor(
  flags: MachineFlags,
  images: SessionSettings['images'],
  input: InputPolicy,
  host: CliHost,
  card: 'std' | 'none' = 'none',
  drives: readonly DriveArgument[] = [],
): SessionSettings {
  const usb = usbController(flags.device, drives)
  if (flags.console === 'xen' && flags.hypervisor !== 'xen') throw usage('--console xen needs --hypervisor xen')
  const ports = rootPorts(flags.device)
  const [board, smm] = flags.machine.split(',')
  const profile = flags.profile === undefined ? undefined : new GuestProfile(flags.profile, flags.cpus)
  return {
    machine: {
      memoryBytes: flags.memory,
      cpus: flags.cpus,
      ...(board === 'q35' && { machine: board }),
      ...(smm === 'smm=on' && { smm: true }),
      ...(flags.cpu !== undefined && { cpu: flags.cpu }),
      ...jitSettings(flags, host),
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
      ...(flags.trace && { trace: openTrace(flags.trace, host) }),
      ...(flags.vapic === true && { vapic: true }),
      ...(flags.vga !== undefined && { vga: flags.vga }),
      ...(flags.preferredMode !== undefined && { preferredMode: flags.preferredMode }),
      ...(usb !== undefined && { usb }),
      ...(ports.length > 0 && { rootPorts: ports }),
    },
    ...backEndsOf(flags),
    ...listSound(flags),
    images: async () => withOptionRoms(await images(), flags.optionRom),
    devices: prepareDevices(flags.device ?? [], host),
    ...displaySettings(flags, card),
    serial: serialTargets(flags),
    ...(flags.reboot === false && { noReboot: true }),
    console: flags.console ?? 'serial',
    input,
    ...(flags.timeout === undefined ? {} : { timeoutMs: flags.timeout }),
    ...(profile !== undefined && { profile }),
    ...(flags.stats === undefined ? {} : { stats: flags.stats }),
  }
}

function jitSettings(flags: MachineFlags, host: CliHost): Pick<SessionSettings['machine'], 'jit'> {
  if (flags.jitDump === undefined) return flags.jit === 'on' ? { jit: true } : {}
  if (flags.jit !== 'on') throw usage('--jit-dump needs --jit on')
  return { jit: { onCode: jitDump(flags.jitDump, (message) => void host.stderr.write(`retrap: ${message}\n`)) } }
}

/** What `retrap p2m` loads. */
async function mapImages(flags: MapImageFlags, host: CliHost): Promise<MachineImages> {
  if (flags.debian === true) {
    if ((flags.kernel ?? flags.firmware) !== undefined) throw usage('--debian brings a kernel of its own')
    return (await linuxImages({ ...flags, package: DEBIAN_KERNEL })).images()
  }
  const named = [flags.kernel, flags.initrd, flags.module, flags.append, flags.firmware]
  if (named.every((flag) => flag === undefined)) return { firmware: await host.embeddedGuest() }
  checkImages(flags)
  return readImages(flags)
}

async function linuxImages(
  flags: Omit<LinuxFlags, Exclude<keyof MachineFlags, 'console'>>,
): Promise<Pick<SessionSettings, 'images' | 'input'>> {
  const shown = showFetchProgress()
  const options: DebianOptions = {
    refresh: flags.refresh === true,
    onProgress: shown.onProgress,
    ...(flags.mirror === undefined ? {} : { mirror: flags.mirror }),
  }
  const console = flags.console === 'xen' ? 'hvc0' : 'ttyS0'
  const commandLine = [`console=${console}`, flags.append].filter((part) => part !== undefined).join(' ')
  if (flags.installer !== undefined) {
    const files = await showing(shown, fetchInstaller(flags.installer, options))
    const images = async (): Promise<MachineImages> => {
      const [kernel, initrd] = await Promise.all([readBytes(files.kernelPath), readBytes(files.initrdPath)])
      return { kernel, initrd, commandLine }
    }
    return { images, input: { kind: 'pass' } }
  }
  const files = await showing(shown, fetchLinux(flags.package, options))
  const images = async (): Promise<MachineImages> => {
    const [kernel, busybox] = await Promise.all([readBytes(files.kernelPath), readBytes(files.busyboxPath)])
    return { kernel, initrd: buildInitramfs(busybox), commandLine }
  }
  const input: InputPolicy =
    flags.command === undefined
      ? { kind: 'shell', prompt: SHELL_PROMPT }
      : { kind: 'script', prompt: SHELL_PROMPT, lines: [flags.command, 'poweroff -f'] }
  return { images, input }
}

async function showing<T>(shown: FetchProgress, fetch: Promise<T>): Promise<T> {
  try {
    const result = await fetch
    shown.stop('done')
    return result
  } catch (error) {
    shown.stop('failed')
    throw error
  }
}
