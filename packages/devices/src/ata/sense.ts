/** Why a packet command failed: sense key, additional sense code and its qualifier. */
export interface Sense {
  /** Sense key. */
  readonly key: number
  /** Additional sense code. */
  readonly code: number
  /** Its qualifier. */
  readonly qualifier: number
}

const sense = (key: number, code: number, qualifier = 0): Sense => ({ key, code, qualifier })

type SenseName =
  | 'none'
  | 'noMedium'
  | 'unreadable'
  | 'unknownCommand'
  | 'outOfRange'
  | 'badField'
  | 'noSavedPages'
  | 'removalPrevented'
  | 'mediumChanged'
  | 'powerOn'

/** Reasons that a CD drive gives (SPC-3, "Sense key and additional sense code definitions"). */
export const SENSE: Readonly<Record<SenseName, Sense>> = {
  none: sense(0, 0),
  noMedium: sense(2, 0x3a),
  unreadable: sense(3, 0x11),
  unknownCommand: sense(5, 0x20),
  outOfRange: sense(5, 0x21),
  badField: sense(5, 0x24),
  noSavedPages: sense(5, 0x39),
  removalPrevented: sense(5, 0x53, 2),
  mediumChanged: sense(6, 0x28),
  powerOn: sense(6, 0x29),
}

const BYTES = 18

/** Fixed format sense data of a current error (SPC-3, "Fixed format sense data"). */
export function senseData({ key, code, qualifier }: Sense): Uint8Array {
  const bytes = new Uint8Array(BYTES)
  bytes[0] = 0x70
  bytes[2] = key
  bytes[7] = BYTES - 8
  bytes[12] = code
  bytes[13] = qualifier
  return bytes
}
