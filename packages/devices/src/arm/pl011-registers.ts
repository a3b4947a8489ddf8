// Registers of the PL011 and their bits.
// Source: Arm DDI 0183F, "PrimeCell UART (PL011) Technical Reference Manual", chapter 3, "Programmers Model".

// Offsets.
export const DR = 0x00
export const RSR_ECR = 0x04
export const FR = 0x18
const ILPR = 0x20
const IBRD = 0x24
const FBRD = 0x28
export const LCR_H = 0x2c
export const CR = 0x30
export const IFLS = 0x34
export const IMSC = 0x38
const RIS = 0x3c
export const MIS = 0x40
export const ICR = 0x44
const DMACR = 0x48

/** Part 0x011 of Arm (0x41), revision 1: FIFOs of 16 characters. */
export const PL011_ID = 0x0014_1011

/** Errors of a character in DR; RSR has them eight bits lower. */
export const DR_BE = 0x400
export const DR_OE = 0x800
export const DR_ERRORS_SHIFT = 8

export const FR_CTS = 0x001
export const FR_DSR = 0x002
export const FR_DCD = 0x004
export const FR_BUSY = 0x008
export const FR_RXFE = 0x010
export const FR_TXFF = 0x020
export const FR_RXFF = 0x040
export const FR_TXFE = 0x080
export const FR_RI = 0x100

export const LCR_BRK = 0x01
export const LCR_FEN = 0x10
export const LCR_WLEN_SHIFT = 5

export const CR_UARTEN = 0x0001
export const CR_LBE = 0x0080
export const CR_RXE = 0x0200
export const CR_DTR = 0x0400
export const CR_RTS = 0x0800
export const CR_OUT1 = 0x1000
export const CR_OUT2 = 0x2000
export const CR_CTSEN = 0x8000
/** Bits 6:3 are reserved. */
export const CR_WRITABLE = 0xff87

export const INT_RI = 0x001
export const INT_CTS = 0x002
export const INT_DCD = 0x004
export const INT_DSR = 0x008
export const INT_RX = 0x010
export const INT_TX = 0x020
export const INT_RT = 0x040
export const INT_BE = 0x200
export const INT_OE = 0x400
export const INT_ALL = 0x7ff

/** The guest's registers, but for the receiver's, by the manual's names without the prefix UART. */
export const POWER_ON = {
  ilpr: 0,
  ibrd: 0,
  fbrd: 0,
  lcrH: 0,
  /** Transmitter and receiver are on, the UART is not. */
  cr: 0x0300,
  /** Default levels: both FIFOs interrupt at half full. */
  ifls: 0x12,
  imsc: 0,
  ris: 0,
  dmacr: 0,
}

/** Registers that read as they are, and the bits that a write stores as they come. */
export const STORED: Readonly<Record<number, { readonly name: keyof typeof POWER_ON; readonly writable: number }>> = {
  [ILPR]: { name: 'ilpr', writable: 0xff },
  [IBRD]: { name: 'ibrd', writable: 0xffff },
  [FBRD]: { name: 'fbrd', writable: 0x3f },
  [LCR_H]: { name: 'lcrH', writable: 0 },
  [CR]: { name: 'cr', writable: 0 },
  [IFLS]: { name: 'ifls', writable: 0x3f },
  [IMSC]: { name: 'imsc', writable: INT_ALL },
  [RIS]: { name: 'ris', writable: 0 },
  [DMACR]: { name: 'dmacr', writable: 7 },
}
