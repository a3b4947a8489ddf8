/** `retrap p2m`. */
import { type Command, Option } from 'commander'
import type { CreateMachine, Machine, MachineImages } from '@retrap/linux-guest/machine/machine-contract'
import { type ListingOutput, printLines } from '../../print-lines.ts'
import { each, parseAddress, parseMemory, parseModule, parseSeconds, usage } from '../../options/values.ts'
import type { ImageFlags } from '../../flags/images.ts'
import { listMap } from '../../machine/listing.ts'

/** The machine that the map is of. */
export interface MapImageFlags extends Pick<
  ImageFlags,
  'kernel' | 'initrd' | 'module' | 'append' | 'firmware' | 'arch'
> {
  readonly debian?: boolean
}

interface P2mFlags extends MapImageFlags {
  readonly memory: number
  readonly hypervisor: 'none' | 'xen'
  readonly after?: number
  readonly leaves?: boolean
  readonly start?: bigint
  readonly stop?: bigint
}

/** The part of machine-running commands that the command takes. */
export interface MapHost {
  readonly stdout: ListingOutput
  readonly createMachine: CreateMachine
  /** Reads the images to load; the embedded guest by default. */
  images(flags: MapImageFlags): Promise<MachineImages>
}

/** Guest-physical addresses of a map have 48 bits. */
const MAX_GPA = 1n << 48n

const EXAMPLES = `
A line is a run of guest frames of one type, in consecutive machine frames, and the leaves that it is made of; what no
line names is a hole (mmio_dm, or invalid for arm64), where device models answer. Types are Xen's; w is missing where
writes are logged or discarded.

Examples:
  retrap p2m --memory 3G
  retrap p2m --kernel bzImage --initrd initrd.img --start 0x100000
  retrap p2m --firmware bios.bin --after 2 --leaves
  retrap p2m --debian --after 10
  retrap p2m --arch arm64 --debian --after 10`

export function addP2m(program: Command, host: MapHost): void {
  program
    .command('p2m')
    .description("Show a machine's map of guest frames to machine frames: ranges, types, rights and leaves")
    .addOption(new Option('--arch <name>', 'architecture of the machine').choices(['amd64', 'arm64']).default('amd64'))
    .addOption(new Option('--memory <size>', 'guest RAM').argParser(parseMemory).default(parseMemory('512M'), '512M'))
    .addOption(
      new Option('--hypervisor <name>', 'what the guest sees itself run on').choices(['none', 'xen']).default('none'),
    )
    .option('--kernel <file>', 'load a kernel, as run does')
    .option('--initrd <file>', "the kernel's initial RAM disk")
    .option(
      '--module <file text>',
      'further file for a multiboot or PVH kernel, and a text for it (repeatable)',
      each(parseModule),
    )
    .option('--append <text>', "the kernel's command line")
    .option('--firmware <file>', 'load a firmware image')
    .option('--debian', "load Debian's kernel, as linux does")
    .option('--after <time>', 'run the machine for so long first', parseSeconds('--after'))
    .option('--leaves', 'a line for every leaf')
    .option('--start <address>', 'from this guest-physical address on', parseAddress('--start'))
    .option('--stop <address>', 'before this address', parseAddress('--stop'))
    .addHelpText('after', EXAMPLES)
    .action(async (flags: P2mFlags) => {
      const { start = 0n, stop = MAX_GPA, memory, after, hypervisor } = flags
      if (start >= stop || start >= MAX_GPA)
        throw usage('there is nothing to show: give a --start below --stop, and below 0x1000000000000')
      const { arch: architecture = 'amd64' } = flags
      const machine = await host.createMachine({
        architecture,
        memoryBytes: memory,
        cpus: 1,
        clock: 'real',
        devices: [],
        deviceServers: [],
        ...(hypervisor === 'xen' && { hypervisor }),
        ...(await host.images(flags)),
      })
      try {
        if (after !== undefined) await runFor(machine, after)
        const range = { first: Number(start / 4096n), end: Number(((stop < MAX_GPA ? stop : MAX_GPA) + 4095n) / 4096n) }
        await printLines(listMap(machine.domain.p2m, range, flags.leaves === true), host.stdout)
      } finally {
        machine.close?.()
      }
    })
}

/** Runs a machine without a terminal. If its guest ends earlier, the last map is shown. */
async function runFor(machine: Machine, ms: number): Promise<void> {
  machine.serialPorts[0]?.onTransmit(() => {})
  await machine.run({ timeoutMs: ms })
}
