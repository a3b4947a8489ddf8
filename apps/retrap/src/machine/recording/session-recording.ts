import { type FileHandle, rm } from 'node:fs/promises'
import { bundleOptions, MachineError, type MachineRun, type PcRecorder } from '@retrap/machine'
import { placeIn } from '@retrap/machine/debug'
import { troubled } from '@retrap/linux-guest/errors'
import { usage } from '../../options/values.ts'
import type { Machine, MachineOptions, MachineRunner } from '@retrap/linux-guest/machine/machine-contract'
import { argumentsToKeep, type SavedRun } from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { fileSource, type MachineInside, namedImage, opened, openedFile, readAt } from './recorded-file.ts'
import { RecordedRun, recordRun, replayRun } from './recorded-run.ts'
import { ReplayMachine } from './replay-machine.ts'

/** How a session records its machine, or replays a recorded one. */
export interface RecordingSettings {
  /** The command line. */
  readonly arguments: readonly string[]
  /** Path of the recording to write. */
  readonly record?: string | undefined
  /** On deterministic time: the guest waits for the host; default where a person types, and for a recorded network. */
  readonly keepsPace?: boolean | undefined
  /** Whether the file gets checkpoints; default true. */
  readonly keepsCheckpoints?: boolean | undefined
  /** Whether the file includes the machine's images and options, so that a page can open it. */
  readonly isBundled?: boolean | undefined
  /** The recording names image files instead of containing them. */
  readonly namesImages?: boolean | undefined
  /** Path of the recording to replay. */
  readonly replay?: string | undefined
  /** The replay's first stop, as parsed by `placeIn`; default its end. */
  readonly goto?: string | undefined
  /** Memory address whose last writer is reported before the session ends. */
  readonly whoWrote?: string | undefined
  /** Whether the machine continues live after that stop, with its back ends. */
  readonly goLive?: boolean | undefined
  /** The machine that the recording has inside: neither the command line nor its files make it. */
  readonly machine?: MachineInside | undefined
}

/** The recording under way, or the replay. */
type Active =
  | {
      readonly recorder: Pick<PcRecorder, 'end' | 'instructions' | 'mark'>
      /** Resolves when the machine no longer runs. */
      readonly stop: () => Promise<void>
      readonly file: { close(): Promise<void> }
    }
  | { readonly replay: ReplayMachine; readonly file: { close(): Promise<void> } }

/** Records the machine of a session, or runs a recorded one again. */
export class SessionRecording {
  readonly #settings: RecordingSettings
  readonly #tell: (text: string) => void
  readonly #leave: () => void
  readonly #interactive: boolean
  #active: Active | undefined
  /** The recorded run of a machine in which gdb goes backwards. */
  #run: RecordedRun | undefined

  /**
   * @param interactive - a person types
   * @param tell - prints a line for the user
   * @param leave - ends the session
   */
  constructor(settings: RecordingSettings, interactive: boolean, tell: (text: string) => void, leave: () => void) {
    this.#settings = settings
    this.#interactive = interactive
    this.#tell = tell
    this.#leave = leave
  }

  /** Whether the session records or replays: then it has only one machine, and a guest's reset ends it. */
  get isActive(): boolean {
    return this.run !== 'plain'
  }

  /** The kind of run of the session's machine. */
  get run(): MachineRun {
    const { record, replay } = this.#settings
    if (replay !== undefined) return 'replayed'
    return record === undefined ? 'plain' : 'recorded'
  }

  /** The run of a machine that {@link SessionRecording.create} has made: its own, or one that gdb shares. */
  runnerOf(machine: Machine): MachineRunner {
    return this.#run ?? machine
  }

