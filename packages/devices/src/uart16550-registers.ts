// Registers of the 16550A and their bits.
// Source: National Semiconductor PC16550D data sheet (June 1995), "Registers".

// Offsets.
export const RBR_THR_DLL = 0
export const IER_DLM = 1
export const IIR_FCR = 2
export const LCR = 3
export const MCR = 4
export const LSR = 5
export const MSR = 6

export const IER_RDA = 0x01
export const IER_THRE = 0x02
export const IER_RLS = 0x04
export const IER_MODEM = 0x08
export const IER_WRITABLE = 0x0f

export const IIR_MODEM = 0x00
export const IIR_NONE = 0x01
export const IIR_THRE = 0x02
export const IIR_RDA = 0x04
export const IIR_RLS = 0x06
export const IIR_TIMEOUT = 0x0c
export const IIR_FIFOS = 0xc0

export const FCR_ENABLE = 0x01
export const FCR_CLEAR_RX = 0x02
export const FCR_CLEAR_TX = 0x04

export const LCR_BREAK = 0x40
export const LCR_DLAB = 0x80

export const MCR_DTR = 0x01
export const MCR_RTS = 0x02
export const MCR_OUT1 = 0x04
export const MCR_OUT2 = 0x08
export const MCR_LOOP = 0x10
export const MCR_WRITABLE = 0x1f

export const LSR_DR = 0x01
export const LSR_OE = 0x02
export const LSR_PE = 0x04
export const LSR_FE = 0x08
export const LSR_BI = 0x10
export const LSR_THRE = 0x20
export const LSR_TEMT = 0x40
export const LSR_FIFO_ERROR = 0x80
export const LSR_ERRORS: number = LSR_OE | LSR_PE | LSR_FE | LSR_BI

export const MSR_CTS = 0x10
export const MSR_DSR = 0x20
export const MSR_RI = 0x40
export const MSR_DCD = 0x80
export const MSR_DELTA_RI = 0x04
