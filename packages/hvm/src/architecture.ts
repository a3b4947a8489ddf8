import type { InterruptLine } from '@retrap/device'
import type { VirtualCpu } from './virtual-cpu.ts'

/** A domain's vCPUs and interrupt controllers: all of it that depends on an instruction set. */
export interface Architecture<V extends VirtualCpu = VirtualCpu> {
  /** By number; as many as the domain's options say. */
  readonly vcpus: readonly V[]
  /** The wire to an input of the interrupt controllers. */
  interruptLine(irq: number): InterruptLine
  /** The wire of a PCI function's interrupt pin, 1–4. */
  pciInterrupt(device: number, pin: number): InterruptLine
  /** PCI functions may have port 0: the processors have no ports of their own. Default: they may not. */
  readonly hasPortZero?: boolean
  /** Delivers a device's message. */
  signalMsi(address: number, data: number, requester: number): void
  /** Gives its machine memory back, where it can: it is not used any more. */
  free?(): void
  /** Power-on of everything but the vCPUs, before that of device models. */
  reset(): void
}
