/** A guest of `retrap exec`: its machine, and the far ends of its ports. */
import { randomBytes } from 'node:crypto'
import type { ByteStreamBackend } from '@retrap/device'
import { type GuestPages, type GuestPageSource, touchedPages, withWorkingSet } from '@retrap/hvm'
import { createPc, type MachineExit, Pc, type PcSnapshotState, stateWithMemory } from '@retrap/machine'
import { MemoryShare } from '@retrap/virtio/p9'
import { CliError } from '../errors.ts'
import { EXEC_READY } from '../linux/exec-initramfs.ts'
import { compileHelper } from '../machine/compile-helper.ts'
import { smpOf } from '../machine/vcpu-workers.ts'
import { loadInterpreters } from '../machine/interpreters.ts'
import type {
  Machine,
  MachineOptions,
  MachineSnapshot,
  MachineSnapshotSource,
  PcMachineOptions,
} from '../machine/machine-contract.ts'
import { openSnapshotFile, writeSnapshotFile } from '../machine/snapshots/snapshot-file.ts'
import { environmentUnits, type UnitCache } from '../machine/unit-cache/unit-cache.ts'
import { type RefusedInstruction, watchRefused } from './lacks.ts'
import { CONTAINER_STREAMS, type ContainerEnds, type ExecEnds } from './machine.ts'
import { type ExecKind, execOptions, readExecImages } from './machine.ts'
import { encodeJob, encodeStart, type Job } from './job.ts'
import { LAST_WORDS, LinePort, SentPort, TakenPort } from './ports.ts'

/** Places that are compiled before a Worker is worth its start, a tenth of a second of processor time: `ls` has one, Python's start ten. */
const SHORT_RUN = 4

/** The far ends of a guest's streams. */
export interface GuestStreams {
  readonly stdin: SentPort
  readonly stdout: ByteStreamBackend
  readonly stderr: ByteStreamBackend
  readonly terminal: ByteStreamBackend
  /** Reports of a cluster's programs. */
  readonly report: ByteStreamBackend
  /** Hears each line of the port for status. */
  readonly status: (line: string) => void
}

const nothing = (): TakenPort => new TakenPort(() => true)

/** Streams that nothing is connected to. */
export const unused = (status: (line: string) => void): GuestStreams => ({
  stdin: new SentPort(),
  stdout: nothing(),
  stderr: nothing(),
  terminal: nothing(),
  report: nothing(),
  status,
})

/** The files, networks and devices of a guest. */
export type ExecOutside = Omit<ExecEnds, 'ports'>

export interface GuestRecorder {
  record(options: MachineOptions): Promise<Machine>
}

/** Room for compiled code of a machine whose forks run one program after another. */
const FAMILY_COMPILED_BYTES = 32 << 20

/** How long a guest may take to boot. */
const BOOT_MS = 600_000
/** Time after which a user's kernel with unknown configuration is suspected. */
const LATE_MS = 10_000

/** Loaded on demand. */
export async function createMachine(options: MachineOptions): Promise<Machine> {
  if (options.architecture === 'arm64') return (await import('../machine/arm-machine.ts')).createArm(options)
  await loadInterpreters('x86')
  return createPc(options as PcMachineOptions)
}

/** A guest, booted or restored. */
export class ExecGuest {
  readonly jobs: SentPort
  readonly signals: SentPort
  /** Entropy was given to its kernel. */
  readonly isStirred: boolean
  readonly #machine: Machine
  /** Undefined for a fork, which has its original's, and where none is kept. */
  readonly #units: UnitCache | undefined

  private constructor(
    machine: Machine,
    units: UnitCache | undefined,
    jobs: SentPort,
    signals: SentPort,
    isStirred = false,
  ) {
    this.#machine = machine
    this.#units = units
    this.jobs = jobs
    this.signals = signals
    this.isStirred = isStirred
  }

