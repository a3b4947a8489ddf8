// The two kinds of runs that a debugger of the page goes through: one that is recorded just now, and one of a file.
import {
  type BundledOptions,
  type BundleNotes,
  type FoundImage,
  bundleOptions,
  MachineError,
  type MachineBoard,
  type NamedImage,
  openBundle,
  type PcOptions,
  type PcSnapshot,
  type PluggedServer,
  type PlugServer,
  recordPc,
  replayPc,
  type ReplayDebugger,
  type RunHistoryKeeper,
  type SavedHistory,
} from '@retrap/machine'
import type { ArmMachineOptions } from '@retrap/machine/arm'
import { RecordingRing } from '@retrap/recording'
import { readSnapshot } from '@retrap/snapshot'
import { WebError } from '../errors.ts'
import type * as ArmBoards from './arm-board.ts'
import type { RunNotes } from '../debugger.ts'
import type { BoardMachine, BoardOptions } from './boards.ts'
import type { SentOptions } from '../protocol.ts'
import { commandLineOf } from './command-line.ts'
import { DiskJournal } from './disk-journal.ts'
import type { ImpairableDevices } from './impairments.ts'
import { hostSeed } from './snapshots.ts'
import { reasonOf } from './sources.ts'

/** Bytes that a recording and its checkpoints have: the oldest past is dropped. */
const MOST_BYTES = 384 << 20

/** Loads the debugger's part for an Arm board. */
const loadArm = async (): Promise<typeof ArmBoards> => import('./arm-board.ts')

/** A run that a debugger goes through. */
export interface TravelledRun {
  /** The machine being recorded; null: the run comes from a file. */
  readonly live: BoardMachine | null
  /** The first instruction that can be gone to. */
  readonly begin: number
  /** Instructions where the run ends, or is now. */
  readonly now: number
  readonly history: RunHistoryKeeper
  /** The disks' earlier contents; null: no disks are here. */
  readonly disks: DiskJournal | null
  /** Bytes of the recording in memory. */
  readonly bytes: number
  /** Null: the run is recorded here. */
  readonly notes: RunNotes | null
  debugger(): Promise<ReplayDebugger<BoardMachine>>
  /** See `PcRecorder.plugServer`. @throws WebError `ERR_MACHINE` for a run of a file */
  plug(start: PlugServer): Promise<PluggedServer>
  /** See `PcRecorder.impairDevice`. @throws WebError `ERR_MACHINE` for a run of a file */
  readonly impair: ImpairableDevices['impair']
  /** Names the instant where the debugger is. */
  mark(name: string, instruction: number): void
  /** Returns the whole recording as a file. The machine must stand still. */
  file(): Promise<Blob>
  close(): void
}

/** A recording, with everything needed to replay it. */
export interface OpenedRecording {
  readonly file: Blob
  readonly board: MachineBoard
  readonly options: PcOptions
  /** The run's history; undefined in recordings of an earlier release or cut-off ones. */
  readonly history: SavedHistory | undefined
  readonly notes: RunNotes
}

/**
 * Opens a recording that contains its machine's options.
 *
 * @param beside - finds an image that it names, by the last part of its path
 * @throws WebError `ERR_SOURCE` for another file, a damaged one, and one whose images are missing or have changed
 */
export async function openRecordingFile(
  file: Blob,
  beside: (name: string) => Promise<Uint8Array | undefined> = async () => undefined,
): Promise<OpenedRecording> {
  const find = async ({ name }: NamedImage): Promise<FoundImage | undefined> => {
    const bytes = await beside(name.replace(/^.*[/\\]/, ''))
    return bytes && { bytes, sha256: await sha256(bytes as Uint8Array<ArrayBuffer>) }
  }
  try {
    const { board, options, snapshot, history, notes } = await openBundle(sourceOf(file), find)
    if (options === undefined || options === null)
      throw new Error('it has not what it was made with; record it with --record-bundle, or open it by retrap replay')
    const { savedAt, arguments: given } = notes
    const { what, at = savedAt } = history?.failure ?? {}
    return {
      ...{ file, board },
      notes: {
        ...(what !== undefined && { failure: what }),
        ...(at !== undefined && { at }),
        ...(Array.isArray(given) && { arguments: given.map(String) }),
      },
      options: snapshot === undefined ? options : { ...options, snapshot: await snapshotOf(snapshot) },
      history,
    }
  } catch (error) {
    throw new WebError('ERR_SOURCE', `recording: ${reasonOf(error)}`, { cause: error })
  }
}

