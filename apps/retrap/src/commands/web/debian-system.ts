import { gzipSync } from 'node:zlib'
import { MemoryStorage, RawImage } from '@retrap/block'
import { touchedPages } from '@retrap/hvm'
import { writeSnapshot } from '@retrap/snapshot'
import { CliError } from '@retrap/linux-guest/errors'
import type {
  CreateMachine,
  Machine,
  MachineOptions,
  MachineSnapshot,
  MachineSnapshotSource,
} from '@retrap/linux-guest/machine/machine-contract'
import { readBytes } from '@retrap/linux-guest/host/files'
import type { LinuxArchitecture } from '@retrap/linux-guest/linux/debian'
import { writeExt2 } from '../../guests/linux/ext2.ts'
import { buildInitramfs, SHELL_PROMPT, WHERE_IS_THE_CURSOR } from '@retrap/linux-guest/linux/initramfs'
import { Hub } from '@retrap/network'
import type { DebianFiles, FetchedDebian } from './debian-files.ts'
import { listPackage, type SitePart } from './packages.ts'

/** A system on the start page, as in its list. */
export interface OfferedSystem {
  readonly title: string
  readonly description: string
  /** Size of the snapshot that the system starts from. */
  readonly bytes?: number
  /** Whether the page opens the system at once. */
  readonly opens?: boolean
  /** The server still boots the system. The page fetches the list again until it has booted. */
  readonly boots?: boolean
  /** The failure of a recorded run, for people. */
  readonly failure?: string | undefined
  /** Time of the recording. */
  readonly savedAt?: string | undefined
  /** Options of `createMachine` of `@retrap/web`; addresses are relative to the page. */
  readonly options: Readonly<Record<string, unknown>>
  /** Address of the run of a cluster, which is shown instead of a machine. */
  readonly cluster?: string
}

