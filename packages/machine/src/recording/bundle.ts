import { openRecording, type Recording, RecordingError } from '@retrap/recording'
import { MachineError } from '../errors.ts'
import type { PcOptions } from '../options/pc-options.ts'
import type { MachineBoard } from '../refusals/refusals.ts'
import { optionsOfBundle } from './bundled-options.ts'
import type { SavedHistory } from './run-history.ts'
import type { RecordingSource } from './run-replay.ts'

/** An image that a recording names in place of having it inside. */
export interface NamedImage {
  /** The path or the address of the image. */
  readonly name: string
  /** Size in bytes. */
  readonly bytes: number
  /** SHA-256, in hexadecimal. */
  readonly sha256: string
}

/** An image that was looked up by name. */
export interface FoundImage {
  /** Contents. */
  readonly bytes: Uint8Array
  /** SHA-256 of the bytes, in hexadecimal. */
  readonly sha256: string
}

/** A program's notes on a recording for other programs: `about` of its description. */
export interface BundleNotes {
  /** Version of these notes. */
  readonly version: 1
  /** Options as plain data, of `bundleOptions`; null: of a machine that cannot be bundled. */
  readonly bundle: object | null
  /** Number of images that the options refer to: the first in the file, without the images of `named`. */
  readonly images: number
  /** Images outside the bundle, by number; null: the bundle holds this image. Absent: the bundle holds all. */
  readonly named?: readonly (NamedImage | null)[]
  /** Host time at the start of saving, in ISO 8601. */
  readonly savedAt?: string
  /** The image behind them is a snapshot file of the instant at which the run begins. */
  readonly hasSnapshot?: true
  /** The command line of the recording program, without the program's name. */
  readonly arguments?: readonly string[]
}

/** A recording with its machine. */
export interface OpenedBundle {
  readonly board: MachineBoard
  /** The notes of the recording program, unchecked. */
  readonly notes: Partial<BundleNotes>
  /** Null: the options cannot be plain data, and only the recording program has them. Undefined: the options were not included. */
  readonly options: PcOptions | null | undefined
  /** A snapshot file of the instant at which the run begins; undefined: it begins with the machine. */
  readonly snapshot: Uint8Array | undefined
  /** The run's history; undefined: the recording was cut, or is of an earlier release. */
  readonly history: SavedHistory | undefined
}

/**
 * Checks the size and digest of an image that was looked up by name.
 *
 * @param found - undefined: no image has this name
 * @throws MachineError `ERR_OPTION` that says which image is missing, or is another one
 */
export function requireImage({ name, bytes, sha256 }: NamedImage, found: FoundImage | undefined): Uint8Array {
  const bad = (why: string): MachineError =>
    new MachineError('ERR_OPTION', `the image ${name} of this recording ${why}`)
  if (found === undefined) throw bad(`is missing: put a file of ${bytes} bytes there, whose SHA-256 is ${sha256}`)
  if (found.sha256 !== sha256)
    throw bad(`has changed: its SHA-256 is ${found.sha256}, expected ${sha256}, and ${bytes} bytes`)
  return found.bytes
}

/**
 * Reads from a recording the machine that it is of.
 *
 * @param find - looks up an image outside the bundle; default no lookup
 * @throws MachineError as {@link requireImage}; RecordingError as `openRecording`; MachineError `ERR_OPTION` for invalid options
 */
export async function openBundle(
  source: RecordingSource,
  find: (image: NamedImage) => Promise<FoundImage | undefined> = async () => undefined,
): Promise<OpenedBundle> {
  const recording = await openRecording(source)
  const { about, machine } = (recording.description ?? {}) as {
    readonly about?: Partial<BundleNotes> | null
    readonly machine?: { readonly machine?: MachineBoard }
  }
  const board = machine?.machine ?? 'pc'
  const notes = about ?? {}
  const { version, bundle, images = 0, named = [], hasSnapshot } = notes
  const isNoted = version === 1 && Number.isSafeInteger(images) && (images > 0 || bundle !== undefined)
  const history = await historyOf(recording)
  if (!isNoted) return { board, notes, options: undefined, snapshot: undefined, history }
  if (!Array.isArray(named) || images > recording.images + named.length)
    throw new MachineError('ERR_OPTION', `images: ${images}; expected as many as the recording has inside and names`)
  const contents = await Promise.all(Array.from({ length: recording.images }, (_, number) => recording.image(number)))
  const ofOptions: Uint8Array[] = []
  for (let number = 0; number < images; number++) {
    const image = named[number] ?? null
    const found = image === null ? contents.shift() : requireImage(image, await find(image))
    if (found !== undefined) ofOptions.push(found)
  }
  return {
    ...{ board, notes },
    options:
      typeof bundle === 'object' && bundle !== null ? optionsOfBundle({ options: bundle, images: ofOptions }) : null,
    snapshot: hasSnapshot === true ? contents[0] : undefined,
    history,
  }
}

/** Returns a recording's history, which is stored after the machine's images and the snapshot. @throws RecordingError `ERR_DAMAGED` */
export async function historyOf(recording: Recording): Promise<SavedHistory | undefined> {
  const { about } = (recording.description ?? {}) as { readonly about?: Partial<BundleNotes> | null }
  const { images = 0, named = [], hasSnapshot = false } = about ?? {}
  const inside = Array.isArray(named) ? images - named.filter((image) => image !== null).length : images
  const number = inside + Number(hasSnapshot)
  // A file that was cut behind the images has no history, and is replayed as far as it goes.
  if (recording.isCut && number > recording.images) await recording.image(number - 1)
  if (!(number < recording.images)) return undefined
  try {
    return JSON.parse(new TextDecoder().decode(await recording.image(number))) as SavedHistory
  } catch (error) {
    throw new RecordingError('ERR_DAMAGED', 'the recording is damaged: its history has another form', { cause: error })
  }
}
