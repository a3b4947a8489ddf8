/** Makes the machines of a cluster. */
import { realpathSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import v8 from 'node:v8'
import {
  ClusterError,
  type ClusterGuest,
  type ClusterHost,
  Disk,
  type GuestListener,
  type MachineStart,
  type PlacedMachine,
} from '@retrap/cluster'
import { UnitCache } from '../../machine/unit-cache/unit-cache.ts'
import { CliError } from '../../errors.ts'
import { packageVersion } from '../../package-version.ts'
import { foldersTag, KERNEL_TAG, REPORT_FOLDER, REPORT_PATH } from '../../guests/linux/exec-initramfs.ts'
import { LocalShare } from '../../machine/share/local-share.ts'
import { ExecError } from '../exec/errors.ts'
import { openRoot } from '../exec/command.ts'
import { parseSharedFolder } from '../exec/given.ts'
import { openImageRoot } from '../exec/image-root.ts'
import { GuestFiles } from '../exec/lookup.ts'
import { type ExecKind, folderName, keptKind } from '../exec/machine.ts'
import { type ModuleShare, openModules } from '../exec/module-share.ts'
import { readProgram } from '../exec/program.ts'
import type { ExecRoot } from '../exec/root.ts'
import { foldersShare, keepKind, pathOfKept } from '../exec/kept-machine.ts'
import { type ClusterGuestParts, type MachineWays, makeClusterGuest } from './cluster-guest.ts'
import type { OpenTestMachine } from '../test/machine.ts'
import { makeOwnGuest, openOwnMachine } from './own-guest.ts'
import { MachineRecordings, type RecordedHow, type RecordingHost } from './recordings.ts'
import { stillShare } from './still-share.ts'

/** A machine's kind and files, and the kept machine that it begins as. */
interface Prepared {
  readonly kind: ExecKind
  readonly path: string
  /** The file stays open: others may remove it from the cache. */
  readonly held: FileHandle
  readonly root: ExecRoot
  readonly modules: ModuleShare
  readonly folders: readonly {
    readonly path: string
    readonly at: string
    readonly local: LocalShare
    readonly readOnly: boolean
  }[]
  readonly files: GuestFiles
}

/** The environment that the SDKs of Antithesis look for, and programs that do without: these write to a file in the folder. */
const SDK_ENVIRONMENT = [`ANTITHESIS_SDK_LOCAL_OUTPUT=${REPORT_PATH}`, `ANTITHESIS_OUTPUT_DIR=${REPORT_FOLDER}`]

/** The parts of a host. */
export interface HostParts {
  /** The file of the cluster's description. */
  readonly file: string
  readonly machines: readonly PlacedMachine[]
  readonly ways: MachineWays
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
  readonly #ways: MachineWays
  #recordings: MachineRecordings | undefined
  readonly #tell: (text: string) => void
  /** Compiled code: what one machine has compiled is there for the others. */
  readonly #units = new UnitCache(undefined, () => {})
  /** By what machines have in common: several of a kind have the same files. */
  readonly #prepared = new Map<string, Promise<Prepared>>()
  /** The files of machines of their own, one for each start. */
  readonly #opened: OpenTestMachine[] = []

  /**
   * @param parts - whose paths are relative to the folder of the description
   */
  constructor({ file, machines, ways }: HostParts, tell: (text: string) => void) {
    optimizeSooner()
    this.#ways = ways
    this.#folder = dirname(resolve(file))
    this.#machines = machines
    this.#tell = tell
  }

  async make(machine: PlacedMachine, start: MachineStart, listener: GuestListener): Promise<ClusterGuest> {
    if (machine.machine !== undefined) return this.#makeOwn(machine, machine.machine, start, listener)
    const { kind, path, root, modules, folders, files } = await of(machine.name, this.#prepare(machine))
    const isForked = this.#ways.isForked && start.recording === undefined
    const parts: ClusterGuestParts = {
      ...{ path, kind, machine, machines: this.#machines, ...start, commands: modules.commands },
      // This host has no disks of another kind.
      disk: start.disk as Disk | undefined,
      ...this.#ways,
      isForked,
      units: this.#units,
      recording: start.recording === undefined ? undefined : this.#recordings?.of(start.recording),
      outside: { shares: sharesOf(root, modules, folders), devices: undefined },
      mounts: folders.map(({ path: source, at, readOnly }, i) => ({
        ...{ path: at, readOnly, name: folderName(i) },
        ...(at === source && { realPath: realpathSync(source) }),
      })),
      read: (words) =>
        of(
          machine.name,
          readProgram(
            {
              ...{ arch: kind.arch, command: words, user: machine.user, workingDirectory: '', hasTerminal: false },
              env: [...SDK_ENVIRONMENT, ...Object.entries(machine.env).map(([name, value]) => `${name}=${value}`)],
            },
            { ...root.config, entrypoint: [], command: [], hostname: machine.name },
            files,
          ),
        ),
    }
    return makeClusterGuest(parts, listener)
  }

  async #makeOwn(machine: PlacedMachine, file: string, start: MachineStart, listener: GuestListener) {
    const opened = await of(machine.name, openOwnMachine(resolve(this.#folder, file), machine, this.#tell))
    this.#opened.push(opened)
    const recording = start.recording === undefined ? undefined : this.#recordings?.of(start.recording)
    const isForked = this.#ways.isForked && start.recording === undefined
    const ways = { ...this.#ways, isForked, units: this.#units }
    const disk = start.disk as Disk | undefined
    return makeOwnGuest({ ...start, ...ways, ...{ machine, opened, recording, disk } }, listener)
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
    this.#units.close()
    await Promise.all(this.#opened.map((one) => one.close()))
    const all = await Promise.allSettled(this.#prepared.values())
    await Promise.all(
      all.flatMap((one) =>
        one.status === 'rejected'
          ? []
          : [
              one.value.held.close(),
              one.value.root.close(),
              one.value.modules.close(),
              ...one.value.folders.map(({ local }) => local.close()),
            ],
      ),
    )
  }

  #prepare(machine: PlacedMachine): Promise<Prepared> {
    const { arch, image, root, share, memory, cpus, disk, modules } = machine
    const key = JSON.stringify([arch, image, root, share, memory, cpus, disk?.size, modules])
    const known = this.#prepared.get(key) ?? this.#open(machine)
    this.#prepared.set(key, known)
    return known
  }

  async #open(machine: PlacedMachine): Promise<Prepared> {
    const { name, image, root: folder, share, memory, cpus, disk, modules: drivers } = machine
    const wrong = (why: string): ClusterError => new ClusterError('ERR_CLUSTER', `machine ${name}: ${why}`)
    const arch = machine.arch === 'arm64' ? 'arm64' : 'amd64'
    const kind: ExecKind = {
      ...{ arch, cpu: undefined, debian: arch, memoryBytes: memory, cpus, kernel: undefined, devices: [] },
      clock: 'deterministic',
      ...(disk !== undefined && { diskBytes: disk.size }),
      ...(drivers.length > 0 && { drivers: drivers.map((one) => one.replaceAll('-', '_')) }),
    }
    const kept = keptKind(kind)
    const root = await (image === undefined
      ? openRoot(folder === undefined ? 'host' : resolve(this.#folder, folder))
      : openImageRoot(resolve(this.#folder, image), arch))
    const folders = share.map((text) => {
      const shared = parseSharedFolder(resolveShare(this.#folder, text))
      if (!shared.readOnly) throw wrong(`share '${text}': a cluster only reads folders of the host`)
      return { ...shared, local: new LocalShare(shared.path) }
    })
    const modules = await openModules(kept, [], this.#tell)
    const unknown = drivers.find((one) => !modules.has(one))
    if (unknown !== undefined) throw wrong(`modules: its kernel has no module ${unknown}`)
    const path = pathOfKept(kept, packageVersion(), true)
    const outside = {
      ...{ shares: sharesOf(root, modules, folders), network: undefined, devices: undefined },
      disk: disk && new Disk(disk.size, 0, name),
    }
    await keepKind(path, kept, outside, this.#tell)
    const held = await open(path)
    const files = new GuestFiles(
      root.share,
      folders.map(({ at, local }) => ({ path: at, share: local })),
    )
    return {
      kind,
      path: process.platform === 'win32' ? path : `/dev/fd/${held.fd}`,
      held,
      root,
      modules,
      folders,
      files,
    }
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

/** Does something for a machine, which trouble with files then names. */
async function of<T>(name: string, done: Promise<T>): Promise<T> {
  try {
    return await done
  } catch (error) {
    const isOurs = error instanceof ExecError || error instanceof CliError
    throw isOurs ? new ClusterError('ERR_CLUSTER', `machine ${name}: ${error.message}`, { cause: error }) : error
  }
}

/** The shares of a guest, as those of `retrap exec`. */
const sharesOf = (root: ExecRoot, modules: ModuleShare, folders: Prepared['folders']) => [
  { tag: 'root', share: stillShare(root.share), readOnly: true },
  { tag: KERNEL_TAG, share: modules.share, readOnly: true },
  ...[true, false].map((readOnly) => ({
    ...{ tag: foldersTag(readOnly), readOnly },
    share: stillShare(foldersShare(folders, readOnly)),
  })),
]

/** A share whose folder is relative to the description's. */
const resolveShare = (folder: string, text: string): string => (text.startsWith('/') ? text : `${folder}/${text}`)
