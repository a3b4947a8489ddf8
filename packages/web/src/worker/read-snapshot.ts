import type { PcOptions, PcSnapshotSource } from '@retrap/machine'
import type { ArmSnapshotSource } from '@retrap/machine/arm'
import type { BlockImage } from '@retrap/block'
import type { SavedOptions } from '../protocol.ts'

/** A medium, by the drive's name. */
export type NamedMedium = readonly [id: string, medium: BlockImage | null]

/** A snapshot to go on from: of a PC, or of an Arm board. Its machine looks whether the state is one of its own. */
export interface ReadSnapshot {
  readonly state: PcSnapshotSource['state'] | ArmSnapshotSource['state']
  /** Returns options of a machine, which refuses the state of another board. A recorded one has a clock of its own kind. */
  readonly onClock: (isRecorded: boolean) => {
    readonly snapshot: Pick<ReadSnapshot, 'pages' | 'state'>
  } & Pick<PcOptions, 'generation'>
  /** Pages of RAM. The machine closes them; without a machine the caller has to. */
  readonly pages: Extract<PcSnapshotSource['pages'], { contents: unknown }>
  /** Resolves when no more pages will be read: all are loaded, or none can be. */
  readonly arrived: Promise<void>
  /** The options of the saved machine, as far as it says. */
  readonly options: SavedOptions
  readonly console: Uint8Array | null
  /** Whether the user had paused the machine. */
  readonly isPaused?: boolean
  /** Checks whether the snapshot is of these disks. @returns restores their written contents. @throws WebError `ERR_SOURCE` */
  checkDisks(media: readonly NamedMedium[]): () => void
}
