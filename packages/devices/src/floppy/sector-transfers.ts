import { type CancelSignal, type DeviceContext, LateAnswers } from '@retrap/device'
import { nextSector, type Transfer, type TransferKind, transferOf } from './commands.ts'
import { type FloppyDrive, SECTOR_BYTES } from './floppy-drive.ts'
import type { DmaChannel } from './i8237.ts'
import { type FloppyRegisters, usesDma } from './registers.ts'

/*
 * Source: Intel 82077AA data sheet (290166), "Data Transfer Commands".
 */

/** A real disk needs 11 ms for a sector, for which firmware polls. */
export const SECTOR_NS = 100_000

// Status registers of results.
export const ABNORMAL = 0x40
const ST1_END = 0x80
const ST1_DATA = 0x20
const ST1_NO_DATA = 0x04
const ST1_PROTECTED = 0x02
export const ST1_NO_MARK = 0x01
const ST2_WRONG_CYLINDER = 0x10
const ST2_BAD_CYLINDER = 0x02
const ST2_DATA = 0x20
const DMA_GATE = 0x08

/** A request of a drive's medium. */
interface SectorRequest {
  readonly kind: 'read' | 'write'
  readonly drive: number
  readonly offset: number
  readonly bytes: Uint8Array
}

/** The part of its controller that a transfer reaches. */
export interface SectorWires {
  readonly context: DeviceContext
  readonly drives: readonly (FloppyDrive | null)[]
  readonly dma: DmaChannel
  readonly registers: () => FloppyRegisters
  /** Whether a drive has a disk that is read at the rate that is set. */
  readonly fits: (drive: number) => boolean
  readonly interrupt: () => void
  /** Ends the command with the given result bytes. */
  readonly finish: (result: number[]) => void
}

/** Moves the sectors of a command between memory and a disk. */
export class SectorTransfers {
  readonly #wires: SectorWires
  readonly requests: LateAnswers<SectorRequest, boolean>

  constructor(wires: SectorWires) {
    this.#wires = wires
    this.requests = new LateAnswers<SectorRequest, boolean>(wires.context, {
      ask: (request, signal) => this.#ask(request, signal),
      answer: (request, done) => this.#answered(request, done),
    })
  }

  /** Begins a command. */
  begin(kind: TransferKind, input: readonly number[]): void {
    const registers = this.#wires.registers()
    const transfer = transferOf(kind, input)
    const drive = this.#wires.drives[transfer.drive] ?? null
    registers.transfer = transfer
    registers.end = transfer.end
    if (drive !== null) drive.exchanged = false
    if (kind === 'format') transfer.cylinder = drive?.cylinder ?? 0
    const writes = kind === 'write' || kind === 'format'
    if (drive === null || !this.#wires.fits(transfer.drive)) this.#fail(ST1_NO_MARK)
    else if (writes && drive.isProtected) this.#fail(ST1_PROTECTED)
    else if (kind === 'format') {
      registers.format = { offsets: [], fill: input[5] ?? 0 }
      this.#fill(4 * transfer.end)
    } else if (kind !== 'read-track' && transfer.cylinder !== drive.cylinder)
      this.#fail(ST1_NO_DATA, transfer.cylinder === 0xff ? ST2_BAD_CYLINDER : ST2_WRONG_CYLINDER)
    else this.#nextSector()
  }

  /** Begins the current sector. */
  #nextSector(): void {
    const { transfer } = this.#wires.registers()
    if (transfer === null) return
    const drive = this.#wires.drives[transfer.drive]!
    const { kind, cylinder, head, sector, size } = transfer
    const offset = drive.offset(head, sector, kind === 'read-track' ? drive.cylinder : cylinder)
    if (offset < 0 || size !== 2) this.#fail(ST1_NO_DATA)
    else if (kind === 'write') this.#fill(SECTOR_BYTES)
    else this.#start('read', offset, new Uint8Array(SECTOR_BYTES))
  }

  #start(kind: SectorRequest['kind'], offset: number, bytes: Uint8Array): void {
    const { drive } = this.#wires.registers().transfer!
    // A command fails if its disk was exchanged.
    if (this.#isExchanged(drive)) this.#fail(ST1_NO_MARK)
    else this.requests.start({ kind, drive, offset, bytes }, SECTOR_NS)
  }

