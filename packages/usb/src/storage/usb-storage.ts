import {
  type BlockBackend,
  BlockError,
  type BlockErrorCode,
  type CancelSignal,
  DeviceError,
  LateAnswers,
  type LateRequest,
  savedState,
} from '@retrap/device'
import type { UsbDescription, UsbDevice, UsbPort, UsbRefusal, UsbSetup } from '../usb-device.ts'
import { ScsiDisk, type ScsiDiskState } from './scsi-disk.ts'

/** Options of {@link UsbStorage}. */
export interface UsbStorageOptions {
  /** What is in it, in blocks of 512 to 4096 bytes. */
  readonly medium: BlockBackend
  /** Default `usb-storage`. */
  readonly name?: string
  /** At most 16 ASCII characters; default `USB DISK`. */
  readonly model?: string
  /** At most 20 ASCII characters; the medium's own goes before it. Default `RT0001`. */
  readonly serialNumber?: string
}

/** Saved form of a {@link UsbStorage}. */
export interface UsbStorageState {
  /** Layout of the state. */
  readonly version: 1
  /** Where the transfer of commands, data and status has got to. */
  readonly transfer: unknown
  /** Data that the host has not taken. */
  readonly ready: Uint8Array
  /** Sense data. */
  readonly disk: unknown
  /** The request that the medium has not answered. */
  readonly requests: readonly unknown[]
}

/** A request of the medium. */
type MediumRequest =
  | { readonly kind: 'read'; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'write'; readonly offset: number; readonly data: Uint8Array; readonly durable: boolean }
  | { readonly kind: 'flush' }
type MediumAnswer = BlockErrorCode | Uint8Array | 'done'

/** Of one command. Source: USB Mass Storage Class, Bulk-Only Transport 1.0, §5.3, "Data Transfer Conditions". */
interface Transfer {
  readonly phase: 'command' | 'in' | 'out' | 'status' | 'broken'
  readonly tag: number
  /** Bytes that the host wants to move, and that are left of them. */
  readonly left: number
  /** Bytes that the command moves, of those that are left. */
  readonly own: number
  /** Where on the medium the next bytes are; null: they are in `ready`, or nowhere. */
  readonly offset: number | null
  readonly durable: boolean
  readonly residue: number
  /** 0 good, 1 failed, 2 the host and the device do not agree. */
  readonly status: number
}

const OUT = 0x02
const IN = 0x81
const COMMAND_BYTES = 31
const COMMAND_SIGNATURE = 0x4342_5355
const STATUS_SIGNATURE = 0x5342_5355
const TO_HOST = 0x80
const GET_MAX_LUN = 0xfe
const RESET = 0xff
const FAILED = 1
const PHASE_ERROR = 2
const NOTHING = new Uint8Array(0)
const IDLE: Transfer = {
  phase: 'command',
  tag: 0,
  left: 0,
  own: 0,
  offset: null,
  durable: false,
  residue: 0,
  status: 0,
}

/**
 * A USB mass storage device: a stick, or a disk in a case.
 *
 * Where a command has less data for the host than the host asks for, zeros fill it up, and the status says how many.
 *
 * Source: USB Mass Storage Class, Bulk-Only Transport 1.0.
 */
