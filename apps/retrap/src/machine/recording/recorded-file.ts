/** Files of recordings, and the machine that one may have inside. */
import { createHash } from 'node:crypto'
import { type FileHandle, open, stat } from 'node:fs/promises'
import {
  type FoundImage,
  historyOf,
  type NamedImage,
  openBundle,
  type PcOptions,
  type PcSnapshot,
  type RecordingSource,
  requireImage,
  type RunFailure,
} from '@retrap/machine'
import { openRecording, RecordingError } from '@retrap/recording'
import { readSnapshot } from '@retrap/snapshot'
import { attempt, CliError, troubled } from '@retrap/linux-guest/errors'
import { pathOf, readBytes } from '@retrap/linux-guest/host/files'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import type { SavedRun } from '@retrap/linux-guest/machine/snapshots/snapshot-file'

/** Opens a recording to read or to write it. @throws CliError `ERR_INPUT` */
export const opened = (path: string, flags: 'r' | 'w'): Promise<FileHandle> =>
  open(path, flags).catch(flags === 'w' ? troubled(`cannot write the recording ${path}`, 'write') : troubled(path))

/** Opens a file that can be read at any place, which a pipe cannot. @throws CliError `ERR_INPUT` */
export async function openedFile(path: string): Promise<FileHandle> {
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true)
    throw new CliError('ERR_INPUT', `${path}: gdb goes back only where the recording is a file`)
  return opened(path, 'r')
}

/** Reads bytes of a file; fewer at its end. */
export async function readAt(file: FileHandle, offset: number, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes)
  const { bytesRead } = await file.read(into, 0, bytes, offset)
  return into.subarray(0, bytesRead)
}

/** A file as a source. @throws CliError `ERR_INPUT` */
export async function fileSource(path: string): Promise<RecordingSource & { close(): Promise<void> }> {
  const file = await opened(path, 'r')
  const { size } = await file.stat()
  return {
    bytes: size,
    close: () => file.close(),
    read: (offset, bytes) => readAt(file, offset, Math.max(0, Math.min(bytes, size - offset))),
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Names an image by its file; null if no file has it, as for the embedded guest. */
export function namedImage(bytes: Uint8Array): NamedImage | null {
  const path = pathOf(bytes)
  return path === undefined ? null : { name: path, bytes: bytes.length, sha256: sha256(bytes) }
}

/**
 * Checks the images that a recording names.
 *
 * @throws CliError `ERR_INPUT` that says which is missing, or has changed
 */
export async function checkNamedImages(path: string, { named = [] }: Pick<SavedRun, 'named'>): Promise<void> {
  for (const image of named) {
    if (image === null) continue
    const found = await stat(image.name).catch(() => undefined)
    // A recording may name anything: a device or a pipe has no end.
    const bytes = found?.isFile() === true ? await readBytes(image.name).catch(() => undefined) : undefined
    attempt(path, () => requireImage(image, bytes && { bytes, sha256: sha256(bytes) }))
  }
}

/** Reads the notes that a recording's program has left in it, and its run's failure. @throws CliError `ERR_INPUT` that names the file */
export async function readRecordingNotes(
  path: string,
): Promise<{ readonly about: unknown; readonly failure: RunFailure | undefined }> {
  const file = await fileSource(path)
  try {
    const recording = await openRecording(file)
    const { about } = (recording.description ?? {}) as { readonly about?: unknown }
    return { about, failure: (await historyOf(recording))?.failure }
  } catch (error) {
    throw error instanceof RecordingError ? new CliError('ERR_INPUT', `${path}: ${error.message}`) : error
  } finally {
    await file.close()
  }
}

/** A recording's notes on its run: the command line that made the machine, or the machine, or both. */
export type RecordedNotes = Omit<SavedRun, 'arguments'> & Partial<Pick<SavedRun, 'arguments'>>

/** Reads a recording's notes on its run, and checks the images that they name. @throws CliError `ERR_INPUT` */
export async function readRecordedRun(path: string): Promise<RecordedNotes> {
  const about = (await readRecordingNotes(path)).about as Partial<SavedRun> | null | undefined
  const { arguments: given, bundle } = about ?? {}
  const isKnown = given === undefined ? typeof bundle === 'object' && bundle !== null : isListOfTexts(given)
  if (about?.version !== 1 || !isKnown)
    throw new CliError('ERR_INPUT', `${path}: this recording is of no run of retrap; its program replays it`)
  await checkNamedImages(path, about)
  return about as RecordedNotes
}

const isListOfTexts = (value: unknown): boolean => Array.isArray(value) && value.every((one) => typeof one === 'string')

/** The machine that a recording has inside, of any board. */
export type MachineInside = PcOptions & Required<Pick<MachineOptions, 'architecture'>>

/**
 * Reads the machine that a recording has inside; images that the recording names were checked.
 *
 * @returns undefined: only the command line can make the machine
 * @throws CliError `ERR_INPUT`
 */
export async function machineInside(path: string): Promise<MachineInside | undefined> {
  const file = await fileSource(path)
  try {
    const named = async ({ name, sha256: hash }: NamedImage): Promise<FoundImage> => ({
      bytes: await readBytes(name),
      sha256: hash,
    })
    const { options: plain, board, snapshot } = await openBundle(file, named)
    if (plain === undefined || plain === null) return undefined
    const options: MachineInside = { ...plain, architecture: board === 'virt' ? 'arm64' : 'amd64' }
    if (snapshot === undefined) return options
    const read = (offset: number, bytes: number): Uint8Array => snapshot.subarray(offset, offset + bytes)
    const { state, pages } = await readSnapshot({ bytes: snapshot.length, read })
    return { ...options, snapshot: { state, pages } as PcSnapshot }
  } catch (error) {
    throw new CliError('ERR_INPUT', `${path}: ${error instanceof Error ? error.message : error}`)
  } finally {
    await file.close()
  }
}
