import { plainLine } from '@retrap/basics'
import { Option } from 'commander'
import { Program, runProgram } from './commands/command-line.ts'
import { addDeviceServer } from './machine/devices/device-servers.ts'
import { deviceHelp } from './machine/devices/devices.ts'
import { addCluster } from './commands/cluster/command.ts'
import { addCrashTest } from './commands/crash-test/command.ts'
import { addDap } from './commands/dap/command.ts'
import { addDeviceCheck } from './commands/device-check/command.ts'
import { addDeviceSdk } from './commands/device-check/sdk.ts'
import { addDisasm } from './commands/disasm/command.ts'
import { listDrives, type DriveFlags } from './machine/drives/drives.ts'
import { addEsr } from './commands/esr/command.ts'
import { addExec } from './commands/exec/command.ts'
import { EXIT_CODES_HELP, ExitCode } from './exit-codes.ts'
import { withCardDevice } from './machine/display/display-option.ts'
import { checkImages, namingKernel, networkBootOf, readImages, usualVga, type ImageFlags } from './flags/images.ts'
import { takeKernel } from './machine/drives/image-file.ts'
import { imagesOf, machineSchema } from './flags/machine-file/machine-file.ts'
import { addP2m, type MapImageFlags } from './commands/p2m/command.ts'
import { packageVersion } from './package-version.ts'
import { type ListingOutput, plainOutput } from './print-lines.ts'
import type { InputPolicy } from './machine/session/serial-input.ts'
import type { SessionHost, SessionOutput } from './machine/session/session-host.ts'
import { addImage } from './commands/image/command.ts'
import { recordingIn } from '@retrap/linux-guest/host/files'
import type { RecordingSettings } from './machine/recording/session-recording.ts'
import { type MigrationAddress, receiveIncoming } from './machine/migration/socket-channel.ts'
import { addKernels } from './commands/kernels/command.ts'
import { addLayers } from './commands/layers/command.ts'
import { addMcp } from './commands/mcp/command.ts'
import { addMigrate } from './machine/migration/control.ts'
import { refuseChangedDisks } from '@retrap/linux-guest/machine/snapshots/saved-disks'
import {
  hostDigest,
  openSnapshotFile,
  type PagesProgress,
  readSavedRun,
} from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { timeoutLine } from './machine/session/session-end.ts'
import { runSession } from './machine/session/session.ts'
import type { SessionSettings } from './machine/session/session-settings.ts'
import type { MachineImages } from '@retrap/linux-guest/machine/machine-contract'
import { combinationsHelp } from './flags/combinations-help.ts'
import { didYouMean, usage } from './options/values.ts'
import { connectDrives } from './machine/devices/disk-devices.ts'
import { addQemu } from './commands/qemu/command.ts'
import { addSite } from './commands/site/command.ts'
import { addTest } from './commands/test/command.ts'
import { addWalk } from './commands/walk/command.ts'
import { addWeb } from './commands/web/command.ts'
import { checkArmFlags, checkArmImages, dumpDeviceTree } from './flags/arm-options.ts'
import { architectureOf, DEBIAN_KERNEL, type DebianFlags, linuxImages } from './commands/debian/debian-images.ts'
import { settingsFor, type MachineFlags } from './flags/machine-options.ts'
import { linuxOptions, machineOptions, systemOptions } from './flags/machine-table.ts'

/** The process around the command line. */
export interface CliHost extends SessionHost {
  readonly stdout: SessionHost['stdout'] & ListingOutput
  /** The firmware image that runs unless the options name another system. */
  embeddedGuest(): Uint8Array | Promise<Uint8Array>
}

type RunFlags = MachineFlags &
  ImageFlags &
  DriveFlags & { readonly schema?: boolean; readonly dumpdtb?: string; readonly arch: 'amd64' | 'arm64' }

interface RestoreFlags {
  readonly verify?: boolean
  readonly force?: boolean
  readonly setClock?: boolean
  readonly hostLoopback?: boolean
}

interface LinuxFlags extends MachineFlags, DebianFlags {}

