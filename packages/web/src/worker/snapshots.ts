import { withWorkingSet } from '@retrap/hvm'
import { Overlay, type OverlayState } from '@retrap/block'
import { type PcSnapshot, type PcSnapshotState, stateOnClock } from '@retrap/machine'
import type { ArmSnapshot, ArmSnapshotState } from '@retrap/machine/arm'
import { type SnapshotPages, writeSnapshotAfter } from '@retrap/snapshot'
import { WebError } from '../errors.ts'
import type { SavedOptions, SavedSnapshot, SentOptions, SentSource } from '../protocol.ts'
import { MAC_ADDRESS } from '../sent-options.ts'
import { commandLineOf } from './command-line.ts'
import type { NamedMedium, ReadSnapshot } from './read-snapshot.ts'
import { type OpenedSnapshot, openSnapshotSource } from './snapshot-source.ts'
import { reasonOf, type SourceListener } from './sources.ts'

/** The parts of a page's snapshot beside the machine's own state. Other programs pass over it. */
interface PageParts {
  /** The guest's writes to its disks, by the drive's name. */
  readonly writes?: Readonly<Record<string, OverlayState>>
  /** The end of the guest's serial output. */
  readonly console?: Uint8Array
  /** The pages that the guest touches first, again: they come with the state, before all others. */
  readonly first?: SnapshotPages
}

type PageState = (PcSnapshotState | ArmSnapshotState) & PageParts

/** The description in a snapshot. The first four fields are as in the command line's. */
interface Description {
  readonly version: 1
  readonly arguments: readonly string[]
  readonly savedAt: string
  /** Whether the user had paused the machine. Absent: it ran. */
  readonly isPaused?: boolean
  /** Options of the page's machine. */
  readonly page?: SavedOptions
  /** Drives whose writes are in the snapshot. */
  readonly writes?: readonly string[]
}

/** Time for a guest with its first pages to handle the user's first keys, before other pages are prefetched. */
const FIRST_KEYS_MS = 1500
/** The writes of a disk that nobody has written to. */
const NO_WRITES = {
  version: 1,
  clusters: new Uint32Array(),
  bytes: new Uint8Array(),
  zeroes: new Uint32Array(),
} as const

/** Options of a machine that a snapshot keeps. */
const KEPT = [
  'memoryBytes',
  'cpus',
  'cpu',
  'board',
  'commandLine',
  'vga',
  'tablet',
  'hypervisor',
  'sound',
  'files',
] as const

/**
 * The part of a machine's options that a snapshot keeps. A file may say anything else beside. Of a network it is the card alone:
 * a file of somebody else's connects the page to nothing.
 */
export function savedOptions({ network, ...options }: SavedOptions): SavedOptions {
  const kept = Object.fromEntries(
    KEPT.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  )
  const { card, macAddress } = network ?? {}
  if (typeof macAddress !== 'string' || !MAC_ADDRESS.test(macAddress)) return kept
  return { ...kept, network: { kind: 'none', macAddress, ...(card === 'e1000' && { card }) } }
}

/** @throws WebError `ERR_OPTION` for a machine with kept disks: they cannot go back in time with it */
export function checkKept({ drives }: Pick<SentOptions, 'drives'>): void {
  const kept = drives?.find(({ keep }) => keep !== undefined)
  if (kept === undefined) return
  const why = 'what was written to it would not go back in time with the machine'
  throw new WebError('ERR_OPTION', `${kept.id} is kept, and a machine with a kept disk has no snapshots: ${why}`)
}

/**
 * Opens a snapshot for a machine. Pages are read on demand.
 *
 * @throws WebError `ERR_SOURCE`; `ERR_OPTION` for a machine with kept disks
 */
export async function openFrom(
  options: Pick<SentOptions, 'drives'>,
  source: SentSource,
  listener: SourceListener,
): Promise<ReadSnapshot> {
  checkKept(options)
  return readSnapshot(source, listener)
}

/**
 * Opens a snapshot for an existing machine.
 *
 * @throws WebError as {@link openFrom}; `ERR_MACHINE` for another machine's snapshot
 */
export async function openAgain(
  options: SentOptions,
  source: SentSource,
  listener: SourceListener,
): Promise<ReadSnapshot> {
  const snapshot = await openFrom(options, source, listener)
  try {
    checkMachine(snapshot, options)
    return snapshot
  } catch (error) {
    snapshot.pages.close?.()
    throw error
  }
}

async function readSnapshot(source: SentSource, listener: SourceListener): Promise<ReadSnapshot> {
  let opened: OpenedSnapshot | undefined
  try {
    opened = await openSnapshotSource(source, listener)
    const { description, state, pages, ready, close } = opened
    const { page, isPaused } = (description ?? {}) as Partial<Description>
    const saved = state as PageState | null
    const { machine, writes, console, first } = (saved ?? {}) as Partial<PageState>
    if (typeof machine !== 'object' || machine === null) throw new Error('it is of no machine that a page has')
    const arrived = Promise.withResolvers<void>()
    const late = {
      gfns: pages.gfns,
      contents: (index: number) => {
        try {
          return pages.contents(index)
        } catch (error) {
          arrived.resolve()
          throw error
        }
      },
      ready,
      close: () => {
        arrived.resolve()
        close()
      },
    }
    const all = first === undefined ? late : withWorkingSet(late, first, firstKeys())
    return {
      state: saved as PageState,
      pages: all,
      onClock: onClock(saved as PageState, all, true),
      arrived: arrived.promise,
      options: {
        memoryBytes: machine.memoryBytes,
        cpus: machine.cpus,
        board: machine.machine as 'pc' | 'q35' | 'virt',
        ...savedOptions(page ?? {}),
      },
      console: console instanceof Uint8Array ? console : null,
      isPaused: isPaused === true,
      checkDisks: (media) => checkDisks(media, writes ?? {}),
    }
  } catch (error) {
    opened?.close()
    throw new WebError('ERR_SOURCE', `snapshot: ${reasonOf(error)}`, { cause: error })
  }
}

