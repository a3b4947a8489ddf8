import { type BlockBackend, type CancelSignal, DeviceError, LateAnswers, Stateful } from '@retrap/device'
import {
  HeldSense,
  performScsi,
  ScsiCd,
  ScsiDisk,
  type ScsiOutcome,
  type ScsiSense,
  type ScsiUnit,
  type ScsiWork,
} from '@retrap/scsi'
import type { UsbDescription, UsbDevice, UsbPort, UsbRefusal, UsbSetup } from '../usb-device.ts'

/** Options of {@link UsbStorage}. */
export interface UsbStorageOptions {
  /** The medium, in blocks of 512 to 4096 bytes, of a CD drive at most 2048. */
  readonly medium: BlockBackend
  /** A stick or disk, or a drive for CDs and DVDs. Default `disk`. */
  readonly kind?: 'disk' | 'cdrom'
  /** Default `usb-storage`. */
  readonly name?: string
  /** At most 16 ASCII characters; default `USB DISK`, of a CD drive `USB CD-ROM`. */
  readonly model?: string | undefined
  /** At most 20 ASCII characters; the medium's own goes before it. Default `RT0001`. */
  readonly serialNumber?: string | undefined
}

interface MediumRequest {
  readonly work: ScsiWork
  /** The bytes to write; nothing of other requests. */
  readonly data: Uint8Array
}

/** The result of a request to the medium. */
interface MediumAnswer {
  /** Why the request failed; null: it is done. */
  readonly sense: ScsiSense | null
  /** The bytes read. */
  readonly data: Uint8Array
}

/** The transfer of one command. Source: USB Mass Storage Class, Bulk-Only Transport 1.0, §5.3, "Data Transfer Conditions". */
interface Transfer {
  readonly phase: 'command' | 'in' | 'out' | 'status' | 'broken'
  readonly tag: number
  /** Remaining bytes that the host wants to transfer. */
  readonly left: number
  /** Bytes that the command itself moves, out of the remaining ones. */
  readonly own: number
  /** The command that waits for its parameters, or null. */
  readonly command: Uint8Array | null
  /** The next block of the medium; null: the bytes are in `ready`, or nowhere. */
  readonly block: number | null
  readonly durable: boolean
  readonly residue: number
  /** 0 good, 1 failed, 2 the host and the device do not agree. */
  readonly status: number
}

const OUT = 0x02
const IN = 0x81
const COMMAND_BYTES = 31
/** Offset of the command block. */
const COMMAND_AT = 15
const COMMAND_SIGNATURE = 0x4342_5355
const STATUS_SIGNATURE = 0x5342_5355
const TO_HOST = 0x80
const GET_MAX_LUN = 0xfe
const RESET = 0xff
const FAILED = 1
const PHASE_ERROR = 2
const LARGEST_TRANSFER = 0xffff_ffff
const NOTHING = new Uint8Array(0)
const IDLE: Transfer = {
  phase: 'command',
  tag: 0,
  left: 0,
  own: 0,
  command: null,
  block: null,
  durable: false,
  residue: 0,
  status: 0,
}

/**
 * A USB mass storage device: a stick, a disk in a case, or a CD drive.
 *
 * Where a command has less data for the host than the host asks for, zeros fill it up, and the status says how many.
 *
 * Source: USB Mass Storage Class, Bulk-Only Transport 1.0.
 */
export class UsbStorage extends Stateful implements UsbDevice {
  /** Names the device in errors and snapshots. */
  readonly name: string
  /** The device's USB description. */
  readonly description: UsbDescription
  readonly #medium: BlockBackend
  readonly #unit: ScsiUnit
  /** The CD drive, if the device is one. */
  readonly #cd: ScsiCd | null
  readonly #sense: HeldSense
  #requests!: LateAnswers<MediumRequest, MediumAnswer>
  #port!: UsbPort
  /** Data that the host can have, or that is not enough yet: less than a block of a write, or a part of parameters. */
  #ready: Uint8Array = NOTHING
  readonly #r = this.keeps(
    {
      version: 2,
      transfer: IDLE as Transfer,
      ready: {
        save: (): Uint8Array => this.#ready.slice(),
        restore: (bytes: Uint8Array): void => void (this.#ready = bytes.slice()),
        reset: (): void => void (this.#ready = NOTHING),
      },
      disk: (): ScsiUnit => this.#unit,
      sense: (): HeldSense => this.#sense,
      requests: () => this.#requests,
    },
    { free: ['transfer'], lasting: ['disk'] },
  )

  /** @throws DeviceError `ERR_OPTION` */
  constructor({ medium, kind = 'disk', name = 'usb-storage', ...named }: UsbStorageOptions) {
    super()
    const { model = kind === 'disk' ? 'USB DISK' : 'USB CD-ROM', serialNumber = 'RT0001' } = named
    const { blockBytes } = medium.properties
    if (kind === 'disk' && ![512, 1024, 2048, 4096].includes(blockBytes))
      throw new DeviceError('ERR_OPTION', `${name}: blocks of ${blockBytes} bytes: expected 512 to 4096`)
    const serial = medium.properties.serialNumber ?? serialNumber
    if (!/^[ -~]{1,16}$/.test(model))
      throw new DeviceError('ERR_OPTION', `${name}: model '${model}': expected 1 to 16 ASCII characters`)
    if (!/^[ -~]{1,20}$/.test(serial))
      throw new DeviceError('ERR_OPTION', `${name}: serialNumber '${serial}': expected 1 to 20 ASCII characters`)
    this.name = name
    this.#medium = medium
    // The disk takes one command at a time, with as much data as the command's length can express.
    const disk = { medium, model, serialNumber: serial, commandQueue: false, maximumBytes: LARGEST_TRANSFER }
    this.#cd = kind === 'cdrom' ? new ScsiCd({ medium, model }) : null
    this.#unit = this.#cd ?? new ScsiDisk(disk)
    this.#sense = new HeldSense(this.#unit)
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

  /** Plugs the device in. */
  attach(port: UsbPort): void {
    this.#port = port
    this.#requests = new LateAnswers<MediumRequest, MediumAnswer>(port, {
      ask: (request, signal) => this.#ask(request, signal),
      answer: ({ work }, answer) => this.#answered(work, answer),
    })
  }

