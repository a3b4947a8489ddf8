import { GicV2, gicV2StateBytes } from '@retrap/irqchip/gic'
import type { Domain } from '../domain.ts'
import {
  type ArmInterruptController,
  type BankedRegisters,
  type ControllerWiring,
  SavedController,
} from './interrupt-controller.ts'

/** The place of a board's GICv2, which at most 8 vCPUs share. */
export interface GicV2Place {
  /** This one. */
  readonly version: 2
  /** Guest-physical address of the distributor, 4 KiB. */
  readonly distributor: number
  /** Guest-physical address of the interface of the vCPU that looks at it, 8 KiB. */
  readonly cpuInterface: number
  /** A frame that makes shared interrupts of messages (GICv2m); absent: there are no messages. */
  readonly messages?: MessageFrame
  /** Shared interrupts, 32–988. Default 256. */
  readonly spis?: number
}

/** A frame of a GICv2m. */
export interface MessageFrame {
  /** Guest-physical address, 4 KiB. */
  readonly base: number
  /** The first shared interrupt that messages are for, as a number of the GIC. */
  readonly first: number
  /** Number of frames. */
  readonly count: number
}

const DISTRIBUTOR_BYTES = 0x1000
const INTERFACE_BYTES = 0x2000
const FRAME_BYTES = 0x1000

/** Registers of a frame for messages (Arm DEN 0029, "Server Base System Architecture", appendix E, "GICv2m"). */
const MSI_TYPER = 0x008
const MSI_SETSPI_NS = 0x040
const MSI_IIDR = 0xfcc
/** Highest priority pending interrupts of a vCPU's interface; INTIDs from 1020 stand for none. */
const GICC_HPPIR = 0x18
const GICC_AHPPIR = 0x28
const INTID_FIRST_SPECIAL = 1020
const FIRST_SPI_SHIFT = 16
/** Of Arm's. */
const IIDR = 0x43b

/** A GICv2 of a domain, with its frame for messages. */
export class GicV2Controller extends SavedController implements ArmInterruptController {
  readonly systemRegisters = null
  readonly banked: readonly BankedRegisters[]
  readonly wires: GicV2
  readonly #messages: MessageFrame | undefined

  constructor(domain: Domain, place: GicV2Place, { cpus, signal, allocate }: ControllerWiring) {
    super()
    const { dispatch, memory } = domain
    const { messages, distributor, cpuInterface } = place
    const gic = new GicV2({
      cpus,
      ...(place.spis !== undefined && { spis: place.spis }),
      signal,
      state: {
        buffer: memory.buffer,
        byteOffset: allocate(gicV2StateBytes(cpus), 'interrupt controller'),
      },
    })
    this.wires = gic
    this.keeps({ version: 2, gic: this.chip(gic) }, { device: 'interrupt controller' })
    this.#messages = messages
    this.banked = [
      {
        base: distributor,
        bytes: DISTRIBUTOR_BYTES,
        read: (vcpu, offset, size) => gic.readDistributor(vcpu, offset, size),
        write: (vcpu, offset, size, value) => gic.writeDistributor(vcpu, offset, size, value),
      },
      {
        base: cpuInterface,
        bytes: INTERFACE_BYTES,
        read: (vcpu, offset, size) => gic.readInterface(vcpu, offset, size),
        write: (vcpu, offset, size, value) => gic.writeInterface(vcpu, offset, size, value),
      },
    ]
    // Reserve these addresses, so that no device model can claim them; accesses by other parties than vCPUs read 0.
    const reserved = { read: () => 0, write: () => undefined }
    for (const { base, bytes } of this.banked) dispatch.mapInternalMmio('gic', base, bytes, reserved)
    if (messages === undefined) return
    dispatch.mapInternalMmio('gic messages', messages.base, FRAME_BYTES, {
      read: (offset) => this.#readFrame(messages, offset),
      write: (offset, _size, value) => {
        if (offset === MSI_SETSPI_NS) this.signalMsi(messages.base + MSI_SETSPI_NS, value)
      },
    })
  }

  #readFrame({ first, count }: MessageFrame, offset: number): number {
    if (offset === MSI_TYPER) return (first << FIRST_SPI_SHIFT) | count
    return offset === MSI_IIDR ? IIDR : 0
  }

  highestPending(vcpu: number): number {
    // For a software-generated interrupt, this includes the sender.
    const first = this.wires.readInterface(vcpu, GICC_HPPIR, 4) & 0x3ff
    return first < INTID_FIRST_SPECIAL ? first : this.wires.readInterface(vcpu, GICC_AHPPIR, 4) & 0x3ff
  }

  /** The interfaces of a GICv2 are always connected. */
  connect(): void {}

  /** An edge of the interrupt that the message names, if it is one of the frame's. */
  signalMsi(address: number, data: number): void {
    const messages = this.#messages
    if (messages === undefined || address !== messages.base + MSI_SETSPI_NS) return
    const intid = data & 0x3ff
    if (intid < messages.first || intid >= messages.first + messages.count) return
    this.wires.setLine(intid, true)
    this.wires.setLine(intid, false)
  }
}
