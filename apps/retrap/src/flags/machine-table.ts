/** The table of a machine's options, and the commands that take them. */
import type { Command } from 'commander'
import { ARM_BOARDS, parseDeviceNode } from './arm-options.ts'
import { parseCpu } from './cpu-option.ts'
import { IDENTITY_OPTIONS } from './identity-options.ts'
import { IMAGE_OPTIONS } from './images.ts'
import { DEVICE_OPTION } from '../machine/devices/devices.ts'
import { readDeviceServer } from '../machine/devices/device-servers.ts'
import { SOUND_OPTION } from '../machine/devices/sound.ts'
import { DISPLAY_OPTIONS } from '../machine/display/display-option.ts'
import { DRIVE_OPTIONS } from '../machine/drives/drives.ts'
import { parseGdb } from '../machine/gdb/session-gdb.ts'
import { parseMigrationAddress } from '../machine/migration/socket-channel.ts'
import { MONITOR_OPTIONS } from '../machine/monitor/monitor-sockets.ts'
import { NETWORK_OPTIONS } from '../machine/network/networks.ts'
import { VSOCK_OPTION } from '../machine/network/vsock-option.ts'
import { addOptions, LEAVE_OUT, type OptionGroup, type OptionRow } from '../options/option-table.ts'
import { CPU_COUNT, MEMORY_SIZE, parseMemory, secondsOf, secondsOrOff } from '../options/values.ts'
import { SERIAL_OPTIONS } from '../machine/serial/serial-options.ts'
import { SHARE_OPTIONS } from '../machine/share/share-options.ts'
import { TRACE_OPTIONS } from '../machine/trace/trace-option.ts'
import { parseSmp } from '@retrap/linux-guest/machine/vcpu-workers'

const ARCH: OptionGroup = [
  'Machine:',
  [{ flags: '--arch <name>', help: 'architecture of the machine', choices: ['amd64', 'arm64'], default: ['amd64'] }],
]

const BOARD: readonly OptionRow[] = [
  {
    flags: '--cpu <model>',
    help: 'processor: a model, and features to add or remove, such as core2,-sse4_1; --cpu help lists them (default: max)',
    parse: parseCpu,
    pcOnly: 'leave it out: there is one processor, with all of Armv8.4-A that Linux uses',
  },
  { flags: '--cpus <count>', help: 'virtual CPUs', ...CPU_COUNT, default: [1] },
  {
    flags: '--smp <how>',
    help: 'how several virtual CPUs execute: threads, one each, or turns (default: threads, on x86 hosts with several processors and in real time)',
    parse: parseSmp,
    pcOnly: 'leave it out: they take turns',
  },
  {
    flags: '--machine <name>',
    help: 'board: pc (i440FX, PIIX3), or q35 (ICH9, PCI Express); with smm=on it has system-management mode; virt for arm64, with gic-version=2 for an interrupt controller of at most 8 CPUs',
    choices: ['pc', 'q35', 'pc,smm=on', 'q35,smm=on', 'pc,smm=off', 'q35,smm=off', ...ARM_BOARDS],
    default: ['pc'],
  },
  {
    flags: '--hypervisor <name>',
    help: 'what the guest sees itself run on',
    choices: ['none', 'xen'],
    default: ['none'],
  },
  {
    flags: '--jit <switch>',
    help: 'compile hot guest code to WebAssembly; inline: on the thread that executes it',
    choices: ['on', 'inline', 'off'],
    default: ['on'],
  },
  {
    flags: '--unit-cache <where>',
    help: 'folder where compiled code is kept for later runs, or off; default: units in the cache folder',
    env: 'RETRAP_UNIT_CACHE',
  },
]

const DEVICES: OptionGroup = [
  'Devices:',
  [
    DEVICE_OPTION,
    {
      flags: '--device-node <properties>',
      help: "tell a device of your own in an Arm board's device tree: compatible=NAME,reg=FIRST-LAST,spi=NUMBER (repeatable)",
      each: parseDeviceNode,
    },
    {
      flags: '--device-server <address>',
      help: 'devices of another host, which runs retrap device-server: tls://HOST:PORT?cert=FILE&key=FILE&ca=FILE, or nats://HOST:PORT/NAME?… to find it (repeatable)',
      each: readDeviceServer,
      pcOnly: LEAVE_OUT,
    },
    {
      flags: '--devices <how>',
      help: "where the board's devices run: at once, each access in a later turn, in a Worker",
      choices: ['inline', 'async', 'worker'],
      default: ['inline'],
    },
    {
      flags: '--controllers <how>',
      help: 'where controllers of disks and network cards run: here, or in a Worker',
      choices: ['inline', 'worker'],
      default: ['inline'],
    },
    {
      flags: '--device-failure <policy>',
      help: 'a device that breaks its contract ends the machine, or is taken out',
      choices: ['crash', 'detach'],
      default: ['crash'],
    },
    {
      flags: '--device-deadline <time>',
      help: 'a device that answers later than this has failed, or off (default: off; 30 with --deterministic)',
      ...secondsOrOff('--device-deadline'),
    },
  ],
]

const CONSOLE: OptionRow = {
  flags: '--console <which>',
  help: 'where keys go: the serial port, or the console that Xen gives its guests',
  choices: ['serial', 'xen'],
  default: ['serial'],
}

