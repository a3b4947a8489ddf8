import { openRecording } from '@retrap/recording'
import type { PcOptions } from '../options/pc-options.ts'
import { optionsOfBundle } from './bundled-options.ts'
import type { RecordingSource } from './run-replay.ts'

/** A program's notes on a recording that other programs open: `about` of its description. */
export interface BundleNotes {
  /** Version of this shape. */
  readonly version: 1
  /** Options as plain data, of `bundleOptions`; null: they cannot be. */
  readonly bundle: object | null
  /** How many images the options name: the first of the file. */
  readonly images: number
  /** The image behind them is a snapshot file of the instant at which the run begins. */
  readonly hasSnapshot?: true
}

/** A recording with the machine that it is of. */
export interface OpenedBundle {
  /** Null: the options cannot be plain data, and its program alone has them. Undefined: they were not put in. */
  readonly options: PcOptions | null | undefined
  /** A snapshot file of the instant at which the run begins; undefined: it begins with the machine. */
  readonly snapshot: Uint8Array | undefined
  /** Images that the program has added for itself. */
  readonly more: readonly Uint8Array[]
}

/**
 * Reads from a recording the machine that it is of.
 *
 * @throws RecordingError as `openRecording`; MachineError `ERR_OPTION` for invalid options
 */
export async function openBundle(source: RecordingSource): Promise<OpenedBundle> {
  const recording = await openRecording(source)
  const { about } = (recording.description ?? {}) as { readonly about?: Partial<BundleNotes> | null }
  const { version, bundle, images = 0, hasSnapshot } = about ?? {}
  const isNoted = version === 1 && Number.isSafeInteger(images) && (images > 0 || bundle !== undefined)
  if (!isNoted) return { options: undefined, snapshot: undefined, more: [] }
  const contents = await Promise.all(Array.from({ length: recording.images }, (_, number) => recording.image(number)))
  const rest = contents.slice(images)
  return {
    options:
      typeof bundle === 'object' && bundle !== null
        ? optionsOfBundle({ options: bundle, images: contents.slice(0, images) })
        : null,
    snapshot: hasSnapshot === true ? rest[0] : undefined,
    more: hasSnapshot === true ? rest.slice(1) : rest,
  }
}
