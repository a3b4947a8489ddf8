import { type BlockBackend, DeviceError } from '@retrap/device'
import { type IdeDriveOptions, PiixIde } from '@retrap/devices'
import { MachineError } from './errors.ts'

/** A disk, or a drive for CDs, of the PC's IDE controller. */
export interface PcDrive {
  /** What is in it: an image of `@retrap/block`, or a back end of yours. A CD drive may have none (null). */
  readonly medium: BlockBackend | null
  /** Default `disk`. */
  readonly media?: 'disk' | 'cdrom' | undefined
  /** Place: 0 and 1 on the primary cable, 2 and 3 on the secondary one. Default the first free one; of a CD drive 2, if free. */
  readonly index?: number | undefined
  /** Firmware tries drives with such a number first, the lowest one before the others. */
  readonly bootIndex?: number | undefined
  /** At most 20 ASCII characters. */
  readonly serialNumber?: string | undefined
  /** At most 40 ASCII characters, 16 of a CD drive. */
  readonly model?: string | undefined
}

/** What firmware boots from. */
export interface PcBootOptions {
  /** Kinds of device in the order to try them: `c` disks, `d` CD drives; `a` and `n` are taken, and stand for nothing yet. Default `cad`. */
  readonly order?: string | undefined
  /** Whether firmware waits for Escape and offers its menu. Default false. */
  readonly menu?: boolean | undefined
}

/** Drives in their places, and what firmware is told of them. */
export interface PlacedDrives {
  readonly controller: PiixIde
  /** Paths of firmware's `bootorder` file, in order. */
  readonly bootOrder: readonly string[]
}

const PLACES = 4
/** The first CD drive of QEMU's `pc` is the secondary master. */
const USUAL_CD_PLACE = 2
const DEFAULT_ORDER = 'cad'

/**
 * Puts drives on the cables of an IDE controller.
 *
 * @throws MachineError `ERR_OPTION` for a place that is taken or not there, and for what no drive can be
 */
export function placeDrives(drives: readonly PcDrive[], boot: PcBootOptions = {}): PlacedDrives {
  const places: (PcDrive | null)[] = Array.from({ length: PLACES }, () => null)
  const put = (drive: PcDrive, at: number): void => {
    if (!Number.isInteger(at) || at < 0 || at >= PLACES || places[at] !== null) {
      const why = places[at] ? 'two drives have it' : `expected 0 to ${PLACES - 1}`
      throw new MachineError('ERR_OPTION', `drives: index ${at}: ${why}`)
    }
    places[at] = drive
  }
  for (const drive of drives) if (drive.index !== undefined) put(drive, drive.index)
  for (const drive of drives) {
    if (drive.index !== undefined) continue
    const free = drive.media === 'cdrom' && places[USUAL_CD_PLACE] === null ? USUAL_CD_PLACE : places.indexOf(null)
    if (free < 0) throw new MachineError('ERR_OPTION', `${drives.length} drives: expected at most ${PLACES}`)
    put(drive, free)
  }
  try {
    const controller = new PiixIde({ drives: places.map((drive) => (drive === null ? null : ideOptions(drive))) })
    return { controller, bootOrder: bootOrder(places, boot.order ?? DEFAULT_ORDER) }
  } catch (error) {
    if (error instanceof DeviceError) throw new MachineError('ERR_OPTION', `drives: ${error.message}`, { cause: error })
    throw error
  }
}

function ideOptions({ medium, media, serialNumber, model }: PcDrive): IdeDriveOptions {
  return {
    kind: media ?? 'disk',
    medium,
    ...(serialNumber !== undefined && { serialNumber }),
    ...(model !== undefined && { model }),
  }
}

/** Drives with a number, then those of each letter's kind (SeaBIOS, docs/Runtime_config.md, "bootorder"). */
function bootOrder(places: readonly (PcDrive | null)[], order: string): string[] {
  const there = places.flatMap((drive, at) => (drive === null ? [] : [{ drive, at }]))
  const numbered = there
    .filter(({ drive }) => drive.bootIndex !== undefined)
    .toSorted((a, b) => a.drive.bootIndex! - b.drive.bootIndex!)
  const letters = [...order, ...DEFAULT_ORDER]
  const others = letters.flatMap((letter) =>
    there.filter(({ drive }) => (drive.media === 'cdrom' ? 'd' : 'c') === letter),
  )
  const paths = [...numbered, ...others].map(({ at }) => `/pci@i0cf8/ide@1,1/drive@${at >> 1}/disk@${at & 1}`)
  return [...new Set(paths)]
}
