import type { Transfer } from './commands.ts'
import { SECTOR_BYTES } from './floppy-drive.ts'

/** The settings of a driver, and the command in progress. */
export interface FloppyRegisters {
  output: number
  tape: number
  rate: number
  /** Bytes of the command received so far. */
  input: number[]
  /** Bytes of a result that wait. */
  result: number[]
  transfer: Transfer | null
  /** SC/EOT: the last sector of a track, or sectors of one, as the last transfer said. */
  end: number
  /** The sector, or the address fields of a track to format. */
  buffer: Uint8Array
  /** Number of bytes moved; −1: no transfer possible now. */
  at: number
  /** Sectors left to format, with the fill byte. */
  format: { readonly offsets: number[]; readonly fill: number } | null
  /** A drive is looking for a sector's address. */
  looking: number
  interrupt: boolean
  /** Ends of seeks that were not asked for: status and drive. After a reset one for each drive. */
  ends: (readonly [status: number, drive: number])[]
  seeking: number
  specify: [number, number]
  configure: [number, number, number]
  perpendicular: number
  locked: boolean
}

/** Values at power-on. */
export const fresh = (): FloppyRegisters => ({
  output: 0,
  tape: 0,
  rate: 2,
  input: [],
  result: [],
  transfer: null,
  end: 0,
  buffer: new Uint8Array(SECTOR_BYTES),
  at: -1,
  format: null,
  looking: -1,
  interrupt: false,
  ends: [],
  seeking: 0,
  specify: [0, 0],
  // "EFIFO defaults to 1": the FIFO is off.
  configure: [0, 0x20, 0],
  perpendicular: 0,
  locked: false,
})

/** Returns a copy of all mutable registers. */
export function copyOf(registers: FloppyRegisters): FloppyRegisters {
  const { transfer, format } = registers
  return {
    ...registers,
    // States of earlier versions lack this field.
    end: registers.end ?? 0,
    input: [...registers.input],
    result: [...registers.result],
    ends: [...registers.ends],
    buffer: registers.buffer.slice(),
    transfer: transfer === null ? null : { ...transfer },
    format: format === null ? null : { ...format, offsets: [...format.offsets] },
  }
}

/** Whether bytes are moved by DMA, as SPECIFY says. */
export const usesDma = ({ specify }: FloppyRegisters): boolean => (specify[1] & 1) === 0
