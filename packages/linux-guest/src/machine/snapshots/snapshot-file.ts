import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { inflateRawSync } from 'node:zlib'
import type { NamedImage, PcSnapshotSource } from '@retrap/machine'
import * as files from '@retrap/snapshot'
import { CliError, troubleWith } from '../../errors.ts'
import { refuseSpecial } from '../../host/files.ts'
import type { MachineSnapshotSource } from '../machine-contract.ts'
import { areSavedDisks, type SavedDisk } from './saved-disks.ts'

/** A snapshot file's notes on its run. */
export interface SavedRun {
  readonly version: 1
  /** The command line, without the program's name and without options of that run alone. */
  readonly arguments: readonly string[]
  /** Time of saving, in ISO 8601. */
  readonly savedAt: string
  /** Whether the user had paused the machine. Absent: the command line decides. */
  readonly isPaused?: boolean
  /** Digest of the host that saved the run, from {@link hostDigest}. Absent: unknown. */
  readonly host?: string
  /** Files of the machine's disks. */
  readonly disks?: readonly SavedDisk[]
  /** Drives whose guest's writes a page has put into the snapshot. */
  readonly writes?: readonly string[]
  /** In a recording: the machine's options as `bundleOptions` has them, and the number of images that it holds for them. */
  readonly bundle?: object
  readonly images?: number
  /** For each image by number, the file outside the recording that has it; null: the image is inside. */
  readonly named?: readonly (NamedImage | null)[]
}

/** Returns a digest that identifies this host and reveals nothing else. */
export function hostDigest(): string {
  let id = ''
  try {
    id = readFileSync('/etc/machine-id', 'utf8')
  } catch {
    // Other systems, and containers, have a name only.
  }
  return createHash('sha256').update(`${hostname()}\n${id}`).digest('hex').slice(0, 16)
}

/** Options with a value that belong to one run: a continued run gets its own. */
const OF_ONE_RUN: ReadonlySet<string> = new Set([
  '--timeout',
  '--command',
  '--save-on-exit',
  '--pace',
  '--record',
  '--record-checkpoints',
  '--record-images',
  '--replay',
  '--profile',
  '--symbols',
  '--jit-dump',
  '--unit-cache',
  '--trace',
  '--trace-to',
  '--control',
  '--incoming',
  '--gdb',
])

/** The only option of a run alone without a value. */
const WITHOUT_VALUE = '--record-bundle'

/** Returns the arguments that also hold for a run that continues from the snapshot. */
export function argumentsToKeep(given: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < given.length; i++) {
    const argument = given[i]!
    if (argument === WITHOUT_VALUE) continue
    if (OF_ONE_RUN.has(argument)) i++
    else if (!OF_ONE_RUN.has(argument.replace(/=.*$/s, ''))) kept.push(argument)
  }
  return kept
}

/**
 * Writes a snapshot to a file, which appears when complete.
 *
 * @returns size of the file in bytes
 * @throws CliError `ERR_INPUT` if the file cannot be written
 */
export async function writeSnapshotFile(
  path: string,
  run: SavedRun,
  snapshot: Omit<files.Snapshot, 'description'>,
  options?: files.WriteSnapshotOptions,
): Promise<number> {
  const partial = `${path}.partial`
  let bytes = 0
  try {
    await refuseSpecial(path)
    const file = await open(partial, 'w')
    try {
      const take = async (piece: Uint8Array): Promise<void> => {
        // A plain write may take only a part.
        await file.writeFile(piece)
        bytes += piece.length
      }
      await files.writeSnapshot({ description: run, ...snapshot }, take, options)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined)
    throw new CliError('ERR_INPUT', `cannot write the snapshot ${path}: ${messageOf(error, 'write')}`)
  }
  return bytes
}

