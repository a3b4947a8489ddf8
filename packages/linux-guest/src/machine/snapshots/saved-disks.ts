import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { crc32 } from '@retrap/snapshot'
import { CliError } from '../../errors.ts'

/** A file of a machine's disks when the machine was saved. */
export interface SavedDisk {
  /** The path by which the command line, or the image above, names the image. */
  readonly path: string
  /** Size. */
  readonly bytes: number
  /** Time of the last write to the disk: nanoseconds since 1970, in decimal digits. */
  readonly modified: string
  /** CRC-32 of its first 4 KiB: the header of a qcow2 image, which has no generation of its own; a disk's boot sector. */
  readonly head: number
}

const HEAD_BYTES = 4096
const SECOND = 1_000_000_000n

/** Looks at the files of disks, without a turn of the event loop. Disks that cannot be read any more are left out. */
export function lookAtDisks(paths: readonly string[]): SavedDisk[] {
  return paths.flatMap((path) => {
    try {
      return [lookAt(path)]
    } catch {
      // Save the machine nevertheless.
      return []
    }
  })
}

function lookAt(path: string): SavedDisk {
  const file = openSync(path, 'r')
  try {
    const { size, mtimeNs } = fstatSync(file, { bigint: true })
    const head = Buffer.alloc(HEAD_BYTES)
    const read = readSync(file, head, 0, HEAD_BYTES, 0)
    return { path, bytes: Number(size), modified: String(mtimeNs), head: crc32(head.subarray(0, read)) }
  } finally {
    closeSync(file)
  }
}

/** Whether a file's list of disks is valid. */
export function areSavedDisks(given: unknown): given is readonly SavedDisk[] {
  const isDisk = (one: Partial<SavedDisk> | null): boolean =>
    typeof one?.path === 'string' &&
    typeof one.bytes === 'number' &&
    typeof one.head === 'number' &&
    typeof one.modified === 'string' &&
    /^-?\d+$/.test(one.modified)
  return Array.isArray(given) && given.every(isDisk)
}

/**
 * Refuses changed disks: a guest continues with cached data, and would overwrite the rest. Missing files are reported
 * where they are opened.
 *
 * @throws CliError `ERR_INPUT`
 */
export function refuseChangedDisks(saved: readonly SavedDisk[]): void {
  for (const before of saved) {
    const [now] = lookAtDisks([before.path])
    const change = now && changeOf(before, now)
    if (change === undefined) continue
    const what = `${before.path}: it has changed since the machine was saved: ${change}`
    const then = 'the guest would damage what it does not know of; give the disk as it was, or --force'
    throw new CliError('ERR_INPUT', `${what}; ${then}`)
  }
}

function changeOf(before: SavedDisk, now: SavedDisk): string | undefined {
  if (now.bytes !== before.bytes) return `it has ${now.bytes} bytes, and had ${before.bytes}`
  if (!isSameTime(BigInt(now.modified), BigInt(before.modified)))
    return `it was written at ${dateOf(now.modified)}, and then at ${dateOf(before.modified)}`
  return now.head === before.head ? undefined : 'its first 4 KiB are others'
}

/** Copies and archives may keep whole seconds alone. */
function isSameTime(a: bigint, b: bigint): boolean {
  const isWhole = a % SECOND === 0n || b % SECOND === 0n
  return a === b || (isWhole && a / SECOND === b / SECOND)
}

function dateOf(nanoseconds: string): string {
  const date = new Date(Number(BigInt(nanoseconds) / 1_000_000n))
  return Number.isNaN(date.getTime()) ? 'no time' : date.toISOString()
}