/** The prompt of the embedded guest when it waits for a command (guest/shell.ts). */
const GUEST_PROMPT = /retrap> $/

const INSTALLER_MEMORY_BYTES = 1024 ** 3

const PROGRESS_MS = 1000

const RESTORE_HELP = `
Disks, firmware and sockets are opened again by the names that they were given: relative ones from this folder. A disk holds
what the guest had written when it was saved; one that has been written since is refused, unless with --force, by its size, its
time and its first 4 KiB. A copy of it needs its time: cp -p. The time since then passes for the guest too, up to 7 days, so that
its clock is right. For a longer time --set-clock asks it to sleep and wakes it, upon which it reads the clock of its machine; a
Debian with systemd does (elsewhere hwclock --hctosys in the guest sets it). With --deterministic its clock goes on from when it was
saved. The command line in the file is run as it is: do not restore files of people whom you would not let choose your options. What is typed goes to the guest as it is.`

const REPLAY_HELP = `
Nothing is read from disks and networks, and nothing is written to them: what came from them is in the recording. One with its
machine inside (--record-bundle, a page, a failing test, exec) needs no other file, and opens none that it does not name. Of
another one kernels and firmware are read again by their names; images are opened: its command line is run as it is. Do not replay
such files of people whom you would not let choose your options. A machine that goes on by --go-live needs its command line too,
and finds its disks as they are now. With -- --gdb tcp:127.0.0.1:1234, gdb goes through the recording in both directions; it begins
at its start, or at --goto.`

/**
 * Runs the command line.
 *
 * @param args - the words behind the program's name
 * @returns the exit code for the process
 */
export async function runCli(args: readonly string[], host: CliHost): Promise<number> {
  let result: number = ExitCode.PowerOff
  const report = (code: number): void => {
    result = code
  }
  /** Runs a command line. @param from - the file with the machine that goes on, or with the run, of a run with it */
  const run = (given: readonly string[], from: Saved = {}): Promise<number> => {
    const finish = async (settings: SessionSettings): Promise<void> => {
      if (settings.daemonize === true && host.daemonize !== undefined)
        return report(
          await host.daemonize(
            given.filter((word) => word !== '--daemonize'),
            host.stderr,
          ),
        )
      const { onExit } = settings.snapshots
      const { snapshot, ...replayed } = from
      const restored = snapshot !== undefined && goesOn(settings, snapshot)
      const recording = { ...settings.recording, ...replayed, arguments: given }
      const { kernel } = replayed.machine ?? {}
      const inside = replayed.machine && {
        images: async () => (kernel === undefined ? {} : { kernel }),
        machine: { ...settings.machine, architecture: replayed.machine.architecture },
      }
      const incoming = settings.incoming && (await arrives(settings.incoming, settings.timeoutMs, host.stderr))
      if (incoming === null) return report(ExitCode.Timeout)
      const arrived = incoming && { restore: async () => incoming.snapshot, takeOver: incoming.takeOver }
      // Workers of a fleet set this variable; and the user of a machine from elsewhere has not chosen which networks
      // its guest may reach.
      const closesLoopback = process.env['RETRAP_HOST_LOOPBACK'] === 'off' || snapshot?.closesLoopback === true
      const snapshots = { arguments: given, onExit }
      try {
        result = await runSession(
          { ...settings, ...inside, ...restored, ...arrived, recording, snapshots, closesLoopback },
          host,
        )
      } finally {
        await incoming?.drop()
      }
    }
    return runProgram(createProgram(host, finish, report, run), given, host)
  }
  const code = await run(args)
  return code === ExitCode.PowerOff ? result : code
}

/** Waits for a machine of another process. @returns null where `--timeout` is over before @throws as `receiveIncoming` */
async function arrives(
  address: MigrationAddress,
  timeoutMs: number | undefined,
  stderr: SessionOutput,
): Promise<Awaited<ReturnType<typeof receiveIncoming>> | null> {
  const over = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)
  return receiveIncoming(address, stderr, over).catch((error: unknown) => {
    if (over?.aborted !== true) throw error
    stderr.write(timeoutLine(timeoutMs ?? 0))
    return null
  })
}

