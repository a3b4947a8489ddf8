import type { BlockBackend, BlockErrorCode } from '@retrap/device'
import { CD_BLOCK_BYTES, HeldSense, ScsiCd, type ScsiSense, senseOf } from '@retrap/scsi'
import { AtaDrive, BUFFER_BYTES, type DriveStep, ended, step } from './drive.ts'
import { hasTransferMode, identifyCd } from './identify.ts'
import { ABRT, DRDY, ERR } from './taskfile.ts'

/** Identification strings of a CD drive. */
export interface AtapiCdOptions {
  /** The medium; null: always without a disc. */
  readonly medium: BlockBackend | null
  readonly model: string
  readonly serialNumber: string
}

const FIRMWARE = '1.0'
const IDENTIFY_BYTES = 512
const PACKET_BYTES = 12
const SLICE_BLOCKS = BUFFER_BYTES / CD_BLOCK_BYTES
// Bits of the interrupt reason, in the count register: command or data, and to the host or from it.
const REASON_COMMAND = 1
const REASON_TO_HOST = 2
const FEATURE_DMA = 1
const FEATURE_OVERLAPPED = 2
const LARGEST_PART = 0xfffe

/** A packet command that moves data to the host. */
interface Moving {
  /** The first block of the next request. */
  readonly block: number
  /** Blocks that have not been asked for. */
  readonly left: number
  /** Bytes in the buffer. */
  readonly inBuffer: number
  /** Bytes of the buffer that the host has, or is about to get. */
  readonly at: number
}

/** The party that takes the next step. */
type Phase = 'none' | 'packet' | 'data'

const NOTHING: Moving = { block: 0, left: 0, inBuffer: 0, at: 0 }

/**
 * An ATAPI CD and DVD-ROM drive: the protocol by which packets and their data are moved, without a controller.
 *
 * Source: ATA/ATAPI-7 volume 2 (T13/1532D), "PACKET command protocol".
 */