/** A system with its files, by their paths below the site. */
export interface MadeSystem {
  readonly system: OfferedSystem
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** The differences between the machines of architectures. */
interface Board {
  readonly console: string
  /** Options of the page's machine. */
  readonly page: Readonly<Record<string, unknown>>
  /** Arguments of the command line. */
  readonly arguments: readonly string[]
}

const BOARDS: Readonly<Record<LinuxArchitecture, Board>> = {
  amd64: { console: 'ttyS0', page: {}, arguments: [] },
  arm64: { console: 'ttyAMA0', page: { board: 'virt' }, arguments: ['--arch', 'arm64'] },
}

/** The real-time clocks in the states of the boards' machines. */
interface GivenClocks {
  readonly domain: {
    readonly devices: { readonly local: { readonly devices: { mc146818?: GivenClock; pl031?: GivenClock } } }
  }
}
interface GivenClock {
  /** The host's time when the state was saved. */
  wallSeconds: number
}

/** Path of the start page's list of systems. */
export const SYSTEMS_LIST = 'systems/systems.json'

const MEMORY_BYTES = 256 << 20
/** Room on the disk for the visitor's own files. */
const FREE_BYTES = 16 << 20
/** A text on the disk for curious visitors. */
const NOTE = `This disk is a file beside the page, and only the parts of it that are read come here.

    md5sum /mnt/vmlinuz

reads all of Debian's kernel. In Devices, make the contents of disks 300 ms slower, and watch
its requests; in Inspector see where the processor is meanwhile.
`
const MAC_ADDRESS = '52:54:00:12:34:56'
const FIRST_COMMAND = 'ls\n'
/** Guest time for timers that became due while the guest was a file. */
const CATCH_UP_MS = 4000
/** Characters of a guest's output in an error. */
const SHOWN = 400
/** Host time limit for the guest's prompt. */
const DEADLINE_MS = 600_000

const bytesOf = (macAddress: string): Uint8Array =>
  Uint8Array.from(macAddress.split(':'), (byte) => Number.parseInt(byte, 16))

/**
 * Boots Debian's kernel to its shell's prompt, and saves the machine: the site offers the snapshot.
 *
 * @throws CliError `ERR_INPUT` for a guest that comes to no prompt
 */
export async function makeDebianSystem(linux: DebianFiles, createMachine: CreateMachine): Promise<MadeSystem> {
  const { architecture } = linux
  const board = BOARDS[architecture]
  const folder = `systems/debian-${architecture}`
  const commandLine = `console=${board.console} quiet`
  const paths = [linux.kernelPath, linux.configPath, linux.busyboxPath]
  const [kernel, config, busybox] = (await Promise.all(paths.map(readBytes))) as [Uint8Array, Uint8Array, Uint8Array]
  const modules = await Promise.all(linux.modulePaths.map(readBytes))
  const initrd = buildInitramfs(busybox, modules, { isKept: true })
  const disk = diskOf(kernel, config)
  const given: SavedGuest = {
    ...{ architecture, kernel, initrd, commandLine },
    devices: (isFirst) => ({
      drives: [
        { id: 'disk0', interface: 'virtio', medium: new RawImage(new MemoryStorage(isFirst ? disk : disk.slice())) },
      ],
      // The page plugs the cable in.
      virtio: [{ kind: 'net', network: new Hub().port(), macAddress: bytesOf(MAC_ADDRESS) }],
    }),
    arguments: [
      ...board.arguments,
      '--nic',
      `user,mac=${MAC_ADDRESS}`,
      '--drive',
      'file=disk.img,if=virtio,media=disk,id=disk0',
    ],
    page: { ...board.page, network: { kind: 'none', macAddress: MAC_ADDRESS } },
  }
  const file = await snapshotAtShell(given, createMachine)
  const system: OfferedSystem = {
    title: `Debian ${architecture}`,
    description: `Debian's kernel ${linux.version} with busybox, at its prompt, with a disk and a network card.`,
    bytes: file.length,
    options: {
      ...board.page,
      snapshot: `${folder}/machine.snapshot`,
      kernel: `${folder}/vmlinuz.gz#gzip`,
      initrd: `${folder}/initrd.gz#gzip`,
      commandLine,
      drives: [{ source: `${folder}/disk.img`, interface: 'virtio' }],
      network: { kind: 'fetch' },
    },
  }
  return {
    system,
    files: new Map([
      [`${folder}/machine.snapshot`, file],
      [`${folder}/vmlinuz.gz`, gzipSync(kernel)],
      [`${folder}/initrd.gz`, gzipSync(initrd)],
      // The disk as of that instant: mounted by the guest.
      [`${folder}/disk.img`, disk],
    ]),
  }
}

/** Lists the packages of a system, with the texts and sources that their licences require. */
export async function listSystem({ files }: MadeSystem, linux: FetchedDebian): Promise<SitePart> {
  const { licenceTexts, kernel, busybox } = linux
  const parts = await Promise.all([
    listPackage(kernel, {
      purpose:
        'Linux, unmodified, also on the disk, and its modules in the initial RAM disk; the snapshot has the RAM of a machine ' +
        'that runs it.',
      files,
      licenceTexts,
    }),
    listPackage(busybox, {
      purpose: "The guest's shell and commands: busybox, unmodified, in the initial RAM disk and in the snapshot.",
      files: new Map([...files].filter(([path]) => !/\/(vmlinuz\.gz|disk\.img)$/.test(path))),
      licenceTexts,
    }),
  ])
  return {
    packages: parts.flatMap(({ packages }) => packages),
    files: new Map(parts.flatMap((part) => [...part.files])),
  }
}

/**
 * Makes the systems of the start page one by one. A system that fails is left out, with a message.
 *
 * @throws the first error, if no system can be made
 */
export async function makeSystems(
  architectures: readonly LinuxArchitecture[],
  make: (architecture: LinuxArchitecture) => Promise<MadeSystem>,
  tell: (text: string) => void,
): Promise<MadeSystem[]> {
  const made: MadeSystem[] = []
  const failures: { readonly architecture: LinuxArchitecture; readonly error: unknown }[] = []
  for (const architecture of architectures) {
    try {
      made.push(await make(architecture))
    } catch (error) {
      failures.push({ architecture, error })
    }
  }
  if (made.length === 0 && failures.length > 0) throw failures[0]!.error
  for (const { architecture, error } of failures)
    tell(`the start page has no Debian ${architecture}: ${error instanceof Error ? error.message : String(error)}`)
  return made
}

/** The list of systems for the start page, as one of its files. */
export const systemsList = (systems: readonly OfferedSystem[]): Uint8Array => Buffer.from(JSON.stringify(systems))

/** The disk's image: the kernel and its configuration as files, a note, and free room. */
function diskOf(kernel: Uint8Array, config: Uint8Array): Uint8Array {
  const files = new Map([
    ['README', new TextEncoder().encode(NOTE)],
    ['config', config],
    ['vmlinuz', kernel],
  ])
  const bytes = kernel.length + config.length + FREE_BYTES
  return writeExt2(files, Math.ceil(bytes / 2 ** 20) * 2 ** 20)
}

/** The state of a machine that was saved an hour earlier: most visitors' guests have that much to catch up. */
function anHourEarlier(state: MachineSnapshot['state']): MachineSnapshot['state'] {
  const earlier = structuredClone(state)
  const { devices } = (earlier as unknown as GivenClocks).domain.devices.local
  const clock = devices.mc146818 ?? devices.pl031
  if (clock !== undefined) clock.wallSeconds -= 3600
  return earlier
}

/** A guest of Linux, which is saved at its shell's prompt. */
export interface SavedGuest {
  readonly architecture: LinuxArchitecture
  readonly kernel: Uint8Array
  readonly initrd: Uint8Array
  readonly commandLine: string
  /** Returns new devices for each machine. Disks of the first one go with the snapshot. */
  readonly devices: (isFirst: boolean) => Partial<MachineOptions>
  /** Arguments of `retrap run` for the devices. */
  readonly arguments: readonly string[]
  /** Options of the page's machine, beside the command line. */
  readonly page: Readonly<Record<string, unknown>>
}

/**
 * Boots a guest to its shell's prompt.
 *
 * @returns its snapshot, as a file that a page goes on from
 * @throws CliError `ERR_INPUT` for a guest that comes to no prompt
 */
export async function snapshotAtShell(guest: SavedGuest, createMachine: CreateMachine): Promise<Uint8Array> {
  const { commandLine } = guest
  const { snapshot, printed } = await runToShell(guest, createMachine, {}, async (machine, text) => ({
    snapshot: await machine.save!(),
    printed: text,
  }))
  const pages = touchedPages(snapshot.pages)
  const later = { state: anHourEarlier(snapshot.state), pages } as MachineSnapshotSource
  await runToShell(guest, createMachine, { snapshot: later }, async () => {})
  const images = ['--memory', '256M', '--kernel', 'vmlinuz', '--initrd', 'initrd', '--append', commandLine]
  const description = {
    version: 1,
    arguments: ['run', ...images, ...guest.arguments],
    savedAt: new Date().toISOString(),
    page: { ...guest.page, commandLine },
  }
  const parts: Uint8Array[] = []
  // Pages replay the terminal's output, and first fetch the pages of RAM that the guest touches first.
  const state = { ...snapshot.state, console: new TextEncoder().encode(printed), first: pages.touched() }
  await writeSnapshot({ description, state, pages: snapshot.pages }, (bytes) => parts.push(bytes))
  return Buffer.concat(parts)
}

/** @param from.snapshot - a command is typed to its shell then */
async function runToShell<T>(
  { architecture, commandLine, kernel, initrd, devices }: SavedGuest,
  createMachine: CreateMachine,
  from: Pick<MachineOptions, 'snapshot'>,
  atPrompt: (machine: Machine, printed: string) => Promise<T>,
): Promise<T> {
  const isFirst = from.snapshot === undefined
  const machine = await createMachine({
    ...{ architecture, commandLine, ...from },
    // The machine gets copies, because it may free the memory.
    ...{ kernel: kernel.slice(), initrd: initrd.slice() },
    memoryBytes: MEMORY_BYTES,
    cpus: 1,
    generation: {},
    devices: [],
    ...devices(isFirst),
    deviceServers: [],
    clock: 'real',
    jit: true,
  })
  let typing: ReturnType<typeof setTimeout> | undefined
  try {
    let printed = ''
    const stop = new AbortController()
    machine.serialPorts[0]!.onTransmit((bytes) => {
      printed += Buffer.from(bytes).toString('latin1')
      if (SHELL_PROMPT.test(printed.replaceAll(WHERE_IS_THE_CURSOR, ''))) stop.abort()
    })
    if (!isFirst) typing = setTimeout(() => machine.serialPorts[0]!.receive(Buffer.from(FIRST_COMMAND)), CATCH_UP_MS)
    const { reason } = await machine.run({ signal: stop.signal, timeoutMs: DEADLINE_MS })
    if (reason !== 'stopped') {
      const end = JSON.stringify(printed.slice(-SHOWN))
      throw new CliError(
        'ERR_INPUT',
        `Debian has come to no prompt, and the machine has ended: ${reason}; it has printed ${end}`,
      )
    }
    return await atPrompt(machine, printed)
  } finally {
    clearTimeout(typing)
    machine.close?.()
  }
}