export class UsbStorage implements UsbDevice {
  /** Names the device in errors and snapshots. */
  readonly name: string
  /** What it says of itself. */
  readonly description: UsbDescription
  readonly #medium: BlockBackend
  readonly #disk: ScsiDisk
  #requests!: LateAnswers<MediumRequest, MediumAnswer>
  #port!: UsbPort
  #transfer: Transfer = IDLE
  /** Data that the host can have. */
  #ready: Uint8Array = NOTHING

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ medium, name = 'usb-storage', model = 'USB DISK', serialNumber = 'RT0001' }: UsbStorageOptions) {
    const { blockBytes } = medium.properties
    if (![512, 1024, 2048, 4096].includes(blockBytes))
      throw new DeviceError('ERR_OPTION', `${name}: blocks of ${blockBytes} bytes: expected 512 to 4096`)
    const serial = medium.properties.serialNumber ?? serialNumber
    if (!/^[ -~]{1,16}$/.test(model))
      throw new DeviceError('ERR_OPTION', `${name}: model '${model}': expected 1 to 16 ASCII characters`)
    if (!/^[ -~]{1,20}$/.test(serial))
      throw new DeviceError('ERR_OPTION', `${name}: serialNumber '${serial}': expected 1 to 20 ASCII characters`)
    this.name = name
    this.#medium = medium
    this.#disk = new ScsiDisk(medium, { product: model, serialNumber: serial })
    this.description = {
      vendorId: 0x46f4,
      productId: 0x0001,
      manufacturer: 'retrap',
      product: 'USB Storage',
      serialNumber: serial,
      speed: 'super',
      interfaces: [
        {
          interfaceClass: 8,
          // SCSI commands by bulk endpoints alone
          subclass: 6,
          protocol: 0x50,
          endpoints: [
            { address: IN, type: 'bulk', maximumPacketBytes: 1024 },
            { address: OUT, type: 'bulk', maximumPacketBytes: 1024 },
          ],
        },
      ],
    }
  }

  /** Plugs it in. */
  attach(port: UsbPort): void {
    this.#port = port
    this.#requests = new LateAnswers<MediumRequest, MediumAnswer>(port, {
      ask: (request, signal) => this.#ask(request, signal),
      answer: (request, answer) => this.#answered(request, answer),
    })
    this.#medium.onChange(() => this.#disk.mediumChanged())
  }

  /** Requests of the class. */
  control({ type, request }: UsbSetup): Uint8Array | UsbRefusal {
    if (type === 0xa1 && request === GET_MAX_LUN) return Uint8Array.of(0)
    if (type !== 0x21 || request !== RESET) return 'stall'
    this.#requests.cancel()
    this.#transfer = IDLE
    return NOTHING
  }

  /** A command, or data of one. */
  out(_address: number, bytes: Uint8Array): 'ack' | UsbRefusal {
    const { phase } = this.#transfer
    if (phase === 'command') return this.#begin(bytes)
    if (phase !== 'out' || this.#requests.count > 0)
      return phase === 'out' || phase === 'status' ? 'nak' : this.#break()
    return this.#take(bytes)
  }

  /** Only a reset by the host ends this. */
  #break(): 'stall' {
    this.#transfer = { ...IDLE, phase: 'broken' }
    return 'stall'
  }

  #begin(bytes: Uint8Array): 'ack' | UsbRefusal {
    if (bytes.length !== COMMAND_BYTES) return this.#break()
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const commandBytes = bytes[14]!
    const isKnown = view.getUint32(0, true) === COMMAND_SIGNATURE && bytes[13] === 0
    if (!isKnown || commandBytes === 0 || commandBytes > 16) return this.#break()
    const tag = view.getUint32(4, true)
    const left = view.getUint32(8, true)
    const toHost = (bytes[12]! & TO_HOST) !== 0
    const task = this.#disk.interpret(bytes.subarray(15))
    const phase = left === 0 ? 'status' : toHost ? 'in' : 'out'
    const plain: Transfer = { ...IDLE, phase, tag, left, residue: left }
    this.#ready = NOTHING
    switch (task.kind) {
      case 'check':
        this.#transfer = { ...plain, status: FAILED }
        break
      case 'data': {
        // Commands say how much they want as well, and hosts ask for as much.
        const wanted = task.data.subarray(0, left)
        const agree = phase === 'in' || task.data.length === 0
        this.#ready = agree ? wanted : NOTHING
        const own = this.#ready.length
        this.#transfer = { ...plain, own, residue: left - own, status: agree ? 0 : PHASE_ERROR }
        break
      }
      case 'read':
      case 'write': {
        const agree = phase === (task.kind === 'read' ? 'in' : 'out') && task.bytes <= left
        const own = agree ? task.bytes : 0
        const { offset, durable } = task
        this.#transfer = { ...plain, own, offset, durable, residue: left - own, status: agree ? 0 : PHASE_ERROR }
        break
      }
      default:
        this.#transfer = plain
        if (task.kind === 'flush') this.#requests.start({ kind: 'flush' })
    }
    return 'ack'
  }

  /** Data for the medium; what the command does not want is dropped. */
  #take(bytes: Uint8Array): 'ack' | UsbRefusal {
    const { left, own, offset, durable } = this.#transfer
    if (bytes.length > left) return this.#break()
    const wanted = Math.min(bytes.length, own)
    const { blockBytes } = this.#medium.properties
    if (wanted % blockBytes !== 0) return this.#break()
    const rest = left - bytes.length
    this.#transfer = {
      ...this.#transfer,
      phase: rest === 0 ? 'status' : 'out',
      left: rest,
      own: own - wanted,
      offset: offset === null ? null : offset + wanted,
    }
    if (wanted > 0 && offset !== null)
      this.#requests.start({ kind: 'write', offset, data: bytes.slice(0, wanted), durable })
    return 'ack'
  }

  /** Data, or the status of a command. */
  in(_address: number, length: number): Uint8Array | UsbRefusal {
    const { phase } = this.#transfer
    if (phase === 'broken') return 'stall'
    if (this.#requests.count > 0 || phase === 'command' || phase === 'out') return 'nak'
    return phase === 'status' ? this.#finish(length) : this.#give(length)
  }

  #give(length: number): Uint8Array | UsbRefusal {
    const { left, own, offset } = this.#transfer
    const bytes = Math.min(length, left)
    const wanted = Math.min(bytes, own)
    if (this.#ready.length < wanted && offset !== null) {
      const { blockBytes } = this.#medium.properties
      const lacking = Math.ceil((wanted - this.#ready.length) / blockBytes) * blockBytes
      this.#requests.start({ kind: 'read', offset, bytes: lacking })
      return 'nak'
    }
    const out = new Uint8Array(bytes)
    out.set(this.#ready.subarray(0, wanted))
    this.#ready = this.#ready.slice(wanted)
    const rest = left - bytes
    this.#transfer = { ...this.#transfer, left: rest, own: own - wanted, phase: rest === 0 ? 'status' : 'in' }
    return out
  }

  #finish(length: number): Uint8Array | UsbRefusal {
    const { tag, residue, status } = this.#transfer
    const view = new DataView(new ArrayBuffer(13))
    view.setUint32(0, STATUS_SIGNATURE, true)
    view.setUint32(4, tag, true)
    view.setUint32(8, residue, true)
    view.setUint8(12, status)
    if (length < view.byteLength) return this.#break()
    this.#transfer = IDLE
    return new Uint8Array(view.buffer)
  }

  async #ask(request: MediumRequest, signal: CancelSignal): Promise<MediumAnswer> {
    try {
      return await this.#perform(request, signal)
    } catch (error) {
      return error instanceof BlockError ? error.code : 'ERR_MEDIUM'
    }
  }

  async #perform(request: MediumRequest, signal: CancelSignal): Promise<MediumAnswer> {
    const { maximumBytes } = this.#medium.properties
    if (request.kind === 'flush') {
      await this.#medium.flush({ signal })
      return 'done'
    }
    const bytes = request.kind === 'read' ? new Uint8Array(request.bytes) : request.data
    for (let at = 0; at < bytes.length; at += maximumBytes) {
      const part = bytes.subarray(at, at + maximumBytes)
      const offset = request.offset + at
      // oxlint-disable-next-line no-await-in-loop -- one after the other, as a stick does
      if (request.kind === 'read') await this.#medium.read(offset, part, { signal })
      // oxlint-disable-next-line no-await-in-loop
      else await this.#medium.write(offset, part, { signal, durable: request.durable })
    }
    return request.kind === 'read' ? bytes : 'done'
  }

  #answered(request: MediumRequest, answer: MediumAnswer): void {
    if (typeof answer !== 'string') {
      const joined = new Uint8Array(this.#ready.length + answer.length)
      joined.set(this.#ready)
      joined.set(answer, this.#ready.length)
      this.#ready = joined
      const { offset } = this.#transfer
      this.#transfer = { ...this.#transfer, offset: offset! + answer.length }
    } else if (answer !== 'done') {
      this.#disk.failMedium(answer, request.kind !== 'read')
      const { own, residue } = this.#transfer
      // The rest of the data moves, and means nothing.
      this.#ready = NOTHING
      this.#transfer = { ...this.#transfer, own: 0, offset: null, residue: residue + own, status: FAILED }
    }
    this.#port.wake(IN)
    this.#port.wake(OUT)
  }

  /** Cancels the command that is under way. */
  reset(): void {
    this.#requests.cancel()
    this.#transfer = IDLE
    this.#ready = NOTHING
    this.#disk.reset()
  }

  /** Waits for the medium. */
  async quiesce(): Promise<void> {
    await this.#requests.pause()
  }

  /** Goes on. */
  resume(): void {
    this.#requests.resume()
  }

  /** Returns the state as plain data. The medium is not part of it. */
  save(): UsbStorageState {
    return {
      version: 1,
      transfer: this.#transfer,
      ready: this.#ready.slice(),
      disk: this.#disk.save(),
      requests: this.#requests.save(),
    }
  }

  /** Takes over a saved state. Throws `DeviceError` `ERR_STATE` for a state of another version. */
  restore(state: unknown): void {
    const { transfer, ready, disk, requests } = savedState<UsbStorageState>(this.name, state, 1)
    this.#transfer = transfer as Transfer
    this.#ready = ready.slice()
    this.#disk.restore(disk as ScsiDiskState)
    this.#requests.restore(requests as readonly LateRequest<MediumRequest, MediumAnswer>[])
  }
}