/** The digest of bytes, in hexadecimal. */
export async function sha256(bytes: BufferSource): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Reads a snapshot that is in a recording. @throws SnapshotError */
async function snapshotOf(bytes: Uint8Array): Promise<PcSnapshot> {
  const read = (offset: number, length: number): Uint8Array => bytes.subarray(offset, offset + length)
  const { state, pages } = await readSnapshot({ bytes: bytes.length, read })
  return { state, pages } as PcSnapshot
}

/** Returns the options of a machine as plain data; null if impossible, for example with shared files. */
function bundleOf(options: BoardOptions): BundledOptions | null {
  try {
    return bundleOptions(options as PcOptions)
  } catch (error) {
    if (error instanceof MachineError) return null
    throw error
  }
}

/** Makes a machine, and records it. @param mostBytes - most bytes of the recording, with its checkpoints @throws MachineError */
export async function recordedRun(
  options: BoardOptions,
  page: SentOptions,
  mostBytes: number = MOST_BYTES,
): Promise<TravelledRun> {
  const ring = new RecordingRing(mostBytes)
  const made: { machine?: BoardMachine } = {}
  const disks = new DiskJournal(() => made.machine?.domain.instructions ?? 0)
  const bundle = bundleOf(options)
  const about: BundleNotes = {
    version: 1,
    arguments: commandLineOf(page),
    savedAt: new Date().toISOString(),
    bundle: bundle?.options ?? null,
    images: bundle?.images.length ?? 0,
  }
  const given = {
    ...{ epochSeconds: Math.floor(Date.now() / 1000), entropySeed: hostSeed() },
    ...options,
    ...{ drives: options.drives?.map((drive) => disks.of(drive)), clock: 'deterministic' },
  }
  const how = { ring, keepsPace: true, about, images: bundle?.images ?? [] }
  const recorder =
    page.board === 'virt'
      ? await (await loadArm()).recordArmMachine(given as ArmMachineOptions, ring.write, how)
      : await recordPc(given as PcOptions, ring.write, how)
  const { machine, history } = recorder
  made.machine = machine
  return {
    ...{ live: machine, history, disks, notes: null },
    get now() {
      return machine.domain.instructions
    },
    get begin() {
      return recorder.begin
    },
    get bytes() {
      return recorder.bytes
    },
    debugger: () => recorder.debugger({ read: ring.read }),
    plug: (start) => recorder.plugServer(start),
    impair: (device, how) => recorder.impairDevice(device, how),
    mark: (name) => recorder.mark(name),
    async file() {
      if (bundle === null)
        throw new WebError(
          'ERR_MACHINE',
          'a machine with shared files cannot be opened elsewhere; its recording is not saved',
        )
      const end: Uint8Array<ArrayBuffer>[] = []
      await recorder.copyEnd((bytes) => end.push(bytes as Uint8Array<ArrayBuffer>))
      return new Blob([...ring.parts, ...end], { type: 'application/octet-stream' })
    },
    close: () => {
      recorder.discard()
      machine.close()
    },
  }
}

/** Period of the reports of a repetition's progress. */
const REPORT_MS = 250

/**
 * Runs the machine of a file again.
 *
 * @param onRepeated - called with the repeated fraction of the run, from 0 to 1, if the file has no history
 * @throws MachineError; RecordingError
 */
export async function replayedRun(
  options: BoardOptions,
  opened: OpenedRecording,
  onRepeated: (part: number) => void = () => undefined,
): Promise<TravelledRun> {
  const at = opened.history === undefined ? undefined : 'end'
  const [given, source] = [{ ...options, clock: 'deterministic' }, sourceOf(opened.file)]
  const replay =
    opened.board === 'virt'
      ? await (await loadArm()).replayArmMachine(given as ArmMachineOptions, source, { at })
      : await replayPc(given as PcOptions, source, { at })
  const timer = setInterval(() => onRepeated(replay.instructions / replay.end), REPORT_MS)
  const history = await replay.history(opened.history).finally(() => clearInterval(timer))
  const begun = await replay.debugger()
  return {
    ...{ live: null, history, disks: null, begin: replay.begin, now: replay.end, bytes: opened.file.size },
    notes: opened.notes,
    debugger: () => Promise.resolve(begun),
    plug: () => Promise.reject(ofFile()),
    impair: () => {
      throw ofFile()
    },
    mark: (name, instruction) => history.mark(name, instruction),
    file: () => Promise.resolve(opened.file),
    close: () => replay.close(),
  }
}

const ofFile = (): WebError =>
  new WebError('ERR_MACHINE', 'the machine is that of a file; run() has it go on by itself')

const sourceOf = (file: Blob): { bytes: number; read(offset: number, bytes: number): Promise<Uint8Array> } => ({
  bytes: file.size,
  read: async (offset, bytes) => new Uint8Array(await file.slice(offset, offset + bytes).arrayBuffer()),
})
