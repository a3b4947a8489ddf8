import { TWO_32 } from '@retrap/basics'
import { Region } from '@retrap/arm-mmio'
import type { ArmWorld } from '@retrap/arm-mmio'
import type { AccessRecord, IoDispatch } from '@retrap/ioreq'
import {
  STATUS_DONE,
  STATUS_ERROR,
  STATUS_RETRY,
  STATUS_UNHANDLED,
  AccessKind,
  type AccessLog,
  type AccessStatus,
} from '@retrap/replay'
import type { TableReader } from '@retrap/paging'
import type { Domain } from '../domain.ts'
import type { BankedRegisters } from './interrupt-controller.ts'

/** The vCPU's surroundings, as far as an access needs them. */
export interface DeviceAccessWorld {
  /** Registers that each vCPU has its own of. */
  readonly banked: readonly BankedRegisters[]
  /** Ends the vCPU's turn. */
  stop(): void
  /** A device has been accessed. */
  made(gpa: number, size: number, write: boolean, lo: number, hi: number): void
  /** Whether unclaimed reads at an address give ones, instead of an abort. */
  isOpenBus(gpa: number): boolean
  /** As `ArmWorld.authenticate` of `@retrap/arm-mmio`. */
  authenticate(key: number, lo: number, hi: number, into: Uint32Array): boolean
}

/** The memory and devices of a domain, for instructions of a vCPU that the hypervisor completes. */
export class ArmDeviceAccess implements ArmWorld {
  readonly tables: TableReader
  readonly #vcpu: number
  readonly #domain: Domain
  readonly #dispatch: IoDispatch
  readonly #record: AccessRecord
  readonly #world: DeviceAccessWorld

  /**
   * @param tables - of stage 1
   */
  constructor(vcpu: number, domain: Domain, tables: TableReader, world: DeviceAccessWorld) {
    this.#vcpu = vcpu
    this.#domain = domain
    this.#dispatch = domain.dispatch
    this.#record = domain.dispatch.requests.record(vcpu)
    this.#world = world
    this.tables = tables
  }

  region(ipaLo: number, ipaHi: number, write: boolean): Region {
    const ipa = ipaHi * TWO_32 + ipaLo
    const { secondLevel } = this.#domain
    // An access may end in a page whose contents are still to be restored.
    if (secondLevel.peek(ipa) < 0) return Region.DEVICE
    return write && secondLevel.readsRam(ipa) ? Region.DEVICE : Region.RAM
  }

  readRam(ipaLo: number, ipaHi: number, size: number, into: Uint8Array, offset: number): void {
    const ma = this.#domain.secondLevel.translate(ipaHi * TWO_32 + ipaLo, this.#vcpu)
    const { u8 } = this.#domain.memory
    for (let i = 0; i < size; i++) into[offset + i] = ma < 0 ? 0xff : u8[ma + i]!
  }

  writeRam(ipaLo: number, ipaHi: number, size: number, from: Uint8Array, offset: number): void {
    const { memory, secondLevel } = this.#domain
    const ma = secondLevel.translateWrite(ipaHi * TWO_32 + ipaLo, this.#vcpu)
    if (ma < 0) return
    for (let i = 0; i < size; i++) memory.u8[ma + i] = from[offset + i]!
    memory.noteWrite(ma, size)
  }

  authenticate(key: number, lo: number, hi: number, into: Uint32Array): boolean {
    return this.#world.authenticate(key, lo, hi, into)
  }

  device(log: AccessLog, index: number): AccessStatus {
    const gpa = log.addressHi(index) * TWO_32 + log.addressLo(index)
    const size = log.size(index)
    const dispatch = this.#dispatch
    for (const each of this.#world.banked) {
      if (gpa >= each.base && gpa < each.base + each.bytes)
        return this.#made(log, index, this.#accessBanked(each, gpa, log, index))
    }
    const status = this.#checked(
      gpa,
      log.kind(index) === AccessKind.MMIO_WRITE
        ? dispatch.mmioWriteOrSend(this.#vcpu, gpa, size, log.dataLo(index), log.dataHi(index))
        : dispatch.mmioReadOrSend(this.#vcpu, gpa, size),
    )
    if (status === STATUS_DONE && log.kind(index) === AccessKind.MMIO_READ) log.setData(index, dispatch.lo, dispatch.hi)
    return this.#made(log, index, this.#answerOf(status))
  }

  /** None of these registers is wider than a word. */
  #accessBanked({ base, read, write }: BankedRegisters, gpa: number, log: AccessLog, index: number): AccessStatus {
    const size = log.size(index)
    const offset = gpa - base
    if (log.kind(index) === AccessKind.MMIO_WRITE) write(this.#vcpu, offset, size, log.dataLo(index))
    else log.setData(index, read(this.#vcpu, offset, size) >>> 0, 0)
    return STATUS_DONE
  }

  /** Checks an unclaimed access, for which the dispatcher has returned ones. */
  #checked(gpa: number, status: number): number {
    return status === STATUS_UNHANDLED && this.#world.isOpenBus(gpa) ? STATUS_DONE : status
  }

  #made(log: AccessLog, index: number, status: AccessStatus): AccessStatus {
    if (status !== STATUS_DONE) return status
    const gpa = log.addressHi(index) * TWO_32 + log.addressLo(index)
    const write = log.kind(index) === AccessKind.MMIO_WRITE
    this.#world.made(gpa, log.size(index), write, log.dataLo(index), log.dataHi(index))
    return status
  }

  #answerOf(status: number): AccessStatus {
    if (status === STATUS_RETRY || status === STATUS_UNHANDLED) return status
    // The device broke its contract, and the domain is to stop.
    if (status === STATUS_ERROR) this.#world.stop()
    return STATUS_DONE
  }

  /**
   * Takes the response to the request in flight, if it has arrived.
   *
   * @returns STATUS_RETRY while no response has arrived
   */
  takeAnswer(log: AccessLog): AccessStatus {
    const record = this.#record
    const taken = record.take()
    if (taken === STATUS_RETRY) return taken
    const { pending } = log
    const status = this.#checked(log.addressHi(pending) * TWO_32 + log.addressLo(pending), taken)
    if (status === STATUS_DONE && log.kind(pending) === AccessKind.MMIO_READ) log.setData(pending, record.lo, record.hi)
    return this.#made(log, pending, this.#answerOf(status))
  }

  /** Drops the request in flight: its response will be discarded. */
  cancel(): void {
    this.#dispatch.requests.cancel(this.#vcpu)
  }
}
