import type { AccessSize } from '@retrap/device'
import { PciMachine } from '@retrap/device/test-machine'

export class VirtioMachine extends PciMachine {
  read(bar: number, offset: number, size: AccessSize): number {
    return this.readBar(bar, offset, size)
  }

  write(bar: number, offset: number, size: AccessSize, value: number): void {
    this.writeBar(bar, offset, size, value)
  }

  enableMsix(vectors: number): void {
    this.enableMsixAt(1, 0, vectors)
  }
}
