import type { AccessSize } from '@retrap/device'
import { PciMachine } from '@retrap/device/test-machine'

/** A machine of one USB controller, whose registers are in the space of base address register 0. */
export class UsbMachine extends PciMachine {
  read(offset: number, size: AccessSize = 4): number {
    return this.readBar(0, offset, size)
  }

  write(offset: number, value: number, size: AccessSize = 4): void {
    this.writeBar(0, offset, size, value)
  }

  enableMsix(vectors: number): void {
    this.enableMsixAt(0, 0x3000, vectors)
  }
}
