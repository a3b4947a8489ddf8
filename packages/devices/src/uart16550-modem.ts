import type { ModemInputs, ModemOutputs } from '@retrap/device'

// Modem Control Register.
const MCR_DTR = 0x01
const MCR_RTS = 0x02
const MCR_OUT1 = 0x04
const MCR_OUT2 = 0x08
const MCR_LOOP = 0x10
const MCR_WRITABLE = 0x1f

// Modem Status Register.
const MSR_CTS = 0x10
const MSR_DSR = 0x20
const MSR_RI = 0x40
const MSR_DCD = 0x80
const MSR_DELTA_RI = 0x04

/** The modem registers of a 16550A. */
export interface ModemRegisters {
  /** Modem Control Register. */
  mcr: number
  /** Delta bits of the Modem Status Register. */
  msr: number
  /** Lines of the far end as bits 7:4 of the Modem Status Register. */
  modem: number
}

/** The modem lines of a far end that is connected and ready. */
export const MODEM_READY: number = MSR_CTS | MSR_DSR | MSR_DCD

/** Whether the transmitter is connected to the receiver, and the outputs to the inputs. */
export function inLoopback({ mcr }: ModemRegisters): boolean {
  return (mcr & MCR_LOOP) !== 0
}

/** Whether the interrupt output is connected: on a PC OUT2 gates it. In loopback OUT2's pin is inactive. */
export function interruptConnected({ mcr }: ModemRegisters): boolean {
  return (mcr & (MCR_OUT2 | MCR_LOOP)) === MCR_OUT2
}

/** Sets the far end's lines. */
export function setModemLines(registers: ModemRegisters, lines: ModemInputs): void {
  const before = modemInputs(registers)
  registers.modem =
    (lines.clearToSend ? MSR_CTS : 0) |
    (lines.dataSetReady ? MSR_DSR : 0) |
    (lines.ringIndicator ? MSR_RI : 0) |
    (lines.carrierDetect ? MSR_DCD : 0)
  noteChange(registers, before)
}

/** Writes the Modem Control Register. @returns whether an output may have changed */
export function writeModemControl(registers: ModemRegisters, value: number): boolean {
  const before = modemInputs(registers)
  const changed = (registers.mcr ^ value) & (MCR_DTR | MCR_RTS | MCR_LOOP)
  registers.mcr = value & MCR_WRITABLE
  noteChange(registers, before)
  return changed !== 0
}

/** In loopback the outputs do not leave the chip: the far end sees them inactive. */
export function modemOutputs(registers: ModemRegisters): ModemOutputs {
  const out = inLoopback(registers) ? 0 : registers.mcr
  return { dataTerminalReady: (out & MCR_DTR) !== 0, requestToSend: (out & MCR_RTS) !== 0 }
}

/** Reads the Modem Status Register, which clears its delta bits. */
export function readModemStatus(registers: ModemRegisters): number {
  const status = modemInputs(registers) | registers.msr
  registers.msr = 0
  return status
}

/** Bits 7:4 of the Modem Status Register; in loopback they are the modem control outputs. */
function modemInputs(registers: ModemRegisters): number {
  const { mcr, modem } = registers
  if (!inLoopback(registers)) return modem
  return (
    ((mcr & MCR_RTS) === 0 ? 0 : MSR_CTS) |
    ((mcr & MCR_DTR) === 0 ? 0 : MSR_DSR) |
    ((mcr & MCR_OUT1) === 0 ? 0 : MSR_RI) |
    ((mcr & MCR_OUT2) === 0 ? 0 : MSR_DCD)
  )
}

function noteChange(registers: ModemRegisters, before: number): void {
  const now = modemInputs(registers)
  // The ring indicator's delta is its trailing edge only.
  let delta = ((before ^ now) >> 4) & ~MSR_DELTA_RI
  if ((before & ~now & MSR_RI) !== 0) delta |= MSR_DELTA_RI
  registers.msr |= delta
}
