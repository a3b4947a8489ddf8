import type { BlockBackend, BlockErrorCode, DiskGeometry } from '@retrap/device'
import { AtaDrive, BUFFER_BYTES, type DriveStep, ended, step } from './drive.ts'
import { ABRT, diskGeometry, DRDY, DSC, ERR, IDNF, putAddress, readAddress, type Translation, UNC } from './taskfile.ts'
import { hasTransferMode, identifyDisk, MAXIMUM_MULTIPLE } from './identify.ts'

/** The way in which a command moves sectors. */
interface Transfer {
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
interface Moving {
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
const TRANSFERS: ReadonlyMap<number, Transfer> = new Map([
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

/** Identification strings of a disk. */
export interface AtaDiskOptions {
  readonly medium: BlockBackend
  readonly model: string
  readonly serialNumber: string
  /** Whether the disk is at the end of a serial link, with a queue for commands. Default false. */
  readonly serialAta?: boolean
}

const FIRMWARE = '1.0'
const SECTOR = 512
const READY = DRDY | DSC
const SLICE_SECTORS = BUFFER_BYTES / SECTOR
/** Sectors that a 28-bit address reaches. */
const SECTORS_28 = 2 ** 28

const READ_SECTORS = TRANSFERS.get(0x20)!
/** STANDBY and IDLE, at once or later, and SLEEP: a medium that does not turn need not stop. */
const REST: ReadonlySet<number> = new Set([0x94, 0x95, 0x96, 0x97, 0x99, 0xe0, 0xe1, 0xe2, 0xe3, 0xe6])

/**
 * An ATA disk: the commands, without a controller.
 *
 * Sources: ATA8-ACS (T13/1699-D); ATA/ATAPI-4 (T13/1153D) for the commands that address by cylinder, head and sector.
 */
export class AtaDisk extends AtaDrive {
  readonly medium: BlockBackend
  readonly packet: boolean = false
  readonly #options: AtaDiskOptions
  /** The kind of transfer of the last sector command. */
  #transfer: Transfer = READ_SECTORS
  readonly #r = this.keeps(
    {
      version: 1,
      registers: this.registers,
      buffer: this.contents,
      opcode: 0,
      /** The bytes that the command has still to move. */
      moving: null as Moving | null,
      multiple: MAXIMUM_MULTIPLE as number,
      heads: 0,
      sectorsPerTrack: 0,
      writeCache: true,
      lookAhead: true,
      transferMode: 0x22,
    },
    {
      device: 'ata-disk',
      lasting: ['opcode'],
      settled: (): void => {
        this.#transfer = TRANSFERS.get(this.#r.opcode) ?? READ_SECTORS
      },
    },
  )

  constructor(options: AtaDiskOptions) {
    super()
    this.#options = options
    this.medium = options.medium
    this.powerOn()
  }

  override get writesThrough(): boolean {
    return !this.#r.writeCache
  }

  get #sectors(): number {
    return Math.floor(this.medium.properties.bytes / SECTOR)
  }

  get #geometry(): DiskGeometry {
    return diskGeometry(this.medium.properties, this.#sectors)
  }

  get #translation(): Translation {
    return { heads: this.#r.heads, sectors: this.#r.sectorsPerTrack }
  }

  override powerOn(): void {
    const { heads, sectors } = this.#geometry
    super.reset()
    Object.assign(this.#r, { heads, sectorsPerTrack: sectors })
    this.reset()
  }

  override reset(): void {
    this.#r.moving = null
    this.registers.setSignature(false)
    this.registers.status = READY
    this.registers.error = 1
  }

  override command(opcode: number): DriveStep {
    const { registers } = this
    registers.status = READY
    registers.error = 0
    this.#r.opcode = opcode
    this.#r.moving = null
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
        this.buffer.set(this.#identify())
        return step('pio-in', { end: SECTOR, interrupt: true })
      case 0xef: // SET FEATURES
        return this.#setFeatures()
      case 0x98: // CHECK POWER MODE
      case 0xe5:
        registers.count = 0xff // active
        return this.#good()
      default:
        return REST.has(opcode) ? this.#good() : this.#fail(ABRT)
    }
  }

  #good(): DriveStep {
    this.#r.moving = null
    return ended(true)
  }

  #fail(error: number): DriveStep {
    this.#r.moving = null
    this.registers.status = READY | ERR
    this.registers.error = error
    return ended(true)
  }