  /** Removes the listener for changes of the medium. */
  removed(): void {
    this.#unit.removed?.()
  }

  /** Requests of the class. */
  control({ type, request }: UsbSetup): Uint8Array | UsbRefusal {
    if (type === 0xa1 && request === GET_MAX_LUN) return Uint8Array.of(0)
    if (type !== 0x21 || request !== RESET) return 'stall'
    this.#requests.cancel()
    this.#r.transfer = IDLE
    return NOTHING
  }

  /** Receives a command, or data for the present one. */
  out(_address: number, bytes: Uint8Array): 'ack' | UsbRefusal {
    return this.#inPhase(() => this.#out(bytes))
  }

  /** Runs a step, and wakes both pipes if the phase changes: a pipe may have to wait only in one phase. */
  #inPhase<T>(step: () => T): T {
    const { phase } = this.#r.transfer
    const answer = step()
    if (this.#r.transfer.phase !== phase) this.#wakeBoth()
    return answer
  }

  #wakeBoth(): void {
    this.#port.wake(IN)
    this.#port.wake(OUT)
  }

  #out(bytes: Uint8Array): 'ack' | UsbRefusal {
    const { phase } = this.#r.transfer
    if (phase === 'command') return this.#begin(bytes)
    if (phase !== 'out' || this.#requests.count > 0)
      return phase === 'out' || phase === 'status' ? 'nak' : this.#break()
    return this.#take(bytes)
  }

  /** Stalls until the host resets the device. */
  #break(): 'stall' {
    this.#r.transfer = { ...IDLE, phase: 'broken' }
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
    const phase = left === 0 ? 'status' : toHost ? 'in' : 'out'
    const command = bytes.slice(COMMAND_AT)
    const parameters = this.#unit.parameterBytes(command)
    this.#ready = NOTHING
    this.#r.transfer = { ...IDLE, phase, tag, left, residue: left }
    if (parameters === 0) this.#execute(command, NOTHING)
    else if (phase !== 'out' || parameters > left) this.#r.transfer = { ...this.#r.transfer, status: PHASE_ERROR }
    else this.#r.transfer = { ...this.#r.transfer, own: parameters, residue: left - parameters, command }
    return 'ack'
  }

  #execute(command: Uint8Array, parameters: Uint8Array): void {
    const outcome = this.#sense.execute(command, parameters)
    const transfer = this.#r.transfer
    switch (outcome.kind) {
      case 'good':
        break
      case 'failed':
        this.#r.transfer = { ...transfer, status: FAILED }
        break
      case 'blocks':
      case 'write':
      case 'data':
        this.#r.transfer = { ...transfer, ...this.#moves(outcome) }
        break
      default:
        this.#requests.start({ work: outcome, data: NOTHING })
    }
  }

  /** Returns how a command moves data, if the host expects the same direction. */
  #moves(outcome: Extract<ScsiOutcome, { readonly kind: 'blocks' | 'write' | 'data' }>): Partial<Transfer> {
    const { phase, left } = this.#r.transfer
    if (outcome.kind === 'data') {
      const bytes = outcome.bytes.subarray(0, Math.min(outcome.most, left))
      if (phase !== 'in' && outcome.bytes.length > 0 && outcome.most > 0) return { status: PHASE_ERROR }
      this.#ready = bytes
      return { own: bytes.length, residue: left - bytes.length }
    }
    const { kind, first, count } = outcome
    const own = count * this.#unit.blockBytes
    if (phase !== (kind === 'blocks' ? 'in' : 'out') || own > left) return { status: PHASE_ERROR }
    return { own, block: first, durable: kind === 'write' && outcome.durable, residue: left - own }
  }

  /** Takes data for the command, and drops excess bytes. */
  #take(bytes: Uint8Array): 'ack' | UsbRefusal {
    const { left, own, command } = this.#r.transfer
    if (bytes.length > left) return this.#break()
    const wanted = bytes.subarray(0, own)
    const rest = left - bytes.length
    const phase = rest === 0 ? 'status' : 'out'
    this.#ready = joined(this.#ready, wanted)
    this.#r.transfer = { ...this.#r.transfer, phase, left: rest, own: own - wanted.length }
    if (command === null) this.#write()
    else if (own === wanted.length) {
      const parameters = this.#ready
      this.#ready = NOTHING
      this.#r.transfer = { ...this.#r.transfer, command: null }
      this.#execute(command, parameters)
    }
    return 'ack'
  }

  /** Writes the whole blocks received so far. */
  #write(): void {
    const { block, durable } = this.#r.transfer
    const { blockBytes } = this.#unit
    const count = Math.floor(this.#ready.length / blockBytes)
    if (count === 0 || block === null) return
    const data = this.#ready.slice(0, count * blockBytes)
    this.#ready = this.#ready.slice(data.length)
    this.#r.transfer = { ...this.#r.transfer, block: block + count }
    this.#requests.start({ work: { kind: 'write', first: block, count, durable }, data })
  }

  /** Data, or the status of a command. */
  in(_address: number, length: number): Uint8Array | UsbRefusal {
    return this.#inPhase(() => this.#in(length))
  }

  #in(length: number): Uint8Array | UsbRefusal {
    const { phase } = this.#r.transfer
    if (phase === 'broken') return 'stall'
    if (this.#requests.count > 0 || phase === 'command' || phase === 'out') return 'nak'
    return phase === 'status' ? this.#finish(length) : this.#give(length)
  }

  #give(length: number): Uint8Array | UsbRefusal {
    const { left, own, block } = this.#r.transfer
    const bytes = Math.min(length, left)
    const wanted = Math.min(bytes, own)
    if (this.#ready.length < wanted && block !== null) {
      const count = Math.ceil((wanted - this.#ready.length) / this.#unit.blockBytes)
      this.#requests.start({ work: { kind: 'blocks', first: block, count }, data: NOTHING })
      return 'nak'
    }
    const out = new Uint8Array(bytes)
    out.set(this.#ready.subarray(0, wanted))
    this.#ready = this.#ready.slice(wanted)
    const rest = left - bytes
    this.#r.transfer = { ...this.#r.transfer, left: rest, own: own - wanted, phase: rest === 0 ? 'status' : 'in' }
    return out
  }

  #finish(length: number): Uint8Array | UsbRefusal {
    const { tag, residue, status } = this.#r.transfer
    const view = new DataView(new ArrayBuffer(13))
    view.setUint32(0, STATUS_SIGNATURE, true)
    view.setUint32(4, tag, true)
    view.setUint32(8, residue, true)
    view.setUint8(12, status)
    if (length < view.byteLength) return this.#break()
    this.#r.transfer = IDLE
    return new Uint8Array(view.buffer)
  }

  async #ask({ work, data }: MediumRequest, signal: CancelSignal): Promise<MediumAnswer> {
    const { blockBytes } = this.#unit
    const moved = work.kind === 'blocks' ? new Uint8Array(work.count * blockBytes) : data
    const sense = await performScsi(work, { medium: this.#medium, blockBytes, data: moved }, signal)
    return { sense, data: sense === null && work.kind === 'blocks' ? moved : NOTHING }
  }

  #answered(work: ScsiWork, { sense: failure, data }: MediumAnswer): void {
    // The blocks that came, or the error, may be of another disc than the blocks before.
    const sense = this.#cd?.takeExchange() ?? failure
    if (sense !== null) {
      this.#sense.fail(sense)
      const { own, residue } = this.#r.transfer
      // The rest of the data moves, and means nothing.
      this.#ready = NOTHING
      this.#r.transfer = { ...this.#r.transfer, own: 0, block: null, residue: residue + own, status: FAILED }
    } else if (work.kind === 'blocks') {
      this.#ready = joined(this.#ready, data)
      this.#r.transfer = { ...this.#r.transfer, block: work.first + work.count }
    }
    this.#wakeBoth()
  }

  /** Returns to the state at power-on; requests to the medium are cancelled. */
  override reset(): void {
    this.#requests.cancel()
    super.reset()
    this.#unit.powerOn()
  }

  /** Waits for the medium. */
  async quiesce(): Promise<void> {
    await this.#requests.pause()
  }

  /** Goes on. */
  resume(): void {
    this.#requests.resume()
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second.slice()
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}