  /** Makes the machine. @throws CliError for a file that cannot be written or read; MachineError as `recordPc`, `replayPc` */
  async create(
    options: MachineOptions,
    createMachine: (options: MachineOptions) => Promise<Machine>,
  ): Promise<Machine> {
    const { record, replay } = this.#settings
    if (record === undefined && replay === undefined)
      return createMachine({ ...options, keepsPace: this.#settings.keepsPace ?? this.#interactive })
    const given: MachineOptions = { ...options, clock: 'deterministic' }
    return replay === undefined ? this.#record(given, record!) : this.#replay(given, replay, createMachine)
  }

  async #record(options: MachineOptions, path: string): Promise<Machine> {
    const bundle = this.#settings.isBundled === true ? bundleOptions(options) : undefined
    const named = this.#settings.namesImages === true ? bundle?.images.map(namedImage) : undefined
    const inside = bundle?.images.filter((_, number) => (named?.[number] ?? null) === null)
    const about: SavedRun = {
      version: 1,
      arguments: argumentsToKeep(this.#settings.arguments),
      savedAt: new Date().toISOString(),
      ...(bundle !== undefined && { bundle: bundle.options, images: bundle.images.length }),
      ...(named !== undefined && { named }),
    }
    const file = await opened(path, 'w')
    const write = async (bytes: Uint8Array): Promise<void> => {
      // A plain write may take only a part.
      await file.writeFile(bytes).catch(troubled(`cannot write the recording ${path}`, 'write'))
    }
    // Guests wait for people, and for the other end of a network, by their own time.
    const keepsPace = this.#settings.keepsPace ?? (this.#interactive || hasNetwork(options))
    const how = { about, keepsPace, ...(this.#settings.keepsCheckpoints === false && { checkpointMs: Infinity }) }
    const recorder = await recordRun(options, write, { ...how, images: inside }).catch(async (error: unknown) => {
      // Nothing was recorded. A path that is no file, such as a pipe or a device, stays.
      if ((await file.stat()).isFile()) await rm(path, { force: true })
      await file.close()
      throw error
    })
    // Written parts are read again where gdb goes back.
    let reader: Promise<FileHandle> | undefined
    const read = async (from: number, bytes: number): Promise<Uint8Array> =>
      readAt(await (reader ??= openedFile(path)), from, bytes)
    const run = new RecordedRun(recorder, read)
    this.#run = run
    const close = async (): Promise<void> => {
      await Promise.all([file.close(), reader?.then((handle) => handle.close()).catch(() => {})])
    }
    this.#active = { recorder, stop: () => run.stop(), file: { close } }
    return recorder.machine
  }

  async #replay(
    options: MachineOptions,
    path: string,
    createMachine: (options: MachineOptions) => Promise<Machine>,
  ): Promise<Machine> {
    const { goto, whoWrote, goLive = false } = this.#settings
    const file = await fileSource(path)
    const machine = new ReplayMachine({
      path,
      tell: this.#tell,
      leave: this.#leave,
      waits: this.#interactive,
      whoWrote,
      ...(goLive && { goLive: (snapshot) => createMachine({ ...options, snapshot }) }),
    })
    const onMachine = (made: Parameters<typeof machine.connect>[0]): void => machine.connect(made)
    machine.replay = await replayRun(options, file, { onMachine })
    this.#active = { replay: machine, file }
    try {
      if (goto !== undefined) goTo(machine, goto, '--goto')
    } catch (error) {
      await file.close()
      throw error
    }
    return machine
  }

  /** Returns the machine's position. @throws CliError without a recording or replay */
  when(): string {
    const active = this.#required()
    if ('recorder' in active) return `instruction ${active.recorder.instructions}, recorded\n`
    const { instructions, end, ns } = active.replay.replay
    return `instruction ${instructions} of ${end}, at ${ns} ns\n`
  }

  /** Names this instant. @throws CliError without a recording */
  mark(name: string): string {
    const active = this.#required()
    if (!('recorder' in active)) throw usage('mark: a recording that is run again does not change')
    active.recorder.mark(name)
    return `${name}: instruction ${active.recorder.instructions}\n`
  }

  /** Lists the marks of the recording. */
  marks(): string {
    const active = this.#required()
    if (!('replay' in active)) throw usage('info marks: retrap replay FILE has them')
    const { marks } = active.replay.replay
    return (
      marks.map(({ name, instructions }) => `${name}: instruction ${instructions}\n`).join('') || 'There is no mark.\n'
    )
  }

  /** Goes to an instruction, a time or a mark. @throws CliError for a place that is not there */
  goto(place: string): string {
    const active = this.#required()
    if (!('replay' in active)) throw usage('goto: only a run that is replayed goes to another place')
    goTo(active.replay, place, 'goto')
    return ''
  }

  /** Reports the last write to memory before the replay's instant. @throws CliError without a replay, or while it moves */
  async whoWrote(given: readonly string[]): Promise<string> {
    const active = this.#required()
    if (!('replay' in active)) throw usage('who-wrote: only a run that is replayed knows; retrap replay FILE')
    return active.replay.whoWrote(given)
  }

  #required(): Active {
    if (this.#active === undefined) throw usage('this run is neither recorded (--record) nor replayed')
    return this.#active
  }

  /** Ends the recording. The machine must not be running. @throws CliError where the recording could not be written */
  async close(): Promise<void> {
    const active = this.#active
    this.#active = undefined
    if (active === undefined) return
    try {
      if (!('recorder' in active)) return
      await active.stop()
      await active.recorder.end()
      this.#tell(`recorded ${active.recorder.instructions} instructions to ${this.#settings.record}`)
    } finally {
      await active.file.close()
    }
  }
}

const hasNetwork = ({ virtio = [], networkCards = [] }: MachineOptions): boolean =>
  networkCards.length > 0 || virtio.some(({ kind }) => kind === 'net')

/** @throws CliError `ERR_USAGE` for a place outside the recording */
function goTo(machine: ReplayMachine, place: string, command: string): void {
  try {
    machine.goto(placeIn(machine.replay, place))
  } catch (error) {
    throw error instanceof MachineError ? usage(`${command} ${error.message}`) : error
  }
}