const firstKeys = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, FIRST_KEYS_MS))

/** See `ReadSnapshot.onClock`. @param isSaved - others may resume it, too: a recording stores the generation ID of each */
export const onClock =
  (state: ReadSnapshot['state'], pages: ReadSnapshot['pages'], isSaved = false): ReadSnapshot['onClock'] =>
  (isRecorded) => ({
    snapshot: { state: stateOnClock(state, isRecorded ? 'deterministic' : 'real', hostSeed()), pages },
    ...(isRecorded && isSaved && { generation: { after: hostSeed() } }),
  })

/** 32 random bits of the host's. */
export const hostSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!

/** @throws WebError `ERR_MACHINE` for a snapshot whose machine obviously differs */
function checkMachine(
  { state: { machine } }: ReadSnapshot,
  { memoryBytes, cpus = 1, board = 'pc' }: SavedOptions,
): void {
  const text = (bytes: unknown, vcpus: unknown, name: unknown): string =>
    `${Number(bytes) / 2 ** 20} MiB, board '${String(name)}', vCPUs: ${String(vcpus)}`
  const [found, own] = [text(machine.memoryBytes, machine.cpus, machine.machine), text(memoryBytes, cpus, board)]
  if (found !== own)
    throw new WebError('ERR_MACHINE', `snapshot: it is of a machine with ${found}; this one has ${own}`)
}

function checkDisks(media: readonly NamedMedium[], writes: Readonly<Record<string, OverlayState>>): () => void {
  const lost = Object.keys(writes).find((id) => !media.some(([name]) => name === id))
  if (lost !== undefined)
    throw new WebError('ERR_SOURCE', `snapshot: it has writes to a disk '${lost}', which this machine has not`)
  const states = media.flatMap(([id, medium]) =>
    medium instanceof Overlay
      ? [{ id, medium, state: writes[id] ?? { ...NO_WRITES, diskBytes: medium.properties.bytes } }]
      : [],
  )
  // All disks are put back, or none.
  for (const { id, medium, state } of states) {
    try {
      medium.checkState(state)
    } catch (error) {
      throw new WebError('ERR_SOURCE', `snapshot: ${id}: ${reasonOf(error)}`, { cause: error })
    }
  }
  return () => {
    for (const { medium, state } of states) medium.restore(state)
  }
}

/** Waits for pending disk requests of a closed machine, which could otherwise change restored disks. */
export async function settleDisks(media: readonly NamedMedium[]): Promise<void> {
  await Promise.all(media.map(async ([, medium]) => medium instanceof Overlay && medium.idle()))
}

/** Copies the guest's writes to its disks, while no request is under way. */
export async function savedWrites(media: readonly NamedMedium[]): Promise<Record<string, OverlayState>> {
  const writes: Record<string, OverlayState> = {}
  for (const [id, medium] of media) {
    if (!(medium instanceof Overlay)) continue
    await medium.idle()
    const state = medium.save()
    if (state.clusters.length > 0 || state.zeroes.length > 0) writes[id] = state
  }
  return writes
}

/** Puts a machine's state together with the page's own data. */
export function wholeSnapshot(
  options: SentOptions,
  { state, pages }: PcSnapshot | ArmSnapshot,
  writes: Readonly<Record<string, OverlayState>>,
  console: Uint8Array,
  isPaused: boolean,
): Omit<SavedSnapshot, 'instant'> {
  const written = Object.keys(writes)
  const description: Description = {
    version: 1,
    arguments: commandLineOf(options),
    savedAt: new Date().toISOString(),
    isPaused,
    page: savedOptions(options),
    ...(written.length > 0 && { writes: written }),
  }
  const whole: PageState = { ...state, ...(written.length > 0 && { writes }), console }
  return { description, state: whole, pages, frames: state.domain.frames }
}

/**
 * Makes a snapshot's file, which `retrap restore` takes as well.
 *
 * @param before - the file of the instant since which pages were written: the new file shares its unchanged parts, which
 * are not read
 */
export async function snapshotFile(snapshot: SavedSnapshot, before: Blob | null): Promise<Blob> {
  const parts: BlobPart[] = []
  const partOf = (offset: number, bytes: number): Blob => before!.slice(offset, offset + bytes)
  const read = async (offset: number, bytes: number): Promise<Uint8Array> =>
    new Uint8Array(await partOf(offset, bytes).arrayBuffer())
  await writeSnapshotAfter(
    snapshot.pages.onlyWritten === true ? { bytes: before!.size, read } : null,
    snapshot,
    snapshot.frames,
    (part) => parts.push('offset' in part ? partOf(part.offset, part.bytes) : (part as Uint8Array<ArrayBuffer>)),
  )
  return new Blob(parts, { type: 'application/octet-stream' })
}
