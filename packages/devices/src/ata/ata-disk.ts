import { type BlockBackend, type BlockErrorCode, type DiskGeometry, savedState } from '@retrap/device'
import { TRANSFERS, type Transfer } from './ata-transfers.ts'
import { BUFFER_BYTES, type AtaDrive, type DriveStep, ended, step } from './drive.ts'
import { diskGeometry } from './geometry.ts'
import { hasTransferMode, identifyDisk, MAXIMUM_MULTIPLE } from './identify.ts'
import { ABRT, DEVICE_LBA, DRDY, DSC, ERR, IDNF, Taskfile, type TaskfileState, UNC } from './taskfile.ts'

/** How a disk names itself. */
export interface AtaDiskOptions {
  readonly medium: BlockBackend
  readonly model: string
  readonly serialNumber: string
}

const FIRMWARE = '1.0'
const SECTOR = 512
const READY = DRDY | DSC
const SLICE_SECTORS = BUFFER_BYTES / SECTOR
/** Sectors that a 28-bit address reaches. */
const SECTORS_28 = 2 ** 28

const READ_SECTORS = TRANSFERS.get(0x20)!

/** A command that moves sectors, under way. */
interface Moving {
  readonly lba: number
  /** Sectors still to be moved, those in the buffer among them. */
  readonly left: number
  /** Sectors in the buffer. */
  readonly inBuffer: number
  /** Most sectors of the next request: fewer after an error, to find the sector that it is at. */
  readonly most: number
  /** Bytes of the buffer that the host has moved. */
  readonly at: number
}

/** Saved form of an {@link AtaDisk}. */
interface AtaDiskState {
  readonly version: 1
  readonly registers: TaskfileState
  readonly buffer: Uint8Array
  readonly opcode: number
  /** What the command has still to move. */
  readonly moving: Moving | null
  readonly multiple: number
  readonly heads: number
  readonly sectorsPerTrack: number
  readonly writeCache: boolean
  readonly lookAhead: boolean
  readonly transferMode: number
}

/**
 * An ATA disk: the commands, without a controller.
 *
 * Sources: ATA8-ACS (T13/1699-D); ATA/ATAPI-4 (T13/1153D) for the commands that address by cylinder, head and sector.
 */
export class AtaDisk implements AtaDrive {
  readonly registers: Taskfile = new Taskfile()
  readonly medium: BlockBackend
  readonly packet: boolean = false
  readonly #options: AtaDiskOptions
  #buffer = new Uint8Array(BUFFER_BYTES)
  #opcode = 0
  /** Of the last command that moved sectors. */
  #transfer: Transfer = READ_SECTORS
  #moving: Moving | null = null
  #multiple = MAXIMUM_MULTIPLE
  #heads = 0
  #sectorsPerTrack = 0
  #writeCache = true
  #lookAhead = true
  #transferMode = 0x22

  constructor(options: AtaDiskOptions) {
    this.#options = options
    this.medium = options.medium
    this.powerOn()
  }

  get buffer(): Uint8Array {
    return this.#buffer
  }

  renewBuffer(): void {
    this.#buffer = new Uint8Array(BUFFER_BYTES)
  }