  /** Whether the disk has been exchanged since the command began: a head that reads finds no sector any more. */
  #isExchanged(drive: number): boolean {
    return this.#wires.drives[drive]?.exchanged === true
  }

  /** Performs a request on the medium. Any exception counts as a failure of the medium. */
  async #ask({ kind, drive, offset, bytes }: SectorRequest, signal: CancelSignal): Promise<boolean> {
    const medium = this.#wires.drives[drive]?.medium
    try {
      // Behind the end of a short image the disk is empty, and cannot be written.
      if (kind === 'read' && offset >= (medium?.properties.bytes ?? 0)) bytes.fill(0)
      else if (kind === 'read') await medium?.read(offset, bytes, { signal })
      else await medium?.write(offset, bytes, { signal })
      return true
    } catch {
      return false
    }
  }

  #answered({ kind, bytes }: SectorRequest, done: boolean): void {
    const registers = this.#wires.registers()
    const { transfer, format } = registers
    if (transfer === null) return
    if (this.#isExchanged(transfer.drive)) this.#fail(ST1_NO_MARK)
    else if (!done) this.#fail(ST1_DATA, ST2_DATA)
    else if (format !== null) this.#formatNext()
    else if (kind === 'write' || transfer.kind === 'verify') this.sectorDone()
    else {
      registers.buffer = bytes
      registers.at = 0
      if (!usesDma(this.#wires.registers())) this.#wires.interrupt()
      this.move()
    }
  }

  /** Bytes of the host are wanted. */
  #fill(bytes: number): void {
    this.#wires.registers().buffer = new Uint8Array(bytes)
    this.#wires.registers().at = 0
    if (bytes === 0) this.bufferFull()
    else if (!usesDma(this.#wires.registers())) this.#wires.interrupt()
    else this.move()
  }

  /** Moves bytes by DMA, as long as the channel lets it. */
  move(): void {
    const registers = this.#wires.registers()
    const { transfer, buffer, at } = registers
    if (transfer === null || at < 0 || !usesDma(this.#wires.registers()) || (registers.output & DMA_GATE) === 0) return
    const toMemory = transfer.kind === 'read' || transfer.kind === 'read-track'
    const { moved, ended } = this.#wires.dma.move(buffer.subarray(at), toMemory)
    registers.at += moved
    transfer.ended ||= ended
    if (!ended && registers.at < buffer.length) return
    if (toMemory) this.sectorDone()
    else this.bufferFull()
  }

  /** Ends a wait for the buffer: the host has filled it, or the channel's count has ended; then the rest is 0. */
  bufferFull(): void {
    const registers = this.#wires.registers()
    const { transfer, format, buffer } = registers
    registers.at = -1
    const drive = this.#wires.drives[transfer!.drive]!
    if (format === null) {
      this.#start('write', drive.offset(transfer!.head, transfer!.sector, transfer!.cylinder), buffer)
      return
    }
    for (let i = 0; i + 4 <= buffer.length; i += 4) {
      const offset = drive.offset(transfer!.head, buffer[i + 2]!, transfer!.cylinder)
      if (offset >= 0 && buffer[i + 3] === 2) format.offsets.push(offset)
    }
    this.#formatNext()
  }

  #formatNext(): void {
    const { format, transfer } = this.#wires.registers()
    const offset = format!.offsets.shift()
    if (offset !== undefined) this.#start('write', offset, new Uint8Array(SECTOR_BYTES).fill(format!.fill))
    else this.#end(0, 0, 0, transfer!)
  }

  /** A sector has been moved, verified or written. */
  sectorDone(): void {
    const { transfer } = this.#wires.registers()
    this.#wires.registers().at = -1
    const goesOn = nextSector(transfer!, this.#wires.drives[transfer!.drive]!.format?.sectors ?? 0)
    const isCounted = transfer!.left > 0 && --transfer!.left === 0
    if (transfer!.ended || isCounted) this.#end(0, 0, 0, transfer!)
    else if (goesOn) this.#nextSector()
    else if (transfer!.kind === 'verify' && transfer!.left < 0) this.#end(0, 0, 0, transfer!)
    else this.#fail(ST1_END)
  }

  #fail(status1: number, status2 = 0): void {
    this.#end(ABNORMAL, status1, status2, this.#wires.registers().transfer!)
  }

  #end(status0: number, status1: number, status2: number, transfer: Transfer): void {
    const { drive, cylinder, head, sector, size } = transfer
    const select = drive | ((head & 1) << 2)
    this.#wires.finish([status0 | select, status1, status2, cylinder, head, sector, size])
  }
}