  #identify(): Uint8Array {
    const { model, serialNumber, serialAta = false } = this.#options
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
      currentHeads: this.#r.heads,
      currentSectorsPerTrack: this.#r.sectorsPerTrack,
      multiple: this.#r.multiple,
      writeCache: this.#r.writeCache,
      lookAhead: this.#r.lookAhead,
      transferMode: this.#r.transferMode,
      serialAta,
    })
  }

  #nativeMaximum(ext: boolean): DriveStep {
    const last = this.#sectors - 1
    putAddress(this.registers, ext ? last : Math.min(last, SECTORS_28 - 1), ext, this.#translation)
    return this.#good()
  }

  #setTranslation(): DriveStep {
    const { count, device } = this.registers
    if (count === 0) return this.#fail(ABRT)
    this.#r.heads = (device & 15) + 1
    this.#r.sectorsPerTrack = count
    return this.#good()
  }

  #setMultiple(): DriveStep {
    const { count } = this.registers
    // A count of 0 switches multiple mode off; others are powers of two.
    if (count > MAXIMUM_MULTIPLE || (count & (count - 1)) !== 0) return this.#fail(ABRT)
    this.#r.multiple = count
    return this.#good()
  }

  #setFeatures(): DriveStep {
    const { feature, count } = this.registers
    switch (feature) {
      case 0x02:
      case 0x82:
        this.#r.writeCache = feature === 0x02
        // The cache's content is to be on the medium when the command ends.
        return feature === 0x02 ? this.#good() : step('flush', {})
      case 0x03:
        if (!hasTransferMode(count)) return this.#fail(ABRT)
        this.#r.transferMode = count
        return this.#good()
      case 0x55:
      case 0xaa:
        this.#r.lookAhead = feature === 0xaa
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
    if (transfer.by === 'multiple' && this.#r.multiple === 0) return this.#fail(ABRT)
    const lba = readAddress(this.registers, transfer.ext, this.#translation)
    let left = registers.count
    if (transfer.ext) left = (registers.previousCount << 8) | left
    if (left === 0) left = transfer.ext ? 0x1_0000 : 0x100
    const end = transfer.ext ? this.#sectors : Math.min(this.#sectors, SECTORS_28)
    if (lba < 0 || lba + left > end) return this.#fail(IDNF)
    if (transfer.direction === 'out' && this.medium.properties.readOnly) return this.#fail(ABRT)
    this.#transfer = transfer
    this.#r.moving = { lba, left, inBuffer: 0, good: 0, asked: 0, bad: false, at: 0 }
    return this.#nextSlice(false)
  }

  /** @param interrupt - the host has waited for the medium, and gets an interrupt to continue */
  #nextSlice(interrupt: boolean): DriveStep {
    const moving = this.#r.moving!
    const inBuffer = Math.min(moving.left, SLICE_SECTORS)
    this.#r.moving = { ...moving, inBuffer, good: 0, asked: inBuffer, at: 0 }
    return this.#transfer.direction === 'out' ? this.#nextBlock('out', interrupt) : this.#read()
  }

  #read(): DriveStep {
    const { lba, good, asked } = this.#r.moving!
    const byDma = this.#transfer.by === 'dma'
    return step('read', { start: good * SECTOR, end: (good + asked) * SECTOR, offset: (lba + good) * SECTOR, byDma })
  }

  /** The next part that the host moves: all of the buffer by DMA, a sector or several otherwise. */
  #nextBlock(direction: 'in' | 'out', interrupt: boolean): DriveStep {
    const { inBuffer, at, good, bad } = this.#r.moving!
    const transfer = this.#transfer
    const all = inBuffer * SECTOR
    if (transfer.by === 'dma') return step(`dma-${direction}`, { end: all })
    const most = (transfer.by === 'multiple' ? this.#r.multiple : 1) * SECTOR
    const end = Math.min(all, at + most)
    this.#r.moving = { ...this.#r.moving!, at: end }
    // The error is posted at the beginning of the block that has the bad sector.
    if (bad && end > good * SECTOR) this.#post(UNC)
    return step(`pio-${direction}`, { start: at, end, interrupt })
  }

  override moved(): DriveStep {
    const moving = this.#r.moving
    // IDENTIFY DEVICE: the interrupt came with the data.
    if (moving === null) return ended(false)
    const { lba, inBuffer, at, good, bad } = moving
    const transfer = this.#transfer
    const end = inBuffer * SECTOR
    if (transfer.by !== 'dma' && at < end) return this.#nextBlock(transfer.direction === 'in' ? 'in' : 'out', true)
    if (bad) {
      // The host was notified already if the last block had the bad sector.
      const told = inBuffer > good
      if (!told) this.#post(UNC)
      this.#r.moving = null
      return ended(!told)
    }
    if (transfer.direction === 'in') return this.#sliceDone(transfer.by === 'dma')
    const durable = transfer.durable || this.writesThrough
    return step('write', { end, offset: lba * SECTOR, durable, byDma: transfer.by === 'dma' })
  }

  override answered(error: BlockErrorCode | null): DriveStep {
    const moving = this.#r.moving
    // FLUSH CACHE, SET FEATURES.
    if (moving === null) return error === null ? this.#good() : this.#fail(ABRT)
    if (this.#transfer.direction === 'out') return error === null ? this.#sliceDone(true) : this.#failMoving(error)
    const { inBuffer, asked } = moving
    if (error === null) {
      const good = moving.good + asked
      this.#r.moving = { ...moving, good, asked: Math.min(asked, inBuffer - good) }
      if (good < inBuffer) return this.#read()
      return this.#transfer.direction === 'in' ? this.#nextBlock('in', true) : this.#sliceDone(true)
    }
    if (error !== 'ERR_MEDIUM') return this.#failMoving(error)
    if (asked === 1) return this.#unreadable()
    // The error registers report the failed sector: the host gets the sectors before it, and its address.
    this.#r.moving = { ...moving, asked: asked >> 1 }
    return this.#read()
  }

  /**
   * The sector behind the good ones cannot be read. Those before it are moved in blocks as long as the host expects them:
   * the last one has zeros from the bad sector on, and the error (ATA-3, "READ MULTIPLE").
   */
  #unreadable(): DriveStep {
    const moving = this.#r.moving!
    const { good } = moving
    const { by, direction } = this.#transfer
    if (good === 0 || direction === 'verify') {
      this.#post(UNC)
      this.#r.moving = null
      return ended(true)
    }
    const block = by === 'multiple' ? this.#r.multiple : 1
    const inBuffer = Math.min(moving.inBuffer, Math.ceil(good / block) * block)
    this.buffer.fill(0, good * SECTOR, inBuffer * SECTOR)
    this.#r.moving = { ...moving, inBuffer, bad: true }
    return this.#nextBlock('in', true)
  }

  /** Writes an error and its address to the registers. */
  #post(error: number): void {
    const { lba, good, left } = this.#r.moving!
    putAddress(this.registers, lba + good, this.#transfer.ext, this.#translation)
    this.registers.count = (left - good) & 0xff
    this.registers.status = READY | ERR
    this.registers.error = error
  }

  /** Fails a request for a reason that no single sector explains. */
  #failMoving(error: BlockErrorCode): DriveStep {
    this.#r.moving = { ...this.#r.moving!, good: 0 }
    this.#post(error === 'ERR_RANGE' ? IDNF : ABRT)
    this.#r.moving = null
    return ended(true)
  }

  /** Ends the transfer of a buffer of sectors. @param interrupt - at the command's end */
  #sliceDone(interrupt: boolean): DriveStep {
    const moving = this.#r.moving!
    const { inBuffer } = moving
    const lba = moving.lba + inBuffer
    const left = moving.left - inBuffer
    this.#r.moving = { ...moving, lba, left, inBuffer: 0 }
    if (left > 0) return this.#nextSlice(true)
    this.#r.moving = null
    putAddress(this.registers, lba - 1, this.#transfer.ext, this.#translation)
    this.registers.count = 0
    this.registers.previousCount = 0
    return ended(interrupt)
  }
}
