import { TWO_32 } from '@retrap/basics'
import { type BlockErrorCode, type DeviceContext, type Dma, Stateful } from '@retrap/device'
import { type AtaDrive, type DriveStep, ended } from '../ata/drive.ts'
import { MediumRequests, type MediumRequestsState } from '../ata/medium-requests.ts'
import { ABRT, BSY, DRDY, DRQ, DSC, ERR } from '../ata/taskfile.ts'
import { CommandSlots, type Running } from './command-slots.ts'
import { DataTable } from './data-table.ts'
import * as frames from './frames.ts'
import * as portRegisters from './port-registers.ts'
import type { PortRegisters } from './port-registers.ts'
import {
  asksForQueuedError,
  queuedAsPlain,
  queuedErrorLog,
  type QueuedTransfer,
  QueuedTransfers,
  type QueuedTransferState,
  READ_LOG_DMA_EXT,
  READ_LOG_EXT,
} from './queued-transfers.ts'

// Command header.
const HEADER_BYTES = 32
const PACKET = 1 << 5
const CLEAR_BUSY = 1 << 10
const PRDBC_AT = 4
const FRAME_BYTES = 20
const PACKET_AT = 0x40
const PACKET_BYTES = 16
const DATA_TABLE_AT = 0x80

const SRST = 0x04
const FRAME_IS_COMMAND = 0x80
const PORT_MULTIPLIER = 0x0f

/**
 * The commands of a port. Queued commands are given to the medium together. All others are executed one at a time, and so is
 * a queued one that has failed, or that is not as drivers make them: the drive then finds the error to report to the host.
 *
 * Source: Serial ATA AHCI 1.3.1, chapters 4.2.2, 4.2.3 and 5.3.
 */
export class CommandList extends Stateful {
  readonly #dma: Dma
  readonly #drive: AtaDrive | null
  readonly #registers: PortRegisters
  readonly #mayMaster: () => boolean
  readonly #greet: () => void
  readonly #requests: MediumRequests
  /** Null: the drive has no queue. */
  readonly #transfers: QueuedTransfers | null
  readonly #data: DataTable
  readonly #slots: CommandSlots
  readonly #r
  readonly #header = new DataView(new ArrayBuffer(HEADER_BYTES))
  readonly #headerBytes = new Uint8Array(this.#header.buffer)
  readonly #frame = new Uint8Array(FRAME_BYTES)
  readonly #count = new DataView(new ArrayBuffer(4))
  readonly #countBytes = new Uint8Array(this.#count.buffer)