/**
 * Changes the settings for a saved machine that goes on: nothing is typed for its user, and whether it is paused is in the file. A
 * file of an older version does not tell.
 */
const goesOn = (
  { input, paused = false }: SessionSettings,
  { path, verify, setsClock, wasPaused, isToPause }: NonNullable<Saved['snapshot']>,
): Pick<SessionSettings, 'restore' | 'setsClock' | 'paused' | 'wasPaused' | 'input'> => ({
  restore: (tell, onLost) => openSnapshotFile(path, { onProgress: slowProgress(tell), verify, onLost }),
  setsClock,
  paused: wasPaused === undefined ? paused : isToPause,
  wasPaused: wasPaused === true,
  input: input.kind === 'script' ? input : { kind: 'pass' },
})

/** Prints every second which part of a snapshot's RAM has been read. */
function slowProgress(tell: (text: string) => void): PagesProgress {
  let next: number | undefined
  return (done, all) => {
    const now = performance.now()
    next ??= now + PROGRESS_MS
    if (now < next) return
    next = now + PROGRESS_MS
    tell(`${Math.floor((100 * done) / all)} % of its memory has been read`)
  }
}

type Finish = (settings: SessionSettings) => Promise<void>

/** Runs another command line, whose machine continues from a file. */
type GoOn = (args: readonly string[], from: Saved) => Promise<number>

/** Files that a command line's run goes on from, or is. */
interface Saved extends Omit<RecordingSettings, 'arguments'> {
  readonly snapshot?: {
    readonly path: string
    readonly verify: boolean
    readonly setsClock: boolean
    readonly wasPaused: boolean | undefined
    /** Whether `--paused` was given for this run, and not for that before. */
    readonly isToPause: boolean
    readonly closesLoopback: boolean
  }
}

