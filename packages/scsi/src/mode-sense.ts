import { be16, bytes16 } from './fields.ts'
import { BAD_FIELD, dataOf, failed, type ScsiOutcome } from './scsi-unit.ts'
import { SENSE } from './sense.ts'

/** Operation code of MODE SENSE(6). */
export const MODE_SENSE_6 = 0x1a
/** Operation code of MODE SENSE(10). */
export const MODE_SENSE_10 = 0x5a
const ALL_PAGES = 0x3f
const ALL_SUBPAGES = 0xff
/** Page control. */
const CHANGEABLE = 1
const SAVED = 3

/**
 * MODE SENSE of 6 or 10 bytes (SPC-4, "MODE SENSE(6) command", "Mode parameters"). No page can be changed or saved.
 *
 * @param pages - each with its code and length in front
 * @param head - the medium type and the device-specific byte of the header
 */
export function modeSense(
  command: Uint8Array,
  pages: readonly (readonly number[])[],
  { mediumType, flags }: { readonly mediumType: number; readonly flags: number },
): ScsiOutcome {
  const control = command[2]! >> 6
  const code = command[2]! & 0x3f
  const subpage = command[3]!
  if (control === SAVED) return failed(SENSE.noSavedPages)
  const wanted = pages.filter(([found]) => code === ALL_PAGES || found === code)
  if (wanted.length === 0 || (subpage !== 0 && subpage !== ALL_SUBPAGES)) return BAD_FIELD
  const bytes = wanted.flatMap((page) => page.map((value, i) => (control === CHANGEABLE && i >= 2 ? 0 : value)))
  if (command[0] === MODE_SENSE_6)
    return dataOf(Uint8Array.of(bytes.length + 3, mediumType, flags, 0, ...bytes), command[4]!)
  const head = [...bytes16(bytes.length + 6), mediumType, flags, 0, 0, 0, 0]
  return dataOf(Uint8Array.of(...head, ...bytes), be16(command, 7))
}
