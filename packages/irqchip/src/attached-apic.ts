import { ApicBus, type IoApicPort } from './apic-bus.ts'
import type { StateRegion } from './arguments.ts'
import { type InterruptFabricOptions, localApicOffset } from './fabric.ts'
import { LocalApic } from './local-apic.ts'
import type { LocalApicOptions } from './local-apic-options.ts'

/** How the thread of one vCPU sees the local APICs of its machine. */
export interface AttachedApicOptions
  extends
    Pick<InterruptFabricOptions, 'cpus'>,
    Pick<LocalApicOptions, 'clock' | 'cpu' | 'physicalBits' | 'tscHz' | 'tscToNs' | 'timerHz' | 'x2apic'> {
  /** State of the controllers: that of the `InterruptFabric`, which is in another thread. */
  readonly state: StateRegion
  /** See `InterruptFabricOptions.wake`: of this vCPU, or of one that has been sent something from here. */
  readonly wake: (cpu: number) => void
  /** The side of the I/O APIC, in another thread. */
  readonly ioApic: IoApicPort
  /** Fetches the vector of the i8259, in another thread. */
  readonly acknowledgePic: () => number
}

/**
 * Makes a view of a machine's local APICs for the thread of one vCPU. That one is its own: its registers, priorities and timer are
 * worked out here. To the others it sends.
 *
 * @returns the vCPU's own APIC, whose `isDetached` is to become false when the thread runs the vCPU
 * @throws IrqchipError `ERR_INVALID`
 */
export function attachLocalApic(options: AttachedApicOptions): LocalApic {
  const { cpus, state, wake, ioApic, acknowledgePic, cpu: own, ...rest } = options
  const bus = new ApicBus(wake, acknowledgePic)
  bus.connect(ioApic)
  const apics = Array.from({ length: cpus }, (_, cpu) => {
    const region = { buffer: state.buffer, byteOffset: state.byteOffset + localApicOffset(cpu) }
    const apic = new LocalApic({ ...rest, cpu, bootstrap: cpu === 0, bus, state: region, attached: true })
    bus.add(apic)
    return apic
  })
  return apics[own]!
}
