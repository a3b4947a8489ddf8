/** The Linux of a cluster's machine, like the Linux of `retrap exec`. */
import { type Disk, type GuestListener, MAIN_PROGRAM, MOST_LINE, type PlacedMachine } from '@retrap/cluster'
import { type PcForkOptions, type PcSnapshotState, stateWithMemory } from '@retrap/machine'
import { REPORT_FOLDER } from '../guests/linux/exec-initramfs.ts'
import { makeExt4 } from '../guests/linux/ext4.ts'
import type { MachineOptions, MachineSnapshotSource } from '../machine/machine-contract.ts'
import { openSnapshotFile } from '../machine/snapshots/snapshot-file.ts'
import { EPOCH_SECONDS, type GuestEnds, type GuestParts, type GuestSystem } from './cluster-guest.ts'
import { type ExecOutside, unused } from './guest.ts'
import { APART, clockTurn, TOGETHER } from './guest-faults.ts'
import { encodeFiles, encodeProgram, encodeRoom, type JobMount } from './job.ts'
import { folderCommands, hostnameOf, hosts, limitCommands, placeCommands } from './linux-place.ts'
import { execOptions, type ExecKind, growCommands, keptKind, runBytes } from './machine.ts'
import { LinePort, SentPort } from './ports.ts'
import type { Program } from './program.ts'
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
  readonly mounts: readonly JobMount[]
  /** Reads a program: its path, user and environment. The words of the machine's own program are the arguments of its entrypoint. */
  readonly read: (name: string, words: readonly string[]) => Promise<Program>
  /** Commands that come first, such as those of kernel modules. */
  readonly commands: readonly string[]
}

/** The file of the resolver's records. */
const RECORDS = '/records'

type Lines = Readonly<Record<'status' | 'stdout' | 'stderr' | 'report', LinePort>>

/** A Linux for jobs, which begins as a kept machine. */
export class LinuxSystem implements GuestSystem<Lines> {
  readonly #parts: LinuxParts
  readonly #files: Readonly<Record<string, string>>
  readonly memoryBytes: number
  readonly preparation: string

  constructor(parts: LinuxParts) {
    const { machine, kind, seed } = parts
    const hostname = hostnameOf(machine)
    this.#parts = parts
    const { named } = parts
    this.#files = {
      '/etc/hosts': hosts(machine, named === undefined ? parts.machines : []),
      '/etc/hostname': `${hostname}\n`,
      ...(named !== undefined && { '/etc/resolv.conf': RESOLV_CONF }),
    }
    this.memoryBytes = runBytes(kind)
    this.preparation = encodeRoom({
      mounts: parts.mounts,
      home: undefined,
      hostname,
      files: this.#files,
      entropy: Buffer.from(`${seed} ${machine.name}`.padEnd(64)),
      preparation: [
        `date -s @${EPOCH_SECONDS + Math.floor(parts.ns / 1e9)} >/dev/null`,
        ...(parts.ns === 0 ? [] : [clockTurn(parts.ns % 1e9, machine)]),
        ...growCommands(kind),
        ...parts.commands,
        ...placeCommands(machine),
        `ln -s report ${REPORT_FOLDER}/sdk.jsonl`,
        ...APART,
        ...(named === undefined ? [] : [this.names(named), startResolver(machine.arch, RECORDS)]),
      ],
    })
    if (machine.readOnly === true) this.preparation += 'mount -o remount,bind,ro none .\n'
  }

  async fill(disk: Disk): Promise<void> {
    if (this.#parts.machine.disk?.format !== 'ext4') return
    await makeExt4(disk.properties.bytes, (offset, from) => disk.write(offset, from))
    await disk.flush()
  }

  lines(now: () => number, { line, report, ended, status: state }: GuestListener): Lines {
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
    const { kind, outside } = this.#parts
    const ports = { ...unused(() => undefined), jobs, signals: new SentPort(), ...lines }
    return execOptions({ ...keptKind(kind), memoryBytes: this.memoryBytes }, { ports, ...outside, network: card, disk })
  }

  names(named: readonly number[]): string {
    return writeRecords(recordsFor(this.#parts.machine, this.#parts.machines, named), RECORDS)
  }

  turnClock(ns: number, _made: MadeGuest, ends: GuestEnds<Lines>): void {
    ends.say(clockTurn(ns, this.#parts.machine))
  }

  async start(name: string, words: readonly string[]): Promise<string> {
    const { machine } = this.#parts
    const program = await this.#parts.read(name, words)
    // The root may lack a file of users.
    const files = Object.entries(program.files).filter(([path]) => !(path in this.#files))
    const isService = name === MAIN_PROGRAM && (machine.health ?? machine.restart) !== undefined
    const limits = limitCommands(machine)
    return [
      encodeFiles(Object.fromEntries(files)),
      ...folderCommands(machine, program),
      isService
        ? encodeService(name, program, limits.join('\n'), machine)
        : encodeProgram(name, program, [TOGETHER, ...limits].join('\n')),
    ].join('')
  }
}
