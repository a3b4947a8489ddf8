import { DeviceError } from '@retrap/device'
import type { IdeDriveOptions } from '@retrap/devices/ide'
import type { BootPath, MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'

/** A controller for drives, with as many places as its boards have. */
export interface DriveController<Model> {
  readonly places: number
  /** A drive's path in firmware's `bootorder` file. */
  readonly path: (at: number) => string
  /** Makes the model; null: the place is empty. */
  readonly create: (options: { readonly drives: readonly (IdeDriveOptions | null)[] }) => Model
}

/** The first CD drive of QEMU's boards. */
const USUAL_CD_PLACE = 2

/**
 * Puts drives on the cables of an IDE controller, or on the ports of a SATA controller.
 *
 * @throws MachineError `ERR_OPTION` for a place that is taken or absent, and for a device that is not a drive
 */
export function placeDrives<Model>(
  drives: readonly MachineDrive[],
  { places: most, path, create }: DriveController<Model>,
): { readonly models: readonly [Model]; readonly bootPaths: readonly BootPath[] } {
  const places: (MachineDrive | null)[] = Array.from({ length: most }, () => null)
  const put = (drive: MachineDrive, at: number): void => {
    if (!Number.isInteger(at) || at < 0 || at >= most || places[at] !== null) {
      const why = places[at] ? 'two drives have it' : `expected 0 to ${most - 1}`
      throw new MachineError('ERR_OPTION', `drives: index ${at}: ${why}`)
    }
    places[at] = drive
  }
  for (const drive of drives) if (drive.index !== undefined) put(drive, drive.index)
  for (const drive of drives) {
    if (drive.index !== undefined) continue
    const free = drive.media === 'cdrom' && places[USUAL_CD_PLACE] === null ? USUAL_CD_PLACE : places.indexOf(null)
    if (free < 0) throw new MachineError('ERR_OPTION', `${drives.length} drives: expected at most ${most}`)
    put(drive, free)
  }
  try {
    const model = create({ drives: places.map((drive) => (drive === null ? null : driveOptions(drive))) })
    return { models: [model], bootPaths: places.flatMap((drive, at) => (drive === null ? [] : [[drive, path(at)]])) }
  } catch (error) {
    if (error instanceof DeviceError) throw new MachineError('ERR_OPTION', `drives: ${error.message}`, { cause: error })
    throw error
  }
}

function driveOptions({ medium, media, serialNumber, model }: MachineDrive): IdeDriveOptions {
  return { kind: media ?? 'disk', medium, serialNumber, model }
}