  get #sectors(): number {
    return Math.floor(this.medium.properties.bytes / SECTOR)
  }

  get #geometry(): DiskGeometry {
    return diskGeometry(this.medium.properties, this.#sectors)
  }

  powerOn(): void {
    this.#multiple = MAXIMUM_MULTIPLE
    this.#writeCache = true
    this.#lookAhead = true
    this.#transferMode = 0x22
    const { heads, sectors } = this.#geometry
    this.#heads = heads
    this.#sectorsPerTrack = sectors
    this.reset()
  }

  reset(): void {
    this.#moving = null
    this.registers.setSignature(false)
    this.registers.status = READY
    this.registers.error = 1
  }

  command(opcode: number): DriveStep {
    const { registers } = this
    registers.status = READY
    registers.error = 0
    this.#opcode = opcode
    this.#moving = null
    const transfer = TRANSFERS.get(opcode)
    if (transfer !== undefined) return this.#beginTransfer(transfer)
    // RECALIBRATE and SEEK once had sixteen opcodes each.
    if ((opcode & 0xf0) === 0x10 || (opcode & 0xf0) === 0x70) return this.#good()
    switch (opcode) {
      case 0x27: // READ NATIVE MAX ADDRESS EXT
        return this.#nativeMaximum(true)
      case 0xf8: // READ NATIVE MAX ADDRESS
        return this.#nativeMaximum(false)
      case 0x91: // INITIALIZE DEVICE PARAMETERS
        return this.#setTranslation()
      case 0xc6: // SET MULTIPLE MODE
        return this.#setMultiple()
      case 0xe7: // FLUSH CACHE
      case 0xea: // FLUSH CACHE EXT
        return step('flush', {})
      case 0xec: // IDENTIFY DEVICE
        this.#buffer.set(this.#identify())
        return step('pio-in', { end: SECTOR, interrupt: true })
      case 0xef: // SET FEATURES
        return this.#setFeatures()
      case 0x98: // CHECK POWER MODE
      case 0xe5:
        registers.count = 0xff // active
        return this.#good()
      // STANDBY and IDLE, at once or later, and SLEEP: a medium that does not turn need not stop.
      case 0x94:
      case 0x95:
      case 0x96:
      case 0x97:
      case 0x99:
      case 0xe0:
      case 0xe1:
      case 0xe2:
      case 0xe3:
      case 0xe6:
        return this.#good()
      default:
        return this.#fail(ABRT)
    }
  }

  #good(): DriveStep {
    this.#moving = null
    return ended(true)
  }

  #fail(error: number): DriveStep {
    this.#moving = null
    this.registers.status = READY | ERR
    this.registers.error = error
    return ended(true)
  }

  #identify(): Uint8Array {
    const { model, serialNumber } = this.#options
    const { properties } = this.medium
    const { cylinders, heads, sectors } = this.#geometry
    return identifyDisk({
      model,
      serialNumber: properties.serialNumber ?? serialNumber,
      firmware: FIRMWARE,
      sectors: this.#sectors,
      sectorsPerPhysical: Math.max(1, properties.physicalBlockBytes / SECTOR),
      cylinders,
      heads,
      sectorsPerTrack: sectors,
      currentHeads: this.#heads,
      currentSectorsPerTrack: this.#sectorsPerTrack,
      multiple: this.#multiple,
      writeCache: this.#writeCache,
      lookAhead: this.#lookAhead,
      transferMode: this.#transferMode,
    })
  }

  #nativeMaximum(ext: boolean): DriveStep {
    const last = this.#sectors - 1
    this.#putAddress(ext ? last : Math.min(last, SECTORS_28 - 1), ext)
    return this.#good()
  }

  #setTranslation(): DriveStep {
    const { count, device } = this.registers
    if (count === 0) return this.#fail(ABRT)
    this.#heads = (device & 15) + 1
    this.#sectorsPerTrack = count
    return this.#good()
  }

  #setMultiple(): DriveStep {
    const { count } = this.registers
    // 0 switches it off; otherwise a power of two.
    if (count > MAXIMUM_MULTIPLE || (count & (count - 1)) !== 0) return this.#fail(ABRT)
    this.#multiple = count
    return this.#good()
  }

  #setFeatures(): DriveStep {
    const { feature, count } = this.registers
    switch (feature) {
      case 0x02:
      case 0x82:
        this.#writeCache = feature === 0x02
        // What the cache holds is to be on the medium when the command ends.
        return feature === 0x02 ? this.#good() : step('flush', {})
      case 0x03:
        if (!hasTransferMode(count)) return this.#fail(ABRT)
        this.#transferMode = count
        return this.#good()
      case 0x55:
      case 0xaa:
        this.#lookAhead = feature === 0xaa
        return this.#good()
      case 0x66: // keep settings over a reset, or do not: they are kept
      case 0xcc:
        return this.#good()
      default:
        return this.#fail(ABRT)
    }
  }

  // ---- Commands that move sectors ----

  #beginTransfer(transfer: Transfer): DriveStep {
    const { registers } = this
    if (transfer.by === 'multiple' && this.#multiple === 0) return this.#fail(ABRT)
    const lba = this.#address(transfer.ext)
    let left = registers.count
    if (transfer.ext) left = (registers.previousCount << 8) | left
    if (left === 0) left = transfer.ext ? 0x1_0000 : 0x100
    const end = transfer.ext ? this.#sectors : Math.min(this.#sectors, SECTORS_28)
    if (lba < 0 || lba + left > end) return this.#fail(IDNF)
    if (transfer.direction === 'out' && this.medium.properties.readOnly) return this.#fail(ABRT)
    this.#transfer = transfer
    this.#moving = { lba, left, inBuffer: 0, most: SLICE_SECTORS, at: 0 }
    return this.#nextSlice(false)
  }

  /** The first sector that the registers name; −1: there is no such sector. */
  #address(ext: boolean): number {
    const { low, mid, high, device, previousLow, previousMid, previousHigh } = this.registers
    if (ext) {
      return ((previousHigh << 16) | (previousMid << 8) | previousLow) * 2 ** 24 + ((high << 16) | (mid << 8) | low)
    }
    if ((device & DEVICE_LBA) !== 0) return ((device & 15) << 24) | (high << 16) | (mid << 8) | low
    if (low === 0 || low > this.#sectorsPerTrack || (device & 15) >= this.#heads) return -1
    return (((high << 8) | mid) * this.#heads + (device & 15)) * this.#sectorsPerTrack + low - 1
  }

  #putAddress(lba: number, ext: boolean): void {
    const { registers } = this
    if (!ext && (registers.device & DEVICE_LBA) === 0) {
      const track = Math.floor(lba / this.#sectorsPerTrack)
      const cylinder = Math.floor(track / this.#heads)
      registers.low = (lba % this.#sectorsPerTrack) + 1
      registers.mid = cylinder & 0xff
      registers.high = (cylinder >> 8) & 0xff
      registers.device = (registers.device & 0xf0) | (track % this.#heads)
      return
    }
    const upper = Math.floor(lba / 2 ** 24)
    registers.low = lba & 0xff
    registers.mid = (lba >>> 8) & 0xff
    registers.high = (lba >>> 16) & 0xff
    if (ext) {
      registers.previousLow = upper & 0xff
      registers.previousMid = (upper >>> 8) & 0xff
      registers.previousHigh = (upper >>> 16) & 0xff
    } else registers.device = (registers.device & 0xf0) | (upper & 15)
  }

  /** @param interrupt - the host has waited for the medium, and is told that it may go on */
  #nextSlice(interrupt: boolean): DriveStep {
    const moving = this.#moving!
    const inBuffer = Math.min(moving.left, moving.most)
    this.#moving = { ...moving, inBuffer, at: 0 }
    if (this.#transfer.direction === 'out') return this.#nextBlock('out', interrupt)
    return step('read', { end: inBuffer * SECTOR, offset: moving.lba * SECTOR })
  }

  /** The next part that the host moves: all of the buffer by DMA, a sector or several otherwise. */
  #nextBlock(direction: 'in' | 'out', interrupt: boolean): DriveStep {
    const { inBuffer, at } = this.#moving!
    const transfer = this.#transfer
    const all = inBuffer * SECTOR
    if (transfer.by === 'dma') return step(`dma-${direction}`, { end: all })
    const most = (transfer.by === 'multiple' ? this.#multiple : 1) * SECTOR
    const end = Math.min(all, at + most)
    this.#moving = { ...this.#moving!, at: end }
    return step(`pio-${direction}`, { start: at, end, interrupt })
  }

  moved(): DriveStep {
    const moving = this.#moving
    // IDENTIFY DEVICE: the interrupt came with the data.
    if (moving === null) return ended(false)
    const { lba, inBuffer, at } = moving
    const transfer = this.#transfer
    const end = inBuffer * SECTOR
    if (transfer.by !== 'dma' && at < end) return this.#nextBlock(transfer.direction === 'in' ? 'in' : 'out', true)
    if (transfer.direction === 'in') return this.#sliceDone(transfer.by === 'dma')
    return step('write', { end, offset: lba * SECTOR, durable: transfer.durable || !this.#writeCache })
  }

  answered(error: BlockErrorCode | null): DriveStep {
    const moving = this.#moving
    // FLUSH CACHE, SET FEATURES.
    if (moving === null) return error === null ? this.#good() : this.#fail(ABRT)
    const { lba, inBuffer } = moving
    const transfer = this.#transfer
    if (error === null) {
      return transfer.direction === 'in' ? this.#nextBlock('in', true) : this.#sliceDone(true)
    }
    if (transfer.direction !== 'out' && error === 'ERR_MEDIUM' && inBuffer > 1) {
      // Which sector is it? The host gets those before it, and the address of this one.
      this.#moving = { ...moving, most: inBuffer >> 1 }
      return this.#nextSlice(false)
    }
    this.#putAddress(lba, transfer.ext)
    this.registers.count = moving.left & 0xff
    if (error === 'ERR_RANGE') return this.#fail(IDNF)
    return this.#fail(transfer.direction !== 'out' && error === 'ERR_MEDIUM' ? UNC : ABRT)
  }

  /** The sectors in the buffer are where they belong. @param interrupt - at the command's end */
  #sliceDone(interrupt: boolean): DriveStep {
    const moving = this.#moving!
    const { inBuffer } = moving
    const lba = moving.lba + inBuffer
    const left = moving.left - inBuffer
    this.#moving = { ...moving, lba, left, inBuffer: 0 }
    if (left > 0) return this.#nextSlice(true)
    this.#moving = null
    this.#putAddress(lba - 1, this.#transfer.ext)
    this.registers.count = 0
    this.registers.previousCount = 0
    return ended(interrupt)
  }

  save(): AtaDiskState {
    return {
      version: 1,
      registers: this.registers.save(),
      buffer: this.#buffer.slice(),
      opcode: this.#opcode,
      moving: this.#moving,
      multiple: this.#multiple,
      heads: this.#heads,
      sectorsPerTrack: this.#sectorsPerTrack,
      writeCache: this.#writeCache,
      lookAhead: this.#lookAhead,
      transferMode: this.#transferMode,
    }
  }

  restore(state: unknown): void {
    const saved = savedState<AtaDiskState>('ata-disk', state, 1)
    this.registers.restore(saved.registers)
    this.renewBuffer()
    this.#buffer.set(saved.buffer)
    this.#opcode = saved.opcode
    this.#transfer = TRANSFERS.get(saved.opcode) ?? READ_SECTORS
    this.#moving = saved.moving
    this.#multiple = saved.multiple
    this.#heads = saved.heads
    this.#sectorsPerTrack = saved.sectorsPerTrack
    this.#writeCache = saved.writeCache
    this.#lookAhead = saved.lookAhead
    this.#transferMode = saved.transferMode
  }
}