  static async #make(
    kind: ExecKind,
    streams: GuestStreams,
    outside: ExecOutside,
    more: Partial<MachineOptions>,
    recording?: GuestRecorder,
  ): Promise<ExecGuest> {
    const [jobs, signals] = [new SentPort(), new SentPort()]
    const ports = { ...streams, jobs, signals, status: new LinePort(streams.status) }
    const units = environmentUnits()
    // A run that can be made again compiles on its own thread.
    const helper = kind.clock === undefined && recording === undefined ? compileHelper(SHORT_RUN) : undefined
    const jit = {
      ...(units && { keep: units }),
      ...(helper && { helper }),
      ...(more.forks && { codeBytes: FAMILY_COMPILED_BYTES }),
    }
    const options = { ...(await execOptions(kind, { ports, ...outside })), ...more, jit }
    const machine = await (recording?.record(options) ?? createMachine(options))
    return new ExecGuest(machine, units, jobs, signals)
  }

  /** Boots a machine until it waits for a job, and saves it. @throws CliError if the machine never waits */
  static async keep(path: string, kind: ExecKind, outside: ExecOutside, tell: (text: string) => void): Promise<void> {
    const { lacksOfKernel, silentKernel } = await import('./kernel-needs.ts')
    const lacks = kind.kernel === undefined ? '' : await lacksOfKernel(kind.kernel, outside.network !== undefined)
    if (lacks) throw new CliError('ERR_INPUT', lacks)
    const images = await readExecImages(kind, tell)
    const waits = new AbortController()
    let isReady = false
    const streams = unused((line) => {
      isReady ||= line === EXEC_READY
      // The guest reads the port for jobs, and comes to rest.
      if (!isReady) return
      if (kind.clock === undefined) setTimeout(() => waits.abort(), SETTLE_MS)
      else guest.#machine.domain.timers!.create(() => waits.abort()).armAfter(SETTLE_MS * 1e6)
    })
    // The host's time is in no kept machine: what a cluster does follows from its seed alone.
    const empty = (): MemoryShare => new MemoryShare({ now: () => 0n })
    const shares = outside.shares.map((one) => ({ ...one, share: empty() }))
    const silent = (): ContainerEnds => ({ streams: CONTAINER_STREAMS.map(nothing), root: empty() })
    const containers = Array.from({ length: kind.containers ?? 0 }, silent)
    const guest: ExecGuest = await this.#make(kind, streams, { ...outside, shares, containers }, images)
    try {
      let said = ''
      guest.#machine.serialPorts[0]!.onTransmit(
        (bytes) => (said = (said + Buffer.from(bytes).toString('latin1')).slice(-LAST_WORDS)),
      )
      const lastLine = (): string =>
        said
          .trim()
          .split(/[\r\n]+/)
          .at(-1) ?? ''
      const late = setTimeout(() => {
        if (lacks === undefined && !isReady) tell(silentKernel(kind.kernel!, lastLine()))
      }, LATE_MS)
      const exit = await guest.run(waits.signal, BOOT_MS)
      clearTimeout(late)
      if (!isReady) {
        const last = lastLine()
        throw new CliError('ERR_INPUT', `the guest does not boot (${exit.reason})${last === '' ? '' : `: ${last}`}`)
      }
      // oxlint-disable-next-line typescript/no-non-null-assertion -- both boards can
      const snapshot = await guest.#machine.save!()
      // A machine on deterministic time begins with all pages.
      const first = kind.clock === undefined ? await this.#firstPages(kind, snapshot, outside) : undefined
      const run = { version: 1, arguments: ['exec'], savedAt: new Date().toISOString() } as const
      await writeSnapshotFile(path, run, { ...snapshot, state: { ...snapshot.state, first } }, { compressed: false })
    } finally {
      guest.close()
    }
  }

  /** The pages that a guest touches for a small program. */
  static async #firstPages(
    kind: ExecKind,
    { state, pages }: MachineSnapshot,
    outside: ExecOutside,
  ): Promise<GuestPages> {
    const touched = touchedPages(pages)
    const over = new AbortController()
    const streams = unused((line) => line.startsWith('end ') && over.abort())
    const guest = await this.#make(kind, streams, outside, {
      snapshot: { state, pages: touched } as MachineSnapshotSource,
    })
    try {
      streams.stdin.write(new TextEncoder().encode('\n'))
      streams.stdin.end()
      guest.jobs.say(encodeJob({ ...NOTHING_TO_DO, entropy: randomBytes(64) }) + encodeStart(Date.now() / 1000))
      await guest.run(over.signal, BOOT_MS)
    } finally {
      guest.close()
    }
    return touched.touched()
  }

  /** Resumes a machine that waits for a job. @param recording - records it @param cpus - of those that the job has @throws CliError, MachineError for a damaged file */
  static async restore(
    path: string,
    kind: ExecKind,
    streams: GuestStreams,
    outside: ExecOutside,
    onLost: (message: string) => void,
    recording?: GuestRecorder,
    cpus = 1,
  ): Promise<ExecGuest> {
    const { state, pages } = await openSnapshotFile(path, { onLost })
    const { first, ...machine } = state as typeof state & { readonly first: GuestPages }
    const begun = new Promise<void>((resolve) => setTimeout(resolve, ALONE_MS).unref())
    // A recording begins with all pages.
    const near = recording === undefined ? withWorkingSet(pages as GuestPageSource, first, begun) : pages
    const grown = stateWithMemory(machine as PcSnapshotState, kind.memoryBytes)
    const snapshot = { state: grown as object, pages: near } as MachineSnapshotSource
    const isPlain = kind.clock === undefined && recording === undefined
    const smp = isPlain ? smpOf({ arch: kind.arch, cpus, memory: kind.memoryBytes }) : {}
    return this.#make(kind, streams, outside, { snapshot, ...smp }, recording)
  }

  /**
   * Reads a machine that waits for a job and is never run: guests are forks of it.
   *
   * @param forks - room for them
   * @throws CliError, MachineError for a damaged file
   */
  static async original(
    path: string,
    kind: ExecKind,
    outside: ExecOutside,
    forks: NonNullable<MachineOptions['forks']>,
  ): Promise<ExecGuest> {
    let lost = ''
    const { state, pages } = await openSnapshotFile(path, { onLost: (message) => (lost = message) })
    const { first: _, ...machine } = state as typeof state & { readonly first: GuestPages }
    const grown = stateWithMemory(machine as PcSnapshotState, kind.memoryBytes)
    const snapshot = { state: grown as object, pages } as MachineSnapshotSource
    const silent = { ...outside, shares: outside.shares.map((one) => ({ ...one, share: new MemoryShare() })) }
    const guest = await this.#make(
      kind,
      unused(() => undefined),
      { ...silent, network: undefined },
      { snapshot, forks },
    )
    if (lost !== '') throw new CliError('ERR_INPUT', lost)
    return guest
  }

  /** Makes a guest that goes on from this one's instant, with ends of its own. @param isStirred - see {@link ExecGuest.isStirred} */
  async fork(kind: ExecKind, streams: GuestStreams, outside: ExecOutside, isStirred = false): Promise<ExecGuest> {
    const [jobs, signals] = [new SentPort(), new SentPort()]
    const ports = { ...streams, jobs, signals, status: new LinePort(streams.status) }
    const { virtio } = await execOptions(kind, { ports, ...outside })
    // Entropy comes with its job. Interpreting ACPI's tables for the same takes a guest as long as starting a program.
    const generation = kind.kernel === undefined ? ({ after: 'same' } as const) : undefined
    const machine = await this.#machine.fork!({ virtio, ...(generation && { generation }) })
    return new ExecGuest(machine, undefined, jobs, signals, isStirred)
  }

  /** Has the machine stand still, or go on. */
  async pause(on: boolean): Promise<void> {
    const machine = await this.#machine.debugger?.()
    if (machine?.isStopped === on) return
    await (on ? machine?.stop() : machine?.resume())
  }

  /** Has `hear` called with each instruction of a program that raises #UD. */
  onRefused(hear: (refused: RefusedInstruction) => void): void {
    // A vCPU that is watched has no thread.
    if (this.#machine instanceof Pc && this.#machine.domain.architecture.threads === undefined)
      watchRefused(this.#machine, hear)
  }

  /** Runs the machine until a signal or the guest ends it. */
  run(signal: AbortSignal, timeoutMs: number): Promise<MachineExit> {
    return this.#machine.run({ signal, ...(timeoutMs !== Infinity && { timeoutMs }) })
  }

  /** Gives memory back that only a machine that runs needs. It stands still. */
  leaveMemory(): void {
    if (this.#machine instanceof Pc) for (const { cpu } of this.#machine.domain.vcpus) cpu.leaveMemory()
  }

  /** Ends the machine. */
  close(): void {
    this.#machine.close?.()
    this.#units?.close()
  }
}

const SETTLE_MS = 200
/** A short program ends before pages that it does not need are read, on a busy host, too. */
const ALONE_MS = 5000

const NOTHING_TO_DO: Omit<Job, 'entropy'> = {
  program: ['/bin/cat'],
  env: [],
  uid: 0,
  gid: 0,
  workingDirectory: '/',
  mounts: [],
  home: undefined,
  hostname: 'retrap',
  files: {},
  terminal: undefined,
  preparation: [],
}