const RUN: OptionGroup = [
  'The run:',
  [
    {
      flags: '--timeout <time>',
      help: 'end after this time, with exit code 124; a machine that has arrived (--incoming) has it anew',
      ...secondsOf('--timeout'),
    },
    { flags: '--no-reboot', help: 'end when the guest resets its machine, with exit code 0' },
    {
      flags: '--triple-fault <what>',
      help: 'what a triple fault does: end the run with the registers, or reset the machine, as on a PC',
      choices: ['end', 'reset'],
      default: ['end'],
      pcOnly: 'an Arm processor has no triple faults',
    },
    { flags: '--deterministic', help: 'derive time from instructions, so that runs agree' },
    {
      flags: '--pace <switch>',
      help: 'with --deterministic and --record: a guest that waits for a timer waits as long for the host (default: on at a terminal, and for --record with a network)',
      choices: ['on', 'off'],
    },
    { flags: '--save-on-exit <file>', help: 'save the machine when you end the run, for retrap restore FILE' },
    {
      flags: '--record <file>',
      help: 'record the run, for retrap replay FILE; time is derived from instructions',
    },
    {
      flags: '--record-checkpoints <switch>',
      help: 'keep checkpoints in the recording, by which a replay opens at its end',
      choices: ['on', 'off'],
      default: ['on'],
    },
    {
      flags: '--record-bundle',
      help: 'put kernel, firmware and options into the recording, so that a page opens it; it holds what is in the guest’s memory, too',
    },
    {
      flags: '--record-images <where>',
      help: 'with --record-bundle: put images inside, or name them by SHA-256 and path, which a replay checks',
      choices: ['inside', 'named'],
      default: ['inside'],
    },
    {
      flags: '--replay <file>',
      help: 'run what was recorded again; retrap replay FILE has its options from the recording',
    },
    {
      flags: '--control <path>',
      help: 'take commands of the monitor by a Unix socket: retrap migrate PATH',
    },
    ...MONITOR_OPTIONS,
    { flags: '--pidfile <file>', help: 'write the number of the process there, until it ends' },
    { flags: '--daemonize', help: 'end when the machine is there, which runs on in the background' },
  ],
]

const INCOMING: OptionGroup = [
  'The run:',
  [
    {
      flags: '--incoming <address>',
      help: 'go on with a machine of the same options that retrap migrate sends: unix:PATH, or tcp:HOST:PORT,secret=FILE',
      parse: (text) => parseMigrationAddress('--incoming', text),
    },
  ],
]

const INSIDE: OptionGroup = [
  'What happens inside:',
  [
    {
      flags: '--gdb <where>',
      help: 'let gdb attach: tcp:[HOST:]PORT[,wait][,arch=i386]; wait: the machine does not start before (default host: 127.0.0.1)',
      parse: parseGdb,
    },
    {
      flags: '--stats <form>',
      help: 'print what the run cost, and what compiled code did, to stderr',
      choices: ['json', 'text'],
    },
    {
      flags: '--jit-dump <folder>',
      help: 'write the WebAssembly of compiled code as text, with each guest instruction before what it became',
    },
    {
      flags: '--profile <file>',
      help: "write where the guest spends its time, a sample each ms, as a .cpuprofile for Chrome's DevTools or speedscope",
    },
    {
      flags: '--symbols <file>',
      help: 'with --profile: names of the functions of a program or library of the guest, an ELF file with symbols (repeatable)',
      each: (text) => text,
    },
    {
      flags: '--check-mappings',
      help: 'find devices that keep views of guest memory which they have released (slow)',
    },
    ...TRACE_OPTIONS,
  ],
]

const ROMS: OptionGroup = [
  'Devices:',
  [
    {
      flags: '--vapic',
      help: 'patch the task-priority accesses of 32-bit guests into calls of an option ROM',
      pcOnly: 'leave it out: there is no task-priority register',
    },
    {
      flags: '--option-rom <file>',
      help: "adapter's firmware, initialised as a BIOS would (repeatable); kvmvapic.bin patches as --vapic does",
      each: (text) => text,
      isFile: true,
      pcOnly: 'leave it out: UEFI firmware has drivers of its own',
    },
  ],
]

/**
 * Gives a command the options that every machine takes, in the groups that its help shows.
 *
 * @param memory - default of `--memory`
 */
export function machineOptions(command: Command, memory: string): Command {
  const size: OptionRow = {
    flags: '--memory <size>',
    help: 'guest RAM: 512M, 1G, 512MiB',
    ...MEMORY_SIZE,
    default: [parseMemory(memory), memory],
  }
  addOptions(
    command,
    ['Machine:', [size, ...BOARD, ...IDENTITY_OPTIONS]],
    DEVICES,
    ['Screen and sound:', [...DISPLAY_OPTIONS, SOUND_OPTION]],
    ['Serial ports and consoles:', [...SERIAL_OPTIONS, CONSOLE]],
    ['Networks and folders:', [...NETWORK_OPTIONS, ...SHARE_OPTIONS, VSOCK_OPTION]],
    RUN,
    INSIDE,
  )
  return command.allowExcessArguments(false)
}

/** Gives a command the options of a machine that boots Debian's kernel. */
export const linuxOptions = (command: Command): Command =>
  addOptions(machineOptions(addOptions(command, ARCH), '512M'), ROMS)

/** Adds the options of a machine with user-provided images to a command. */
export function systemOptions(command: Command): Command {
  machineOptions(addOptions(command, IMAGE_OPTIONS, DRIVE_OPTIONS, ARCH), '512M')
  return addOptions(command, ROMS, INCOMING).allowExcessArguments()
}
