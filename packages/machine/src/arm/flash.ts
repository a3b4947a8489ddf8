import { CfiFlash } from '@retrap/devices/flash'
import { MachineError } from '../errors.ts'
import { loadFlash, type MachineFlash } from '../firmware/flash.ts'
import { VIRT } from './layout.ts'

/** Block size of all chips together: Linux and firmware find it by the query. */
const BLOCK_BYTES = 256 << 10
const BUS_BYTES = 4

/**
 * Makes the flash memories of an Arm board: the first has firmware, which starts at its first byte, the second keeps the
 * firmware's variables. A flash without contents is erased, and lasts as long as the machine.
 *
 * @throws MachineError `ERR_OPTION` for a medium larger than the flash, and for a writable medium of another size
 */
export async function armFlash(list: readonly MachineFlash[]): Promise<readonly CfiFlash[]> {
  const { base, bytes, count } = VIRT.flash
  if (list.some(({ secure }) => secure === true))
    throw new MachineError('ERR_OPTION', 'flash: secure: expected a PC with smm true')
  const loaded = await loadFlash(list, bytes * count)
  return Array.from({ length: count }, (_, unit) => {
    const contents = new Uint8Array(bytes).fill(0xff)
    const given = list[unit]
    const found = loaded[unit] ?? new Uint8Array(0)
    const readOnly = given !== undefined && (given.readOnly ?? given.medium.properties.readOnly)
    if (found.length > bytes || (given !== undefined && !readOnly && found.length !== bytes))
      throw new MachineError(
        'ERR_OPTION',
        `flash ${unit}: ${found.length} bytes: expected ${bytes}, or fewer read-only`,
      )
    contents.set(found)
    return new CfiFlash({
      name: `flash-${unit}`,
      gpa: base + unit * bytes,
      contents,
      busBytes: BUS_BYTES,
      blockBytes: BLOCK_BYTES,
      ...(readOnly ? { readOnly } : { medium: given?.medium }),
    })
  })
}
