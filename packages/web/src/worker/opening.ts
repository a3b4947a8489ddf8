import type { SentOptions, SentSource } from '../protocol.ts'
import { DEFAULT_MEMORY_BYTES, prepareBoard } from './boards.ts'
import { MachineDrives } from './machine-drives.ts'
import type { MachineNetwork } from './networks.ts'
import type { ReadSnapshot } from './read-snapshot.ts'
import type { SharedFiles } from './shared-files.ts'
import type * as Snapshotting from './snapshots.ts'
import { readWhole, type SourceListener } from './sources.ts'
import type { OpenedRecording } from './travelled-runs.ts'
import { type LoadedImages, readFirstImages } from './whole-images.ts'

/** Machines without a network do not load the module. */
const openNetwork = async (...given: Parameters<typeof MachineNetwork.open>): Promise<MachineNetwork> =>
  (await import('./networks.ts')).MachineNetwork.open(...given)

/** Machines without shared files do not load the module. */
const openFiles = async (): Promise<SharedFiles> => new (await import('./shared-files.ts')).SharedFiles()

/** Loaded when a machine is saved, or goes on from a snapshot. */
export const loadSnapshots = async (): Promise<typeof Snapshotting> => import('./snapshots.ts')

/** The parts of a machine that survive a reset. */
export interface OpenedParts {
  /** The options, completed by the snapshot's. */
  readonly options: SentOptions
  readonly images: LoadedImages
  readonly drives: MachineDrives
  readonly network: MachineNetwork | null
  /** Shared with the page; null: the machine has none. */
  readonly files: SharedFiles | null
  /** The snapshot that the machine begins with. */
  readonly snapshot: ReadSnapshot | null
  readonly recording: OpenedRecording | null
}

/** Opens the parts of a recorded machine. @throws WebError */
async function openRecorded(given: SentOptions, source: SentSource, listener: SourceListener): Promise<OpenedParts> {
  const { openRecordingFile } = await import('./travelled-runs.ts')
  const file =
    'blob' in source
      ? source.blob
      : new Blob([(await readWhole('recording', source, listener)) as Uint8Array<ArrayBuffer>])
  // Images named by a recording lie beside it.
  const beside = async (name: string): Promise<Uint8Array | undefined> => {
    if (!('url' in source)) return undefined
    const url = new URL(encodeURIComponent(name), source.url).href
    return readWhole('recording', { url }, listener).catch(() => undefined)
  }
  const recording = await openRecordingFile(file, beside)
  const { board } = recording
  const { memoryBytes, cpus, drives } = recording.options
  const options: SentOptions = { ...given, board, memoryBytes, ...({ cpus } as Pick<SentOptions, 'cpus'>) }
  await prepareBoard(options)
  const none = { images: {}, network: null, files: null, snapshot: null }
  return { ...none, options, drives: MachineDrives.ofRecording(drives ?? null, listener), recording }
}

/** Opens the parts of a machine. @throws WebError */
export async function openParts(options: SentOptions, listener: SourceListener): Promise<OpenedParts> {
  const { snapshot: from, recording } = options.images
  if (recording !== undefined) return openRecorded(options, recording, listener)
  const loading = Promise.all([
    from === undefined ? null : loadSnapshots().then(({ openFrom }) => openFrom(options, from, listener)),
    readFirstImages(options, listener),
    MachineDrives.open(options, listener),
  ])
  // Images load at the same time.
  const [[snapshot, images, drives]] = await Promise.all([loading, prepareBoard(options)])
  const saved = snapshot?.options
  const plug = options.network === undefined ? saved?.network : { ...saved?.network, ...options.network }
  const isCopy = snapshot !== null && options.network?.macAddress === undefined
  const network = plug === undefined ? null : await openNetwork(plug, isCopy, listener)
  const all = { memoryBytes: DEFAULT_MEMORY_BYTES, ...saved, ...options }
  const files = all.files === true ? await openFiles() : null
  return { options: all, images, drives, network, files, snapshot, recording: null }
}
