// The two kinds of runs that a debugger of the page goes through: one that is recorded just now, and one of a file.
import { type MachineDrive, type Pc, type PcOptions, recordPc, replayPc, type ReplayDebugger } from '@retrap/machine'
import { openRecording } from '@retrap/recording'
import { WebError } from '../errors.ts'
import type { SavedOptions, SentDrive, SentOptions } from '../protocol.ts'
import { commandLineOf } from './command-line.ts'
import { DiskJournal } from './disk-journal.ts'
import { RunHistoryKeeper, type SavedHistory } from './run-history.ts'
import { hostSeed, savedOptions } from './snapshots.ts'
import { reasonOf } from './sources.ts'
import type { LoadedImages } from './whole-images.ts'
import { WrittenFile } from './written-file.ts'

/** A run that a debugger goes through. */
export interface TravelledRun {
  /** The machine that is recorded; null: the run is that of a file. */
  readonly live: Pc | null
  /** Instructions where the run ends, or is now. */
  readonly now: number
  readonly history: RunHistoryKeeper
  /** The disks' earlier contents; null: no disks are here. */
  readonly disks: DiskJournal | null
  /** Bytes of the recording in memory. */
  readonly bytes: number
  debugger(): Promise<ReplayDebugger>
  mark(name: string): void
  /** All of it as a file. The machine stands still. */
  file(): Promise<Blob>
  close(): Promise<void>
}

/** The page's notes on its machine, which `retrap replay` takes for its own. */
interface About {
  readonly version: 1
  readonly arguments: readonly string[]
  readonly savedAt: string
  /** Options of the page's machine. */
  readonly page: SavedOptions
  readonly drives: readonly (Pick<SentDrive, 'id' | 'interface' | 'media'> & { readonly bytes: number | null })[] | null
  /** Names of the images that the file has, in their order. The history is behind them. */
  readonly images: readonly (keyof LoadedImages)[]
}

/** A recording of a page's machine, and what it is made with to run again. */
export interface OpenedRecording {
  readonly file: Blob
  readonly about: About
  readonly images: LoadedImages
  readonly history: Partial<SavedHistory>
}

/**
 * Opens a recording of a page's machine.
 *
 * @throws WebError `ERR_SOURCE` for another file, and one that is damaged
 */
export async function openRecordingFile(file: Blob): Promise<OpenedRecording> {
  try {
    const recording = await openRecording(sourceOf(file))
    const { about } = (recording.description ?? {}) as { readonly about?: Partial<About> | null }
    if (about?.version !== 1 || about.page === undefined || !Array.isArray(about.images))
      throw new Error('it was not recorded by a page; retrap replay opens it')
    const whole = about as About
    const contents = await Promise.all(Array.from({ length: recording.images }, (_, number) => recording.image(number)))
    const [history] = contents.slice(whole.images.length)
    if (contents.length < whole.images.length) throw new Error('it lacks images')
    const images = Object.fromEntries(whole.images.map((name, i) => [name, contents[i]!]))
    const saved = history === undefined ? {} : (JSON.parse(new TextDecoder().decode(history)) as Partial<SavedHistory>)
    return { file, about: { ...whole, page: savedOptions(whole.page) }, images, history: saved }
  } catch (error) {
    throw new WebError('ERR_SOURCE', `recording: ${reasonOf(error)}`, { cause: error })
  }
}

/** The drives of a recorded machine: what was read of their media is in the recording. */
export const drivesOf = ({ drives }: About): readonly MachineDrive[] | null =>
  drives?.map(({ bytes, ...drive }) => ({ ...drive, medium: bytes === null ? null : absentMedium(bytes) })) ?? null

function absentMedium(bytes: number): NonNullable<MachineDrive['medium']> {
  const absent = (): Promise<never> => Promise.reject(new Error('the recording has no more of this disk'))
  const sizes = { blockBytes: 512, physicalBlockBytes: 512, maximumBytes: 1 << 20 }
  const properties = { bytes, ...sizes, readOnly: false, discards: false }
  const none = (): void => undefined
  return {
    properties,
    read: absent,
    write: absent,
    flush: absent,
    discard: absent,
    writeZeroes: absent,
    onChange: () => none,
  }
}

/** Makes a PC, and records it. @throws MachineError */
export async function recordedRun(options: PcOptions, images: LoadedImages, page: SentOptions): Promise<TravelledRun> {
  const file = new WrittenFile()
  const made: { pc?: Pc } = {}
  const disks = new DiskJournal(() => made.pc?.domain.instructions ?? 0)
  const names = Object.keys(images) as (keyof LoadedImages)[]
  const about: About = {
    version: 1,
    arguments: commandLineOf(page),
    savedAt: new Date().toISOString(),
    page: savedOptions(page),
    drives:
      page.drives?.map(({ id, interface: way, media }, i) => ({
        id,
        ...(media !== undefined && { media }),
        ...(way !== undefined && { interface: way }),
        bytes: options.drives?.[i]?.medium?.properties.bytes ?? null,
      })) ?? null,
    images: names,
  }
  const recorder = await recordPc(
    {
      ...{ epochSeconds: Math.floor(Date.now() / 1000), entropySeed: hostSeed() },
      ...options,
      ...{ drives: options.drives?.map((drive) => disks.of(drive)), clock: 'deterministic' },
    },
    (bytes) => file.write(bytes),
    { keepsPace: true, about, images: names.map((name) => images[name]!) },
  )
  const { pc } = recorder
  made.pc = pc
  const history = new RunHistoryKeeper(pc)
  return {
    ...{ live: pc, history, disks },
    get now() {
      return pc.domain.instructions
    },
    get bytes() {
      return file.bytes
    },
    debugger: () => recorder.debugger({ read: (offset, bytes) => file.read(offset, bytes) }),
    mark: (name) => {
      recorder.mark(name)
      history.mark(name)
    },
    async file() {
      const end: Uint8Array<ArrayBuffer>[] = []
      const json = new TextEncoder().encode(JSON.stringify(history.save()))
      await recorder.copyEnd((bytes) => end.push(bytes as Uint8Array<ArrayBuffer>), [json])
      return file.blob(end)
    },
    async close() {
      await recorder.end().catch(() => undefined)
      pc.close()
    },
  }
}

/** Runs the machine of a file again. @param onPc - told of each machine @throws MachineError; RecordingError */
export async function replayedRun(options: PcOptions, opened: OpenedRecording): Promise<TravelledRun> {
  const replay = await replayPc({ ...options, clock: 'deterministic' }, sourceOf(opened.file), { at: 'end' })
  const history = new RunHistoryKeeper(null)
  history.restore(opened.history)
  const begun = await replay.debugger()
  return {
    ...{ live: null, history, disks: null, now: replay.end, bytes: opened.file.size },
    debugger: () => Promise.resolve(begun),
    mark: (name) => history.mark(name),
    file: () => Promise.resolve(opened.file),
    close: () => Promise.resolve(replay.close()),
  }
}

const sourceOf = (file: Blob): { bytes: number; read(offset: number, bytes: number): Promise<Uint8Array> } => ({
  bytes: file.size,
  read: async (offset, bytes) => new Uint8Array(await file.slice(offset, offset + bytes).arrayBuffer()),
})
