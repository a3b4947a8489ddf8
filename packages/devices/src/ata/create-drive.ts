import { type BlockBackend, DeviceError } from '@retrap/device'
import { CD_BLOCK_BYTES } from '@retrap/scsi'
import { AtaDisk } from './ata-disk.ts'
import { AtapiCd } from './atapi-cd.ts'
import type { AtaDrive } from './drive.ts'

/** A drive on the cable. */
export interface IdeDriveOptions {
  /** An ATA disk, or an ATAPI drive for CDs and DVDs. */
  readonly kind: 'disk' | 'cdrom'
  /** The drive's medium: of a disk in blocks of 512 bytes, of a CD drive of at most 2048, or nothing. */
  readonly medium: BlockBackend | null
  /** At most 40 characters, 16 of a CD drive in its packets; default `RETRAP HARDDISK` or `RETRAP CD-ROM`. */
  readonly model?: string | undefined
  /** At most 20 characters; the medium's own goes before it. Default `RT0000` and the drive's number. */
  readonly serialNumber?: string | undefined
}

const wrong = (controller: string, what: string): DeviceError => new DeviceError('ERR_OPTION', `${controller}: ${what}`)

/**
 * Makes a drive.
 *
 * @param controller - name of the controller for messages
 * @param serialAta - whether it is at the end of a serial link, with a queue for commands
 * @throws DeviceError `ERR_OPTION`
 */
export function createDrive(
  controller: string,
  options: IdeDriveOptions | null,
  index: number,
  serialAta = false,
): AtaDrive | null {
  if (options === null) return null
  const { kind, medium, serialNumber = `RT0000${index + 1}` } = options
  checkText(controller, `model of drive ${index}`, options.model ?? '', kind === 'cdrom' ? 16 : 40)
  checkText(controller, `serial number of drive ${index}`, serialNumber, 20)
  const blockBytes = medium?.properties.blockBytes ?? 512
  if (kind === 'cdrom' && CD_BLOCK_BYTES % blockBytes !== 0) {
    const expected = `a medium whose blocks divide ${CD_BLOCK_BYTES} bytes`
    throw wrong(controller, `CD drive ${index} has blocks of ${blockBytes} bytes: expected ${expected}`)
  }
  if (kind === 'cdrom') return new AtapiCd({ medium, serialNumber, model: options.model ?? 'RETRAP CD-ROM' })
  if (medium === null || blockBytes !== 512) {
    const found = medium === null ? 'no medium' : `blocks of ${blockBytes} bytes`
    throw wrong(controller, `disk ${index} has ${found}: expected a medium with blocks of 512 bytes`)
  }
  return new AtaDisk({ medium, serialNumber, model: options.model ?? 'RETRAP HARDDISK', serialAta })
}

function checkText(controller: string, what: string, text: string, most: number): void {
  if (text.length > most || !/^[\x20-\x7e]*$/.test(text))
    throw wrong(controller, `${what} '${text}': expected at most ${most} printable ASCII characters`)
}
