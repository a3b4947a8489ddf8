/** Why a command failed: sense key, additional sense code and its qualifier (SPC-4, "Sense data"). */
export interface ScsiSense {
  /** Sense key. */
  readonly key: number
  /** Additional sense code. */
  readonly code: number
  /** Qualifier. */
  readonly qualifier: number
}

const sense = (key: number, code: number, qualifier = 0): ScsiSense => ({ key, code, qualifier })

/** Names of reasons. */
export type ScsiSenseName =
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
  | 'removalPrevented'
  | 'mediumChanged'
  | 'powerOn'
  | 'capacityChanged'
  | 'readOnly'
  | 'noSpace'
  | 'aborted'

/** Reasons that units give (SPC-4, annex D, "Numeric order codes"). */
export const SENSE: Readonly<Record<ScsiSenseName, ScsiSense>> = {
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
  removalPrevented: sense(5, 0x53, 2),
  mediumChanged: sense(6, 0x28),
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