/** Reads a snapshot file's notes on its run. @throws CliError `ERR_INPUT` */
export async function readSavedRun(path: string): Promise<SavedRun> {
  const run = (await explaining(path, () => describe(path))) as Partial<SavedRun> | null
  if (run?.version !== 1 || !Array.isArray(run.arguments) || !run.arguments.every((one) => typeof one === 'string'))
    throw new CliError('ERR_INPUT', `${path}: this snapshot is of no run of retrap; its program reads it`)
  if (run.isPaused !== undefined && typeof run.isPaused !== 'boolean')
    throw new CliError('ERR_INPUT', `${path}: whether its machine was paused is nothing that retrap writes`)
  if (run.disks !== undefined && !areSavedDisks(run.disks))
    throw new CliError('ERR_INPUT', `${path}: what it says of its disks is nothing that retrap writes`)
  if (Array.isArray(run.writes) && run.writes.length > 0) {
    const what = `a page has saved it with what its guest had written to ${run.writes.join(', ')}`
    throw new CliError('ERR_INPUT', `${path}: ${what}, which is in no image here; restore it in a page`)
  }
  return run as SavedRun
}

async function describe(path: string): Promise<unknown> {
  const file = openSync(path, 'r')
  try {
    return await files.readSnapshotDescription(lateSource(file))
  } finally {
    closeSync(file)
  }
}

/** Called with the count of a snapshot's pages read so far, now and then and at the end. */
export type PagesProgress = (done: number, all: number) => void

export interface OpenSnapshotOptions {
  readonly onProgress?: PagesProgress
  /** Whether to read and check the whole file first. Default false: each page is checked when it is read. */
  readonly verify?: boolean
  /** Called with the reason why a page cannot be read. The machine that needs it does not run on. */
  readonly onLost?: (message: string) => void
}

/**
 * Opens a snapshot file, whose pages are read on demand; the file closes when all pages are loaded.
 *
 * @throws CliError `ERR_INPUT`, also from the pages
 */
export async function openSnapshotFile(
  path: string,
  { onProgress = () => {}, verify = false, onLost = () => {} }: OpenSnapshotOptions = {},
): Promise<MachineSnapshotSource> {
  return explaining(path, async () => {
    const file = openSync(path, 'r')
    try {
      const { state, pages } = await files.openSnapshot(lateSource(file))
      const { gfns } = pages
      if (verify) await pages.verify()
      let done = 0
      return {
        // The machine validates the state later.
        state: state as PcSnapshotSource['state'],
        pages: {
          gfns,
          contents: (index) => {
            onProgress(++done, gfns.length)
            try {
              return pages.contents(index)
            } catch (error) {
              const lost = new CliError('ERR_INPUT', `${path}: ${messageOf(error)}`)
              onLost(lost.message)
              throw lost
            }
          },
          close: () => closeSync(file),
        },
      }
    } catch (error) {
      closeSync(file)
      throw error
    }
  })
}

function lateSource(file: number): files.LateSnapshotSource {
  const { size } = fstatSync(file)
  const read = (offset: number, bytes: number): Uint8Array => {
    const into = new Uint8Array(Math.min(bytes, Math.max(0, size - offset)))
    let done = 0
    for (let piece = -1; piece !== 0 && done < into.length; done += piece)
      piece = readSync(file, into, done, into.length - done, offset + done)
    return into.subarray(0, done)
  }
  return {
    bytes: size,
    // Yield to the event loop, so that signals are handled while a large file is read whole.
    read: (offset, bytes) => setImmediate().then(() => read(offset, bytes)),
    readNow: read,
    inflateNow: (data, most) => {
      const { buffer, byteOffset, length } = inflateRawSync(data, { maxOutputLength: most })
      return new Uint8Array(buffer, byteOffset, length)
    },
  }
}

/** Says of errors of which file they are. @throws CliError `ERR_INPUT` */
async function explaining<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw new CliError('ERR_INPUT', `${path}: ${messageOf(error)}`)
  }
}

/** @throws the error itself, if it is a defect of retrap */
function messageOf(error: unknown, wanted: 'read' | 'write' = 'read'): string {
  if (error instanceof files.SnapshotError || (error instanceof Error && 'code' in error))
    return troubleWith(error, wanted)
  throw error
}
