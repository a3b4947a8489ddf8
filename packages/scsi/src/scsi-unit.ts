import type { BlockBackend } from '@retrap/device'
import { be32, be16, bytes16 } from './fields.ts'
import { SENSE, type ScsiSense } from './sense.ts'

/** A run of blocks. */
export interface ScsiRange {
  readonly first: number
  /** How many. */
  readonly count: number
}

/** Work of the medium: `performScsi` does it. */
export type ScsiWork =
  /** Reads blocks. */
  | ({ readonly kind: 'blocks' } & ScsiRange)
  /** Blocks that are written with the data of the command. */
  | ({ readonly kind: 'write'; readonly durable: boolean } & ScsiRange)
  /** Writes the same data to each block. */
  | ({ readonly kind: 'same'; readonly block: Uint8Array } & ScsiRange)
  /** Makes all written data durable. */
  | { readonly kind: 'flush' }
  /** Blocks whose content is not needed, or becomes zeroes. */
  | { readonly kind: 'discard' | 'zeroes'; readonly ranges: readonly ScsiRange[] }

/** The outcome of a command: nothing more, a reason why not, bytes for the host, or work of the medium. */
export type ScsiOutcome =
  | { readonly kind: 'good' }
  | { readonly kind: 'failed'; readonly sense: ScsiSense }
  /** Of the bytes the host has asked for `most`. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array; readonly most: number }
  | ScsiWork

/** A logical unit: it interprets commands, and its transport moves the data. `ScsiDisk` and `ScsiCd` are units. */
export interface ScsiUnit {
  /** The medium; null: always empty. */
  readonly medium: BlockBackend | null
  /** Bytes of a block: 2048 of a CD. */
  readonly blockBytes: number
  /**
   * How often the medium has been exchanged or taken out: a command that sees two numbers may have data of two media, and
   * fails. Absent: it stays.
   */
  readonly exchanges?: number
  /** Returns the sense data of such a command. */
  senseOfExchange?(): ScsiSense
  /** Returns the number of parameter bytes of a command, besides data to write, such as the list of ranges of UNMAP. */
  parameterBytes(command: Uint8Array): number
  /**
   * Executes a command.
   *
   * @param parameters - the data that `parameterBytes` asks for; fewer bytes when the host has sent fewer
   */
  execute(command: Uint8Array, parameters?: Uint8Array): ScsiOutcome
  /** Returns to the state after power-on, or after a reset of the unit. */
  powerOn(): void
  /** Called when the unit is removed: it unsubscribes from its medium. */
  removed?(): void
  /** Returns the state as plain data. */
  save(): unknown
  /** Restores the state that `save` returned. */
  restore(state: never): void
}

export const GOOD: ScsiOutcome = { kind: 'good' }
export const failed = (sense: ScsiSense): ScsiOutcome => ({ kind: 'failed', sense })
export const BAD_FIELD: ScsiOutcome = failed(SENSE.badField)
export const dataOf = (bytes: Uint8Array, most: number): ScsiOutcome => ({ kind: 'data', bytes, most })

const REPORT_WELL_KNOWN = 1
const REPORT_ALL = 2

/** Executes REPORT LUNS for a target with the single unit 0 (SPC-4, "REPORT LUNS"). */
export function reportUnits(command: Uint8Array): ScsiOutcome {
  const select = command[2]!
  if (select > REPORT_ALL) return BAD_FIELD
  // The target has no well-known units.
  const list = new Uint8Array(select === REPORT_WELL_KNOWN ? 8 : 16)
  list[3] = list.length - 8
  return dataOf(list, be32(command, 6))
}

/** INQUIRY of a unit that is not there: no device type (SPC-4, "Standard INQUIRY data"). */
export const absentUnit = (): Uint8Array => Uint8Array.of(0x7f, 0, 0x06, 0x12, 31, ...new Uint8Array(31))

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
 * @param pages - mode pages, each with its code and length in front
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
