/** The Linux of a cluster's machine, like the Linux of `retrap exec`. */
import { EXEC_PROGRAM, MAIN_PROGRAM, MOST_LINE } from '@retrap/cluster'
import type { Disk, GuestListener, PlacedMachine } from '@retrap/cluster'
import { type PcForkOptions, type PcSnapshotState, stateWithMemory } from '@retrap/machine'
import { REPORT_FOLDER } from '@retrap/linux-guest/linux/exec-initramfs'
import { makeExt4 } from '../guests/linux/ext4.ts'
import type { Share } from '@retrap/virtio/p9'
import type { MachineOptions, MachineSnapshotSource } from '@retrap/linux-guest/machine/machine-contract'
import { openSnapshotFile } from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { containerCommands, enter, enterAndWait, rootCommands } from './containers.ts'
import { EPOCH_SECONDS, type GuestEnds, type GuestParts, type GuestSystem } from './cluster-guest.ts'
import { fillFolders, sendFolders } from './folder-copies.ts'
import { type ExecOutside, unused } from '@retrap/linux-guest/jobs/guest'
import { APART, clockTurn, groupOf, GROUPS, joining, TOGETHER } from './guest-faults.ts'
import { encodeFiles, encodeHeard, encodeProgram, encodeRoom, type JobMount, stir } from '@retrap/linux-guest/jobs/job'
import {
  folderCommands,
  hostnameOf,
  hosts,
  limitCommands,
  placeCommands,
  remountCommand,
  sharedCommands,
} from './linux-place.ts'
import {
  CONTAINER_STREAMS,
  execOptions,
  type ExecKind,
  growCommands,
  keptKind,
  runBytes,
} from '@retrap/linux-guest/jobs/machine'
import { LinePort, SentPort } from '@retrap/linux-guest/jobs/ports'
import type { Program } from '@retrap/linux-guest/jobs/program'
import type { MadeGuest } from './recordings.ts'
import { RESOLV_CONF, recordsFor, startResolver, writeRecords } from './resolver.ts'
import { encodeService } from './service.ts'

/** The parts of a machine with such a Linux. */
export interface LinuxParts extends GuestParts {
  /** The file of the kept machine that it begins as. */
  readonly path: string
  readonly kind: ExecKind
  readonly outside: Omit<ExecOutside, 'network'>
  /** All machines of the cluster, for their names. */
  readonly machines: readonly PlacedMachine[]
  /** The machine and the containers in it, in the order of their numbers. */
  readonly rooms: readonly LinuxRoom[]
  /** Commands that come first, such as those of kernel modules. */
  readonly commands: readonly string[]
}

/** The file of the resolver's records: each container has another folder there. */
const RECORDS = '/top/records'

/** The files of a machine, or of a container in it. */
export interface LinuxRoom {
  readonly machine: PlacedMachine
  readonly root: Share
  readonly mounts: readonly JobMount[]
  /** Reads a program: its path, user and environment. The words of the machine's own program are the arguments of its entrypoint. */
  readonly read: (name: string, words: readonly string[]) => Promise<Program>
}

/** By the names of streams, behind which a container has its place in the machine. */
type Lines = Readonly<Record<string, LinePort>>
const lineOf = (stream: string, container: number): string => `${stream}${container || ''}`

/** A Linux for jobs, which begins as a kept machine. */
export class LinuxSystem implements GuestSystem<Lines> {
  readonly #parts: LinuxParts
  readonly memoryBytes: number
  readonly preparation: string

  constructor(parts: LinuxParts) {
    const { machine, kind, seed, rooms } = parts
    this.#parts = parts
    this.memoryBytes = runBytes(kind)
    const entropy = Buffer.from(`${seed} ${machine.name}`.padEnd(64))
    const first = [
      `date -s @${EPOCH_SECONDS + Math.floor(parts.ns / 1e9)} >/dev/null`,
      ...(parts.ns === 0 ? [] : [clockTurn(parts.ns % 1e9, machine)]),
      ...growCommands(kind),
      ...parts.commands,
    ]
    if (this.#isShared) {
      const shared = [...stir(entropy), ...first, ...sharedCommands(machine), ...APART]
      const texts = rooms.map((room, i) => {
        const place = [...placeCommands(room.machine, true), ...this.#resolverOf(room.machine)]
        const commands = [...rootCommands(i, room.machine), ...place]
        const begin = containerCommands(i, kind, room.machine).join('\n')
        // One after another: the first of them fills a folder of the disk that several have.
        return `${begin}\n${enterAndWait(i, this.#room(room, commands))}`
      })
      this.preparation = [...shared, `echo +cpu >${GROUPS}/cgroup.subtree_control`, ...texts].join('\n')
    } else {
      const report = `ln -s report ${REPORT_FOLDER}/sdk.jsonl`
      const own = [...placeCommands(machine, false), report, ...APART, ...this.#resolverOf(machine)]
      this.preparation = this.#room(rooms[0]!, [...first, ...own], entropy)
    }
  }

  /** Whether several machines share the kernel: each of them is a container then. */
  get #isShared(): boolean {
    return this.#parts.rooms.length > 1
  }

  #room({ machine, mounts }: LinuxRoom, preparation: readonly string[], entropy?: Uint8Array): string {
    const files = this.#filesOf(machine)
    const room = encodeRoom({ mounts, home: undefined, hostname: hostnameOf(machine), files, entropy, preparation })
    return machine.readOnly === true ? `${room}mount -o remount,bind,ro none .\n` : room
  }