export class AtapiCd extends AtaDrive {
  readonly medium: BlockBackend | null
  readonly packet: boolean = true
  readonly #options: AtapiCdOptions
  readonly #unit: ScsiCd
  readonly #sense: HeldSense
  readonly #r = this.keeps(
    {
      version: 2,
      registers: this.registers,
      buffer: this.contents,
      unit: (): ScsiCd => this.#unit,
      sense: (): HeldSense => this.#sense,
      phase: 'none' as Phase,
      moving: NOTHING as Moving,
      dma: false,
      /** Largest part that the host takes at once without DMA. */
      limit: LARGEST_PART as number,
      transferMode: 0x22,
    },
    { device: 'atapi-cd', free: ['moving'], lasting: ['unit'] },
  )

  constructor(options: AtapiCdOptions) {
    super()
    this.#options = options
    this.medium = options.medium
    this.#unit = new ScsiCd(options)
    this.#sense = new HeldSense(this.#unit)
    this.powerOn()
  }

  override removed(): void {
    this.#unit.removed()
  }

  override powerOn(): void {
    super.reset()
    this.#unit.powerOn()
    this.reset()
  }

  override reset(): void {
    this.#r.phase = 'none'
    this.#r.moving = NOTHING
    this.registers.setSignature(true)
    // Not ready for commands of disks: DRDY comes with the first one of its own.
    this.registers.status = 0
    this.registers.error = 1
  }

  override command(opcode: number): DriveStep {
    const { registers } = this
    registers.status = DRDY
    registers.error = 0
    this.#r.phase = 'none'
    switch (opcode) {
      case 0x08: // DEVICE RESET
        this.reset()
        return ended(false)
      case 0xa0: // PACKET
        return this.#beginPacket()
      case 0xa1: // IDENTIFY PACKET DEVICE
        this.buffer.set(identifyCd({ ...this.#options, firmware: FIRMWARE, transferMode: this.#r.transferMode }))
        return step('pio-in', { end: IDENTIFY_BYTES, interrupt: true })
      case 0xef: // SET FEATURES
        return this.#setFeatures()
      case 0xe5: // CHECK POWER MODE
        registers.count = 0xff
        return ended(true)
      case 0xe0: // STANDBY IMMEDIATE
      case 0xe1: // IDLE IMMEDIATE
      case 0xe6: // SLEEP
        return ended(true)
      case 0x20: // READ SECTORS
      case 0xec: // IDENTIFY DEVICE
        // The signature tells a host that takes the drive for a disk that this is a CD drive.
        registers.setSignature(true)
        return this.#abort()
      default:
        return this.#abort()
    }
  }

  #abort(): DriveStep {
    this.registers.status = DRDY | ERR
    this.registers.error = ABRT
    return ended(true)
  }

  #setFeatures(): DriveStep {
    const { feature, count } = this.registers
    if (feature === 0x03 && hasTransferMode(count)) this.#r.transferMode = count
    else if (feature !== 0x66 && feature !== 0xcc) return this.#abort()
    return ended(true)
  }

  #beginPacket(): DriveStep {
    const { registers } = this
    if ((registers.feature & FEATURE_OVERLAPPED) !== 0) return this.#abort()
    this.#r.dma = (registers.feature & FEATURE_DMA) !== 0
    const limit = (registers.high << 8) | registers.mid
    // Limits of 0 and odd limits have no special meaning.
    this.#r.limit = limit < 2 ? LARGEST_PART : Math.min(limit, LARGEST_PART) & ~1
    registers.count = REASON_COMMAND
    this.#r.phase = 'packet'
    return step('pio-out', { end: PACKET_BYTES })
  }

  override moved(): DriveStep {
    if (this.#r.phase === 'none') return ended(false)
    if (this.#r.phase === 'packet') return this.#execute(this.buffer.slice(0, PACKET_BYTES))
    return this.#nextPart()
  }

  #execute(packet: Uint8Array): DriveStep {
    this.#r.phase = 'data'
    this.#r.moving = NOTHING
    const outcome = this.#sense.execute(packet)
    switch (outcome.kind) {
      case 'good':
        return this.#good()
      case 'failed':
        return this.#fail(outcome.sense)
      case 'data': {
        const length = Math.min(outcome.bytes.length, outcome.most)
        this.buffer.set(outcome.bytes.subarray(0, length))
        this.#r.moving = { ...NOTHING, inBuffer: length }
        return this.#nextPart()
      }
      case 'blocks':
        this.#r.moving = { ...NOTHING, block: outcome.first, left: outcome.count }
        return this.#nextPart()
      default:
        throw new Error(`a command of a CD drive led to '${outcome.kind}'`)
    }
  }

  /** Returns the next step: a part of the buffer, more blocks, or the end. */
  #nextPart(): DriveStep {
    const { block, left, inBuffer, at } = this.#r.moving
    if (at < inBuffer) {
      const end = this.#r.dma ? inBuffer : Math.min(inBuffer, at + this.#r.limit)
      this.#r.moving = { ...this.#r.moving, at: end }
      if (this.#r.dma) return step('dma-in', { start: at, end })
      const { registers } = this
      registers.count = REASON_TO_HOST
      registers.mid = (end - at) & 0xff
      registers.high = (end - at) >> 8
      return step('pio-in', { start: at, end, interrupt: true })
    }
    if (left === 0) return this.#good()
    const count = Math.min(left, SLICE_BLOCKS)
    this.#r.moving = { block: block + count, left: left - count, inBuffer: count * CD_BLOCK_BYTES, at: 0 }
    return step('read', { end: count * CD_BLOCK_BYTES, offset: block * CD_BLOCK_BYTES, byDma: this.#r.dma })
  }

  override answered(error: BlockErrorCode | null): DriveStep {
    // The blocks that came, or the error, may be of another disc than the blocks before.
    const exchanged = this.#unit.takeExchange()
    if (exchanged !== null) return this.#fail(exchanged)
    return error === null ? this.#nextPart() : this.#fail(senseOf(error, true))
  }

  #good(): DriveStep {
    this.#end()
    return ended(true)
  }

  #fail(sense: ScsiSense): DriveStep {
    this.#end()
    this.#sense.fail(sense)
    this.registers.status = DRDY | ERR
    this.registers.error = (sense.key << 4) | ABRT
    return ended(true)
  }

  #end(): void {
    this.#r.phase = 'none'
    this.#r.moving = NOTHING
    this.registers.count = REASON_COMMAND | REASON_TO_HOST
  }
}
