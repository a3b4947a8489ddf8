import type { BlockBackend } from '@retrap/device'
import { FloppyController, floppyDriveType, I8237 } from '@retrap/devices/floppy'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'
import { drivesOf, type MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import { CHIPSETS } from '../machine-type.ts'
import { startsDirectly } from '../options/pc-options.ts'

const CHANNEL = 2
const MOST = 2

/**
 * Makes the floppy controller with its drives, and the DMA controllers that move its bytes.
 *
 * @throws DeviceError or MachineError `ERR_OPTION`
 */
export function place({ options }: Pick<DeviceSite, 'options'>): PlacedDevices {
  const places = placeFloppies(drivesOf(options.drives, 'floppy'))
  const media = places.map((drive): BlockBackend | null => drive?.medium ?? null)
  const dma = new I8237({ cascades: startsDirectly(options) })
  const controller = new FloppyController({ drives: media, dma: dma.channel(CHANNEL) })
  const isa = CHIPSETS[options.machine ?? 'pc'].isaBridgeDevice.toString(16)
  return {
    models: [dma, controller],
    floppies: media.map((medium) => floppyDriveType(medium?.properties.bytes ?? 0)),
    bootPaths: places.flatMap((drive, at) =>
      drive === null ? [] : [[{ ...drive, media: 'floppy' }, `/pci@i0cf8/isa@${isa}/fdc@03f0/floppy@${at}`]],
    ),
  }
}

/** Drives A and B; a drive A that is not asked for is there without a disk if B is. */
function placeFloppies(drives: readonly MachineDrive[]): readonly (MachineDrive | null)[] {
  const places: (MachineDrive | null)[] = []
  for (const drive of drives) {
    const at = drive.index ?? (places[0] ? 1 : 0)
    if (!Number.isInteger(at) || at < 0 || at >= MOST || places[at])
      throw new MachineError(
        'ERR_OPTION',
        `floppy drive ${at}: ${places[at] ? 'two drives have it' : 'expected 0 or 1'}`,
      )
    places[at] = drive
  }
  return Array.from(places, (drive) => drive ?? null)
}
