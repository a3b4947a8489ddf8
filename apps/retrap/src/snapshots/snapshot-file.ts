import { open, rename, rm } from 'node:fs/promises'
import type { PcSnapshot } from '@retrap/machine'
import {
  readSnapshot,
  readSnapshotDescription,
  SnapshotError,
  type SnapshotSource,
  writeSnapshot,
} from '@retrap/snapshot'
import { CliError } from '../cli-error.ts'

/** What a snapshot file says of the run that it is of. */
export interface SavedRun {
  /** Version of this shape. */
  readonly version: 1
  /** The command line, without the program's name and without what belongs to that run alone. */
  readonly arguments: readonly string[]
  /** When it was saved, as ISO 8601 has it. */
  readonly savedAt: string
}

/** Options, with a value each, that belong to one run: the run that goes on gets its own. */
const OF_ONE_RUN: ReadonlySet<string> = new Set([
  '--timeout',
  '--command',
  '--save-on-exit',
  '--profile',
  '--jit-dump',
  '--trace',
  '--trace-to',
])

/** The part of a command line that a run which goes on has too. */
export function argumentsToKeep(given: readonly string[]): string[] {
  const kept: string[] = []
  for (let i = 0; i < given.length; i++) {
    const argument = given[i]!
    if (OF_ONE_RUN.has(argument)) i++
    else if (!OF_ONE_RUN.has(argument.replace(/=.*$/s, ''))) kept.push(argument)
  }
  return kept
}

/**
 * Writes a snapshot to a file, which appears when it is whole.
 *
 * @returns its size in bytes
 * @throws CliError `ERR_INPUT` where it cannot be written
 */
export async function writeSnapshotFile(
  path: string,
  run: SavedRun,
  snapshot: PcSnapshot,
  onProgress?: (done: number, all: number) => void,
): Promise<number> {
  const partial = `${path}.partial`
  let bytes = 0
  try {
    const file = await open(partial, 'w')
    try {
      const take = async (piece: Uint8Array): Promise<void> => {
        // A plain write may take only a part.
        await file.writeFile(piece)
        bytes += piece.length
      }
      await writeSnapshot({ description: run, ...snapshot }, take, onProgress && { onProgress })
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined)
    throw new CliError('ERR_INPUT', `cannot write the snapshot ${path}: ${messageOf(error)}`)
  }
  return bytes
}

/** Reads what a snapshot file says of its run. @throws CliError `ERR_INPUT` */
export async function readSavedRun(path: string): Promise<SavedRun> {
  const run = (await withFile(path, readSnapshotDescription)) as Partial<SavedRun> | null
  if (run?.version !== 1 || !Array.isArray(run.arguments) || !run.arguments.every((one) => typeof one === 'string'))
    throw new CliError('ERR_INPUT', `${path}: this snapshot is of no run of retrap; its program reads it`)
  return run as SavedRun
}

/** Reads a snapshot file. @throws CliError `ERR_INPUT` */
export async function readSnapshotFile(path: string): Promise<PcSnapshot> {
  const { state, pages } = await withFile(path, readSnapshot)
  // The machine checks what is in it.
  return { state: state as PcSnapshot['state'], pages }
}

async function withFile<T>(path: string, read: (source: SnapshotSource) => Promise<T>): Promise<T> {
  try {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      return await read({
        bytes: size,
        async read(offset, bytes) {
          const into = new Uint8Array(Math.min(bytes, Math.max(0, size - offset)))
          const { bytesRead } = await file.read(into, 0, into.length, offset)
          return into.subarray(0, bytesRead)
        },
      })
    } finally {
      await file.close()
    }
  } catch (error) {
    throw new CliError('ERR_INPUT', `${path}: ${messageOf(error)}`)
  }
}

/** @throws what is a defect of ours */
function messageOf(error: unknown): string {
  if (error instanceof SnapshotError || (error instanceof Error && 'code' in error)) return error.message
  throw error
}
