/** Makes the machines of a cluster. */
import { readFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import v8 from 'node:v8'
import {
  ClusterError,
  type ClusterGuest,
  type ClusterHost,
  Disk,
  type GuestListener,
  groupOf,
  hasProgram,
  MAIN_PROGRAM,
  type MachineStart,
  type PlacedMachine,
} from '@retrap/cluster'
import { USUAL_RELEASE } from '@retrap/debian'
import { CliError, attempt } from '@retrap/linux-guest/errors'
import { REPORT_FOLDER, REPORT_PATH } from '@retrap/linux-guest/linux/exec-initramfs'
import { type GuestParts, type MachineSettings, makeGuest } from '../../jobs/cluster-guest.ts'
import { ExecError } from '@retrap/linux-guest/jobs/errors'
import { GuestOriginals } from '../../jobs/guest-originals.ts'
import { openFolderRoot, openHostRoot } from '@retrap/linux-guest/jobs/host-root'
import { openImageRoot, type ExecRoot } from '@retrap/linux-guest/jobs/root'
import { filesOf, type GuestFolder, guestMounts, guestShares } from '@retrap/linux-guest/jobs/kept-machine'
import { keepKind, openFolder, pathOfKept } from '@retrap/linux-guest/jobs/kept-machine'
import { type LinuxRoom, LinuxSystem } from '../../jobs/linux-guest.ts'
import { hostnameOf, makesDirectory, memoryFolder, withoutLinks } from '../../jobs/linux-place.ts'
import type { GuestFiles } from '@retrap/linux-guest/jobs/lookup'
import { type ExecKind, keptKind, MOST_CONTAINERS, runBytes } from '@retrap/linux-guest/jobs/machine'
import { type ModuleShare, openModules } from '@retrap/linux-guest/jobs/module-share'
import { OwnSystem } from '../../jobs/own-guest.ts'
import { pathWithoutLinks, type Program, readProgram } from '@retrap/linux-guest/jobs/program'
import { MachineRecordings, type RecordedHow } from '../../jobs/recordings.ts'
import { stillShare } from '@retrap/linux-guest/jobs/view-share'
import { environmentUnits } from '@retrap/linux-guest/machine/unit-cache/unit-cache'
import { parseSharedFolder } from '../../options/container-options.ts'
import { packageVersion } from '../../package-version.ts'
import { type OpenTestMachine, openMachine, readMachine } from '../test/machine.ts'
import type { RecordingHost } from './recordings.ts'

/** The files of a machine, or of a container in it. */
interface Room {
  readonly root: ExecRoot
  readonly folders: readonly GuestFolder[]
  readonly files: GuestFiles
}

/** A machine's kind and files, and the kept machine that it begins as. */
interface Prepared {
  readonly kind: ExecKind
  readonly path: string
  /** The file stays open: others may remove it from the cache. */
  readonly held: FileHandle
  readonly modules: ModuleShare
  /** Of the machine and of the containers in it, in the order of their numbers. */
  readonly rooms: readonly Room[]
  /** Guests that start later are clones of these. */
  readonly originals: GuestOriginals
}

/** The environment that the SDKs of Antithesis look for, and programs that do without: these write to a file in the folder. */
const SDK_ENVIRONMENT = [`ANTITHESIS_SDK_LOCAL_OUTPUT=${REPORT_PATH}`, `ANTITHESIS_OUTPUT_DIR=${REPORT_FOLDER}`]

export interface HostParts {
  /** The file of the cluster's description. */
  readonly file: string
  readonly machines: readonly PlacedMachine[]
  readonly settings: MachineSettings
}

/** A host of Linux guests. */
export interface GuestsHost extends ClusterHost, RecordingHost {
  /** Gives the files back. */
  close(): Promise<void>
}

/** A host of Linux guests in this thread: their files are images, folders or this host's. */
export class LinuxHost implements GuestsHost {
  readonly #folder: string
  readonly #machines: readonly PlacedMachine[]
  readonly #settings: MachineSettings
  #recordings: MachineRecordings | undefined
  readonly #tell: (text: string) => void
  /** Compiled code: what one machine has compiled is there for the others. */
  readonly #units = environmentUnits()
  /** By what machines have in common: several of a kind have the same files. */
  readonly #prepared = new Map<string, Promise<Prepared>>()
  /** The files of machines of their own, one for each start. */
  readonly #opened: OpenTestMachine[] = []

  /**
   * @param parts - whose paths are relative to the folder of the description
   */
  constructor({ file, machines, settings }: HostParts, tell: (text: string) => void) {
    optimizeSooner()
    this.#settings = settings
    this.#folder = dirname(resolve(file))
    this.#machines = machines
    this.#tell = tell
  }

  async make(machine: PlacedMachine, start: MachineStart, listener: GuestListener): Promise<ClusterGuest> {
    const { seed, ns, named } = start
    const recording = start.recording === undefined ? undefined : this.#recordings?.of(start.recording)
    const parts: GuestParts = {
      machine,
      seed,
      ns,
      ...(named !== undefined && { named }),
      // This host has no disks of another kind.
      disk: start.disk as Disk | undefined,
      isCompiled: this.#settings.isCompiled,
      isForked: this.#settings.isForked && recording === undefined,
      units: this.#units,
      recording,
      originals: undefined,
    }
    if (machine.machine !== undefined) return makeGuest(parts, await this.#own(parts, machine.machine), listener)
    const { originals, rooms } = await of(machine.name, this.#prepare(machine))
    // The first guest of a machine has all of its memory for itself and its clones.
    const isClone = parts.isForked && ns > 0
    const placed = { ...parts, machine: await withoutLinks(machine, rooms[0]!.files), ...(isClone && { originals }) }
    return makeGuest(placed, await this.#linux(placed), listener)
  }

  async #linux(parts: GuestParts): Promise<LinuxSystem> {
    const { machine } = parts
    const { kind, path, modules, rooms } = await of(machine.name, this.#prepare(machine))
    const group = groupOf(this.#machines, machine)
    return new LinuxSystem({
      ...parts,
      path,
      kind,
      machines: this.#machines,
      commands: modules.commands,
      outside: { shares: sharesOf(rooms, modules), devices: undefined },
      rooms: await Promise.all(
        group.map(async (one, i) => this.#room(await withoutLinks(one, rooms[i]!.files), kind, rooms, i)),
      ),
    })
  }

  /** @param rooms - of the machine and its containers @param at - the place of this one among them */
  async #room(machine: PlacedMachine, kind: ExecKind, rooms: readonly Room[], at: number): Promise<LinuxRoom> {
    const { root, folders } = rooms[at]!
    const files = filesOf(root.share, folders, machine.files)
    const env = Object.entries(machine.env).map(([name, value]) => `${name}=${value}`)
    const readOf = (name: string, command: readonly string[]): Promise<Program> => {
      const { entrypoint = [] } = name === MAIN_PROGRAM ? machine : {}
      const config =
        entrypoint === 'image'
          ? root.config
          : {
              ...root.config,
              entrypoint: entrypoint === 'image-alone' ? root.config.entrypoint : entrypoint,
              command: [],
            }
      return readProgram(
        {
          arch: kind.arch,
          command,
          user: machine.user,
          workingDirectory: machine.workingDirectory ?? '',
          makesDirectory: makesDirectory(machine),
          env: [...SDK_ENVIRONMENT, ...env],
        },
        { ...config, hostname: hostnameOf(machine) },
        files,
      )
    }
    // A program that starts later is looked for now: nothing starts half.
    if (machine.after !== undefined && hasProgram(machine))
      await of(machine.name, readOf(MAIN_PROGRAM, machine.command))
    const inMemory = await Promise.all(machine.tmpfs?.map((text) => memoryFolder(text, files)) ?? [])
    const before = rooms.slice(0, at).reduce((sum, room) => sum + room.folders.length, 0)
    const shares = guestMounts(folders, before).map(async (one) => ({
      ...one,
      path: await pathWithoutLinks(one.path, files),
    }))
    return {
      machine,
      root: stillShare(root.share),
      mounts: [...(await Promise.all(shares)), ...inMemory],
      read: (name, words) => of(machine.name, readOf(name, words)),
    }
  }

  async #own(parts: GuestParts, file: string): Promise<OwnSystem> {
    const { machine } = parts
    const opened = await of(machine.name, openOwnMachine(resolve(this.#folder, file), machine, this.#tell))
    this.#opened.push(opened)
    return new OwnSystem(parts, opened)
  }

  record(how: RecordedHow): void {
    this.#recordings = new MachineRecordings(how)
  }

  async recorded(): Promise<string | undefined> {
    const recordings = this.#recordings
    this.#recordings = undefined
    return recordings?.ended()
  }

  /** Gives the files back. */
  async close(): Promise<void> {
    this.#units?.close()
    await Promise.all(this.#opened.map((one) => one.close()))
    const all = await Promise.allSettled(this.#prepared.values())
    for (const one of all) if (one.status === 'fulfilled') one.value.originals.close()
    await Promise.all(
      all.flatMap((one) =>
        one.status === 'rejected'
          ? []
          : [
              one.value.held.close(),
              one.value.modules.close(),
              ...one.value.rooms.flatMap(({ root, folders }) => [
                root.close(),
                ...folders.map(({ local }) => local.close()),
              ]),
            ],
      ),
    )
  }

  #prepare(machine: PlacedMachine): Promise<Prepared> {
    const { arch, memory, cpus, disk, modules } = machine
    const rooms = groupOf(this.#machines, machine).map(({ image, root, share }) => [image, root, share])
    const key = JSON.stringify([arch, memory, cpus, disk?.size, modules, rooms])
    const known = this.#prepared.get(key) ?? this.#open(machine)
    this.#prepared.set(key, known)
    return known
  }

  async #open(machine: PlacedMachine): Promise<Prepared> {
    const { name, memory, cpus, disk } = machine
    const wrong = (why: string): ClusterError => new ClusterError('ERR_CLUSTER', `machine ${name}: ${why}`)
    const group = groupOf(this.#machines, machine)
    const containers = group.length - 1
    if (containers > MOST_CONTAINERS)
      throw wrong(`${containers} others are inside it: expected ${MOST_CONTAINERS} at most`)
    const drivers = [...machine.modules, ...(containers > 0 ? ['macvlan'] : [])]
    const arch = machine.arch === 'arm64' ? 'arm64' : 'amd64'
    const kind: ExecKind = {
      arch,
      cpu: undefined,
      debian: USUAL_RELEASE,
      memoryBytes: memory,
      cpus,
      kernel: undefined,
      devices: [],
      clock: 'deterministic',
      ...(disk !== undefined && { diskBytes: disk.size }),
      ...(containers > 0 && { containers }),
      ...(drivers.length > 0 && { drivers: drivers.map((one) => one.replaceAll('-', '_')) }),
    }
    const kept = keptKind(kind)
    const rooms = await Promise.all(group.map((one) => of(one.name, this.#openRoom(one, arch))))
    const modules = await openModules(kept, [], this.#tell)
    const unknown = drivers.find((one) => !modules.has(one))
    if (unknown !== undefined) throw wrong(`modules: its kernel has no module ${unknown}`)
    const path = pathOfKept(kept, packageVersion(), true)
    const outside = {
      shares: sharesOf(rooms, modules),
      network: undefined,
      devices: undefined,
      disk: disk && new Disk(disk.size, 0, name),
    }
    await keepKind(path, kept, outside, this.#tell)
    const held = await open(path)
    return {
      kind,
      path: process.platform === 'win32' ? path : `/dev/fd/${held.fd}`,
      held,
      modules,
      rooms,
      originals: new GuestOriginals(runBytes(kind)),
    }
  }

  async #openRoom({ name, image, root: folder, share }: PlacedMachine, arch: 'amd64' | 'arm64'): Promise<Room> {
    const root = await (image === undefined
      ? folder === undefined
        ? openHostRoot()
        : openFolderRoot(resolve(this.#folder, folder))
      : openImageRoot(resolve(this.#folder, image), arch))
    const folders = share.map((text) => {
      const plain = text.replace(/:copy$/, '')
      const shared = parseSharedFolder(resolveShare(this.#folder, plain))
      const why = `machine ${name}: share '${text}': a cluster only reads folders of the host; expected :copy`
      if (!shared.readOnly) throw new ClusterError('ERR_CLUSTER', why)
      const opened = openFolder(shared.path)
      const how = opened.file !== undefined ? ('file' as const) : plain === text ? undefined : ('copy' as const)
      return { ...shared, ...opened, how }
    })
    return { root, folders, files: filesOf(root.share, folders) }
  }
}

/**
 * Has V8 optimize compiled code of guests when a 13th of the usual bytes of it were executed. Branches are short: with the usual budget
 * much of their code stays as V8's quick compiler makes it. Measured with imports of Python, branch after branch: a quarter less processor
 * time; with a tenth of this budget it is a seventh.
 */
function optimizeSooner(): void {
  try {
    v8.setFlagsFromString('--wasm-tiering-budget=1000000')
  } catch {
    // Engines other than V8 have a way of their own.
  }
}

/** The shares of a guest, with the folders of its containers. */
function sharesOf(rooms: readonly Room[], modules: ModuleShare): ReturnType<typeof guestShares> {
  const folders = rooms.flatMap((room) => room.folders)
  return guestShares(rooms[0]!.root.share, modules.share, folders, stillShare)
}

/** Does something for a machine, which trouble with files then names. */
async function of<T>(name: string, done: Promise<T>): Promise<T> {
  try {
    return await done
  } catch (error) {
    const isOurs = error instanceof ExecError || error instanceof CliError
    throw isOurs ? new ClusterError('ERR_CLUSTER', `machine ${name}: ${error.message}`, { cause: error }) : error
  }
}

/** A share whose folder is relative to the description's. */
const resolveShare = (folder: string, text: string): string => (text.startsWith('/') ? text : `${folder}/${text}`)

/** Options of a machine's file that are the cluster's, and what has their place there. */
const OF_CLUSTER: Readonly<Record<string, string>> = {
  ...{ arch: "the cluster's file has it", cpus: "the cluster's file has it", memory: "the cluster's file has it" },
  ...{ nic: 'its network is that of the cluster', netdev: 'its network is that of the cluster' },
}

/** Opens the files of a machine. @param tell - is told a notice @throws CliError `ERR_INPUT`, ClusterError `ERR_CLUSTER` that names the machine */
async function openOwnMachine(
  path: string,
  machine: PlacedMachine,
  tell: (text: string) => void,
): Promise<OpenTestMachine> {
  const { name, arch, cpus, memory, disk } = machine
  const wrong = (why: string): ClusterError => new ClusterError('ERR_CLUSTER', `machine ${name}: ${why}`)
  const described = contentsOf(path)
  const other = Object.keys(described).find((key) => key in OF_CLUSTER)
  if (other !== undefined) throw wrong(`${path}: ${other}: ${OF_CLUSTER[other]}; leave it out`)
  const own = { arch: arch === 'arm64' ? 'arm64' : 'amd64', cpus, memory: `${Math.ceil(memory / 2 ** 20)}M` }
  const opened = await openMachine(readMachine(path, '', { ...described, ...own }), {
    stderr: { write: (line) => tell(String(line).replaceAll(/^retrap: |\n$/g, '')), on: () => undefined },
    isReplay: false,
  })
  const { drives = [] } = opened.machine
  const bytes = drives[0]?.medium?.properties.bytes ?? 0
  const why =
    drives.length > 1
      ? 'it has several disks, and a machine of a cluster has one'
      : drives.length === 1 && disk === undefined
        ? 'it has a disk image: expected `disk`, the size of the disk that the image is put on'
        : drives.length === 0 && disk !== undefined
          ? 'it has `disk`, and its file names no disk image'
          : bytes > (disk?.size ?? 0)
            ? `its disk image has ${bytes} bytes, which are more than those of \`disk\``
            : undefined
  if (why === undefined) return opened
  await opened.close()
  throw wrong(why)
}

/** The file of `retrap run` that describes a machine. */
const contentsOf = (path: string): Readonly<Record<string, unknown>> =>
  attempt(path, () => JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>)
