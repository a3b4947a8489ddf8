/** The way in which a command moves sectors. */
export interface Transfer {
  /** `verify` reads the medium and moves nothing. */
  readonly direction: 'in' | 'out' | 'verify'
  /** `multiple`: as many sectors for each interrupt as SET MULTIPLE MODE says. */
  readonly by: 'sector' | 'multiple' | 'dma'
  /** 48-bit address and 16-bit count. */
  readonly ext: boolean
  /** Forced unit access. */
  readonly durable: boolean
}

/** A sector command in progress. */
export interface Moving {
  /** The sector that the buffer begins with. */
  readonly lba: number
  /** Number of sectors still to move, including sectors in the buffer. */
  readonly left: number
  /** Sectors in the buffer. */
  readonly inBuffer: number
  /** Sectors in the buffer that the medium has read. */
  readonly good: number
  /** Sectors that it is asked for: fewer after an error, to find the sector that it is at. */
  readonly asked: number
  /** Whether the sector after the good ones is unreadable: the command ends before it. */
  readonly bad: boolean
  /** Bytes of the buffer that the host has moved. */
  readonly at: number
}

const row = (direction: Transfer['direction'], by: Transfer['by'], kind: '28' | '48' | '48 FUA' = '28'): Transfer => ({
  direction,
  by,
  ext: kind !== '28',
  durable: kind === '48 FUA',
})

/** Commands that move sectors, by opcode (ATA8-ACS, "Command codes"; commands without retries are of ATA-3). */
export const TRANSFERS: ReadonlyMap<number, Transfer> = new Map([
  [0x20, row('in', 'sector')],
  [0x21, row('in', 'sector')],
  [0x24, row('in', 'sector', '48')],
  [0x25, row('in', 'dma', '48')],
  [0x29, row('in', 'multiple', '48')],
  [0x30, row('out', 'sector')],
  [0x31, row('out', 'sector')],
  [0x34, row('out', 'sector', '48')],
  [0x35, row('out', 'dma', '48')],
  [0x39, row('out', 'multiple', '48')],
  [0x3d, row('out', 'dma', '48 FUA')],
  [0x40, row('verify', 'sector')],
  [0x41, row('verify', 'sector')],
  [0x42, row('verify', 'sector', '48')],
  [0xc4, row('in', 'multiple')],
  [0xc5, row('out', 'multiple')],
  [0xc8, row('in', 'dma')],
  [0xc9, row('in', 'dma')],
  [0xca, row('out', 'dma')],
  [0xcb, row('out', 'dma')],
  [0xce, row('out', 'multiple', '48 FUA')],
])