  /**
   * @param mayMaster - whether the function may read and write memory: its bus master bit
   * @param greet - makes the drive send its signature after a reset by software
   */
  constructor(
    context: DeviceContext,
    drive: AtaDrive | null,
    registers: PortRegisters,
    mayMaster: () => boolean,
    greet: () => void,
  ) {
    super()
    this.#dma = context.dma
    this.#drive = drive
    this.#registers = registers
    this.#mayMaster = mayMaster
    this.#greet = greet
    this.#requests = new MediumRequests(context, (error) => this.#answered(error))
    this.#data = new DataTable(context.dma)
    this.#transfers =
      drive === null || drive.packet || drive.medium === null
        ? null
        : new QueuedTransfers(context, drive.medium, mayMaster, (transfer, error) => this.#transferred(transfer, error))
    this.#slots = new CommandSlots(registers, this.#transfers)
    this.#r = this.keeps(
      {
        running: null as Running | null,
        step: ended(false) as DriveStep,
        table: this.#data,
        // The request is restored last: the medium may be asked again, from the drive's buffer.
        requests: { save: () => this.#requests.save(), restore: () => undefined },
        /** The host holds the drive in a reset by software. */
        resetting: false,
        slots: this.#slots,
        transfers: {
          save: () => this.#transfers?.save() ?? [],
          restore: (transfers: readonly QueuedTransferState[] = []) => this.#transfers?.restore(transfers),
        },
        /** The error log of the queued command that has failed. */
        errorLog: null as Uint8Array | null,
      },
      { flat: ['slots'] },
    )
  }

  /** Whether the drive executes a command that is not of a queue. */
  get busy(): boolean {
    return this.#r.running !== null && !this.#r.running.queued
  }

  /** Ends pending commands, which no longer reach guest memory. */
  stop(): void {
    if (this.#r.running !== null && !this.#r.running.queued)
      this.#registers.set(portRegisters.TFD, (this.#registers.get(portRegisters.TFD) & ~0xff) | BSY)
    this.#cancel()
    this.#r.running = null
    this.#slots.forgetQueued()
    this.#r.step = ended(false)
    this.#registers.halted = false
  }

  /** Cancels the medium's request. A later command waits until the host has ended it. */
  #cancel(): void {
    this.#slots.beginTogether()
    if (this.#transfers === null) return this.#requests.cancel()
    const [requests, transfers] = [this.#requests.pending, this.#transfers.pending]
    this.#requests.cancel(transfers)
    this.#transfers.cancel(requests)
  }

  /** The drive has been reset. */
  forget(): void {
    this.#r.resetting = false
    this.#r.errorLog = null
  }

  /** Continues with the next command, if the host permits. */
  resume(): void {
    if (!this.#mayMaster()) return
    this.#transfers?.late.proceed()
    if (this.#r.running !== null) {
      if (this.#r.step.kind === 'idle') this.#finish()
      else this.#moveData()
      if (this.#r.running !== null) return
    }
    while (this.#r.running === null && this.#registers.started && !this.#registers.halted && this.#drive !== null) {
      if ((this.#registers.get(portRegisters.TFD) & BSY) !== 0 && !this.#r.resetting) return
      const slot = this.#slots.next()
      if (slot < 0) return
      this.#issue(slot)
    }
  }

  #issue(slot: number): void {
    const dma = this.#dma
    const header =
      this.#registers.get(portRegisters.CLBU) * TWO_32 + this.#registers.get(portRegisters.CLB) + slot * HEADER_BYTES
    const words = this.#header
    this.#registers.set(
      portRegisters.CMD,
      (this.#registers.get(portRegisters.CMD) & ~(0x1f << portRegisters.CCS_SHIFT)) | (slot << portRegisters.CCS_SHIFT),
    )
    if (!dma.read(header, this.#headerBytes)) return this.#registers.halt(portRegisters.HBFS)
    const flags = words.getUint32(0, true)
    const table = words.getUint32(12, true) * TWO_32 + ((words.getUint32(8, true) & ~0x7f) >>> 0)
    const frame = this.#frame
    if (!dma.read(table, frame)) return this.#registers.halt(portRegisters.HBFS)
    if (frame[0] !== frames.REGISTER_TO_DEVICE) return this.#registers.halt(portRegisters.IFS)
    // The controller has no port multiplier, so other port numbers address no drive.
    if ((frame[1]! & PORT_MULTIPLIER) !== 0) return this.#slots.done(slot)
    if ((frame[1]! & FRAME_IS_COMMAND) === 0) return this.#deviceControl(slot, frame, flags)
    const queued = this.#slots.queue.includes(slot)
    if (queued && !this.#slots.isAlone(slot) && this.#transfers !== null && (flags & PACKET) === 0) {
      const place = { slot, header, table: table + DATA_TABLE_AT, entries: flags >>> 16 }
      if (this.#transfers.begin(place, frame, this.#drive!.writesThrough === true)) return
      this.#slots.setAside(slot)
      if (this.#transfers.count > 0) return
    }
    this.#data.begin(table + DATA_TABLE_AT, flags >>> 16)
    this.#r.running = { slot, queued, header, table, packet: (flags & PACKET) !== 0 }
    this.#begin(frame, queued)
  }

  #begin(frame: Uint8Array, queued: boolean): void {
    const drive = this.#drive!
    const { registers } = drive
    frames.takeRegisters(frame, registers)
    const opcode = frame[2]!
    const plain = queuedAsPlain(opcode, registers)
    if (queued !== (plain !== null)) return this.#perform(this.#refuse())
    if (opcode === READ_LOG_EXT || opcode === READ_LOG_DMA_EXT) return this.#perform(this.#readLog(opcode))
    this.#perform(drive.command(plain ?? opcode))
  }

  /** Refuses a command that is queued although it must not be, or the reverse. */
  #refuse(): DriveStep {
    const { registers } = this.#drive!
    registers.status = DRDY | ERR
    registers.error = ABRT
    return ended(true)
  }

  /** Reads a log; only the log of failed queued commands exists. */
  #readLog(opcode: number): DriveStep {
    const drive = this.#drive!
    if (!asksForQueuedError(drive.registers) || drive.packet) return this.#refuse()
    const log = this.#r.errorLog ?? queuedErrorLog(drive.registers, -1)
    this.#r.errorLog = null
    drive.buffer.set(log)
    drive.registers.status = DRDY
    drive.registers.error = 0
    const kind = opcode === READ_LOG_EXT ? 'pio-in' : 'dma-in'
    return { ...ended(kind === 'dma-in'), kind, end: log.length }
  }

  /** A frame that changes the device control register: a reset by software. */
  #deviceControl(slot: number, frame: Uint8Array, flags: number): void {
    const drive = this.#drive!
    const reset = (frame[15]! & SRST) !== 0
    if (reset) {
      this.#r.resetting = true
      this.#registers.set(portRegisters.TFD, (this.#registers.get(portRegisters.TFD) & ~0xff) | BSY)
    } else if (this.#r.resetting) {
      this.#r.resetting = false
      drive.reset()
      this.#greet()
    }
    if ((flags & CLEAR_BUSY) !== 0 && reset)
      this.#registers.set(portRegisters.TFD, this.#registers.get(portRegisters.TFD) & ~BSY)
    this.#slots.done(slot)
  }

  /** The medium has completed a queued command, or failed to. */
  #transferred(transfer: QueuedTransfer, error: BlockErrorCode | null): void {
    if (this.#registers.halted) return
    const { hasFailed } = this.#slots
    if (error !== null && !hasFailed) this.#slots.fail(transfer.slot)
    else if (!hasFailed) this.#endTransfer(transfer)
    // Continue with the rest of the queue, or with a command set aside.
    this.resume()
  }

  #endTransfer(transfer: QueuedTransfer): void {
    const { slot, header, write, data } = transfer
    const { registers } = this.#drive!
    this.#count.setUint32(0, data.length, true)
    if (!write && !this.#transfers!.deliver(transfer)) return this.#fatal(portRegisters.HBFS)
    if (!this.#dma.write(header + PRDBC_AT, this.#countBytes)) return this.#fatal(portRegisters.HBFS)
    registers.status = DRDY | DSC
    registers.error = 0
    this.#registers.set(portRegisters.TFD, registers.status)
    this.#endQueued(slot, false)
  }

  // ---- Steps of a command ----

  #perform(step: DriveStep): void {
    this.#r.step = step
    if (step.kind === 'idle') this.#finish()
    else if (step.kind === 'read' || step.kind === 'write' || step.kind === 'flush') {
      this.#requests.start(this.#drive!, step)
    } else this.#moveData()
  }

  #answered(error: BlockErrorCode | null): void {
    this.#perform(this.#drive!.answered(error))
    this.resume()
  }

  #moveData(): void {
    const { kind, start, end } = this.#r.step
    const running = this.#r.running
    const moves = kind === 'dma-in' || kind === 'dma-out' || kind === 'pio-in' || kind === 'pio-out'
    if (!moves || running === null || !this.#mayMaster()) return
    const drive = this.#drive!
    const bytes = drive.buffer.subarray(start, end)
    const toMemory = kind === 'dma-in' || kind === 'pio-in'
    if (running.packet && kind === 'pio-out') {
      const packet = new Uint8Array(PACKET_BYTES)
      if (!this.#dma.read(running.table + PACKET_AT, packet)) return this.#fatal(portRegisters.HBFS)
      bytes.set(packet.subarray(0, bytes.length))
    } else {
      const moved = this.#data.move(bytes, toMemory)
      if (moved === 'bus') return this.#fatal(portRegisters.HBFS)
      // Bytes for which there is no room are lost; a command that lacks bytes is not carried out.
      if (moved === 'short') {
        if (!toMemory) return this.#fatal(portRegisters.IFS)
        this.#registers.raise(portRegisters.OFS)
      }
      if (this.#data.takeProcessed()) this.#registers.raise(portRegisters.DPS)
      if (kind === 'pio-in' || kind === 'pio-out') {
        this.#registers.receive(frames.PIO_SETUP_AT, frames.pioFrame(drive.registers, toMemory, end - start, DRQ))
        this.#registers.raise(portRegisters.PSS)
      }
    }
    this.#perform(drive.moved())
  }

  /** Stops at a command that the controller cannot continue. */
  #fatal(bits: number): void {
    this.#cancel()
    this.#r.running = null
    this.#r.step = ended(false)
    this.#drive!.reset()
    this.#registers.halt(bits)
  }

  /** Completes the command that the drive has done, once the function may write memory. */
  #finish(): void {
    if (this.#r.running !== null && this.#mayMaster()) this.#end(this.#r.step.interrupt)
  }

  #end(interrupt: boolean): void {
    const running = this.#r.running!
    const { registers } = this.#drive!
    const failed = (registers.status & ERR) !== 0
    const { slot, queued, header } = running
    this.#count.setUint32(0, this.#data.moved, true)
    if (!this.#dma.write(header + PRDBC_AT, this.#countBytes)) return this.#fatal(portRegisters.HBFS)
    this.#r.running = null
    this.#registers.set(portRegisters.TFD, registers.status | (registers.error << 8))
    if (queued) this.#endQueued(slot, failed)
    else {
      if (!failed) this.#slots.done(slot)
      if (interrupt) {
        this.#registers.receive(frames.REGISTER_AT, frames.registerFrame(registers, true))
        this.#registers.raise(portRegisters.DHRS)
      }
    }
    if (failed) this.#registers.halt(portRegisters.TFES)
  }

  #endQueued(slot: number, failed: boolean): void {
    this.#slots.leave(slot)
    if (failed) this.#slots.forgetQueued()
    if (failed) this.#r.errorLog = queuedErrorLog(this.#drive!.registers, slot)
    else this.#registers.set(portRegisters.SACT, this.#registers.get(portRegisters.SACT) & ~(1 << slot))
    this.#registers.receive(
      frames.DEVICE_BITS_AT,
      frames.deviceBitsFrame(this.#drive!.registers, failed ? 0 : 1 << slot),
    )
    this.#registers.raise(portRegisters.SDBS)
  }

  // ---- Machine ----

  async pause(): Promise<void> {
    await Promise.all([this.#requests.late.pause(), this.#transfers?.late.pause()])
  }

  unpause(): void {
    this.#requests.late.resume()
    this.#transfers?.late.resume()
  }

  /** Restores a drive's command list, after the drive itself. */
  override restore(state: unknown): void {
    this.#cancel()
    super.restore(state)
    const { requests } = state as { readonly requests: MediumRequestsState | null }
    this.#requests.restore(requests, this.#drive, this.#r.step)
  }
}