/** Names the commands, and one that a wrong name may stand for. */
function noCommand(unknown: string, { commands }: Program): string {
  const names = commands.map((command) => command.name())
  return `there is no command '${unknown}'${didYouMean(unknown, names) || ';'} there are ${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

type ReplayFlags = Pick<RecordingSettings, 'goto' | 'goLive' | 'whoWrote'>

function createProgram(host: CliHost, finish: Finish, report: (code: number) => void, goOn: GoOn): Program {
  const program = new Program(host)
    .version(packageVersion())
    .description(
      'Boots unmodified systems on an emulated PC or Arm board. Without a command, a small guest of its own. Options of the machine are the same for all commands that run one.',
    )
    // Options after a command's name are the command's.
    .enablePositionalOptions()
    .commandsGroup('Run a machine:')
    .helpCommand('help [command]', 'Show the help of a command')
    .addHelpText('after', EXIT_CODES_HELP)
  machineOptions(program, '64M')
    .allowExcessArguments()
    .action(async (flags: MachineFlags) => {
      const [unknown] = program.args
      if (unknown !== undefined) throw usage(noCommand(unknown, program))
      const input: InputPolicy = { kind: 'shell', prompt: GUEST_PROMPT }
      const images = async (): Promise<MachineImages> => ({ firmware: await host.embeddedGuest() })
      await finish(await settingsFor(withCardDevice(flags), images, input, host))
    })

  const run = program
    .command('run')
    .description('Boot a disk or CD image, a kernel (Linux, PVH or multiboot ELF) or a firmware image')
    .argument('[image...]', 'disk images, discs with ISO 9660, a kernel, or a machine.json with these options by name')
    .addHelpText('after', `\n${deviceHelp()}\n\n${combinationsHelp()}`)
  systemOptions(run)
    .option('--schema', 'print the JSON schema of machine.json, and run nothing')
    .option('--dumpdtb <file>', 'write the device tree of an Arm board, and run nothing')
    .action(async (named: readonly string[]) => {
      const images = imagesOf(named, run)
      const { kernel, files } = await takeKernel(images, run.opts<RunFlags>().kernel)
      const flags = withCardDevice({ ...run.opts<RunFlags>(), ...(kernel !== undefined && { kernel }) })
      if (flags.arch === 'arm64') checkArmFlags(run)
      if (flags.schema === true) return void program.asked.push(`${JSON.stringify(machineSchema(run), null, 2)}\n`)
      if (await dumpDeviceTree(flags, host.createMachine)) return
      const drives = connectDrives(listDrives(flags, files), flags.device)
      if (flags.arch === 'arm64') checkArmImages(flags, drives)
      checkImages(flags, drives)
      const told = new Set<string>()
      const read = (): Promise<MachineImages> =>
        readImages(flags, drives, (text) => {
          // A reset reads the images again, with the same warnings: each is printed once.
          if (!told.has(text)) host.stderr.write(`retrap: ${text}\n`)
          told.add(text)
        })
      const settings = await settingsFor(flags, read, { kind: 'pass' }, host, usualVga(flags, drives), drives)
      const boot = flags.boot === undefined ? {} : { boot: flags.boot }
      const vga = flags.vga ?? usualVga(flags, drives)
      const machine = { ...settings.machine, architecture: flags.arch, vga, ...boot }
      await namingKernel(flags, finish({ ...settings, machine, drives, networkBoot: networkBootOf(flags, drives) }))
    })

  const linux = program
    .command('linux')
    .description("Boot Debian's kernel to a busybox shell; fetched once, by package name")
    .optionsGroup('What to boot:')
    .option('--package <name>', `kernel package (default: ${DEBIAN_KERNEL}, or linux-image-arm64)`)
    .addOption(
      new Option('--installer <architecture>', "boot Debian's installer instead")
        .choices(['amd64', 'arm64', 'i386'])
        .conflicts(['package', 'command']),
    )
    .option('--append <text>', "more for the kernel's command line")
    .option('--command <text>', 'type this into the shell, then power off')
    .option('--refresh', 'look for a newer package even if one is kept')
    .option('--mirror <url>', 'Debian mirror to use')
  linuxOptions(linux).action(async (flags: LinuxFlags) => {
    const architecture = architectureOf(flags)
    if (architecture === 'arm64') checkArmFlags(linux)
    const { images, input } = await linuxImages(flags)
    // The installer starts in its low-memory mode on a machine with less memory.
    const least = flags.installer !== undefined && linux.getOptionValueSource('memory') === 'default'
    const memory = least ? INSTALLER_MEMORY_BYTES : flags.memory
    const settings = await settingsFor({ ...withCardDevice(flags), memory }, images, input, host)
    await finish({ ...settings, machine: { ...settings.machine, architecture } })
  })
  addQemu(program, host, async (line) => {
    const code = await goOn(line, {})
    if (code !== ExitCode.PowerOff) report(code)
  })
  // Run by the process's own program, which loads as little as possible.
  addExec(program, async () => {
    throw usage('exec comes first: retrap exec -- PROGRAM')
  })
  addWeb(program, host)
  addSite(program, host, (args, around) => runCli(args, { ...host, ...around } as CliHost))
  program
    .commandsGroup('Go on with a machine:')
    .command('restore')
    .description('Go on with a machine that was saved, by --save-on-exit or Ctrl-A s, with the options that it had')
    .argument('<file>', 'the snapshot')
    .argument('[options...]', 'further options, such as --timeout 60; they come last')
    .option(
      '--verify',
      'read all of it before the machine runs, and refuse it if it is damaged; done for a file of another host',
    )
    .option('--no-verify', 'check each part when the machine needs it')
    .option('--force', 'go on though a disk has changed since the machine was saved')
    .option('--set-clock', 'have the guest set its clock: it is asked to sleep (S3), and woken at once')
    .option('--host-loopback', "let the guest of another host's file reach servers at this host's 127.0.0.1")
    .allowUnknownOption()
    .addHelpText('after', RESTORE_HELP)
    .action(async (file: string, more: readonly string[], flags: RestoreFlags) => {
      const saved = await readSavedRun(file)
      if (flags.force !== true) refuseChangedDisks(saved.disks ?? [])
      const isForeign = saved.host !== hostDigest()
      // The command opens the files, folders and networks that its command line names.
      const was = plainLine(`${saved.savedAt}, with: retrap ${saved.arguments.join(' ')}`)
      host.stderr.write(`retrap: going on, as it was ${was}\n`)
      if (saved.isPaused === true) host.stderr.write('retrap: it was paused then, and is until cont of the monitor\n')
      const code = await goOn([...saved.arguments, ...more], {
        snapshot: {
          path: file,
          verify: flags.verify ?? isForeign,
          closesLoopback: isForeign && flags.hostLoopback !== true,
          setsClock: flags.setClock === true,
          wasPaused: saved.isPaused,
          isToPause: more.includes('--paused'),
        },
      })
      if (code !== ExitCode.PowerOff) report(code)
    })
  program
    .command('replay')
    .description('Run what --record has recorded again, with the options that it had')
    .argument('<file>', 'the recording, or the folder of a failing test')
    .argument('[options...]', 'further options, such as --jit off; they come last')
    .option(
      '--goto <place>',
      'stop there: at an instruction by its number, a mark, begin or end, or a time such as 1500ns, before the turn that it is in; on a terminal, goto after Ctrl-A c goes on (default: the end)',
    )
    .option(
      '--who-wrote <place>',
      'say who wrote a place in memory last: an address, ADDRESS@p, or a name of Linux; "PLACE 8": any of 8 bytes',
    )
    .option('--go-live', 'go on from there as a machine that is not recorded')
    .allowUnknownOption()
    .addHelpText('after', REPLAY_HELP)
    .action(async (given: string, more: readonly string[], flags: ReplayFlags) => {
      const file = await recordingIn(given)
      const { replayOf } = await import('./machine/recording/bundled-run.ts')
      const { arguments: own, machine } = await replayOf(file, host, flags.goLive === true)
      const code = await goOn([...own, ...more], { replay: file, ...flags, machine })
      if (code !== ExitCode.PowerOff) report(code)
    })
  addMigrate(program)
  program.commandsGroup('Tools:')
  addImage(program, host.stdout, report)
  addLayers(program, host.stdout)
  addKernels(program, host.stdout, host.stderr)
  addDeviceServer(program, host)
  addDeviceCheck(program, host.stdout, report)
  addDeviceSdk(program, host.stdout)
  addTest(program, host, report)
  const outputs = { stdout: plainOutput(host.stdout), stderr: host.stderr }
  addCrashTest(program, outputs, report)
  addCluster(program, outputs, report, (args) => runCli(args, host))
  addMcp(program, host, packageVersion)
  addDap(program, host, (args, around) => runCli(args, { ...host, ...around } as CliHost))
  addDisasm(program, host.stdout, host.stderr, process.env)
  addWalk(program, host.stdout)
  addEsr(program, host.stdout)
  addP2m(program, { ...host, images: (flags) => mapImages(flags, host) })
  return program
}

/** Loads the images for `retrap p2m`. */
async function mapImages(flags: MapImageFlags, host: CliHost): Promise<MachineImages> {
  if (flags.debian === true) {
    if ((flags.kernel ?? flags.firmware) !== undefined) throw usage('--debian brings a kernel of its own')
    const isArm = flags.arch === 'arm64'
    return (await linuxImages(isArm ? flags : { ...flags, package: DEBIAN_KERNEL })).images()
  }
  const named = [flags.kernel, flags.initrd, flags.module, flags.append, flags.firmware]
  if (flags.arch === 'arm64' && (flags.kernel ?? flags.firmware) === undefined) {
    throw usage('nothing to load; give --kernel, --firmware or --debian for --arch arm64')
  }
  if (named.every((flag) => flag === undefined)) return { firmware: await host.embeddedGuest() }
  checkImages(flags)
  return readImages(flags)
}
