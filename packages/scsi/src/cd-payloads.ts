import { bytes16, bytes32, text } from './fields.ts'

// The answers of a CD drive. Numbers are big-endian; lengths in headers do not count themselves.

/** Bytes of a block of a data disc. */
export const CD_BLOCK_BYTES = 2048

const PROFILE_CD_ROM = 0x0008
const PROFILE_DVD_ROM = 0x0010
/** Blocks of the largest CD: 99 minutes at 75 a second. */
const CD_BLOCKS = 99 * 60 * 75
const DATA_TRACK = 0x14
const LEAD_OUT = 0xaa
/** The program area begins two seconds after the first address. */
const MSF_OFFSET = 150

/** A block's address as the host asked for it: a number, or minutes, seconds and frames. */
function address(block: number, msf: boolean): readonly number[] {
  if (!msf) return bytes32(block)
  const frames = block + MSF_OFFSET
  return [0, Math.min(255, Math.floor(frames / (60 * 75))), Math.floor(frames / 75) % 60, frames % 75]
}

/** INQUIRY (SPC-3, "Standard INQUIRY data"; 0x21 in byte 3: a packet device's format). */
export function inquiry(model: string): Uint8Array {
  return Uint8Array.of(0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0, ...text('RETRAP', 8), ...text(model, 16), ...text('1.0', 4))
}

/** READ CAPACITY. */
export const capacity = (blocks: number): Uint8Array =>
  Uint8Array.of(...bytes32(blocks - 1), ...bytes32(CD_BLOCK_BYTES))

/**
 * READ TOC of a disc with one session of one data track (MMC-5, "READ TOC/PMA/ATIP").
 *
 * @param first - the track to begin with; 0xAA: the lead-out alone
 * @returns null for a track that does not exist
 */
export function tableOfContents(blocks: number, first: number, msf: boolean): Uint8Array | null {
  if (first > 1 && first !== LEAD_OUT) return null
  const track = first <= 1 ? [0, DATA_TRACK, 1, 0, ...address(0, msf)] : []
  const entries = [...track, 0, DATA_TRACK, LEAD_OUT, 0, ...address(blocks, msf)]
  return Uint8Array.of(...bytes16(entries.length + 2), 1, 1, ...entries)
}

/** READ TOC, format 1: where the last session begins. */
export function sessions(msf: boolean): Uint8Array {
  return Uint8Array.of(...bytes16(10), 1, 1, 0, DATA_TRACK, 1, 0, ...address(0, msf))
}

/** READ SUB-CHANNEL: no audio is being played. */
export const subChannel = (): Uint8Array => Uint8Array.of(0, 0x15, 0, 0)

/** READ DISC INFORMATION: a complete disc of one session. */
export function discInformation(): Uint8Array {
  const bytes = new Uint8Array(34)
  bytes.set([...bytes16(32), 0x0e, 1, 1, 1, 1, 0x20])
  // Last possible lead-in and lead-out: not known.
  bytes.fill(0xff, 16, 24)
  return bytes
}

/** MECHANISM STATUS: no changer. */
export const mechanismStatus = (open: boolean): Uint8Array => Uint8Array.of(0, open ? 0x10 : 0, 0, 0, 0, 0, 0, 0)

const ERROR_RECOVERY = [0x01, 6, 0, 5, 0, 0, 0, 0]
/** CD capabilities (MMC-2): reads CD-R, CD-RW, DVD-ROM; tray, lock, eject; 4x in kilobytes a second. */
const capabilities = (locked: boolean): readonly number[] => [
  ...[0x2a, 18, 0x0b, 0, 0x70, 0, 0x29 | (locked ? 2 : 0), 0],
  ...[...bytes16(706), ...bytes16(2), ...bytes16(512), ...bytes16(706), 0, 0, 0, 0],
]

/** Mode pages: error recovery, capabilities. */
export const cdPages = (locked: boolean): readonly (readonly number[])[] => [ERROR_RECOVERY, capabilities(locked)]

/** Medium type of MODE SENSE: a data disc of 120 mm, or none. */
export const mediumType = (present: boolean): number => (present ? 0x01 : 0x70)

/**
 * GET CONFIGURATION (MMC-5, "Features").
 *
 * @param type - type - 0: all features, 1: the current ones, 2: the feature `first`
 */
export function configuration(blocks: number, first: number, type: number): Uint8Array {
  const isDvd = blocks > CD_BLOCKS
  const present = blocks > 0
  const profile = present ? (isDvd ? PROFILE_DVD_ROM : PROFILE_CD_ROM) : 0
  const feature = (code: number, current: boolean, ...data: readonly number[]) => ({
    code,
    current,
    bytes: [...bytes16(code), 0x00 | (current ? 1 : 0), data.length, ...data],
  })
  const profileRow = (code: number): readonly number[] => [...bytes16(code), code === profile ? 1 : 0, 0]
  const features = [
    feature(0x0000, true, ...profileRow(PROFILE_DVD_ROM), ...profileRow(PROFILE_CD_ROM)),
    feature(0x0001, true, ...bytes32(2), 0, 0, 0, 0), // core: ATAPI
    feature(0x0003, true, 0x29, 0, 0, 0), // removable medium: tray, eject, lock
    feature(0x0010, present, ...bytes32(CD_BLOCK_BYTES), ...bytes16(1), 0, 0), // random readable
    feature(0x001e, present && !isDvd, 0, 0, 0, 0), // CD read
    feature(0x001f, present && isDvd), // DVD read
  ]
  const wanted = features.filter(({ code, current }) =>
    type === 2 ? code === first : code >= first && (type === 0 || current),
  )
  const bytes = wanted.flatMap((one) => one.bytes)
  return Uint8Array.of(...bytes32(bytes.length + 4), 0, 0, ...bytes16(profile), ...bytes)
}

/** The events of the medium in GET EVENT STATUS NOTIFICATION. */
export const MEDIUM_EVENT = { none: 0, ejectRequest: 1, newMedium: 2, removal: 3 } as const

/**
 * GET EVENT STATUS NOTIFICATION.
 *
 * @param classes - requested event classes; only bit 4, media events, is supported
 */
export function eventStatus(classes: number, event: number, state: { open: boolean; present: boolean }): Uint8Array {
  const supported = 1 << 4
  if ((classes & supported) === 0) return Uint8Array.of(0, 2, 0x80, supported)
  const medium = (state.open ? 1 : 0) | (state.present ? 2 : 0)
  return Uint8Array.of(0, 6, 4, supported, event, medium, 0, 0)
}