  /** Files that hold names of machines. */
  #filesOf(machine: PlacedMachine): Readonly<Record<string, string>> {
    const { named, machines } = this.#parts
    return {
      '/etc/hosts': hosts(machine, named === undefined ? machines : []),
      '/etc/hostname': `${hostnameOf(machine)}\n`,
      ...(named !== undefined && { '/etc/resolv.conf': RESOLV_CONF }),
    }
  }

  #records(machine: PlacedMachine, named: readonly number[]): string {
    return writeRecords(recordsFor(machine, this.#parts.machines, named), RECORDS)
  }

  /** The commands that start the resolver of a machine. */
  #resolverOf(machine: PlacedMachine): readonly string[] {
    const { named } = this.#parts
    return named === undefined ? [] : [this.#records(machine, named), startResolver(machine.arch, RECORDS)]
  }

  async fill(disk: Disk): Promise<void> {
    if (this.#parts.machine.disk?.format !== 'ext4') return
    await makeExt4(disk.properties.bytes, (offset, from) => disk.write(offset, from))
    await disk.flush()
  }

  lines(now: () => number, listener: GuestListener): Lines {
    const all = this.#parts.rooms.flatMap(({ machine }, i) => {
      const lines = this.#linesOf(now, i === 0 ? listener : (listener.inside?.(machine.number) ?? listener))
      return Object.entries(lines).map(([stream, port]) => [lineOf(stream, i), port] as const)
    })
    return Object.fromEntries(all)
  }

  #linesOf(now: () => number, { line, report, ended, status: state }: GuestListener): Lines {
    const texts = (hear: (ns: number, text: string) => void) =>
      new LinePort((bytes) => hear(now(), Buffer.from(bytes, 'latin1').toString()), MOST_LINE)
    const status = texts((ns, told) => {
      const [, name, code] = /^ended (.*) (\d+)$/.exec(told) ?? []
      if (name !== undefined) ended(ns, name, Number(code))
      else if (told.startsWith('status ')) state(ns, told.slice('status '.length))
      else if (told.startsWith('end ')) line(ns, 'retrap: a folder of `share` or `tmpfs` cannot be mounted')
    })
    return { status, stdout: texts(line), stderr: texts(line), report: texts(report) }
  }

  async options(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<MachineOptions> {
    const { state, pages } = await openSnapshotFile(this.#parts.path, { onLost: () => undefined })
    const grown = stateWithMemory(state as PcSnapshotState, this.memoryBytes) as object
    return {
      ...(await this.#options(ends, disk)),
      generation: { after: this.#parts.seed },
      snapshot: { state: grown, pages } as MachineSnapshotSource,
    }
  }

  async devices(ends: GuestEnds<Lines>, disk: Disk | undefined): Promise<PcForkOptions> {
    const { virtio, drives } = await this.#options(ends, disk)
    return { virtio, ...(drives && { drives }) }
  }

  #options({ lines, jobs, card }: GuestEnds<Lines>, disk: Disk | undefined): Promise<MachineOptions> {
    const { kind, outside, rooms } = this.#parts
    const own = lines as Readonly<Record<(typeof CONTAINER_STREAMS)[number], LinePort>>
    const ports = { ...unused(() => undefined), jobs, signals: new SentPort(), ...own }
    const streamsOf = (container: number): LinePort[] =>
      CONTAINER_STREAMS.map((stream) => lines[lineOf(stream, container)]!)
    const containers = rooms.slice(1).map(({ root }, i) => ({ streams: streamsOf(i + 1), root }))
    const ends = { ports, ...outside, network: card, disk, containers }
    return execOptions({ ...keptKind(kind), memoryBytes: this.memoryBytes }, ends)
  }

  told(text: string, of: number = this.#parts.machine.number): string {
    const container = this.#parts.rooms.findIndex(({ machine }) => machine.number === of)
    return this.#isShared ? enter(container, text) : text
  }

  names(named: readonly number[]): string {
    const { rooms } = this.#parts
    return rooms.map(({ machine }) => this.told(this.#records(machine, named), machine.number)).join('')
  }

  mount(isMounted: boolean): string {
    return `${remountCommand(this.#parts.machine, isMounted)}\n`
  }

  turnClock(ns: number, _made: MadeGuest, ends: GuestEnds<Lines>): void {
    ends.say(clockTurn(ns, this.#parts.machine))
  }

  async start(
    name: string,
    words: readonly string[],
    of: number = this.#parts.machine.number,
    copies?: Readonly<Record<string, string>>,
  ): Promise<string> {
    const { machine, read } = this.#parts.rooms.find((room) => room.machine.number === of)!
    const program = await read(name, words)
    // The root may lack a file of users.
    const known = this.#filesOf(machine)
    const files = Object.entries(program.files).filter(([path]) => !(path in known))
    const isService = name === MAIN_PROGRAM && (machine.health ?? machine.restart) !== undefined
    const limits = limitCommands(machine)
    const group = groupOf(name)
    const first = [group === undefined ? TOGETHER : joining(group, ' || exit 137'), ...limits].join('\n')
    const last = group === undefined ? '' : `; rmdir ${group} 2>&-`
    const text = [
      group === undefined ? '' : `mkdir ${group}\n`,
      encodeFiles(Object.fromEntries(files)),
      ...folderCommands(machine, program),
      isService
        ? encodeService(name, program, limits.join('\n'), sendFolders(machine, this.#parts.machines), machine)
        : name === EXEC_PROGRAM
          ? encodeHeard(name, program, first)
          : encodeProgram(name, program, first, last),
    ].join('')
    const before = copies === undefined ? [] : fillFolders(machine, copies)
    return [...before, text].map((one) => this.told(one, of)).join('')
  }
}
