/*
 * Source: Intel 82077AA data sheet (290166), "Command Set/Descriptions".
 */

/** The kind of a command. */
export type FloppyCommand =
  | 'read'
  | 'write'
  | 'verify'
  | 'read-track'
  | 'format'
  | 'read-id'
  | 'recalibrate'
  | 'seek'
  | 'relative-seek'
  | 'sense-interrupt'
  | 'sense-drive'
  | 'specify'
  | 'configure'
  | 'dump'
  | 'version'
  | 'perpendicular'
  | 'lock'
  | 'invalid'

/** A row of the table: the compared bits, their values, the count of bytes after the opcode, and the command. */
type Row = readonly [mask: number, value: number, parameters: number, command: FloppyCommand]

const ROWS: readonly Row[] = [
  [0x1f, 0x06, 8, 'read'],
  [0x1f, 0x0c, 8, 'read'],
  [0x3f, 0x05, 8, 'write'],
  [0x3f, 0x09, 8, 'write'],
  [0x9f, 0x02, 8, 'read-track'],
  [0x1f, 0x16, 8, 'verify'],
  [0xbf, 0x0d, 5, 'format'],
  [0xbf, 0x0a, 1, 'read-id'],
  [0xff, 0x07, 1, 'recalibrate'],
  [0xff, 0x08, 0, 'sense-interrupt'],
  [0xff, 0x03, 2, 'specify'],
  [0xff, 0x04, 1, 'sense-drive'],
  [0xff, 0x0f, 2, 'seek'],
  [0xbf, 0x8f, 2, 'relative-seek'],
  [0xff, 0x13, 3, 'configure'],
  [0xff, 0x0e, 0, 'dump'],
  [0xff, 0x10, 0, 'version'],
  [0xff, 0x12, 1, 'perpendicular'],
  [0x7f, 0x14, 0, 'lock'],
]

/** Returns the command of a first byte, and the number of bytes that follow. */
export function commandOf(opcode: number): { readonly command: FloppyCommand; readonly parameters: number } {
  const row = ROWS.find(([mask, value]) => (opcode & mask) === value)
  return row === undefined ? { command: 'invalid', parameters: 0 } : { command: row[3], parameters: row[2] }
}

/** Commands that move sectors. */
export type TransferKind = 'read' | 'write' | 'verify' | 'read-track' | 'format'

/** A command that moves sectors, on its way. */
export interface Transfer {
  readonly kind: TransferKind
  readonly drive: number
  /** Whether the command continues on the cylinder's second head. */
  readonly multiTrack: boolean
  /** Address field of the sector that is next. */
  cylinder: number
  head: number
  sector: number
  readonly size: number
  /** The last sector of a track. */
  readonly end: number
  /** Sectors that are left of a verify with a count; −1: the verify has no count. */
  left: number
  /** The channel's count has ended. */
  ended: boolean
}

/** Reads the bytes of a command that moves sectors. */
export function transferOf(kind: TransferKind, bytes: readonly number[]): Transfer {
  const [opcode = 0, select = 0, cylinder = 0, head = 0, sector = 0, size = 0, end = 0, , last = 0] = bytes
  const common = { kind, drive: select & 3, multiTrack: (opcode & 0x80) !== 0, ended: false, left: -1 }
  if (kind === 'format')
    return { ...common, cylinder: 0, head: (select >> 2) & 1, sector: 1, size: cylinder, end: head }
  const counts = kind === 'verify' && (select & 0x80) !== 0
  const first = kind === 'read-track' ? 1 : sector
  return { ...common, cylinder, head, sector: first, size, end, left: counts ? last || 256 : -1 }
}

/**
 * Goes on to the next sector. Where the last sector of a command (EOT) is beyond that of the track, and both heads are read, the
 * next sector is the first one of the other head, then of the next cylinder. The data sheet finds no sector there (ND); but
 * SeaBIOS sends such a number for each INT 13h that goes over the end of a track, and the controllers of QEMU and Bochs go on.
 * The drive's head is then where the driver's last seek took it: SeaBIOS seeks only where it believes the head elsewhere.
 *
 * @param last - the last sector of the track
 * @returns false: the last sector of the cylinder, or of the track, is done
 */
export function nextSector(transfer: Transfer, last: number): boolean {
  const bothHeads = transfer.multiTrack && transfer.kind !== 'read-track'
  const goesOver = bothHeads && transfer.end > last
  if (transfer.sector !== (goesOver ? last : transfer.end)) {
    transfer.sector = (transfer.sector + 1) & 0xff
    return true
  }
  transfer.sector = 1
  if (bothHeads) {
    transfer.head ^= 1
    if (transfer.head === 1) return true
  }
  transfer.cylinder = (transfer.cylinder + 1) & 0xff
  return goesOver
}
