import { type DeviceContext, type DeviceModel, type PciFunction, type Timer } from '@retrap/device'

const [BEGIN, STATUS, BUSY, DONE] = [20, 24, 1, 2]
const SLOT = 16

/** The device of `dma-copy.c` as a TypeScript model, without its errors. */
export class CopyDevice implements DeviceModel {
  readonly name = 'copy'
  readonly stateless = true
  readonly #registers = new Uint32Array(8)
  #context!: DeviceContext
  #timer!: Timer
  #fn!: PciFunction

  attach(context: DeviceContext): void {
    this.#context = context
    this.#timer = context.timer(() => this.#copy())
    const handler = {
      read: (offset: number) => this.#registers[offset >>> 2]!,
      write: (offset: number, _: number, value: number) => this.#write(offset, value),
    }
    this.#fn = context.pci.add({
      ...{ device: SLOT, vendorId: 0x1234, deviceId: 0x5678, classCode: 0x08_8000, msi: { vectors: 1 } },
      bars: [{ index: 0, kind: 'memory', bytes: 4096, handler }],
    })
  }

  #write(offset: number, value: number): void {
    if (offset === STATUS) this.#registers[STATUS >>> 2]! &= BUSY
    else if (offset < BEGIN) this.#registers[offset >>> 2] = value
    else {
      this.#registers[STATUS >>> 2] = BUSY
      this.#timer.armAfter(this.#registers[4]!)
    }
  }

  async #copy(): Promise<void> {
    const [from, , to, , length] = this.#registers
    const bytes = new Uint8Array(length!)
    const { dma } = this.#context
    await dma.readAsync(from!, bytes)
    await dma.writeAsync(to!, bytes)
    this.#registers[STATUS >>> 2] = DONE
    this.#fn.messages!.signal(0)
  }
}
