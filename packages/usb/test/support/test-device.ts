import type { UsbDescription, UsbDevice, UsbPort, UsbRefusal, UsbSetup } from '../../src/index.ts'

/** A device whose answers the test says. */
export class TestDevice implements UsbDevice {
  readonly name: string
  readonly description: UsbDescription
  port!: UsbPort
  /** What IN transfers are answered with, one after the other; none: not now. */
  readonly answers: (Uint8Array | UsbRefusal)[] = []
  /** What OUT transfers are answered with; none: they are taken. */
  readonly refusals: UsbRefusal[] = []
  /** What OUT transfers have brought. */
  readonly taken: Uint8Array[] = []
  readonly requests: { readonly setup: UsbSetup; readonly data: Uint8Array }[] = []
  controlAnswer: Uint8Array | UsbRefusal = new Uint8Array(0)
  resets = 0

  constructor(name = 'test', speed: UsbDescription['speed'] = 'full', remoteWakeup = false) {
    this.name = name
    this.description = {
      vendorId: 0x1234,
      productId: 0x5678,
      product: 'Ding',
      remoteWakeup,
      ...(speed !== undefined && { speed }),
      interfaces: [
        {
          interfaceClass: 0xff,
          endpoints: [
            { address: 0x81, type: 'bulk', maximumPacketBytes: 64 },
            { address: 0x02, type: 'bulk', maximumPacketBytes: 64 },
            { address: 0x83, type: 'interrupt', maximumPacketBytes: 8, interval: 1 },
          ],
        },
      ],
    }
  }

  attach(port: UsbPort): void {
    this.port = port
  }

  control(setup: UsbSetup, data: Uint8Array): Uint8Array | UsbRefusal {
    this.requests.push({ setup, data })
    return this.controlAnswer
  }

  in(): Uint8Array | UsbRefusal {
    return this.answers.shift() ?? 'nak'
  }

  out(_address: number, data: Uint8Array): 'ack' | UsbRefusal {
    const refusal = this.refusals.shift()
    if (refusal !== undefined) return refusal
    this.taken.push(data)
    return 'ack'
  }

  reset(): void {
    this.resets++
  }

  save(): unknown {
    return { answers: this.answers }
  }

  restore(state: unknown): void {
    this.answers.splice(0, Infinity, ...(state as { answers: Uint8Array[] }).answers)
  }
}
