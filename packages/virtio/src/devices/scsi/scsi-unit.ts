import type { BlockBackend } from '@retrap/device'

/** Why a command failed: sense key, additional sense code and its qualifier (SPC-4, "Sense data"). */
export interface ScsiSense {
  /** Sense key. */
  readonly key: number
  /** Additional sense code. */
  readonly code: number
  /** Its qualifier. */
  readonly qualifier: number
}

/** A run of blocks. */
export interface ScsiRange {
  /** The first one. */
  readonly first: number
  /** How many. */
  readonly count: number
}

/** What a command leads to: nothing more, a reason why not, bytes for the driver, or work of the medium. */
export type ScsiOutcome =
  | { readonly kind: 'good' }
  | { readonly kind: 'failed'; readonly sense: ScsiSense }
  /** Of the bytes the driver has asked for `most`. */
  | { readonly kind: 'data'; readonly bytes: Uint8Array; readonly most: number }
  /** Blocks that are read. */
  | ({ readonly kind: 'blocks' } & ScsiRange)
  /** Blocks that are written with the data of the command. */
  | ({ readonly kind: 'write'; readonly durable: boolean } & ScsiRange)
  /** All that was written becomes durable. */
  | { readonly kind: 'flush' }
  /** Blocks whose content is not needed, or becomes zeroes. */
  | { readonly kind: 'discard' | 'zeroes'; readonly ranges: readonly ScsiRange[] }

/** A logical unit. `ScsiDisk` is a disk; `CdCommands` of `@retrap/devices` is a CD drive. */
export interface ScsiCommands {
  /**
   * Executes a command.
   *
   * @param data - returns so many bytes of the command's data; null: the driver has sent fewer
   */
  execute(command: Uint8Array, data: (bytes: number) => Uint8Array | null): ScsiOutcome
  /** Returns to the state after power-on, or after a reset of the unit. */
  powerOn(): void
  /** Returns its state as plain data. */
  save(): unknown
  /** Takes over what `save` returned. */
  restore(state: never): void
}

/** A logical unit of a target, with the medium behind it. */
export interface ScsiUnit {
  /** Executes its commands. */
  readonly commands: ScsiCommands
  /** What is in it; null: a drive without a medium. */
  readonly medium: BlockBackend | null
  /** Bytes of a block: 2048 of a CD. */
  readonly blockBytes: number
}

const sense = (key: number, code: number, qualifier = 0): ScsiSense => ({ key, code, qualifier })

type SenseName =
  | 'none'
  | 'noMedium'
  | 'unreadable'
  | 'writeError'
  | 'unknownCommand'
  | 'outOfRange'
  | 'badField'
  | 'badParameter'
  | 'noUnit'
  | 'noSavedPages'
  | 'readOnly'
  | 'powerOn'
  | 'capacityChanged'
  | 'noSpace'
  | 'aborted'

/** Reasons that units give (SPC-4, annex D, "Numeric order codes"). */
export const SENSE: Readonly<Record<SenseName, ScsiSense>> = {
  none: sense(0, 0),
  noMedium: sense(2, 0x3a),
  unreadable: sense(3, 0x11),
  writeError: sense(3, 0x0c),
  unknownCommand: sense(5, 0x20),
  outOfRange: sense(5, 0x21),
  badField: sense(5, 0x24),
  noUnit: sense(5, 0x25),
  badParameter: sense(5, 0x26),
  noSavedPages: sense(5, 0x39),
  powerOn: sense(6, 0x29),
  capacityChanged: sense(6, 0x2a, 9),
  readOnly: sense(7, 0x27),
  noSpace: sense(7, 0x27, 7),
  aborted: sense(0xb, 0),
}

const SENSE_BYTES = 18

/** Fixed format sense data of a current error (SPC-4, "Fixed format sense data"). */
export function senseData({ key, code, qualifier }: ScsiSense): Uint8Array {
  const bytes = new Uint8Array(SENSE_BYTES)
  bytes[0] = 0x70
  bytes[2] = key
  bytes[7] = SENSE_BYTES - 8
  bytes[12] = code
  bytes[13] = qualifier
  return bytes
}

export const be16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!
export const be32 = (bytes: Uint8Array, at: number): number => be16(bytes, at) * 0x1_0000 + be16(bytes, at + 2)
/** Exact up to 2^53; a larger number is beyond the end of every medium. */
export const be64 = (bytes: Uint8Array, at: number): number => be32(bytes, at) * 2 ** 32 + be32(bytes, at + 4)
